//! Which subscriptions a client may have had, as far as a trace shows it.

use std::collections::BTreeMap;

use reference_broker::codec::{
    Packet, PacketType, PropertyId, QoS, ReasonCode, Subscribe, SubscribeAck, SubscriptionOptions,
    Unsubscribe,
};
use reference_broker::topic::{FilterTree, SubscriptionFilter, TopicName};

use super::connections::{Connection, Received, Sent};

/// A subscription that was asked for and not refused. Numbers are places in the trace.
#[derive(Debug)]
pub(super) struct Subscription {
    /// The connection of the SUBSCRIBE, by its place in the list.
    pub(super) connection: usize,
    /// The SUBSCRIBE.
    pub(super) sent: usize,
    pub(super) filter: SubscriptionFilter,
    pub(super) options: SubscriptionOptions,
    pub(super) identifier: Option<u32>,
    /// The levels that may have been granted.
    pub(super) granted: Vec<QoS>,
    /// The SUBACK, where it is the only one that can be meant.
    acknowledged: Option<usize>,
    /// The acknowledgement that shows that the subscription was replaced, or ended.
    ended: Option<usize>,
}

impl Subscription {
    /// Whether a message may be delivered for it that was published at this event, or later.
    pub(super) fn may_bring(&self, published: usize) -> bool {
        self.ended.is_none_or(|ended| ended > published)
    }
}

/// What a client asked for on all its connections.
#[derive(Debug, Default)]
pub(super) struct Client {
    subscriptions: Vec<Subscription>,
    by_filter: FilterTree<usize, ()>,
    /// From where on it may have subscriptions that cannot be told.
    unclear_from: Option<usize>,
}

impl Client {
    /// Whether all subscriptions that it may have had by then are known.
    pub(super) fn is_clear(&self, event: usize) -> bool {
        self.unclear_from.is_none_or(|from| from > event)
    }

    /// The subscriptions whose filters match this name.
    pub(super) fn matching(&self, name: &TopicName) -> impl Iterator<Item = &Subscription> {
        self.by_filter.matches(name).filter_map(|(index, ())| self.subscriptions.get(*index))
    }
}

/// A SUBSCRIBE or UNSUBSCRIBE.
struct Request<'t, 'a> {
    sent: usize,
    place: usize,
    connection: &'t Connection<'a>,
    packet: &'t Packet,
}

/// What every client of these connections asked for, by Client Identifier.
pub(super) fn clients<'t>(connections: &'t [Connection<'_>]) -> BTreeMap<&'t str, Client> {
    let mut clients: BTreeMap<&str, Client> = BTreeMap::new();
    let mut requests: BTreeMap<&str, Vec<Request<'t, '_>>> = BTreeMap::new();
    for (place, connection) in connections.iter().enumerate() {
        let Some(client) = connection.client_id() else { continue };
        let known = clients.entry(client).or_default();
        for (at, sent) in &connection.sent {
            match sent {
                Sent::Packet(packet) => {
                    let request = Request { sent: *at, place, connection, packet };
                    requests.entry(client).or_default().push(request);
                }
                Sent::Broken(PacketType::Subscribe, _) | Sent::Noise(_) => known.is_unclear(*at),
                Sent::Broken(..) => {}
            }
        }
    }
    for (client, mut requests) in requests {
        requests.sort_by_key(|request| request.sent);
        let Some(known) = clients.get_mut(client) else { continue };
        known.read(&requests);
    }
    clients
}

/// The answers to one request: those that may be meant.
struct Answers<'a> {
    codes: Vec<(usize, &'a [ReasonCode])>,
    /// Whether there is one answer, and no other request that it may be for.
    is_certain: bool,
}

impl Answers<'_> {
    /// Whether every one of them refuses the filter at this place.
    fn refuse(&self, place: usize) -> bool {
        let refuses = |(_, codes): &(usize, &[ReasonCode])| {
            codes.get(place).is_some_and(|code| code.is_error())
        };
        !self.codes.is_empty() && self.codes.iter().all(refuses)
    }

    /// The event of the answer that certainly grants what stands at this place.
    fn granted_at(&self, place: usize) -> Option<usize> {
        let (at, codes) = self.codes.first().filter(|_| self.is_certain)?;
        codes.get(place).filter(|code| !code.is_error()).map(|_| *at)
    }

    /// The levels that may be granted of those asked for.
    fn levels(&self, place: usize, asked: QoS) -> Vec<QoS> {
        let granted = self.codes.iter().filter_map(|(_, codes)| codes.get(place));
        let granted: Vec<_> = granted.filter_map(|code| QoS::from_value(code.value())).collect();
        match granted.is_empty() {
            true => QoS::ALL.into_iter().filter(|level| *level <= asked).collect(),
            false => granted,
        }
    }
}

/// Subscriptions under one text that nothing has ended so far, by their places in the list.
type Open<'t> = BTreeMap<&'t str, Vec<usize>>;

