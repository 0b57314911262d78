//! How connections end, and what is said before.

use std::collections::BTreeSet;
use std::time::Duration;

use reference_broker::codec::{Disconnect, Packet, PacketType, ReasonCode, Side};
use reference_broker::core::{ConnectionId, Input, Output};

use super::{Switch, is_accepted};
use crate::boundary::{Boundary, Rule, rules};

/// Well within the time that testers give a close, for which the standard has no figure.
const LATE: Duration = Duration::from_secs(1);
const VERY_LATE: Duration = Duration::from_secs(4);

/// How long what comes is gathered before a reset can destroy it.
const UNREAD: Duration = Duration::from_millis(20);

/// Scenarios about where clients are sent, which have nothing to show where that is not told.
const ON_REDIRECTION: &[&str] =
    &["4.11/sent-elsewhere", "4.11/server-reference", "4.11/nothing-else-served"];

pub(super) const SWITCHES: &[Switch] = &[
    Switch::new(
        "closes-late",
        "closes a second after it has decided to, and does nothing on that connection until then",
        &["4.13.1", "MQTT-3.14.4-2", "MQTT-3.2.2-7"],
    )
    .one_of(&["close"])
    .ruled(|| vec![Box::new(ClosesLate::by(LATE))]),
    Switch::new(
        "closes-very-late",
        "closes four seconds after it has decided to, and does nothing on that connection until then",
        &["4.13.1", "MQTT-3.14.4-2", "MQTT-3.2.2-7"],
    )
    .one_of(&["close", "lateness", "keep alive"])
    .ruled(|| vec![Box::new(ClosesLate::by(VERY_LATE))]),
    Switch::new(
        "closes-without-disconnect",
        "never sends DISCONNECT before it closes",
        &["U-3.14-1", "U-4.13.1-5"],
    )
    .one_of(&["last words"])
    .forgoes(&["U-4.13.1-5"])
    .ruled(|| vec![rules::swallows(|packet, _| matches!(packet, Packet::Disconnect(_)))]),
    Switch::new(
        "refuses-without-connack",
        "closes without a CONNACK when it refuses a CONNECT",
        &["U-3.1.4-3", "U-4.13.1-4", "U-3.2.2.2-1"],
    )
    .forgoes(&["U-3.2.2.2-17", "U-3.2.2.2-18"])
    .leaves_out(ON_REDIRECTION)
    // Who gives no reason for a refusal that is his own cannot be told from who does not serve.
    .one_of(&["no connack"])
    .ruled(|| {
        vec![rules::swallows(
            |packet, _| matches!(packet, Packet::ConnAck(connack) if connack.reason.is_error()),
        )]
    }),
    Switch::new(
        "closes-at-every-tenth-request",
        "closes with 0x97 instead of taking every tenth message, request or PINGREQ",
        &["U-3.14.2.1-16"],
    )
    // Who meets it is told so.
    .one_of(&["last words"])
    .bounds()
    .ruled(|| {
        let mut seen = 0_u32;
        vec![rules::inward(move |packet, at, act| {
            let counts = matches!(
                packet.packet_type(),
                PacketType::Publish
                    | PacketType::Subscribe
                    | PacketType::Unsubscribe
                    | PacketType::PingReq
            );
            seen += u32::from(counts && is_accepted(at));
            match counts && is_accepted(at) && seen.is_multiple_of(10) {
                true => {
                    act.send(Disconnect::because(ReasonCode::QuotaExceeded));
                    act.close();
                }
                false => act.receive(packet),
            }
        })]
    }),
    Switch::new(
        "leaves-closing-to-the-client",
        "keeps the connection of a client that has sent DISCONNECT until the client closes it",
        &["U-3.14.4-1"],
    )
    .forgoes(&["U-3.14.4-1"])
    .ruled(|| vec![Box::new(LeavesClosing::default())]),
    Switch::new(
        "hides-reasons",
        "says 0x80 (unspecified error) wherever it refuses, but for rights and limits",
        &["U-3.2.2.2-3", "U-3.14.2.1-5", "U-3.4.2.1-5", "U-3.5.2.1-5", "U-3.9.3-3"],
    )
    .one_of(&["codes"])
    .forgoes(&["U-4.13.1-6", "U-3.2.2.2-17", "U-3.2.2.2-18"])
    .leaves_out(ON_REDIRECTION)
    .ruled(|| vec![codes(unspecified)]),
    Switch::new(
        "names-errors-generally",
        "says 0x82 (protocol error) for every error of a client, whatever more there is to say",
        &["4.13.1", "U-4.13.1-6"],
    )
    .one_of(&["codes"])
    .forgoes(&["U-4.13.1-6", "U-3.2.2.2-17", "U-3.2.2.2-18"])
    .ruled(|| vec![codes(general)]),
    Switch::new("resets", "ends connections with a reset", &["U-4.2-2", "4.13.1"])
        .one_of(&["end"])
        .wired(|wire| wire.resets = true),
    Switch::new(
        "resets-lose-what-is-unread",
        "ends connections with a reset that destroys what the client has not read by then",
        &["U-4.2-2", "4.13.1"],
    )
    .one_of(&["end", "pieces", "last words"])
    .leaves_out(ON_REDIRECTION)
    .forgoes(&["U-4.13.1-5"])
    .wired(|wire| {
        wire.resets = true;
        wire.loses = true;
        wire.gathers = Some(UNREAD);
    }),
];

