//! Section 6: WebSocket as a network transport.

use std::time::Duration;

use reference_broker::codec::{
    Connect, Packet, PropertyId, Publish, PublishAck, QoS, Subscribe, Will,
};
use tokio::time::Instant;

use super::s3_01_keep_alive::TOLERANCE;
use super::{Scenario, Stage, scenario};
use crate::probe::Probe;
use crate::target::Need;
use crate::verdict::Outcome;
use crate::websocket::{Answer, Cut, Frame, Frames, Opcode};

/// With frames of its own a scenario has none left for proofs.
const WEBSOCKET: &[Need] = &[Need::WebSocket, Need::Unproven];

const UP_TO_1: &[Need] = &[Need::WebSocket, Need::Unproven, Need::QoS(QoS::AtLeastOnce)];

pub(super) const SCENARIOS: &[Scenario] = &[
    scenario!(
        "6/selects-mqtt",
        selects_mqtt,
        "Of the sub-protocols that a client offers, alone or in a list, the server selects mqtt",
        ["MQTT-6.0.0-4"]
    )
    .needs(&[Need::WebSocket]),
    scenario!(
        "6/text-frame",
        text_frame,
        "A packet in a text frame ends the connection and is not processed",
        ["MQTT-6.0.0-1"]
    )
    .needs(UP_TO_1),
    scenario!(
        "6/connect-in-text-frame",
        connect_in_text_frame,
        "A CONNECT in a text frame is not accepted",
        ["MQTT-6.0.0-1"]
    )
    .needs(WEBSOCKET),
    scenario!(
        "6/text-fragments",
        text_fragments,
        "A packet in the fragments of a text message ends the connection and is not processed",
        ["MQTT-6.0.0-1"]
    )
    .needs(UP_TO_1),
    scenario!(
        "6/text-frame-publishes-will",
        text_frame_publishes_will,
        "Who is closed for a text frame has not taken leave: the Will is published",
        ["MQTT-3.1.2-8", "MQTT-6.0.0-1"]
    )
    .needs(UP_TO_1),
    scenario!(
        "6/sends-binary-frames",
        sends_binary_frames,
        "All packets of the server come in binary frames",
        ["MQTT-6.0.0-1"]
    )
    .needs(UP_TO_1),
    scenario!(
        "6/byte-per-frame",
        byte_per_frame,
        "Packets may come in frames of one byte each",
        ["MQTT-6.0.0-2"]
    )
    .needs(UP_TO_1),
    scenario!(
        "6/frames-cut-anywhere",
        frames_cut_anywhere,
        "A packet may be cut at any byte and go on in the next frame",
        ["MQTT-6.0.0-2"]
    )
    .needs(UP_TO_1),
    scenario!(
        "6/many-packets-in-a-frame",
        many_packets_in_a_frame,
        "One frame may hold many packets, and the beginning of another",
        ["MQTT-6.0.0-2"]
    )
    .needs(UP_TO_1),
    scenario!(
        "6/fragments",
        fragments,
        "Packets may come in the fragments of one binary message",
        ["MQTT-6.0.0-2"]
    )
    .needs(UP_TO_1),
    scenario!(
        "6/pings-between-fragments",
        pings_between_fragments,
        "Ping frames between the fragments of a packet change nothing about it",
        ["MQTT-6.0.0-2"]
    )
    .needs(UP_TO_1),
    scenario!(
        "6/empty-frames",
        empty_frames,
        "Binary frames with nothing in them change nothing",
        ["MQTT-6.0.0-2"]
    )
    .needs(UP_TO_1),
    scenario!(
        "6/large-frame",
        large_frame,
        "A large packet arrives whole in one frame and in many",
        ["MQTT-6.0.0-2"]
    )
    .needs(&[
        Need::WebSocket,
        Need::Unproven,
        Need::QoS(QoS::AtLeastOnce),
        Need::PacketSize(LARGE + 1000),
    ]),
    scenario!(
        "6/ping-frames-are-no-packets",
        ping_frames_are_no_packets,
        "Who sends Ping frames and no packets exceeds the Keep Alive",
        ["MQTT-3.1.2-22"]
    )
    .breaks(&["MQTT-3.1.2-20", "MQTT-3.2.2-21"])
    .needs(WEBSOCKET)
    .timed(6),
    scenario!(
        "6/close-frame-publishes-will",
        close_frame_publishes_will,
        "A Close frame without a DISCONNECT before it is a lost connection: the Will is published",
        ["MQTT-3.1.2-8"]
    )
    .needs(UP_TO_1),
    scenario!(
        "6/close-frame-after-disconnect",
        close_frame_after_disconnect,
        "A Close frame after a DISCONNECT 0x00 publishes no Will",
        ["MQTT-3.14.4-3"]
    )
    .needs(UP_TO_1),
];

