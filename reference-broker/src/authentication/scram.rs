//! SCRAM-SHA-256: users and keys for the state machine of `rsasl`.
//!
//! That crate takes the form of what it reads for granted, and panics at some that is not of it; it
//! leaves names escaped; and it tells clients which users it does not know. So what clients send is
//! checked before it, names are unescaped here, unknown users have keys too, and of its outputs none
//! is sent that reports an error.
//!
//! It compares the proof with what is stored as other bytes are, not in constant time, and leaves no place
//! to do that here. What is compared is the SHA-256 hash of the key that the proof is made of, so the time
//! tells at most how many bytes of that hash are right. Nobody can use that to guess byte by byte: which
//! hash a proof comes to is not to be chosen. And all of the hash would not do, as a proof takes the key
//! behind it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use rsasl::callback::{Context, Request, SessionCallback, SessionData};
use rsasl::mechanisms::scram::properties::ScramStoredPassword;
use rsasl::mechname::Mechname;
use rsasl::prelude::{SASLConfig, SASLServer, SessionError, State as Progress};
use rsasl::property::{AuthId, AuthzId};
use rsasl::validate::{Validate, Validation, ValidationError};

use crate::codec::{ReasonCode, Text};
use crate::core::Answer;

use super::hash::{Cost, ScramKeys};
use super::user::keyed;
use super::{SCRAM_SHA_256, State, User};

/// The server side.
pub(super) struct Scram(Option<Arc<SASLConfig>>);

/// An exchange. It is dropped at its first error, and at its end: it must not be used any more then.
pub(super) struct Session {
    session: rsasl::prelude::Session<Proven>,
    /// Whether the client's first message has come.
    has_begun: bool,
}

/// What an exchange yields once its proof was right: the name, unless it was to act as another.
struct Proven;

impl Validation for Proven {
    type Value = Option<Text>;
}

impl Scram {
    /// For these users; `secret` is what is made up for others comes from.
    pub(super) fn new(users: Arc<BTreeMap<Text, User>>, secret: Vec<u8>) -> Scram {
        let keys = Keys { users, secret };
        Scram(SASLConfig::builder().with_defaults().with_callback(keys).ok())
    }

    /// Begins an exchange, or nothing if that is not possible.
    pub(super) fn start(&self) -> State {
        let method = Mechname::parse(SCRAM_SHA_256.as_bytes()).ok();
        let session = self.0.clone().zip(method).and_then(|(config, method)| {
            SASLServer::<Proven>::new(config).start_suggested(method).ok()
        });
        let begun = |session| Box::new(Session { session, has_begun: false });
        session.map_or(State::Idle, |session| State::Scram(begun(session)))
    }
}

impl Session {
    /// Takes what the client sent. Gives the session back if it goes on.
    pub(super) fn step(mut self: Box<Self>, data: &[u8]) -> (Answer, Option<Box<Session>>) {
        let mut output = Vec::new();
        let refused = (Answer::Refused(ReasonCode::NotAuthorized), None);
        let is_well_formed = match std::mem::replace(&mut self.has_begun, true) {
            false => is_client_first(data),
            true => is_client_final(data),
        };
        if !is_well_formed {
            return refused;
        }
        match self.session.step(Some(data), &mut output) {
            Ok(Progress::Running) => (Answer::GoesOn(Some(output.into())), Some(self)),
            // There may be an error for the client in the output, and it may say too much.
            Ok(Progress::Finished(_)) => match self.session.validation() {
                Some(Some(user)) => {
                    (Answer::Accepted { user: Some(user), data: Some(output.into()) }, None)
                }
                Some(None) | None => refused,
            },
            Err(_) => refused,
        }
    }
}

struct Keys {
    users: Arc<BTreeMap<Text, User>>,
    secret: Vec<u8>,
}

impl Keys {
    fn find(&self, name: &str) -> Option<(&User, &ScramKeys)> {
        let user = self.users.get(&Text::from(&*unescape(name)?))?;
        Some((user, user.scram.as_ref()?))
    }

    /// Keys for a name that has none: always the same, of the same form as others, for no password.
    fn made_up(&self, name: &str) -> ScramKeys {
        let like = self.users.values().find_map(|user| user.scram.as_ref());
        let bytes = |what: &str| keyed(&self.secret, format!("{what} {name}").as_bytes());
        let mut salt = bytes("salt");
        salt.truncate(like.map_or(16, |keys| keys.salt.len()));
        ScramKeys {
            iterations: like.map_or(Cost::default().iterations, |keys| keys.iterations),
            salt,
            stored: bytes("stored"),
            server: bytes("server"),
        }
    }
}

