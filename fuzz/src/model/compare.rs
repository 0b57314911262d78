//! What the core did against what the model expects.
//!
//! The standard orders acknowledgements among themselves, and messages of one topic and QoS; how the
//! two are mixed, and different topics, it leaves open, and so does this.

use reference_broker::codec::{Packet, PropertyId, Publish, QoS};
use reference_broker::core::{ConnectionId, Output};

use super::broker::Model;
use super::delivery::Expected;

/// Compares, and tells the model the Packet Identifiers that the core chose.
pub(crate) fn follow(model: &mut Model, outputs: &[Output]) -> Result<(), String> {
    let expected = std::mem::take(&mut model.expected);
    let mut ids: Vec<_> = expected.iter().map(Expected::connection).collect();
    ids.extend(outputs.iter().filter_map(connection));
    ids.sort();
    ids.dedup();
    for id in ids {
        let here: Vec<_> = expected.iter().filter(|it| it.connection() == id).collect();
        let seen: Vec<_> = outputs.iter().filter(|it| connection(it) == Some(id)).collect();
        follow_connection(model, &here, &seen).map_err(|difference| {
            format!("{id:?}: {difference}\nexpected: {here:?}\nseen: {seen:?}")
        })?;
    }
    Ok(())
}

fn connection(output: &Output) -> Option<ConnectionId> {
    match output {
        Output::Send(id, _) | Output::Close(id) | Output::Ask(id, _) => Some(*id),
        Output::Published(_) => None,
    }
}

fn follow_connection(
    model: &mut Model,
    expected: &[&Expected],
    seen: &[&Output],
) -> Result<(), String> {
    let others_expected = expected.iter().filter_map(|it| other_than_message(it));
    let others_seen = seen.iter().filter_map(|it| other_seen(it));
    if !are_alike(others_expected.collect(), others_seen.collect()) {
        return Err("other packets than messages".to_string());
    }
    let mut messages_expected: Vec<_> =
        expected.iter().filter_map(|it| expected_message(it)).collect();
    let mut messages_seen: Vec<_> = seen.iter().filter_map(|it| seen_message(it)).collect();
    messages_expected.sort_by_key(|(publish, _)| (publish.topic.clone(), publish.qos));
    messages_seen.sort_by_key(|publish| (publish.topic.clone(), publish.qos));
    if messages_expected.len() != messages_seen.len() {
        let (expected, seen) = (messages_expected.len(), messages_seen.len());
        return Err(format!("{seen} messages instead of {expected}"));
    }
    for ((expected, first), seen) in messages_expected.into_iter().zip(messages_seen) {
        let chosen = seen.packet_id;
        let mut expected = comparable(expected.clone());
        if let Some((client, serial)) = first {
            expected.packet_id = chosen;
            choose(model, client, serial, chosen)?;
        }
        if expected != comparable(seen.clone()) {
            return Err(format!("{seen:?} is not as expected"));
        }
    }
    Ok(())
}

/// Notes the Packet Identifier of a message that was sent for the first time; it must be free.
fn choose(model: &mut Model, client: &str, serial: u64, packet_id: u16) -> Result<(), String> {
    let is_lowest_first = model.config.handling.lowest_packet_id_first;
    // The session may have ended since, by the same input.
    let Some(session) = model.session(client) else { return Ok(()) };
    if session.outbound.find(packet_id).is_some() {
        return Err(format!("packet identifier {packet_id} is in use"));
    }
    if is_lowest_first && usize::from(packet_id) > session.outbound.sent.len() {
        return Err(format!("packet identifier {packet_id} where a lower one is free"));
    }
    if let Some(exchange) = session.outbound.sent.iter_mut().find(|it| it.serial == serial) {
        exchange.id = packet_id;
    }
    Ok(())
}

/// What is no message.
#[derive(Debug, PartialEq)]
enum Other {
    Packet(Packet),
    Question,
    /// Expected only: a close, before which the broker may say why.
    Refusal,
    Close,
}

fn are_alike(expected: Vec<Other>, mut seen: Vec<Other>) -> bool {
    seen.reverse();
    for next in expected {
        if next == Other::Refusal {
            let says_why = |other: &Other| match other {
                Other::Packet(Packet::Disconnect(disconnect)) => disconnect.reason.is_error(),
                Other::Packet(Packet::ConnAck(connack)) => connack.reason.is_error(),
                _ => false,
            };
            if seen.last().is_some_and(says_why) {
                seen.pop();
            }
            if seen.pop() != Some(Other::Close) {
                return false;
            }
        } else if seen.pop() != Some(next) {
            return false;
        }
    }
    seen.is_empty()
}

fn other_than_message(expected: &Expected) -> Option<Other> {
    match expected {
        Expected::Packet(_, Packet::Publish(_)) | Expected::First { .. } => None,
        Expected::Packet(_, packet) => Some(Other::Packet(packet.clone())),
        Expected::Question(_) => Some(Other::Question),
        Expected::Refusal(_) => Some(Other::Refusal),
        Expected::Close(_) => Some(Other::Close),
    }
}

/// A packet without what the server may add to it, or the end.
fn other_seen(output: &Output) -> Option<Other> {
    match output {
        Output::Send(_, Packet::Publish(_)) => None,
        Output::Send(_, packet) => {
            let mut packet = packet.clone();
            // Of an AUTH all is the exchange's.
            if !matches!(packet, Packet::Auth(_))
                && let Some(properties) = packet.properties_mut()
            {
                properties.retain(|it| it.id == PropertyId::SessionExpiryInterval);
            }
            Some(Other::Packet(packet))
        }
        Output::Ask(..) => Some(Other::Question),
        Output::Close(_) => Some(Other::Close),
        Output::Published(_) => None,
    }
}

/// A message, and of which client and exchange it is the first sending.
type FirstOf<'a> = Option<(&'a str, u64)>;

fn expected_message(expected: &Expected) -> Option<(&Publish, FirstOf<'_>)> {
    match expected {
        Expected::Packet(_, Packet::Publish(publish)) => Some((publish, None)),
        Expected::First { client, serial, publish, .. } => Some((publish, Some((client, *serial)))),
        _ => None,
    }
}

fn seen_message(output: &Output) -> Option<&Publish> {
    match output {
        Output::Send(_, Packet::Publish(publish)) => Some(publish),
        _ => None,
    }
}

/// With its properties in an order of their own.
fn comparable(mut publish: Publish) -> Publish {
    let mut properties: Vec<_> = publish.properties.iter().cloned().collect();
    properties.sort_by_key(|property| format!("{property:?}"));
    publish.properties = properties.into_iter().collect();
    if publish.qos == QoS::AtMostOnce {
        publish.packet_id = 0;
    }
    publish
}
