//! Session State that does not wait for those who come back, or not in order.

use std::collections::BTreeMap;
use std::time::Duration;

use reference_broker::codec::{Connect, Disconnect, Packet, Text};
use reference_broker::core::{ConnectionId, Output};

use super::Mutant;
use crate::boundary::Rules;
use crate::boundary::resume::on_resume;
use crate::boundary::rules::{At, outward, session_expiry};

pub(super) fn mutants() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "4.1/earlier-interval-ends-resumed-session",
            "A session ends with the interval that ran before it was resumed with a longer one",
            &["U-4.1-1", "MQTT-4.1.0-1", "MQTT-3.1.2-23"],
            || earlier_interval_counts(|at| !at.is_takeover()),
        ),
        Mutant::new(
            "4.1/earlier-interval-ends-taken-over-session",
            "A session ends with the interval of the connection that was taken over",
            &["U-4.1-1", "MQTT-4.1.0-1", "MQTT-3.1.2-23"],
            || earlier_interval_counts(|at| at.is_takeover()),
        ),
        Mutant::new(
            "4.1/queue-of-many-in-disorder",
            "The 129th message that waits for a session comes behind all others",
            &["MQTT-4.6.0-5"],
            || {
                let mut came: BTreeMap<ConnectionId, u32> = BTreeMap::new();
                vec![on_resume(move |packet, at, act, _| {
                    if matches!(packet, Packet::Publish(_)) {
                        let came = came.entry(at.connection).or_default();
                        *came += 1;
                        if *came == 129 {
                            let late = Output::Send(at.connection, packet);
                            return act.boundary.emit_after(Duration::from_millis(1), late);
                        }
                    }
                    act.send(packet);
                })]
            },
        ),
    ]
}

/// Ends a session when the interval of the connection before this one has passed, if that is shorter.
fn earlier_interval_counts(which: fn(At<'_>) -> bool) -> Rules {
    let mut last: BTreeMap<Text, u32> = BTreeMap::new();
    vec![outward(move |packet, at, act| {
        let client = match &packet {
            Packet::ConnAck(connack) if !connack.reason.is_error() => at.client(),
            _ => None,
        };
        if let Some(client) = client {
            let interval = session_expiry(&client.connect);
            let before = last.insert(client.id.clone(), interval);
            if let Some(before @ 1..) = before.filter(|before| *before < interval && which(at)) {
                let ends = [Connect::new(client.id.clone()).into(), Disconnect::default().into()];
                let passed = Duration::from_secs(u64::from(before));
                act.boundary.visit_after(passed, ends);
            }
        }
        act.send(packet);
    })]
}
