//! Who the suite's clients are to the target.

use std::fmt;

use bytes::Bytes;
use reference_broker::codec::{Connect, Packet, Text};

use super::Login;
use super::scram::masked_in;
use crate::trace::What;

/// What stands in the place of a user name or password.
pub(crate) const HIDDEN: &str = "(hidden)";

/// What stands there for those of the second user.
pub(crate) const HIDDEN_SECOND: &str = "(hidden, second user)";

/// What stands behind that, where the first byte of a password is left out.
pub(crate) const WITHOUT_FIRST: &str = " without its first byte";

/// What stands behind that, where the last byte of a password is left out.
pub(crate) const WITHOUT_LAST: &str = " without its last byte";

/// A user name and a password, which nothing that is printed or written shows.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    user_name: Option<Text>,
    password: Option<Bytes>,
    /// Whether the password is proven to be known, by SCRAM-SHA-256, and not sent.
    is_proven: bool,
    /// Whether they are those of a second user.
    are_second: bool,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials")
    }
}

impl Credentials {
    /// Of a user, with a password or without; or of a password alone.
    ///
    /// # Errors
    ///
    /// In one sentence, what no CONNECT can carry.
    pub fn new(
        user_name: Option<String>,
        password: Option<Vec<u8>>,
    ) -> Result<Credentials, String> {
        let long =
            |what| format!("the {what} is longer than the 65535 bytes that CONNECT has room for");
        if password.as_ref().is_some_and(|password| u16::try_from(password.len()).is_err()) {
            return Err(long("password"));
        }
        if let Some(name) = &user_name {
            if u16::try_from(name.len()).is_err() {
                return Err(long("user name"));
            }
            if name.contains('\0') {
                return Err(
                    "the user name has a null character, which no string of MQTT may".into()
                );
            }
        }
        let (user_name, password) = (user_name.map(Into::into), password.map(Into::into));
        Ok(Credentials { user_name, password, ..Credentials::default() })
    }

    /// The same, of which the password is proven to be known by SCRAM-SHA-256, and not sent.
    ///
    /// # Errors
    ///
    /// In one sentence, what that takes and is not there.
    pub fn proven(self) -> Result<Credentials, String> {
        let proven = Credentials { is_proven: true, ..self };
        match proven.login() {
            Some(_) => Ok(proven),
            None => Err("SCRAM-SHA-256 takes a user name and a password that is text".to_owned()),
        }
    }

    /// The same as those of a second user, which traces tell apart.
    pub(super) fn of_second_user(self) -> Credentials {
        Credentials { are_second: true, ..self }
    }

    /// Whom a client is to prove to be.
    pub(super) fn login(&self) -> Option<Login> {
        let password = self.password.as_ref().filter(|_| self.is_proven)?;
        let password = String::from_utf8(password.to_vec()).ok()?;
        Some(Login { user_name: self.user_name.as_ref()?.to_string(), password })
    }

    /// Whether the password is proven to be known, and not sent.
    pub(super) fn is_proven(&self) -> bool {
        self.login().is_some()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        *self == Credentials::default()
    }

    /// The CONNECT of a client that has these, unless it has others already.
    pub fn complete(&self, connect: Connect) -> Connect {
        if connect.user_name.is_some() || connect.password.is_some() || self.is_proven {
            return connect;
        }
        let Credentials { user_name, password, .. } = self.clone();
        Connect { user_name, password, ..connect }
    }

    /// What is shown of what was sent.
    pub(crate) fn hide(&self, what: What) -> What {
        match what {
            _ if self.is_empty() => what,
            What::Sent(Packet::Connect(mut connect)) => {
                if let (Some(name), Some(own)) = (&mut connect.user_name, &self.user_name)
                    && let Some(rest) = name.strip_prefix(&**own).filter(|_| !own.is_empty())
                {
                    *name = format!("{}{rest}", self.hidden()).into();
                }
                if let (Some(password), Some(own)) = (&mut connect.password, &self.password)
                    && let Some(shown) = self.shown(password, own)
                {
                    *password = shown;
                }
                What::Sent(Packet::Connect(connect))
            }
            What::SentBytes(bytes) if matches!(bytes.first(), Some(0x10..=0x1F)) => {
                What::SentBytes(self.hide_in(&bytes))
            }
            what => what,
        }
    }

