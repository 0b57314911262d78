use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use reference_broker::transport::BoxStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::frame::{Frame, Opcode};
use super::{READ, poll_sent};

/// So many frames besides those that carry packets are kept to be looked at.
const MOST_OTHERS: usize = 1000;

/// How what is sent is put into frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cut {
    /// Each write is a binary frame.
    #[default]
    Whole,
    /// Binary frames of so many bytes.
    Frames(usize),
    /// One message, in fragments of so many bytes (RFC 6455, section 5.4).
    Fragments(usize),
    /// As fragments, each with a Ping behind it.
    FragmentsAndPings(usize),
    /// A binary frame, with empty ones before and behind.
    BetweenEmpty,
    /// A text frame.
    Text,
    /// A text message in fragments of so many bytes.
    TextFragments(usize),
}

impl Cut {
    /// In words.
    pub fn said(self) -> String {
        match self {
            Cut::Whole => "sends in binary frames".to_owned(),
            Cut::Frames(size) => format!("sends in binary frames of {size} bytes"),
            Cut::Fragments(size) => format!("sends in binary fragments of {size} bytes"),
            Cut::FragmentsAndPings(size) => {
                format!("sends in binary fragments of {size} bytes, with a Ping frame after each")
            }
            Cut::BetweenEmpty => "sends in binary frames between empty ones".to_owned(),
            Cut::Text => "sends in text frames".to_owned(),
            Cut::TextFragments(size) => format!("sends in text fragments of {size} bytes"),
        }
    }

    /// The frames of some bytes.
    fn frames(self, bytes: &[u8]) -> Vec<Frame> {
        let whole = |opcode| Frame::whole(opcode, Bytes::copy_from_slice(bytes));
        let fragments = |opcode, size: usize| {
            let count = bytes.len().div_ceil(size.max(1));
            let chunks = bytes.chunks(size.max(1)).enumerate();
            chunks.map(move |(at, chunk)| Frame {
                opcode: if at == 0 { opcode } else { Opcode::Continuation },
                is_last: at + 1 == count,
                mask: None,
                payload: Bytes::copy_from_slice(chunk),
            })
        };
        let empty = || Frame::whole(Opcode::Binary, "");
        match self {
            Cut::Whole => vec![whole(Opcode::Binary)],
            Cut::Frames(size) => {
                let chunks = bytes.chunks(size.max(1));
                chunks.map(|it| Frame::whole(Opcode::Binary, Bytes::copy_from_slice(it))).collect()
            }
            Cut::Fragments(size) => fragments(Opcode::Binary, size).collect(),
            Cut::FragmentsAndPings(size) => fragments(Opcode::Binary, size)
                .flat_map(|frame| [frame, Frame::whole(Opcode::Ping, "between")])
                .collect(),
            Cut::BetweenEmpty => vec![empty(), whole(Opcode::Binary), empty()],
            Cut::Text => vec![whole(Opcode::Text)],
            Cut::TextFragments(size) => fragments(Opcode::Text, size).collect(),
        }
    }
}

/// What a scenario has of the frames of a connection while a probe has its bytes.
#[derive(Clone, Debug, Default)]
pub struct Frames(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    cut: Cut,
    /// What the other side has sent besides binary frames: text frames and control frames.
    others: Vec<Frame>,
    /// What is to be sent besides what is written.
    besides: Vec<Frame>,
}

impl Frames {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing is done by halves while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts what is sent from here on into frames like this.
    pub fn cut(&self, cut: Cut) {
        self.state().cut = cut;
    }

    /// Sends a frame besides, as soon as something is read.
    pub fn send(&self, frame: Frame) {
        self.state().besides.push(frame);
    }

    /// The frames of this kind that have come, but for those that carry packets as they should.
    pub fn seen(&self, opcode: Opcode) -> Vec<Frame> {
        self.state().others.iter().filter(|frame| frame.opcode == opcode).cloned().collect()
    }
}

