//! Section 4.6: Message ordering, as it binds a broker.

use reference_broker::codec::{Connect, Packet, PropertyId, Publish, QoS};

use super::copies::{last_copies, numbered, text, texts};
use super::{Scenario, Stage, scenario};
use crate::probe::Probe;
use crate::target::Need;
use crate::trace::Said;
use crate::verdict::{Outcome, step};

pub(super) const SCENARIOS: &[Scenario] = &[
    scenario!(
        "4.6/same-topic-and-qos",
        same_topic_and_qos,
        "Messages of one publisher on one topic at one QoS come in the order they were published",
        ["MQTT-4.6.0-5", "MQTT-4.6.0-6"]
    )
    .needs(QOS1),
    scenario!(
        "4.6/behind-a-full-window",
        behind_a_full_window,
        "Messages that wait for room come in the order they were published, one for each acknowledgement",
        ["MQTT-4.6.0-5", "MQTT-4.6.0-6"]
    )
    .needs(QOS1)
    .plain(&[step::DELIVER]),
    scenario!(
        "4.6/small-window",
        small_window,
        "The order holds when the subscriber takes few messages at a time",
        ["MQTT-4.6.0-5", "MQTT-4.6.0-6"]
    )
    .needs(QOS1),
    scenario!(
        "4.6/many-topics",
        many_topics,
        "The order holds for each topic under a wildcard",
        ["MQTT-4.6.0-5", "MQTT-4.6.0-6"]
    )
    .needs(&[Need::Wildcards, Need::QoS(QoS::AtLeastOnce)]),
    scenario!(
        "4.6/two-publishers",
        two_publishers,
        "The order holds for each of two publishers on one topic",
        ["MQTT-4.6.0-5", "MQTT-4.6.0-6"]
    )
    .needs(QOS1),
    scenario!(
        "4.6/unlike-messages",
        unlike_messages,
        "Small and large messages, with and without properties, keep their order",
        ["MQTT-4.6.0-5", "MQTT-4.6.0-6"]
    )
    .needs(&[Need::QoS(QoS::AtLeastOnce), Need::PacketSize(60_000)]),
    scenario!(
        "4.6/queued-before-live",
        queued_before_live,
        "What was queued for a session comes before what is published after its resume",
        ["MQTT-4.6.0-5", "MQTT-4.6.0-6"]
    )
    .needs(QOS1),
    scenario!(
        "4.6/window-of-one-over-resumes",
        window_of_one_over_resumes,
        "With one message at a time none comes after a later one, even over resumes",
        ["MQTT-4.6.0-5", "MQTT-4.4.0-1", "U-4.6-2"]
    )
    .needs(QOS1),
];

const QOS1: &[Need] = &[Need::QoS(QoS::AtLeastOnce)];

/// The next messages, so many, each through its exchange.
async fn taken(probe: &mut Probe, count: usize) -> Outcome<Vec<Publish>> {
    let mut messages = Vec::new();
    for _ in 0..count {
        let publish = probe.message("each message once").await?;
        probe.acknowledge(&publish).await?;
        messages.push(publish);
    }
    Ok(messages)
}

async fn same_topic_and_qos(stage: &mut Stage) -> Outcome {
    // As many at once as the target takes, and few where it is few: one after the other takes a slow
    // target long.
    let burst = usize::from(stage.capabilities().receive_maximum().clamp(1, 25));
    let payloads = numbered((3 * burst).clamp(15, 60));
    for qos in stage.acknowledged_levels() {
        let topic = stage.topic(&format!("order{}", qos.value()));
        let mut alice = stage.connected("alice").await?;
        alice.subscribe(&topic, qos).await?;
        let mut bob = stage.connected("bob").await?;
        for some in payloads.chunks(burst) {
            bob.publish_together(&topic, some, qos).await?;
        }
        let order = texts(&taken(&mut alice, payloads.len()).await?);
        stage.check(order == payloads, "the messages in order", order.said())?;
    }
    // At QoS 0 messages may be lost; what comes is in order.
    let topic = stage.topic("order0");
    let mut alice = stage.connected("alice").await?;
    alice.subscribe(&topic, QoS::AtMostOnce).await?;
    let mut bob = stage.connected("bob").await?;
    bob.publish_together(&topic, &payloads, QoS::AtMostOnce).await?;
    let mut came = Vec::new();
    while came.last().map(text).as_ref() != payloads.last() {
        let Some(publish) = alice.message_or_silence().await? else { break };
        came.push(publish);
    }
    let order = texts(&came);
    let expected: Vec<_> = payloads.iter().filter(|payload| order.contains(payload)).collect();
    let holds = order.iter().eq(expected);
    stage.check(holds, "the messages in order, at QoS 0", order.said())
}

