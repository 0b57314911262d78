//! Sections 3.1.2.4, 3.1.2.11.2 and 3.1.4: which session a client gets, and what becomes of the
//! connection it had.

use reference_broker::codec::{Connect, PropertyId, QoS, ReasonCode};
use std::time::Duration;

use super::{Scenario, Stage, scenario};
use crate::probe::Probe;
use crate::target::Need;
use crate::trace::Said;
use crate::verdict::Outcome;

const SESSION: &[Need] = &[Need::Sessions];

pub(super) const SCENARIOS: &[Scenario] = &[
    scenario!(
        "3.1/resume-finds-subscription",
        resume_finds_subscription,
        "A session is found again with its subscription and what was queued for it",
        ["MQTT-3.1.2-5", "U-4.1-4", "U-4.1-6"]
    )
    .needs(SESSION),
    scenario!(
        "3.1/clean-start-discards-session",
        clean_start_discards_session,
        "A clean start ends the session there was: its subscriptions, its queue, its exchanges",
        ["MQTT-3.1.2-4", "U-3.1.2.4-1"]
    )
    .needs(&[Need::Sessions, Need::QoS(QoS::ExactlyOnce)]),
    scenario!(
        "3.1/no-session-to-resume",
        no_session_to_resume,
        "A client that asks for a session there is not gets a new one",
        ["MQTT-3.1.2-6", "MQTT-3.2.2-3"]
    ),
    scenario!(
        "3.1/session-without-expiry-ends",
        session_without_expiry_ends,
        "Without a session expiry interval, or with 0, a session ends with its connection",
        ["U-3.1.2.11.2-2"]
    ),
    scenario!(
        "3.1/session-expires",
        session_expires,
        "A session is kept for its expiry interval, and gone a while after",
        ["U-3.1.2.11.2-2", "MQTT-3.1.2-23", "MQTT-4.1.0-2", "U-1.5.3-1"]
    )
    .needs(SESSION)
    .timed(16),
    scenario!(
        "3.1/long-expiry-does-not-overflow",
        long_expiry_does_not_overflow,
        "The longest session expiry intervals are not taken for short ones",
        ["MQTT-3.1.2-23", "U-3.1.2.11.2-3"]
    )
    .needs(SESSION)
    .timed(2),
    scenario!(
        "3.1/takeover-closes-old-connection",
        takeover_closes_old_connection,
        "A client that connects again takes over: its old connection is closed, each time",
        ["MQTT-3.1.4-3", "MQTT-3.1.4-5", "U-3.14.2.1-10"]
    ),
    scenario!(
        "3.1/takeover-resumes-session",
        takeover_resumes_session,
        "A takeover without a clean start goes on with the session, whose messages go on",
        ["MQTT-3.2.2-3", "MQTT-3.1.2-5", "MQTT-4.4.0-1"]
    )
    .needs(SESSION),
    scenario!(
        "3.1/takeover-with-clean-start",
        takeover_with_clean_start,
        "A takeover with a clean start begins with no session",
        ["MQTT-3.1.4-4", "MQTT-3.1.2-4", "MQTT-3.2.2-2"]
    )
    .needs(SESSION),
    scenario!(
        "3.1/takeover-without-expiry",
        takeover_without_expiry,
        "A session that ends with its connection is not there for who takes the connection over",
        ["U-3.1.2.11.2-2", "MQTT-3.1.4-3", "U-3.1.2.11.2-4"]
    ),
];

async fn resume_finds_subscription(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("queued");
    let mut alice = stage.with_session("alice", 60).await?;
    alice.subscribe(&topic, QoS::AtLeastOnce).await?;
    let mut bob = stage.connected("bob").await?;
    stage.nothing_on(&topic, &mut bob, &mut alice).await?;
    alice.leave().await?;
    bob.publish(&topic, "while away", QoS::AtLeastOnce).await?;

    stage.claims();
    let mut alice = stage.resumed("alice", 60).await?;
    stage.receives_kept(&mut alice, &topic, "while away").await?;
    stage.means();
    bob.publish(&topic, "back again", QoS::AtLeastOnce).await?;
    stage.proving("U-4.1-4");
    alice.receives(&topic, "back again").await.map(drop)
}

