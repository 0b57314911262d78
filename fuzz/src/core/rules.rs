//! What a broker owes a packet, and what is a reason to close a connection.

use reference_broker::codec::{Packet, PacketType, PropertyId, QoS};
use reference_broker::core::{Config, ConnectionId, Input, Moment};

use super::client::Client;

/// Whether there is a reason to close the connection of a client that did nothing wrong.
pub(super) fn is_cause(
    id: ConnectionId,
    client: &Client,
    cause: &Input,
    now: Moment,
    config: &Config,
) -> bool {
    let silence = now.0 - client.last_sent.0;
    // Who waits for an answer about who it is may send all the while.
    let is_late = u128::from(now.0 - client.opened.0) >= config.connect_timeout.as_millis();
    if is_late && client.connack.is_none() {
        return true;
    }
    let Some(connect) = &client.connect else { return false };
    let keep_alive = client.granted(PropertyId::ServerKeepAlive, u32::from(connect.keep_alive));
    if keep_alive > 0 && silence >= u64::from(keep_alive) * 1500 {
        return true;
    }
    let will = connect.will.as_ref();
    let has_rules = !config.access.rules.is_empty();
    match cause {
        // Where it is followed the model knows better.
        Input::Redirect(_) | Input::Answered(..) => true,
        Input::Received(from, Packet::Auth(_)) => *from == id,
        Input::Received(from, packet)
            if *from == id
                && !client.is_connected()
                && packet.packet_type() != PacketType::Connect =>
        {
            config.access.asks || connect.properties.contains(PropertyId::AuthenticationMethod)
        }
        Input::Received(from, Packet::Publish(_)) if *from == id && has_rules => true,
        Input::Received(from, Packet::Connect(_)) if *from == id && has_rules => true,
        Input::Received(from, Packet::Disconnect(_)) => *from == id,
        Input::Received(from, Packet::Connect(_)) if *from == id => {
            connect.properties.contains(PropertyId::AuthenticationMethod)
                || will.is_some_and(|will| {
                    will.topic.starts_with('$')
                        || will.qos > config.maximum_qos
                        || will.retain && !config.features.retain
                })
        }
        Input::Received(_, Packet::Connect(other)) => {
            client.id().as_ref() == Some(&other.client_id)
        }
        _ => false,
    }
}

/// What a packet is owed if the connection stays open.
pub(super) enum Owed {
    Nothing,
    /// A packet of this type with this Packet Identifier.
    Answer(PacketType, u16),
    /// It may not stay open.
    Close,
}

/// What the broker owes to a packet of this client, which has just sent it.
pub(super) fn owed_to(packet: &Packet, client: &Client, is_asked_about: bool) -> Owed {
    let packet_type = packet.packet_type();
    if is_asked_about {
        return Owed::Nothing; // What it sends may have to wait.
    }
    if !client.is_connected() {
        return match packet_type {
            PacketType::Connect => Owed::Answer(PacketType::ConnAck, 0),
            _ => Owed::Close,
        };
    }
    let answer = match packet {
        Packet::Publish(publish) => match publish.qos {
            QoS::AtMostOnce => return Owed::Nothing,
            QoS::AtLeastOnce => PacketType::PubAck,
            QoS::ExactlyOnce => PacketType::PubRec,
        },
        Packet::PubRec(ack) if ack.reason.is_error() => return Owed::Nothing,
        Packet::PubRec(_) => PacketType::PubRel,
        Packet::PubRel(_) => PacketType::PubComp,
        Packet::Subscribe(_) => PacketType::SubAck,
        Packet::Unsubscribe(_) => PacketType::UnsubAck,
        Packet::PingReq => PacketType::PingResp,
        Packet::PubAck(_) | Packet::PubComp(_) | Packet::Auth(_) => return Owed::Nothing,
        _ => return Owed::Close,
    };
    Owed::Answer(answer, packet_id_of(packet))
}

/// The Packet Identifier, 0 if there is none.
pub(super) fn packet_id_of(packet: &Packet) -> u16 {
    match packet {
        Packet::Publish(publish) => publish.packet_id,
        Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubRel(ack) | Packet::PubComp(ack) => {
            ack.packet_id
        }
        Packet::Subscribe(subscribe) => subscribe.packet_id,
        Packet::Unsubscribe(unsubscribe) => unsubscribe.packet_id,
        Packet::SubAck(ack) | Packet::UnsubAck(ack) => ack.packet_id,
        _ => 0,
    }
}
