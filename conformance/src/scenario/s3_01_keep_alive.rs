//! Section 3.1: CONNECT, its Keep Alive.

use std::time::Duration;

use reference_broker::codec::{
    Connect, Packet, PropertyId, Publish, PublishAck, QoS, ReasonCode, Subscribe, Unsubscribe, Will,
};
use tokio::time::timeout;

use super::copies::numbered;
use super::{Scenario, Stage, scenario};
use crate::probe::Probe;
use crate::target::Need;
use crate::trace::Said;
use crate::verdict::Outcome;

pub(super) const SCENARIOS: &[Scenario] = &[
    scenario!(
        "3.1/keep-alive-closes",
        keep_alive_closes,
        "A client silent for one and a half times its Keep Alive is disconnected, and not before",
        ["MQTT-3.1.2-22", "MQTT-3.2.2-22", "U-3.14.2.1-9", "U-3.1.4-6"]
    )
    .breaks(SILENT)
    .timed(4),
    scenario!(
        "3.1/keep-alive-of-resumption-counts",
        keep_alive_of_resumption_counts,
        "A session that goes on has the Keep Alive of its new connection",
        ["MQTT-3.1.2-22"]
    )
    .breaks(SILENT)
    .needs(&[Need::Sessions])
    .timed(4),
    scenario!(
        "3.1/keep-alive-ignores-deliveries",
        keep_alive_ignores_deliveries,
        "What the broker sends to a silent client does not keep it alive",
        ["MQTT-3.1.2-22"]
    )
    .breaks(SILENT)
    .timed(4),
    scenario!(
        "3.1/keep-alive-any-packet-counts",
        keep_alive_any_packet_counts,
        "Any packet in time keeps a client connected: PINGREQ, PUBLISH, SUBSCRIBE and others",
        ["U-3.1.2.10-3", "MQTT-3.1.2-22"]
    )
    .needs(UP_TO_1)
    .timed(5),
    scenario!(
        "3.1/keep-alive-publishes-will",
        keep_alive_publishes_will,
        "The Will of a client that exceeded its Keep Alive is published",
        ["MQTT-3.1.2-22", "U-3.1.2.5-1", "MQTT-3.1.2-8"]
    )
    .breaks(SILENT)
    .needs(UP_TO_1)
    .timed(4),
    scenario!(
        "3.1/keep-alive-keeps-session",
        keep_alive_keeps_session,
        "The session of a client that exceeded its Keep Alive waits for it as after a lost network",
        ["MQTT-3.1.2-22", "MQTT-3.1.2-23"]
    )
    .breaks(SILENT)
    .needs(&[Need::QoS(QoS::AtLeastOnce), Need::Sessions])
    .timed(4),
    scenario!(
        "3.1/keep-alive-zero-or-long",
        keep_alive_zero_or_long,
        "A client with no Keep Alive, or a long one, may be silent for a while",
        ["U-3.1.2.10-5", "MQTT-3.1.2-22"]
    )
    .timed(4),
];

/// What a client breaks that is silent for too long, with its own Keep Alive and with one that the server
/// has set.
const SILENT: &[&str] = &["MQTT-3.1.2-20", "MQTT-3.2.2-21"];

const UP_TO_1: &[Need] = &[Need::QoS(QoS::AtLeastOnce)];

/// The Keep Alive of those who exceed it, in seconds, on a path that is quick enough: brokers that look
/// once a second are not blamed for that.
const KEEP_ALIVE: u16 = 2;

/// A Keep Alive leaves room for this many round trips.
const TRIPS: u32 = 8;

/// Longer ones are not waited for.
const LONGEST: Duration = Duration::from_secs(10);

/// How long after its time a connection is to be closed at the latest: no tolerance is given, so be it
/// large.
pub(super) const TOLERANCE: Duration = Duration::from_secs(6);

/// A client whose Keep Alive matters.
pub(super) struct Client {
    pub(super) probe: Probe,
    /// The Keep Alive in force.
    keep_alive: Duration,
}

impl Client {
    /// After how much silence it is to be disconnected.
    fn timeout(&self) -> Duration {
        self.keep_alive * 3 / 2
    }