impl SessionCallback for Keys {
    fn callback(
        &self,
        _session: &SessionData,
        context: &Context<'_>,
        request: &mut Request<'_>,
    ) -> Result<(), SessionError> {
        let Some(name) = context.get_ref::<AuthId>() else { return Ok(()) };
        let keys = match self.find(name) {
            Some((_, keys)) => Cow::Borrowed(keys),
            None => Cow::Owned(self.made_up(name)),
        };
        request.satisfy::<ScramStoredPassword<'_>>(&ScramStoredPassword::new(
            keys.iterations,
            &keys.salt,
            &keys.stored,
            &keys.server,
        ))?;
        Ok(())
    }

    fn validate(
        &self,
        _session: &SessionData,
        context: &Context<'_>,
        validate: &mut Validate<'_>,
    ) -> Result<(), ValidationError> {
        let name = context.get_ref::<AuthId>();
        let acts_as = context.get_ref::<AuthzId>();
        let user = name.filter(|name| acts_as.is_none_or(|other| other == *name));
        let user = user.and_then(|name| self.find(name));
        validate.with::<Proven, _>(|| Ok(user.map(|(user, _)| user.name.clone())))?;
        Ok(())
    }
}

/// Whether this is a client's first message (RFC 5802, section 7) without channel binding, which is
/// not offered, and without extensions, of which none is known.
fn is_client_first(data: &[u8]) -> bool {
    let parts: Option<Vec<&str>> = std::str::from_utf8(data).ok().map(|it| it.split(',').collect());
    match parts.as_deref() {
        Some(["n" | "y", acts_as, name, nonce]) => {
            (acts_as.is_empty() || acts_as.starts_with("a="))
                && name.starts_with("n=")
                && nonce.strip_prefix("r=").is_some_and(|nonce| !nonce.is_empty())
        }
        _ => false,
    }
}

/// Whether this is a client's final message, without extensions.
fn is_client_final(data: &[u8]) -> bool {
    let parts: Option<Vec<&str>> = std::str::from_utf8(data).ok().map(|it| it.split(',').collect());
    match parts.as_deref() {
        Some([binding, nonce, proof]) => {
            binding.starts_with("c=") && nonce.starts_with("r=") && proof.starts_with("p=")
        }
        _ => false,
    }
}

/// The name that `=2C` and `=3D` stand in (RFC 5802, section 5.1).
fn unescape(name: &str) -> Option<Cow<'_, str>> {
    let mut parts = name.split('=');
    let first = parts.next()?;
    if first.len() == name.len() {
        return Some(Cow::Borrowed(name));
    }
    let mut unescaped = String::from(first);
    for part in parts {
        let (character, rest) = match (part.strip_prefix("2C"), part.strip_prefix("3D")) {
            (Some(rest), _) => (',', rest),
            (_, Some(rest)) => ('=', rest),
            _ => return None,
        };
        unescaped.push(character);
        unescaped.push_str(rest);
    }
    Some(Cow::Owned(unescaped))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn whatever_comes_is_refused_and_no_more(
            first in prop_oneof!["[nypac=,r]{0,12}", Just("n,,n=u,r=x".to_string()), "\\PC{0,9}"],
            last in prop_oneof![
                "c=biws,r=[a-z,=]{0,4},p=[A-Za-z0-9+/=,]{0,50}",
                "[crp=,]{0,12}",
                "\\PC{0,9}",
            ],
        ) {
            let scram = Scram::new(Arc::default(), Vec::new());
            let State::Scram(session) = scram.start() else { panic!("no SCRAM") };
            let (_, session) = session.step(first.as_bytes());
            if let Some(session) = session {
                let (answer, _) = session.step(last.as_bytes());
                prop_assert_eq!(answer, Answer::Refused(ReasonCode::NotAuthorized));
            }
        }

        /// With the nonce that the server wants, so that the proof is looked at.
        #[test]
        fn whatever_is_in_a_proof_is_refused_and_no_more(
            proof in prop_oneof!["[A-Za-z0-9+/]{0,48}={0,2}", "\\PC{0,50}"],
            binding in prop_oneof![Just("biws".to_string()), "[A-Za-z0-9=]{0,9}"],
        ) {
            let scram = Scram::new(Arc::default(), Vec::new());
            let State::Scram(session) = scram.start() else { panic!("no SCRAM") };
            let (answer, session) = session.step(b"n,,n=u,r=x");
            let Answer::GoesOn(Some(data)) = answer else { panic!("no challenge") };
            let data = String::from_utf8(data.to_vec()).unwrap();
            let nonce = data.split(',').next().unwrap();
            let last = format!("c={binding},{nonce},p={proof}");
            let (answer, _) = session.unwrap().step(last.as_bytes());
            prop_assert_eq!(answer, Answer::Refused(ReasonCode::NotAuthorized));
        }
    }

    #[test]
    fn names_are_unescaped() {
        for (escaped, name) in [
            ("user", Some("user")),
            ("", Some("")),
            ("a=2Cb=3D", Some("a,b=")),
            ("=3D2C", Some("=2C")),
            ("a=", None),
            ("a=2c", None),
            ("a=41", None),
        ] {
            assert_eq!(unescape(escaped).as_deref(), name, "{escaped}");
        }
    }
}
