//! What a user may publish and subscribe to (section 4.7.3 lets a server decide).

use std::borrow::Cow;

use crate::codec::Text;
use crate::topic::{SubscriptionFilter, TopicError, TopicFilter, TopicName};

use super::super::Broker;
use super::Access;

const USER: &str = "{user}";
const CLIENT: &str = "{client}";

/// Allows or denies something; of several rules the first that matches decides.
///
/// A message matches if its topic does. A subscription stands for every topic that it could ever
/// bring, so it is judged by all of them: a rule allows it only if its filter covers all that the
/// subscription matches, and denies it if there is any topic that both match. So nobody gets by `#`
/// what a rule before the one that allows `#` denies: such a subscription is denied as a whole, and
/// clients subscribe to what they may have instead. One that two allowing rules cover only together
/// is denied too, unless that is the default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Whom it is about.
    pub users: Users,
    /// What it is about.
    pub action: Action,
    /// The topics it is about.
    pub filter: RuleFilter,
    /// Whether it allows, or denies.
    pub allow: bool,
}

/// Whom a rule is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Users {
    /// Everybody.
    Any,
    /// Those who are nobody in particular.
    Anonymous,
    /// This user.
    Named(Text),
}

/// What a rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// PUBLISH, and the Will of a CONNECT.
    Publish,
    /// SUBSCRIBE; a Shared Subscription by its Topic Filter, without the ShareName.
    Subscribe,
    /// Either.
    Both,
}

/// The topics of a rule: a Topic Filter in which a level may be `{user}` or `{client}`, for the user
/// and the Client Identifier of whoever is judged.
///
/// A Client Identifier is what the client says it is: `{client}` keeps honest clients apart, not
/// others. A name with `/`, `+` or `#` in it, or with a `$` in front where the first level is to be
/// filled, is no level; nor has every client a user. Then a rule that allows matches nothing, and a
/// rule that denies matches all from that level on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleFilter {
    filter: TopicFilter,
    has_placeholder: bool,
}

impl RuleFilter {
    /// Takes `text` as a Topic Filter, with placeholders as whole levels.
    ///
    /// # Errors
    ///
    /// If `text` is no Topic Filter.
    pub fn parse(text: &str) -> Result<RuleFilter, TopicError> {
        let filter = TopicFilter::parse(text)?;
        let has_placeholder = filter.levels().any(|level| [USER, CLIENT].contains(&level));
        Ok(RuleFilter { filter, has_placeholder })
    }

    /// The text it was made from.
    pub fn as_str(&self) -> &str {
        self.filter.as_str()
    }

    /// The filter for this client, to be matched by a rule that allows or denies; none if there is
    /// nothing it could match.
    fn resolve(&self, who: &Who<'_>, allow: bool) -> Option<Cow<'_, TopicFilter>> {
        if !self.has_placeholder {
            return Some(Cow::Borrowed(&self.filter));
        }
        let mut levels = Vec::new();
        for level in self.filter.levels() {
            let name = match level {
                USER => who.user,
                CLIENT => Some(who.client),
                level => {
                    levels.push(level);
                    continue;
                }
            };
            match name.filter(|name| is_level(name, levels.is_empty())) {
                Some(name) => levels.push(name),
                None if allow => return None,
                None => {
                    levels.push("#");
                    break;
                }
            }
        }
        match TopicFilter::parse(&levels.join("/")) {
            Ok(filter) => Some(Cow::Owned(filter)),
            Err(_) => None, // Empty or too long, so that no topic can match it either.
        }
    }
}

/// Whether a name can stand for a level of a topic, and for nothing else.
fn is_level(name: &str, is_first: bool) -> bool {
    let is_special = is_first && name.starts_with('$'); // MQTT-4.7.2-1
    !is_special && !name.contains(['/', '+', '#', '\0'])
}

/// Who is judged.
struct Who<'a> {
    user: Option<&'a str>,
    client: &'a str,
}

impl Rule {
    fn is_about(&self, who: &Who<'_>, action: Action) -> bool {
        let users = match &self.users {
            Users::Any => true,
            Users::Anonymous => who.user.is_none(),
            Users::Named(user) => who.user == Some(user),
        };
        users && (self.action == Action::Both || self.action == action)
    }
}

impl Access {
    fn decide(
        &self,
        who: &Who<'_>,
        action: Action,
        matches: impl Fn(&Rule, &TopicFilter) -> bool,
    ) -> bool {
        let mut rules = self.rules.iter().filter(|rule| rule.is_about(who, action));
        let first = rules.find(|rule| {
            rule.filter.resolve(who, rule.allow).is_some_and(|filter| matches(rule, &filter))
        });
        first.map_or(self.default_allow, |rule| rule.allow)
    }

    /// Whether the user may publish to the topic.
    pub(in super::super) fn may_publish(
        &self,
        user: Option<&Text>,
        client: &Text,
        topic: &TopicName,
    ) -> bool {
        let who = Who { user: user.map(|user| &**user), client };
        self.decide(&who, Action::Publish, |_, filter| filter.matches(topic))
    }

    /// Whether the user may have all that the subscription could bring.
    fn may_subscribe(
        &self,
        user: Option<&Text>,
        client: &Text,
        subscription: &SubscriptionFilter,
    ) -> bool {
        let who = Who { user: user.map(|user| &**user), client };
        let wanted = subscription.filter();
        self.decide(&who, Action::Subscribe, |rule, filter| match rule.allow {
            true => filter.covers(wanted),
            false => filter.overlaps(wanted),
        })
    }
}

impl Broker {
    /// Whether the client may publish to the topic.
    pub(in super::super) fn may_publish(&self, client: &Text, topic: &TopicName) -> bool {
        let user = self.sessions.get(client).and_then(|session| session.user.as_ref());
        self.config.access.may_publish(user, client, topic) // U-4.7.3-7
    }

    /// Whether the client may have the subscription.
    pub(in super::super) fn may_subscribe(
        &self,
        client: &Text,
        filter: &SubscriptionFilter,
    ) -> bool {
        let user = self.sessions.get(client).and_then(|session| session.user.as_ref());
        self.config.access.may_subscribe(user, client, filter) // U-4.7.3-7
    }
}
