//! A raw MQTT client: sends anything, reads by packet, and says exactly what it saw.
//!
//! A probe tells apart a packet, broken bytes, the end of the connection and silence. Steps come in
//! three kinds. What *sends* never waits. What *finds* waits for one packet and keeps the others
//! for later steps, because acknowledgements and messages may overtake each other. What ends in
//! `next` takes packets strictly in order.

mod context;
mod ending;
mod instead;
mod last_words;
mod limits;
mod message;
mod pace;
mod policy;
mod publish;
mod request;
mod stranger;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use reference_broker::codec::{
    Connect, DecodeError, Framer, Packet, PacketType, PropertyId, Publish, QoS, Side, Text,
};
use reference_broker::transport::BoxStream;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf};
use tokio::task::yield_now;
use tokio::time::{Instant, timeout, timeout_at};

use crate::trace::{Ending, Said, What};
use crate::verdict::Outcome;
use crate::verdict::step::{self, Step};

use context::Observed;
pub use context::Patience;
pub(crate) use context::{Context, Phase};
use limits::Limits;
use pace::Line;
pub(crate) use pace::keep_alive;
pub(crate) use policy::{TOO_LARGE, policies_of};
pub use publish::Answer;

/// The largest packet a probe takes, in bytes.
const PACKET_LIMIT: u32 = 64 * 1024 * 1024;

/// A payload of more bytes is not copied to be sent with the rest of its packet, but follows it.
const LARGE: usize = 64 * 1024;

/// No fixed header has more bytes.
const FIXED_HEADER_LIMIT: usize = 5;

/// How many packets that nobody asked for a probe keeps before it calls that a flood.
const UNREAD_LIMIT: usize = 100_000;

/// So many bytes of one packet within the patience for it are a large packet on its way, and give it
/// more time; fewer are a target that drips.
const PROGRESS: usize = 16 * 1024;

/// How many times the patience for a packet a step may take in all, whatever else comes meanwhile.
const STEP: u32 = 3;

/// A raw client on one network connection.
#[derive(Debug)]
pub struct Probe {
    name: String,
    client_id: String,
    stream: Option<Stream>,
    /// Its sending side.
    line: Arc<Line>,
    framer: Framer,
    /// Packets that came and that no step has taken, with their places in the trace.
    unread: VecDeque<(usize, Packet)>,
    ended: Option<(usize, Ending)>,
    next_id: u16,
    /// What the broker's CONNACK said that it takes.
    limits: Limits,
    /// The Session Expiry Interval in force, in seconds: what CONNECT asks, or CONNACK says instead.
    session_expiry: u32,
    /// How many bytes were sent last.
    last_sent: usize,
    /// How long the target took to take them: what lies between may hold as many again.
    grace: Duration,
    /// The last QoS 0 message on each topic.
    last: BTreeMap<Text, Publish>,
    /// Whether what comes is lost.
    is_deaf: bool,
    /// Whether the broker has accepted the client, and neither has taken its leave since.
    is_served: bool,
    /// Packet Identifiers of QoS 2 messages that were passed over.
    passed_over: BTreeSet<u16>,
    /// Topic Aliases that stand for topics of such messages.
    strange_aliases: BTreeSet<u32>,
    /// The highest QoS that a subscription of this connection was granted.
    granted_at_most: Option<QoS>,
    /// What showed that the session was not there, if that was no matter so far.
    lacks_session: Option<Observed>,
    context: Context,
}

/// How a connection did not come about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Away {
    /// It was closed before its first byte.
    Closed,
    /// Its first byte never came.
    Silent,
}

/// The receiving side of a connection.
struct Stream(ReadHalf<BoxStream>);

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Stream")
    }
}

/// What a probe sees next, with its place in the trace.
#[derive(Clone, Debug)]
enum Seen {
    Packet(usize, Packet),
    Broken(usize, DecodeError),
    Closed(usize, Ending),
    Silence(usize, Duration),
}

