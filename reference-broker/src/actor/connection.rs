use std::io;
use std::pin::pin;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::codec::{DecodeError, Framer, Packet, PacketType, Side};
use crate::core::{ConnectionId, Input};
use crate::transport::BoxStream;

use super::broker::{Message, Outgoing};

/// How many packets wait to be written before the broker takes that for a client that does not read.
pub(super) const OUTBOX: usize = 8192;

/// How many bytes are written at once.
const BATCH: usize = 64 * 1024;

/// How long one write may take, and the least number of bytes a second that extends that.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
const SLOWEST: u64 = 16 * 1024;

/// How long a closed connection is read on, and how much of it, so that what the client still
/// sends does not make the system throw away what it has yet to read.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 1 << 20;

/// How long what a client sent before it was gone may take to be read.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// How many bytes are read at once, at the least.
const READ: usize = 8 * 1024;

/// Serves one connection until it ends, and tells the broker when that was not its own doing.
pub(super) async fn run(
    id: ConnectionId,
    stream: BoxStream,
    limit: u32,
    broker: mpsc::Sender<Message>,
    outbox: mpsc::Receiver<Outgoing>,
) {
    let (mut source, sink) = tokio::io::split(stream);
    let closed_by_broker = {
        let mut read = pin!(read(id, &mut source, limit, &broker));
        tokio::select! {
            () = &mut read => false,
            written = write(sink, outbox) => match written {
                Ok(()) => true,
                // Nobody listens any more, but what was sent before may still be there to be read.
                Err(error) if is_gone(error.kind()) => {
                    let _ = timeout(LAST_WORDS, read).await;
                    false
                }
                Err(_) => false,
            },
        }
    };
    if closed_by_broker {
        let _ = timeout(LINGER, drain(&mut source)).await;
    } else {
        // Nobody to tell any more: the broker is gone, and with it all that it knew.
        let _ = broker.send(Message::Happened(Input::Closed(id))).await;
    }
}

/// Turns bytes into messages until the stream ends. After bytes that are no packet it only waits
/// for the broker to close.
async fn read(
    id: ConnectionId,
    source: &mut ReadHalf<BoxStream>,
    limit: u32,
    broker: &mpsc::Sender<Message>,
) {
    let mut framer = Framer::new(limit);
    loop {
        let input = match next_packet(&mut framer) {
            Ok(Some(packet)) => Input::Received(id, packet),
            Ok(None) => {
                framer.buffer().reserve(READ);
                match source.read_buf(framer.buffer()).await {
                    Ok(0) | Err(_) => return,
                    Ok(_) => continue,
                }
            }
            Err((packet_type, error)) => {
                let input = Input::Malformed(id, packet_type, error);
                if broker.send(Message::Happened(input)).await.is_ok() {
                    std::future::pending::<()>().await;
                }
                return;
            }
        };
        if broker.send(Message::Happened(input)).await.is_err() {
            return;
        }
    }
}

fn next_packet(framer: &mut Framer) -> Result<Option<Packet>, (Option<PacketType>, DecodeError)> {
    let first = framer.pending_bytes().first().copied();
    let packet_type = first.and_then(|first| PacketType::from_value(first >> 4));
    let packet = framer.next_frame().and_then(|frame| match frame {
        Some(frame) => Packet::decode(&frame, Side::Client).map(Some),
        None => Ok(None),
    });
    packet.map_err(|error| (packet_type, error))
}

/// Writes packets until told to close. This is the only place that writes to the stream.
///
/// # Errors
///
/// When the stream takes nothing more, or not in time.
async fn write(
    mut sink: WriteHalf<BoxStream>,
    mut outbox: mpsc::Receiver<Outgoing>,
) -> io::Result<()> {
    let mut batch = BytesMut::new();
    while let Some(first) = outbox.recv().await {
        let mut next = Some(first);
        let mut close = false;
        while let Some(outgoing) = next {
            match outgoing {
                Outgoing::Packet(packet) => packet.encode(&mut batch).map_err(io::Error::other)?,
                Outgoing::Close => close = true,
            }
            next = if close || batch.len() >= BATCH { None } else { outbox.try_recv().ok() };
        }
        let patience = WRITE_TIMEOUT + Duration::from_secs(batch.len() as u64 / SLOWEST);
        let written = async {
            sink.write_all(&batch).await?;
            sink.flush().await // Streams over TLS or WebSocket may hold some of it back.
        };
        timeout(patience, written).await??;
        batch.clear();
        if batch.capacity() > 2 * BATCH {
            batch = BytesMut::new(); // One large packet is no reason to keep the room for it.
        }
        if close {
            return timeout(WRITE_TIMEOUT, sink.shutdown()).await?;
        }
    }
    Err(io::ErrorKind::NotConnected.into()) // The broker is gone.
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
