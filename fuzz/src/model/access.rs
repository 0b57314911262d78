//! Who may publish and subscribe to what, as the broker's rules have it: the first that fits decides.

use reference_broker::core::{Access, Action, Rule, Users};

use super::broker::Model;
use super::filter::{covers, matches, overlaps};

impl Model {
    pub(crate) fn may_publish(&self, user: Option<&str>, client: &str, topic: &str) -> bool {
        decide(&self.config.access, user, Action::Publish, |rule| {
            levels(rule, user, client).is_some_and(|filter| matches(&filter, topic))
        })
    }

    /// Whether the user may have everything that a Topic Filter could bring.
    pub(crate) fn may_subscribe(&self, user: Option<&str>, client: &str, filter: &str) -> bool {
        decide(&self.config.access, user, Action::Subscribe, |rule| {
            levels(rule, user, client).is_some_and(|known| match rule.allow {
                true => covers(&known, filter),
                false => overlaps(&known, filter),
            })
        })
    }
}

fn decide(
    access: &Access,
    user: Option<&str>,
    action: Action,
    fits: impl Fn(&Rule) -> bool,
) -> bool {
    let is_about = |rule: &&Rule| {
        let is_whose = match &rule.users {
            Users::Any => true,
            Users::Anonymous => user.is_none(),
            Users::Named(name) => user == Some(&**name),
        };
        is_whose && (rule.action == Action::Both || rule.action == action)
    };
    let first = access.rules.iter().filter(is_about).find(|rule| fits(rule));
    first.map_or(access.default_allow, |rule| rule.allow)
}

/// The Topic Filter of a rule, with names in the place of `{user}` and `{client}`. Where a name is no
/// level, a rule that allows is about nothing, and one that denies about all from there on.
fn levels(rule: &Rule, user: Option<&str>, client: &str) -> Option<String> {
    let text = rule.filter.as_str();
    let mut levels: Vec<&str> = Vec::new();
    for level in text.split('/') {
        let name = match level {
            "{user}" => user,
            "{client}" => Some(client),
            _ => {
                levels.push(level);
                continue;
            }
        };
        let is_first = levels.is_empty();
        let is_level = |name: &&str| {
            let is_special = is_first && name.starts_with('$');
            !is_special && !name.contains(['/', '+', '#', '\0'])
        };
        match name.filter(is_level) {
            Some(name) => levels.push(name),
            None if rule.allow => return None,
            None => {
                levels.push("#");
                break;
            }
        }
    }
    Some(levels.join("/")).filter(|filter| !filter.is_empty())
}
