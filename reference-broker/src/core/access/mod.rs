//! Who may connect (sections 3.1.3.5, 3.1.3.6 and 4.12), publish and subscribe.
//!
//! The core knows no users and compares no passwords: it asks ([`Question`]), and goes on when there
//! is an [`Answer`]. `exchange` has what happens between the two, `rules` what a user may do then.
//!
//! A session is for the user that has it: while it lasts, a CONNECT with its Client Identifier by
//! another user is refused with 0x87, and a re-authentication (section 4.12.1) as another user fails.
//! Otherwise its subscriptions, which were allowed to one user, would bring messages to another.
//! Clients that are nobody in particular count as one user in this.

mod exchange;
mod rules;

use std::fmt;

use bytes::Bytes;

use crate::codec::{ReasonCode, Text};

pub(super) use exchange::{Connecting, Credentials, ReAuthentication};
pub use rules::{Action, Rule, RuleFilter, Users};

/// Who may connect, publish and subscribe. By default nobody is asked about, and all may do all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// Whether clients without an Authentication Method are asked about, those without a User Name
    /// too ([`Question::Password`]); otherwise they enter as nobody in particular.
    pub asks: bool,
    /// The Authentication Methods there are. A client with another one is refused with 0x8C; the
    /// others are asked about ([`Question::Exchange`]).
    pub methods: Vec<Text>,
    /// What users may do; the first rule that matches decides. See [`Rule`].
    pub rules: Vec<Rule>,
    /// Whether what no rule matches is allowed.
    pub default_allow: bool,
    /// Whether a QoS 0 message that its client may not publish closes the connection with 0x87. It is
    /// dropped otherwise: there is no acknowledgement to tell (section 3.3.4).
    pub disconnects_at_qos0: bool,
}

impl Default for Access {
    fn default() -> Self {
        Access {
            asks: false,
            methods: Vec::new(),
            rules: Vec::new(),
            default_allow: true,
            disconnects_at_qos0: false,
        }
    }
}

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
        /// Its Authentication Method: one of [`Access::methods`].
        method: Text,
        /// Its Authentication Data.
        data: Option<Bytes>,
        /// Whether an exchange begins with this, the first one or another (section 4.12.1).
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
    /// It is turned away. A code that says no failure, or that the packet to be sent cannot have,
    /// stands for 0x87.
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
