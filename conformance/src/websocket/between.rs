use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use reference_broker::transport::BoxStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::frame::Frame;
use super::{READ, poll_sent};

/// What a WebSocket listener makes of heads and frames that the whole one makes nothing of: it is put
/// before the whole one.
pub trait Listener: Send {
    /// The head of a client's request, as the whole listener gets it.
    fn asked(&mut self, head: String) -> String {
        head
    }

    /// The head of the answer, as the client gets it.
    fn answered(&mut self, head: String) -> String {
        head
    }

    /// What the whole listener gets of a client's frame.
    fn reads(&mut self, frame: Frame) -> Vec<Frame> {
        vec![frame]
    }

    /// What the client gets of a frame.
    fn writes(&mut self, frame: Frame) -> Vec<Frame> {
        vec![frame]
    }
}

/// One direction: a head, and then frames.
#[derive(Debug, Default)]
struct Way {
    /// Neither a head nor a frame yet.
    raw: BytesMut,
    out: BytesMut,
    is_behind_head: bool,
}

impl Way {
    /// Takes bytes in.
    fn take(
        &mut self,
        bytes: &[u8],
        listener: &mut dyn Listener,
        head: fn(&mut dyn Listener, String) -> String,
        frames: fn(&mut dyn Listener, Frame) -> Vec<Frame>,
    ) -> io::Result<()> {
        self.raw.extend_from_slice(bytes);
        if !self.is_behind_head {
            let end = self.raw.windows(4).position(|window| window == b"\r\n\r\n");
            let Some(end) = end else { return Ok(()) };
            let text = String::from_utf8_lossy(&self.raw.split_to(end + 4)).into_owned();
            self.out.extend_from_slice(head(listener, text).as_bytes());
            self.is_behind_head = true;
        }
        let broken = |what| io::Error::new(io::ErrorKind::InvalidData, what);
        while let Some(frame) = Frame::take(&mut self.raw).map_err(broken)? {
            frames(listener, frame).iter().for_each(|frame| frame.write(&mut self.out));
        }
        Ok(())
    }
}

/// A stream to a WebSocket listener with another [`Listener`] before it.
pub struct Between {
    stream: BoxStream,
    listener: Box<dyn Listener>,
    inward: Way,
    outward: Way,
}

impl Between {
    /// Puts a listener before the one that a stream leads to.
    pub fn new(stream: BoxStream, listener: Box<dyn Listener>) -> Between {
        Between { stream, listener, inward: Way::default(), outward: Way::default() }
    }

    fn poll_inward(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        poll_sent(&mut self.stream, &mut self.inward.out, cx)
    }
}

impl AsyncRead for Between {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.outward.out.is_empty() {
            let mut bytes = [0; READ];
            let mut raw = ReadBuf::new(&mut bytes);
            ready!(pin!(&mut this.stream).poll_read(cx, &mut raw))?;
            if raw.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            let listener = &mut *this.listener;
            this.outward.take(
                raw.filled(),
                listener,
                |listener, head| listener.answered(head),
                |listener, frame| listener.writes(frame),
            )?;
        }
        let count = buffer.remaining().min(this.outward.out.len());
        buffer.put_slice(&this.outward.out.split_to(count));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Between {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_inward(cx))?;
        let listener = &mut *this.listener;
        this.inward.take(
            bytes,
            listener,
            |listener, head| listener.asked(head),
            |listener, frame| listener.reads(frame),
        )?;
        match this.poll_inward(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(bytes.len())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_inward(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_inward(cx))?;
        pin!(&mut this.stream).poll_shutdown(cx)
    }
}
