//! Section 3.2: CONNACK.

use reference_broker::codec::{
    Connect, Packet, PacketType, PropertyId, Publish, PublishAck, QoS, ReasonCode, Text,
};

use super::refusable::{ALL_REFUSABLE, with_unknown_method};
use super::{Scenario, Stage, scenario};
use crate::probe::Probe;
use crate::target::Need;
use crate::trace::{Said, packet_text};
use crate::verdict::{Outcome, Stop};

const SESSION: &[Need] = &[Need::Sessions];

pub(super) const SCENARIOS: &[Scenario] = &[
    scenario!(
        "3.2/connack-comes-first",
        connack_comes_first,
        "On a resumed session CONNACK comes before everything that was waiting",
        ["MQTT-3.2.0-1", "U-3.1.4-6", "U-4.1-6", "MQTT-4.4.0-1"]
    )
    .needs(&[Need::Sessions, Need::QoS(QoS::ExactlyOnce)]),
    scenario!(
        "3.2/one-connack",
        one_connack,
        "A connection sees one CONNACK, also when it sends a second CONNECT",
        ["MQTT-3.2.0-2", "MQTT-3.1.0-2"]
    )
    .breaks(&["U-3.1-1"]),
    scenario!(
        "3.2/accepted-means-usable",
        accepted_means_usable,
        "After CONNACK 0x00 a client can subscribe, publish, receive and ping",
        ["U-3.2.2.2-2", "MQTT-3.1.4-5"]
    ),
    scenario!(
        "3.2/session-present",
        session_present,
        "Session Present tells whether there was a session to go on with",
        ["MQTT-3.2.2-3", "MQTT-3.2.2-2", "U-3.1.2.4-1"]
    )
    .needs(SESSION),
    scenario!(
        "3.2/refused-connect-keeps-session",
        refused_connect_keeps_session,
        "A refused CONNECT is not told of a session, and leaves it as it is",
        ["U-4.13.2-2", "MQTT-3.2.2-6"]
    )
    .breaks(&["U-3.1.2.3-1", "U-3.1.2.11.3-2"])
    .needs(SESSION),
    scenario!(
        "3.2/refusal-closes",
        refusal_closes,
        "A CONNECT that names an unknown authentication method is refused and closed",
        ["MQTT-4.12.0-1", "MQTT-3.2.2-7"]
    ),
    scenario!(
        "3.2/connack-within-size-limit",
        connack_within_size_limit,
        "CONNACK keeps the maximum packet size of its CONNECT, accepted or refused",
        ["MQTT-3.2.2-19", "MQTT-3.2.2-20", "MQTT-3.1.2-24"]
    ),
    scenario!(
        "3.2/properties-for-a-reason",
        properties_for_a_reason,
        "CONNACK assigns no identifier that was given, and names no method that was not",
        ["MQTT-4.12.0-6", "U-3.2.2.3.7-2"]
    ),
    scenario!(
        "3.2/capabilities-are-served",
        capabilities_are_served,
        "What CONNACK does not rule out works: QoS, retained messages, wildcards, identifiers",
        ["MQTT-3.2.2-9", "U-3.2.2.3.5-2"]
    ),
    scenario!(
        "3.2/size-limit-of-broker",
        size_limit_of_broker,
        "A packet as large as the broker allows is taken, one byte more closes the connection",
        ["U-3.2.2.3.6-2"]
    )
    .breaks(&["MQTT-3.2.2-15"])
    .needs(&[Need::QoS(QoS::AtLeastOnce)]),
];

