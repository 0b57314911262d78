//! DISCONNECT.

use std::time::Duration;

use reference_broker::codec::{Disconnect, Packet, PropertyId, ReasonCode};
use reference_broker::core::{Input, Output};

use super::Mutant;
use crate::boundary::rules::{At, inward, keeps_open, outward, reads, writes};
use crate::boundary::{Boundary, Rule};

pub(super) fn mutants() -> Vec<Mutant> {
    [wills(), sessions(), leaving()].into_iter().flatten().collect()
}

fn wills() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "3.14/normal-keeps-will",
            "DISCONNECT 0x00 has the Will published",
            &["MQTT-3.14.4-3", "U-3.14.2.1-3"],
            || vec![alters_reason(|it| *it == ReasonCode::Success, ReasonCode::DisconnectWithWill)],
        ),
        Mutant::new(
            "3.14/long-form-keeps-will",
            "DISCONNECT 0x00 with a property has the Will published",
            &["MQTT-3.14.4-3"],
            || {
                vec![reads_disconnect(|it, _| {
                    if !it.properties.is_empty() && it.reason == ReasonCode::Success {
                        it.reason = ReasonCode::DisconnectWithWill;
                    }
                })]
            },
        ),
        Mutant::new(
            "3.14/with-will-drops-will",
            "DISCONNECT 0x04 ends the Will unpublished",
            &["U-3.14.2.1-4", "MQTT-3.1.2-8"],
            || vec![alters_reason(|it| *it == ReasonCode::DisconnectWithWill, ReasonCode::Success)],
        ),
        Mutant::new(
            "3.14/with-will-and-reason-drops-will",
            "DISCONNECT 0x04 with a Reason String ends the Will unpublished",
            &["U-3.14.2.1-4"],
            || {
                vec![reads_disconnect(|it, _| {
                    if it.properties.contains(PropertyId::ReasonString) {
                        it.reason = ReasonCode::Success;
                    }
                })]
            },
        ),
        Mutant::new(
            "3.14/error-drops-will",
            "DISCONNECT with an error code ends the Will unpublished",
            &["MQTT-3.1.2-8", "U-3.14-2"],
            || vec![alters_reason(|it| it.is_error(), ReasonCode::Success)],
        ),
        Mutant::new(
            "3.14/one-error-drops-will",
            "DISCONNECT 0x93 ends the Will unpublished",
            &["MQTT-3.1.2-8"],
            || {
                let exceeded = ReasonCode::ReceiveMaximumExceeded;
                vec![alters_reason(move |it| *it == exceeded, ReasonCode::Success)]
            },
        ),
        Mutant::new(
            "3.14/malformed-drops-will",
            "A malformed DISCONNECT ends the Will unpublished",
            &["MQTT-3.1.2-8"],
            || vec![Box::new(MalformedCounts)],
        ),
        Mutant::new(
            "3.14/raised-expiry-drops-will",
            "A DISCONNECT that raises the Session Expiry Interval from 0 is taken",
            &["U-3.14.2.2.2-3"],
            || {
                vec![reads_disconnect(|it, at| {
                    let asked = at.client().and_then(|it| expiry(&it.connect.properties));
                    if asked.unwrap_or(0) == 0 {
                        it.properties.retain(|it| it.id != PropertyId::SessionExpiryInterval);
                    }
                })]
            },
        ),
        Mutant::new(
            "3.14/will-waits-after-session-end",
            "The Will of a session that DISCONNECT 0x04 ends waits for its delay all the same",
            &["MQTT-3.1.2-8"],
            || {
                vec![reads_disconnect(|it, _| {
                    if it.reason == ReasonCode::DisconnectWithWill {
                        it.properties.retain(|it| it.id != PropertyId::SessionExpiryInterval);
                    }
                })]
            },
        ),
    ]
}

fn sessions() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "3.14/expiry-ignored",
            "The Session Expiry Interval of DISCONNECT is ignored",
            &["U-3.14.2.2.2-2", "MQTT-4.1.0-2"],
            || vec![reads_disconnect(|it, _| set_expiry(it, None))],
        ),
        Mutant::new(
            "3.14/expiry-shortens-only",
            "A Session Expiry Interval of DISCONNECT counts if it is shorter than that of CONNECT",
            &["U-3.14.2.2.2-2"],
            || {
                vec![reads_disconnect(|it, at| {
                    let asked = at.client().and_then(|it| expiry(&it.connect.properties));
                    set_expiry(it, expiry(&it.properties).min(asked));
                })]
            },
        ),
        Mutant::new(
            "3.14/expiry-zero-ignored",
            "A Session Expiry Interval of 0 in DISCONNECT is taken for none",
            &["U-3.14.2.2.2-2"],
            || {
                vec![reads_disconnect(|it, _| {
                    set_expiry(it, expiry(&it.properties).filter(|seconds| *seconds > 0));
                })]
            },
        ),
        Mutant::new(
            "3.14/expiry-without-end-means-none",
            "A Session Expiry Interval without an end in DISCONNECT ends the session",
            &["U-3.14.2.2.2-2", "MQTT-3.1.2-23"],
            || {
                vec![reads_disconnect(|it, _| {
                    if expiry(&it.properties) == Some(u32::MAX) {
                        set_expiry(it, Some(0));
                    }
                })]
            },
        ),
        Mutant::new(
            "3.14/expiry-of-last-disconnect-stays",
            "The Session Expiry Interval of an earlier DISCONNECT counts where a later has none",
            &["U-3.14.2.2.2-2", "MQTT-4.1.0-2"],
            || {
                let mut last = std::collections::BTreeMap::new();
                vec![reads_disconnect(move |it, at| {
                    let Some(client) = at.client() else { return };
                    match expiry(&it.properties) {
                        Some(seconds) => drop(last.insert(client.id.clone(), seconds)),
                        None => set_expiry(it, last.get(&client.id).copied()),
                    }
                })]
            },
        ),
        Mutant::new(
            "3.14/ends-session",
            "DISCONNECT with a Session Expiry Interval ends the session, whatever that is",
            &["MQTT-3.1.2-23"],
            || {
                vec![reads_disconnect(|it, at| {
                    let asked = at.client().and_then(|it| expiry(&it.connect.properties));
                    // To raise it from 0 is an error.
                    if asked.unwrap_or(0) > 0 && expiry(&it.properties).is_some() {
                        set_expiry(it, Some(0));
                    }
                })]
            },
        ),
    ]
}

