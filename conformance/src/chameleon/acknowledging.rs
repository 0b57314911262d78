//! What acknowledgements say, in which order they come, and what becomes of wrong ones.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use reference_broker::codec::{Disconnect, Packet, QoS, ReasonCode, Text};
use reference_broker::core::{ConnectionId, Input, Output};

use super::Switch;
use crate::boundary::rules::{self, Act, At};
use crate::boundary::{Boundary, Rule};

/// How long some acknowledgements stay behind.
const BEHIND: Duration = Duration::from_millis(30);

pub(super) const SWITCHES: &[Switch] = &[
    Switch::new(
        "never-says-no-matching-subscribers",
        "acknowledges a message that nobody has subscribed to with 0x00, not 0x10",
        &["U-3.4.2.1-3", "U-3.5.2.1-3"],
    )
    .configured(|config| config.tells_no_subscribers = false),
    Switch::new(
        "always-says-no-matching-subscribers",
        "acknowledges every message with 0x10, be it that somebody has subscribed to it",
        &["U-3.4.2.1-3", "U-3.5.2.1-3"],
    )
    .forgoes(&["U-3.4.2.1-3", "U-3.5.2.1-3"])
    .ruled(|| {
        vec![rules::writes(|packet, _| match packet {
            Packet::PubAck(ack) | Packet::PubRec(ack) if ack.reason == ReasonCode::Success => {
                ack.reason = ReasonCode::NoMatchingSubscribers;
            }
            _ => {}
        })]
    }),
    Switch::new(
        "never-says-packet-identifier-not-found",
        "answers PUBREL and PUBREC of unknown Packet Identifiers with 0x00, not 0x92",
        &["U-3.7.2.1-3", "U-3.6.2.1-3"],
    )
    .forgoes(&["U-3.7.2.1-3", "U-3.6.2.1-3"])
    .ruled(|| {
        vec![rules::writes(|packet, _| match packet {
            Packet::PubComp(ack) | Packet::PubRel(ack)
                if ack.reason == ReasonCode::PacketIdentifierNotFound =>
            {
                ack.reason = ReasonCode::Success;
            }
            _ => {}
        })]
    }),
    Switch::new(
        "acknowledges-out-of-order",
        "sends acknowledgements of odd Packet Identifiers 30 ms later",
        &["4.6"],
    )
    // The client's PUBREL follow PUBREC; what is handed on then would be out of order.
    .one_of(&["order of qos 2", "order of pubrec"])
    .ruled(|| {
        vec![rules::delays(BEHIND, |packet, _| match packet {
            Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubComp(ack) => {
                ack.packet_id % 2 == 1
            }
            _ => false,
        })]
    }),
    Switch::new(
        "ignores-wrong-acknowledgements",
        "ignores an acknowledgement of the wrong kind",
        &["4.13.1", "U-4.13.1-1"],
    )
    .one_of(&["unexpected acknowledgements"])
    .ruled(|| vec![tracked(Unexpected::WrongIgnored)]),
    Switch::new(
        "counts-wrong-acknowledgements",
        "takes a PUBACK or PUBCOMP of the wrong kind to make room for another message, and for nothing else",
        &["U-4.9-2", "4.13.1"],
    )
    .one_of(&["unexpected acknowledgements"])
    .configured(|config| config.handling.counts_wrong_acknowledgements = true),
    Switch::new(
        "closes-for-unknown-acknowledgements",
        "closes for a PUBACK or PUBCOMP that nothing waits for",
        &["4.13.1", "U-4.13.1-1"],
    )
    .one_of(&["unexpected acknowledgements"])
    .ruled(|| vec![tracked(Unexpected::UnknownClosed)]),
    Switch::new(
        "closes-for-repeated-messages",
        "closes for a QoS 2 PUBLISH that is sent again over the same connection before its PUBREL",
        &["MQTT-4.4.0-1", "4.13.1", "U-4.13.1-1"],
    )
    .ruled(|| vec![repeated_closed()]),
    Switch::new(
        "closes-for-releases-out-of-order",
        "closes for PUBREL that do not come in the order of PUBREC",
        &["MQTT-4.6.0-4", "4.13.1", "U-4.13.1-1"],
    )
    .one_of(&["order of pubrec"])
    .ruled(|| vec![out_of_order_closed()]),
    Switch::new(
        "acknowledges-subscriptions-late",
        "sends SUBACK and UNSUBACK a second later than all other packets",
        &["3.8.4", "3.10.4"],
    )
    .one_of(&["keep alive"])
    .ruled(|| {
        vec![rules::delays(SLOWLY, |packet, _| {
            matches!(packet, Packet::SubAck(_) | Packet::UnsubAck(_))
        })]
    }),
    Switch::new(
        "acknowledges-messages-late",
        "sends PUBACK, PUBREC and PUBCOMP a second later than all other packets",
        &["4.3.2", "4.3.3"],
    )
    .one_of(&["keep alive"])
    .ruled(|| {
        vec![rules::delays(SLOWLY, |packet, _| {
            matches!(packet, Packet::PubAck(_) | Packet::PubRec(_) | Packet::PubComp(_))
        })]
    }),
];

/// How long a broker may take over a subscription, or a message.
const SLOWLY: Duration = Duration::from_secs(1);

/// Messages by connection and Packet Identifier.
type Named = BTreeSet<(ConnectionId, u16)>;

