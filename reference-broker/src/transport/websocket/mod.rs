//! Streams over WebSocket (section 6).
//!
//! Only the HTTP of the handshake is another's; frames are taken apart here, because a library that
//! gives whole messages has to keep them, however long. Here the bytes of a payload are passed on as
//! they come, in place, so that a frame or message of any announced size costs nothing, and an idle
//! connection holds no buffer.

mod frame;
mod handshake;
mod stream;

pub use handshake::{ConnectError, accept, accept_from, connect};
pub use stream::WebSocketStream;

/// The sub-protocol of MQTT.
// MQTT-6.0.0-3, MQTT-6.0.0-4
pub const SUBPROTOCOL: &str = "mqtt";

/// Which side of a connection this is: clients mask what they send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Client,
    Server,
}
