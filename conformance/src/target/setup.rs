//! What a target was set up with: users, rights and the like, of which no CONNACK tells.

use std::pin::pin;
use std::sync::OnceLock;
use std::task::{Context, Poll, Waker};

use reference_broker::authentication::{Anonymous, Authenticator, Cost, Exchange, User};
use reference_broker::authentication::{hash_password, system_random};
use reference_broker::codec::ReasonCode;
use reference_broker::core::{
    Access, Action, Answer, Config, Question, Redirection, Rule, RuleFilter, Users,
};

use super::{Credentials, Need, Restarts};
use crate::script::Logins;

/// The level that makes a topic one that [the second user](Setup::other) may not publish to:
/// `PREFIX/+/+/unwritable/#`.
pub const UNWRITABLE: &str = "unwritable";

/// The level that makes a topic one that [the second user](Setup::other) may not get messages of:
/// `PREFIX/+/+/unreadable/#`.
pub const UNREADABLE: &str = "unreadable";

/// What a target was set up with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Setup {
    /// A second user, with a password; the first one is that of the suite's clients. Where there is
    /// one, nobody else is let in.
    pub other: Option<Credentials>,
    /// Whether the second user is kept from topics that are [`UNWRITABLE`] or [`UNREADABLE`].
    pub has_rights: bool,
    /// Whom it knows by SCRAM-SHA-256.
    pub scram: Option<Login>,
    /// Whether it sends all clients to another server.
    pub redirects: bool,
    /// What survives its restarts.
    pub restarts: Restarts,
}

/// A user by name and password, for methods that need both.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The name.
    pub user_name: String,
    /// The password.
    pub password: String,
}

/// Nothing by which a user is known is ever printed.
impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Login")
    }
}

impl Setup {
    /// What is not to be shown of it.
    pub(super) fn secrets(&self) -> impl Iterator<Item = Credentials> {
        let scram = self.scram.as_ref().and_then(|Login { user_name, password }| {
            Credentials::new(Some(user_name.clone()), Some(password.clone().into())).ok()
        });
        self.other.clone().map(Credentials::of_second_user).into_iter().chain(scram)
    }
}

/// How an embedded broker is set up for a scenario that needs it so: each has a broker of its own.
#[derive(Debug, Default)]
pub(crate) struct Embedded {
    pub(super) setup: Setup,
    /// Who the clients of the suite are.
    pub(super) credentials: Credentials,
    pub(super) authenticator: Option<Authenticator>,
    /// What topics of scripts and scenarios begin with.
    topics: Topics,
}

/// The users of embedded brokers.
pub(crate) const ANN: (&str, &str) = ("ann", "apple");
pub(crate) const BOB: (&str, &str) = ("bob", "banana");

/// The secret by which ann is known with the method `CHALLENGE`.
const SECRET: &str = "apricot";

impl Embedded {
    /// With what is needed.
    pub(crate) fn with(needs: &[Need]) -> Embedded {
        let wants = |need| needs.contains(&need);
        let mut embedded = Embedded::default();
        if wants(Need::Users) || wants(Need::Rights) {
            embedded.setup.other = Some(credentials(BOB));
            embedded.setup.has_rights = true;
            embedded.credentials = credentials(ANN);
            embedded.authenticator = users(Anonymous::Nobody);
        }
        if wants(Need::Scram) {
            let (user_name, password) = (ANN.0.to_owned(), ANN.1.to_owned());
            embedded.setup.scram = Some(Login { user_name, password });
            if embedded.authenticator.is_none() {
                embedded.authenticator = users(Anonymous::Everybody);
            }
        }
        embedded.setup.redirects = wants(Need::Redirection);
        // What is in memory is nowhere else, and so it is as it was.
        embedded.setup.restarts = Restarts::all();
        embedded
    }

    /// The same for scripts, whose topics begin with `~`, or, where they are placed, as those of the suite.
    pub(crate) fn for_scripts(self) -> Embedded {
        Embedded { topics: Topics(&["~", PLACED]), ..self }
    }

    /// Who clients of scripts are there.
    pub(crate) fn logins(&self) -> Logins {
        let Setup { other, scram, .. } = self.setup.clone();
        Logins::new(self.credentials.clone(), other, scram)
    }

