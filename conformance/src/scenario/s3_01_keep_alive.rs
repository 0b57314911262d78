//! Section 3.1: CONNECT, its Keep Alive.

use std::time::Duration;

use reference_broker::codec::{
    Connect, Packet, PropertyId, QoS, ReasonCode, Subscribe, Unsubscribe, Will,
};
use tokio::time::Instant;

use super::{Scenario, Stage, scenario};
use crate::probe::Probe;
use crate::target::Need;
use crate::verdict::Outcome;

pub(super) const SCENARIOS: &[Scenario] = &[
    scenario!(
        "3.1/keep-alive-closes",
        keep_alive_closes,
        "A client silent for one and a half times its Keep Alive is disconnected, and not before",
        ["MQTT-3.1.2-22", "MQTT-3.2.2-22", "U-3.14.2.1-9", "U-3.1.4-6"]
    )
    .breaks(&["MQTT-3.1.2-20"])
    .timed(4),
    scenario!(
        "3.1/keep-alive-of-resumption-counts",
        keep_alive_of_resumption_counts,
        "A session that goes on has the Keep Alive of its new connection",
        ["MQTT-3.1.2-22"]
    )
    .breaks(&["MQTT-3.1.2-20"])
    .needs(&[Need::Sessions])
    .timed(4),
    scenario!(
        "3.1/keep-alive-ignores-deliveries",
        keep_alive_ignores_deliveries,
        "What the broker sends to a silent client does not keep it alive",
        ["MQTT-3.1.2-22"]
    )
    .breaks(&["MQTT-3.1.2-20"])
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
    .breaks(&["MQTT-3.1.2-20"])
    .needs(UP_TO_1)
    .timed(4),
    scenario!(
        "3.1/keep-alive-keeps-session",
        keep_alive_keeps_session,
        "The session of a client that exceeded its Keep Alive waits for it as after a lost network",
        ["MQTT-3.1.2-22", "MQTT-3.1.2-23"]
    )
    .breaks(&["MQTT-3.1.2-20"])
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

const UP_TO_1: &[Need] = &[Need::QoS(QoS::AtLeastOnce)];

/// The Keep Alive of those who exceed it, in seconds, unless the target sets another (section
/// 3.2.2.3.14): brokers that look once a second are not blamed for that.
const KEEP_ALIVE: u16 = 2;

/// A Keep Alive that the target sets is waited for up to here, in seconds.
const LONGEST: u32 = 10;

/// How long after its time a connection is to be closed at the latest: no tolerance is given, so be it
/// large.
const TOLERANCE: Duration = Duration::from_secs(6);

/// A client that is to exceed its Keep Alive.
struct Idle {
    probe: Probe,
    /// The Keep Alive in force, in seconds.
    keep_alive: u32,
}

impl Idle {
    /// One and a half times its Keep Alive.
    fn timeout(&self) -> Duration {
        Duration::from_millis(1500) * self.keep_alive
    }

    /// For how long after its last packet it may be connected.
    fn limit(&self) -> Duration {
        self.timeout() + TOLERANCE
    }
}

async fn keep_alive_closes(stage: &mut Stage) -> Outcome {
    // The CONNECT counts as well as any later packet.
    let mut alice = with_keep_alive(stage, "alice", |connect| connect).await?;
    let mut bob = with_keep_alive(stage, "bob", |connect| connect).await?;
    bob.probe.ping().await?;
    let start = Instant::now();
    times_out(stage, &mut alice, start).await?;
    times_out(stage, &mut bob, start).await
}

async fn keep_alive_of_resumption_counts(stage: &mut Stage) -> Outcome {
    let mut alice = stage.with_session("alice", 60).await?;
    alice.ping().await?;
    alice.leave().await?;
    let resume = |connect: Connect| connect.resume().session_expiry(60);
    let mut alice = with_keep_alive(stage, "alice", resume).await?;
    times_out(stage, &mut alice, Instant::now()).await
}

async fn keep_alive_ignores_deliveries(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("stream");
    let mut bob = stage.connected("bob").await?;
    let mut alice = with_keep_alive(stage, "alice", |connect| connect).await?;
    alice.probe.subscribe(&topic, QoS::AtMostOnce).await?;
    let (start, limit) = (Instant::now(), alice.limit());
    bob.publish(&topic, "first", QoS::AtMostOnce).await?;
    alice.probe.receives(&topic, "first").await?;
    while start.elapsed() < limit {
        bob.publish(&topic, "more", QoS::AtMostOnce).await?;
        if alice.probe.ended_within(Duration::from_millis(300)).await?.is_some() {
            return Ok(());
        }
    }
    stage.fail("the connection closed in spite of deliveries", format!("open after {limit:?}"))
}

async fn keep_alive_any_packet_counts(stage: &mut Stage) -> Outcome {
    const ROUNDS: [&str; 3] = ["first", "second", "third"];
    let topic = stage.topic("held");
    let mut bob = stage.connected("bob").await?;
    let Idle { probe: mut acknowledges, keep_alive } =
        with_keep_alive(stage, "acknowledges", |connect| connect).await?;
    // Three of these are more than the time allowed, one is less.
    let pause = Duration::from_millis(750) * keep_alive;
    acknowledges.subscribe(&topic, QoS::AtLeastOnce).await?;
    let rounds = ROUNDS.map(str::to_owned);
    bob.publish_together(&topic, &rounds, QoS::AtLeastOnce).await?;
    let mut probes = Vec::new();
    for name in ["pings", "publishes", "subscribes", "unsubscribes"] {
        probes.push(with_keep_alive(stage, name, |connect| connect).await?.probe);
    }
    let [pings, publishes, subscribes, unsubscribes] = &mut probes[..] else {
        return stage.fail("four clients", "others");
    };
    for payload in ROUNDS {
        // The target may have no more than one message on its way.
        let held = acknowledges.holds(&topic, payload).await?;
        stage.wait(pause).await;
        // None waits for an answer: the time that one takes is not to come on top.
        let (other, id) = (stage.topic("other"), subscribes.packet_id());
        acknowledges.acknowledge(&held).await?;
        pings.send(Packet::PingReq).await?;
        publishes.publish(&other, "for nobody", QoS::AtMostOnce).await?;
        subscribes.send(Subscribe::new(id, other.as_str(), QoS::AtMostOnce)).await?;
        unsubscribes.send(Unsubscribe::new(id, other)).await?;
    }
    for probe in [&mut acknowledges].into_iter().chain(probes.iter_mut()) {
        probe.ping().await?;
    }
    Ok(())
}

async fn keep_alive_publishes_will(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("will");
    let mut bob = stage.connected("bob").await?;
    let mut carol = stage.connected("carol").await?;
    carol.subscribe(&topic, QoS::AtLeastOnce).await?;
    let will = Will::new(&topic, "will").qos(QoS::AtLeastOnce);
    let mut alice = with_keep_alive(stage, "alice", |connect| connect.will(will)).await?;
    alice.probe.ping().await?;
    let start = Instant::now();
    stage.nothing_on(&topic, &mut bob, &mut carol).await?;
    times_out(stage, &mut alice, start).await?;
    stage.proving("U-3.1.2.5-1");
    carol.receives_will(&topic, "will").await?;
    stage.nothing_on(&topic, &mut bob, &mut carol).await
}

async fn keep_alive_keeps_session(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("kept");
    let mut bob = stage.connected("bob").await?;
    let kept = |connect: Connect| connect.session_expiry(60);
    let mut alice = with_keep_alive(stage, "alice", kept).await?;
    alice.probe.subscribe(&topic, QoS::AtLeastOnce).await?;
    times_out(stage, &mut alice, Instant::now()).await?;
    stage.proving("MQTT-3.1.2-23");
    bob.publish(&topic, "while away", QoS::AtLeastOnce).await?;
    let mut alice = stage.resumed("alice", 60).await?;
    alice.receives(&topic, "while away").await.map(drop)
}

async fn keep_alive_zero_or_long(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("open");
    // One and a half times the second does not fit into two bytes, and leaves nothing there.
    let mut probes = Vec::new();
    for (name, seconds) in [("zero", 0), ("long", 43_691), ("longest", u16::MAX)] {
        match with_any_keep_alive(stage, name, seconds, |connect| connect).await? {
            (probe, 0 | 5..) => probes.push((probe, seconds)),
            (_, short) => {
                return stage.not_applicable(format!("the target sets a Keep Alive of {short} s"));
            }
        }
    }
    stage.wait(Duration::from_secs(4)).await;
    for (mut probe, seconds) in probes {
        stage.proving(if seconds == 0 { "U-3.1.2.10-5" } else { "MQTT-3.1.2-22" });
        match probe.ended_within(Duration::from_millis(100)).await? {
            None => {
                probe.subscribe(&topic, QoS::AtMostOnce).await?;
                probe.publish(&topic, "still there", QoS::AtMostOnce).await?;
                probe.receives(&topic, "still there").await?;
            }
            Some(disconnect) => early(stage, disconnect.map(|packet| packet.reason))?,
        }
    }
    Ok(())
}

/// Connects a client; gives the Keep Alive in force too, which the target may have set itself
/// (section 3.2.2.3.14).
async fn with_any_keep_alive(
    stage: &mut Stage,
    name: &str,
    seconds: u16,
    change: impl FnOnce(Connect) -> Connect,
) -> Outcome<(Probe, u32)> {
    let mut probe = stage.open(name).await?;
    let connect = change(probe.connect_packet().keep_alive(seconds));
    let connack = probe.connect_for_session(connect).await?;
    let in_force = connack.properties.number(PropertyId::ServerKeepAlive);
    Ok((probe, in_force.unwrap_or(u32::from(seconds))))
}

/// Connects a client that is to exceed its Keep Alive.
async fn with_keep_alive(
    stage: &mut Stage,
    name: &str,
    change: impl FnOnce(Connect) -> Connect,
) -> Outcome<Idle> {
    match with_any_keep_alive(stage, name, KEEP_ALIVE, change).await? {
        (probe, keep_alive @ 1..=LONGEST) => Ok(Idle { probe, keep_alive }),
        (_, other) => stage.not_applicable(format!("the target sets a Keep Alive of {other} s")),
    }
}

/// Waits for the close of the connection of a client that sent its last packet before `start`.
async fn times_out(stage: &mut Stage, idle: &mut Idle, start: Instant) -> Outcome {
    let (timeout, limit) = (idle.timeout(), idle.limit());
    let patience = limit.saturating_sub(start.elapsed());
    let Some(disconnect) = idle.probe.ended_within(patience).await? else {
        let expected = format!("the connection closed after {timeout:?} of silence");
        return stage.fail(&expected, format!("still open after {limit:?}"));
    };
    let reason = disconnect.map(|packet| packet.reason);
    // A second is allowed for clocks that count no less.
    if start.elapsed() < timeout.saturating_sub(Duration::from_secs(1)) {
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
