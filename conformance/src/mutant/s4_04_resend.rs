//! What is sent again on resume, what is not, and in which order.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use reference_broker::codec::{Packet, Publish, QoS, ReasonCode, Text};
use reference_broker::core::Output;

use super::Mutant;
use crate::boundary::Rules;
use crate::boundary::resume::{Back, on_resume};
use crate::boundary::rules::{ignores, outward, through};

pub(super) fn mutants() -> Vec<Mutant> {
    let mut all = repeated_publish();
    all.extend(repeated_pubrel());
    all.extend(acknowledged());
    all.extend(order());
    all
}

fn repeated_publish() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "4.4/dup-lost-on-second-resume",
            "On a second resume PUBLISH is sent again with DUP 0",
            &["MQTT-3.3.1-1"],
            || {
                vec![on_resume(|mut packet, _, act, back| {
                    if let Packet::Publish(publish) = &mut packet {
                        publish.dup &= back.times < 2;
                    }
                    act.send(packet);
                })]
            },
        ),
        Mutant::new(
            "4.4/dup-lost-at-qos-2",
            "On resume a QoS 2 PUBLISH is sent again with DUP 0",
            &["MQTT-3.3.1-1"],
            || {
                vec![on_resume(|mut packet, _, act, _| {
                    if let Packet::Publish(publish) = &mut packet {
                        publish.dup &= publish.qos == QoS::AtLeastOnce;
                    }
                    act.send(packet);
                })]
            },
        ),
        Mutant::new(
            "4.4/new-identifier-on-resume",
            "On resume PUBLISH is sent again under another Packet Identifier",
            &["MQTT-4.4.0-1"],
            new_identifier_on_resume,
        ),
        Mutant::new(
            "4.4/not-again-after-disconnect",
            "After DISCONNECT nothing is sent again on resume",
            &["MQTT-4.4.0-1", "U-4.1-5", "MQTT-4.3.2-3", "MQTT-4.3.3-3"],
            || not_again(|back| back.had_left),
        ),
        Mutant::new(
            "4.4/not-again-after-takeover",
            "A connection that takes over an open one is not sent again what that left open",
            &["MQTT-4.4.0-1", "U-4.1-5"],
            || not_again(|back| back.took_over),
        ),
        Mutant::new(
            "4.4/not-again-on-third-resume",
            "On a third resume nothing is sent again",
            &["MQTT-4.4.0-1", "U-4.1-5"],
            || not_again(|back| back.times == 3),
        ),
        Mutant::new(
            "4.4/publish-retried",
            "PUBLISH is sent again after 20 seconds on the same connection",
            &["MQTT-4.4.0-1"],
            || {
                retried(|packet| match packet {
                    Packet::Publish(publish) if publish.qos > QoS::AtMostOnce => {
                        Some(publish.clone().dup().into())
                    }
                    _ => None,
                })
            },
        ),
        Mutant::new(
            "4.4/pubrel-retried",
            "PUBREL is sent again after 20 seconds on the same connection",
            &["MQTT-4.4.0-1"],
            || retried(|packet| matches!(packet, Packet::PubRel(_)).then(|| packet.clone())),
        ),
    ]
}

fn repeated_pubrel() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "4.4/pubrel-not-again",
            "PUBREL is not sent again on resume",
            &["MQTT-4.4.0-1", "MQTT-4.3.3-5", "U-4.1-5"],
            || {
                vec![on_resume(|packet, _, act, _| match packet {
                    Packet::PubRel(_) => {}
                    packet => act.send(packet),
                })]
            },
        ),
        Mutant::new(
            "4.4/pubrel-twice-after-takeover",
            "A connection that takes over an open one is sent PUBREL twice",
            &["MQTT-4.4.0-1"],
            || {
                vec![on_resume(|packet, _, act, back| {
                    if matches!(packet, Packet::PubRel(_)) && back.took_over {
                        act.send(packet.clone());
                    }
                    act.send(packet);
                })]
            },
        ),
        Mutant::new(
            "4.4/publish-again-after-pubrel",
            "On resume PUBLISH is sent again where PUBREL was due",
            &["MQTT-4.3.3-6", "MQTT-4.4.0-1"],
            publish_again_after_pubrel,
        ),
        Mutant::new(
            "4.4/one-exchange-resumed",
            "Of several open exchanges only the first goes on after a resume",
            &["MQTT-4.4.0-1", "U-4.1-5"],
            || {
                let mut begun = BTreeSet::new();
                vec![on_resume(move |packet, at, act, _| match &packet {
                    Packet::Publish(publish) if !publish.dup => act.send(packet),
                    _ if begun.insert(at.connection) => act.send(packet),
                    _ => {}
                })]
            },
        ),
    ]
}

fn acknowledged() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "4.4/complete-again-after-takeover",
            "A connection that takes over an open one is sent the last complete message again",
            &["MQTT-4.4.0-1"],
            complete_again_after_takeover,
        ),
        Mutant::new(
            "4.4/refused-puback-overlooked",
            "PUBACK with 0x87 does not acknowledge",
            &["MQTT-4.4.0-2"],
            || {
                vec![ignores(
                    |packet, _| matches!(packet, Packet::PubAck(it) if it.reason == ReasonCode::NotAuthorized),
                )]
            },
        ),
        Mutant::new(
            "4.4/refused-pubrec-overlooked",
            "PUBREC with 0x99 does not acknowledge",
            &["MQTT-4.4.0-2"],
            || {
                let reason = ReasonCode::PayloadFormatInvalid;
                vec![ignores(
                    move |packet, _| matches!(packet, Packet::PubRec(it) if it.reason == reason),
                )]
            },
        ),
        Mutant::new(
            "4.4/last-acknowledgement-half-lost",
            "What was acknowledged right before the connection was lost comes again with DUP 0",
            &["MQTT-3.3.1-1"],
            last_acknowledgement_half_lost,
        ),
    ]
}

