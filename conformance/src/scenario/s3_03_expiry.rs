//! Section 3.3.2.3.3: Message Expiry Interval.

use std::time::Duration;

use reference_broker::codec::{PropertyId, Publish, QoS};
use tokio::time::Instant;

use super::{Scenario, Stage, scenario};
use crate::probe::Probe;
use crate::target::Need;
use crate::trace::packet_text;
use crate::verdict::Outcome;

pub(super) const SCENARIOS: &[Scenario] = &[
    scenario!(
        "3.3/expiry-live",
        expiry_live,
        "A message that is passed on at once has the Message Expiry Interval it came with",
        ["MQTT-3.3.2-6"]
    )
    .needs(UP_TO_1),
    scenario!(
        "3.3/expiry-queued-counts-down",
        expiry_queued_counts_down,
        "The Message Expiry Interval is less by the time a message waited for its subscriber",
        ["MQTT-3.3.2-6"]
    )
    .needs(UP_TO_1)
    .timed(3),
    scenario!(
        "3.3/expiry-nearly-over",
        expiry_nearly_over,
        "A message that is sent on in the last second of its time has a Message Expiry Interval",
        ["MQTT-3.3.2-6"]
    )
    .needs(UP_TO_1)
    .timed(3),
    scenario!(
        "3.3/expiry-queued-drops",
        expiry_queued_drops,
        "Of the messages that wait, those whose time is over do not come, at QoS 1 or 2; others do",
        ["MQTT-3.3.2-5", "MQTT-4.6.0-5"]
    )
    .needs(UP_TO_1)
    .timed(3),
    scenario!(
        "3.3/expiry-by-subscriber",
        expiry_by_subscriber,
        "An expired message is gone for those who were away, and came to those who were there",
        ["MQTT-3.3.2-5"]
    )
    .needs(UP_TO_1)
    .timed(4),
    scenario!(
        "3.3/expiry-behind-receive-maximum",
        expiry_behind_receive_maximum,
        "A message that expires behind a full Receive Maximum is not delivered; the next one is",
        ["MQTT-3.3.2-5", "U-4.9-2"]
    )
    .needs(UP_TO_1)
    .timed(3),
    scenario!(
        "3.3/expiry-after-sending",
        expiry_after_sending,
        "A QoS 1 message that was sent before it expired is sent again on a resume",
        ["MQTT-4.4.0-1"]
    )
    .needs(UP_TO_1)
    .timed(4),
    scenario!(
        "3.3/expiry-after-sending-qos-2",
        expiry_after_sending_qos2,
        "A QoS 2 message that was sent before it expired is sent again on a resume, and completed",
        ["MQTT-4.3.3-7"]
    )
    .needs(UP_TO_2)
    .timed(4),
    scenario!(
        "3.3/expiry-before-pubrel",
        expiry_before_pubrel,
        "A QoS 2 message that expires before PUBREL comes is still released with PUBCOMP",
        ["MQTT-4.3.3-13"]
    )
    .needs(UP_TO_2)
    .timed(3),
    scenario!(
        "3.3/expiry-retained",
        expiry_retained,
        "A retained message comes with what is left of its time, and not at all after it",
        ["U-3.3.1.3-4", "MQTT-3.3.2-6"]
    )
    .needs(UP_TO_1_RETAINED)
    .timed(3),
    scenario!(
        "3.3/expiry-of-replacement",
        expiry_of_replacement,
        "When a retained message expires, the one that it replaced does not come back",
        ["U-3.3.1.3-4"]
    )
    .needs(UP_TO_1_RETAINED)
    .timed(3),
    scenario!(
        "3.3/expiry-largest",
        expiry_largest,
        "Message Expiry Intervals of many years are neither over at once nor altered",
        ["MQTT-3.3.2-6"]
    )
    .needs(UP_TO_1)
    .timed(2),
    scenario!(
        "3.3/no-expiry",
        no_expiry,
        "A message without Message Expiry Interval waits for its subscriber and comes without one",
        ["U-3.3.2.3.3-1"]
    )
    .needs(UP_TO_1)
    .timed(3),
];

const UP_TO_1: &[Need] = &[Need::QoS(QoS::AtLeastOnce)];
const UP_TO_2: &[Need] = &[Need::QoS(QoS::ExactlyOnce)];
const UP_TO_1_RETAINED: &[Need] = &[Need::QoS(QoS::AtLeastOnce), Need::Retain];

