//! Section 3.1: CONNECT, and what is sent around it.

use bytes::{Bytes, BytesMut};
use reference_broker::codec::{
    Connect, Disconnect, Packet, PropertyId, Publish, QoS, ReasonCode, Subscribe, Will,
};

use super::refusable::{ALL_REFUSABLE, Refusable};
use super::{Scenario, Stage, scenario};
use crate::target::Need;
use crate::trace::Said;
use crate::verdict::Outcome;

pub(super) const SCENARIOS: &[Scenario] = &[
    scenario!(
        "3.1/second-connect-closes",
        second_connect_closes,
        "A second CONNECT on a connection is a protocol error: the broker closes it",
        ["MQTT-3.1.0-2", "U-3.1-1"]
    )
    .breaks(&["U-3.1-1"]),
    scenario!(
        "3.1/second-connect-leaves-no-session",
        second_connect_leaves_no_session,
        "A second CONNECT makes no session, publishes no Will of its own, and the first one's is due",
        ["MQTT-3.1.0-2", "MQTT-3.1.2-8", "U-3.1-1"]
    )
    .breaks(&["U-3.1-1"])
    .needs(&[Need::QoS(QoS::AtLeastOnce), Need::Sessions]),
    scenario!(
        "3.1/publish-before-connect-unheard",
        publish_before_connect_unheard,
        "A message sent before CONNECT reaches nobody and is not retained",
        ["MQTT-3.1.0-1"]
    )
    .breaks(&["MQTT-3.1.0-1"])
    .needs(&[Need::Retain]),
    scenario!(
        "3.1/packets-behind-connect",
        packets_behind_connect,
        "A client may send on without waiting for CONNACK, which still comes first",
        ["MQTT-3.2.0-1", "MQTT-3.8.4-1", "MQTT-4.3.2-4", "U-3.1.4-7"]
    )
    .needs(&[Need::QoS(QoS::AtLeastOnce), Need::ReceiveMaximum(5, u16::MAX)]),
    scenario!(
        "3.1/disconnect-behind-connect",
        disconnect_behind_connect,
        "DISCONNECT sent right behind CONNECT deletes the Will",
        ["MQTT-3.14.4-3", "U-3.1.4-7"]
    )
    .needs(&[Need::QoS(QoS::AtLeastOnce)]),
    scenario!(
        "3.1/packets-behind-refused-connect-unread",
        packets_behind_refused_connect_unread,
        "Nothing that comes behind a refused CONNECT has an effect",
        ["MQTT-3.1.4-6", "MQTT-3.1.2-3", "U-3.2.2.2-4"]
    )
    .breaks(&["U-3.1.2.3-1"])
    .needs(&[Need::Retain]),
    scenario!(
        "3.1/refused-connect-has-no-will",
        refused_connect_has_no_will,
        "The Will of a CONNECT that is refused is never published",
        ["MQTT-3.1.4-1", "MQTT-3.1.4-2", "U-3.1.2.11.3-2", "U-3.2.2.2-5"]
    )
    .breaks(&["U-3.1.2.3-1", "U-3.1.2.11.3-2"])
    .needs(&[Need::QoS(QoS::AtLeastOnce)]),
    scenario!(
        "3.1/refused-connect-takes-nothing-over",
        refused_connect_takes_nothing_over,
        "A CONNECT that is refused does no harm to a client connected under the same identifier",
        ["U-4.13.1-7", "U-4.13.2-2", "MQTT-3.1.4-1"]
    )
    .breaks(&["U-3.1.2.3-1"]),
    scenario!(
        "3.1/valid-flags-accepted",
        valid_flags_accepted,
        "CONNECT is accepted with Clean Start, Will QoS and Will Retain in every combination",
        ["MQTT-3.1.4-5", "MQTT-3.1.2-12"]
    )
    .needs(&[Need::QoS(QoS::ExactlyOnce), Need::Retain]),
    scenario!(
        "3.1/credentials-are-well-formed",
        credentials_are_well_formed,
        "User name and password of any content, together or alone, are no malformed packet",
        ["U-3.1.2.9-1", "U-3.1.3.6-1", "U-1.5.4-5"]
    ),
    scenario!(
        "3.1/extreme-property-values-accepted",
        extreme_property_values_accepted,
        "The smallest and the largest legal value of every property of CONNECT are accepted",
        ["MQTT-3.1.4-5", "U-3.1.2.11.8-1"]
    )
    .needs(&[Need::PacketSize(1000)]),
    scenario!(
        "3.1/response-information-on-request-only",
        response_information_on_request_only,
        "CONNACK has no response information unless CONNECT asked for it",
        ["MQTT-3.1.2-28"]
    ),
];

