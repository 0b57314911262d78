//! What a client is sent on the resume of its session.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use reference_broker::codec::{ConnAck, Packet, Publish, PublishAck, QoS, Text};

use super::{Switch, fits};
use crate::boundary::Rule;
use crate::boundary::rules::{self, Act, At};

pub(super) const SWITCHES: &[Switch] = &[
    Switch::new(
        "repeats-pubrec-on-resume",
        "sends PUBREC again on the resume of a session for each message that waits for its PUBREL",
        &["4.4", "U-4.1-8"],
    )
    .ruled(|| vec![repeats_pubrec()]),
    Switch::new(
        "pubrel-takes-the-window",
        "has one message on its way at a time, and none while a repeated PUBREL is not answered",
        &["MQTT-4.9.0-1", "3.3.4"],
    )
    .configured(|config| config.send_window = 1)
    .ruled(|| vec![waits_for_pubcomp()]),
];

fn repeats_pubrec() -> Box<dyn Rule> {
    type Open = BTreeMap<Text, BTreeSet<u16>>;
    rules::through(
        Open::new(),
        |open, packet, at, act| {
            if let Packet::PubRel(ack) = &packet
                && let Some(open) = open.get_mut(&at.id())
            {
                open.remove(&ack.packet_id);
            }
            act.receive(packet);
        },
        |open, packet, at: At<'_>, act| {
            let open = open.entry(at.id()).or_default();
            let resumed = match &packet {
                Packet::PubRec(ack) if !ack.reason.is_error() => {
                    open.insert(ack.packet_id);
                    false
                }
                Packet::ConnAck(ConnAck { session_present, reason, .. }) if !reason.is_error() => {
                    if !session_present {
                        open.clear();
                    }
                    *session_present
                }
                _ => false,
            };
            act.send(packet);
            let again = open.iter().map(|id| Packet::PubRec(PublishAck::new(*id)));
            for packet in again.filter(|packet| resumed && fits(packet, at)) {
                act.send(packet);
            }
        },
    )
}

/// A session's messages behind a PUBREL that was sent again.
#[derive(Default)]
struct Behind {
    releases: BTreeSet<u16>,
    /// The PUBRECs of this connection, which its first PUBRELs answer.
    recorded: BTreeSet<u16>,
    waiting: VecDeque<Publish>,
    /// What waited when the connection before was lost, and so was never sent.
    unsent: BTreeSet<u16>,
}

impl Behind {
    fn resume(&mut self) {
        let unsent = self.waiting.drain(..).map(|publish| publish.packet_id);
        self.unsent.extend(unsent);
        self.releases.clear();
        self.recorded.clear();
    }

    fn answered(&mut self, packet: &Packet, act: &mut Act<'_, '_>) {
        match packet {
            Packet::PubRec(ack) => {
                self.recorded.insert(ack.packet_id);
            }
            Packet::PubComp(ack) => {
                self.releases.remove(&ack.packet_id);
            }
            _ => {}
        }
        if self.releases.is_empty() {
            self.waiting.drain(..).for_each(|publish| act.send(publish));
        }
    }
}

fn waits_for_pubcomp() -> Box<dyn Rule> {
    rules::through(
        BTreeMap::<Text, Behind>::new(),
        |all, packet, at, act| {
            if let Some(behind) = all.get_mut(&at.id()) {
                behind.answered(&packet, act);
            }
            act.receive(packet);
        },
        |all, packet, at: At<'_>, act| {
            let behind = all.entry(at.id()).or_default();
            match packet {
                Packet::ConnAck(connack) => {
                    match connack.session_present {
                        true => behind.resume(),
                        false => *behind = Behind::default(),
                    }
                    act.send(connack);
                }
                Packet::PubRel(ack) => {
                    if !behind.recorded.remove(&ack.packet_id) {
                        behind.releases.insert(ack.packet_id);
                    }
                    act.send(Packet::PubRel(ack));
                }
                Packet::Publish(mut publish) if publish.qos > QoS::AtMostOnce => {
                    publish.dup &= !behind.unsent.remove(&publish.packet_id);
                    match behind.releases.is_empty() {
                        true => act.send(publish),
                        false => behind.waiting.push_back(publish),
                    }
                }
                packet => act.send(packet),
            }
        },
    )
}
