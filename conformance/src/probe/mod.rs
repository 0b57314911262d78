//! A raw MQTT client: sends anything, reads by packet, and says exactly what it saw.
//!
//! A probe tells apart a packet, broken bytes, the end of the connection and silence. Steps come in
//! three kinds. What *sends* never waits. What *finds* waits for one packet and keeps the others
//! for later steps, because acknowledgements and messages may overtake each other. What ends in
//! `next` takes packets strictly in order.

mod authentication;
mod blame;
mod context;
mod ending;
mod instead;
mod last_words;
mod limits;
mod message;
mod pace;
mod policy;
mod publish;
mod reading;
mod request;
mod sending;
mod stranger;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use reference_broker::codec::{
    Connect, DecodeError, Framer, Packet, PacketType, PropertyId, Publish, QoS, Text,
};
use reference_broker::transport::BoxStream;
use tokio::io::ReadHalf;
use tokio::time::Instant;

use crate::trace::{Ending, What};
use crate::verdict::Outcome;
use crate::verdict::step::{self, Step};

pub use authentication::{Again, Reply};
pub(crate) use authentication::{auth, auth_of, data_of};
use blame::Observed;
pub(crate) use blame::Phase;
pub use context::Patience;
pub(crate) use context::{Context, is_old_refusal};
use limits::Limits;
use pace::Line;
pub(crate) use pace::keep_alive;
pub(crate) use policy::{TOO_LARGE, policies_of};
pub use publish::Answer;
pub(crate) use reading::next_packet;

/// The largest packet a probe takes, in bytes.
const PACKET_LIMIT: u32 = 64 * 1024 * 1024;

/// How many packets that nobody asked for a probe keeps before it calls that a flood.
const UNREAD_LIMIT: usize = 100_000;

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

    /// What its connection is called in the trace.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The Client Identifier that belongs to this probe's name.
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// A clean start under this probe's Client Identifier.
    pub fn connect_packet(&self) -> Connect {
        self.connect_packet_as(self.client_id.as_str())
    }

    /// A clean start under another Client Identifier.
    pub fn connect_packet_as(&self, client_id: impl Into<Text>) -> Connect {
        self.context.credentials().complete(Connect::new(client_id))
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

    /// Has PINGREQ sent in the background within this Keep Alive, until the connection is left silent.
    pub(crate) fn attend(&self, keep_alive: Duration) {
        self.line.attend(keep_alive);
        self.context.attend(&self.line);
    }

    /// When the last packet began to be sent: from there on a Keep Alive counts.
    pub fn last_sent(&self) -> Instant {
        self.line.last_sent()
    }

    /// Takes the connection out of what happened, as if it had never been: the network, or a limit,
    /// did not let it come about.
    pub(crate) fn forget(self) {
        self.context.forget(&self.name);
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