/// What a code of error becomes where reasons are hidden. What is not about the standard keeps its
/// name: without it a right refusal looks like a wrong one.
fn unspecified(reason: ReasonCode) -> ReasonCode {
    match reason {
        ReasonCode::NotAuthorized
        | ReasonCode::QuotaExceeded
        | ReasonCode::ImplementationSpecificError => reason,
        _ => ReasonCode::UnspecifiedError,
    }
}

/// What a code of error becomes where all that is said is that the client was wrong. What is no
/// error of the client's keeps its name.
fn general(reason: ReasonCode) -> ReasonCode {
    match reason {
        ReasonCode::MalformedPacket
        | ReasonCode::TopicFilterInvalid
        | ReasonCode::TopicNameInvalid
        | ReasonCode::ReceiveMaximumExceeded
        | ReasonCode::TopicAliasInvalid
        | ReasonCode::PacketTooLarge
        | ReasonCode::RetainNotSupported
        | ReasonCode::QoSNotSupported
        | ReasonCode::SharedSubscriptionsNotSupported
        | ReasonCode::SubscriptionIdentifiersNotSupported
        | ReasonCode::WildcardSubscriptionsNotSupported => ReasonCode::ProtocolError,
        reason => reason,
    }
}

/// Says other codes where it says no, as far as the packet may carry them.
fn codes(other: fn(ReasonCode) -> ReasonCode) -> Box<dyn Rule> {
    rules::writes(move |packet, _| {
        let packet_type = packet.packet_type();
        let alter = |reason: &mut ReasonCode| {
            let code = other(*reason);
            if reason.is_error() && code.is_allowed(packet_type, Side::Server) {
                *reason = code;
            }
        };
        match packet {
            Packet::ConnAck(packet) => alter(&mut packet.reason),
            Packet::Disconnect(packet) => alter(&mut packet.reason),
            Packet::PubAck(packet) | Packet::PubRec(packet) => alter(&mut packet.reason),
            Packet::SubAck(packet) | Packet::UnsubAck(packet) => {
                packet.reasons.iter_mut().for_each(alter);
            }
            _ => {}
        }
    })
}

/// Closes late. What others still hold back for the connection then must not come after the
/// goodbye.
struct ClosesLate {
    by: Duration,
    over: BTreeSet<ConnectionId>,
}

impl ClosesLate {
    fn by(by: Duration) -> ClosesLate {
        ClosesLate { by, over: BTreeSet::new() }
    }
}

impl Rule for ClosesLate {
    fn outward(&mut self, output: Output, boundary: &mut Boundary<'_>) {
        match output {
            Output::Close(id) => {
                self.over.insert(id);
                boundary.emit_after(self.by, Output::Close(id));
            }
            Output::Send(id, _) if self.over.contains(&id) => {}
            Output::Send(id, ref packet) => {
                let refuses =
                    |packet: &Packet| matches!(packet, Packet::ConnAck(it) if it.reason.is_error());
                if packet.packet_type() == PacketType::Disconnect || refuses(packet) {
                    self.over.insert(id);
                }
                boundary.emit(output);
            }
            _ => boundary.emit(output),
        }
    }
}

/// Leaves the connection of a client that has said goodbye open.
#[derive(Default)]
struct LeavesClosing {
    left: BTreeSet<ConnectionId>,
}

impl Rule for LeavesClosing {
    fn inward(&mut self, input: Input, boundary: &mut Boundary<'_>) {
        if let Input::Received(id, Packet::Disconnect(_)) = input
            && boundary.clients.get(id).is_some_and(|client| client.accepted)
        {
            self.left.insert(id);
        }
        boundary.pass(input);
    }

    fn outward(&mut self, output: Output, boundary: &mut Boundary<'_>) {
        match &output {
            Output::Close(id) if self.left.contains(id) => return,
            // An error in it: that it must close for.
            Output::Send(id, Packet::Disconnect(_)) => {
                self.left.remove(id);
            }
            _ => {}
        }
        boundary.emit(output);
    }
}
