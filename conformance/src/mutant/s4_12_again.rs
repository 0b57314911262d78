//! Authentication anew.

use std::collections::{BTreeMap, BTreeSet};

use reference_broker::codec::{
    ConnAck, Disconnect, Packet, PropertyId, ReasonCode, Text, Unsubscribe,
};
use reference_broker::core::{Answer, ConnectionId, Input};

use super::Mutant;
use super::s4_12::{challenges, decides, is_past_first, proves, someone};
use super::s4_12_early::overlooks_method;
use crate::boundary::Rules;
use crate::boundary::rules::{
    Act, At, FORGED, answers_forged, ignores, inputs, keeps_open, outward, through,
};

pub(super) fn mutants() -> Vec<Mutant> {
    let mut all = ends();
    all.extend(meanwhile());
    all
}

fn ends() -> Vec<Mutant> {
    vec![
        Mutant::new("4.12/not-asked-anew", "AUTH 0x19 is not answered", &["U-4.12.1-1"], || {
            vec![ignores(|packet, at| {
                let asks = matches!(
                    packet,
                    Packet::Auth(auth) if auth.reason == ReasonCode::ReAuthenticate
                );
                asks && is_past_first(at)
            })]
        })
        .also(&["MQTT-4.12.1-1", "MQTT-4.12.1-2", "U-3.15-1"]),
        Mutant::new(
            "4.12/second-exchange-ends-with-connack",
            "CONNACK 0x00 stands in the place of AUTH 0x00",
            &["U-4.12.1-1", "U-3.15.2.1-2"],
            || {
                vec![outward(|packet, _, act| match &packet {
                    Packet::Auth(auth) if auth.reason == ReasonCode::Success => {
                        let method = PropertyId::AuthenticationMethod;
                        let mut connack = ConnAck::new(false, ReasonCode::Success);
                        if let Some(name) = auth.properties.text(method) {
                            connack.properties.push(method, name.clone());
                        }
                        act.send(connack);
                    }
                    _ => act.send(packet),
                })]
            },
        )
        .also(&["MQTT-3.2.0-2"]),
        Mutant::new(
            "4.12/never-done-anew",
            "The AUTH that ends another exchange says 0x18",
            &["U-3.15.2.1-2", "U-4.12.1-1"],
            || {
                vec![challenges(|auth, at| {
                    if is_past_first(at) {
                        auth.reason = ReasonCode::ContinueAuthentication;
                    }
                })]
            },
        ),
        Mutant::new(
            "4.12/proof-not-checked-anew",
            "A client that was let in once need not prove itself again",
            &["MQTT-4.12.1-2"],
            || {
                vec![decides(|_, answer, accepted| match answer {
                    Answer::Refused(_) if accepted => someone(),
                    answer => answer,
                })]
            },
        ),
        Mutant::new(
            "4.12/open-after-failing-anew",
            "The connection stays open when another exchange fails",
            &["MQTT-4.12.1-2"],
            fails_silently,
        ),
        Mutant::new(
            "4.12/method-overlooked-anew",
            "The method of an AUTH after CONNACK is not looked at",
            &["MQTT-4.12.1-1", "U-3.15-1"],
            || vec![proves(|auth, at| overlooks_method(auth, at, is_past_first(at)))],
        ),
        Mutant::new(
            "4.12/no-will-of-who-fails-anew",
            "Who fails to authenticate anew takes its Will with it",
            &["MQTT-3.1.2-8"],
            || {
                vec![inputs(|input, boundary| {
                    if let Input::Answered(id, Answer::Refused(_)) = &input
                        && boundary.clients.get(*id).is_some_and(|client| client.accepted)
                    {
                        boundary.pass(Input::Received(*id, Disconnect::default().into()));
                    }
                    boundary.pass(input);
                })]
            },
        ),
    ]
}

