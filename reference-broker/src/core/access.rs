//! Who may connect (sections 3.1.3.5, 3.1.3.6 and 4.12), publish and subscribe.
//!
//! The core knows no users and compares no passwords: it asks ([`Question`]), and goes on when there
//! is an [`Answer`].

use std::fmt;

use bytes::Bytes;

use crate::codec::{ReasonCode, Text};

use super::{Broker, ConnectionId};

/// Who may connect, publish and subscribe.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {}

/// What the core asks about a client.
#[derive(Clone, PartialEq, Eq)]
pub enum Question {
    /// Whether it is who its CONNECT says, or may be nobody in particular.
    Password {
        /// Its User Name.
        user_name: Option<Text>,
        /// Its Password.
        password: Option<Bytes>,
    },
    /// What comes next in an exchange of enhanced authentication (section 4.12).
    Exchange {
        /// Its Authentication Method.
        method: Text,
        /// Its Authentication Data.
        data: Option<Bytes>,
        /// Whether the exchange begins with this.
        begins: bool,
    },
}

/// Nothing of what a client is known by is ever printed.
impl fmt::Debug for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Question::Password { .. } => f.write_str("Password { .. }"),
            Question::Exchange { method, begins, .. } => {
                write!(f, "Exchange {{ method: {method:?}, begins: {begins}, .. }}")
            }
        }
    }
}

/// What is known of a client that was asked about.
#[derive(Clone, PartialEq, Eq)]
pub enum Answer {
    /// It is this user, or nobody in particular.
    Accepted {
        /// The user whose rights it has.
        user: Option<Text>,
        /// What the exchange ends with.
        data: Option<Bytes>,
    },
    /// The exchange goes on with this Authentication Data.
    GoesOn(Option<Bytes>),
    /// It is turned away.
    Refused(ReasonCode),
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Answer::Accepted { user, .. } => write!(f, "Accepted {{ user: {user:?}, .. }}"),
            Answer::GoesOn(_) => f.write_str("GoesOn(..)"),
            Answer::Refused(reason) => write!(f, "Refused({reason:?})"),
        }
    }
}

impl Broker {
    /// Goes on with a connection that something was asked about.
    pub(super) fn answered(&mut self, _id: ConnectionId, _answer: Answer) {}
}