    fn hidden(&self) -> &'static str {
        if self.are_second { HIDDEN_SECOND } else { HIDDEN }
    }

    /// What is shown of a password that is this one, begins with it, or is nearly all of it.
    fn shown(&self, password: &[u8], own: &[u8]) -> Option<Bytes> {
        let hidden = self.hidden().as_bytes();
        let rest = match (own, password.strip_prefix(own)) {
            ([], _) => return None,
            (_, Some(rest)) => rest,
            ([_, others @ ..], _) if !others.is_empty() && others == password => {
                WITHOUT_FIRST.as_bytes()
            }
            ([others @ .., _], _) if !others.is_empty() && others == password => {
                WITHOUT_LAST.as_bytes()
            }
            _ => return None,
        };
        Some([hidden, rest].concat().into())
    }

    /// Bytes with stars where they hold one of these.
    fn hide_in(&self, bytes: &[u8]) -> Bytes {
        let mut bytes = bytes.to_vec();
        let user_name = self.user_name.as_ref().map(|name| name.as_bytes());
        for secret in [user_name, self.password.as_deref()].into_iter().flatten() {
            // As a CONNECT has it, with its length.
            let length = u16::try_from(secret.len()).unwrap_or(u16::MAX).to_be_bytes();
            let field = [&length[..], secret].concat();
            let mut at = 0;
            while let Some(rest) = bytes.get(at..at + field.len()) {
                if rest == field {
                    bytes[at + length.len()..at + field.len()].fill(b'*');
                }
                at += 1;
            }
        }
        bytes.into()
    }
}

/// What is shown of the messages of SCRAM: they let passwords be tried.
pub(crate) fn hide_exchange(what: What) -> What {
    masked_in(what, b"nrspv")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::trace::{Event, event_line};

    fn credentials() -> Credentials {
        Credentials::new(Some("ann".into()), Some(b"secret".to_vec())).unwrap()
    }

    #[test]
    fn a_client_has_them_unless_it_has_others() {
        let connect = credentials().complete(Connect::new("a"));
        assert_eq!(connect.user_name.as_deref(), Some("ann"));
        assert_eq!(connect.password.as_deref(), Some(&b"secret"[..]));
        let other = Connect { user_name: Some("bob".into()), ..Connect::new("a") };
        assert_eq!(credentials().complete(other.clone()), other);
        assert_eq!(Credentials::default().complete(Connect::new("a")), Connect::new("a"));
    }

    #[test]
    fn no_trace_shows_them() {
        let packet = Packet::from(credentials().complete(Connect::new("a")));
        let mut early = packet.to_bytes().unwrap().to_vec();
        early.extend([0xC0, 0]);
        let line = |what| event_line(&Event { at: Duration::ZERO, probe: "a".into(), what }, 1);
        let shows = |line: &str, secret: &str| {
            let hex: Vec<_> = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
            line.contains(&hex.join(" ")) || line.contains(secret)
        };
        for what in [What::Sent(packet), What::SentBytes(early.into())] {
            let (sent, shown) = (line(what.clone()), line(credentials().hide(what)));
            for secret in ["secret", "ann"] {
                assert!(shows(&sent, secret), "{sent}");
                assert!(!shows(&shown, secret), "{shown}");
            }
        }
        assert!(!format!("{:?}", credentials()).contains("secret"));
        let other = Connect { user_name: Some("bob".into()), ..Connect::new("a") };
        let what = What::Sent(other.into());
        assert_eq!(credentials().hide(what.clone()), what, "a scenario's own");
    }

    #[test]
    fn what_is_made_of_them_is_not_shown_either() {
        for (name, password, shown_name, shown_password) in [
            ("ann", "secret", "(hidden)", "(hidden)"),
            ("ann-7", "secret!", "(hidden)-7", "(hidden)!"),
            ("bob", "ecret", "bob", "(hidden) without its first byte"),
            ("", "secre", "", "(hidden) without its last byte"),
            ("an", "cre", "an", "cre"),
        ] {
            let connect = Connect {
                user_name: Some(name.into()),
                password: Some(password.into()),
                ..Connect::new("a")
            };
            let shown = Connect {
                user_name: Some(shown_name.into()),
                password: Some(shown_password.into()),
                ..Connect::new("a")
            };
            let hidden = credentials().hide(What::Sent(connect.into()));
            assert_eq!(hidden, What::Sent(shown.into()));
        }
        let empty = Credentials::new(Some(String::new()), Some(Vec::new())).unwrap();
        let what = What::Sent(Packet::from(credentials().complete(Connect::new("a"))));
        assert_eq!(empty.hide(what.clone()), what, "everything begins with nothing");
    }

    #[test]
    fn what_no_connect_can_carry_is_refused() {
        for (name, password) in
            [("a\0".to_owned(), 0), ("a".repeat(65_536), 0), ("a".to_owned(), 65_536)]
        {
            assert!(Credentials::new(Some(name), Some(vec![b'x'; password])).is_err());
        }
    }
}
