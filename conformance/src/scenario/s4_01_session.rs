//! Section 4.1: Session State.

use std::time::Duration;

use reference_broker::codec::{PropertyId, Publish, QoS, SubscriptionOptions};

use super::copies::{numbered, text};
use super::{Scenario, Stage, scenario};
use crate::target::Need;
use crate::trace::Said;
use crate::verdict::{Outcome, step};

pub(super) const SCENARIOS: &[Scenario] = &[
    scenario!(
        "4.1/empty-session-exists",
        empty_session_exists,
        "A session is found again even if it holds nothing",
        ["U-4.1-3", "MQTT-3.2.2-3"]
    ),
    scenario!(
        "4.1/maximum-qos-and-no-local-kept",
        maximum_qos_and_no_local_kept,
        "A resumed session has its subscriptions with their maximum QoS and No Local",
        ["U-4.1-4"]
    ),
    scenario!(
        "4.1/retain-as-published-kept",
        retain_as_published_kept,
        "A resumed session has its subscriptions with their Retain As Published",
        ["U-4.1-4"]
    )
    .needs(&[Need::Retain]),
    scenario!(
        "4.1/subscription-identifier-kept",
        subscription_identifier_kept,
        "A resumed session has its subscriptions with their Subscription Identifiers",
        ["U-4.1-4"]
    )
    .needs(&[Need::SubscriptionIdentifiers]),
    scenario!(
        "4.1/queue-kept",
        queue_kept,
        "QoS 1 and 2 messages published meanwhile come on resume, in order, as first copies",
        ["U-4.1-6", "MQTT-4.5.0-1", "MQTT-3.3.1-1", "MQTT-4.6.0-5"]
    )
    .plain(&[step::DELIVER_KEPT])
    .needs(&[Need::QoS(QoS::AtLeastOnce)]),
    scenario!(
        "4.1/no-expiry-ends-with-connection",
        no_expiry_ends_with_connection,
        "Without a Session Expiry Interval the session ends with its connection",
        ["U-4.1-1", "U-3.1.2.11.2-2"]
    ),
    scenario!(
        "4.1/expired-session-is-gone",
        expired_session_is_gone,
        "When the interval of the last connection has passed, nothing of the session is left",
        ["MQTT-4.1.0-2", "U-4.1-1"]
    )
    .needs(&[Need::Sessions])
    .timed(12),
    scenario!(
        "4.1/expiry-starts-anew",
        expiry_starts_anew,
        "The interval begins with the close of each connection, not with that of the first",
        ["U-4.1-1", "MQTT-3.1.2-23"]
    )
    .timed(5),
    scenario!(
        "4.1/open-connection-never-expires",
        open_connection_never_expires,
        "A session does not expire while its connection is open",
        ["MQTT-4.1.0-1", "U-4.1-1"]
    )
    .timed(3),
    scenario!(
        "4.1/clean-start-discards-subscriptions",
        clean_start_discards_subscriptions,
        "A clean start leaves nothing of subscriptions, queue and messages on their way",
        ["MQTT-3.1.2-4"]
    )
    .needs(&[Need::QoS(QoS::AtLeastOnce)]),
    scenario!(
        "4.1/clean-start-forgets-received",
        clean_start_forgets_received,
        "After a clean start the Packet Identifier of a half-received message is a new one",
        ["MQTT-3.1.2-4"]
    )
    .breaks(&["MQTT-4.3.3-2"])
    .needs(&[Need::QoS(QoS::ExactlyOnce)]),
    scenario!(
        "4.1/takeover-goes-on",
        takeover_goes_on,
        "A new connection takes the session over and keeps it when the old one is closed",
        ["U-4.1-1", "MQTT-3.1.4-3", "U-4.1-4"]
    ),
    scenario!(
        "4.1/takeover-with-clean-start",
        takeover_with_clean_start,
        "A new connection with a clean start ends the session of the old one",
        ["MQTT-3.1.2-4", "MQTT-3.1.4-3"]
    ),
    scenario!(
        "4.1/sessions-are-apart",
        sessions_are_apart,
        "Each Client Identifier finds its own session, and nothing of another's",
        ["MQTT-3.1.3-2", "U-4.1-6"]
    ),
    scenario!(
        "4.1/retained-outlive-session",
        retained_outlive_session,
        "Retained messages stay when the session that published them ends",
        ["U-4.1-10"]
    )
    .needs(&[Need::Retain]),
];

