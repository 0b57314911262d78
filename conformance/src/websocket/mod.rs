//! WebSocket as a tester needs it: every frame and every header of the handshake is for the scenario to
//! choose, and what the other side sends is told frame by frame (section 6, RFC 6455).
//!
//! Plain clients go over the transport of the reference broker; this is for what they keep hidden. It shares
//! nothing with the frames of that broker, so that neither hides a fault of the other.

mod between;
mod client;
mod frame;
mod handshake;

use std::io;
use std::pin::pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use reference_broker::transport::BoxStream;
use tokio::io::AsyncWrite;

pub use between::{Between, Listener};
pub use client::{Cut, Framed, Frames};
pub use frame::{Frame, Opcode};
pub use handshake::{Answer, open};

/// How many bytes are taken from the other side at once.
const READ: usize = 16 * 1024;

/// Sends all that is to be sent.
fn poll_sent(
    stream: &mut BoxStream,
    out: &mut BytesMut,
    cx: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    while !out.is_empty() {
        let count = ready!(pin!(&mut *stream).poll_write(cx, out))?;
        out.advance(count);
    }
    pin!(stream).poll_flush(cx)
}
