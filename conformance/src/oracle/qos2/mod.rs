mod received;

use reference_broker::codec::Packet;

use super::connections::Reading;
use super::exchange::{Cause, Exchanges};
use super::{Findings, Oracle};
use crate::trace::packet_text;

pub(super) const ORACLE: Oracle = Oracle {
    name: "qos2",
    holds: "The broker sends PUBREL for a PUBREC that takes the message and no PUBLISH after it, and \
            hands on once what its client repeats before PUBREL",
    requirements: &["MQTT-4.3.3-4", "MQTT-4.3.3-6", "MQTT-4.3.3-10"],
    judge,
};

fn judge(reading: &Reading<'_>, findings: &mut Findings) {
    received::judge(reading, findings);
    let exchanges = Exchanges::of(reading);
    for delivery in &exchanges.deliveries {
        if delivery.open.is_some_and(|open| open.is_same_message && open.is_released) {
            let expected = "no PUBLISH after the PUBREL of its exchange";
            let observed = packet_text(&delivery.publish.clone().into());
            findings.add("MQTT-4.3.3-6", delivery.at, expected, observed); // MQTT-4.3.3-6
        }
    }
    for release in &exchanges.releases {
        let expected = match release.cause {
            Cause::None => "no PUBREL before PUBREC",
            Cause::Refusal => "no PUBREL for a PUBREC that refuses the message",
            Cause::Good | Cause::Answered => continue,
        };
        let observed = packet_text(&Packet::PubRel(release.ack.clone()));
        findings.add("MQTT-4.3.3-4", release.at, expected, observed); // MQTT-4.3.3-4
    }
}