fn leaving() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "3.14/stays-open",
            "The connection stays open after DISCONNECT",
            &["U-3.14.4-1"],
            || {
                let mut gone = std::collections::BTreeSet::new();
                vec![
                    inward(move |packet, at, act| {
                        if matches!(packet, Packet::Disconnect(_)) {
                            gone.insert(at.connection);
                        }
                        act.receive(packet);
                    }),
                    keeps_open(|at| at.clients.get(at.connection).is_some_and(|it| it.accepted)),
                ]
            },
        ),
        Mutant::new(
            "3.14/goes-on-reading",
            "What follows a DISCONNECT in the same bytes is carried out",
            &["U-3.14.4-1"],
            || {
                vec![inward(|packet, at, act| match packet {
                    Packet::Disconnect(_) => {
                        let late = Input::Received(at.connection, packet);
                        act.boundary.pass_after(Duration::from_millis(1), late);
                    }
                    packet => act.receive(packet),
                })]
            },
        ),
        Mutant::new(
            "3.14/reason-beyond-limit",
            "A DISCONNECT of the broker says why at length, however little its client takes",
            &["MQTT-3.14.2-3", "MQTT-3.1.2-24"],
            || {
                vec![writes_disconnect(|it| {
                    it.properties.set(PropertyId::ReasonString, "x".repeat(200))
                })]
            },
        ),
        Mutant::new(
            "3.14/user-property-beyond-limit",
            "A DISCONNECT of the broker has a User Property, however little its client takes",
            &["MQTT-3.14.2-4", "MQTT-3.1.2-24"],
            || {
                let long = "x".repeat(200);
                vec![writes_disconnect(move |it| {
                    it.properties.push(PropertyId::UserProperty, ("why", long.as_str()));
                })]
            },
        ),
        Mutant::new(
            "3.14/packet-after-disconnect",
            "A PINGRESP follows each DISCONNECT of the broker",
            &["MQTT-3.14.4-1"],
            || {
                vec![outward(|packet, _, act| {
                    let is_last = matches!(packet, Packet::Disconnect(_));
                    act.send(packet);
                    if is_last {
                        act.send(Packet::PingResp);
                    }
                })]
            },
        ),
        Mutant::new(
            "3.14/disconnect-without-close",
            "The connection stays open after a DISCONNECT of the broker",
            &["MQTT-3.14.4-2", "MQTT-4.13.2-1"],
            || vec![Box::new(NoCloseAfterDisconnect::default())],
        ),
    ]
}

fn reads_disconnect(
    mut alter: impl FnMut(&mut Disconnect, At<'_>) + Send + 'static,
) -> Box<dyn Rule> {
    reads(move |packet, at| {
        if let Packet::Disconnect(disconnect) = packet {
            alter(disconnect, at);
        }
    })
}

fn writes_disconnect(alter: impl Fn(&mut Disconnect) + Send + 'static) -> Box<dyn Rule> {
    writes(move |packet, _| {
        if let Packet::Disconnect(disconnect) = packet {
            alter(disconnect);
        }
    })
}

fn alters_reason(
    which: impl Fn(&ReasonCode) -> bool + Send + 'static,
    to: ReasonCode,
) -> Box<dyn Rule> {
    reads_disconnect(move |it, _| {
        if which(&it.reason) {
            it.reason = to;
        }
    })
}

fn expiry(properties: &reference_broker::codec::Properties) -> Option<u32> {
    properties.number(PropertyId::SessionExpiryInterval)
}

fn set_expiry(disconnect: &mut Disconnect, seconds: Option<u32>) {
    disconnect.properties.retain(|it| it.id != PropertyId::SessionExpiryInterval);
    if let Some(seconds) = seconds {
        disconnect.properties.push(PropertyId::SessionExpiryInterval, seconds);
    }
}

/// A malformed DISCONNECT counts as one with 0x00 before it is refused.
struct MalformedCounts;

impl Rule for MalformedCounts {
    fn inward(&mut self, input: Input, boundary: &mut Boundary<'_>) {
        use reference_broker::codec::PacketType;
        match input {
            Input::Malformed(id, Some(PacketType::Disconnect), _) => {
                boundary.pass(Input::Received(id, Disconnect::default().into()));
            }
            input => boundary.pass(input),
        }
    }
}

/// Loses the close that follows a DISCONNECT of the broker.
#[derive(Default)]
struct NoCloseAfterDisconnect {
    told: std::collections::BTreeSet<reference_broker::core::ConnectionId>,
}

impl Rule for NoCloseAfterDisconnect {
    fn outward(&mut self, output: Output, boundary: &mut Boundary<'_>) {
        match &output {
            Output::Send(id, Packet::Disconnect(_)) => {
                self.told.insert(*id);
            }
            Output::Close(id) if self.told.contains(id) => return,
            _ => {}
        }
        boundary.emit(output);
    }
}
