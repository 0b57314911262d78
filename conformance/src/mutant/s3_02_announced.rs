//! What CONNACK announces, and what comes of it.

use reference_broker::codec::{
    Disconnect, Packet, Properties, PropertyId, PublishAck, QoS, ReasonCode, SubscribeAck,
    Subscription,
};

use super::Mutant;
use crate::boundary::rules::{accepts, answers, closes, connects, inward};
use crate::boundary::{Rule, Rules};

pub(super) fn mutants() -> Vec<Mutant> {
    let mut all = kept();
    all.extend(of_subscriptions());
    all.extend(limits());
    all
}

/// Announces what it does not hold clients to.
fn announces(id: PropertyId, number: u32) -> Rules {
    vec![accepts(move |connack, _| {
        if !connack.reason.is_error() {
            connack.properties.push(id, number);
        }
    })]
}

fn kept() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "3.2/maximum-qos-announced-only",
            "CONNACK has a maximum QoS of 1, and messages and Wills at QoS 2 are taken",
            &["MQTT-3.2.2-12", "U-3.2.2.3.4-2", "U-3.3.1.2-1"],
            || announces(PropertyId::MaximumQoS, 1),
        ),
        Mutant::new(
            "3.2/will-beyond-maximum-qos-lowered",
            "A Will beyond the maximum QoS is taken at that",
            &["MQTT-3.2.2-12"],
            || {
                vec![connects(|connect, _| {
                    if let Some(will) = &mut connect.will {
                        will.qos = will.qos.min(QoS::AtLeastOnce);
                    }
                })]
            },
        )
        .configured(|config| config.maximum_qos = QoS::AtLeastOnce),
        Mutant::new(
            "3.2/maximum-qos-holds-for-subscriptions",
            "A SUBSCRIBE that asks for more than the maximum QoS closes the connection",
            &["MQTT-3.2.2-10"],
            || vec![closes_for_qos(QoS::AtLeastOnce)],
        )
        .configured(|config| config.maximum_qos = QoS::AtLeastOnce),
        Mutant::new(
            "3.2/maximum-qos-refuses-subscriptions",
            "A SUBSCRIBE that asks for one filter at QoS 2 is refused where the maximum is 0",
            &["MQTT-3.2.2-10"],
            || {
                let is_high = |it: &Subscription| it.options.maximum_qos == QoS::ExactlyOnce;
                vec![answers(move |packet, _| match packet {
                    Packet::Subscribe(it)
                        if it.subscriptions.len() == 1 && it.subscriptions.iter().all(is_high) =>
                    {
                        let reasons = vec![ReasonCode::PacketIdentifierInUse];
                        let properties = Properties::default();
                        let ack = SubscribeAck { packet_id: it.packet_id, properties, reasons };
                        Some(vec![Packet::SubAck(ack)])
                    }
                    _ => None,
                })]
            },
        )
        .configured(|config| config.maximum_qos = QoS::AtMostOnce),
        Mutant::new(
            "3.2/no-retain-announced-only",
            "CONNACK rules retained messages out, and they are taken",
            &["MQTT-3.2.2-13", "U-3.2.2.3.5-3", "U-3.3.1.3-1"],
            || announces(PropertyId::RetainAvailable, 0),
        ),
        Mutant::new(
            "3.2/unavailable-retain-passed-over",
            "RETAIN of a Will is passed over where there are no retained messages",
            &["MQTT-3.2.2-13"],
            || {
                vec![connects(|connect, _| {
                    if let Some(will) = &mut connect.will {
                        will.retain = false;
                    }
                })]
            },
        )
        .configured(|config| config.features.retain = false),
    ]
}

/// Closes for subscriptions that ask for more than this.
fn closes_for_qos(most: QoS) -> Box<dyn Rule> {
    closes(move |packet, _| match packet {
        Packet::Subscribe(it) => it.subscriptions.iter().any(|it| it.options.maximum_qos > most),
        _ => false,
    })
}

fn of_subscriptions() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "3.2/no-wildcards-announced-only",
            "CONNACK rules wildcard subscriptions out, and they are granted",
            &["U-3.2.2.3.11-2"],
            || announces(PropertyId::WildcardSubscriptionAvailable, 0),
        ),
        Mutant::new(
            "3.2/no-subscription-identifiers-announced-only",
            "CONNACK rules subscription identifiers out, and they are taken",
            &["U-3.2.2.3.12-2"],
            || announces(PropertyId::SubscriptionIdentifierAvailable, 0),
        ),
        Mutant::new(
            "3.2/no-shared-subscriptions-announced-only",
            "CONNACK rules shared subscriptions out, and they are granted",
            &["U-3.2.2.3.13-2"],
            || announces(PropertyId::SharedSubscriptionAvailable, 0),
        ),
    ]
}

fn limits() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "3.2/maximum-qos-of-2",
            "CONNACK has a maximum QoS of 2",
            &["U-3.2.2.3.4-1"],
            || announces(PropertyId::MaximumQoS, 2),
        ),
        Mutant::new(
            "3.2/server-keep-alive-not-enforced",
            "CONNACK sets a keep alive of 3 seconds, and nobody is held to it",
            &["MQTT-3.2.2-22", "MQTT-3.1.2-22"],
            || {
                vec![accepts(|connack, _| {
                    if !connack.reason.is_error() {
                        connack.properties.set(PropertyId::ServerKeepAlive, 3);
                    }
                })]
            },
        )
        .configured(|config| config.server_keep_alive = Some(0)),
        Mutant::new(
            "3.2/large-packets-close-unexplained",
            "A packet of more than 4 KiB closes the connection, and no limit is announced",
            &["U-3.2.2.3.6-3"],
            || {
                vec![closes(|packet, _| packet.encoded_len().is_ok_and(|size| size > 4 << 10))]
            },
        )
        .configured(|config| config.maximum_packet_size = u32::MAX),
        Mutant::new(
            "3.2/packet-limit-unannounced",
            "A packet of more than 4 KiB is too large, and CONNACK has no maximum packet size",
            &["U-3.2.2.3.6-3"],
            || {
                vec![inward(|packet, at, act| {
                    let is_in = at.client().is_some_and(|client| client.accepted);
                    if is_in && packet.encoded_len().is_ok_and(|size| size > 4 << 10) {
                        act.send(Disconnect::because(ReasonCode::PacketTooLarge));
                        return act.close();
                    }
                    act.receive(packet);
                })]
            },
        )
        .configured(|config| config.maximum_packet_size = u32::MAX),
        Mutant::new(
            "3.2/large-packets-lost-unexplained",
            "A packet of more than 64 KiB is refused as if its topic were wrong, and no limit is announced",
            &["U-3.2.2.3.6-3"],
            || {
                vec![answers(|packet, _| match packet {
                    Packet::Publish(it) if it.payload.len() > 64 << 10 && it.qos == QoS::AtLeastOnce => {
                        let reason = ReasonCode::TopicNameInvalid;
                        let ack = PublishAck::because(it.packet_id, reason);
                        Some(vec![Packet::PubAck(ack)])
                    }
                    _ => None,
                })]
            },
        )
        .configured(|config| config.maximum_packet_size = u32::MAX),
    ]
}
