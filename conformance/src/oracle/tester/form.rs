use reference_broker::codec::{Fault, Packet, Properties, PropertyId, Side};
use reference_broker::topic::{SubscriptionFilter, TopicError};

use super::super::connections::{Passed, Reading, Sent, Step};
use super::super::{Findings, Oracle};
use crate::trace::packet_text;

pub(super) const ORACLE: Oracle = Oracle {
    name: "tester-form",
    holds: "The suite sends packets that are well formed, and valid by themselves",
    requirements: &[
        "U-1.5.5-1",
        "U-3.1.2.2-1",
        "U-3.1.2.3-1",
        "U-7.1.2-1",
        "MQTT-3.8.1-1",
        "MQTT-3.3.2-2",
        "MQTT-4.7.1-1",
        "MQTT-4.7.1-2",
        "MQTT-4.7.3-1",
        "MQTT-4.8.2-1",
        "MQTT-4.8.2-2",
        "U-3.3.2.3.2-1",
        "U-3.1.3.2.3-2",
    ],
    judge,
};

fn judge(reading: &Reading<'_>, findings: &mut Findings) {
    for Step { at, passed, .. } in reading.steps() {
        match passed {
            Passed::Sent(Sent::Packet(packet)) => {
                for (requirement, expected) in faults(packet) {
                    findings.add(requirement, at, expected, packet_text(packet));
                }
            }
            Passed::Sent(Sent::Broken(packet_type, fault)) => {
                let observed = match fault {
                    Some(fault) => format!("{packet_type}: {fault}"),
                    None => format!("{packet_type} that cannot be written down"),
                };
                let requirement = fault.as_ref().map_or("U-7.1.2-1", requirement);
                findings.add(requirement, at, "a valid packet", observed);
            }
            Passed::Sent(Sent::Noise(fault)) => {
                findings.add(requirement(fault), at, "a packet", fault.to_string());
            }
            Passed::Received(_) => {}
        }
    }
}

/// What a client that sends this breaks.
fn requirement(fault: &Fault) -> &'static str {
    match fault {
        // Here the rows of the codec are about the server's answer.
        Fault::UnsupportedProtocolVersion(_) => "U-3.1.2.2-1", // U-3.1.2.2-1
        Fault::ReservedConnectFlag => "U-3.1.2.3-1",           // U-3.1.2.3-1
        Fault::ReservedSubscriptionOption => "U-7.1.2-1",      // U-7.1.2-1
        fault => fault.requirement(Side::Client),
    }
}

/// What is wrong with a packet that can be decoded.
fn faults(packet: &Packet) -> Vec<(&'static str, String)> {
    let filter_fault = |text: &str| SubscriptionFilter::parse(text).err();
    let told = |error: TopicError| (error.requirement(), format!("a Topic Filter without {error}"));
    match packet {
        Packet::Subscribe(subscribe) => {
            let filters = subscribe.subscriptions.iter().map(|it| &it.filter);
            filters.filter_map(|filter| filter_fault(filter)).map(told).collect()
        }
        Packet::Unsubscribe(unsubscribe) => {
            let filters = unsubscribe.filters.iter();
            filters.filter_map(|filter| filter_fault(filter)).map(told).collect()
        }
        Packet::Publish(it) if lies(&it.properties, &it.payload) => {
            vec![("U-3.3.2.3.2-1", "a payload of UTF-8, as is said".to_owned())] // U-3.3.2.3.2-1
        }
        Packet::Connect(connect) => match &connect.will {
            Some(will) if lies(&will.properties, &will.payload) => {
                vec![("U-3.1.3.2.3-2", "a Will of UTF-8, as is said".to_owned())] // U-3.1.3.2.3-2
            }
            _ => Vec::new(),
        },
        _ => Vec::new(),
    }
}

/// Whether a payload is said to be text and is none.
fn lies(properties: &Properties, payload: &[u8]) -> bool {
    properties.number(PropertyId::PayloadFormatIndicator) == Some(1)
        && std::str::from_utf8(payload).is_err()
}
