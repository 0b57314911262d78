//! Section 4.11: servers that send their clients elsewhere.

use reference_broker::codec::{
    Packet, PacketType, Properties, PropertyId, Publish, QoS, ReasonCode, Subscribe,
};

use super::stage::KEEP_ALIVE;
use super::{Scenario, Stage, scenario};
use crate::probe::Probe;
use crate::target::Need;
use crate::trace::Said;
use crate::verdict::Outcome;

const UNTOLD: &str = "the target does not tell its clients in CONNACK to go elsewhere";

const REDIRECTION: &[Need] = &[Need::Redirection];

pub(super) const SCENARIOS: &[Scenario] = &[
    scenario!(
        "4.11/sent-elsewhere",
        sent_elsewhere,
        "Who is sent elsewhere is told so by 0x9C or 0x9D, and its connection is closed",
        ["MQTT-3.2.2-7", "U-3.2.2.2-19", "MQTT-3.14.0-1", "MQTT-4.13.2-1", "U-3.14.2.1-19"]
    )
    .needs(REDIRECTION),
    scenario!(
        "4.11/server-reference",
        server_reference,
        "A Server Reference is a list of references with a space between two, and goes with 0x9C or 0x9D",
        ["U-4.11-4", "U-4.11-1", "U-3.2.2.3.16-2", "U-3.14.2.2.5-2"]
    )
    .needs(REDIRECTION),
    scenario!(
        "4.11/nothing-else-served",
        nothing_else_served,
        "What a client sends behind its CONNECT is not served where it is sent elsewhere",
        ["MQTT-3.1.4-6", "MQTT-3.2.0-1"]
    )
    .needs(REDIRECTION),
];

/// What a client is told that is sent elsewhere.
struct Elsewhere {
    reason: ReasonCode,
    properties: Properties,
}

/// Sends a CONNECT and what is to come right behind it, and reads all up to the close. A server may close
/// without a word, and it may as well accept a client and send it elsewhere then: none where it was not told.
async fn told(
    stage: &mut Stage,
    name: &str,
    behind: impl FnOnce(&mut Probe) -> Vec<Packet>,
) -> Outcome<Option<Elsewhere>> {
    let mut alice = stage.open(name).await?;
    let connect = alice.connect_packet().keep_alive(KEEP_ALIVE);
    let mut packets = vec![Packet::from(connect)];
    packets.append(&mut behind(&mut alice));
    alice.send_together(&packets).await?;
    stage.claims();
    let Some(connack) = alice.answer().await? else { return Ok(None) };
    if connack.reason.is_error() {
        alice.closes_after_refusal().await?;
        let Some(reason) = redirection(connack.reason) else {
            return stage.not_applicable(format!("the target says {}", connack.reason.row().name));
        };
        return Ok(Some(Elsewhere { reason, properties: connack.properties }));
    }
    stage.proving("MQTT-4.13.2-1");
    let disconnect = |packet: &Packet| match packet {
        Packet::Disconnect(disconnect) => Some(disconnect.clone()),
        _ => None,
    };
    let disconnect = alice.find("DISCONNECT 0x9C or 0x9D", disconnect).await?;
    alice.closes().await?;
    let Some(reason) = redirection(disconnect.reason) else {
        return stage.not_applicable(format!("the target says {}", disconnect.reason.row().name));
    };
    Ok(Some(Elsewhere { reason, properties: disconnect.properties }))
}

fn redirection(reason: ReasonCode) -> Option<ReasonCode> {
    matches!(reason, ReasonCode::UseAnotherServer | ReasonCode::ServerMoved).then_some(reason)
}

async fn sent_elsewhere(stage: &mut Stage) -> Outcome {
    let mut reasons = Vec::new();
    for name in ["alice", "bob", "alice"] {
        reasons.extend(told(stage, name, |_| Vec::new()).await?.map(|it| it.reason));
    }
    match reasons.is_empty() {
        true => stage.not_applicable(UNTOLD),
        false => Ok(()),
    }
}

async fn server_reference(stage: &mut Stage) -> Outcome {
    let Some(Elsewhere { properties, .. }) = told(stage, "alice", |_| Vec::new()).await? else {
        return stage.not_applicable(UNTOLD);
    };
    let Some(reference) = properties.text(PropertyId::ServerReference) else {
        return stage.not_applicable("the target names no other server");
    };
    // Of what a reference is made is not laid down, but a list without one names no server.
    let is_list =
        reference.split(' ').all(|it| !it.is_empty() && !it.contains(char::is_whitespace));
    let observed = format!("server_reference=\"{}\"", reference.as_bytes().said());
    stage.proving("U-4.11-4");
    stage.check(is_list, "references with a space between two", observed)
}

async fn nothing_else_served(stage: &mut Stage) -> Outcome {
    let (topic, kept) = (stage.topic("elsewhere"), stage.topic("kept elsewhere"));
    let behind = |alice: &mut Probe| {
        let subscribe = Subscribe::new(alice.packet_id(), &topic, QoS::AtLeastOnce);
        let publish = |topic: &str, id| Publish::new(topic, "hello").qos(QoS::AtLeastOnce, id);
        vec![
            subscribe.into(),
            publish(&topic, alice.packet_id()).into(),
            publish(&kept, alice.packet_id()).into(),
            Packet::PingReq,
        ]
    };
    let is_refused =
        |packet: &Packet| matches!(packet, Packet::ConnAck(connack) if connack.reason.is_error());
    if told(stage, "alice", behind).await?.is_none() || !stage.saw("alice", is_refused) {
        return stage.not_applicable(UNTOLD);
    }
    let answers =
        [PacketType::SubAck, PacketType::PubAck, PacketType::Publish, PacketType::PingResp];
    let served = answers.into_iter().find(|it| stage.saw("alice", |at| at.packet_type() == *it));
    let observed = served.map(|it| it.to_string()).unwrap_or_default();
    stage.proving("MQTT-3.1.4-6");
    stage.check(served.is_none(), "nothing after the CONNACK that refuses", observed)
}
