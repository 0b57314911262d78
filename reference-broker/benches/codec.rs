//! The codec beside rumqttc's for MQTT 5.0, in one process and in turns.
//!
//! `cargo bench --package mqttspec-broker --bench codec` prints a Markdown table: nanoseconds a packet, the median of all rounds, and how
//! many times as long rumqttc takes. Both get the same bytes in one buffer, as they come from a stream, and write into one
//! buffer. They do not do the same work: rumqttc looks at less of what a packet may not be (UTF-8, duplicates, properties
//! that do not belong there, Topic Names), and its strings are copies, as ours are.

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use reference_broker::codec::{
    Connect, Framer, Packet, PropertyId, Publish, PublishAck, QoS, ReasonCode, Side, Subscribe,
    SubscribeAck, Unsubscribe, Will,
};
use rumqttc::v5::mqttbytes::v5::Packet as Theirs;

/// How many rounds there are, and how long each codec has in one.
const ROUNDS: usize = 41;
const ROUND: Duration = Duration::from_millis(10);

/// How many packets are in one buffer.
const PACKETS: usize = 256;

fn main() {
    println!("| packets | codec does | ours, ns | rumqttc, ns | ratio |");
    println!("|---|---|---|---|---|");
    for (name, packets) in [
        ("PUBLISH, 0 to 64 bytes", publishes(64)),
        ("PUBLISH, 0 to 4,096 bytes", publishes(4_096)),
        ("a session's mix", mix()),
    ] {
        let mut bytes = BytesMut::new();
        for packet in &packets {
            packet.encode(&mut bytes).expect("packets that can be encoded");
        }
        let theirs = read_theirs(&bytes, packets.len());
        assert_eq!(read_ours(&bytes).len(), theirs.len(), "both read all of it");
        row(
            name,
            "decode",
            packets.len(),
            || drop(black_box(read_ours(&bytes))),
            || {
                drop(black_box(read_theirs(&bytes, packets.len())));
            },
        );
        let mut out = BytesMut::with_capacity(2 * bytes.len());
        let mut their_out = BytesMut::with_capacity(2 * bytes.len());
        let ours = || {
            out.clear();
            packets.iter().for_each(|packet| packet.encode(&mut out).expect("room"));
            black_box(&out);
        };
        row(name, "encode", packets.len(), ours, || {
            their_out.clear();
            for packet in &theirs {
                packet.write(&mut their_out, None).expect("room");
            }
            black_box(&their_out);
        });
    }
}

/// Runs both in turns, and prints what a packet takes.
fn row(name: &str, does: &str, packets: usize, mut ours: impl FnMut(), mut theirs: impl FnMut()) {
    let (mut own, mut other) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        own.push(nanoseconds(&mut ours, packets));
        other.push(nanoseconds(&mut theirs, packets));
    }
    let [own, other] = [own, other].map(|mut all| {
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    });
    println!("| {name} | {does} | {own:.0} | {other:.0} | {:.2} |", other / own);
}

/// What a packet takes in one round.
fn nanoseconds(work: &mut impl FnMut(), packets: usize) -> f64 {
    let (began, mut count) = (Instant::now(), 0);
    while began.elapsed() < ROUND {
        work();
        count += packets;
    }
    began.elapsed().as_secs_f64() * 1e9 / count as f64
}

fn read_ours(bytes: &[u8]) -> Vec<Packet> {
    let mut framer = Framer::new(u32::MAX);
    framer.buffer().extend_from_slice(bytes);
    let mut packets = Vec::with_capacity(PACKETS);
    while let Some(frame) = framer.next_frame().expect("whole packets") {
        packets.push(Packet::decode(&frame, side(&frame.bytes)).expect("valid packets"));
    }
    packets
}

/// Who sends a packet that begins like this.
fn side(bytes: &[u8]) -> Side {
    match bytes.first().map(|first| first >> 4) {
        Some(2 | 9 | 11 | 13) => Side::Server,
        _ => Side::Client,
    }
}

fn read_theirs(bytes: &[u8], count: usize) -> Vec<Theirs> {
    let mut buffer = BytesMut::from(bytes);
    let read = |_| Theirs::read(&mut buffer, None).expect("packets that it knows");
    (0..count).map(read).collect()
}

/// Messages of sizes up to this, each as often, at all three QoS.
fn publishes(most: usize) -> Vec<Packet> {
    let one = |number: usize| {
        let qos = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce][number % 3];
        let payload = vec![b'x'; number * most / (PACKETS - 1)];
        let id = u16::try_from(number + 1).unwrap_or(1);
        Packet::from(Publish::new(format!("sensors/{}/state", number % 10), payload).qos(qos, id))
    };
    (0..PACKETS).map(one).collect()
}

/// What a client and its broker say to each other.
fn mix() -> Vec<Packet> {
    let connect = Connect::new("a client").session_expiry(3600).will(Will::new("gone", "bye"));
    let message = Publish::new("sensors/1/state", "21.5 degrees").qos(QoS::AtLeastOnce, 2);
    let mut rich = message.clone();
    rich.properties.push(PropertyId::MessageExpiryInterval, 60_u32);
    rich.properties.push(PropertyId::ContentType, "text/plain");
    rich.properties.push(PropertyId::UserProperty, ("unit", "celsius"));
    let session = [
        connect.into(),
        Packet::ConnAck(reference_broker::codec::ConnAck::new(false, ReasonCode::Success)),
        Subscribe::new(1, "sensors/+/state", QoS::AtLeastOnce).into(),
        Packet::SubAck(SubscribeAck::new(1, vec![ReasonCode::GrantedQoS1])),
        message.into(),
        Packet::PubAck(PublishAck::new(2)),
        rich.into(),
        Packet::PubAck(PublishAck::new(2)),
        Publish::new("sensors/2/state", "on").qos(QoS::ExactlyOnce, 3).into(),
        Packet::PubRec(PublishAck::new(3)),
        Packet::PubRel(PublishAck::new(3)),
        Packet::PubComp(PublishAck::new(3)),
        Packet::PingReq,
        Packet::PingResp,
        Unsubscribe::new(4, "sensors/+/state").into(),
        Packet::UnsubAck(SubscribeAck::new(4, vec![ReasonCode::Success])),
    ];
    session.iter().cycle().take(PACKETS).cloned().collect()
}