impl Probe {
    pub(crate) fn new(name: &str, client_id: String, stream: BoxStream, context: Context) -> Probe {
        context.record(name, What::Opened);
        let (reads, writes) = tokio::io::split(stream);
        Probe {
            name: name.to_owned(),
            client_id,
            stream: Some(Stream(reads)),
            line: Arc::new(Line::new(name, writes)),
            framer: Framer::new(PACKET_LIMIT),
            unread: VecDeque::new(),
            ended: None,
            next_id: 0,
            limits: Limits::default(),
            session_expiry: 0,
            last_sent: 0,
            grace: Duration::ZERO,
            last: BTreeMap::new(),
            is_deaf: false,
            is_served: false,
            passed_over: BTreeSet::new(),
            strange_aliases: BTreeSet::new(),
            granted_at_most: None,
            lacks_session: None,
            context,
        }
    }

    /// The Client Identifier that belongs to this probe's name.
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// A clean start under this probe's Client Identifier.
    pub fn connect_packet(&self) -> Connect {
        Connect::new(self.client_id.as_str())
    }

    /// For how many seconds its session outlives this connection: what CONNACK says, or else what
    /// CONNECT asked (section 3.2.2.3.2).
    pub fn session_expiry(&self) -> u32 {
        self.session_expiry
    }

    /// A Packet Identifier that this probe has not used yet.
    pub fn packet_id(&mut self) -> u16 {
        self.next_id = self.next_id.wrapping_add(1).max(1);
        self.next_id
    }

    /// Takes the target for one that reads no larger packets than this, until its CONNACK says what it
    /// does: it has told another client.
    pub(crate) fn expect_size(&mut self, limit: u32) {
        self.limits.expect_size(limit);
    }

    /// Leaves the connection to the scenario: no PINGREQ is sent in the background, whatever Keep Alive
    /// the broker sets.
    pub fn leave_silent(&mut self) {
        self.line.leave_silent();
    }