/// What says that another exchange has failed, and the close, are lost.
fn fails_silently() -> Rules {
    let failed = |at: At<'_>| is_past_first(at);
    vec![
        outward(move |packet, at, act| {
            let tells = matches!(
                &packet,
                Packet::Disconnect(it) if it.reason == ReasonCode::NotAuthorized
            );
            if !(tells && failed(at)) {
                act.send(packet);
            }
        }),
        keeps_open(is_past_first),
    ]
}

/// Goes through the packets of clients while another exchange of theirs is under way; what it does not
/// receive or send is lost.
fn meanwhile_through(
    mut inward: impl FnMut(Packet, &mut Act<'_, '_>) + Send + 'static,
    mut outward: impl FnMut(Packet, &mut Act<'_, '_>) + Send + 'static,
) -> Rules {
    let under_way = BTreeSet::<ConnectionId>::new();
    vec![through(
        under_way,
        move |under_way, packet, at, act| {
            if begins(&packet) {
                under_way.insert(at.connection);
            }
            match under_way.contains(&at.connection) {
                true => inward(packet, act),
                false => act.receive(packet),
            }
        },
        move |under_way, packet, at, act| {
            if ends_well(&packet) {
                under_way.remove(&at.connection);
            }
            match under_way.contains(&at.connection) {
                true => outward(packet, act),
                false => act.send(packet),
            }
        },
    )]
}

fn begins(packet: &Packet) -> bool {
    matches!(packet, Packet::Auth(auth) if auth.reason == ReasonCode::ReAuthenticate)
}

fn ends_well(packet: &Packet) -> bool {
    matches!(packet, Packet::Auth(auth) if auth.reason == ReasonCode::Success)
}

fn meanwhile() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "4.12/requests-lost-meanwhile",
            "What a client publishes and asks for during another exchange is lost",
            &["U-4.12.1-2", "MQTT-4.3.2-4"],
            || {
                meanwhile_through(
                    |packet, act| match packet {
                        Packet::Publish(_) | Packet::Subscribe(_) => {}
                        packet => act.receive(packet),
                    },
                    |packet, act| act.send(packet),
                )
            },
        )
        .also(&["MQTT-3.8.4-1"]),
        Mutant::new(
            "4.12/messages-lost-meanwhile",
            "Messages to a client during another exchange are lost",
            &["U-4.12.1-2"],
            || {
                meanwhile_through(
                    |packet, act| act.receive(packet),
                    |packet, act| match packet {
                        Packet::Publish(_) => {}
                        packet => act.send(packet),
                    },
                )
            },
        ),
        Mutant::new(
            "4.12/subscriptions-end-with-another-exchange",
            "A client that authenticates anew loses its subscriptions",
            &["MQTT-4.1.0-1"],
            forgets_subscriptions,
        ),
        Mutant::new(
            "4.12/leave-ignored-meanwhile",
            "A client that takes its leave during another exchange counts as lost",
            &["MQTT-3.14.4-3"],
            || {
                meanwhile_through(
                    |packet, act| match packet {
                        Packet::Disconnect(_) => act.close(),
                        packet => act.receive(packet),
                    },
                    |packet, act| act.send(packet),
                )
            },
        ),
    ]
}

fn forgets_subscriptions() -> Rules {
    vec![through(
        BTreeMap::<ConnectionId, Vec<Text>>::new(),
        |subscribed, packet, at, act| {
            if let Packet::Subscribe(subscribe) = &packet {
                let filters = subscribe.subscriptions.iter().map(|it| it.filter.clone());
                subscribed.entry(at.connection).or_default().extend(filters);
            }
            if begins(&packet)
                && let Some(filters) = subscribed.remove(&at.connection)
            {
                for filter in filters {
                    act.receive(Unsubscribe::new(FORGED, filter));
                }
            }
            act.receive(packet);
        },
        |_, packet, _, act| {
            if !answers_forged(&packet) {
                act.send(packet);
            }
        },
    )]
}