/// Publishes a message at QoS 1 that expires.
async fn publish_expiring(alice: &mut Probe, topic: &str, payload: &str, seconds: u32) -> Outcome {
    let id = alice.packet_id();
    let publish = Publish::new(topic, payload.to_owned())
        .qos(QoS::AtLeastOnce, id)
        .with(PropertyId::MessageExpiryInterval, seconds);
    alice.publish_with(publish).await
}

/// Checks what is left of `published` seconds, of which `waited` have surely passed since
/// `since`. A second may be lost or won by rounding, but never beyond what was published.
fn is_left(
    stage: &Stage,
    publish: &Publish,
    published: u32,
    waited: u32,
    since: Instant,
) -> Outcome {
    let longest = u32::try_from(since.elapsed().as_secs() + 2).unwrap_or(u32::MAX);
    let most = published.saturating_sub(waited.saturating_sub(1));
    let least = published.saturating_sub(longest);
    let observed = packet_text(&publish.clone().into());
    let expected = format!("a message_expiry_interval from {least} to {most}");
    let left = publish.properties.number(PropertyId::MessageExpiryInterval);
    stage.check(left.is_some_and(|left| (least..=most).contains(&left)), &expected, observed)
}

/// For how many seconds at least the session of who is away while messages expire has to be kept.
const KEPT: u32 = 6;

/// A subscriber at QoS 1 that has left its session behind.
async fn away(stage: &mut Stage, name: &str, topic: &str) -> Outcome {
    let mut subscriber = stage.with_session(name, 60).await?;
    stage.is_kept_for(&subscriber, KEPT)?;
    subscriber.subscribe(topic, QoS::AtLeastOnce).await?;
    subscriber.leave().await
}

async fn expiry_live(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("live");
    let mut bob = stage.connected("bob").await?;
    bob.subscribe(&topic, QoS::AtLeastOnce).await?;
    let mut alice = stage.connected("alice").await?;
    for seconds in [60, 86_400, i32::MAX as u32, 1 << 31, u32::MAX] {
        let since = Instant::now();
        publish_expiring(&mut alice, &topic, "live", seconds).await?;
        let publish = bob.receives(&topic, "live").await?;
        is_left(stage, &publish, seconds, 0, since)?;
    }
    Ok(())
}

async fn expiry_queued_counts_down(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("queued");
    away(stage, "bob", &topic).await?;
    let mut alice = stage.connected("alice").await?;
    let since = Instant::now();
    publish_expiring(&mut alice, &topic, "while away", 60).await?;
    stage.wait(Duration::from_secs(3)).await;
    let mut bob = stage.resumed("bob", 60).await?;
    let publish = bob.receives(&topic, "while away").await?;
    is_left(stage, &publish, 60, 3, since)
}

async fn expiry_nearly_over(stage: &mut Stage) -> Outcome {
    const TENTH: Duration = Duration::from_millis(100);
    let topic = stage.topic("nearly-over");
    away(stage, "bob", &topic).await?;
    let mut alice = stage.connected("alice").await?;
    // One each tenth of a second, so that some of them are in their last second by any clock, also by one that counts
    // whole seconds; what is over by then need not come.
    for _ in 0..15 {
        publish_expiring(&mut alice, &topic, "nearly over", 2).await?;
        stage.wait(TENTH).await;
    }
    stage.wait(9 * TENTH).await;
    alice.publish(&topic, "lasting", QoS::AtLeastOnce).await?;
    stage.means();
    let mut bob = stage.resumed("bob", 60).await?;
    for publish in bob.receives_until(&topic, "lasting").await? {
        let left = publish.properties.number(PropertyId::MessageExpiryInterval);
        let expected = "a message_expiry_interval, as long as the message is sent on at all";
        stage.check(left.is_some(), expected, packet_text(&publish.into()))?;
    }
    Ok(())
}

