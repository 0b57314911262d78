//! Who reads a connection: turns bytes into packets, as fast as the broker takes them and as far as there is room.

use std::future::pending;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, ReadHalf};
use tokio::time::{Instant, timeout_at};

use crate::codec::{DecodeError, Framer, Packet, PacketType, Side};
use crate::core::{Bounds, ConnectionId, Input};
use crate::transport::BoxStream;

use super::counts::count;
use super::inbox::Message;
use super::peers::Peer;
use super::queue::Sender;
use super::supervisor::Shared;
use super::takeover::Question;

/// How many bytes a second have to come of a packet for it to be waited for.
const SLOWEST_PACKET: u64 = 512;

/// How many bytes are read at once of a connection on which much comes; what is kept of a packet up to that size is
/// not counted.
const READ: usize = 8 * 1024;

/// The same where little comes: that is all the room that a connection keeps on which nothing does.
const READ_LITTLE: usize = 512;

/// Turns bytes into messages until the stream ends. After bytes that are no packet it only waits
/// for the broker to close.
pub(super) async fn read(
    id: ConnectionId,
    source: &mut ReadHalf<BoxStream>,
    shared: &Shared,
    broker: &Sender<Message>,
    question: &Question,
    peer: &Peer,
) {
    let mut framer = Framer::new(shared.packet_limit);
    let mut partial = Partial { shared, held: 0 };
    let mut progress = Progress::new(shared.settings.packet_timeout);
    let mut room = READ_LITTLE;
    loop {
        match next_packet(&mut framer) {
            Ok(Some((packet, size))) => {
                progress.begun = None;
                let held = size.saturating_add(packet.part_count() * Bounds::PROPERTY);
                let input = Input::Received(id, packet);
                if broker.send(Message::Happened(input), held).await.is_err() {
                    return;
                }
                if question.count(size) && !answer(id, question, broker).await {
                    return;
                }
            }
            Ok(None) => {
                if !partial.hold(framer.pending()) {
                    count(&shared.counters.crowded_out);
                    tracing::warn!(connection = id.0, "connection closed: too much is not whole");
                    return;
                }
                progress.note(framer.pending());
                let deadline = progress.deadline();
                let goes_on = tokio::select! {
                    biased;
                    came = read_more(id, source, (&mut framer, &mut room), deadline, shared) => came,
                    // There is nothing more to be read: what comes from now on came later.
                    () = question.asked() => answer(id, question, broker).await,
                };
                if !goes_on {
                    return;
                }
                peer.heard();
            }
            Err((packet_type, error)) => {
                let input = Input::Malformed(id, packet_type, error);
                drop(framer);
                partial.hold(0);
                if broker.send(Message::Happened(input), 0).await.is_ok() {
                    pending::<()>().await;
                }
                return;
            }
        }
    }
}

/// Says that all is handed on that had come when this was asked; gives whether the broker is still there.
async fn answer(id: ConnectionId, question: &Question, broker: &Sender<Message>) -> bool {
    !question.close() || broker.send(Message::Settled(id), 0).await.is_ok()
}

/// Waits for more bytes, of which there is room for so many, and decides how many there is room for next time. Says
/// whether any came, and in time.
async fn read_more(
    id: ConnectionId,
    source: &mut ReadHalf<BoxStream>,
    (framer, room): (&mut Framer, &mut usize),
    deadline: Option<Instant>,
    shared: &Shared,
) -> bool {
    let buffer = framer.buffer();
    if buffer.is_empty() && buffer.capacity() > 2 * *room {
        *buffer = BytesMut::new();
    }
    buffer.reserve(*room);
    let read = source.read_buf(buffer);
    let came = match deadline {
        None => read.await,
        Some(deadline) => match timeout_at(deadline, read).await {
            Ok(came) => came,
            Err(_) => {
                count(&shared.counters.stalled);
                tracing::debug!(connection = id.0, "connection closed: a packet never ends");
                return false;
            }
        },
    };
    let is_filled = matches!(came, Ok(count) if count >= *room);
    *room = if is_filled { READ } else { READ_LITTLE };
    matches!(came, Ok(1..))
}

/// How a packet that is not whole yet comes on.
struct Progress {
    /// How long it may take, or take to come on.
    patience: Duration,
    /// Since when it has been waited for, and how many bytes of it there were then.
    begun: Option<(Instant, usize)>,
}

impl Progress {
    fn new(patience: Duration) -> Progress {
        Progress { patience, begun: None }
    }

    /// Notes how many bytes of the packet there are. Once enough have come for the longest wait, it is
    /// waited for anew: what came at once is no reason to wait for the rest for long.
    fn note(&mut self, pending: usize) {
        let enough = self.patience.as_secs().max(1).saturating_mul(SLOWEST_PACKET);
        let has_come_on = match self.begun {
            Some((_, before)) => pending.saturating_sub(before) as u64 >= enough,
            None => pending > 0,
        };
        if has_come_on {
            self.begun = Some((Instant::now(), pending));
        }
    }

    /// Nothing is due before a packet has begun, nor beyond what the clock can count.
    fn deadline(&self) -> Option<Instant> {
        self.begun.and_then(|(since, _)| since.checked_add(self.patience))
    }
}

/// The share of one connection in what is kept of packets that are not whole.
struct Partial<'a> {
    shared: &'a Shared,
    held: usize,
}

impl Partial<'_> {
    /// Holds so many bytes from now on, if they can be had.
    fn hold(&mut self, pending: usize) -> bool {
        let wanted = pending.saturating_sub(READ);
        if wanted == self.held {
            return true;
        }
        let total = &self.shared.counters.partial_bytes;
        total.fetch_sub(self.held, Ordering::Relaxed);
        self.held = 0;
        if total.fetch_add(wanted, Ordering::Relaxed) + wanted > self.shared.settings.partial_bytes
            && wanted > 0
        {
            total.fetch_sub(wanted, Ordering::Relaxed);
            return false;
        }
        self.held = wanted;
        true
    }
}

impl Drop for Partial<'_> {
    fn drop(&mut self) {
        self.hold(0);
    }
}

/// Of which type the packet is, if its bytes show it, and what is wrong with it.
type Malformed = (Option<PacketType>, DecodeError);

/// The next whole packet, and its size.
fn next_packet(framer: &mut Framer) -> Result<Option<(Packet, usize)>, Malformed> {
    let first = framer.pending_bytes().first().copied();
    let packet_type = first.and_then(|first| PacketType::from_value(first >> 4));
    let packet = framer.next_frame().and_then(|frame| match frame {
        Some(frame) => {
            Packet::decode(&frame, Side::Client).map(|packet| Some((packet, frame.bytes.len())))
        }
        None => Ok(None),
    });
    packet.map_err(|error| (packet_type, error))
}
