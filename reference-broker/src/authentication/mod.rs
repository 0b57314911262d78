//! Who clients are: the answers to what the [core](crate::core) asks (sections 3.1.3.5 and 4.12).
//!
//! A client proves to be a user by the password in its CONNECT, by SCRAM-SHA-256 (RFC 7677, the
//! Authentication Method `SCRAM-SHA-256`), or by `CHALLENGE`, a method as simple as can be for those
//! who test enhanced authentication. What is kept of a password serves to check it and is not the
//! password: an Argon2id hash, and the two keys that SCRAM wants ([`hash_password`]).
//!
//! Whether a user exists is not to be learnt here: whoever is not known costs the same work, and
//! gets the same packets, up to the refusal.

mod challenge;
mod hash;
mod hasher;
mod scram;
mod user;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::Arc;

use argon2::PasswordHash;
use bytes::Bytes;

use crate::codec::{ReasonCode, Text};
use crate::core::{Access, Answer, Question};

pub use challenge::{CHALLENGE, challenge_response};
pub use hash::{Cost, HashedPassword, hash_password};
pub use user::{User, UserError};

use challenge::Challenge;
use hasher::Hasher;
use scram::Scram;

/// The Authentication Method by which a client proves to know its password without sending it.
pub const SCRAM_SHA_256: &str = "SCRAM-SHA-256";

/// Where random bytes come from.
pub type Random = Arc<dyn Fn(&mut [u8]) -> io::Result<()> + Send + Sync>;

/// The random bytes of the system.
pub fn system_random() -> Random {
    Arc::new(|bytes| getrandom::fill(bytes).map_err(io::Error::other))
}

/// Decides who clients are. A clone is the same one.
#[derive(Clone)]
pub struct Authenticator(Arc<Inner>);

struct Inner {
    users: Arc<BTreeMap<Text, User>>,
    /// Stands in the place of the hash that an unknown user has not.
    decoy: Option<PasswordHash>,
    anonymous: Anonymous,
    scram: Scram,
    random: Random,
    hasher: Hasher,
}

/// Whether clients without a User Name may enter, as nobody in particular.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anonymous {
    /// None.
    Nobody,
    /// Those that come to where only this machine can come.
    Local,
    /// All.
    Everybody,
}

impl From<bool> for Anonymous {
    fn from(may_enter: bool) -> Anonymous {
        if may_enter { Anonymous::Everybody } else { Anonymous::Nobody }
    }
}

/// What is between two packets of an exchange with one client.
#[derive(Default)]
pub struct Exchange {
    state: State,
    is_local: bool,
}

impl Exchange {
    /// One with a client that comes to where only this machine can come, or elsewhere.
    pub fn new(is_local: bool) -> Exchange {
        Exchange { state: State::Idle, is_local }
    }
}

#[derive(Default)]
enum State {
    #[default]
    Idle,
    Scram(Box<scram::Session>),
    /// The challenge is out, or, without one, the user is yet to be named.
    Challenge(Option<Challenge>),
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Authenticator {{ users: {}, .. }}", self.0.users.len())
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Exchange { .. }")
    }
}

impl Authenticator {
    /// One that knows these users, and lets those without a User Name enter as `anonymous` says.
    ///
    /// # Errors
    ///
    /// If two users have the same name.
    pub fn new(
        users: impl IntoIterator<Item = User>,
        anonymous: impl Into<Anonymous>,
    ) -> Result<Authenticator, UserError> {
        Authenticator::with_random(users, anonymous, system_random())
    }

    /// As [`Authenticator::new`], with random bytes for its challenges from somewhere else. The nonces
    /// of SCRAM are the system's in any case.
    ///
    /// # Errors
    ///
    /// If two users have the same name.
    pub fn with_random(
        users: impl IntoIterator<Item = User>,
        anonymous: impl Into<Anonymous>,
        random: Random,
    ) -> Result<Authenticator, UserError> {
        let mut table = BTreeMap::new();
        for user in users {
            if table.insert(user.name.clone(), user).is_some() {
                return Err(UserError::Twice);
            }
        }
        let users = Arc::new(table);
        let secret = user::table_secret(&users);
        let decoy = users.values().next().map(|user| user.decoy(&secret));
        let scram = Scram::new(Arc::clone(&users), secret);
        let hasher = Hasher::default();
        let anonymous = anonymous.into();
        Ok(Authenticator(Arc::new(Inner { users, decoy, anonymous, scram, random, hasher })))
    }

