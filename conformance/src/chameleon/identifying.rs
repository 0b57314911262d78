//! Who clients are, and what they may do.

use std::collections::{BTreeMap, BTreeSet};

use reference_broker::codec::{Auth, Disconnect, Packet, PropertyId, PublishAck, QoS, ReasonCode};
use reference_broker::core::ConnectionId;

use super::Switch;
use crate::boundary::Rule;
use crate::boundary::rules::{self, Act, At};
use crate::target::UNWRITABLE;

pub(super) const SWITCHES: &[Switch] = &[
    Switch::new(
        "says-not-authorized-to-strangers",
        "refuses a wrong password, or a wrong method, with 0x87 and no more words",
        &["U-3.2.2.2-10", "MQTT-4.12.0-1"],
    )
    .one_of(&["no connack"])
    .ruled(|| {
        vec![rules::accepts(|connack, _| {
            use ReasonCode::{BadAuthenticationMethod, BadUserNameOrPassword, NotAuthorized};
            if [BadUserNameOrPassword, BadAuthenticationMethod, NotAuthorized]
                .contains(&connack.reason)
            {
                connack.reason = NotAuthorized;
                connack.properties.retain(|it| it.id != PropertyId::ReasonString);
            }
        })]
    }),
    Switch::new(
        "closes-for-what-is-not-allowed",
        "closes with 0x87 where it could refuse a message or a subscription by its code",
        &["U-3.14.2.1-7"],
    )
    .one_of(&["rights"])
    .leaves_out(&["4.7/refused-message-reaches-nobody"])
    .configured(|config| config.access.disconnects_at_qos0 = true)
    .ruled(|| {
        vec![rules::outward(|packet, _, act| match refuses(&packet) {
            true => {
                act.send(Disconnect::because(ReasonCode::NotAuthorized));
                act.close();
            }
            false => act.send(packet),
        })]
    }),
    Switch::new(
        "acknowledges-what-is-not-allowed",
        "acknowledges messages that are not allowed, grants such filters, and does nothing about them",
        &["U-4.7.3-7"],
    )
    .one_of(&["rights"])
    .leaves_out(&["4.7/refused-message-reaches-nobody"])
    .ruled(|| vec![acknowledges()]),
    Switch::new(
        "accepts-wills-that-are-not-allowed",
        "accepts a CONNECT with a Will that its client may not publish, and drops the Will",
        &["U-4.7.3-7"],
    )
    .ruled(|| {
        vec![rules::connects(|connect, _| {
            let is_second = connect.user_name.as_ref().is_some_and(|name| **name == *"bob");
            let is_forbidden = |topic: &str| topic.split('/').any(|level| level == UNWRITABLE);
            if is_second && connect.will.as_ref().is_some_and(|will| is_forbidden(&will.topic)) {
                connect.will = None;
            }
        })]
    }),
    Switch::new(
        "sends-last-data-in-an-auth",
        "sends its last Authentication Data in an AUTH before it accepts, and awaits an answer",
        &["4.12"],
    )
    .ruled(|| vec![sends_last_data()]),
    Switch::new(
        "lets-nobody-authenticate-anew",
        "closes with 0x83 for an AUTH that asks for another exchange",
        &["4.12.1"],
    )
    .limits()
    .ruled(|| {
        vec![rules::inward(|packet, at, act| {
            let is_accepted = at.client().is_some_and(|client| client.accepted);
            match &packet {
                Packet::Auth(auth) if is_accepted && begins_anew(auth) && has_method(at) => {
                    act.send(Disconnect::because(ReasonCode::ImplementationSpecificError));
                    act.close();
                }
                _ => act.receive(packet),
            }
        })]
    }),
    Switch::new(
        "holds-all-back-during-an-exchange",
        "keeps messages and acknowledgements until an exchange after CONNACK is over",
        &["U-4.12.1-2"],
    )
    .ruled(|| vec![holds_back()]),
];

fn has_method(at: At<'_>) -> bool {
    let method = PropertyId::AuthenticationMethod;
    at.client().is_some_and(|client| client.connect.properties.contains(method))
}

fn begins_anew(auth: &Auth) -> bool {
    auth.reason == ReasonCode::ReAuthenticate
}

/// Whether a packet refuses something for want of rights.
fn refuses(packet: &Packet) -> bool {
    match packet {
        Packet::PubAck(ack) | Packet::PubRec(ack) => ack.reason == ReasonCode::NotAuthorized,
        Packet::SubAck(ack) => ack.reasons.contains(&ReasonCode::NotAuthorized),
        _ => false,
    }
}

