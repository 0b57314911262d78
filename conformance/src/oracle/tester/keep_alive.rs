use std::time::Duration;

use reference_broker::codec::{Packet, PropertyId};

use super::super::connections::{Connection, Reading, Received};
use super::super::{Findings, Oracle};
use crate::trace::{Event, What};

pub(super) const ORACLE: Oracle = Oracle {
    name: "tester-keep-alive",
    holds: "The suite is not silent for longer than the Keep Alive in force",
    requirements: &["MQTT-3.1.2-20", "MQTT-3.2.2-21"],
    judge,
};

fn judge(reading: &Reading<'_>, findings: &mut Findings) {
    for connection in &reading.connections {
        let Some((accepted, limit, requirement)) = in_force(connection) else { continue };
        // Ours has to be seen: it may have ended unseen after the last event.
        let name = reading.trace.get(accepted).map(|event| event.probe.as_str());
        let end = end(connection);
        let mut silent_since = reading.time(accepted);
        for (at, event) in reading.trace.iter().enumerate().skip(accepted) {
            if at > end || Some(event.probe.as_str()) != name || is_of_the_stage(event) {
                continue;
            }
            let silence = event.at.saturating_sub(silent_since);
            if silence > limit {
                let expected = format!("a packet within {limit:?}");
                findings.add(requirement, at, expected, format!("none for {silence:?}"));
                break;
            }
            if matches!(event.what, What::Sent(_) | What::SentBytes(_)) {
                silent_since = event.at;
            }
        }
    }
}

fn is_of_the_stage(event: &Event) -> bool {
    matches!(event.what, What::Waited(_))
}

/// Where the CONNACK is, the Keep Alive in force, and whose it is; none if there is none.
fn in_force(connection: &Connection<'_>) -> Option<(usize, Duration, &'static str)> {
    let (_, connect) = connection.connect()?;
    let (at, connack) = connection.accepted()?;
    let (seconds, requirement) = match connack.properties.number(PropertyId::ServerKeepAlive) {
        Some(seconds) => (seconds, "MQTT-3.2.2-21"), // MQTT-3.2.2-21
        None => (u32::from(connect.keep_alive), "MQTT-3.1.2-20"), // MQTT-3.1.2-20
    };
    (seconds > 0).then_some((at, Duration::from_secs(u64::from(seconds)), requirement))
}

/// Where either side took its leave: after that nothing needs to be sent.
fn end(connection: &Connection<'_>) -> usize {
    let is_goodbye = |packet: &Packet| matches!(packet, Packet::Disconnect(_));
    let mut sent = connection.sent.iter();
    let sent = sent.find(|(_, sent)| sent.packet().is_some_and(is_goodbye)).map(|(at, _)| *at);
    let mut received = connection.received.iter();
    let received = received.find_map(|(at, received)| match received {
        Received::Packet(packet) if is_goodbye(packet) => Some(*at),
        _ => None,
    });
    [sent, received, connection.closed].into_iter().flatten().min().unwrap_or(usize::MAX)
}
