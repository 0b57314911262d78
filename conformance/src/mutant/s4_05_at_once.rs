//! Messages that are published, subscribed to and lost at the same time.

use std::collections::{BTreeMap, BTreeSet};

use reference_broker::codec::{Packet, Publish, PublishAck, QoS, ReasonCode, SubscribeAck, Text};
use reference_broker::core::{ConnectionId, Input, Moment, Output};

use super::Mutant;
use crate::boundary::Rule;
use crate::boundary::rules::messages::{Cause, remembers, removes_retained};
use crate::boundary::rules::{crossing, through};

pub(super) fn mutants() -> Vec<Mutant> {
    let mut all = losses();
    all.extend(retained());
    all.extend(subscriptions());
    all
}

fn losses() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "4.5/third-copy-lost-between-publishers",
            "Of messages that two publish at once the third subscriber gets those of one",
            &["MQTT-4.5.0-1", "U-4.8.1-1"],
            || vec![third_copy_lost_at_once()],
        ),
        Mutant::new(
            "4.5/fan-out-stops-at-lost-subscriber",
            "The first message after a subscriber was lost with messages on their way goes to one other",
            &["MQTT-4.5.0-1", "U-4.8.1-1"],
            || vec![fan_out_stops()],
        ),
        Mutant::new(
            "4.5/many-on-their-way-lost",
            "Messages on their way to a client that is lost are lost with it where they are many",
            &["MQTT-4.4.0-1"],
            || vec![many_lost_with_connection()],
        ),
    ]
}

fn retained() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "4.5/both-retained",
            "Of retained messages that two publish to a topic at once both are kept",
            &["MQTT-3.3.1-5"],
            || vec![keeps_both()],
        ),
        Mutant::new(
            "4.5/none-retained",
            "Of retained messages that two publish to a topic at once none is kept",
            &["MQTT-3.3.1-5"],
            || {
                let mut last = Last::default();
                vec![removes_retained(move |packet, at| match packet {
                    Packet::Publish(publish) if publish.retain => {
                        let is_second = last.is_of_another(publish, at.id(), at.now);
                        is_second.then(|| publish.topic.clone()).into_iter().collect()
                    }
                    _ => Vec::new(),
                })]
            },
        ),
    ]
}

fn subscriptions() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "4.5/subscription-late",
            "A subscription made while its topic is published to begins with the second message",
            &["MQTT-4.5.0-1", "MQTT-3.8.4-7"],
            || vec![subscription_late()],
        ),
        Mutant::new(
            "4.5/unsubscribe-lost-among-messages",
            "UNSUBSCRIBE of a client with messages to acknowledge is answered and leaves the subscription",
            &["MQTT-3.10.4-2", "MQTT-3.10.4-1"],
            || vec![unsubscribe_lost()],
        ),
    ]
}

/// Who published last to each topic, and when.
#[derive(Default)]
struct Last(BTreeMap<Text, (Text, Moment)>);

impl Last {
    /// Whether another client has published to the topic in this moment.
    fn is_of_another(&mut self, publish: &Publish, client: Text, now: Moment) -> bool {
        let before = self.0.insert(publish.topic.clone(), (client.clone(), now));
        before.is_some_and(|(other, at)| other != client && at == now)
    }
}

/// What a client would send to have done with a message.
fn settled(publish: &Publish) -> Packet {
    let ack = PublishAck::because(publish.packet_id, ReasonCode::UnspecifiedError);
    match publish.qos {
        QoS::ExactlyOnce => Packet::PubRec(ack),
        _ => Packet::PubAck(ack),
    }
}

fn third_copy_lost_at_once() -> Box<dyn Rule> {
    through(
        (Last::default(), None::<u32>),
        |(last, copies), packet, at, act| {
            *copies = match &packet {
                Packet::Publish(it) => last.is_of_another(it, at.id(), at.now).then_some(0),
                _ => None,
            };
            act.receive(packet);
        },
        |(_, copies), packet, _, act| {
            if let (Packet::Publish(publish), Some(copies)) = (&packet, copies) {
                *copies += 1;
                if *copies == 3 {
                    return act.settle(publish);
                }
            }
            act.send(packet);
        },
    )
}

/// Messages on their way to clients, by their connections.
#[derive(Default)]
struct OnTheirWay(BTreeMap<ConnectionId, BTreeMap<u16, Publish>>);

impl OnTheirWay {
    fn sent(&mut self, to: ConnectionId, packet: &Packet) {
        if let Packet::Publish(publish) = packet
            && publish.qos > QoS::AtMostOnce
        {
            self.0.entry(to).or_default().insert(publish.packet_id, publish.clone());
        }
    }

    fn received(&mut self, from: ConnectionId, packet: &Packet) {
        if let Packet::PubAck(ack) | Packet::PubRec(ack) = packet
            && let Some(own) = self.0.get_mut(&from)
        {
            own.remove(&ack.packet_id);
        }
    }

