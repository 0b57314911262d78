//! Section 3.8: SUBSCRIBE, what it brings about.

use reference_broker::codec::{
    Packet, PropertyId, Publish, QoS, ReasonCode, RetainHandling, Subscribe, SubscriptionOptions,
    Unsubscribe,
};

use super::{Scenario, Stage, scenario};
use crate::target::Need;
use crate::trace::packet_text;
use crate::verdict::Outcome;

pub(super) const SCENARIOS: &[Scenario] = &[
    scenario!(
        "3.8/suback-identifier",
        suback_identifier,
        "Each SUBSCRIBE is answered by a SUBACK with its Packet Identifier",
        ["MQTT-3.8.4-2", "MQTT-3.8.4-1"]
    )
    .needs(UP_TO_1),
    scenario!(
        "3.8/delivered-qos-is-minimum",
        delivered_qos_is_minimum,
        "A message is delivered at the lower of the QoS published and the QoS granted",
        ["MQTT-3.8.4-8", "MQTT-3.8.4-7", "U-3.9.3-1", "U-3.9.3-2"]
    )
    .needs(UP_TO_2),
    scenario!(
        "3.8/queued-qos-is-minimum",
        queued_qos_is_minimum,
        "A message that waited for its client has the lower of the QoS published and granted too",
        ["MQTT-3.8.4-8"]
    )
    .needs(&[Need::QoS(QoS::ExactlyOnce), Need::Sessions]),
    scenario!(
        "3.8/resubscribe-replaces",
        resubscribe_replaces,
        "A filter subscribed to again has one subscription, with the QoS asked for last",
        ["MQTT-3.8.4-3", "U-4.8.1-2"]
    )
    .needs(UP_TO_2),
    scenario!(
        "3.8/resubscribe-loses-nothing",
        resubscribe_loses_nothing,
        "No message is lost or doubled while its subscription is replaced",
        ["MQTT-3.8.4-4", "MQTT-3.8.4-3"]
    )
    .needs(UP_TO_1),
    scenario!(
        "3.8/filters-in-sequence",
        filters_in_sequence,
        "Each filter of one SUBSCRIBE makes a subscription with options of its own",
        ["MQTT-3.8.4-5", "MQTT-3.8.4-8"]
    )
    .needs(UP_TO_2),
    scenario!(
        "3.8/same-filter-twice",
        same_filter_twice,
        "Of a filter that is twice in one SUBSCRIBE the last options count, and it has two codes",
        ["MQTT-3.8.4-5", "MQTT-3.8.4-6", "U-4.8.1-2"]
    )
    .needs(UP_TO_2),
    scenario!(
        "3.8/user-properties",
        user_properties,
        "User Properties of SUBSCRIBE and UNSUBSCRIBE are taken, and stay out of the messages",
        ["MQTT-3.8.4-1", "MQTT-3.10.4-4", "U-3.8.2.1.3-1", "U-3.10.2.1.2-1", "U-3.3.2.3.7-1"]
    )
    .needs(&[Need::QoS(QoS::AtLeastOnce), Need::PacketSize(500)]),
];

const UP_TO_1: &[Need] = &[Need::QoS(QoS::AtLeastOnce)];
const UP_TO_2: &[Need] = &[Need::QoS(QoS::ExactlyOnce)];

async fn suback_identifier(stage: &mut Stage) -> Outcome {
    const IDS: [u16; 3] = [1, 0x0102, u16::MAX];
    let topics = IDS.map(|id| (id, stage.topic(&id.to_string())));
    let mut bob = stage.connected("bob").await?;
    let mut alice = stage.connected("alice").await?;
    let requests = topics.iter().map(|(id, topic)| Subscribe::new(*id, topic, QoS::AtLeastOnce));
    alice.send_together(&requests.map(Packet::from).collect::<Vec<_>>()).await?;
    for (id, topic) in &topics {
        stage.claims();
        let suback = alice.suback(*id).await?;
        stage.means();
        alice.granted(&suback, &[QoS::AtLeastOnce])?;
        bob.publish(topic, "subscribed", QoS::AtLeastOnce).await?;
        alice.receives(topic, "subscribed").await?;
    }
    Ok(())
}