/// A QoS 2 message that was refused is not known to the core, which would say so at PUBREL.
fn acknowledges() -> Box<dyn Rule> {
    rules::through(
        BTreeSet::<(ConnectionId, u16)>::new(),
        |dropped, packet, at, act| match &packet {
            Packet::PubRel(ack) if dropped.remove(&(at.connection, ack.packet_id)) => {
                act.send(Packet::PubComp(PublishAck::new(ack.packet_id)));
            }
            _ => act.receive(packet),
        },
        |dropped, mut packet, at, act| {
            let is_refusal = refuses(&packet);
            match &mut packet {
                Packet::PubAck(ack) if is_refusal => *ack = PublishAck::new(ack.packet_id),
                Packet::PubRec(ack) if is_refusal => {
                    dropped.insert((at.connection, ack.packet_id));
                    *ack = PublishAck::new(ack.packet_id);
                }
                Packet::SubAck(ack) if is_refusal => {
                    ack.properties.retain(|it| it.id != PropertyId::ReasonString);
                    for reason in &mut ack.reasons {
                        if *reason == ReasonCode::NotAuthorized {
                            *reason = granted(QoS::AtMostOnce);
                        }
                    }
                }
                _ => {}
            }
            act.send(packet);
        },
    )
}

fn granted(qos: QoS) -> ReasonCode {
    match qos {
        QoS::AtMostOnce => ReasonCode::Success,
        QoS::AtLeastOnce => ReasonCode::GrantedQoS1,
        QoS::ExactlyOnce => ReasonCode::GrantedQoS2,
    }
}

/// What waits for the AUTH with which a client answers the last data, in its order.
type Waiting = BTreeMap<ConnectionId, Vec<Packet>>;

fn sends_last_data() -> Box<dyn Rule> {
    rules::through(
        Waiting::new(),
        |waiting, packet, at, act| match (&packet, waiting.remove(&at.connection)) {
            (Packet::Auth(auth), Some(packets))
                if auth.reason == ReasonCode::ContinueAuthentication =>
            {
                packets.into_iter().for_each(|packet| act.send(packet));
            }
            (_, Some(packets)) => {
                waiting.insert(at.connection, packets);
                act.receive(packet);
            }
            (_, None) => act.receive(packet),
        },
        |waiting, mut packet, at, act| {
            if let Some(packets) = waiting.get_mut(&at.connection) {
                return packets.push(packet);
            }
            let Some(last) = last_data(&mut packet) else { return act.send(packet) };
            waiting.insert(at.connection, vec![packet]);
            act.send(last);
        },
    )
}

/// Takes the last data out of what ends an exchange, into an AUTH of its own.
fn last_data(packet: &mut Packet) -> Option<Auth> {
    let properties = match packet {
        Packet::ConnAck(connack) if !connack.reason.is_error() => &mut connack.properties,
        Packet::Auth(auth) if auth.reason == ReasonCode::Success => &mut auth.properties,
        _ => return None,
    };
    let (method, data) = (PropertyId::AuthenticationMethod, PropertyId::AuthenticationData);
    let name = properties.text(method)?.clone();
    let last = properties.binary(data)?.clone();
    properties.retain(|it| it.id != data);
    let auth = Auth::new(ReasonCode::ContinueAuthentication);
    Some(auth.with(method, name).with(data, last))
}

fn holds_back() -> Box<dyn Rule> {
    rules::through(
        Waiting::new(),
        |waiting, packet, at, act| {
            if let Packet::Auth(auth) = &packet
                && begins_anew(auth)
                && has_method(at)
                && at.client().is_some_and(|client| client.accepted)
            {
                waiting.entry(at.connection).or_default();
            }
            act.receive(packet);
        },
        |waiting, packet, at, act: &mut Act<'_, '_>| {
            let is_over = matches!(&packet, Packet::Auth(it) if it.reason == ReasonCode::Success);
            let may_wait = !matches!(
                &packet,
                Packet::Auth(_) | Packet::Disconnect(_) | Packet::PingResp | Packet::ConnAck(_)
            );
            match waiting.get_mut(&at.connection) {
                Some(packets) if may_wait => packets.push(packet),
                Some(_) if is_over => {
                    act.send(packet);
                    let packets = waiting.remove(&at.connection).unwrap_or_default();
                    packets.into_iter().for_each(|packet| act.send(packet));
                }
                _ => act.send(packet),
            }
        },
    )
}
