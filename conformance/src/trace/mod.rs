//! What happened on the connections of one run, in order, and its text form.
//!
//! The text form is one line an event and parses back to the same events, so that reports, kept
//! snapshots and hand-written tests share it:
//!
//! ```text
//!    0.000  alice || opened
//!    0.000  alice -> CONNECT     client_id="alice" clean_start keep_alive=300
//!    0.001  alice <- CONNACK     0x00 (success) receive_maximum=100
//! ```

use std::time::Duration;

use bytes::Bytes;
use reference_broker::codec::{DecodeError, Packet};

/// One thing that happened on a connection.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// When, from the beginning of the run; kept to the millisecond.
    pub at: Duration,
    /// The probe it happened to.
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

/// A packet as one line.
pub fn packet_text(packet: &Packet) -> String {
    format!("{packet:?}")
}