async fn connack_comes_first(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("queued");
    let mut bob = stage.connected("bob").await?;
    let mut alice = stage.with_session("alice", 60).await?;
    alice.subscribe(&topic, QoS::ExactlyOnce).await?;
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        stage.nothing_on_at(&topic, qos, &mut bob, &mut alice).await?;
    }
    bob.publish(&topic, "half done", QoS::ExactlyOnce).await?;
    let half_done = alice.holds(&topic, "half done").await?;
    alice.send(Packet::PubRec(PublishAck::new(half_done.packet_id))).await?;
    alice.pubrel(half_done.packet_id).await?;
    alice.vanish().await?;
    for number in 0..10 {
        bob.publish(&topic, &format!("message {number}"), QoS::AtLeastOnce).await?;
    }

    // Nothing is sent after CONNECT until all has come.
    stage.claims();
    let mut alice = stage.resumed("alice", 60).await?;
    stage.proving("U-3.1.4-6");
    alice.pubrel(half_done.packet_id).await?;
    alice.send(Packet::PubComp(PublishAck::new(half_done.packet_id))).await?;
    for number in 0..10 {
        stage.receives_kept(&mut alice, &topic, &format!("message {number}")).await?;
    }
    Ok(())
}

async fn one_connack(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("hello");
    let mut alice = stage.connected("alice").await?;
    nothing_unasked(stage, &topic, &mut alice).await?;
    if stage.capabilities().meet(Need::Sessions) {
        stage.with_session("bob", 60).await?.leave().await?;
        let mut bob = stage.resumed("bob", 60).await?;
        nothing_unasked(stage, &topic, &mut bob).await?;
    }

    stage.proving("MQTT-3.1.0-2");
    alice.send(alice.connect_packet()).await?;
    let kind = |packet: &Packet| Some(packet.packet_type());
    match alice.next("the connection closed", kind).await {
        Ok(PacketType::ConnAck) => {
            stage.check_of("MQTT-3.2.0-2", false, "no second CONNACK", PacketType::ConnAck.name())
        }
        // That it then closes is claimed elsewhere.
        Ok(PacketType::Disconnect) => {
            alice.hang_up().await;
            Ok(())
        }
        Ok(_) | Err(Stop::Fail(_) | Stop::Blocked(_)) => alice.closes().await,
        Err(stop) => Err(stop),
    }
}

/// Goes through an exchange of each kind and checks that nothing comes but that.
async fn nothing_unasked(stage: &Stage, topic: &str, probe: &mut Probe) -> Outcome {
    is_served(probe, topic).await?;
    let is_connack = |packet: &&Packet| packet.packet_type() == PacketType::ConnAck;
    let second = probe.unread().find(is_connack).map(packet_text);
    stage.check(second.is_none(), "no second CONNACK", second.unwrap_or_default())
}

async fn accepted_means_usable(stage: &mut Stage) -> Outcome {
    for keep_alive in [0, 60] {
        for clean_start in [true, false] {
            let change = |connect| Connect { clean_start, keep_alive, ..connect };
            // A connection may be lost for any reason; not twice in the same way.
            if !is_usable(stage, change).await? {
                let is_usable = is_usable(stage, change).await?;
                let expected = "the connection open after CONNACK 0x00";
                stage.check_of("U-3.2.2.2-2", is_usable, expected, "it closed, twice")?;
            }
        }
    }
    Ok(())
}

/// Connects a client and has it use what a broker offers: false if its connection is closed over that.
async fn is_usable(stage: &mut Stage, change: impl FnOnce(Connect) -> Connect) -> Outcome<bool> {
    let topic = stage.topic("own");
    stage.proving("MQTT-3.1.4-5");
    let mut alice = stage.connected_with("alice", change).await?;
    stage.means();
    match is_served(&mut alice, &topic).await {
        Ok(()) => alice.leave().await.map(|()| true),
        // That what it asks for is not done is claimed elsewhere.
        Err(Stop::Inconclusive(_)) if !alice.is_open().await? => Ok(false),
        Err(stop) => Err(stop),
    }
}

/// Goes through an exchange of each kind.
async fn is_served(probe: &mut Probe, topic: &str) -> Outcome {
    probe.ping().await?;
    probe.subscribe(topic, QoS::AtLeastOnce).await?;
    probe.publish(topic, "to myself", QoS::AtLeastOnce).await?;
    probe.receives(topic, "to myself").await?;
    probe.unsubscribe(topic).await.map(drop)
}