fn order() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "4.4/again-in-reverse",
            "Messages that are sent again on resume come in reverse order",
            &["MQTT-4.6.0-5"],
            || {
                let mut later = Duration::from_millis(100);
                vec![on_resume(move |packet, at, act, _| {
                    match matches!(&packet, Packet::Publish(publish) if publish.dup) {
                        true => later = later.saturating_sub(Duration::from_millis(1)),
                        false => later = Duration::from_millis(200),
                    }
                    act.boundary.emit_after(later, Output::Send(at.connection, packet));
                })]
            },
        ),
        Mutant::new(
            "4.4/again-after-the-rest",
            "Messages that are sent again on resume come after those that were never sent",
            &["MQTT-4.6.0-5"],
            || {
                vec![on_resume(|packet, at, act, _| {
                    match matches!(&packet, Packet::Publish(publish) if publish.dup) {
                        true => {
                            act.boundary.emit_after(MOMENT, Output::Send(at.connection, packet))
                        }
                        false => act.send(packet),
                    }
                })]
            },
        ),
    ]
}

/// A time after which all that can happen at once has happened.
const MOMENT: Duration = Duration::from_millis(1);

fn not_again(when: fn(Back) -> bool) -> Rules {
    vec![on_resume(move |packet, _, act, back| match &packet {
        Packet::Publish(publish) if publish.dup && when(back) => {}
        Packet::PubRel(_) if when(back) => {}
        _ => act.send(packet),
    })]
}

fn retried(again: fn(&Packet) -> Option<Packet>) -> Rules {
    vec![outward(move |packet, at, act| {
        if let Some(again) = again(&packet) {
            let later = Duration::from_secs(20);
            act.boundary.emit_after(later, Output::Send(at.connection, again));
        }
        act.send(packet);
    })]
}

fn new_identifier_on_resume() -> Rules {
    const FURTHER: u16 = 1000;
    let inner = on_resume(|mut packet, _, act, _| {
        if let Packet::Publish(publish) = &mut packet
            && publish.dup
        {
            publish.packet_id += FURTHER;
        }
        act.send(packet);
    });
    let undo = through(
        (),
        |(), mut packet, _, act| {
            match &mut packet {
                Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubComp(ack) => {
                    ack.packet_id = ack.packet_id.checked_sub(FURTHER).unwrap_or(ack.packet_id);
                }
                _ => {}
            }
            act.receive(packet);
        },
        |(), packet, _, act| act.send(packet),
    );
    vec![inner, undo]
}

/// What was sent to clients, by Client Identifier and Packet Identifier.
type Sent = BTreeMap<(Text, u16), Publish>;

fn publish_again_after_pubrel() -> Rules {
    vec![through(
        (Sent::new(), None),
        |(_, resuming), packet, _, act| {
            *resuming = None;
            act.receive(packet);
        },
        |(sent, resuming), packet, at, act| {
            match &packet {
                Packet::ConnAck(connack) if connack.session_present => {
                    *resuming = Some(at.connection);
                }
                Packet::Publish(publish) => {
                    sent.insert((at.id(), publish.packet_id), publish.clone());
                }
                Packet::PubRel(ack) if *resuming == Some(at.connection) => {
                    if let Some(publish) = sent.get(&(at.id(), ack.packet_id)) {
                        return act.send(publish.clone().dup());
                    }
                }
                _ => {}
            }
            act.send(packet);
        },
    )]
}

fn complete_again_after_takeover() -> Rules {
    #[derive(Default)]
    struct State {
        sent: Sent,
        complete: BTreeMap<Text, Publish>,
    }
    vec![through(
        State::default(),
        |state, packet, at, act| {
            if let Packet::PubAck(ack) | Packet::PubComp(ack) = &packet
                && let Some(publish) = state.sent.remove(&(at.id(), ack.packet_id))
            {
                state.complete.insert(at.id(), publish);
            }
            act.receive(packet);
        },
        |state, packet, at, act| {
            if let Packet::Publish(publish) = &packet {
                state.sent.insert((at.id(), publish.packet_id), publish.clone());
            }
            let resumes = matches!(&packet, Packet::ConnAck(connack) if connack.session_present);
            act.send(packet);
            if resumes
                && at.is_takeover()
                && let Some(publish) = state.complete.get(&at.id())
            {
                act.send(publish.clone().dup());
            }
        },
    )]
}

fn last_acknowledgement_half_lost() -> Rules {
    #[derive(Default)]
    struct State {
        sent: Sent,
        /// The message of the last packet of a client, if that was an acknowledgement.
        last: BTreeMap<Text, Publish>,
    }
    vec![through(
        State::default(),
        |state, packet, at, act| {
            let answered = match &packet {
                Packet::PubAck(ack) => state.sent.get(&(at.id(), ack.packet_id)),
                Packet::Connect(_) => return act.receive(packet),
                _ => None,
            };
            match answered {
                Some(publish) => state.last.insert(at.id(), publish.clone()),
                None => state.last.remove(&at.id()),
            };
            act.receive(packet);
        },
        |state, packet, at, act| {
            if let Packet::Publish(publish) = &packet {
                state.sent.insert((at.id(), publish.packet_id), publish.clone());
            }
            let resumes = matches!(&packet, Packet::ConnAck(connack) if connack.session_present);
            act.send(packet);
            if resumes && let Some(publish) = state.last.remove(&at.id()) {
                act.send(publish);
            }
        },
    )]
}