    /// For how long it has sent nothing.
    fn silence(&self) -> Duration {
        self.probe.last_sent().elapsed()
    }

    /// How long it may wait before it sends its next packet, with time to spare.
    pub(super) fn rest(&self) -> Duration {
        (self.keep_alive * 3 / 4).saturating_sub(self.silence())
    }

    /// Is kept alive from here on, however long the next steps take.
    pub(super) fn attend(&self) {
        self.probe.attend(self.keep_alive);
    }

    /// Is as silent as the scenario from here on. Its silence begins with a PINGREQ.
    pub(super) async fn fall_silent(&mut self, stage: &Stage) -> Outcome {
        self.probe.leave_silent();
        self.sends(stage, Packet::PingReq).await
    }

    /// Sends a packet, if it is not too late to.
    pub(super) async fn sends(&mut self, stage: &Stage, packet: impl Into<Packet>) -> Outcome {
        let (silence, limit) = (self.silence(), self.keep_alive);
        if silence > limit {
            let expected = format!("a packet within {limit:?} of the one before");
            return stage.inconclusive(&expected, format!("the suite took {silence:?}"));
        }
        self.probe.send(packet).await
    }
}

async fn keep_alive_closes(stage: &mut Stage) -> Outcome {
    // The CONNECT counts as well as any later packet.
    let mut alice = with_keep_alive(stage, "alice", |connect| connect).await?;
    let mut bob = with_keep_alive(stage, "bob", |connect| connect).await?;
    bob.probe.ping().await?;
    times_out(stage, &mut alice).await?;
    times_out(stage, &mut bob).await
}

async fn keep_alive_of_resumption_counts(stage: &mut Stage) -> Outcome {
    let mut alice = stage.with_session("alice", 60).await?;
    alice.ping().await?;
    alice.leave().await?;
    let resume = |connect: Connect| connect.resume().session_expiry(60);
    let mut alice = with_keep_alive(stage, "alice", resume).await?;
    times_out(stage, &mut alice).await
}

async fn keep_alive_ignores_deliveries(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("stream");
    let mut bob = stage.connected("bob").await?;
    let mut alice = with_keep_alive(stage, "alice", |connect| connect).await?;
    alice.attend();
    alice.probe.subscribe(&topic, QoS::AtMostOnce).await?;
    bob.publish(&topic, "first", QoS::AtMostOnce).await?;
    alice.probe.receives(&topic, "first").await?;
    alice.fall_silent(stage).await?;
    stage.claims();
    let limit = alice.timeout() + TOLERANCE;
    while alice.silence() < limit {
        bob.publish(&topic, "more", QoS::AtMostOnce).await?;
        if alice.probe.ended_within(Duration::from_millis(300)).await?.is_some() {
            return Ok(());
        }
    }
    stage.fail("the connection closed in spite of deliveries", still_open())
}

/// What the clients of [`keep_alive_any_packet_counts`] send in each round, but for the one that
/// acknowledges messages.
fn packet_of(name: &str, topic: &str, id: u16) -> Packet {
    match name {
        "publishes" => Publish::new(topic, "for nobody").into(),
        "subscribes" => Subscribe::new(id, topic, QoS::AtMostOnce).into(),
        "unsubscribes" => Unsubscribe::new(id, topic).into(),
        _ => Packet::PingReq,
    }
}