    /// When the last packet began to be sent: from there on a Keep Alive counts.
    pub fn last_sent(&self) -> Instant {
        self.line.last_sent()
    }

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
        let mut bytes = bytes::BytesMut::new();
        let mut index = 0;
        for packet in packets {
            let before = bytes.len();
            packet.encode(&mut bytes).map_err(|error| {
                self.context.trouble("a packet that can be sent", error.to_string())
            })?;
            if self.is_served {
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
        self.grace = begun.elapsed().min(STEP * patience);
        Ok(())
    }

    /// Whether the connection ended, or nothing came for too long, before its first byte from the
    /// target. Nothing is noted: the next step sees it too.
    pub(crate) async fn turned_away(&mut self) -> Option<Away> {
        if !self.framer.pending_bytes().is_empty() {
            return None;
        }
        let Some(Stream(stream)) = self.stream.as_mut() else { return Some(Away::Closed) };
        let reading = stream.read_buf(self.framer.buffer());
        match timeout(self.context.patience().reply, reading).await {
            Ok(Ok(1..)) => None,
            Ok(_) => Some(Away::Closed),
            Err(_) => Some(Away::Silent),
        }
    }

    /// Takes the connection out of what happened, as if it had never been: the network, or a limit,
    /// did not let it come about.
    pub(crate) fn forget(self) {
        self.context.forget(&self.name);
    }

    /// Reads until the next packet, the end, or until nothing has come for `patience`.
    async fn look(&mut self, patience: Duration) -> Seen {
        let begun = Instant::now() + self.grace;
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
                Ok(Err(_)) => Ending::Reset,
                Err(_) => {
                    let index = self.context.record(&self.name, What::Silence(patience));
                    return Seen::Silence(index, patience);
                }
            };
            let index = self.context.record(&self.name, What::ClosedByBroker(ending));
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

    /// Waits for a packet that `pick` takes; others are kept for later steps.
    ///
    /// # Errors
    ///
    /// A failure when the connection ends, or the target falls silent, before it comes.
    pub async fn find<T>(
        &mut self,
        expected: &str,
        pick: impl FnMut(&Packet) -> Option<T>,
    ) -> Outcome<T> {
        self.find_for(step::OTHER, expected, pick).await
    }

    /// As [`Probe::find`], in a step of this kind.
    async fn find_for<T>(
        &mut self,
        step: Step,
        expected: &str,
        pick: impl FnMut(&Packet) -> Option<T>,
    ) -> Outcome<T> {
        let sought = self.seek(step, expected, pick).await?;
        sought.map_err(|seen| self.instead(step, expected, seen))
    }

    /// As [`Probe::find`], but gives what is there instead if that is no packet. What waits for this
    /// may be dropped: nothing that has come is lost.
    async fn seek<T>(
        &mut self,
        step: Step,
        expected: &str,
        mut pick: impl FnMut(&Packet) -> Option<T>,
    ) -> Outcome<Result<T, Seen>> {
        if let Some((position, found)) =
            self.unread.iter().enumerate().find_map(|(at, (_, packet))| Some((at, pick(packet)?)))
        {
            self.unread.remove(position);
            return Ok(Ok(found));
        }
        let patience = self.context.patience().reply;
        let end = Instant::now() + self.grace + STEP * patience;
        loop {
            match self.look(patience).await {
                Seen::Packet(index, packet) => {
                    if let Some(found) = pick(&packet) {
                        return Ok(Ok(found));
                    }
                    if matches!(packet, Packet::Disconnect(_)) || self.unread.len() >= UNREAD_LIMIT
                    {
                        return Err(self.unexpected(step, expected, index, &packet));
                    }
                    self.unread.push_back((index, packet));
                    if Instant::now() > end {
                        return Ok(Err(Seen::Silence(index, STEP * patience)));
                    }
                }
                other => return Ok(Err(other)),
            }
        }
    }

    /// Takes the very next packet, which `pick` must take.
    ///
    /// # Errors
    ///
    /// A failure when anything else comes, or nothing.
    pub async fn next<T>(
        &mut self,
        expected: &str,
        pick: impl FnOnce(&Packet) -> Option<T>,
    ) -> Outcome<T> {
        self.next_for(step::OTHER, expected, pick).await
    }

    /// As [`Probe::next`], in a step of this kind.
    async fn next_for<T>(
        &mut self,
        step: Step,
        expected: &str,
        pick: impl FnOnce(&Packet) -> Option<T>,
    ) -> Outcome<T> {
        let seen = match self.unread.pop_front() {
            Some((index, packet)) => Seen::Packet(index, packet),
            None => self.look(self.context.patience().reply).await,
        };
        match seen {
            Seen::Packet(index, packet) => {
                pick(&packet).ok_or_else(|| self.unexpected(step, expected, index, &packet))
            }
            other => Err(self.instead(step, expected, other)),
        }
    }

    /// Packets that came and that no step has taken yet.
    pub fn unread(&self) -> impl Iterator<Item = &Packet> {
        self.unread.iter().map(|(_, packet)| packet)
    }
}

/// The next packet and its bytes; with an error come the bytes that show it. What is wrong with properties alone is
/// left for an oracle to say.
fn next_packet(framer: &mut Framer) -> Result<Option<(Packet, Bytes)>, (Bytes, DecodeError)> {
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

/// What a packet leaves behind on a target after its connection is gone.
enum Leftover<'a> {
    Session(&'a str),
    Retained(&'a str),
}

fn leftovers(packet: &Packet) -> impl Iterator<Item = Leftover<'_>> {
    let (first, second) = match packet {
        Packet::Connect(connect) => {
            let kept = connect.properties.contains(PropertyId::SessionExpiryInterval);
            let will = connect.will.as_ref().filter(|will| will.retain);
            (
                kept.then_some(Leftover::Session(&connect.client_id)),
                will.map(|will| Leftover::Retained(&will.topic)),
            )
        }
        Packet::Publish(publish) if publish.retain && !publish.topic.is_empty() => {
            (None, Some(Leftover::Retained(&publish.topic)))
        }
        _ => (None, None),
    };
    first.into_iter().chain(second)
}

/// What a packet of this type is called when it is asked for by Packet Identifier.
fn called(packet_type: PacketType, id: u16) -> String {
    format!("{packet_type} id={id}")
}