    /// Answers what the core asks about a client, as its [`Authenticator`] does, but at once: a password is
    /// compared, which takes no time.
    pub(crate) fn answer(&self, exchange: &mut Exchange, question: Question) -> Answer {
        let Some(authenticator) = &self.authenticator else {
            return Answer::Refused(ReasonCode::BadAuthenticationMethod);
        };
        if let Question::Password { user_name: Some(name), password } = question {
            let is_right = |(user, right): &(&str, &str)| {
                &*name == *user && password.as_deref() == Some(right.as_bytes())
            };
            return match [ANN, BOB].iter().any(is_right) {
                true => Answer::Accepted { user: Some(name), data: None },
                false => Answer::Refused(ReasonCode::BadUserNameOrPassword),
            };
        }
        let answer = pin!(authenticator.answer(exchange, question));
        match answer.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(answer) => answer,
            // Only passwords take time.
            Poll::Pending => Answer::Refused(ReasonCode::ServerUnavailable),
        }
    }

    /// Makes it so in a configuration.
    pub(crate) fn configure(&self, config: &mut Config) {
        if let Some(authenticator) = &self.authenticator {
            let Access { asks, methods, .. } = authenticator.access();
            config.access.asks = asks;
            config.access.methods = methods;
        }
        if self.setup.has_rights {
            let denied = [(Action::Publish, UNWRITABLE), (Action::Subscribe, UNREADABLE)];
            // Before those for everybody: the first that matches decides.
            let rules = &mut config.access.rules;
            let is_named = |rule: &&Rule| matches!(rule.users, Users::Named(_));
            let place = rules.iter().take_while(is_named).count();
            let denied =
                denied.into_iter().flat_map(|(action, level)| self.topics.denied(action, level));
            let denied: Vec<_> = denied.collect();
            rules.splice(place..place, denied);
        }
        if self.setup.redirects && config.redirection.is_none() {
            let reference = Some("elsewhere.example:1883".into());
            config.redirection = Some(Redirection { is_permanent: false, reference });
        }
    }
}

fn credentials((name, password): (&str, &str)) -> Credentials {
    Credentials::new(Some(name.to_owned()), Some(password.into())).unwrap_or_default()
}

/// What all topics begin with, as levels of filters.
#[derive(Debug)]
struct Topics(&'static [&'static str]);

/// Those of the suite.
impl Default for Topics {
    fn default() -> Topics {
        Topics(&[PLACED])
    }
}

/// A prefix, the run, and the scenario.
const PLACED: &str = "+/+/+";

impl Topics {
    fn denied(&self, action: Action, level: &str) -> impl Iterator<Item = Rule> {
        let filters = self.0.iter().map(move |start| format!("{start}/{level}/#"));
        let filters = filters.filter_map(|filter| RuleFilter::parse(&filter).ok());
        let users = || Users::Named(BOB.0.into());
        filters.map(move |filter| Rule { users: users(), action, filter, allow: false })
    }
}

/// Ann and Bob. What is kept of their passwords is made once: it takes time.
fn users(anonymous: Anonymous) -> Option<Authenticator> {
    static USERS: OnceLock<Option<Vec<User>>> = OnceLock::new();
    let make = |(name, password): (&'static str, &str)| {
        let hashed = hash_password(password, Cost::least(), &system_random()).ok()?;
        User::new(name, &hashed.password).ok()?.scram(&hashed.scram).ok()
    };
    let users = USERS.get_or_init(|| Some(vec![make(ANN)?.challenge(SECRET), make(BOB)?]));
    Authenticator::new(users.clone()?, anonymous).ok()
}

#[cfg(test)]
mod tests {
    use super::super::Capabilities;
    use super::*;

    #[test]
    fn embedded_brokers_have_what_is_needed_and_no_more() {
        for need in Need::OF_SETUPS.iter().copied() {
            let Embedded { setup, authenticator, .. } = Embedded::with(&[need]);
            assert!(Capabilities::undeclared().set_up(setup).meet(need), "{need}");
            assert_eq!(authenticator.is_some(), need != Need::Redirection, "{need}");
        }
        let plain = Setup { restarts: Restarts::all(), ..Setup::default() };
        assert_eq!(Embedded::with(&[Need::Retain]).setup, plain);
    }
}