async fn expiry_queued_drops(stage: &mut Stage) -> Outcome {
    const MESSAGES: [(&str, u32); 5] =
        [("one", 1), ("two", 60), ("three", 1), ("four", 60), ("five", 1)];
    let levels = stage.acknowledged_levels();
    let mut alice = stage.connected("alice").await?;
    let name = |qos: QoS| format!("bob{}", qos.value());
    for qos in &levels {
        let topic = stage.topic(&name(*qos));
        let mut bob = stage.with_session(&name(*qos), 60).await?;
        stage.is_kept_for(&bob, KEPT)?;
        bob.subscribe(&topic, *qos).await?;
        bob.leave().await?;
        alice.publish(&topic, "lasting", *qos).await?;
        for (payload, seconds) in MESSAGES {
            let id = alice.packet_id();
            let publish = Publish::new(topic.as_str(), payload).qos(*qos, id);
            let publish = publish.with(PropertyId::MessageExpiryInterval, seconds);
            alice.publish_with(publish).await?;
        }
    }
    stage.wait(Duration::from_secs(3)).await;
    for qos in levels {
        stage.means();
        let topic = stage.topic(&name(qos));
        let mut bob = stage.resumed(&name(qos), 60).await?;
        bob.receives(&topic, "lasting").await?;
        stage.claims();
        bob.receives(&topic, "two").await?;
        bob.receives(&topic, "four").await?;
        stage.nothing_on_at(&topic, qos, &mut alice, &mut bob).await?;
    }
    Ok(())
}

async fn expiry_by_subscriber(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("both");
    away(stage, "bob", &topic).await?;
    let mut carol = stage.connected("carol").await?;
    carol.subscribe(&topic, QoS::AtLeastOnce).await?;
    let mut alice = stage.connected("alice").await?;
    publish_expiring(&mut alice, &topic, "short", 2).await?;
    publish_expiring(&mut alice, &topic, "long", 60).await?;
    carol.receives(&topic, "short").await?;
    carol.receives(&topic, "long").await?;
    stage.wait(Duration::from_secs(4)).await;
    let mut bob = stage.resumed("bob", 60).await?;
    bob.receives_marker(&topic, "long").await?;
    stage.nothing_on(&topic, &mut alice, &mut bob).await
}

async fn expiry_behind_receive_maximum(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("window");
    let maximum = PropertyId::ReceiveMaximum;
    let mut bob = stage.connected_with("bob", |connect| connect.with(maximum, 1)).await?;
    bob.subscribe(&topic, QoS::AtLeastOnce).await?;
    let mut alice = stage.connected("alice").await?;
    alice.publish(&topic, "first", QoS::AtLeastOnce).await?;
    let first = bob.holds(&topic, "first").await?;
    publish_expiring(&mut alice, &topic, "short", 1).await?;
    publish_expiring(&mut alice, &topic, "long", 60).await?;
    stage.wait(Duration::from_secs(3)).await;
    bob.has_full_window().await?;
    bob.acknowledge(&first).await?;
    stage.proving("U-4.9-2");
    let next = bob.message("the next message").await?;
    bob.acknowledge(&next).await?;
    stage.proving("MQTT-3.3.2-5");
    let observed = packet_text(&next.clone().into());
    stage.check(*next.payload == *b"long", "PUBLISH payload=\"long\"", observed)?;
    stage.nothing_on(&topic, &mut alice, &mut bob).await
}

async fn expiry_after_sending(stage: &mut Stage) -> Outcome {
    after_sending(stage, QoS::AtLeastOnce).await
}

async fn expiry_after_sending_qos2(stage: &mut Stage) -> Outcome {
    after_sending(stage, QoS::ExactlyOnce).await
}

async fn after_sending(stage: &mut Stage, qos: QoS) -> Outcome {
    let topic = stage.topic("sent");
    let mut bob = stage.with_session("bob", 60).await?;
    stage.is_kept_for(&bob, KEPT)?;
    bob.subscribe(&topic, qos).await?;
    let mut alice = stage.connected("alice").await?;
    let id = alice.packet_id();
    let publish = Publish::new(topic.as_str(), "short").qos(qos, id);
    alice.publish_with(publish.with(PropertyId::MessageExpiryInterval, 3)).await?;
    bob.holds(&topic, "short").await?;
    bob.leave().await?;
    stage.wait(Duration::from_secs(4)).await;
    let mut bob = stage.resumed("bob", 60).await?;
    stage.claims();
    bob.receives(&topic, "short").await?;
    stage.nothing_on_at(&topic, qos, &mut alice, &mut bob).await
}