async fn clean_start_discards_session(stage: &mut Stage) -> Outcome {
    const ID: u16 = 9;
    let (topic, sent) = (stage.topic("queued"), stage.topic("sent"));
    let mut bob = stage.connected("bob").await?;
    bob.subscribe(&sent, QoS::ExactlyOnce).await?;
    let mut alice = stage.with_session("alice", 60).await?;
    alice.subscribe(&topic, QoS::AtLeastOnce).await?;
    stage.nothing_on_at(&sent, QoS::ExactlyOnce, &mut alice, &mut bob).await?;
    let publish =
        |payload| reference_broker::codec::Publish::new(&sent, payload).qos(QoS::ExactlyOnce, ID);
    alice.send(publish("unreleased")).await?;
    alice.pubrec(ID).await?;
    alice.vanish().await?;
    bob.publish(&topic, "queued", QoS::AtLeastOnce).await?;

    let mut alice = stage.open("alice").await?;
    let connack = alice.connect(alice.connect_packet()).await?;
    stage.is_new("U-3.1.2.4-1", &connack).await?;
    bob.publish(&topic, "no longer subscribed", QoS::AtLeastOnce).await?;
    alice.has_no_message().await?;
    alice.subscribe(&topic, QoS::AtLeastOnce).await?;
    stage.nothing_on(&topic, &mut bob, &mut alice).await?;
    // The identifier of the exchange that was open means a new message now. Of the old one,
    // delivery may have begun with its PUBLISH or not at all.
    stage.claims();
    alice.publish_with(publish("new")).await?;
    let mut received = bob.message("the new message").await?;
    bob.acknowledge(&received).await?;
    if *received.payload == *b"unreleased" {
        received = bob.message("the new message").await?;
        bob.acknowledge(&received).await?;
    }
    let observed = received.payload.said();
    stage.check(*received.payload == *b"new", "the new message", observed)
}

async fn no_session_to_resume(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("new");
    let mut alice = stage.open("alice").await?;
    stage.claims();
    let connack = alice.connect(alice.connect_packet().resume()).await?;
    stage.means();
    let present = connack.session_present;
    stage.check_of("MQTT-3.2.2-3", !present, "session_present 0", "session_present 1")?;
    alice.subscribe(&topic, QoS::AtLeastOnce).await?;
    let mut bob = stage.connected("bob").await?;
    stage.nothing_on(&topic, &mut bob, &mut alice).await
}

async fn session_without_expiry_ends(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("queued");
    let mut bob = stage.connected("bob").await?;
    let cases = [
        ("lost", None, true),
        ("lost0", Some(0), true),
        ("left", None, false),
        ("left0", Some(0), false),
    ];
    // The target may keep it for longer than it was asked to.
    let mut longest = 0;
    for (name, expiry, lost) in cases {
        let with_expiry = |connect: Connect| match expiry {
            Some(seconds) => connect.session_expiry(seconds),
            None => connect,
        };
        let mut alice = stage.connected_with(name, with_expiry).await?;
        longest = stage.is_worth_waiting(&alice)?.max(longest);
        alice.subscribe(&topic, QoS::AtLeastOnce).await?;
        stage.nothing_on(&topic, &mut bob, &mut alice).await?;
        match lost {
            true => alice.vanish().await?,
            false => alice.leave().await?,
        }
        bob.publish(&topic, "for nobody", QoS::AtLeastOnce).await?;
    }
    if longest > 0 {
        stage.wait_past(longest.into()).await;
    }
    for (name, ..) in cases {
        let mut alice = stage.not_resumed(name).await?;
        alice.has_no_message().await?;
        alice.leave().await?;
    }
    Ok(())
}

async fn session_expires(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("queued");
    let mut bob = stage.connected("bob").await?;
    // Longer than it is away, and shorter than it is away and was there before.
    let mut carol = stage.with_session("carol", 5).await?;
    let is_kept = carol.session_expiry() >= 5;
    carol.subscribe(&topic, QoS::AtLeastOnce).await?;
    let mut alice = just_kept_for(stage, "alice", 1, |connect| connect).await?;
    let kept = alice.session_expiry();
    alice.subscribe(&topic, QoS::AtLeastOnce).await?;
    // The interval does not run while the client is there.
    stage.wait(Duration::from_secs(2)).await;
    stage.nothing_on(&topic, &mut bob, &mut alice).await?;
    alice.leave().await?;
    carol.receives(&topic, "marker 1").await?;
    carol.leave().await?;
    stage.wait(Duration::from_millis(3500)).await;

    if is_kept {
        let mut carol = stage.open("carol").await?;
        let connack = carol.connect(carol.connect_packet().resume().session_expiry(5)).await?;
        stage.is_resumed("MQTT-3.1.2-23", "carol", &connack).await?;
    }
    stage.wait_past(kept.saturating_sub(1).into()).await;
    let mut alice = stage.open("alice").await?;
    let connack = alice.connect(alice.connect_packet().resume()).await?;
    stage.is_new("MQTT-4.1.0-2", &connack).await
}

/// Connects a client whose session is kept for so long, or as long as the target makes of that: not
/// longer than one can wait for.
pub(super) async fn just_kept_for(
    stage: &mut Stage,
    name: &str,
    seconds: u32,
    change: impl FnOnce(Connect) -> Connect,
) -> Outcome<Probe> {
    let probe = stage.connected_with(name, |c| change(c.session_expiry(seconds))).await?;
    stage.is_worth_waiting(&probe)?;
    Ok(probe)
}