async fn second_connect_closes(stage: &mut Stage) -> Outcome {
    let mut alice = stage.connected("alice").await?;
    stage.serves(&mut alice).await?;
    alice.send(alice.connect_packet()).await?;
    alice.closes_for(ReasonCode::ProtocolError).await
}

async fn second_connect_leaves_no_session(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("will");
    let mut bob = stage.connected("bob").await?;
    bob.subscribe(&topic, QoS::AtLeastOnce).await?;
    // The control: the Will of another client.
    stage.no_will_on(&topic, &mut bob).await?;
    let will = |payload: &'static str| Will::new(&topic, payload).qos(QoS::AtLeastOnce);
    let mut alice = stage.connected_with("alice", |c| c.will(will("first"))).await?;
    let second =
        alice.connect_packet_as(stage.client_id("other")).session_expiry(60).will(will("second"));
    alice.send(second).await?;
    alice.closes().await?;
    stage.proving("MQTT-3.1.2-8");
    let published = bob.will("the Will of the first CONNECT").await?;
    bob.acknowledge(&published).await?;

    stage.proving("MQTT-3.1.0-2");
    let observed = published.payload.said();
    stage.check(*published.payload == *b"first", "the Will of the first CONNECT", observed)?;
    stage.no_will_on(&topic, &mut bob).await?;
    stage.means();
    let mut other = stage.open("other").await?;
    let connack = other.connect(other.connect_packet().resume()).await?;
    stage.is_new("MQTT-3.1.0-2", &connack).await
}

async fn publish_before_connect_unheard(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("early");
    let mut bob = stage.connected("bob").await?;
    bob.subscribe(&topic, QoS::AtLeastOnce).await?;
    let mut alice = stage.open("alice").await?;
    // At QoS 0: if it is heard, no acknowledgement tells.
    let early = Packet::from(Publish::new(&topic, "early").retain());
    alice.send_together(&[early, alice.connect_packet().into()]).await?;
    alice.closes_without_a_word().await?;
    nothing_seen_or_retained(stage, &topic, &mut bob).await
}

/// Shows that nothing was delivered to `watcher` on this topic, or retained on it.
async fn nothing_seen_or_retained(
    stage: &mut Stage,
    topic: &str,
    watcher: &mut crate::probe::Probe,
) -> Outcome {
    let mut carol = stage.connected("carol").await?;
    stage.nothing_on(topic, &mut carol, watcher).await?;
    carol.subscribe(topic, QoS::AtLeastOnce).await?;
    carol.publish(topic, "the first", QoS::AtLeastOnce).await?;
    carol.receives_marker(topic, "the first").await
}

async fn packets_behind_connect(stage: &mut Stage) -> Outcome {
    let (topic, own) = (stage.topic("hello"), stage.topic("own"));
    let mut bob = stage.connected("bob").await?;
    bob.subscribe(&topic, QoS::AtLeastOnce).await?;
    let mut carol = stage.connected("carol").await?;
    stage.nothing_on(&topic, &mut carol, &mut bob).await?;
    let mut alice = stage.open("alice").await?;
    let mut packets = vec![
        Packet::from(alice.connect_packet()),
        Subscribe::new(1, &own, QoS::AtLeastOnce).into(),
    ];
    let publish = |id: u16| Publish::new(&topic, format!("message {id}")).qos(QoS::AtLeastOnce, id);
    packets.extend((2..7).map(|id| publish(id).into()));
    packets.push(Packet::PingReq);
    alice.send_together(&packets).await?;
    stage.proving("MQTT-3.2.0-1");
    alice.connack().await?;
    stage.proving("MQTT-3.8.4-1");
    let suback = alice.suback(1).await?;
    alice.granted(&suback, &[QoS::AtLeastOnce])?;
    stage.proving("MQTT-4.3.2-4");
    for id in 2..7 {
        alice.puback(id).await?;
        bob.receives(&topic, &format!("message {id}")).await?;
    }
    alice.pingresp().await?;
    bob.publish(&own, "hello", QoS::AtLeastOnce).await?;
    alice.receives(&own, "hello").await.map(drop)
}

