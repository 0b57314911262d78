//! What lies between a broker in this process and a probe: a stream that may cut, gather or rewrite
//! what the broker sends, and end otherwise, as other transports and other brokers would.

use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use reference_broker::codec::{FixedHeader, Packet, PacketType, PropertyId, Side};
use reference_broker::transport::BoxStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// How many bytes are taken from the broker at once.
const READ: usize = 16 * 1024;

/// How the stream from the broker to the probe differs from a plain one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wire {
    /// Every byte comes by itself.
    pub byte_by_byte: bool,
    /// What comes within this time comes together.
    pub gathers: Option<Duration>,
    /// A reset stands for the end of the stream.
    pub resets: bool,
    /// The reset destroys what the probe has not been given by then.
    pub loses: bool,
    /// How short packets are written.
    pub form: Form,
}

/// How an acknowledgement or DISCONNECT is written that could be shorter (sections 3.4.2.1 and
/// 3.14.2.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// As short as can be.
    #[default]
    Short,
    /// With its Reason Code, though that is 0x00.
    WithReasonCode,
    /// With its Reason Code and its Property Length, though both are 0.
    WithPropertyLength,
}

impl Wire {
    /// Puts itself around a stream; a plain one stays as it is.
    pub fn around(self, stream: BoxStream) -> BoxStream {
        match self == Wire::default() {
            true => stream,
            false => Box::new(Wired::new(self, stream)),
        }
    }
}

/// A stream with a [`Wire`] around it.
struct Wired {
    wire: Wire,
    stream: BoxStream,
    /// From the broker, not yet rewritten: less than a packet.
    raw: BytesMut,
    /// What the probe may be given.
    ready: BytesMut,
    /// When that is, if it is gathered.
    due: Option<Pin<Box<Sleep>>>,
    /// How the broker's side has ended.
    ended: Option<Result<(), io::ErrorKind>>,
    /// The probe's first packet, while it is incomplete.
    first: Option<BytesMut>,
    /// The largest packet the probe takes: what is rewritten must not become larger.
    limit: usize,
}

impl Wired {
    fn new(wire: Wire, stream: BoxStream) -> Wired {
        let (raw, ready) = (BytesMut::new(), BytesMut::new());
        let first = (wire.form != Form::Short).then(BytesMut::new);
        Wired { wire, stream, raw, ready, due: None, ended: None, first, limit: usize::MAX }
    }

    /// Takes all that the broker has sent by now.
    fn pull(&mut self, cx: &mut Context<'_>) {
        while self.ended.is_none() && self.ready.len() < READ {
            let mut bytes = [0; READ];
            let mut buffer = ReadBuf::new(&mut bytes);
            match pin!(&mut self.stream).poll_read(cx, &mut buffer) {
                Poll::Pending => return,
                Poll::Ready(Err(error)) => self.ended = Some(Err(error.kind())),
                Poll::Ready(Ok(())) if buffer.filled().is_empty() => self.ended = Some(Ok(())),
                Poll::Ready(Ok(())) => {
                    self.raw.extend_from_slice(buffer.filled());
                    self.rewrite();
                    if let (Some(time), None) = (self.wire.gathers, &self.due) {
                        self.due = Some(Box::pin(sleep(time)));
                    }
                }
            }
        }
    }

    /// Moves whole packets on, in the form they are to have.
    fn rewrite(&mut self) {
        if self.wire.form == Form::Short {
            return self.ready.unsplit(self.raw.split());
        }
        loop {
            let header = match FixedHeader::decode(&self.raw) {
                Ok(Some(header)) => header,
                Ok(None) => return,
                // No packets, so nothing to rewrite.
                Err(_) => return self.ready.unsplit(self.raw.split()),
            };
            let size = header.len + header.remaining_length as usize;
            if self.raw.len() < size {
                return;
            }
            let mut packet = self.raw.split_to(size);
            let more = self.wire.form.adds(&header);
            if !more.is_empty() && size + more.len() <= self.limit {
                packet[1] += u8::try_from(more.len()).unwrap_or(0); // A short one: one byte of length.
                packet.extend_from_slice(more);
            }
            self.ready.unsplit(packet);
        }
    }

    /// Reads the probe's CONNECT for how large packets may be.
    fn overhear(&mut self, bytes: &[u8]) {
        let Some(first) = &mut self.first else { return };
        first.extend_from_slice(bytes);
        let Ok(Some(header)) = FixedHeader::decode(first) else { return };
        let size = header.len + header.remaining_length as usize;
        if first.len() < size {
            return;
        }
        let frame = reference_broker::codec::Frame { header, bytes: first.split_to(size).freeze() };
        if let Ok(Packet::Connect(connect)) = Packet::decode(&frame, Side::Client) {
            let limit = connect.properties.number(PropertyId::MaximumPacketSize);
            self.limit = limit.map_or(usize::MAX, |limit| limit as usize);
        }
        self.first = None;
    }
}