async fn expiry_before_pubrel(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("inbound");
    away(stage, "bob", &topic).await?;
    let mut alice = stage.connected("alice").await?;
    alice.publish(&topic, "before", QoS::ExactlyOnce).await?;
    let id = alice.packet_id();
    let publish = Publish::new(topic.as_str(), "short")
        .qos(QoS::ExactlyOnce, id)
        .with(PropertyId::MessageExpiryInterval, 1);
    alice.send(publish).await?;
    alice.pubrec(id).await?;
    stage.wait(Duration::from_secs(3)).await;
    stage.claims();
    alice.release(id).await?;
    stage.means();
    // And the exchange is over: the next one works.
    alice.publish(&topic, "next", QoS::ExactlyOnce).await?;
    let mut bob = stage.resumed("bob", 60).await?;
    bob.receives_until(&topic, "next").await.map(drop)
}

async fn expiry_retained(stage: &mut Stage) -> Outcome {
    let (short, long) = (stage.topic("retained/short"), stage.topic("retained/long"));
    let mut alice = stage.connected("alice").await?;
    let since = Instant::now();
    for (topic, seconds) in [(&short, 1), (&long, 60)] {
        let id = alice.packet_id();
        let publish = Publish::new(topic.as_str(), "kept")
            .qos(QoS::AtLeastOnce, id)
            .with(PropertyId::MessageExpiryInterval, seconds);
        alice.publish_with(publish.retain()).await?;
    }
    stage.wait(Duration::from_secs(3)).await;
    stage.proving("MQTT-3.3.2-6");
    stage.means();
    let mut bob = stage.connected("bob").await?;
    bob.subscribe(&long, QoS::AtLeastOnce).await?;
    let publish = bob.receives(&long, "kept").await?;
    is_left(stage, &publish, 60, 3, since)?;
    stage.proving("U-3.3.1.3-4");
    stage.means();
    bob.subscribe(&short, QoS::AtLeastOnce).await?;
    stage.nothing_on(&short, &mut alice, &mut bob).await
}

async fn expiry_of_replacement(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("replaced");
    let mut alice = stage.connected("alice").await?;
    let id = alice.packet_id();
    let lasting = Publish::new(topic.as_str(), "lasting").qos(QoS::AtLeastOnce, id);
    alice.publish_with(lasting.retain()).await?;
    let mut bob = stage.connected("bob").await?;
    bob.subscribe(&topic, QoS::AtLeastOnce).await?;
    bob.receives(&topic, "lasting").await?;
    let id = alice.packet_id();
    let short = Publish::new(topic.as_str(), "short")
        .qos(QoS::AtLeastOnce, id)
        .with(PropertyId::MessageExpiryInterval, 1);
    alice.publish_with(short.retain()).await?;
    stage.wait(Duration::from_secs(3)).await;
    let mut carol = stage.connected("carol").await?;
    carol.subscribe(&topic, QoS::AtLeastOnce).await?;
    stage.nothing_on(&topic, &mut alice, &mut carol).await
}

async fn expiry_largest(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("largest");
    away(stage, "bob", &topic).await?;
    let mut alice = stage.connected("alice").await?;
    alice.publish(&topic, "lasting", QoS::AtLeastOnce).await?;
    let largest = [i32::MAX as u32, 1 << 31, u32::MAX];
    let since = Instant::now();
    for seconds in largest {
        publish_expiring(&mut alice, &topic, "while away", seconds).await?;
    }
    stage.wait(Duration::from_secs(2)).await;
    let mut bob = stage.resumed("bob", 60).await?;
    bob.receives(&topic, "lasting").await?;
    stage.claims();
    for seconds in largest {
        let publish = bob.receives(&topic, "while away").await?;
        is_left(stage, &publish, seconds, 2, since)?;
    }
    Ok(())
}

async fn no_expiry(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("lasting");
    away(stage, "bob", &topic).await?;
    let mut alice = stage.connected("alice").await?;
    publish_expiring(&mut alice, &topic, "expiring", 60).await?;
    alice.publish(&topic, "lasting", QoS::AtLeastOnce).await?;
    stage.wait(Duration::from_secs(3)).await;
    let mut bob = stage.resumed("bob", 60).await?;
    bob.receives(&topic, "expiring").await?;
    stage.claims();
    let publish = bob.receives(&topic, "lasting").await?;
    let has_expiry = publish.properties.contains(PropertyId::MessageExpiryInterval);
    stage.check(!has_expiry, "no message_expiry_interval", packet_text(&publish.into()))
}
