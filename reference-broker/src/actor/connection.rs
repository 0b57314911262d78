//! The ConnectionActor: the only one who writes to a stream; beside it, the reader of that stream.

use std::future::pending;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::{oneshot, watch};
use tokio::time::error::Elapsed;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::codec::{DecodeError, Framer, Packet, PacketType, Side};
use crate::core::{Bounds, ConnectionId, Input};
use crate::transport::{BoxStream, write_out};

use super::counts::{Counters, count};
use super::inbox::{Inbox, Message, Outbox};
use super::panic::caught;
use super::peers::Peer;
use super::queue::{self, Receiver, Sender};
use super::supervisor::Shared;
use super::takeover::Question;
use super::{Arrival, Arrived};

/// How many bytes are written at once.
const BATCH: usize = 64 * 1024;

/// Payloads of so many bytes are written as they are, and not copied.
const LARGE: usize = 16 * 1024;

/// How long one write may take, and the least number of bytes a second that extends that.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
const SLOWEST: u64 = 16 * 1024;

/// How many bytes a second have to come of a packet for it to be waited for.
const SLOWEST_PACKET: u64 = 512;

/// How many packets of one connection may wait for the broker: enough that it never has to wait for the
/// reader, few enough that what others send has its turn soon, however much work those are.
const SHARE: usize = 16;

/// How many bytes of them wait at any rate, whatever those of others leave.
const SHARE_BYTES: usize = 4 * 1024;

/// How long a closed connection is read on, and how much of it, so that what the client still
/// sends does not make the system throw away what it has yet to read.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 1 << 20;

/// How long what a client sent before it was gone may take to be read.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// How many bytes are read at once of a connection on which much comes; what is kept of a packet up to that size is
/// not counted.
const READ: usize = 8 * 1024;

/// The same where little comes: that is all the room that a connection keeps on which nothing does.
const READ_LITTLE: usize = 512;

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// By the broker's doing.
    ByBroker,
    /// By anything else, of which the broker has to be told.
    Otherwise,
}

/// Serves one connection until it ends, and tells the broker when that was not its own doing. A
/// panic here ends this connection and no other.
pub(super) async fn run(
    id: ConnectionId,
    arrival: Arrival,
    peer: Arc<Peer>,
    shared: Arc<Shared>,
    broker: Sender<Message>,
    mut current: watch::Receiver<Option<Inbox>>,
) {
    let counters = &shared.counters;
    let broker = broker.with_share(SHARE, SHARE_BYTES);
    let shaken = tokio::select! {
        shaken = timeout(shared.settings.handshake_timeout, caught(arrival.handshake)) => shaken,
        () = gives_way(id, &peer, &shared) => return,
        _ = current.wait_for(Option::is_none) => return, // The server stops: nobody is to be served.
    };
    let arrived = match shaken {
        Ok(Ok(Ok(arrived))) => arrived,
        failed => {
            count(&counters.failed_handshakes);
            let why = why(failed);
            tracing::debug!(connection = id.0, why, "handshake failed");
            return;
        }
    };
    let (packets, outbox) = queue::queue(shared.settings.outbox);
    let packets = packets.within(&shared.waiting);
    let (cut, is_cut) = oneshot::channel();
    let question = Arc::new(Question::default());
    let Arrived { stream, is_local } = arrived;
    let outbox_of_broker = Outbox { packets, cut, is_local, question: Arc::clone(&question) };
    if broker.send(Message::Opened(id, outbox_of_broker), 0).await.is_err() {
        return;
    }
    let served = caught(async {
        tokio::select! {
            ending = serve(id, stream, &shared, &broker, outbox, &question, &peer) => ending,
            () = gives_way(id, &peer, &shared) => Ending::Otherwise,
            () = cut_off(id, is_cut, &shared) => Ending::ByBroker,
        }
    });
    let ending = served.await.unwrap_or_else(|panic| {
        count(&counters.panicked);
        tracing::error!(connection = id.0, panic, "connection panicked");
        Ending::Otherwise
    });
    if ending == Ending::Otherwise {
        // Nobody to tell any more: the broker is gone, and with it all that it knew.
        let _ = broker.send(Message::Happened(Input::Closed(id)), 0).await;
    }
}

/// Why a handshake failed: it took too long, panicked, or says so.
fn why<T>(failed: Result<Result<io::Result<T>, String>, Elapsed>) -> String {
    match failed {
        Err(elapsed) => elapsed.to_string(),
        Ok(Err(panic)) => panic,
        Ok(Ok(Err(error))) => error.to_string(),
        Ok(Ok(Ok(_))) => String::new(),
    }
}