async fn empty_session_exists(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("later");
    stage.with_session("alice", 60).await?.leave().await?;
    let mut alice = stage.resumed("alice", 60).await?;
    alice.subscribe(&topic, QoS::AtLeastOnce).await?;
    let mut bob = stage.connected("bob").await?;
    stage.nothing_on(&topic, &mut bob, &mut alice).await
}

async fn maximum_qos_and_no_local_kept(stage: &mut Stage) -> Outcome {
    let (foreign, lossy) = (stage.topic("foreign"), stage.topic("lossy"));
    let no_local =
        SubscriptionOptions { no_local: true, ..SubscriptionOptions::at(QoS::AtLeastOnce) };
    let mut bob = stage.connected("bob").await?;
    let mut alice = stage.with_session("alice", 60).await?;
    alice.subscribe_with(&foreign, no_local).await?;
    alice.subscribe(&lossy, QoS::AtMostOnce).await?;
    stage.nothing_on(&foreign, &mut bob, &mut alice).await?;
    alice.leave().await?;

    let mut alice = stage.resumed("alice", 60).await?;
    alice.publish(&foreign, "own", QoS::AtLeastOnce).await?;
    bob.publish(&foreign, "foreign", QoS::AtLeastOnce).await?;
    stage.claims();
    alice.receives(&foreign, "foreign").await?;
    stage.means();
    bob.publish(&lossy, "at most once", QoS::AtLeastOnce).await?;
    stage.claims();
    let publish = alice.receives(&lossy, "at most once").await?;
    stage.check(publish.qos == QoS::AtMostOnce, "QoS 0, as granted", publish.qos.said())
}

async fn retain_as_published_kept(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("flag");
    let as_published = SubscriptionOptions {
        retain_as_published: true,
        ..SubscriptionOptions::at(QoS::AtLeastOnce)
    };
    let mut bob = stage.connected("bob").await?;
    let mut alice = stage.with_session("alice", 60).await?;
    alice.subscribe_with(&topic, as_published).await?;
    stage.nothing_on(&topic, &mut bob, &mut alice).await?;
    alice.leave().await?;

    let mut alice = stage.resumed("alice", 60).await?;
    let id = bob.packet_id();
    bob.publish_with(Publish::new(topic.as_str(), "kept").qos(QoS::AtLeastOnce, id).retain())
        .await?;
    stage.claims();
    let publish = alice.receives(&topic, "kept").await?;
    stage.check(publish.retain, "RETAIN 1, as published", "RETAIN 0")
}

async fn subscription_identifier_kept(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("known");
    let mut bob = stage.connected("bob").await?;
    let mut alice = stage.with_session("alice", 60).await?;
    alice.subscribe_identified(&topic, SubscriptionOptions::at(QoS::AtLeastOnce), 300).await?;
    stage.nothing_on(&topic, &mut bob, &mut alice).await?;
    alice.leave().await?;

    let mut alice = stage.resumed("alice", 60).await?;
    bob.publish(&topic, "hello", QoS::AtLeastOnce).await?;
    stage.claims();
    let publish = alice.receives(&topic, "hello").await?;
    let found = publish.properties.number(PropertyId::SubscriptionIdentifier);
    stage.check(found == Some(300), "subscription_identifier=300", found.said())
}

async fn queue_kept(stage: &mut Stage) -> Outcome {
    for qos in stage.acknowledged_levels() {
        let topic = stage.topic(&format!("queue{}", qos.value()));
        let mut alice = stage.with_session("alice", 60).await?;
        alice.subscribe(&topic, qos).await?;
        alice.leave().await?;
        let mut bob = stage.connected("bob").await?;
        for payload in numbered(5) {
            bob.publish(&topic, &payload, qos).await?;
        }

        let mut alice = stage.resumed("alice", 60).await?;
        stage.claims();
        for payload in numbered(5) {
            let publish = alice.receives(&topic, &payload).await?;
            let about = "MQTT-3.3.1-1";
            stage.check_of(about, !publish.dup, "DUP 0 on a first copy", "DUP 1")?;
        }
        stage.means();
        stage.nothing_on_at(&topic, qos, &mut bob, &mut alice).await?;
        alice.leave().await?;
    }
    Ok(())
}

