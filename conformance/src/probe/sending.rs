//! What a probe sends: packets, several at once, in pieces, or any bytes.

use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use reference_broker::codec::{Packet, PropertyId};
use tokio::io::AsyncWriteExt;
use tokio::task::yield_now;
use tokio::time::{Instant, timeout};

use crate::trace::{Said, What};
use crate::verdict::Outcome;

use super::{Probe, STEP};

/// A payload of more bytes is not copied to be sent with the rest of its packet, but follows it.
const LARGE: usize = 64 * 1024;

impl Probe {
    /// Sends a packet.
    ///
    /// # Errors
    ///
    /// Inconclusive when it cannot be written down, or the target takes no bytes for too long; not
    /// applicable when it said that it takes none as large. A connection that is closed is no error here:
    /// the next step sees it.
    pub async fn send(&mut self, packet: impl Into<Packet>) -> Outcome {
        let packet = packet.into();
        let parts = match &packet {
            Packet::Publish(publish) if publish.payload.len() > LARGE => packet.to_parts(),
            _ => packet.to_bytes().map(|bytes| (bytes, Bytes::new())),
        };
        let (bytes, payload) = parts.map_err(|error| {
            self.context.trouble("a packet that can be sent", error.to_string())
        })?;
        if self.is_served || matches!(packet, Packet::Connect(_)) {
            self.limits.admit_size(bytes.len() + payload.len())?;
        }
        self.context.remember(&packet);
        if matches!(packet, Packet::Disconnect(_)) {
            self.is_served = false;
            self.line.rest();
        }
        if let Packet::Connect(connect) = &packet {
            let asked = connect.properties.number(PropertyId::SessionExpiryInterval);
            self.session_expiry = asked.unwrap_or(0);
        }
        let index = self.context.record(&self.name, What::Sent(packet));
        self.write(index, &bytes, payload).await
    }

    /// Sends a packet that is larger than the broker said that it takes.
    ///
    /// # Errors
    ///
    /// As [`Probe::send`].
    pub async fn send_too_large(&mut self, packet: impl Into<Packet>) -> Outcome {
        let limits = std::mem::take(&mut self.limits);
        let sent = self.send(packet).await;
        self.limits = limits;
        sent
    }

    /// Sends several packets in one write.
    ///
    /// # Errors
    ///
    /// As [`Probe::send`].
    pub async fn send_together(&mut self, packets: &[Packet]) -> Outcome {
        let mut bytes = BytesMut::new();
        let mut index = 0;
        for packet in packets {
            let before = bytes.len();
            packet.encode(&mut bytes).map_err(|error| {
                self.context.trouble("a packet that can be sent", error.to_string())
            })?;
            if self.is_served || matches!(packet, Packet::Connect(_)) {
                self.limits.admit_size(bytes.len() - before)?;
            }
            self.context.remember(packet);
            index = self.context.record(&self.name, What::Sent(packet.clone()));
        }
        self.write(index, &bytes, Bytes::new()).await
    }

    /// Whether the broker is to take a packet as large as this.
    ///
    /// # Errors
    ///
    /// Not applicable if it said that it does not.
    pub fn has_room_for(&self, packet: &[u8]) -> Outcome {
        self.limits.admit_size(packet.len())
    }

    /// Sends bytes as they are, in one write.
    ///
    /// # Errors
    ///
    /// As [`Probe::send`].
    pub async fn send_bytes(&mut self, bytes: impl Into<Bytes>) -> Outcome {
        let bytes = bytes.into();
        // A DISCONNECT, however it is made: nothing may follow it.
        if matches!(bytes.first(), Some(0xE0..=0xEF)) {
            self.line.rest();
        }
        let index = self.context.record(&self.name, What::SentBytes(bytes.clone()));
        self.write(index, &bytes, Bytes::new()).await
    }

    /// Sends a packet in pieces of so many bytes, each in a write of its own.
    ///
    /// # Errors
    ///
    /// As [`Probe::send`].
    pub async fn send_in_pieces(&mut self, packet: impl Into<Packet>, size: usize) -> Outcome {
        let packet = packet.into();
        let bytes = packet.to_bytes().map_err(|error| {
            self.context.trouble("a packet that can be sent", error.to_string())
        })?;
        self.context.remember(&packet);
        let index = self.context.record(&self.name, What::Sent(packet));
        for piece in bytes.chunks(size.max(1)) {
            self.write(index, piece, Bytes::new()).await?;
            yield_now().await; // So that the other side may read it by itself.
        }
        self.last_sent = bytes.len();
        Ok(())
    }

    async fn write(&mut self, index: usize, bytes: &[u8], payload: Bytes) -> Outcome {
        if self.stream.is_none() {
            return Err(self
                .context
                .trouble("a connection to send over", "it was given up".into()));
        }
        if self.ended.is_some() {
            return Ok(());
        }
        self.last_sent = bytes.len() + payload.len();
        self.line.note_sent(bytes);
        if !payload.is_empty() {
            self.line.note_sent(&payload);
        }
        let patience = self.context.patience().reply;
        let begun = Instant::now();
        let mut all = Buf::chain(bytes, payload);
        let line = Arc::clone(&self.line);
        let refused = || {
            let observed = format!("{} took no bytes for {}", self.name, patience.said());
            self.context.trouble_at("the target to take our bytes", observed, index)
        };
        let mut half = timeout(patience, line.half.lock()).await.map_err(|_| refused())?;
        while all.has_remaining() {
            match timeout(patience, half.write_buf(&mut all)).await {
                // As long as it takes some, it may take its time.
                Ok(Ok(1..)) => {}
                // What is already on its way to us can still be read, the reason for the close say.
                Ok(_) => break,
                Err(_) => return Err(refused()),
            }
        }
        // TLS and WebSocket may keep some of it.
        if timeout(patience, half.flush()).await.is_err() {
            return Err(refused());
        }
        self.grace = begun.elapsed().min(STEP * patience);
        Ok(())
    }
}