/// Ends when the connection has to give way to another one.
async fn gives_way(id: ConnectionId, peer: &Peer, shared: &Shared) {
    peer.has_to_give_way().await;
    count(&shared.counters.cut_off);
    tracing::warn!(connection = id.0, "connection closed: it was silent, and there are too many");
}

/// Ends when the broker wants the connection to end at once, or has closed it and the client still
/// has not taken what was sent before.
async fn cut_off(id: ConnectionId, is_cut: oneshot::Receiver<()>, shared: &Shared) {
    if is_cut.await.is_err() {
        sleep(shared.settings.close_timeout).await;
        count(&shared.counters.cut_off);
        tracing::warn!(connection = id.0, "connection cut off: it does not take what it was sent");
    }
}

async fn serve(
    id: ConnectionId,
    stream: BoxStream,
    shared: &Shared,
    broker: &Sender<Message>,
    outbox: Receiver<Packet>,
    question: &Question,
    peer: &Peer,
) -> Ending {
    let (mut source, sink) = tokio::io::split(stream);
    let written = {
        let mut read = pin!(read(id, &mut source, shared, broker, question, peer));
        tokio::select! {
            () = &mut read => return Ending::Otherwise,
            written = write(sink, outbox) => match written {
                // Nobody listens any more, but what was sent before may still be there to be read.
                Err(error) if is_gone(error.kind()) => {
                    let _ = timeout(LAST_WORDS, read).await;
                    return Ending::Otherwise;
                }
                written => written,
            },
        }
    };
    match written {
        Ok(()) => {
            let _ = timeout(LINGER, drain(&mut source)).await;
            Ending::ByBroker
        }
        Err(error) => {
            if error.kind() == io::ErrorKind::TimedOut {
                count(&shared.counters.cut_off);
                tracing::warn!(connection = id.0, "connection cut off: it takes nothing in time");
            }
            Ending::Otherwise
        }
    }
}

/// Turns bytes into messages until the stream ends. After bytes that are no packet it only waits
/// for the broker to close.
async fn read(
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

/// Writes packets until told to close. This is the only place that writes to the stream.
///
/// # Errors
///
/// When the stream takes nothing more, or not in time.
async fn write(mut sink: WriteHalf<BoxStream>, mut outbox: Receiver<Packet>) -> io::Result<()> {
    let mut batch = BytesMut::new();
    while let Some((packet, mut taken)) = outbox.recv().await {
        let mut payload = append(packet, &mut batch)?;
        while payload.is_empty()
            && batch.len() < BATCH
            && let Some((packet, room)) = outbox.try_recv()
        {
            payload = append(packet, &mut batch)?;
            taken.add(room);
        }
        taken.leave_place();
        let len = (batch.len() + payload.len()) as u64;
        let writing = async {
            sink.write_all(&batch).await?;
            write_out(&mut sink, &payload).await
        };
        timeout(WRITE_TIMEOUT + Duration::from_secs(len / SLOWEST), writing).await??;
        batch.clear();
        if batch.capacity() > 2 * BATCH {
            batch = BytesMut::new(); // One large packet is no reason to keep the room for it.
        }
    }
    timeout(WRITE_TIMEOUT, sink.shutdown()).await?
}

/// Appends a packet to a batch, but for a payload that is large: that is given back, to be written as it is. Others may
/// have the same, so a copy for each of them would take more memory than anybody counts.
fn append(packet: Packet, batch: &mut BytesMut) -> io::Result<Bytes> {
    match packet {
        Packet::Publish(publish) if publish.payload.len() >= LARGE => {
            let (head, payload) = Packet::Publish(publish).to_parts().map_err(io::Error::other)?;
            batch.extend_from_slice(&head);
            Ok(payload)
        }
        packet => packet.encode(batch).map(|()| Bytes::new()).map_err(io::Error::other),
    }
}

/// Whether an error in writing says that the client has closed.
fn is_gone(error: io::ErrorKind) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
    matches!(error, BrokenPipe | ConnectionAborted | ConnectionReset)
}

/// Reads and forgets, until the client has seen the end.
async fn drain(source: &mut ReadHalf<BoxStream>) {
    let mut bytes = BytesMut::with_capacity(4096);
    let mut total = 0;
    while let Ok(count @ 1..) = source.read_buf(&mut bytes).await {
        bytes.clear();
        total += count;
        if total > LINGER_BYTES {
            return;
        }
    }
}

/// Counts a connection for as long as this is there.
pub(super) struct Counted(Arc<Counters>);

impl Counted {
    pub(super) fn new(counters: &Arc<Counters>) -> Counted {
        count(&counters.accepted);
        counters.connections.fetch_add(1, Ordering::Relaxed);
        Counted(Arc::clone(counters))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}
