//! Flow control in the place of the core's, so that it can be wrong in one way.

use std::collections::{BTreeMap, VecDeque};

use reference_broker::codec::{Packet, PropertyId, Publish, PublishAck, QoS, ReasonCode};
use reference_broker::core::{ConnectionId, Moment};

use super::Rule;
use super::rules::{Act, At, through};

/// In which order messages that wait are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// As they came.
    #[default]
    FirstComeFirst,
    /// The newest first.
    LastComeFirst,
}

/// How flow control works. The default is right, but what waits when the connection is lost comes
/// with DUP 1 on the next.
#[derive(Clone, Copy, Debug, Default)]
pub struct Window {
    /// In which order messages that wait are sent.
    pub order: Order,
    /// Whether QoS 1 and QoS 2 have a window each.
    pub one_for_each_level: bool,
    /// Whether PUBREC makes room.
    pub pubrec_frees: bool,
    /// Whether PUBCOMP makes room for a message that took none.
    pub pubcomp_always_frees: bool,
    /// Whether messages that are sent again take no room.
    pub repeated_are_free: bool,
    /// Whether messages that expire while they wait are sent nevertheless.
    pub keeps_expired: bool,
}

/// One connection's window.
#[derive(Debug)]
struct Quota {
    /// Room left for QoS 1 and 2; the first for both where they share.
    left: [u32; 2],
    open: BTreeMap<u16, usize>,
    /// What waits, and when it came.
    waiting: VecDeque<(Publish, Moment)>,
}

impl Window {
    /// The rule that does it.
    pub fn rule(self) -> Box<dyn Rule> {
        through(
            BTreeMap::<ConnectionId, Quota>::new(),
            move |quotas, mut packet, at, act| {
                if let Packet::Connect(connect) = &mut packet {
                    let maximum = connect.properties.number(PropertyId::ReceiveMaximum);
                    connect.properties.retain(|it| it.id != PropertyId::ReceiveMaximum);
                    quotas.insert(at.connection, Quota::of(maximum.unwrap_or(u32::from(u16::MAX))));
                } else if let Some(quota) = quotas.get_mut(&at.connection) {
                    self.answered(quota, &packet);
                    act.receive(packet);
                    return self.send(quota, at.now, act);
                }
                act.receive(packet);
            },
            move |quotas, packet, at: At<'_>, act| match (packet, quotas.get_mut(&at.connection)) {
                (Packet::Publish(publish), Some(quota)) if publish.qos > QoS::AtMostOnce => {
                    quota.waiting.push_back((publish, at.now));
                    self.send(quota, at.now, act);
                }
                (packet, _) => act.send(packet),
            },
        )
    }

    fn place(self, qos: QoS) -> usize {
        usize::from(self.one_for_each_level && qos == QoS::ExactlyOnce)
    }

    fn send(self, quota: &mut Quota, now: Moment, act: &mut Act<'_, '_>) {
        loop {
            let next = match self.order {
                Order::FirstComeFirst => quota.waiting.pop_front(),
                Order::LastComeFirst => quota.waiting.pop_back(),
            };
            let Some((publish, came)) = next else { return };
            if !self.keeps_expired && !publish.dup && is_expired(&publish, came, now) {
                act.receive(refusal(&publish)); // For the core it ends there.
                continue;
            }
            let place = self.place(publish.qos);
            let is_free = self.repeated_are_free && publish.dup;
            if !is_free {
                if quota.left[place] == 0 {
                    match self.order {
                        Order::FirstComeFirst => quota.waiting.push_front((publish, came)),
                        Order::LastComeFirst => quota.waiting.push_back((publish, came)),
                    }
                    return;
                }
                quota.left[place] -= 1;
                quota.open.insert(publish.packet_id, place);
            }
            act.send(publish);
        }
    }

    fn answered(self, quota: &mut Quota, packet: &Packet) {
        let (id, ends) = match packet {
            Packet::PubAck(ack) => (ack.packet_id, true),
            Packet::PubRec(ack) => (ack.packet_id, ack.reason.is_error() || self.pubrec_frees),
            Packet::PubComp(ack) => (ack.packet_id, true),
            _ => return,
        };
        match quota.open.get(&id).copied() {
            Some(place) if ends => {
                quota.open.remove(&id);
                quota.left[place] += 1;
            }
            None if self.pubcomp_always_frees && matches!(packet, Packet::PubComp(_)) => {
                quota.left[0] += 1;
            }
            _ => {}
        }
    }
}

/// Whether a message that was to be sent at a time has expired since.
fn is_expired(publish: &Publish, came: Moment, now: Moment) -> bool {
    let expiry = publish.properties.number(PropertyId::MessageExpiryInterval);
    expiry.is_some_and(|seconds| came.0 + u64::from(seconds) * 1000 <= now.0 && came < now)
}

/// What a client would send to have done with a message.
fn refusal(publish: &Publish) -> Packet {
    let ack = PublishAck::because(publish.packet_id, ReasonCode::UnspecifiedError);
    match publish.qos {
        QoS::ExactlyOnce => Packet::PubRec(ack),
        _ => Packet::PubAck(ack),
    }
}

impl Quota {
    fn of(maximum: u32) -> Quota {
        Quota { left: [maximum; 2], open: BTreeMap::new(), waiting: VecDeque::new() }
    }
}