async fn session_present(stage: &mut Stage) -> Outcome {
    // Clean Start, whether a session is stored, whether its client is still connected.
    for (number, (clean_start, stored, connected)) in [
        (true, false, false),
        (true, true, false),
        (true, true, true),
        (false, false, false),
        (false, true, false),
        (false, true, true),
    ]
    .into_iter()
    .enumerate()
    {
        // Each has a name of its own: the target may keep sessions for longer than it is asked to.
        let name = &format!("alice{number}");
        let expected = !clean_start && stored;
        stage.proving(if clean_start { "MQTT-3.2.2-2" } else { "MQTT-3.2.2-3" });
        stage.means();
        let older = match stored {
            // A session that holds nothing is a session.
            true => Some(stage.with_session(name, 60).await?),
            false => None,
        };
        let older = match (older, connected) {
            (Some(older), false) => {
                older.leave().await?;
                None
            }
            (older, _) => older,
        };
        let mut alice = stage.open(name).await?;
        let connect = Connect { clean_start, ..alice.connect_packet() };
        let connack = alice.connect(connect).await?;
        if expected {
            stage.is_resumed("MQTT-3.2.2-3", name, &connack).await?;
        }
        let flag = |present: bool| format!("session_present {}", u8::from(present));
        let case = format!("clean_start {clean_start}, stored {stored}, connected {connected}");
        let present = connack.session_present;
        stage.check(
            present == expected,
            &format!("{} with {case}", flag(expected)),
            flag(present),
        )?;
        stage.serves(&mut alice).await?;
        alice.leave().await?; // The session has no expiry now: it is gone.
        drop(older);
    }
    Ok(())
}

async fn refused_connect_keeps_session(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("queued");
    let mut bob = stage.connected("bob").await?;
    let mut alice = stage.with_session("alice", 60).await?;
    alice.subscribe(&topic, QoS::AtLeastOnce).await?;
    alice.leave().await?;
    bob.publish(&topic, "queued", QoS::AtLeastOnce).await?;
    for kind in stage.refuses(&ALL_REFUSABLE).await? {
        for clean_start in [false, true] {
            let mut alice = stage.open("alice").await?;
            let connect = Connect { clean_start, ..alice.connect_packet() };
            alice.send_bytes(kind.bytes(connect)).await?;
            alice.refused().await?;
        }
    }
    let mut alice = stage.open("alice").await?;
    let connack = alice.connect(alice.connect_packet().resume().session_expiry(60)).await?;
    stage.is_resumed("U-4.13.2-2", "alice", &connack).await?;
    stage.claims();
    stage.receives_kept(&mut alice, &topic, "queued").await?;
    stage.nothing_on(&topic, &mut bob, &mut alice).await
}

async fn refusal_closes(stage: &mut Stage) -> Outcome {
    let mut bob = stage.connected("bob").await?;
    stage.serves(&mut bob).await?;
    for data in [None, Some(b"data".as_slice())] {
        let mut alice = stage.open("alice").await?;
        let mut connect = with_unknown_method(alice.connect_packet());
        if let Some(data) = data {
            connect.properties.push(PropertyId::AuthenticationData, data);
        }
        alice.send(connect).await?;
        alice.refused().await?;
    }
    Ok(())
}

async fn connack_within_size_limit(stage: &mut Stage) -> Outcome {
    let mut bob = stage.connected("bob").await?;
    stage.serves(&mut bob).await?;
    let limits = [60, 45, 30, 20].into_iter();
    for (limit, method) in limits.flat_map(|limit| [(limit, None), (limit, Some("unknown"))]) {
        let mut alice = stage.open("alice").await?;
        let mut connect = alice.connect_packet().with(PropertyId::MaximumPacketSize, limit);
        if let Some(method) = method {
            connect.properties.push(PropertyId::AuthenticationMethod, method);
        }
        alice.send(connect).await?;
        // One that is too large is discarded (section 3.1.2.11.4), and so it is for lower limits.
        let Some(answer) = alice.answer_or_silence().await? else { break };
        let Some(connack) = answer else { continue };
        let accepted = !connack.reason.is_error();
        let requirement = match &connack.properties {
            it if it.contains(PropertyId::ReasonString) => "MQTT-3.2.2-19",
            it if it.contains(PropertyId::UserProperty) => "MQTT-3.2.2-20",
            _ => "MQTT-3.1.2-24",
        };
        let size = Packet::from(connack).encoded_len().unwrap_or(usize::MAX);
        let expected = format!("CONNACK of at most {limit} bytes");
        let fits = u32::try_from(size).is_ok_and(|size| size <= limit);
        stage.check_of(requirement, fits, &expected, format!("{size} bytes"))?;
        if accepted {
            alice.ping().await?;
        }
    }
    Ok(())
}

