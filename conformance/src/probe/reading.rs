//! What a probe reads: packets, broken bytes, the end, or nothing.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use reference_broker::codec::{DecodeError, Framer, Packet, PropertyId, QoS, Side};
use tokio::io::AsyncReadExt;
use tokio::time::{Instant, timeout, timeout_at};

use crate::trace::{Ending, What};

use super::limits::Limits;
use super::{Away, PACKET_LIMIT, Probe, STEP, Seen, Stream};

/// No fixed header has more bytes.
const FIXED_HEADER_LIMIT: usize = 5;

/// So many bytes of one packet within the patience for it are a large packet on its way, and give it
/// more time; fewer are a target that drips.
const PROGRESS: usize = 16 * 1024;

impl Probe {
    /// Whether the connection ended, or nothing came for too long, before its first byte from the
    /// target. Nothing is noted: the next step sees it too.
    pub(crate) async fn turned_away(&mut self) -> Option<Away> {
        if !self.framer.pending_bytes().is_empty() {
            return None;
        }
        let Some(Stream(stream)) = self.stream.as_mut() else { return Some(Away::Closed) };
        let asked = Instant::now();
        let reading = stream.read_buf(self.framer.buffer());
        match timeout(self.context.patience().reply, reading).await {
            Ok(Ok(1..)) => {
                self.context.note_waited(asked.elapsed());
                None
            }
            Ok(_) => Some(Away::Closed),
            Err(_) => Some(Away::Silent),
        }
    }

    /// Reads until the next packet, the end, or until nothing has come for `patience`.
    pub(super) async fn look(&mut self, patience: Duration) -> Seen {
        let asked = Instant::now();
        let begun = asked + self.grace;
        let (mut deadline, end) = (begun + patience, begun + STEP * patience);
        let mut progress = 0;
        loop {
            if self.is_deaf {
                self.framer = Framer::new(PACKET_LIMIT);
            }
            match next_packet(&mut self.framer) {
                Ok(Some((packet, bytes))) => {
                    let index = self.context.record(&self.name, What::Received(packet.clone()));
                    self.context.keep(index, bytes);
                    if self.line.note_received(&packet) {
                        continue;
                    }
                    match &packet {
                        Packet::ConnAck(connack) => {
                            self.limits = Limits::of(connack);
                            let told = connack.properties.number(PropertyId::SessionExpiryInterval);
                            self.session_expiry = told.unwrap_or(self.session_expiry);
                            if self.line.due().is_some() {
                                self.context.attend(&self.line);
                            }
                            self.is_served = !connack.reason.is_error();
                        }
                        Packet::Disconnect(_) => self.is_served = false,
                        Packet::SubAck(suback) => {
                            let codes = suback.reasons.iter().map(|code| code.value());
                            let granted = codes.filter_map(QoS::from_value);
                            self.granted_at_most = granted.chain(self.granted_at_most).max();
                        }
                        _ => {}
                    }
                    if self.is_permitted_duplicate(&packet) || self.pass_over(&packet).await {
                        continue;
                    }
                    self.context.note_waited(asked.elapsed());
                    return Seen::Packet(index, packet);
                }
                Ok(None) => {}
                Err((bytes, error)) => {
                    let what = What::ReceivedBroken(bytes, error);
                    return Seen::Broken(self.context.record(&self.name, what), error);
                }
            }
            if let Some((index, ending)) = self.ended {
                return Seen::Closed(index, ending);
            }
            // A read that is always ready never times out.
            if Instant::now() > deadline {
                let index = self.context.record(&self.name, What::Silence(patience));
                return Seen::Silence(index, patience);
            }
            let read = match self.stream.as_mut() {
                Some(Stream(stream)) => {
                    timeout_at(deadline, stream.read_buf(self.framer.buffer())).await
                }
                None => Ok(Ok(0)),
            };
            let ending = match read {
                Ok(Ok(0)) => Ending::EndOfStream,
                Ok(Ok(count)) => {
                    progress += count;
                    if progress >= PROGRESS {
                        deadline = (Instant::now() + patience).min(end);
                        progress = 0;
                    }
                    continue;
                }
                // TLS without a farewell: below it was an end of stream.
                Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    Ending::EndOfStream
                }
                Ok(Err(_)) => Ending::Reset,
                Err(_) => {
                    let index = self.context.record(&self.name, What::Silence(patience));
                    return Seen::Silence(index, patience);
                }
            };
            let index = self.context.record(&self.name, What::ClosedByBroker(ending));
            self.context.note_waited(asked.elapsed());
            self.line.rest();
            self.ended = Some((index, ending));
        }
    }

    /// Whether this is a further copy of a message that was published at QoS 1 and delivered at QoS 0:
    /// section 3.8.4 permits that, so no step is to see it. Retained messages may come again for
    /// other reasons.
    fn is_permitted_duplicate(&mut self, packet: &Packet) -> bool {
        let Packet::Publish(publish) = packet else { return false };
        if publish.qos > QoS::AtMostOnce || publish.retain {
            return false;
        }
        if self.last.get(&publish.topic) != Some(publish) {
            self.last.insert(publish.topic.clone(), publish.clone());
            return false;
        }
        // More copies than were sent, and one of those at QoS 1.
        let (mut at_qos1, mut copies) = (false, 0_i64);
        self.context.each(|event| match &event.what {
            What::Sent(Packet::Publish(sent))
                if (&sent.topic, &sent.payload) == (&publish.topic, &publish.payload) =>
            {
                at_qos1 |= sent.qos == QoS::AtLeastOnce;
                copies -= 1;
            }
            What::Received(Packet::Publish(copy)) if event.probe == self.name => {
                copies += i64::from(copy == publish);
            }
            _ => {}
        });
        at_qos1 && copies > 0
    }
}

/// The next packet and its bytes; with an error come the bytes that show it. What is wrong with properties alone is
/// left for an oracle to say.
pub(crate) fn next_packet(
    framer: &mut Framer,
) -> Result<Option<(Packet, Bytes)>, (Bytes, DecodeError)> {
    let header = framer.pending_bytes();
    let header = Bytes::copy_from_slice(&header[..header.len().min(FIXED_HEADER_LIMIT)]);
    match framer.next_frame().map_err(|error| (header, error))? {
        Some(frame) => match Packet::decode_leniently(&frame, Side::Server) {
            Ok((packet, _)) => Ok(Some((packet, frame.bytes))),
            Err(error) => Err((frame.bytes, error)),
        },
        None => Ok(None),
    }
}