async fn behind_a_full_window(stage: &mut Stage) -> Outcome {
    for qos in stage.acknowledged_levels() {
        let topic = stage.topic(&format!("full{}", qos.value()));
        stage.means();
        let limited = |connect: Connect| connect.with(PropertyId::ReceiveMaximum, 1);
        let mut alice = stage.connected_with("alice", limited).await?;
        alice.subscribe(&topic, qos).await?;
        let mut bob = stage.connected("bob").await?;
        for payload in numbered(5) {
            bob.publish(&topic, &payload, qos).await?;
        }
        stage.claims();
        for payload in numbered(5) {
            alice.receives(&topic, &payload).await?;
        }
        stage.means();
        alice.leave().await?;
    }
    Ok(())
}

async fn small_window(stage: &mut Stage) -> Outcome {
    let payloads = numbered(12);
    for qos in stage.acknowledged_levels() {
        for window in [1, 2, 5] {
            let topic = stage.topic(&format!("window{window}{}", qos.value()));
            let mut alice = stage
                .connected_with("alice", |connect| connect.with(PropertyId::ReceiveMaximum, window))
                .await?;
            alice.subscribe(&topic, qos).await?;
            let mut bob = stage.connected("bob").await?;
            for payload in &payloads {
                bob.publish(&topic, payload, qos).await?;
            }
            // First as many as may come without an acknowledgement, then one by one.
            let mut came = vec![alice.message("the first message").await?];
            came.append(&mut alice.messages_now().await?);
            for publish in &came {
                alice.acknowledge(publish).await?;
            }
            let rest = payloads.len().saturating_sub(came.len());
            came.append(&mut taken(&mut alice, rest).await?);
            let order = texts(&came);
            stage.check(order == payloads, "the messages in order", order.said())?;
            alice.leave().await?;
        }
    }
    Ok(())
}

async fn many_topics(stage: &mut Stage) -> Outcome {
    const TOPICS: [&str; 5] = ["red", "green", "blue", "white", "black"];
    for qos in stage.acknowledged_levels() {
        let branch = format!("branch{}", qos.value());
        let mut alice = stage.connected("alice").await?;
        alice.subscribe(&stage.topic(&format!("{branch}/+")), qos).await?;
        let mut bob = stage.connected("bob").await?;
        let payloads = numbered(6);
        for payload in &payloads {
            for name in TOPICS {
                bob.publish(&stage.topic(&format!("{branch}/{name}")), payload, qos).await?;
            }
        }
        let came = taken(&mut alice, TOPICS.len() * payloads.len()).await?;
        for name in TOPICS {
            let topic = stage.topic(&format!("{branch}/{name}"));
            let own = came.iter().filter(|publish| *publish.topic == *topic);
            let order: Vec<String> = own.map(text).collect();
            let expected = format!("the messages on {name} in order");
            stage.check(order == payloads, &expected, order.said())?;
        }
    }
    Ok(())
}

async fn two_publishers(stage: &mut Stage) -> Outcome {
    for qos in stage.acknowledged_levels() {
        let topic = stage.topic(&format!("both{}", qos.value()));
        let mut alice = stage.connected("alice").await?;
        alice.subscribe(&topic, qos).await?;
        let mut bob = stage.connected("bob").await?;
        let mut carol = stage.connected("carol").await?;
        for payload in numbered(8) {
            bob.publish(&topic, &format!("bob's {payload}"), qos).await?;
            carol.publish(&topic, &format!("carol's {payload}"), qos).await?;
        }
        let came = texts(&taken(&mut alice, 16).await?);
        for name in ["bob's", "carol's"] {
            let order = came.iter().filter_map(|text| text.strip_prefix(name)).map(str::trim);
            let holds = order.eq(numbered(8));
            stage.check(holds, &format!("{name} messages in order"), came.said())?;
        }
    }
    Ok(())
}

