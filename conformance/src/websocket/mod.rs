//! WebSocket as a tester needs it: every frame and every header of the handshake is for the scenario to
//! choose, and what the other side sends is told frame by frame (section 6, RFC 6455).
//!
//! Plain clients go over the transport of the reference broker; this is for what they keep hidden.

mod between;
mod client;
mod frame;
mod handshake;

pub use between::{Between, Listener};
pub use client::{Cut, Framed, Frames};
pub use frame::{Frame, Opcode};
pub use handshake::{Answer, open};
