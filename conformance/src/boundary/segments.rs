//! Streams that read each write of the client as a segment of its own, and spoil some.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use reference_broker::transport::BoxStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Where a segment begins and ends among the packets of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// How many bytes of its packet came before it.
    pub before: usize,
    /// Its own length.
    pub length: usize,
    /// How many bytes of the segment came before it, which are of earlier packets.
    pub earlier: usize,
    /// Whether its packet ends with it.
    pub is_last: bool,
}

/// The pieces of packets that a broker reads of what comes over a connection.
pub struct Pieces {
    keeps: fn(Piece) -> bool,
    /// The packet that is being written, as far as it has come.
    packet: BytesMut,
}

impl Pieces {
    /// Keeps those that `keeps` is true of.
    pub fn new(keeps: fn(Piece) -> bool) -> Pieces {
        Pieces { keeps, packet: BytesMut::new() }
    }

    /// Takes a segment, piece by piece, and gives what is read of it.
    pub fn read(&mut self, segment: &[u8]) -> BytesMut {
        let mut read = BytesMut::new();
        let mut rest = segment;
        while !rest.is_empty() {
            let before = self.packet.len();
            let mut length = 0;
            let mut is_last = false;
            while let Some(byte) = rest.get(length).filter(|_| !is_last) {
                self.packet.extend_from_slice(&[*byte]);
                length += 1;
                is_last = packet_length(&self.packet) == Some(self.packet.len());
            }
            let earlier = segment.len() - rest.len();
            let (piece, others) = rest.split_at(length);
            if (self.keeps)(Piece { before, length, earlier, is_last }) {
                read.extend_from_slice(piece);
            }
            if is_last {
                self.packet.clear();
            }
            rest = others;
        }
        read
    }
}

/// A stream from a client, of which the broker reads only some pieces of packets.
pub struct Segments {
    stream: BoxStream,
    pieces: Pieces,
    /// What the broker is still to be given.
    outgoing: BytesMut,
}

impl Segments {
    /// Keeps these pieces.
    pub fn new(stream: BoxStream, pieces: Pieces) -> Segments {
        Segments { stream, pieces, outgoing: BytesMut::new() }
    }

    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.outgoing.is_empty() {
            let stream = Pin::new(&mut self.stream);
            let written = ready!(stream.poll_write(context, &self.outgoing))?;
            self.outgoing.advance(written);
        }
        Poll::Ready(Ok(()))
    }
}

/// The length of a packet that begins like this, once its Remaining Length is there.
fn packet_length(bytes: &[u8]) -> Option<usize> {
    let mut length = 0;
    for (place, byte) in bytes.iter().skip(1).take(4).enumerate() {
        length |= usize::from(byte & 0x7F) << (7 * place);
        if byte & 0x80 == 0 {
            return Some(length + place + 2);
        }
    }
    None
}

impl AsyncRead for Segments {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // An error of the other direction is for the next write to tell.
        let _ = self.poll_send(context);
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Segments {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        segment: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_send(context))?;
        let read = self.pieces.read(segment);
        self.outgoing.extend_from_slice(&read);
        match self.poll_send(context) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(segment.len())),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(context))?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(context))?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use reference_broker::transport::memory;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// What arrives of these segments, of packets of five bytes each.
    async fn arriving(keeps: fn(Piece) -> bool, segments: &[&[u8]]) -> Vec<u8> {
        let (ours, mut theirs) = memory::pair();
        let mut stream = Segments::new(Box::new(ours), Pieces::new(keeps));
        for segment in segments {
            stream.write_all(segment).await.unwrap();
        }
        drop(stream);
        let mut arrived = Vec::new();
        theirs.read_to_end(&mut arrived).await.unwrap();
        arrived
    }

    #[tokio::test]
    async fn pieces_are_told_apart_by_their_packets() {
        let segments: &[&[u8]] = &[&[0x30, 3, b'a', b'b'], &[b'c', 0x30, 3, b'd', b'e', b'f']];
        let all = segments.concat();
        assert_eq!(arriving(|_| true, segments).await, all);
        assert_eq!(arriving(|piece| piece.earlier == 0, segments).await, all[..5]);
        assert_eq!(
            arriving(|piece| piece.before == 0, segments).await,
            [&all[..4], &all[5..]].concat()
        );
        assert_eq!(arriving(|piece| !piece.is_last, segments).await, all[..4]);
        assert_eq!(arriving(|piece| piece.length == 4, segments).await, all[..4]);
    }
}