async fn no_expiry_ends_with_connection(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("forgotten");
    let mut alice = stage.open("alice").await?;
    alice.connect(alice.connect_packet().keep_alive(3600)).await?;
    // The target may keep it for longer than it was asked to.
    let kept = stage.is_worth_waiting(&alice)?;
    alice.subscribe(&topic, QoS::AtLeastOnce).await?;
    let mut bob = stage.connected("bob").await?;
    bob.publish(&topic, "heard", QoS::AtLeastOnce).await?;
    alice.receives(&topic, "heard").await?;
    alice.leave().await?;
    bob.publish(&topic, "missed", QoS::AtLeastOnce).await?;
    if kept > 0 {
        stage.wait_past(kept.into()).await;
    }

    let mut alice = stage.not_resumed("alice").await?;
    bob.publish(&topic, "not subscribed", QoS::AtLeastOnce).await?;
    alice.subscribe(&topic, QoS::AtLeastOnce).await?;
    stage.nothing_on(&topic, &mut bob, &mut alice).await
}

async fn expired_session_is_gone(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("expiring");
    let mut bob = stage.connected("bob").await?;
    let mut alice = stage.with_session("alice", 60).await?;
    alice.subscribe(&topic, QoS::AtLeastOnce).await?;
    alice.vanish().await?;
    let mut alice = stage.resumed("alice", 1).await?;
    let kept = stage.is_worth_waiting(&alice)?;
    bob.publish(&topic, "in time", QoS::AtLeastOnce).await?;
    alice.receives(&topic, "in time").await?;
    alice.vanish().await?;
    bob.publish(&topic, "too old", QoS::AtLeastOnce).await?;
    stage.wait_past(kept.into()).await;

    let mut alice = stage.not_resumed("alice").await?;
    bob.publish(&topic, "not subscribed", QoS::AtLeastOnce).await?;
    alice.subscribe(&topic, QoS::AtLeastOnce).await?;
    stage.nothing_on(&topic, &mut bob, &mut alice).await
}

async fn expiry_starts_anew(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("patient");
    let mut bob = stage.connected("bob").await?;
    let mut alice = stage.with_session("alice", 4).await?;
    stage.is_kept_for(&alice, 4)?;
    alice.subscribe(&topic, QoS::AtLeastOnce).await?;
    stage.nothing_on(&topic, &mut bob, &mut alice).await?;
    alice.ping().await?; // What it acknowledged is not to come again.
    for payload in ["first", "second"] {
        alice.vanish().await?;
        bob.publish(&topic, payload, QoS::AtLeastOnce).await?;
        stage.wait(Duration::from_millis(2500)).await;
        alice = stage.back("alice", 4).await?;
        stage.claims();
        stage.receives_kept(&mut alice, &topic, payload).await?;
        stage.means();
        alice.ping().await?;
    }
    stage.nothing_on(&topic, &mut bob, &mut alice).await
}

async fn open_connection_never_expires(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("lasting");
    let mut bob = stage.connected("bob").await?;
    let mut old = stage.with_session("alice", 1).await?;
    old.subscribe(&topic, QoS::AtLeastOnce).await?;
    stage.nothing_on(&topic, &mut bob, &mut old).await?;
    stage.wait(Duration::from_secs(3)).await;
    bob.publish(&topic, "still there", QoS::AtLeastOnce).await?;
    stage.claims();
    old.receives(&topic, "still there").await?;
    stage.means();
    old.ping().await?;

    // A takeover: the session is at no time without a connection.
    let mut alice = stage.back("alice", 1).await?;
    bob.publish(&topic, "to the new", QoS::AtLeastOnce).await?;
    stage.claims();
    alice.receives(&topic, "to the new").await.map(drop)
}

async fn clean_start_discards_subscriptions(stage: &mut Stage) -> Outcome {
    for qos in stage.acknowledged_levels() {
        let topic = stage.topic(&format!("old{}", qos.value()));
        let mut bob = stage.connected("bob").await?;
        let mut alice = stage.with_session("alice", 60).await?;
        alice.subscribe(&topic, qos).await?;
        bob.publish(&topic, "on its way", qos).await?;
        alice.holds(&topic, "on its way").await?;
        alice.vanish().await?;
        bob.publish(&topic, "queued", qos).await?;

        let mut alice = stage.with_session("alice", 60).await?;
        alice.has_no_message().await?;
        bob.publish(&topic, "not subscribed", qos).await?;
        alice.subscribe(&topic, qos).await?;
        stage.nothing_on_at(&topic, qos, &mut bob, &mut alice).await?;
        alice.leave().await?;
    }
    Ok(())
}