    fn of(&self, connection: ConnectionId) -> usize {
        self.0.get(&connection).map_or(0, BTreeMap::len)
    }
}

fn fan_out_stops() -> Box<dyn Rule> {
    /// How many clients were lost of late, and how many copies of this message have gone out, if it is to
    /// go to no more than one.
    #[derive(Default)]
    struct Lost {
        way: OnTheirWay,
        count: u32,
        copies: Option<u32>,
    }
    crossing(
        Lost::default(),
        |lost, input, boundary| {
            match &input {
                Input::Closed(id) if lost.way.of(*id) > 0 => lost.count += 1,
                Input::Received(_, Packet::Publish(_)) => {
                    lost.copies = (lost.count > 0).then_some(0);
                    lost.count = 0;
                }
                Input::Received(from, packet) => lost.way.received(*from, packet),
                _ => {}
            }
            boundary.pass(input);
        },
        |lost, output, boundary| {
            if let Output::Send(to, packet) = &output {
                lost.way.sent(*to, packet);
                if let (Packet::Publish(publish), Some(copies)) = (packet, &mut lost.copies) {
                    *copies += 1;
                    if *copies > 1 {
                        return boundary.pass(Input::Received(*to, settled(publish)));
                    }
                }
            }
            boundary.emit(output);
        },
    )
}

fn many_lost_with_connection() -> Box<dyn Rule> {
    const MANY: usize = 5;
    crossing(
        OnTheirWay::default(),
        |way, input, boundary| {
            match &input {
                Input::Closed(id) if way.of(*id) >= MANY => {
                    for publish in way.0.remove(id).unwrap_or_default().values() {
                        boundary.pass(Input::Received(*id, settled(publish)));
                    }
                }
                Input::Received(from, packet) => way.received(*from, packet),
                _ => {}
            }
            boundary.pass(input);
        },
        |way, output, boundary| {
            if let Output::Send(to, packet) = &output {
                way.sent(*to, packet);
            }
            boundary.emit(output);
        },
    )
}

fn keeps_both() -> Box<dyn Rule> {
    #[derive(Default)]
    struct Kept {
        last: Last,
        retained: BTreeMap<Text, Publish>,
        /// What is kept beside the one that should be.
        both: BTreeMap<Text, Publish>,
    }
    remembers(
        Kept::default(),
        |kept, packet, at| {
            let Packet::Publish(publish) = packet else { return };
            if publish.retain {
                let before = kept.retained.insert(publish.topic.clone(), publish.clone());
                kept.both.remove(&publish.topic);
                if kept.last.is_of_another(publish, at.id(), at.now)
                    && let Some(before) = before
                {
                    kept.both.insert(publish.topic.clone(), before);
                }
            }
        },
        |kept, publish, cause, _, act| {
            let both = kept.both.get(&publish.topic).filter(|_| cause == Cause::Subscribe);
            let both = both.map(|it| it.clone().qos(QoS::AtMostOnce, 0));
            act.send(publish);
            both.into_iter().for_each(|it| act.send(it));
        },
    )
}

fn subscription_late() -> Box<dyn Rule> {
    #[derive(Default)]
    struct Busy {
        /// Topics that were published to before anybody had subscribed, and when.
        published: BTreeMap<Text, (ConnectionId, Moment)>,
        subscribed: BTreeSet<Text>,
        late: BTreeSet<(ConnectionId, Text)>,
    }
    through(
        Busy::default(),
        |busy, packet, at, act| {
            match &packet {
                Packet::Publish(it) if !it.retain && it.qos > QoS::AtMostOnce => {
                    busy.published.insert(it.topic.clone(), (at.connection, at.now));
                }
                Packet::Subscribe(it) => {
                    for filter in it.subscriptions.iter().map(|it| &it.filter) {
                        let publisher = busy.published.get(filter);
                        let is_busy =
                            publisher.is_some_and(|it| it.0 != at.connection && it.1 == at.now);
                        if busy.subscribed.insert(filter.clone()) && is_busy {
                            busy.late.insert((at.connection, filter.clone()));
                        }
                    }
                }
                _ => {}
            }
            act.receive(packet);
        },
        |busy, packet, at, act| match &packet {
            Packet::Publish(it)
                if !it.retain && busy.late.remove(&(at.connection, it.topic.clone())) =>
            {
                act.settle(it);
            }
            _ => act.send(packet),
        },
    )
}

fn unsubscribe_lost() -> Box<dyn Rule> {
    through(
        OnTheirWay::default(),
        |way, packet, at, act| match &packet {
            Packet::Unsubscribe(it) if way.of(at.connection) > 0 => {
                let reasons = it.filters.iter().map(|_| ReasonCode::Success).collect();
                let ack = SubscribeAck::new(it.packet_id, reasons);
                act.send(Packet::UnsubAck(ack));
            }
            _ => {
                way.received(at.connection, &packet);
                act.receive(packet);
            }
        },
        |way, packet, at, act| {
            way.sent(at.connection, &packet);
            act.send(packet);
        },
    )
}