    /// What the core is to be told so that it asks: about everybody, and by the methods for which
    /// some user has what it takes. All who are accepted may do all.
    pub fn access(&self) -> Access {
        let users = &self.0.users;
        let has_scram = users.values().any(|user| user.scram.is_some());
        let has_challenge = users.values().any(|user| user.challenge.is_some());
        let methods = [(SCRAM_SHA_256, has_scram), (CHALLENGE, has_challenge)];
        let methods = methods.into_iter().filter(|(_, has)| *has);
        let methods = methods.map(|(method, _)| method.into()).collect();
        Access { asks: true, methods, ..Access::default() }
    }

    /// Answers a question of the core; `exchange` is that of the client it is about.
    pub async fn answer(&self, exchange: &mut Exchange, question: Question) -> Answer {
        match question {
            Question::Password { user_name: None, .. } => {
                let may_enter = match self.0.anonymous {
                    Anonymous::Nobody => false,
                    Anonymous::Local => exchange.is_local,
                    Anonymous::Everybody => true,
                };
                match may_enter {
                    true => Answer::Accepted { user: None, data: None },
                    false => Answer::Refused(ReasonCode::NotAuthorized),
                }
            }
            Question::Password { user_name: Some(name), password } => {
                self.check_password(name, password.unwrap_or_default()).await
            }
            Question::Exchange { method, data, begins } => {
                if begins {
                    exchange.state = match &*method {
                        SCRAM_SHA_256 => self.0.scram.start(),
                        CHALLENGE => State::Challenge(None),
                        _ => State::Idle,
                    };
                }
                self.step(exchange, data)
            }
        }
    }

    async fn check_password(&self, name: Text, password: Bytes) -> Answer {
        let hash = self.0.users.get(&name).map(|user| &user.password);
        let is_known = hash.is_some();
        let Some(hash) = hash.or(self.0.decoy.as_ref()).cloned() else {
            return Answer::Refused(ReasonCode::BadUserNameOrPassword); // There are no users at all.
        };
        match self.0.hasher.is_password(&name, password, hash).await {
            Some(true) if is_known => Answer::Accepted { user: Some(name), data: None },
            Some(_) => Answer::Refused(ReasonCode::BadUserNameOrPassword),
            None => Answer::Refused(ReasonCode::ServerUnavailable),
        }
    }

    /// Goes on with an exchange. After a refusal there is nothing to go on with.
    fn step(&self, exchange: &mut Exchange, data: Option<Bytes>) -> Answer {
        match (std::mem::take(&mut exchange.state), data) {
            (State::Idle, _) => Answer::Refused(ReasonCode::BadAuthenticationMethod),
            // Both methods have the client speak first: it is asked to.
            (state @ (State::Scram(_) | State::Challenge(None)), None) => {
                exchange.state = state;
                Answer::GoesOn(None)
            }
            (State::Scram(session), Some(data)) => {
                let (answer, session) = session.step(&data);
                exchange.state = session.map_or(State::Idle, State::Scram);
                answer
            }
            (State::Challenge(None), Some(data)) => match Challenge::new(&data, &self.0.random) {
                Ok(challenge) => {
                    let bytes = challenge.bytes();
                    exchange.state = State::Challenge(Some(challenge));
                    Answer::GoesOn(Some(bytes))
                }
                Err(_) => Answer::Refused(ReasonCode::ServerUnavailable),
            },
            (State::Challenge(Some(challenge)), data) => {
                challenge.check(&self.0.users, &data.unwrap_or_default())
            }
        }
    }
}