async fn unlike_messages(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("unlike");
    let mut alice = stage.connected("alice").await?;
    alice.subscribe(&topic, QoS::AtLeastOnce).await?;
    let mut bob = stage.connected("bob").await?;
    let large = "large ".repeat(8000);
    let publish = |payload: &str| Publish::new(topic.as_str(), payload.to_owned());
    let messages = [
        publish("first"),
        publish(&large),
        publish("third").with(PropertyId::MessageExpiryInterval, 3600),
        publish("fourth").with(PropertyId::PayloadFormatIndicator, 1),
        publish(&large).with(PropertyId::ContentType, "text/plain"),
        publish("sixth").with(PropertyId::UserProperty, ("name", "value")),
        publish("seventh"),
    ];
    for message in messages.clone() {
        let id = bob.packet_id();
        bob.send(Packet::from(message.qos(QoS::AtLeastOnce, id))).await?;
        bob.puback(id).await?;
    }
    let came = taken(&mut alice, messages.len()).await?;
    let holds = came.iter().map(|publish| &publish.payload).eq(messages.iter().map(|m| &m.payload));
    let order: Vec<String> =
        texts(&came).iter().map(|text| text.chars().take(8).collect()).collect();
    stage.check(holds, "the messages in order", order.said())
}

async fn queued_before_live(stage: &mut Stage) -> Outcome {
    for qos in stage.acknowledged_levels() {
        let topic = stage.topic(&format!("backlog{}", qos.value()));
        let mut alice = stage.with_session("alice", 60).await?;
        alice.subscribe(&topic, qos).await?;
        alice.leave().await?;
        let mut bob = stage.connected("bob").await?;
        let payloads = numbered(10);
        for payload in payloads.iter().take(5) {
            bob.publish(&topic, payload, qos).await?;
        }
        // Few at a time, so that some wait while others are published.
        let mut alice = stage
            .resumed_with("alice", |connect| {
                connect.session_expiry(60).with(PropertyId::ReceiveMaximum, 2)
            })
            .await?;
        for payload in payloads.iter().skip(5) {
            bob.publish(&topic, payload, qos).await?;
        }
        let order = texts(&taken(&mut alice, payloads.len()).await?);
        stage.check(order == payloads, "the messages in order", order.said())?;
        stage.nothing_on_at(&topic, qos, &mut bob, &mut alice).await?;
        alice.leave().await?;
    }
    Ok(())
}

async fn window_of_one_over_resumes(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("one");
    let qos = QoS::AtLeastOnce;
    let mut alice = stage
        .connected_with("alice", |connect| {
            connect.session_expiry(60).with(PropertyId::ReceiveMaximum, 1)
        })
        .await?;
    alice.subscribe(&topic, qos).await?;
    let mut bob = stage.connected("bob").await?;
    let payloads = numbered(6);
    for payload in &payloads {
        bob.publish(&topic, payload, qos).await?;
    }
    let mut came: Vec<Publish> = Vec::new();
    for payload in &payloads {
        // Each message is lost once before it is acknowledged.
        let publish = alice.holds(&topic, payload).await?;
        stage.means();
        came.push(publish);
        alice.vanish().await?;
        alice = stage
            .resumed_with("alice", |connect| {
                connect.session_expiry(60).with(PropertyId::ReceiveMaximum, 1)
            })
            .await?;
        stage.proving("MQTT-4.4.0-1");
        came.push(alice.receives(&topic, payload).await?);
        stage.proving("MQTT-4.6.0-5");
    }
    let order = last_copies(&came);
    stage.check(order == payloads, "the messages in order", order.said())?;
    stage.nothing_on_at(&topic, qos, &mut bob, &mut alice).await
}