/// Closes for a QoS 2 PUBLISH that is repeated without need.
fn repeated_closed() -> Box<dyn Rule> {
    let inward = |open: &mut Named, packet: Packet, at: At<'_>, act: &mut Act<'_, '_>| {
        let is_repeated = match &packet {
            Packet::Publish(publish) if publish.qos == QoS::ExactlyOnce => {
                !open.insert((at.connection, publish.packet_id))
            }
            Packet::PubRel(ack) => {
                open.remove(&(at.connection, ack.packet_id));
                false
            }
            _ => false,
        };
        close_or_receive(is_repeated, packet, act);
    };
    let outward = |open: &mut Named, packet: Packet, at: At<'_>, act: &mut Act<'_, '_>| {
        if let Packet::PubRec(ack) = &packet
            && ack.reason.is_error()
        {
            open.remove(&(at.connection, ack.packet_id));
        }
        act.send(packet);
    };
    rules::through(Named::new(), inward, outward)
}

/// Closes for a PUBREL that is not for the first PUBREC which waits for one.
fn out_of_order_closed() -> Box<dyn Rule> {
    type Recorded = Vec<(ConnectionId, u16)>;
    let inward = |recorded: &mut Recorded, packet: Packet, at: At<'_>, act: &mut Act<'_, '_>| {
        let mut is_early = false;
        if let Packet::PubRel(ack) = &packet {
            let mut waiting =
                recorded.iter().filter(|(connection, _)| *connection == at.connection);
            let first = waiting.next().map(|(_, id)| *id);
            let is_known = recorded.contains(&(at.connection, ack.packet_id));
            is_early = is_known && first != Some(ack.packet_id);
            recorded.retain(|it| *it != (at.connection, ack.packet_id));
        }
        close_or_receive(is_early, packet, act);
    };
    let outward = |recorded: &mut Recorded, packet: Packet, at: At<'_>, act: &mut Act<'_, '_>| {
        if let Packet::PubRec(ack) = &packet
            && !ack.reason.is_error()
            && !recorded.contains(&(at.connection, ack.packet_id))
        {
            recorded.push((at.connection, ack.packet_id));
        }
        act.send(packet);
    };
    rules::through(Recorded::new(), inward, outward)
}

fn close_or_receive(closes: bool, packet: Packet, act: &mut Act<'_, '_>) {
    if !closes {
        return act.receive(packet);
    }
    act.send(Disconnect::because(ReasonCode::ProtocolError));
    act.close();
}

/// What is done about an acknowledgement that nothing waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unexpected {
    WrongIgnored,
    UnknownClosed,
}

/// What an acknowledgement is to the exchange it names.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Expected,
    Wrong,
    Unknown,
}

/// Messages to each client by Packet Identifier: their QoS, and whether PUBREC has come.
#[derive(Default)]
struct Exchanges(BTreeMap<(Text, u16), (QoS, bool)>);

impl Exchanges {
    fn sent(&mut self, client: &Text, packet: &Packet) {
        let (id, state) = match packet {
            Packet::Publish(publish) if publish.qos > QoS::AtMostOnce => {
                (publish.packet_id, (publish.qos, false))
            }
            Packet::PubRel(ack) => (ack.packet_id, (QoS::ExactlyOnce, true)),
            _ => return,
        };
        self.0.insert((client.clone(), id), state);
    }

    fn answered(&mut self, client: &Text, packet: &Packet) -> Kind {
        let (Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubComp(ack)) = packet else {
            return Kind::Expected;
        };
        let key = (client.clone(), ack.packet_id);
        let Some((qos, recorded)) = self.0.get(&key).copied() else { return Kind::Unknown };
        match (packet, qos, recorded) {
            (Packet::PubRec(ack), QoS::ExactlyOnce, _) if !ack.reason.is_error() => {
                self.0.insert(key, (qos, true));
            }
            (Packet::PubAck(_), QoS::AtLeastOnce, _)
            | (Packet::PubRec(_), QoS::ExactlyOnce, false)
            | (Packet::PubComp(_), QoS::ExactlyOnce, true) => {
                self.0.remove(&key);
            }
            _ => return Kind::Wrong,
        }
        Kind::Expected
    }
}

/// Does so about acknowledgements that nothing waits for.
struct Tracked {
    then: Unexpected,
    exchanges: Exchanges,
}

fn tracked(then: Unexpected) -> Box<dyn Rule> {
    Box::new(Tracked { then, exchanges: Exchanges::default() })
}

impl Rule for Tracked {
    fn inward(&mut self, input: Input, boundary: &mut Boundary<'_>) {
        let Input::Received(id, packet) = &input else { return boundary.pass(input) };
        let client = boundary.clients.get(*id).filter(|client| client.accepted);
        let kind = client.map(|client| self.exchanges.answered(&client.id, packet));
        match (kind, self.then, packet) {
            (Some(Kind::Wrong), Unexpected::WrongIgnored, _) => {}
            (
                Some(Kind::Unknown),
                Unexpected::UnknownClosed,
                Packet::PubAck(_) | Packet::PubComp(_),
            ) => {
                let goodbye = Disconnect::because(ReasonCode::ProtocolError);
                boundary.emit(Output::Send(*id, goodbye.into()));
                boundary.emit(Output::Close(*id));
                boundary.pass(Input::Closed(*id));
            }
            _ => boundary.pass(input),
        }
    }

    fn outward(&mut self, output: Output, boundary: &mut Boundary<'_>) {
        if let Output::Send(id, packet) = &output
            && let Some(client) = boundary.clients.get(*id)
        {
            self.exchanges.sent(&client.id, packet);
        }
        boundary.emit(output);
    }
}