async fn properties_for_a_reason(stage: &mut Stage) -> Outcome {
    for clean_start in [true, false] {
        let mut alice = stage.open("alice").await?;
        let connect = Connect { clean_start, ..alice.connect_packet() };
        let connack = alice.connect(connect).await?;
        let method = connack.properties.text(PropertyId::AuthenticationMethod);
        stage.check(method.is_none(), "no authentication_method", method.said())?;
        if let Some(id) = connack.properties.text(PropertyId::AssignedClientIdentifier) {
            let expected = "no assigned_client_identifier for a client that has one";
            stage.advise("U-3.2.2.3.7-2", expected, id.said());
        }
        stage.serves(&mut alice).await?;
    }
    Ok(())
}

async fn capabilities_are_served(stage: &mut Stage) -> Outcome {
    let capabilities = stage.capabilities().clone();
    let topic = stage.topic("served");
    let mut alice = stage.connected("alice").await?;
    alice.subscribe(&topic, QoS::AtMostOnce).await?;
    let mut bob = stage.connected("bob").await?;
    for qos in QoS::ALL.into_iter().filter(|qos| capabilities.meet(Need::QoS(*qos))) {
        let text = format!("at QoS {}", qos.value());
        if qos > QoS::AtMostOnce {
            stage.claims();
        }
        bob.publish(&topic, &text, qos).await?;
        stage.means();
        alice.receives(&topic, &text).await?;
    }
    if capabilities.meet(Need::Retain) && capabilities.meet(Need::QoS(QoS::AtLeastOnce)) {
        stage.proving("U-3.2.2.3.5-2");
        stage.means();
        let id = bob.packet_id();
        bob.publish_with(Publish::new(&topic, "kept").qos(QoS::AtLeastOnce, id).retain()).await?;
        alice.receives(&topic, "kept").await?;
        bob.subscribe(&topic, QoS::AtLeastOnce).await?;
        stage.claims();
        bob.receives(&topic, "kept").await?;
    }
    Ok(())
}

async fn size_limit_of_broker(stage: &mut Stage) -> Outcome {
    /// More takes too long to send, and to build.
    const MOST: u32 = 20 << 20;
    let capabilities = stage.capabilities();
    let limit = capabilities.maximum_packet_size();
    if !capabilities.limits_packet_size() || !(64..=MOST).contains(&limit) {
        return stage.not_applicable("the target names no maximum packet size below 20 MiB");
    }
    let topic = Text::from(stage.topic("large"));
    let mut alice = stage.connected("alice").await?;
    stage.serves(&mut alice).await?;
    let id = alice.packet_id();
    let of_payload =
        |length: usize| Publish::new(topic.clone(), vec![0; length]).qos(QoS::AtLeastOnce, id);
    let rest = Packet::from(of_payload(0)).encoded_len().unwrap_or_default();
    // The length field is longer than that of an empty packet; the right payload is near.
    let near = (limit as usize).saturating_sub(rest);
    let size = |length: usize| Packet::from(of_payload(length)).encoded_len().unwrap_or_default();
    let exact = (near.saturating_sub(3)..=near).find(|length| size(*length) == limit as usize);
    let Some(exact) = exact else {
        return stage.not_applicable(format!("no message has just {limit} bytes"));
    };
    alice.publish(&topic, "small", QoS::AtLeastOnce).await?;
    stage.claims();
    alice.send(of_payload(exact)).await?;
    alice.puback(id).await?;
    alice.send_too_large(of_payload(exact + 1)).await?;
    alice.closes_for(ReasonCode::PacketTooLarge).await
}
