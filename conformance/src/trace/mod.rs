//! What happened on the connections of one run, in order, and its text form.
//!
//! The text form is one line an event and parses back to the same events, so that reports, kept
//! snapshots and hand-written tests share it:
//!
//! ```text
//! # Comments and blank lines are skipped.
//!    0.000  alice || opened
//!    0.000  alice -> CONNECT     client_id="alice" clean_start keep_alive=300
//!    0.001  alice <- CONNACK     0x00 (success) receive_maximum=100
//!    0.002  alice -> SUBSCRIBE   id=1 subscription_identifier=5 "a/+" qos=1 no_local "b" qos=0
//!    0.003  alice -> PUBLISH     "a/b" qos=1 id=2 user_property="k":"v" payload="text"
//!    0.004  alice -> BYTES 10 0e 00 04 61*65535
//!    0.005  alice <- BROKEN 00 00  ! packet type 0 is reserved at byte 0
//!    5.005  alice || silent for 5.000 s
//!    5.005  alice || closed by the broker (end of stream)
//!    5.006  alice || websocket "sends text frames"
//! ```
//!
//! A line holds the time in seconds, the probe, a mark (`->` sent, `<-` received, `||` the
//! connection itself) and what happened. A packet is its type, its fields, and its properties
//! under the keys of the property table, those of a Will after `will.`. Fields that are off, empty
//! or 0 by default are left out.
//!
//! Strings are quoted, with `\"`, `\\` and `\u{..}` for what does not print. Bytes are quoted if
//! all of them are printable ASCII and else `x` with hex digits. A unit that stands there many times
//! over is written once, as in `"m1"+"_"*65535` or `x00*1000`.
//!
//! The name behind a reason code and the fault behind broken bytes are there for the reader; the
//! parser does not need them, but refuses wrong ones. Where bytes alone do not show their fault,
//! because it took a size limit or the end of the stream to make it one, the fault follows in
//! brackets, as in `[PacketTooLarge 100 50]`.

mod fault;
mod literal;
mod normalise;
mod parse;
mod said;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod write;

pub use normalise::normalise;
pub(crate) use parse::{Budget, bytes_at_start, parse_line, text_at_start};
pub use parse::{ParseError, parse, parse_within};
pub(crate) use said::Said;
pub(crate) use write::{bare_name, bytes_literal, column_width, hex_row, quoted_name};
pub use write::{bytes_text, event_line, name_width, packet_text, to_text};

use std::time::Duration;

use bytes::Bytes;
use reference_broker::codec::{DecodeError, Packet};

use crate::target::Restart;

/// One thing that happened on a connection.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// When, from the beginning of the run; kept to the millisecond.
    pub at: Duration,
    /// The probe it happened to: its name on its first connection, `name.2` on its second.
    pub probe: String,
    /// What happened.
    pub what: What,
}

/// The things that happen on a connection.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// The probe opened the network connection.
    Opened,
    /// The probe sent a packet.
    Sent(Packet),
    /// The probe sent bytes that are no packet, or not a whole number of them.
    SentBytes(Bytes),
    /// The broker sent a packet.
    Received(Packet),
    /// The broker sent bytes that are no valid packet.
    ReceivedBroken(Bytes, DecodeError),
    /// The broker ended the connection.
    ClosedByBroker(Ending),
    /// The probe stopped sending and left its receiving side open.
    HalfClosed,
    /// The probe closed the connection.
    ClosedByProbe,
    /// The probe waited for this long and nothing came.
    Silence(Duration),
    /// The scenario let time pass.
    Waited(Duration),
    /// Something about WebSocket frames or their handshake, in words (section 6).
    WebSocket(String),
    /// The broker was restarted.
    Restarted(Restart),
}

/// How a connection was seen to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// End of stream.
    EndOfStream,
    /// A reset, or a failing write.
    Reset,
}

impl Ending {
    /// How it is called in traces and findings.
    pub fn name(self) -> &'static str {
        match self {
            Ending::EndOfStream => "end of stream",
            Ending::Reset => "reset",
        }
    }
}
