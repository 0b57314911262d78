use reference_broker::codec::{Packet, QoS};

use super::connections::{Passed, Reading, Received};
use super::exchange::{Cause, Delivery, Exchanges};
use super::sessions::Start;
use super::{Findings, Oracle};
use crate::trace::packet_text;

pub(super) const ORACLE: Oracle = Oracle {
    name: "no-resend",
    holds: "Nothing is sent again on one connection; DUP is 1 on what is sent again, and only there",
    requirements: &["MQTT-4.4.0-1", "MQTT-3.3.1-1", "MQTT-3.3.1-2", "MQTT-3.3.1-3"],
    judge,
};

fn judge(reading: &Reading<'_>, findings: &mut Findings) {
    for step in reading.steps() {
        if let Passed::Received(Received::Packet(packet @ Packet::Publish(publish))) = step.passed
            && publish.qos == QoS::AtMostOnce
            && publish.dup
        {
            findings.add("MQTT-3.3.1-2", step.at, "DUP 0 at QoS 0", packet_text(packet)); // MQTT-3.3.1-2
        }
    }
    let exchanges = Exchanges::of(reading);
    for delivery in &exchanges.deliveries {
        if let Some((requirement, expected)) = fault_of(delivery) {
            let observed = packet_text(&delivery.publish.clone().into());
            findings.add(requirement, delivery.at, expected, observed);
        }
    }
    for release in &exchanges.releases {
        if release.cause == Cause::Answered {
            let expected = "one PUBREL for each PUBREC";
            let observed = packet_text(&Packet::PubRel(release.ack.clone()));
            findings.add("MQTT-4.4.0-1", release.at, expected, observed); // MQTT-4.4.0-1
        }
    }
}

fn fault_of(delivery: &Delivery<'_, '_>) -> Option<(&'static str, &'static str)> {
    let dup = delivery.publish.dup;
    // After PUBREL, and with another message, it is more than a repetition.
    let again = delivery.open.filter(|open| open.is_same_message && !open.is_released);
    match again {
        Some(open) if open.is_same_connection => {
            Some(("MQTT-4.4.0-1", "no message sent twice on one connection")) // MQTT-4.4.0-1
        }
        Some(_) if !dup => Some(("MQTT-3.3.1-1", "DUP 1 on a message that is sent again")), // MQTT-3.3.1-1
        Some(_) => None,
        // A message of a Shared Subscription may have been sent to another client before.
        None if dup
            && delivery.open.is_none()
            && delivery.session.start == Start::Fresh
            && delivery.connection.is_clear(delivery.at)
            && !delivery.session.shares =>
        {
            Some(("MQTT-3.3.1-3", "DUP 0, as nothing was sent before in this session")) // MQTT-3.3.1-3
        }
        None => None,
    }
}