impl Form {
    /// What this form adds to a packet that could do without.
    fn adds(self, header: &FixedHeader) -> &'static [u8] {
        let without = match header.packet_type {
            PacketType::PubAck | PacketType::PubRec | PacketType::PubRel | PacketType::PubComp => 2,
            PacketType::Disconnect => 0,
            _ => return &[],
        };
        match (self, header.remaining_length.checked_sub(without)) {
            (Form::WithReasonCode, Some(0)) | (Form::WithPropertyLength, Some(1)) => &[0],
            (Form::WithPropertyLength, Some(0)) => &[0, 0],
            _ => &[],
        }
    }
}

impl AsyncRead for Wired {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.pull(cx);
        if this.wire.loses && this.ended.is_some() {
            this.ready.clear();
        }
        if let (Some(due), None) = (&mut this.due, this.ended) {
            ready!(due.as_mut().poll(cx));
        }
        let most = if this.wire.byte_by_byte { 1 } else { usize::MAX };
        let count = most.min(buffer.remaining()).min(this.ready.len());
        if count > 0 {
            buffer.put_slice(&this.ready[..count]);
            this.ready.advance(count);
            if this.ready.is_empty() {
                this.due = None;
            }
            return Poll::Ready(Ok(()));
        }
        match this.ended {
            None => Poll::Pending,
            Some(Err(kind)) => Poll::Ready(Err(kind.into())),
            Some(Ok(())) if this.wire.resets => {
                Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
            }
            Some(Ok(())) => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncWrite for Wired {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let count = ready!(pin!(&mut this.stream).poll_write(cx, bytes))?;
        this.overhear(&bytes[..count]);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        pin!(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        pin!(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use reference_broker::codec::{Connect, Disconnect, PublishAck};
    use reference_broker::transport::memory;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    fn bytes(packet: impl Into<Packet>) -> Vec<u8> {
        packet.into().to_bytes().unwrap().to_vec()
    }

    /// What a probe reads, read by read, of what a broker writes, write by write, before it ends.
    async fn reads(wire: Wire, writes: &[&[u8]], connect: Connect) -> Vec<Result<Vec<u8>, ()>> {
        let (ours, mut theirs) = memory::pair();
        let mut ours = wire.around(Box::new(ours));
        ours.write_all(&bytes(connect)).await.unwrap();
        let writes: Vec<_> = writes.iter().map(|bytes| bytes.to_vec()).collect();
        let writing = tokio::spawn(async move {
            for bytes in writes {
                theirs.write_all(&bytes).await.unwrap();
                sleep(Duration::from_millis(10)).await;
            }
            theirs.shutdown().await.unwrap();
            theirs
        });
        let mut seen = Vec::new();
        loop {
            let mut read = [0; 100];
            match ours.read(&mut read).await {
                Ok(0) => break,
                Ok(count) => seen.push(Ok(read[..count].to_vec())),
                Err(_) => {
                    seen.push(Err(()));
                    break;
                }
            }
        }
        drop(writing.await);
        seen
    }

    async fn seen(wire: Wire, writes: &[&[u8]]) -> Vec<Result<Vec<u8>, ()>> {
        reads(wire, writes, Connect::new("a")).await
    }

    fn read(bytes: &[u8]) -> Result<Vec<u8>, ()> {
        Ok(bytes.to_vec())
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_come_as_they_are_told_to() {
        let writes: &[&[u8]] = &[b"ab", b"c"];
        assert_eq!(seen(Wire::default(), writes).await, [read(b"ab"), read(b"c")]);
        let wire = Wire { byte_by_byte: true, ..Wire::default() };
        assert_eq!(seen(wire, writes).await, [read(b"a"), read(b"b"), read(b"c")]);
        let wire = Wire { gathers: Some(Duration::from_millis(15)), ..Wire::default() };
        assert_eq!(seen(wire, &[b"ab", b"c", b"d"]).await, [read(b"abc"), read(b"d")]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_may_be_a_reset_that_destroys() {
        let wire = Wire { resets: true, ..Wire::default() };
        assert_eq!(seen(wire, &[b"ab"]).await, [read(b"ab"), Err(())]);
        let gathers = Some(Duration::from_millis(15));
        let wire = Wire { loses: true, gathers, ..wire };
        assert_eq!(seen(wire, &[b"ab", b"c", b"d"]).await, [read(b"abc"), Err(())]);
    }

    #[tokio::test(start_paused = true)]
    async fn short_packets_may_be_written_long_unless_the_probe_forbids_it() {
        let ack = bytes(Packet::PubAck(PublishAck::new(0x0102)));
        let pong = bytes(Packet::PingResp);
        let bye = bytes(Disconnect::default());
        let all = [ack.clone(), pong, bye].concat();
        for (form, expected) in [
            (Form::WithReasonCode, &b"\x40\x03\x01\x02\x00\xD0\x00\xE0\x01\x00"[..]),
            (Form::WithPropertyLength, b"\x40\x04\x01\x02\x00\x00\xD0\x00\xE0\x02\x00\x00"),
        ] {
            let wire = Wire { form, ..Wire::default() };
            // Cut within a packet: whole ones go on.
            let parts = seen(wire, &[&all[..1], &all[1..]]).await;
            assert_eq!(parts, [read(expected)]);
            let small = Connect::new("a").with(PropertyId::MaximumPacketSize, 4);
            assert_eq!(reads(wire, &[&ack], small).await, [read(&ack)]);
        }
    }
}
