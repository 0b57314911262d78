//! The exchanges of QoS 1 and 2 in which the broker is the sender: how each PUBLISH and PUBREL
//! stands to what went before in its session.
//!
//! An identifier counts as in use only where that is certain: the client has read the PUBLISH and
//! has sent nothing that could have ended its exchange.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use reference_broker::codec::{Packet, PropertyId, Publish, PublishAck, QoS, ReasonCode, Text};

use super::connections::{Connection, Passed, Reading, Received, Step};
use super::sessions::{Session, Start};

/// A PUBLISH of QoS 1 or 2 from the broker.
#[derive(Debug)]
pub(super) struct Delivery<'t, 'a> {
    pub(super) at: usize,
    pub(super) connection: &'t Connection<'a>,
    pub(super) session: Session,
    pub(super) publish: &'a Publish,
    /// The exchange that has its identifier, if it is certain that one has.
    pub(super) open: Option<Use>,
}

/// How an identifier is in use when a PUBLISH comes with it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Use {
    /// By the same message, at the same QoS.
    pub(super) is_same_message: bool,
    /// By a PUBLISH on the same connection.
    pub(super) is_same_connection: bool,
    /// By an exchange that has come to its PUBREL.
    pub(super) is_released: bool,
}

/// A PUBREL from the broker.
#[derive(Debug)]
pub(super) struct Release<'a> {
    pub(super) at: usize,
    pub(super) ack: &'a PublishAck,
    pub(super) cause: Cause,
}

/// What a PUBREL answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// A PUBREC, or the resumption of a session; or that cannot be seen.
    Good,
    /// No PUBREC at all.
    None,
    /// A PUBREC that an earlier PUBREL has answered.
    Answered,
    /// A PUBREC that refused the message.
    Refusal,
}

#[derive(Debug, Default)]
pub(super) struct Exchanges<'t, 'a> {
    pub(super) deliveries: Vec<Delivery<'t, 'a>>,
    pub(super) releases: Vec<Release<'a>>,
}

impl<'t, 'a> Exchanges<'t, 'a> {
    pub(super) fn of(reading: &'t Reading<'a>) -> Exchanges<'t, 'a> {
        let sessions = reading.sessions();
        let mut reader = Reader::default();
        for step in reading.steps() {
            let session = sessions[step.place];
            match step.passed {
                Passed::Sent(sent) => {
                    if let Some(packet) = sent.packet() {
                        reader.sent(step.place, session, packet);
                    }
                }
                Passed::Received(Received::Packet(Packet::Publish(publish))) => {
                    reader.topics.learn(step.place, publish);
                    if publish.qos != QoS::AtMostOnce && publish.packet_id != 0 {
                        reader.published(&step, session, publish);
                    }
                }
                Passed::Received(Received::Packet(Packet::PubRel(ack))) => {
                    reader.released(&step, session, ack);
                }
                Passed::Received(_) => {}
            }
        }
        reader.exchanges
    }
}

/// What the Topic Aliases of one sender stand for, by connection.
#[derive(Debug, Default)]
pub(super) struct Topics(BTreeMap<(usize, u32), Text>);

impl Topics {
    pub(super) fn learn(&mut self, connection: usize, publish: &Publish) {
        if let Some(alias) = publish.properties.number(PropertyId::TopicAlias)
            && !publish.topic.is_empty()
        {
            self.0.insert((connection, alias), publish.topic.clone());
        }
    }

    /// The topic of a message; empty if it cannot be known.
    pub(super) fn topic(&self, connection: usize, publish: &Publish) -> Text {
        match publish.properties.number(PropertyId::TopicAlias) {
            Some(alias) if publish.topic.is_empty() => {
                self.0.get(&(connection, alias)).cloned().unwrap_or_default()
            }
            _ => publish.topic.clone(),
        }
    }
}

/// How far the exchange of a message has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    Published,
    Recorded,
    Released,
}

/// An exchange that is certainly open.
#[derive(Debug)]
struct Open {
    /// The connection of its last PUBLISH.
    place: usize,
    topic: Text,
    payload: Bytes,
    qos: QoS,
    can_expire: bool,
    stage: Stage,
}

/// What the exchanges of a session have come to.
#[derive(Debug, Default)]
struct Progress {
    open: BTreeMap<u16, Open>,
    /// Identifiers that the client acknowledged when nothing was open, or in a wrong way: when
    /// their exchanges end cannot be seen.
    vague: BTreeSet<u16>,
    /// Identifiers whose PUBREL came for an exchange that is not open here, on a resumption say.
    to_complete: BTreeSet<u16>,
    /// The first connection on which the client sent PUBREC for an identifier.
    recorded: BTreeMap<u16, usize>,
}

/// How often something happened with an identifier on one connection.
#[derive(Debug, Default)]
struct Counts {
    recorded: usize,
    refused: usize,
    released: usize,
    released_well: usize,
}

#[derive(Default)]
struct Reader<'t, 'a> {
    exchanges: Exchanges<'t, 'a>,
    topics: Topics,
    /// By session.
    progress: BTreeMap<usize, Progress>,
    counts: BTreeMap<(usize, u16), Counts>,
}