impl Client {
    fn is_unclear(&mut self, from: usize) {
        self.unclear_from = Some(self.unclear_from.map_or(from, |known| known.min(from)));
    }

    fn read(&mut self, requests: &[Request<'_, '_>]) {
        let mut uses: BTreeMap<(usize, u16), usize> = BTreeMap::new();
        for request in requests {
            if let Packet::Subscribe(Subscribe { packet_id, .. })
            | Packet::Unsubscribe(Unsubscribe { packet_id, .. }) = request.packet
            {
                *uses.entry((request.place, *packet_id)).or_default() += 1;
            }
        }
        let acks = acknowledgements(requests);
        let answers = |request: &Request<'_, '_>, id: u16, count: usize, is_unsuback: bool| {
            let acks = acks.get(&(request.place, id, is_unsuback)).into_iter().flatten();
            let codes: Vec<_> = acks.copied().filter(|(at, _)| *at > request.sent).collect();
            let is_certain = uses.get(&(request.place, id)) == Some(&1) && codes.len() == 1;
            match codes.iter().all(|(_, codes)| codes.len() == count) {
                true => Answers { codes, is_certain },
                false => Answers { codes: Vec::new(), is_certain: false },
            }
        };
        let mut open = Open::new();
        for request in requests {
            match request.packet {
                Packet::Subscribe(subscribe) => {
                    let count = subscribe.subscriptions.len();
                    let answers = answers(request, subscribe.packet_id, count, false);
                    self.subscribe(request, subscribe, &answers, &mut open);
                }
                Packet::Unsubscribe(unsubscribe) => {
                    let count = unsubscribe.filters.len();
                    let answers = answers(request, unsubscribe.packet_id, count, true);
                    for (place, filter) in unsubscribe.filters.iter().enumerate() {
                        let Some(at) = answers.granted_at(place) else { continue };
                        self.end(&mut open, filter, request, at);
                    }
                }
                _ => {}
            }
        }
    }

    fn subscribe<'t>(
        &mut self,
        request: &Request<'t, '_>,
        subscribe: &'t Subscribe,
        answers: &Answers<'_>,
        open: &mut Open<'t>,
    ) {
        let identifier = subscribe.properties.number(PropertyId::SubscriptionIdentifier);
        for (place, asked) in subscribe.subscriptions.iter().enumerate() {
            if answers.refuse(place) {
                continue;
            }
            let Ok(filter) = SubscriptionFilter::parse(&asked.filter) else {
                // What a broker that takes it makes of it is not known.
                self.is_unclear(request.sent);
                continue;
            };
            let acknowledged = answers.granted_at(place);
            // What becomes of the old options of a Shared Subscription is not said.
            if let (Some(at), false) = (acknowledged, filter.is_shared()) {
                self.end(open, &asked.filter, request, at);
            }
            let number = self.subscriptions.len();
            self.by_filter.insert(filter.filter(), number, ());
            self.subscriptions.push(Subscription {
                connection: request.place,
                sent: request.sent,
                filter,
                options: asked.options,
                identifier,
                granted: answers.levels(place, asked.options.maximum_qos),
                acknowledged,
                ended: None,
            });
            open.entry(&asked.filter).or_default().push(number);
        }
    }

    /// Ends the subscriptions under this text that were certainly there before the request.
    fn end(&mut self, open: &mut Open<'_>, text: &str, request: &Request<'_, '_>, at: usize) {
        let Some(numbers) = open.get_mut(text) else { return };
        numbers.retain(|number| {
            let Some(known) = self.subscriptions.get_mut(*number) else { return false };
            // The filters of one SUBSCRIBE are taken one after the other (section 3.8.4).
            let is_before = (known.connection, known.sent) == (request.place, request.sent)
                || known.acknowledged.is_some_and(|acknowledged| acknowledged < request.sent);
            if is_before {
                known.ended = Some(at);
            }
            !is_before
        });
    }
}

/// By connection, Packet Identifier and whether it is UNSUBACK: all acknowledgements.
type Acknowledgements<'a> = BTreeMap<(usize, u16, bool), Vec<(usize, &'a [ReasonCode])>>;

fn acknowledgements<'a>(requests: &[Request<'_, 'a>]) -> Acknowledgements<'a> {
    let mut acks = Acknowledgements::new();
    let connections: BTreeMap<_, _> =
        requests.iter().map(|request| (request.place, request.connection)).collect();
    for (place, connection) in connections {
        for (at, received) in &connection.received {
            let Received::Packet(packet) = received else { continue };
            let (is_unsuback, ack): (bool, &SubscribeAck) = match packet {
                Packet::SubAck(ack) => (false, ack),
                Packet::UnsubAck(ack) => (true, ack),
                _ => continue,
            };
            acks.entry((place, ack.packet_id, is_unsuback)).or_default().push((*at, &ack.reasons));
        }
    }
    acks
}