async fn disconnect_behind_connect(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("will");
    let mut bob = stage.connected("bob").await?;
    bob.subscribe(&topic, QoS::AtLeastOnce).await?;
    let mut alice = stage.open("alice").await?;
    let will = Will::new(&topic, "of alice").qos(QoS::AtLeastOnce);
    let connect = Packet::from(alice.connect_packet().will(will));
    alice.send_together(&[connect, Disconnect::default().into()]).await?;
    alice.vanish().await?;
    stage.no_will_on(&topic, &mut bob).await
}

async fn packets_behind_refused_connect_unread(stage: &mut Stage) -> Outcome {
    for kind in stage.refuses(&[Refusable::ReservedFlag, Refusable::UnknownMethod]).await? {
        let topic = stage.topic(&format!("{kind:?}"));
        let mut bob = stage.connected("bob").await?;
        bob.subscribe(&topic, QoS::AtLeastOnce).await?;
        let mut alice = stage.open("alice").await?;
        let mut bytes = BytesMut::from(kind.bytes(alice.connect_packet()).as_ref());
        for packet in [
            Packet::from(Subscribe::new(1, &topic, QoS::AtLeastOnce)),
            Publish::new(&topic, "behind").retain().into(),
        ] {
            bytes.extend_from_slice(&bytes_of(packet));
        }
        alice.send_bytes(bytes.freeze()).await?;
        alice.refused().await?;
        nothing_seen_or_retained(stage, &topic, &mut bob).await?;
    }
    Ok(())
}

fn bytes_of(packet: Packet) -> Bytes {
    packet.to_bytes().unwrap_or_default()
}

async fn refused_connect_has_no_will(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("will");
    let mut bob = stage.connected("bob").await?;
    bob.subscribe(&topic, QoS::AtLeastOnce).await?;
    stage.no_will_on(&topic, &mut bob).await?;
    let will = Will::new(&topic, "of the refused").qos(QoS::AtLeastOnce);
    for kind in stage.refuses(&ALL_REFUSABLE).await? {
        if kind == Refusable::UnknownMethod {
            stage.proving("MQTT-3.1.4-2");
        }
        let mut alice = stage.open("alice").await?;
        alice.send_bytes(kind.bytes(alice.connect_packet().will(will.clone()))).await?;
        alice.refused().await?;
        stage.no_will_on(&topic, &mut bob).await?;
    }
    Ok(())
}

async fn refused_connect_takes_nothing_over(stage: &mut Stage) -> Outcome {
    let kinds = stage.refuses(&[Refusable::ReservedFlag, Refusable::UnknownMethod]).await?;
    let mut alice = stage.connected("alice").await?;
    alice.ping().await?;
    for kind in kinds {
        if kind == Refusable::UnknownMethod {
            stage.proving("U-4.13.2-2");
        }
        let mut other = stage.open("other").await?;
        other.send_bytes(kind.bytes(alice.connect_packet())).await?;
        other.refused().await?;
        stage.claims();
        alice.ping().await?;
        stage.serves(&mut alice).await?;
    }
    Ok(())
}