/// A client's side of a WebSocket connection, behind its handshake: MQTT's bytes in both directions.
///
/// Pings are answered; a Close frame too, and then the end of the stream below is the end. What comes in
/// text frames is read as if it had come in binary ones, and [told](Frames::seen).
pub struct Framed {
    stream: BoxStream,
    frames: Frames,
    /// From the other side, less than a frame.
    raw: BytesMut,
    /// MQTT's bytes, to be read.
    ready: BytesMut,
    /// Frames on their way out.
    out: BytesMut,
    /// What masks are made of.
    masks: u32,
    /// Whether a Close frame was sent.
    is_closed: bool,
}

impl Framed {
    /// Begins behind a handshake; `early` is what came with its answer.
    pub fn new(stream: BoxStream, early: BytesMut) -> (Framed, Frames) {
        let frames = Frames::default();
        let framed = Framed {
            stream,
            frames: frames.clone(),
            raw: early,
            ready: BytesMut::new(),
            out: BytesMut::new(),
            masks: 0x9E37_79B9,
            is_closed: false,
        };
        (framed, frames)
    }

    fn send(&mut self, frame: &Frame) {
        // Spread over all bits; nobody has to be kept from guessing here.
        self.masks = self.masks.wrapping_mul(0x0019_660D).wrapping_add(0x3C6E_F35F);
        let mask = Some(self.masks.to_be_bytes());
        Frame { mask, ..frame.clone() }.write(&mut self.out);
    }

    fn close(&mut self, code: &[u8]) {
        if !self.is_closed {
            self.send(&Frame::whole(Opcode::Close, Bytes::copy_from_slice(code)));
            self.is_closed = true;
        }
    }

    /// Goes through the frames that are there.
    fn take(&mut self) -> io::Result<()> {
        let broken = |what| io::Error::new(io::ErrorKind::InvalidData, what);
        while let Some(frame) = Frame::take(&mut self.raw).map_err(broken)? {
            match frame.opcode {
                Opcode::Ping => self.send(&Frame { opcode: Opcode::Pong, ..frame.clone() }),
                Opcode::Close => self.close(frame.payload.get(..2).unwrap_or_default()),
                _ => {}
            }
            if frame.opcode.is_data() {
                self.ready.extend_from_slice(&frame.payload);
            }
            if !matches!(frame.opcode, Opcode::Binary | Opcode::Continuation) {
                let mut state = self.frames.state();
                // More show nothing more.
                if state.others.len() < MOST_OTHERS {
                    state.others.push(frame);
                }
            }
        }
        Ok(())
    }

    fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        poll_sent(&mut self.stream, &mut self.out, cx)
    }
}

impl AsyncRead for Framed {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            this.take()?;
            let besides = std::mem::take(&mut this.frames.state().besides);
            besides.iter().for_each(|frame| this.send(frame));
            if !this.out.is_empty() {
                // Pongs and the like; who cannot be told them may still have said something.
                let _ = this.poll_out(cx);
            }
            if !this.ready.is_empty() {
                let count = buffer.remaining().min(this.ready.len());
                buffer.put_slice(&this.ready.split_to(count));
                return Poll::Ready(Ok(()));
            }
            let mut bytes = [0; READ];
            let mut raw = ReadBuf::new(&mut bytes);
            ready!(pin!(&mut this.stream).poll_read(cx, &mut raw))?;
            if raw.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            this.raw.extend_from_slice(raw.filled());
        }
    }
}

impl AsyncWrite for Framed {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.is_closed {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        ready!(this.poll_out(cx))?;
        let cut = this.frames.state().cut;
        for frame in cut.frames(bytes) {
            this.send(&frame);
        }
        match this.poll_out(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(bytes.len())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_out(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.close(&1000_u16.to_be_bytes());
        ready!(this.poll_out(cx))?;
        pin!(&mut this.stream).poll_shutdown(cx)
    }
}