async fn delivered_qos_is_minimum(stage: &mut Stage) -> Outcome {
    let mut alice = stage.connected("alice").await?;
    let mut bob = stage.connected("bob").await?;
    for asked in QoS::ALL {
        let topic = stage.topic(&format!("granted-{}", asked.value()));
        stage.proving("MQTT-3.8.4-7");
        let granted = alice.subscribe_up_to(&topic, asked).await?;
        stage.proving("MQTT-3.8.4-8");
        stage.means();
        for published in QoS::ALL {
            let payload = format!("published {}", published.value());
            bob.publish(&topic, &payload, published).await?;
            let message = alice.receives(&topic, &payload).await?;
            has_qos(stage, &message, published.min(granted))?;
        }
    }
    Ok(())
}

async fn queued_qos_is_minimum(stage: &mut Stage) -> Outcome {
    const LEVELS: [QoS; 2] = [QoS::AtLeastOnce, QoS::ExactlyOnce];
    let topic = |stage: &Stage, granted: QoS, published: QoS| {
        stage.topic(&format!("granted-{}/published-{}", granted.value(), published.value()))
    };
    let cases = LEVELS.map(|granted| LEVELS.map(|published| (granted, published))).concat();
    let mut alice = stage.with_session("alice", 60).await?;
    for (granted, published) in &cases {
        alice.subscribe(&topic(stage, *granted, *published), *granted).await?;
    }
    alice.leave().await?;

    let mut bob = stage.connected("bob").await?;
    for (granted, published) in &cases {
        bob.publish(&topic(stage, *granted, *published), "queued", *published).await?;
    }
    let mut alice = stage.resumed("alice", 60).await?;
    // Messages on different topics come, and are acknowledged, in any order.
    for _ in &cases {
        let message = alice.message("each message that was queued").await?;
        alice.acknowledge(&message).await?;
        let is_it = |(granted, published): &&(QoS, QoS)| {
            topic(stage, *granted, *published) == *message.topic
        };
        if let Some((granted, published)) = cases.iter().find(is_it) {
            has_qos(stage, &message, *published.min(granted))?;
        }
    }
    Ok(())
}

async fn resubscribe_replaces(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("again");
    let mut alice = stage.connected("alice").await?;
    let mut bob = stage.connected("bob").await?;
    let mut carol = stage.connected("carol").await?;
    for (round, granted) in [0, 1, 2, 1].into_iter().filter_map(QoS::from_value).enumerate() {
        alice.subscribe(&topic, granted).await?;
        let payload = format!("round {round}");
        bob.publish(&topic, &payload, QoS::ExactlyOnce).await?;
        // Once subscribed is what any scenario stands on.
        if round > 0 {
            stage.claims();
        }
        let message = alice.receives(&topic, &payload).await?;
        match round {
            0 => {
                let observed = packet_text(&message.clone().into());
                let is_granted = message.qos == granted;
                stage.stands_on("MQTT-3.8.4-8", is_granted, "PUBLISH at QoS 0", observed)?;
            }
            _ => has_qos(stage, &message, granted)?,
        }
        stage.means();
    }
    stage.nothing_on_at(&topic, QoS::ExactlyOnce, &mut bob, &mut alice).await?;

    alice.unsubscribe(&topic).await?;
    carol.subscribe(&topic, QoS::AtLeastOnce).await?;
    stage.not_subscribed(&topic, &mut bob, &mut alice, &mut carol).await
}

async fn resubscribe_loses_nothing(stage: &mut Stage) -> Outcome {
    const ROUNDS: u32 = 20;
    let topic = stage.topic("stream");
    let options = SubscriptionOptions {
        retain_handling: RetainHandling::DoNotSend,
        ..SubscriptionOptions::at(QoS::AtLeastOnce)
    };
    let mut alice = stage.connected("alice").await?;
    let mut bob = stage.connected("bob").await?;
    alice.subscribe_with(&topic, options).await?;
    stage.nothing_on(&topic, &mut bob, &mut alice).await?;
    let mut asked = Vec::new();
    for round in 0..ROUNDS {
        let mut again = Subscribe::new(alice.packet_id(), &topic, QoS::AtLeastOnce);
        again.subscriptions.iter_mut().for_each(|again| again.options = options);
        asked.push(again.packet_id);
        alice.send(again).await?;
        bob.publish(&topic, &round.to_string(), QoS::AtLeastOnce).await?;
    }
    stage.claims();
    for round in 0..ROUNDS {
        alice.receives(&topic, &round.to_string()).await?;
    }
    stage.means();
    for id in asked {
        let suback = alice.suback(id).await?;
        alice.granted(&suback, &[QoS::AtLeastOnce])?;
    }
    stage.nothing_on(&topic, &mut bob, &mut alice).await
}

