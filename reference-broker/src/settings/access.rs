//! Users and rules, as the file has them.

use std::fmt;

use crate::authentication::{Anonymous, Authenticator, User};
use crate::codec::Text;
use crate::core::{Action, Rule, RuleFilter, Users};

use super::key::{Key, keys};

/// `[[user]]`.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct UserEntry {
    name: Option<Text>,
    password: String,
    scram: Option<String>,
}

impl UserEntry {
    pub(super) fn is_called(&self, name: &Text) -> bool {
        self.name.as_ref() == Some(name)
    }
}

/// Nothing by which a user is known is ever printed.
impl fmt::Debug for UserEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UserEntry {{ name: {:?}, .. }}", self.name)
    }
}

pub(super) const USER_KEYS: &[Key<UserEntry>] = keys![
    "user.name" => name,
        "The User Name.",
        "Not set: there is no user without one.";
    "user.password" => password,
        "The hash of its password, as --hash-password prints it.",
        "Not set: there is no user without one.";
    "user.scram" => scram,
        "What SCRAM-SHA-256 needs of it.",
        "Not set: the user has no SCRAM, only a password.";
];

/// `[[rule]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RuleEntry {
    user: Option<Text>,
    anonymous: bool,
    action: Action,
    filter: Option<String>,
    allow: bool,
}

impl Default for RuleEntry {
    fn default() -> RuleEntry {
        RuleEntry { user: None, anonymous: false, action: Action::Both, filter: None, allow: true }
    }
}

pub(super) const RULE_KEYS: &[Key<RuleEntry>] = keys![
    "rule.user" => user,
        "The User Name it is about.",
        "Not set: everybody.";
    "rule.anonymous" => anonymous,
        "Whether it is only about clients without a User Name.",
        "Not: those have to be meant.";
    "rule.action" => action,
        "What it is about.",
        "Both: who may use a topic may mostly do either.";
    "rule.filter" => filter,
        "The topics, in which {user} and {client} stand for a whole level.",
        "Not set: there is no rule without one.";
    "rule.allow" => allow,
        "Whether it allows, or denies.",
        "It allows: most rules do.";
];

impl RuleEntry {
    /// The rule, which can only be about a user that there is.
    pub(super) fn rule(&self, is_user: impl Fn(&Text) -> bool) -> Result<Rule, String> {
        let users = match (&self.user, self.anonymous) {
            (None, false) => Users::Any,
            (None, true) => Users::Anonymous,
            (Some(name), _) if !is_user(name) => {
                return Err(format!("rule.user '{name}' is the name of no [[user]]"));
            }
            (Some(name), false) => Users::Named(name.clone()),
            (Some(name), true) => return Err(format!("a rule about '{name}' is not anonymous")),
        };
        let filter = self.filter.as_ref().ok_or("a [[rule]] has no filter")?;
        let filter = RuleFilter::parse(filter)
            .map_err(|error| format!("rule.filter '{filter}': {error}"))?;
        Ok(Rule { users, action: self.action, filter, allow: self.allow })
    }
}

pub(super) fn authenticator(
    entries: &[UserEntry],
    anonymous: Anonymous,
) -> Result<Authenticator, String> {
    let mut users = Vec::with_capacity(entries.len());
    for UserEntry { name, password, scram } in entries {
        let name = name.as_ref().ok_or("a [[user]] has no name")?;
        let wrong = |error| {
            format!("user '{name}': {error}; --hash-password {name} prints what is to stand there")
        };
        let user = User::new(name.clone(), password).map_err(wrong)?;
        users.push(match scram {
            Some(scram) => user.scram(scram).map_err(wrong)?,
            None => user,
        });
    }
    Authenticator::new(users, anonymous).map_err(|error| error.to_string())
}