/// The size of a large payload in bytes.
const LARGE: u32 = 200_000;

/// The Keep Alive of who exceeds it, in seconds.
const KEEP_ALIVE: u16 = 2;

/// A longer one that the server sets is not waited for, in seconds.
const LONGEST: u32 = 10;

async fn selects_mqtt(stage: &mut Stage) -> Outcome {
    stage.claims();
    for offers in [&["mqtt"][..], &["mqttv3.1, mqtt"], &["mqttv3.1", "mqtt"], &["chat,mqtt,soap"]] {
        match stage.offers(offers).await? {
            Answer::Opened { protocol: Some(protocol), .. } if protocol == "mqtt" => {}
            answer @ Answer::Opened { .. } => {
                return stage.fail("the sub-protocol \"mqtt\" selected", answer.said());
            }
            // Who does not open one has selected nothing.
            answer if offers == ["mqtt"] => {
                return stage.inconclusive("a WebSocket connection", answer.said());
            }
            answer => stage.advise(
                "MQTT-6.0.0-4",
                "the sub-protocol \"mqtt\" selected, which is among those offered",
                answer.said(),
            ),
        }
    }
    Ok(())
}

/// A subscriber of a topic.
async fn watcher(stage: &mut Stage, topic: &str) -> Outcome<Probe> {
    let mut bob = stage.connected("bob").await?;
    bob.subscribe(topic, QoS::AtLeastOnce).await?;
    Ok(bob)
}

async fn text_frame(stage: &mut Stage) -> Outcome {
    not_processed(stage, Cut::Text).await
}

async fn text_fragments(stage: &mut Stage) -> Outcome {
    not_processed(stage, Cut::TextFragments(7)).await
}

/// Shows that a PUBLISH in such frames ends the connection and reaches nobody; the one before, in a
/// binary frame, has reached its subscriber.
async fn not_processed(stage: &mut Stage, cut: Cut) -> Outcome {
    let topic = stage.topic("text");
    let mut bob = watcher(stage, &topic).await?;
    let (mut alice, frames) = stage.framed_and_connected("alice", |connect| connect).await?;
    alice.publish(&topic, "in a binary frame", QoS::AtLeastOnce).await?;
    bob.receives(&topic, "in a binary frame").await?;
    stage.cuts(&alice, &frames, cut);
    stage.claims();
    alice.send(Publish::new(topic.as_str(), "as text").qos(QoS::AtLeastOnce, 77)).await?;
    alice.closes().await?;
    let mut carol = stage.connected("carol").await?;
    stage.nothing_on(&topic, &mut carol, &mut bob).await
}

async fn connect_in_text_frame(stage: &mut Stage) -> Outcome {
    let (mut alice, _) = stage.framed_and_connected("alice", |connect| connect).await?;
    stage.serves(&mut alice).await?;
    let (mut carol, frames) = stage.framed("carol").await?;
    stage.cuts(&carol, &frames, Cut::Text);
    stage.claims();
    carol.send(carol.connect_packet().keep_alive(3600)).await?;
    carol.refused().await
}

