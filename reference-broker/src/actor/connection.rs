//! The ConnectionActor: the only one who writes to a stream; beside it, its [reader](super::reader).

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::{oneshot, watch};
use tokio::time::error::Elapsed;
use tokio::time::{sleep, timeout};

use crate::codec::Packet;
use crate::core::{ConnectionId, Input};
use crate::transport::{BoxStream, write_out};

use super::counts::{Counters, count};
use super::inbox::{Inbox, Message, Outbox};
use super::panic::caught;
use super::peers::Peer;
use super::queue::{self, Receiver, Sender};
use super::supervisor::Shared;
use super::takeover::Question;
use super::{Arrival, Arrived, reader};

/// How many bytes are written at once.
const BATCH: usize = 64 * 1024;

/// Payloads of so many bytes are written as they are, and not copied.
const LARGE: usize = 16 * 1024;

/// How long one write may take, and the least number of bytes a second that extends that.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
const SLOWEST: u64 = 16 * 1024;

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
        let mut read = pin!(reader::read(id, &mut source, shared, broker, question, peer));
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
