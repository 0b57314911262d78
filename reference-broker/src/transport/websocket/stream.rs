use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};
use tokio_rustls::rustls::crypto::{SecureRandom, ring};

use super::Role;
use super::frame::{self, CloseCode, Control, Decoder, Opcode};

/// The most payload of one frame that is sent; what is longer goes in several.
// MQTT-6.0.0-2
const FRAME: usize = 64 * 1024;

/// Room for what is sent that is kept between two frames.
const KEPT: usize = 1024;

/// How long a connection that broke the rules is read on, and how much of it, so that the close
/// frame is not thrown away with what is still unread.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 1 << 20;

/// A byte stream in the binary frames of a WebSocket connection.
///
/// Each write is one frame (of 64 KiB at the most); it has to be flushed to be sure that it is on
/// its way. Pings and the closing handshake are answered while reading. Shutting down sends a close
/// frame and ends the stream below; the other side's close frame reads as the end, and a breach of
/// the protocol, such as a text frame, as an error after a close frame that says so.
pub struct WebSocketStream<S> {
    inner: S,
    decoder: Decoder,
    /// What came right behind the handshake.
    early: BytesMut,
    /// Frames on their way.
    out: BytesMut,
    /// Whether the stream below has to be flushed.
    unflushed: bool,
    /// What the latest ping wants back; of several only that counts, so they take no room.
    pong: Option<Vec<u8>>,
    /// Whoever waits until something can be written. It drives what is to be sent; while there is
    /// none, reading does.
    writer: Option<Waker>,
    /// Where masks come from, on the side of the client.
    masks: Option<&'static dyn SecureRandom>,
    close_sent: bool,
    shut: bool,
    end: Option<End>,
}

/// Why nothing more is read.
enum End {
    /// The stream below has ended.
    Over,
    /// The other side closed.
    Closed(Linger),
    /// It broke the rules.
    Broken(Linger, &'static str),
}

/// How long and how much is still waited for.
struct Linger {
    patience: Pin<Box<Sleep>>,
    discarded: usize,
}

impl Linger {
    fn new() -> Self {
        Linger { patience: Box::pin(sleep(LINGER)), discarded: 0 }
    }
}

impl<S> fmt::Debug for WebSocketStream<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocketStream").field("decoder", &self.decoder).finish_non_exhaustive()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocketStream<S> {
    /// Begins behind a handshake; `early` is what came with it.
    pub(super) fn new(inner: S, role: Role, early: BytesMut) -> Self {
        WebSocketStream {
            inner,
            decoder: Decoder::new(role),
            early,
            out: BytesMut::new(),
            unflushed: false,
            pong: None,
            writer: None,
            masks: (role == Role::Client).then(|| ring::default_provider().secure_random),
            close_sent: false,
            shut: false,
            end: None,
        }
    }

    fn queue(&mut self, opcode: Opcode, payload: &[u8]) -> io::Result<()> {
        let mask = match self.masks {
            None => None,
            Some(random) => {
                let mut key = [0; 4];
                random.fill(&mut key).map_err(|_| io::Error::other("no random mask to be had"))?;
                Some(key)
            }
        };
        frame::encode(&mut self.out, opcode, payload, mask);
        Ok(())
    }

    /// Nothing is sent after a close frame.
    fn queue_close(&mut self, payload: &[u8]) -> io::Result<()> {
        if self.close_sent {
            return Ok(());
        }
        self.close_sent = true;
        self.pong = None;
        if let Some(writer) = self.writer.take() {
            writer.wake();
        }
        self.queue(Opcode::Close, payload)
    }

