//! Bounds of what a client can make the broker keep, or do, beyond those that it is told of in CONNACK.

use crate::topic::SubscriptionFilter;

/// Bounds of what is kept, and of what one packet can bring about. What there is one too many of is
/// refused, or dropped and [counted](super::Counts); what is there already stays.
///
/// Of what all have together (subscriptions, filters, retained messages, messages that wait) no client has more than
/// eight times of what it leaves to others: one may have nearly all while nobody else wants any, and whoever comes then
/// still finds room. Sessions that were left make room for others.
///
/// Bytes of a message are those of its Topic Name, its payload and its properties, each property with
/// [`PROPERTY`](Bounds::PROPERTY) more, as it takes that in memory. Retained messages, and filters, count
/// [`LEVEL`](Bounds::LEVEL) more for each level beyond the first: they stand in trees. A message that waits
/// for several clients counts for each of them, although it is kept once, with [`DELIVERY`](Bounds::DELIVERY) more for
/// its place in the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Network connections that have not been accepted yet. One more is closed as it opens: nothing can
    /// be said before its CONNECT. Default 10,000: they cost little and are gone after
    /// [`connect_timeout`](super::Config::connect_timeout), but whoever opens them needs no name.
    pub unaccepted_connections: usize,
    /// Bytes kept for connections that have sent CONNECT and are still asked about: Client Identifiers,
    /// Wills, and packets that wait for CONNACK, with [`PROPERTY`](Bounds::PROPERTY) more for each property
    /// and each filter. A CONNECT beyond gets CONNACK 0x89, a packet beyond 0x97. Default 256 MiB: whoever
    /// sends this has yet to show who it is.
    pub unaccepted_bytes: usize,
    /// Connected clients. One more gets CONNACK 0x89: there may be room soon. Who takes over a
    /// connection of its own needs no more room. Default 100,000.
    pub connections: usize,
    /// Sessions, connected or waiting for their client. For one more, one that waits has to end: of the user who has
    /// most of those the one that was left first. If all are connected, a CONNECT that needs one more gets CONNACK
    /// 0x97, as table 3-1 has it for a limit of the server's own. Default 100,000, each small if nothing waits in it.
    pub sessions: usize,
    /// Bytes of a Client Identifier; a longer one gets CONNACK 0x85 (section 3.1.3.1). Default 65,535,
    /// which is all that can be written.
    pub client_id_bytes: usize,
    /// Bytes of a Will, counted as a message; a larger one gets CONNACK 0x97. Default 1 MiB, more than
    /// topic, payload and all single properties together can have.
    pub will_bytes: usize,
    /// Bytes of the Wills of all sessions together. A CONNECT whose Will would be beyond gets CONNACK 0x97.
    /// Default 256 MiB: a Will of a usual size for each of as many sessions as there may be.
    pub all_will_bytes: usize,
    /// Filters in one SUBSCRIBE or UNSUBSCRIBE. Those beyond get 0x97 in SUBACK, and 0x83 in UNSUBACK,
    /// which knows no 0x97; the others are served. Default 10,000: each may bring all retained messages.
    pub filters: usize,
    /// Subscriptions of one session, shared ones too. One more gets 0x97 in SUBACK. Default 10,000: so
    /// many copies a message may have for one client.
    pub subscriptions_per_session: usize,
    /// Bytes of all filters of one session. A filter beyond gets 0x97 in SUBACK. Default 16 MiB, far
    /// more than 10,000 usual ones have.
    pub filter_bytes_per_session: usize,
    /// Bytes of all filters of all sessions together. A filter beyond gets 0x97 in SUBACK. Default 512 MiB:
    /// as many filters as there may be, of some levels each.
    pub filter_bytes: usize,
    /// Subscriptions of all sessions together. One more gets 0x97 in SUBACK. Default 1,000,000.
    pub subscriptions: usize,
    /// Levels of a Topic Name or a Topic Filter. One with more gets 0x90 in PUBACK, PUBREC or CONNACK,
    /// or 0x8F in SUBACK; at QoS 0 the message is dropped. Default 65,536, all that can be written:
    /// section 4.7.3 knows no other limit, and what levels cost is counted in bytes.
    pub topic_levels: usize,
    /// User Properties, and other properties, of one message. One with more gets 0x97 in PUBACK, PUBREC
    /// or CONNACK; at QoS 0 it is dropped. Default 10,000: in memory one costs about thirty times the
    /// five bytes it takes on the wire, and is copied for each subscriber.
    pub properties: usize,
    /// Retained messages. One more at QoS 1 or 2 gets 0x97 in PUBACK or PUBREC and goes nowhere: it
    /// cannot be stored as section 3.3.1.3 demands. One at QoS 0, and a Will, is handed on but not
    /// retained, and its topic has no retained message then. Default 1,000,000.
    pub retained_messages: usize,
    /// Bytes of all retained messages, with the same effects. Default 2 GiB.
    pub retained_bytes: usize,
    /// Retained messages that one SUBSCRIBE brings; more are dropped. Default 1,000,000: one filter may
    /// bring all there are, but ten thousand filters not ten thousand times as many. Those at QoS 1 and 2
    /// wait for the client as other messages do, so [`Config::queue_limit`](super::Config) is the
    /// narrower bound for them.
    pub retained_per_subscribe: usize,
    /// Places in the tree of their topics that the broker looks at for one SUBSCRIBE; what would be found
    /// later is not sent; the levels above a topic are places of their own. Default 1,000,000, a tenth of
    /// a second for which all others wait: a filter with wildcards may lead through all of the tree and
    /// find nothing, and there may be ten thousand of those.
    pub retained_search_per_subscribe: usize,
    /// Bytes of the messages for one session, on their way or waiting. A message beyond is dropped.
    /// Default 128 MiB, some of the largest packets; how many may wait is
    /// [`queue_limit`](super::Config::queue_limit).
    pub queued_bytes_per_session: usize,
    /// Bytes of the messages for all sessions together. A message beyond is dropped for the client it
    /// would be kept for. Default 256 MiB, less than what a small machine has.
    pub queued_bytes: usize,
    /// Messages at QoS 2 from one client that wait for PUBREL. The Receive Maximum bounds those of one
    /// connection, but a session adds up those of many. One more gets PUBREC 0x97. Default 65,535, as
    /// many as have a Packet Identifier.
    pub unreleased_per_session: usize,
    /// Bytes of those messages, if they are handed on at PUBREL and so kept until then. One beyond gets
    /// PUBREC 0x97. Default 128 MiB.
    pub unreleased_bytes_per_session: usize,
    /// Bytes of the topics for which a client has Topic Aliases on one connection. More end the
    /// connection with 0x97. Default 16 MiB, more than the longest topics for the default number of
    /// aliases.
    pub alias_bytes: usize,
    /// The same of all connections together, with the same effect. Default 256 MiB: whoever is refused can
    /// do without an alias.
    pub all_alias_bytes: usize,
}