async fn text_frame_publishes_will(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("will");
    let mut bob = watcher(stage, &topic).await?;
    let (mut alice, frames) = with_will(stage, "alice", &topic).await?;
    stage.cuts(&alice, &frames, Cut::Text);
    stage.proving("MQTT-6.0.0-1");
    alice.send(Packet::PingReq).await?;
    alice.closes().await?;
    stage.proving("MQTT-3.1.2-8");
    stage.claims();
    bob.receives_will(&topic, "will").await.map(drop)
}

async fn with_will(stage: &mut Stage, name: &str, topic: &str) -> Outcome<(Probe, Frames)> {
    let will = Will::new(topic, "will").qos(QoS::AtLeastOnce);
    stage.framed_and_connected(name, |connect: Connect| connect.will(will)).await
}

async fn sends_binary_frames(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("binary");
    let (mut alice, frames) = stage.framed_and_connected("alice", |connect| connect).await?;
    exchange(&mut alice, &topic, "text in a packet").await?;
    stage.claims();
    match frames.seen(Opcode::Text).first() {
        None => Ok(()),
        Some(frame) => {
            let size = frame.payload.len();
            stage.fail("packets in binary frames", format!("a text frame of {size} bytes"))
        }
    }
}

/// Subscribes to a topic at QoS 1, publishes on it, gets the message, and a PINGRESP.
async fn exchange(probe: &mut Probe, topic: &str, payload: &'static str) -> Outcome {
    let id = probe.packet_id();
    probe.send(Subscribe::new(id, topic, QoS::AtLeastOnce)).await?;
    let suback = probe.suback(id).await?;
    probe.granted(&suback, &[QoS::AtLeastOnce])?;
    let id = probe.packet_id();
    probe.send(Publish::new(topic, payload).qos(QoS::AtLeastOnce, id)).await?;
    probe.puback(id).await?;
    let publish = probe.holds(topic, payload).await?;
    probe.send(Packet::PubAck(PublishAck::new(publish.packet_id))).await?;
    probe.ping().await
}

/// Shows that a client is served whose packets come in such frames, from CONNECT on; one whose packets
/// come in a frame each is.
async fn served(stage: &mut Stage, cut: Cut) -> Outcome {
    let topic = stage.topic("cut");
    let (mut bob, _) = stage.framed_and_connected("bob", |connect| connect).await?;
    exchange(&mut bob, &stage.topic("whole"), "whole").await?;
    let (mut alice, frames) = stage.framed("alice").await?;
    stage.cuts(&alice, &frames, cut);
    stage.claims();
    alice.send(alice.connect_packet().keep_alive(3600)).await?;
    alice.connack().await?;
    exchange(&mut alice, &topic, "in pieces").await
}

async fn byte_per_frame(stage: &mut Stage) -> Outcome {
    served(stage, Cut::Frames(1)).await
}

async fn fragments(stage: &mut Stage) -> Outcome {
    served(stage, Cut::Fragments(3)).await
}

async fn pings_between_fragments(stage: &mut Stage) -> Outcome {
    served(stage, Cut::FragmentsAndPings(5)).await
}

async fn empty_frames(stage: &mut Stage) -> Outcome {
    served(stage, Cut::BetweenEmpty).await
}

async fn frames_cut_anywhere(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("cut");
    let mut bob = watcher(stage, &topic).await?;
    let (mut alice, frames) = stage.framed_and_connected("alice", |connect| connect).await?;
    let publish = |id| Publish::new(topic.as_str(), "cut in two").qos(QoS::AtLeastOnce, id);
    let length = Packet::from(publish(1)).encoded_len().unwrap_or_default();
    alice.publish(&topic, "whole", QoS::AtLeastOnce).await?;
    bob.receives(&topic, "whole").await?;
    stage.claims();
    for first in 1..length {
        // From the middle on these are two.
        stage.cuts(&alice, &frames, Cut::Frames(first));
        let id = alice.packet_id();
        alice.send(publish(id)).await?;
        alice.puback(id).await?;
        bob.receives(&topic, "cut in two").await?;
    }
    Ok(())
}