    /// Sends all that is to be sent.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.out.is_empty() {
                match self.pong.take() {
                    Some(payload) => self.queue(Opcode::Pong, &payload)?,
                    None => break,
                }
            }
            match ready!(Pin::new(&mut self.inner).poll_write(cx, &self.out))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.out.advance(count),
            }
            self.unflushed = true;
        }
        if self.out.capacity() > KEPT {
            self.out = BytesMut::new();
        }
        if self.unflushed {
            ready!(Pin::new(&mut self.inner).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Sends all that is to be sent, and ends the stream below.
    fn poll_shut(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.shut {
            ready!(self.poll_send(cx))?;
            ready!(Pin::new(&mut self.inner).poll_shutdown(cx))?;
            self.shut = true;
        }
        Poll::Ready(Ok(()))
    }

    /// Takes in raw bytes; leaves the payload in them at their front and says how much it is.
    fn take(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let (mut payload, mut taken) = (0, 0);
        while taken < bytes.len() && self.end.is_none() {
            let (done, violation) = self.decoder.decode(&mut bytes[taken..]);
            bytes.copy_within(taken..taken + done.payload, payload);
            payload += done.payload;
            taken += done.taken;
            match done.control {
                None => {}
                Some(Control::Ping(_)) if self.close_sent => {}
                Some(Control::Ping(payload)) => self.pong = Some(payload),
                Some(Control::Close(payload)) => {
                    self.end = Some(End::Closed(Linger::new()));
                    self.queue_close(&payload)?;
                }
            }
            if let Some(violation) = violation {
                // MQTT-6.0.0-1
                self.end = Some(End::Broken(Linger::new(), violation.what));
                self.queue_close(&(violation.code as u16).to_be_bytes())?;
            }
        }
        Ok(payload)
    }

    /// Comes to an end: the close frame is sent, and what still comes is thrown away if it breaks
    /// the rules. Both within a time.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Taken out while the rest of the stream is in use.
        let mut end = self.end.take().unwrap_or(End::Over);
        let result = match &mut end {
            End::Over => return self.over(Ok(())),
            End::Closed(linger) => match self.poll_shut(cx) {
                Poll::Pending => linger.patience.as_mut().poll(cx),
                Poll::Ready(_) => Poll::Ready(()),
            },
            End::Broken(linger, _) => match self.poll_discard(cx, linger) {
                Poll::Pending => linger.patience.as_mut().poll(cx),
                Poll::Ready(()) => Poll::Ready(()),
            },
        };
        match (result, end) {
            (Poll::Pending, end) => {
                self.end = Some(end);
                Poll::Pending
            }
            (Poll::Ready(()), End::Broken(_, what)) => {
                let what = format!("WebSocket: {what}");
                self.over(Err(io::Error::new(io::ErrorKind::InvalidData, what)))
            }
            (Poll::Ready(()), _) => self.over(Ok(())),
        }
    }

    fn over(&mut self, result: io::Result<()>) -> Poll<io::Result<()>> {
        self.end = Some(End::Over);
        Poll::Ready(result)
    }

    fn poll_discard(&mut self, cx: &mut Context<'_>, linger: &mut Linger) -> Poll<()> {
        if ready!(self.poll_shut(cx)).is_err() {
            return Poll::Ready(());
        }
        let mut bytes = [0; 4096];
        while linger.discarded <= LINGER_BYTES {
            let mut buffer = ReadBuf::new(&mut bytes);
            let read = ready!(Pin::new(&mut self.inner).poll_read(cx, &mut buffer));
            linger.discarded += buffer.filled().len();
            if read.is_err() || buffer.filled().is_empty() {
                break;
            }
        }
        Poll::Ready(())
    }

    /// Raw bytes: first what came with the handshake.
    fn poll_raw(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.early.is_empty() {
            return Pin::new(&mut self.inner).poll_read(cx, buf);
        }
        let count = self.early.len().min(buf.remaining());
        buf.put_slice(&self.early.split_to(count));
        if self.early.is_empty() {
            self.early = BytesMut::new(); // And so its room is freed.
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for WebSocketStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        loop {
            if self.end.is_some() {
                return self.poll_end(cx);
            }
            if self.writer.is_none() {
                // Should it fail, what was sent before is still to be read, and whoever writes will
                // be told.
                let _ = self.poll_send(cx);
            }
            let start = buf.filled().len();
            ready!(self.poll_raw(cx, buf))?;
            if buf.filled().len() == start {
                self.end = Some(End::Over);
                return Poll::Ready(Ok(()));
            }
            let payload = self.take(&mut buf.filled_mut()[start..]);
            buf.set_filled(start + payload.as_ref().copied().unwrap_or_default());
            if payload? > 0 {
                if self.writer.is_none() {
                    let _ = self.poll_send(cx);
                }
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for WebSocketStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.close_sent {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        ready!(self.as_mut().poll_flush(cx))?;
        let part = &bytes[..bytes.len().min(FRAME)];
        self.queue(Opcode::Binary, part)?; // MQTT-6.0.0-1
        match self.poll_send(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(part.len())),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.close_sent && self.end.is_some() && !self.shut {
            // The other side wanted it closed; whoever reads sees to that.
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let sent = self.poll_send(cx);
        self.writer = sent.is_pending().then(|| cx.waker().clone());
        sent
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.queue_close(&(CloseCode::Normal as u16).to_be_bytes())?;
        let shut = self.poll_shut(cx);
        self.writer = shut.is_pending().then(|| cx.waker().clone());
        shut
    }
}