async fn long_expiry_does_not_overflow(stage: &mut Stage) -> Outcome {
    let expiries = [0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFE, 0xFFFF_FFFF_u32];
    let mut expected = Vec::new();
    for (name, expiry) in ["alice", "bob", "carol", "dave"].into_iter().zip(expiries) {
        let mut probe = stage.open(name).await?;
        let connack = probe.connect(probe.connect_packet().session_expiry(expiry)).await?;
        probe.leave().await?;
        let given = connack.properties.number(PropertyId::SessionExpiryInterval);
        if given.unwrap_or(expiry) >= 6 {
            expected.push((name, expiry));
        }
    }
    if expected.is_empty() {
        return stage.not_applicable("the target keeps sessions for less than 6 s");
    }
    stage.wait(Duration::from_secs(2)).await;
    for (name, expiry) in expected {
        let mut probe = stage.open(name).await?;
        let connack = probe.connect(probe.connect_packet().resume()).await?;
        let longest = expiry == u32::MAX;
        let requirement = if longest { "U-3.1.2.11.2-3" } else { "MQTT-3.1.2-23" };
        stage.is_resumed(requirement, name, &connack).await?;
        stage.serves(&mut probe).await?;
    }
    Ok(())
}

async fn takeover_closes_old_connection(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("hello");
    let mut bob = stage.connected("bob").await?;
    let mut alice = stage.connected("alice").await?;
    for number in 0..5 {
        alice.ping().await?;
        stage.proving("MQTT-3.1.4-5");
        let newer = stage.connected("alice").await?;
        stage.proving("MQTT-3.1.4-3");
        let mut older = std::mem::replace(&mut alice, newer);
        match number {
            0 => older.closes_for(ReasonCode::SessionTakenOver).await?,
            _ => older.closes().await?,
        }
    }
    alice.subscribe(&topic, QoS::AtLeastOnce).await?;
    stage.nothing_on(&topic, &mut bob, &mut alice).await
}

async fn takeover_resumes_session(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("hello");
    let mut bob = stage.connected("bob").await?;
    let mut older = stage.with_session("alice", 60).await?;
    older.subscribe(&topic, QoS::AtLeastOnce).await?;
    bob.publish(&topic, "unacknowledged", QoS::AtLeastOnce).await?;
    let first = older.holds(&topic, "unacknowledged").await?;
    let mut newer = stage.resumed("alice", 60).await?;
    stage.proving("MQTT-4.4.0-1");
    let again = newer.receives(&topic, "unacknowledged").await?;
    let observed = format!("packet_id {} dup {}", again.packet_id, again.dup);
    let same = again.dup && again.packet_id == first.packet_id;
    stage.check(
        same,
        &format!("the message with packet_id {} and DUP", first.packet_id),
        observed,
    )?;
    stage.means();
    bob.publish(&topic, "taken over", QoS::AtLeastOnce).await?;
    stage.proving("MQTT-3.1.2-5");
    newer.receives(&topic, "taken over").await.map(drop)
}

async fn takeover_with_clean_start(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("hello");
    let mut bob = stage.connected("bob").await?;
    let mut older = stage.with_session("alice", 60).await?;
    older.subscribe(&topic, QoS::AtLeastOnce).await?;
    bob.publish(&topic, "unacknowledged", QoS::AtLeastOnce).await?;
    older.holds(&topic, "unacknowledged").await?;
    let mut newer = stage.open("alice").await?;
    let connack = newer.connect(newer.connect_packet().session_expiry(60)).await?;
    stage.is_new("MQTT-3.2.2-2", &connack).await?;
    bob.publish(&topic, "no longer subscribed", QoS::AtLeastOnce).await?;
    newer.has_no_message().await?;
    newer.subscribe(&topic, QoS::AtLeastOnce).await?;
    stage.nothing_on(&topic, &mut bob, &mut newer).await
}

async fn takeover_without_expiry(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("hello");
    let mut bob = stage.connected("bob").await?;
    let mut older = stage.connected("alice").await?;
    older.subscribe(&topic, QoS::AtLeastOnce).await?;
    stage.nothing_on(&topic, &mut bob, &mut older).await?;
    let mut newer = stage.open("alice").await?;
    let connack = newer.connect(newer.connect_packet().resume()).await?;
    stage.proving("MQTT-3.1.4-3");
    older.closes().await?;
    stage.means();
    newer.ping().await?;
    if connack.session_present && older.session_expiry() == 0 {
        stage.denies_strangers().await?;
        // The order of the steps of a takeover is told, but not laid down.
        stage.advise("U-3.1.2.11.2-4", "session_present 0", "session_present 1");
    }
    Ok(())
}