async fn many_packets_in_a_frame(stage: &mut Stage) -> Outcome {
    const MANY: u16 = 50;
    let topic = stage.topic("many");
    let mut bob = watcher(stage, &topic).await?;
    let (mut alice, _) = stage.framed_and_connected("alice", |connect| connect).await?;
    alice.publish(&topic, "alone", QoS::AtLeastOnce).await?;
    bob.receives(&topic, "alone").await?;
    let mut bytes = Vec::new();
    for number in 0..MANY {
        let packet = Packet::from(Publish::new(topic.as_str(), number.to_string()));
        bytes.extend(packet.to_bytes().unwrap_or_default());
    }
    // The first byte of a PINGREQ, whose other one follows in a frame of its own.
    bytes.push(0xC0);
    stage.claims();
    alice.send_bytes(bytes).await?;
    for number in 0..MANY {
        bob.receives(&topic, &number.to_string()).await?;
    }
    alice.send_bytes(vec![0x00]).await?;
    alice.pingresp().await
}

async fn large_frame(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("large");
    let mut bob = watcher(stage, &topic).await?;
    let (mut alice, frames) = stage.framed_and_connected("alice", |connect| connect).await?;
    alice.publish(&topic, "small", QoS::AtLeastOnce).await?;
    bob.receives(&topic, "small").await?;
    let payload: Vec<u8> = (0..LARGE).map(|at| (at % 251) as u8).collect();
    stage.claims();
    for cut in [Cut::Whole, Cut::Frames(4000)] {
        stage.cuts(&alice, &frames, cut);
        let id = alice.packet_id();
        let publish = Publish::new(topic.as_str(), payload.clone()).qos(QoS::AtLeastOnce, id);
        alice.send_bytes(Packet::from(publish).to_bytes().unwrap_or_default()).await?;
        alice.puback(id).await?;
        let publish = bob.message("PUBLISH with a large payload").await?;
        let observed = format!("{} bytes, or others", publish.payload.len());
        stage.check(publish.payload == payload, "the payload as published", observed)?;
        bob.acknowledge(&publish).await?;
    }
    Ok(())
}

async fn ping_frames_are_no_packets(stage: &mut Stage) -> Outcome {
    let (mut alice, frames) = stage.framed("alice").await?;
    let connack = alice.connect(alice.connect_packet().keep_alive(KEEP_ALIVE)).await?;
    let keep_alive = connack.properties.number(PropertyId::ServerKeepAlive);
    let keep_alive = keep_alive.unwrap_or(u32::from(KEEP_ALIVE));
    if !(1..=LONGEST).contains(&keep_alive) {
        return stage.not_applicable(format!("the target sets a Keep Alive of {keep_alive} s"));
    }
    alice.leave_silent();
    alice.ping().await?;
    stage.claims();
    let end = alice.last_sent() + Duration::from_secs(keep_alive.into()) * 3 / 2 + TOLERANCE;
    while Instant::now() < end {
        frames.send(Frame::whole(Opcode::Ping, "no packet"));
        if alice.ended_within(Duration::from_millis(500)).await?.is_some() {
            return Ok(());
        }
    }
    stage.fail("the connection closed in spite of Ping frames", "still open")
}

async fn close_frame_publishes_will(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("will");
    let mut bob = watcher(stage, &topic).await?;
    let (mut alice, _) = with_will(stage, "alice", &topic).await?;
    alice.ping().await?;
    let mut carol = stage.connected("carol").await?;
    stage.nothing_on(&topic, &mut carol, &mut bob).await?;
    // A Close frame, and the end of the stream.
    alice.vanish().await?;
    stage.claims();
    bob.receives_will(&topic, "will").await.map(drop)
}

async fn close_frame_after_disconnect(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("will");
    let mut bob = watcher(stage, &topic).await?;
    // The control: the Will of one that leaves without a DISCONNECT.
    let (alice, _) = with_will(stage, "alice", &topic).await?;
    alice.vanish().await?;
    bob.receives_will(&topic, "will").await?;
    let (carol, _) = with_will(stage, "carol", &topic).await?;
    stage.claims();
    carol.leave().await?;
    stage.no_will_on(&topic, &mut bob).await
}