impl<'t, 'a> Reader<'t, 'a> {
    fn sent(&mut self, place: usize, session: Session, packet: &Packet) {
        let progress = self.progress.entry(session.number).or_default();
        match packet {
            Packet::PubAck(ack) => progress.acknowledged(ack.packet_id, QoS::AtLeastOnce),
            Packet::PubComp(ack) => progress.completed(ack.packet_id),
            Packet::PubRec(ack) => {
                let counts = self.counts.entry((place, ack.packet_id)).or_default();
                if ack.reason.is_error() {
                    counts.refused += 1;
                    progress.acknowledged(ack.packet_id, QoS::ExactlyOnce);
                } else {
                    counts.recorded += 1;
                    progress.recorded.entry(ack.packet_id).or_insert(place);
                    progress.taken(ack.packet_id);
                }
            }
            _ => {}
        }
    }

    fn published(&mut self, step: &Step<'t, 'a>, session: Session, publish: &'a Publish) {
        let Step { at, place, connection, .. } = *step;
        let mut delivery = Delivery { at, connection, session, publish, open: None };
        if connection.is_clear(at) && !session.is_superseded(at) {
            let topic = self.topics.topic(place, publish);
            let progress = self.progress.entry(session.number).or_default();
            delivery.open = progress.published(step, session.shares, topic, publish);
        }
        self.exchanges.deliveries.push(delivery);
    }

    fn released(&mut self, step: &Step<'t, 'a>, session: Session, ack: &'a PublishAck) {
        let Step { at, place, connection, .. } = *step;
        let progress = self.progress.entry(session.number).or_default();
        if connection.is_clear(at) && !session.is_superseded(at) {
            progress.released(ack);
        }
        let counts = self.counts.entry((place, ack.packet_id)).or_default();
        counts.released += 1;
        counts.released_well += usize::from(ack.reason == ReasonCode::Success);
        // On a resumption PUBREL is sent again, once.
        let first = progress.recorded.get(&ack.packet_id);
        let again = match session.start {
            Start::Fresh => false,
            Start::Resumed => first.is_some_and(|first| *first != place),
            Start::Unknown => true,
        };
        let good = counts.recorded + usize::from(again);
        let cause = match counts.released {
            _ if !connection.is_clear(at) => Cause::Good,
            1 if good + counts.refused == 0 => Cause::None,
            count if count > good + counts.refused => Cause::Answered,
            _ if counts.released_well > good => Cause::Refusal,
            _ => Cause::Good,
        };
        self.exchanges.releases.push(Release { at, ack, cause });
    }
}

impl Progress {
    fn published(
        &mut self,
        step: &Step<'_, '_>,
        shares: bool,
        topic: Text,
        publish: &Publish,
    ) -> Option<Use> {
        let id = publish.packet_id;
        if self.vague.contains(&id) {
            return None;
        }
        let open = self.open.get(&id).map(|open| Use {
            is_same_message: (&open.topic, &open.payload, open.qos)
                == (&topic, &publish.payload, publish.qos),
            is_same_connection: open.place == step.place,
            is_released: open.stage == Stage::Released,
        });
        let is_certain = |found: &Use, open: &Open| {
            // A broker may give a shared message to another member as soon as this one is gone
            // (section 4.8.2), and a message that is too large for the new connection up.
            let has_limit = step.connection.connect().is_none_or(|(_, connect)| {
                connect.properties.contains(PropertyId::MaximumPacketSize)
            });
            found.is_same_connection
                || !shares && (found.is_same_message || !has_limit && !open.can_expire)
        };
        let found = open.filter(|found| self.open.get(&id).is_some_and(|o| is_certain(found, o)));
        let stage = match (&found, self.open.get(&id)) {
            (Some(found), Some(open)) if found.is_same_message => open.stage,
            _ => Stage::Published,
        };
        let (payload, qos) = (publish.payload.clone(), publish.qos);
        let can_expire = publish.properties.contains(PropertyId::MessageExpiryInterval);
        self.open.insert(id, Open { place: step.place, topic, payload, qos, can_expire, stage });
        found
    }

    /// PUBACK for QoS 1, or PUBREC with an error for QoS 2.
    fn acknowledged(&mut self, id: u16, qos: QoS) {
        match self.open.remove(&id) {
            Some(open) if open.qos == qos && open.stage == Stage::Published => {}
            _ => drop(self.vague.insert(id)),
        }
    }

    /// PUBREC with a success.
    fn taken(&mut self, id: u16) {
        match self.open.get_mut(&id) {
            Some(open) if open.qos == QoS::ExactlyOnce => {
                open.stage = open.stage.max(Stage::Recorded);
            }
            Some(_) => {
                self.open.remove(&id);
                self.vague.insert(id);
            }
            None => {}
        }
    }

    fn completed(&mut self, id: u16) {
        let was_asked = self.to_complete.remove(&id);
        match self.open.remove(&id) {
            Some(open) if open.qos == QoS::ExactlyOnce && open.stage != Stage::Published => {}
            None if was_asked => {}
            _ => drop(self.vague.insert(id)),
        }
    }

    fn released(&mut self, ack: &PublishAck) {
        let id = ack.packet_id;
        match self.open.get_mut(&id) {
            Some(open) if ack.reason == ReasonCode::Success && open.stage == Stage::Recorded => {
                open.stage = Stage::Released;
            }
            Some(open) if open.stage == Stage::Released => {}
            Some(_) => {
                self.open.remove(&id);
                self.vague.insert(id);
            }
            None => drop(self.to_complete.insert(id)),
        }
    }
}
