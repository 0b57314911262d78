//! Scripts: what clients do, as data.
//!
//! A script is the clients' half of a [trace](crate::trace), in the same text form, so that every
//! trace is a script and playing a script gives a trace:
//!
//! ```text
//! # Times are optional; received packets are skipped.
//! alice || opened
//! alice -> CONNECT client_id="~alice" clean_start session_expiry_interval=60
//! alice || acknowledges
//! alice -> SUBSCRIBE id=1 "~/a/#" qos=2
//! alice || withholds
//! bob || opened
//! bob -> CONNECT client_id="~bob" clean_start
//! bob -> PUBLISH "~/a/b" qos=1 id=1 payload="m1"
//! alice -> PUBACK @m1
//! alice || waited 1.500 s
//! alice || half closed
//! ```
//!
//! A name is one network connection, `alice.2` the second one of `alice`; one that has blanks in it, or
//! looks like a time or a comment, is quoted. Packet Identifiers of messages from the broker are the
//! broker's to choose, so an acknowledgement names the message by its payload: `@m1`, or `@"any text"` or
//! `@x00ff`. `~` at the beginning of a Topic Name, Topic Filter or Client Identifier stands for what keeps
//! one playing apart from others on the same broker.
//!
//! A script may say first what the broker has to be: `broker || needs users`, `needs SCRAM` or `needs
//! redirection`, and `broker || announces receive_maximum=2`. Who users are is the target's to know: a
//! CONNECT without a User Name is the first user's, `~other` as its User Name and Password are the second
//! one's, and `~nobody` is nobody. With the method SCRAM-SHA-256, `~first` stands for the client's first
//! message, `~answer` for its answer to what the broker said last, and `~wrong` for that of a client that
//! has the password wrong; `~unknown` is the first message of a client that nobody knows.
//!
//! `alice || cuts 1 8` has the next packet sent in three parts, cut behind these bytes, and `alice || joins 3`
//! the next three packets together.
//!
//! `alice || alters "Topic Alias" xffff` changes one field of the next packet that is sent; see [`Alteration`].
//!
//! A connection withholds its acknowledgements until the script sends them, unless it `acknowledges`.

mod alteration;
mod audit;
mod clear;
mod clients;
mod conditions;
mod from_trace;
mod live;
mod logins;
mod place;
mod play;
mod strangers;
mod text;

use std::time::Duration;

use bytes::Bytes;
use reference_broker::codec::{Packet, PacketType, Properties, ReasonCode};

use crate::target::Need;

pub use alteration::{Alteration, Change};
pub(crate) use alteration::{Layout, Part, Parts, layout};
pub use audit::audit;
pub use clear::clear;
pub use clients::Played;
pub use conditions::{Conditions, announce};
pub use from_trace::from_trace;
pub(crate) use from_trace::{PAUSE, with_places};
pub use live::play_live;
pub(crate) use logins::{ANSWER, FIRST, Logins, NOBODY, OTHER, OWN, UNKNOWN, WRONG};
pub use place::Place;
pub(crate) use place::RAW;
pub(crate) use play::Bench;
pub use play::play;
pub use text::{ScriptError, parse, parse_within, read, to_text};

/// What clients do, in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Script {
    /// The steps.
    pub steps: Vec<Step>,
}

/// One thing that one client does.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The connection: the name of its client, on its second connection `name.2`, and so on.
    pub connection: String,
    /// What is done.
    pub act: Act,
}

/// The things that are done on a connection.
#[derive(Clone, Debug, PartialEq)]
pub enum Act {
    /// Opens the network connection.
    Open,
    /// Sends a packet.
    Send(Packet),
    /// Sends bytes, be they a packet or not.
    SendBytes(Bytes),
    /// The next packet that is sent is cut behind these bytes: each part is sent by itself.
    Cuts(Vec<usize>),
    /// So many of the next packets that are sent go out together, with the last one of them.
    Joins(usize),
    /// The next packet that is sent is altered so, and sent by itself.
    Alters(Alteration),
    /// Acknowledges a message of the broker, if it has come.
    Acknowledge(Acknowledgement),
    /// From now on, acknowledges messages as they come, and those that came before.
    Acknowledges,
    /// From now on, acknowledges nothing by itself.
    Withholds,
    /// Stops sending; what the broker still sends is read.
    HalfClose,
    /// Closes the network connection.
    Close,
    /// Lets time pass.
    Wait(Duration),
    /// Nothing is done: a broker has to be set up so.
    Needs(Need),
    /// Nothing is done: a broker has to announce this in CONNACK.
    Announces(Properties),
}

/// PUBACK, PUBREC or PUBCOMP for a message, wherever that stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Acknowledgement {
    /// Which of the three.
    pub packet: PacketType,
    /// The payload of the message.
    pub payload: Bytes,
    /// The Reason Code.
    pub reason: ReasonCode,
    /// The properties.
    pub properties: Properties,
}

/// Longer than any choice that a broker has holds anything back.
const REST: Duration = Duration::from_secs(4);

impl Script {
    /// The time that passes in its waits, as far as it can be told.
    pub fn waits(&self) -> Duration {
        let waits = self.steps.iter().filter_map(|step| match step.act {
            Act::Wait(time) => Some(time),
            _ => None,
        });
        waits.fold(Duration::ZERO, Duration::saturating_add)
    }

    /// The same with a while at its end in which all comes that is late.
    #[must_use]
    pub fn rested(&self) -> Script {
        let mut script = self.clone();
        script.steps.push(Step::new("all", Act::Wait(REST)));
        script
    }
}

impl Step {
    /// A step of this connection.
    pub fn new(connection: &str, act: Act) -> Step {
        Step { connection: connection.to_owned(), act }
    }

    /// The name of the client whose connection it is.
    pub fn client(&self) -> &str {
        client_of(&self.connection)
    }
}

/// The client that a connection belongs to.
pub fn client_of(connection: &str) -> &str {
    match connection.rsplit_once('.') {
        Some((client, number)) if number.bytes().all(|byte| byte.is_ascii_digit()) => client,
        _ => connection,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_for_ever_are_no_longer_twice() {
        let wait = Step::new("a", Act::Wait(Duration::MAX));
        let script = Script { steps: vec![wait.clone(), wait] };
        assert_eq!(script.waits(), Duration::MAX);
    }
}