async fn keep_alive_any_packet_counts(stage: &mut Stage) -> Outcome {
    const ROUNDS: [&str; 3] = ["first", "second", "third"];
    const NAMES: [&str; 5] = ["acknowledges", "pings", "publishes", "subscribes", "unsubscribes"];
    let (topic, other) = (stage.topic("held"), stage.topic("other"));
    let mut bob = stage.connected("bob").await?;
    stage.serves(&mut bob).await?;
    let mut clients: Vec<Client> = Vec::new();
    for name in NAMES {
        let mut client = with_keep_alive(stage, name, |connect| connect).await?;
        // To connect the others takes time that it has not.
        client.attend();
        if clients.is_empty() {
            client.probe.subscribe(&topic, QoS::AtLeastOnce).await?;
            let rounds = ROUNDS.map(str::to_owned);
            bob.publish_together(&topic, &rounds, QoS::AtLeastOnce).await?;
        }
        clients.push(client);
    }
    for client in &mut clients {
        client.fall_silent(stage).await?;
    }
    for _ in ROUNDS {
        let rest = clients.iter().map(Client::rest).min().unwrap_or_default();
        stage.wait(rest).await;
        // None waits for an answer: the time that one takes is not to come on top.
        for (client, name) in clients.iter_mut().zip(NAMES).skip(1) {
            let id = client.probe.packet_id();
            client.sends(stage, packet_of(name, &other, id)).await?;
        }
        let Some(acknowledges) = clients.first_mut() else { continue };
        // The target may have one message on its way, or be slow: without one any packet will do.
        let held = timeout(acknowledges.rest(), acknowledges.probe.message_or_silence()).await;
        let answer = match held.ok().transpose()?.flatten() {
            Some(message) => Packet::PubAck(PublishAck::new(message.packet_id)),
            None => Packet::PingReq,
        };
        acknowledges.sends(stage, answer).await?;
    }
    stage.claims();
    // A PINGRESP may be of before.
    let mut asked = Vec::new();
    for client in &mut clients {
        let id = client.probe.packet_id();
        client.sends(stage, Subscribe::new(id, stage.topic("last"), QoS::AtMostOnce)).await?;
        client.attend();
        asked.push(id);
    }
    for (client, id) in clients.iter_mut().zip(asked) {
        client.probe.suback(id).await?;
    }
    Ok(())
}

async fn keep_alive_publishes_will(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("will");
    let mut bob = stage.connected("bob").await?;
    let mut carol = stage.connected("carol").await?;
    carol.subscribe(&topic, QoS::AtLeastOnce).await?;
    // The control: the Will of another client.
    stage.no_will_on(&topic, &mut carol).await?;
    let will = Will::new(&topic, "will").qos(QoS::AtLeastOnce);
    let mut alice = with_keep_alive(stage, "alice", |connect| connect.will(will.clone())).await?;
    alice.attend();
    stage.nothing_on(&topic, &mut bob, &mut carol).await?;
    alice.fall_silent(stage).await?;
    times_out(stage, &mut alice).await?;
    stage.proving("U-3.1.2.5-1");
    carol.receives_will(&topic, "will").await?;
    stage.nothing_on(&topic, &mut bob, &mut carol).await
}

async fn keep_alive_keeps_session(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("kept");
    let mut bob = stage.connected("bob").await?;
    let kept = |connect: Connect| connect.session_expiry(60);
    let mut alice = with_keep_alive(stage, "alice", kept).await?;
    alice.attend();
    alice.probe.subscribe(&topic, QoS::AtLeastOnce).await?;
    alice.fall_silent(stage).await?;
    times_out(stage, &mut alice).await?;
    stage.proving("MQTT-3.1.2-23");
    stage.means();
    bob.publish(&topic, "while away", QoS::AtLeastOnce).await?;
    let mut alice = stage.open("alice").await?;
    let connack = alice.connect(kept(alice.connect_packet().resume())).await?;
    stage.is_resumed("MQTT-3.1.2-23", "alice", &connack).await?;
    stage.claims();
    stage.receives_kept(&mut alice, &topic, "while away").await.map(drop)
}

async fn keep_alive_zero_or_long(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("open");
    // One and a half times the second does not fit into two bytes, and leaves nothing there.
    let mut clients = Vec::new();
    for (name, seconds) in [("zero", 0), ("long", 43_691), ("longest", u16::MAX)] {
        clients
            .push((with_any_keep_alive(stage, name, seconds, |connect| connect).await?, seconds));
    }
    // Where the target sets a short one, no longer than that.
    let limits = clients.iter().map(|(client, _)| client.rest());
    let limits = limits.filter(|rest| *rest > Duration::ZERO);
    let limit = limits.chain([Duration::from_secs(4)]).min().unwrap_or_default();
    stage.wait(limit).await;
    let mut open = Vec::new();
    for (mut client, seconds) in clients {
        stage.proving(if seconds == 0 { "U-3.1.2.10-5" } else { "MQTT-3.1.2-22" });
        match client.probe.ended_within(Duration::from_millis(20)).await? {
            None => {
                stage.means();
                client.probe.subscribe(&topic, QoS::AtMostOnce).await?;
                open.push(client.probe);
            }
            Some(disconnect) => early(stage, disconnect.map(|packet| packet.reason))?,
        }
    }
    // All have sent something by now: what comes late keeps none of them waiting for too long.
    stage.means();
    for (mut probe, payload) in open.into_iter().zip(numbered(3)) {
        probe.publish(&topic, &payload, QoS::AtMostOnce).await?;
        probe.receives_sometime(&topic, &payload).await?;
    }
    Ok(())
}