async fn valid_flags_accepted(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("will");
    let mut wills = vec![None];
    for qos in QoS::ALL {
        let will = Will::new(&topic, "will").qos(qos);
        wills.extend([Some(will.clone()), Some(will.retain())]);
    }
    stage.claims();
    for will in wills {
        for clean_start in [true, false] {
            let change = |connect| Connect { will: will.clone(), clean_start, ..connect };
            let mut alice = stage.connected_with("alice", change).await?;
            stage.serves(&mut alice).await?;
            alice.leave().await?;
        }
    }
    Ok(())
}

async fn credentials_are_well_formed(stage: &mut Stage) -> Outcome {
    let mut control = stage.connected("control").await?;
    stage.serves(&mut control).await?;
    let bytes = Bytes::from_static(b"\x00\xFF\xC0\x80pass");
    for (requirement, user_name, password) in [
        ("U-3.1.2.9-1", None, Some(Bytes::from_static(b"password"))),
        ("U-3.1.3.6-1", None, Some(bytes.clone())),
        ("U-3.1.3.6-1", Some("user"), None),
        ("U-3.1.3.6-1", Some("user"), Some(bytes)),
        ("U-1.5.4-5", Some(""), Some(Bytes::new())),
    ] {
        stage.proving(requirement);
        let mut alice = stage.open("alice").await?;
        let mut connect = alice.connect_packet();
        (connect.user_name, connect.password) = (user_name.map(Into::into), password);
        alice.send(connect).await?;
        // Whether these credentials are good is for the target to say; a bare close says nothing.
        match alice.answer().await? {
            // What this user may do is for the target to say as well.
            Some(connack) if !connack.reason.is_error() => alice.ping().await?,
            Some(connack) => {
                let malformed = [ReasonCode::MalformedPacket, ReasonCode::ProtocolError];
                let observed = format!("0x{:02X}", connack.reason.value());
                let judged = !malformed.contains(&connack.reason);
                stage.check(judged, "credentials judged on their merits", observed)?;
                alice.closes_after_refusal().await?;
            }
            None => {}
        }
    }
    Ok(())
}

async fn extreme_property_values_accepted(stage: &mut Stage) -> Outcome {
    let smallest = |connect: Connect| {
        connect
            .session_expiry(0)
            .with(PropertyId::ReceiveMaximum, 1)
            .with(PropertyId::TopicAliasMaximum, 0)
            .with(PropertyId::RequestResponseInformation, 0)
            .with(PropertyId::RequestProblemInformation, 0)
            .with(PropertyId::UserProperty, ("", ""))
    };
    let largest = |connect: Connect| {
        let mut connect = connect
            .with(PropertyId::ReceiveMaximum, 65_535)
            .with(PropertyId::MaximumPacketSize, u32::MAX)
            .with(PropertyId::TopicAliasMaximum, 65_535)
            .with(PropertyId::RequestResponseInformation, 1)
            .with(PropertyId::RequestProblemInformation, 1);
        for number in 0..50 {
            let (name, value) = (format!("name {}", number % 3), number.to_string());
            connect.properties.push(PropertyId::UserProperty, (name.as_str(), value.as_str()));
        }
        connect
    };
    stage.claims();
    let mut alice = stage.connected_with("alice", smallest).await?;
    stage.serves(&mut alice).await?;
    let mut bob = stage.connected_with("bob", largest).await?;
    stage.serves(&mut bob).await?;
    // The target may keep the session for a shorter time, and says so; that is no matter here.
    let mut carol = stage.open("carol").await?;
    carol.connect(carol.connect_packet().session_expiry(u32::MAX)).await?;
    stage.serves(&mut carol).await
}

async fn response_information_on_request_only(stage: &mut Stage) -> Outcome {
    for asked in [None, Some(0)] {
        let mut alice = stage.open("alice").await?;
        let mut connect = alice.connect_packet();
        if let Some(asked) = asked {
            connect.properties.push(PropertyId::RequestResponseInformation, asked);
        }
        let connack = alice.connect(connect).await?;
        let information = connack.properties.text(PropertyId::ResponseInformation);
        let observed = information.said();
        stage.check(information.is_none(), "no response_information", observed)?;
        stage.serves(&mut alice).await?;
    }
    Ok(())
}