async fn clean_start_forgets_received(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("half");
    let mut bob = stage.connected("bob").await?;
    bob.subscribe(&topic, QoS::ExactlyOnce).await?;
    let mut alice = stage.with_session("alice", 60).await?;
    stage.nothing_on_at(&topic, QoS::ExactlyOnce, &mut alice, &mut bob).await?;
    let publish = |payload| Publish::new(topic.as_str(), payload).qos(QoS::ExactlyOnce, 258);
    alice.send(publish("first")).await?;
    alice.pubrec(258).await?;
    alice.vanish().await?;

    let mut alice = stage.with_session("alice", 60).await?;
    stage.claims();
    alice.publish_with(publish("second").dup()).await?;
    // Whether the first was handed on before its PUBREL is the broker's choice.
    let mut next = bob.message("PUBLISH \"second\"").await?;
    bob.acknowledge(&next).await?;
    if text(&next) == "first" {
        next = bob.message("PUBLISH \"second\"").await?;
        bob.acknowledge(&next).await?;
    }
    stage.check(text(&next) == "second", "PUBLISH \"second\", a new message", text(&next))
}

async fn takeover_goes_on(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("handed");
    let mut bob = stage.connected("bob").await?;
    let mut old = stage.with_session("alice", 60).await?;
    old.subscribe(&topic, QoS::AtLeastOnce).await?;
    bob.publish(&topic, "to the old", QoS::AtLeastOnce).await?;
    old.receives(&topic, "to the old").await?;
    old.ping().await?;

    let mut alice = stage.back("alice", 60).await?;
    stage.proving("MQTT-3.1.4-3");
    old.closes().await?;
    stage.proving("U-4.1-4");
    stage.means();
    bob.publish(&topic, "to the new", QoS::AtLeastOnce).await?;
    stage.claims();
    alice.receives(&topic, "to the new").await?;
    stage.nothing_on(&topic, &mut bob, &mut alice).await
}

async fn takeover_with_clean_start(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("dropped");
    let mut bob = stage.connected("bob").await?;
    let mut old = stage.with_session("alice", 60).await?;
    old.subscribe(&topic, QoS::AtLeastOnce).await?;
    bob.publish(&topic, "held", QoS::AtLeastOnce).await?;
    old.holds(&topic, "held").await?;

    let mut alice = stage.with_session("alice", 60).await?;
    stage.proving("MQTT-3.1.4-3");
    old.closes().await?;
    stage.proving("MQTT-3.1.2-4");
    stage.means();
    bob.publish(&topic, "not subscribed", QoS::AtLeastOnce).await?;
    alice.subscribe(&topic, QoS::AtLeastOnce).await?;
    stage.nothing_on(&topic, &mut bob, &mut alice).await
}

async fn sessions_are_apart(stage: &mut Stage) -> Outcome {
    // Names that differ in case, in one letter, and in length.
    const NAMES: [&str; 4] = ["alice", "alicE", "alicf", "alic"];
    let mut bob = stage.connected("bob").await?;
    for name in NAMES {
        let topic = stage.topic(name);
        let mut probe = stage.with_session(name, 60).await?;
        probe.subscribe(&topic, QoS::AtLeastOnce).await?;
        probe.leave().await?;
    }
    for name in NAMES {
        bob.publish(&stage.topic(name), name, QoS::AtLeastOnce).await?;
    }
    for name in NAMES.into_iter().rev() {
        let topic = stage.topic(name);
        let mut probe = stage.back(name, 60).await?;
        stage.claims();
        stage.receives_kept(&mut probe, &topic, name).await?;
        stage.means();
        stage.nothing_on(&topic, &mut bob, &mut probe).await?;
    }
    Ok(())
}

async fn retained_outlive_session(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("retained");
    let mut alice = stage.connected("alice").await?;
    let id = alice.packet_id();
    alice
        .publish_with(Publish::new(topic.as_str(), "kept").qos(QoS::AtLeastOnce, id).retain())
        .await?;
    let mut carol = stage.connected("carol").await?;
    carol.subscribe(&topic, QoS::AtLeastOnce).await?;
    carol.receives(&topic, "kept").await?;
    alice.leave().await?;
    let mut alice = stage.connected("alice").await?;
    alice.ping().await?;

    let mut bob = stage.connected("bob").await?;
    bob.subscribe(&topic, QoS::AtLeastOnce).await?;
    stage.claims();
    bob.receives(&topic, "kept").await.map(drop)
}
