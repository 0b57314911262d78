//! The clients' half of a trace.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use reference_broker::codec::{Packet, PacketType, PublishAck};

use crate::trace::{Event, What};

use super::{Acknowledgement, Act, Script, Step, client_of};

/// What passes in a trace for longer than this passes on purpose; anything shorter may be the way
/// there and back.
pub(crate) const PAUSE: Duration = Duration::from_millis(250);

/// What the clients of a trace did. Acknowledgements name the messages they were for, and where time
/// passed, it passes.
pub fn from_trace(events: &[Event]) -> Script {
    with_places(events).0
}

/// The same, and for each event how many steps there were with it.
pub(crate) fn with_places(events: &[Event]) -> (Script, Vec<usize>) {
    let mut script = Script::default();
    let mut places = Vec::with_capacity(events.len());
    let mut messages: BTreeMap<(&str, u16), Bytes> = BTreeMap::new();
    let mut last = Duration::ZERO;
    for event in events {
        let passed = event.at.saturating_sub(last);
        last = event.at;
        if passed >= PAUSE {
            script.steps.push(Step::new(&event.probe, Act::Wait(passed)));
        }
        let client = client_of(&event.probe);
        if let What::Received(Packet::Publish(publish)) = &event.what {
            messages.insert((client, publish.packet_id), publish.payload.clone());
        }
        let act = match act_of(&event.what) {
            // Times tell of it.
            Some(Act::Wait(_)) | None => None,
            Some(Act::Send(packet)) => Some(sent(packet, client, &messages)),
            act => act,
        };
        script.steps.extend(act.map(|act| Step::new(&event.probe, act)));
        places.push(script.steps.len());
    }
    (script, places)
}

/// What a client does by sending a packet: what acknowledges a message names that.
fn sent(packet: Packet, client: &str, messages: &BTreeMap<(&str, u16), Bytes>) -> Act {
    let Some((packet_type, ack)) = acknowledged(&packet) else { return Act::Send(packet) };
    match messages.get(&(client, ack.packet_id)) {
        Some(payload) => Act::Acknowledge(Acknowledgement {
            packet: packet_type,
            payload: payload.clone(),
            reason: ack.reason,
            properties: ack.properties.clone(),
        }),
        None => Act::Send(packet),
    }
}

/// What acknowledges a message of the broker.
fn acknowledged(packet: &Packet) -> Option<(PacketType, &PublishAck)> {
    match packet {
        Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubComp(ack) => {
            Some((packet.packet_type(), ack))
        }
        _ => None,
    }
}

/// What a client did by this; none if it was not its doing.
pub(super) fn act_of(what: &What) -> Option<Act> {
    match what {
        What::Opened => Some(Act::Open),
        What::Sent(packet) => Some(Act::Send(packet.clone())),
        What::SentBytes(bytes) => Some(Act::SendBytes(bytes.clone())),
        What::HalfClosed => Some(Act::HalfClose),
        What::ClosedByProbe => Some(Act::Close),
        What::Waited(time) => Some(Act::Wait(*time)),
        What::Received(_)
        | What::ReceivedBroken(..)
        | What::ClosedByBroker(_)
        | What::Silence(_)
        | What::WebSocket(_)
        | What::Restarted(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::to_text;
    use super::*;
    use crate::trace::parse;

    #[test]
    fn acknowledgements_name_messages_and_time_passes() {
        let trace = r#"0.000 a || opened
0.000 a -> CONNECT client_id="a"
0.000 a <- CONNACK 0x00
0.001 a <- PUBLISH "t" qos=1 id=7 payload="m1"
0.001 a || silent for 2.000 s
2.001 a -> PUBACK id=7
2.001 a -> PUBACK id=8
2.001 a || closed by the broker (end of stream)
2.001 a.2 || opened
2.001 a.2 -> PUBACK id=7
"#;
        let script = from_trace(&parse(trace).unwrap());
        let expected = r#"a   || opened
a   -> CONNECT     client_id="a"
a   || waited 2.000 s
a   -> PUBACK @m1
a   -> PUBACK      id=8
a.2 || opened
a.2 -> PUBACK @m1
"#;
        assert_eq!(to_text(&script), expected);
    }
}