impl Bounds {
    /// Bytes that a property of a message counts beyond those of its value.
    pub const PROPERTY: usize = 128;
    /// Bytes that a message that waits for a client counts beyond its own.
    pub const DELIVERY: usize = 64;
    /// Bytes that a level beyond the first counts for what stands in a tree.
    pub const LEVEL: usize = 64;

    /// Whether one who has `own` of what all have may have `more`, where there may be `most`: nobody has more than
    /// eight times of what it leaves to others, so that who has next to nothing always finds room.
    pub(super) fn allow(own: usize, all: usize, more: usize, most: usize) -> bool {
        let left = most.saturating_sub(all);
        more <= left && own.saturating_add(more) <= left.saturating_mul(8)
    }

    /// What a filter counts.
    pub(super) fn size_of(filter: &SubscriptionFilter) -> usize {
        filter.as_str().len() + (filter.filter().levels().count() - 1) * Bounds::LEVEL
    }
}

impl Default for Bounds {
    fn default() -> Self {
        const MIB: usize = 1024 * 1024;
        Bounds {
            unaccepted_connections: 10_000,
            unaccepted_bytes: 256 * MIB,
            connections: 100_000,
            sessions: 100_000,
            client_id_bytes: 65_535,
            will_bytes: MIB,
            all_will_bytes: 256 * MIB,
            filters: 10_000,
            subscriptions_per_session: 10_000,
            filter_bytes_per_session: 16 * MIB,
            filter_bytes: 512 * MIB,
            subscriptions: 1_000_000,
            topic_levels: 65_536, // U-4.7.3-4
            properties: 10_000,
            retained_messages: 1_000_000,
            retained_bytes: MIB.saturating_mul(2_048),
            retained_per_subscribe: 1_000_000,
            retained_search_per_subscribe: 1_000_000,
            queued_bytes_per_session: 128 * MIB,
            queued_bytes: 256 * MIB,
            unreleased_per_session: 65_535,
            unreleased_bytes_per_session: 128 * MIB,
            alias_bytes: 16 * MIB,
            all_alias_bytes: 256 * MIB,
        }
    }
}
