//! Section 3.9: SUBACK.

use reference_broker::codec::{Packet, PropertyId, QoS, Subscribe, SubscriptionOptions};

use super::{Scenario, Stage, scenario};
use crate::target::Need;
use crate::trace::packet_text;
use crate::verdict::Outcome;

pub(super) const SCENARIOS: &[Scenario] = &[
    scenario!(
        "3.9/codes-in-order",
        codes_in_order,
        "The codes of a SUBACK are in the order of the filters that they grant",
        ["MQTT-3.9.3-1", "MQTT-3.8.4-7", "MQTT-3.8.4-8"]
    )
    .needs(&[Need::QoS(QoS::ExactlyOnce)]),
    scenario!(
        "3.9/code-for-each-filter",
        code_for_each_filter,
        "A SUBACK has as many codes as the SUBSCRIBE has filters, be they one or a hundred",
        ["MQTT-3.8.4-6"]
    )
    .needs(&[Need::QoS(QoS::AtLeastOnce), Need::PacketSize(4000)]),
    scenario!(
        "3.9/codes-of-256-filters",
        codes_of_256_filters,
        "The SUBACK of 256 filters has 256 codes in their order, and what is granted is served",
        ["MQTT-3.8.4-6", "MQTT-3.9.3-1", "MQTT-3.8.4-7"]
    )
    .needs(&[Need::QoS(QoS::AtLeastOnce), Need::PacketSize(9000)]),
    scenario!(
        "3.9/fits-packet-limit",
        fits_packet_limit,
        "A SUBACK has no property that would make it larger than the client takes",
        ["MQTT-3.9.2-1", "MQTT-3.9.2-2", "MQTT-3.1.2-24"]
    )
    .breaks(&["MQTT-4.7.1-1"])
    .needs(&[Need::Unproven, Need::QoS(QoS::AtLeastOnce)]),
];

async fn codes_in_order(stage: &mut Stage) -> Outcome {
    let levels: Vec<_> = [0, 1, 2, 0, 2, 1].into_iter().filter_map(QoS::from_value).collect();
    let topics: Vec<_> = (0..levels.len()).map(|n| stage.topic(&n.to_string())).collect();
    let mut alice = stage.connected("alice").await?;
    let mut bob = stage.connected("bob").await?;
    let mut request = Subscribe::new(alice.packet_id(), "", QoS::AtMostOnce);
    request.subscriptions.clear();
    for (topic, qos) in topics.iter().zip(&levels) {
        request = request.and(topic, SubscriptionOptions::at(*qos));
    }
    let suback = alice.request(request).await?;
    stage.claims();
    alice.granted(&suback, &levels)?;
    stage.means();
    for (topic, qos) in topics.iter().zip(levels) {
        bob.publish(topic, "all at QoS 2", QoS::ExactlyOnce).await?;
        let message = alice.receives(topic, "all at QoS 2").await?;
        let expected = format!("PUBLISH at QoS {}", qos.value());
        stage.check(message.qos == qos, &expected, packet_text(&message.into()))?;
    }
    Ok(())
}

async fn code_for_each_filter(stage: &mut Stage) -> Outcome {
    let mut alice = stage.connected("alice").await?;
    let mut bob = stage.connected("bob").await?;
    for count in [1, 2, 10, 100] {
        let topics: Vec<_> = (0..count).map(|n| stage.topic(&format!("{n}-of-{count}"))).collect();
        let mut request = Subscribe::new(alice.packet_id(), "", QoS::AtMostOnce);
        request.subscriptions.clear();
        for topic in &topics {
            request = request.and(topic, SubscriptionOptions::at(QoS::AtLeastOnce));
        }
        let suback = alice.request(request).await?;
        let observed = packet_text(&Packet::SubAck(suback.clone()));
        let has_all = suback.reasons.len() == count;
        stage.check(has_all, &format!("SUBACK with {count} codes"), observed)?;
        alice.granted(&suback, &vec![QoS::AtLeastOnce; count])?;
        for topic in topics.first().into_iter().chain(topics.last()) {
            bob.publish(topic, "granted", QoS::AtLeastOnce).await?;
            alice.receives(topic, "granted").await?;
        }
    }
    Ok(())
}