/// Connects a client with the Keep Alive in force, which the target may have set itself (section
/// 3.2.2.3.14).
async fn with_any_keep_alive(
    stage: &mut Stage,
    name: &str,
    seconds: u16,
    change: impl FnOnce(Connect) -> Connect,
) -> Outcome<Client> {
    let mut probe = stage.open(name).await?;
    probe.leave_silent();
    let connect = change(probe.connect_packet().keep_alive(seconds));
    let connack = probe.connect_for_session(connect).await?;
    let set = connack.properties.number(PropertyId::ServerKeepAlive);
    let keep_alive = Duration::from_secs(u64::from(set.unwrap_or(u32::from(seconds))));
    Ok(Client { probe, keep_alive })
}

/// Connects a client that is to be silent for about its Keep Alive: a longer one where the path is slow.
pub(super) async fn with_keep_alive(
    stage: &mut Stage,
    name: &str,
    change: impl Fn(Connect) -> Connect,
) -> Outcome<Client> {
    let mut client = with_any_keep_alive(stage, name, KEEP_ALIVE, &change).await?;
    // CONNECT was its last packet so far.
    let needed = client.silence() * TRIPS;
    if client.keep_alive < needed && needed <= LONGEST {
        let seconds = needed.as_secs_f64().ceil() as u16;
        client.probe.leave().await?;
        client = with_any_keep_alive(stage, name, seconds, &change).await?;
    }
    match client.keep_alive {
        Duration::ZERO => stage.not_applicable("the target has no Keep Alive"),
        keep_alive if keep_alive > LONGEST => {
            stage.not_applicable(format!("the target sets a Keep Alive of {keep_alive:?}"))
        }
        _ => Ok(client),
    }
}

/// In what a target fails that does not close, whatever Keep Alive it was given time for.
fn still_open() -> String {
    format!("still open {} after that", TOLERANCE.said())
}

/// Waits for the close of the connection of a client that sends nothing more.
async fn times_out(stage: &mut Stage, client: &mut Client) -> Outcome {
    let (start, timeout) = (client.probe.last_sent(), client.timeout());
    let limit = timeout + TOLERANCE;
    let patience = limit.saturating_sub(start.elapsed());
    let Some(disconnect) = client.probe.ended_within(patience).await? else {
        let expected = "the connection closed after one and a half times its Keep Alive";
        return stage.fail(expected, still_open());
    };
    let reason = disconnect.map(|packet| packet.reason);
    // A second is allowed for clocks that count no less.
    if start.elapsed() + Duration::from_secs(1) < timeout {
        return early(stage, reason);
    }
    // 0x80 hides the reason, as a broker may.
    let fitting = [ReasonCode::KeepAliveTimeout, ReasonCode::UnspecifiedError];
    if let Some(reason) = reason.filter(|reason| !fitting.contains(reason)) {
        let expected = "DISCONNECT 0x8D (keep alive timeout), if any";
        let observed = format!("DISCONNECT 0x{:02X} ({})", reason.value(), reason.row().name);
        stage.advise("U-3.14.2.1-9", expected, observed);
    }
    Ok(())
}

/// Judges a close that came too early: it may have other reasons, unless it gives this one.
fn early(stage: &Stage, reason: Option<ReasonCode>) -> Outcome {
    const EXPECTED: &str = "the connection open within one and a half times its Keep Alive";
    match reason {
        Some(ReasonCode::KeepAliveTimeout) => stage.fail(EXPECTED, "a close for Keep Alive"),
        _ => {
            stage.advise("U-3.14.2.1-9", EXPECTED, "a close for some reason");
            Ok(())
        }
    }
}