async fn filters_in_sequence(stage: &mut Stage) -> Outcome {
    let topics = QoS::ALL.map(|qos| (stage.topic(&qos.value().to_string()), qos));
    let mut alice = stage.connected("alice").await?;
    let mut bob = stage.connected("bob").await?;
    let more = stage.topic("more");
    let mut request = Subscribe::new(alice.packet_id(), &more, QoS::AtMostOnce);
    for (topic, qos) in &topics {
        request = request.and(topic, SubscriptionOptions::at(*qos));
    }
    let suback = alice.request(request).await?;
    let [low, middle, high] = QoS::ALL;
    stage.claims();
    alice.granted(&suback, &[low, low, middle, high])?;
    stage.nothing_on_at(&more, low, &mut bob, &mut alice).await?;
    for (topic, qos) in &topics {
        stage.means();
        bob.publish(topic, "all at QoS 2", QoS::ExactlyOnce).await?;
        stage.claims();
        let message = alice.receives(topic, "all at QoS 2").await?;
        has_qos(stage, &message, *qos)?;
    }
    Ok(())
}

async fn same_filter_twice(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("twice");
    let mut alice = stage.connected("alice").await?;
    let mut bob = stage.connected("bob").await?;
    let request = Subscribe::new(alice.packet_id(), &topic, QoS::AtMostOnce)
        .and(&topic, SubscriptionOptions::at(QoS::ExactlyOnce));
    let suback = alice.request(request).await?;
    stage.claims();
    alice.granted(&suback, &[QoS::AtMostOnce, QoS::ExactlyOnce])?;
    stage.means();
    bob.publish(&topic, "once", QoS::ExactlyOnce).await?;
    let message = alice.receives(&topic, "once").await?;
    has_qos(stage, &message, QoS::ExactlyOnce)?;
    stage.nothing_on_at(&topic, QoS::ExactlyOnce, &mut bob, &mut alice).await
}

async fn user_properties(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("properties");
    let mut alice = stage.connected("alice").await?;
    let mut bob = stage.connected("bob").await?;
    let mut request = Subscribe::new(alice.packet_id(), &topic, QoS::AtLeastOnce);
    let mut farewell = Unsubscribe::new(alice.packet_id(), &topic);
    for value in 0..20 {
        let pair = ("same name", value.to_string());
        request = request.with(PropertyId::UserProperty, (pair.0, pair.1.as_str()));
        farewell = farewell.with(PropertyId::UserProperty, (pair.0, pair.1.as_str()));
    }
    stage.claims();
    let suback = alice.request(request).await?;
    alice.granted(&suback, &[QoS::AtLeastOnce])?;
    stage.means();
    bob.publish(&topic, "plain", QoS::AtLeastOnce).await?;
    let message = alice.receives(&topic, "plain").await?;
    if message.properties.user_properties().next().is_some() {
        let expected = "a message without User Properties, as it was published";
        stage.advise("U-3.3.2.3.7-1", expected, packet_text(&message.into()));
    }

    stage.proving("MQTT-3.10.4-4");
    let id = farewell.packet_id;
    alice.send(farewell).await?;
    let unsuback = alice.unsuback(id).await?;
    alice.unlimited(Packet::UnsubAck(unsuback.clone()))?;
    let is_done = unsuback.reasons == [ReasonCode::Success];
    stage.check(is_done, "UNSUBACK 0x00", packet_text(&Packet::UnsubAck(unsuback)))
}

fn has_qos(stage: &Stage, message: &Publish, qos: QoS) -> Outcome {
    let expected = format!("PUBLISH at QoS {}", qos.value());
    stage.check(message.qos == qos, &expected, packet_text(&message.clone().into()))
}