async fn codes_of_256_filters(stage: &mut Stage) -> Outcome {
    const FILTERS: usize = 256;
    let topics: Vec<_> = (0..FILTERS).map(|n| stage.topic(&n.to_string())).collect();
    // In no order that repeats itself after a power of two.
    let asked = |n: usize| if n.is_multiple_of(3) { QoS::AtLeastOnce } else { QoS::AtMostOnce };
    let mut alice = stage.connected("alice").await?;
    let mut bob = stage.connected("bob").await?;
    let mut request = Subscribe::new(alice.packet_id(), "", QoS::AtMostOnce);
    request.subscriptions.clear();
    for (n, topic) in topics.iter().enumerate() {
        request = request.and(topic, SubscriptionOptions::at(asked(n)));
    }
    let suback = alice.request(request).await?;
    let codes: Vec<u8> = suback.reasons.iter().map(|code| code.value()).collect();
    let observed = format!("{} codes", codes.len());
    stage.check(codes.len() == FILTERS, "SUBACK with 256 codes", observed)?;
    // As many as it may refuse for a limit of its own.
    alice.unlimited(Packet::SubAck(suback))?;
    stage.proving("MQTT-3.9.3-1");
    stage.means();
    let fits = |(n, code): (usize, &u8)| *code >= 0x80 || *code <= asked(n).value();
    let wrong = codes.iter().enumerate().find(|it| !fits(*it));
    let expected = "no code above the QoS that its filter asks for";
    let observed = wrong.map(|(n, code)| format!("0x{code:02X} for filter {}", n + 1));
    stage.check(wrong.is_none(), expected, observed.unwrap_or_default())?;
    stage.proving("MQTT-3.8.4-7");
    stage.means();
    for (n, topic) in topics.iter().enumerate() {
        let is_at_an_edge = matches!(n, 0 | 1 | 127 | 128 | 254 | 255);
        if is_at_an_edge && codes.get(n).is_some_and(|code| *code < 0x80) {
            stage.means();
            bob.publish(topic, "granted", QoS::AtLeastOnce).await?;
            stage.claims();
            alice.receives(topic, "granted").await?;
        }
    }
    Ok(())
}

async fn fits_packet_limit(stage: &mut Stage) -> Outcome {
    // A SUBACK without properties has five bytes besides its codes: there is no room for any.
    const LIMIT: u32 = 100;
    const FILTERS: usize = 95;
    let topic = stage.topic("granted");
    let mut bob = stage.connected("bob").await?;
    let limited =
        |alice: reference_broker::codec::Connect| alice.with(PropertyId::MaximumPacketSize, LIMIT);
    let mut alice = stage.connected_with("alice", limited).await?;
    stage.serves(&mut alice).await?;
    let options = SubscriptionOptions::at(QoS::AtLeastOnce);
    let mut request = Subscribe::new(alice.packet_id(), &topic, QoS::AtLeastOnce);
    for _ in 2..FILTERS {
        request = request.and(&topic, options);
    }
    // What is refused has a reason that could be told.
    request = request.and(stage.topic("#/wrong"), options);
    let id = request.packet_id;
    alice.send(request).await?;
    stage.claims();
    match alice.ack_or_close(id).await? {
        Some(suback) => {
            let suback = Packet::SubAck(suback);
            let fits = suback.encoded_len().is_ok_and(|size| size <= LIMIT as usize);
            stage.check(fits, "SUBACK of at most 100 bytes", packet_text(&suback))?;
        }
        // To close is as good an answer to a filter that is none.
        None => {
            stage.means();
            alice = stage.connected_with("alice", limited).await?;
            alice.subscribe(&topic, QoS::AtLeastOnce).await?;
        }
    }
    stage.means();
    bob.publish(&topic, "granted", QoS::AtLeastOnce).await?;
    alice.receives(&topic, "granted").await.map(drop)
}
