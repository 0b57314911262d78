//! Section 3.14: DISCONNECT, its forms and codes, and what becomes of the Will.

use std::time::Duration;

use bytes::Bytes;
use reference_broker::codec::{
    Connect, Disconnect, Packet, Place, PropertyId, Publish, QoS, ReasonCode, Will,
};

use super::s2_02_foreign_properties::{any_value, foreign};
use super::s3_01_will_causes::all_wills;
use super::{Scenario, Stage, scenario};
use crate::probe::Probe;
use crate::target::Need;
use crate::trace::packet_text;
use crate::verdict::Outcome;

pub(super) const SCENARIOS: &[Scenario] = &[
    scenario!(
        "3.14/normal-forms-drop-will",
        normal_forms_drop_will,
        "DISCONNECT 0x00 in any of its forms ends the Will unpublished",
        ["MQTT-3.14.4-3", "U-3.14.2.1-1", "U-3.14.2.2.1-1", "U-3.14.2.1-3", "U-3.14.2.2.4-1"]
    )
    .needs(UP_TO_1),
    scenario!(
        "3.14/with-will-publishes-will",
        with_will_publishes_will,
        "DISCONNECT 0x04 has the Will published, without properties as with them",
        ["U-3.14.2.1-4", "MQTT-3.1.2-8", "U-3.14.2.2.1-1"]
    )
    .needs(UP_TO_1),
    scenario!(
        "3.14/error-codes-publish-will",
        error_codes_publish_will,
        "DISCONNECT with any error code that a client may send has the Will published",
        ["MQTT-3.1.2-8", "U-3.14-2"]
    )
    .needs(UP_TO_1),
    scenario!(
        "3.14/foreign-codes-publish-will",
        foreign_codes_publish_will,
        "DISCONNECT with a code that is not the client's to send has the Will published",
        ["MQTT-3.1.2-8", "MQTT-3.14.2-1", "U-3.14.2.1-2"]
    )
    .breaks(&["MQTT-3.14.2-1", "U-3.14.2.1-2"])
    .needs(UP_TO_1),
    scenario!(
        "3.14/wrong-flags-publish-will",
        wrong_flags_publish_will,
        "DISCONNECT with wrong flags in its fixed header closes, and the Will is published",
        ["MQTT-3.14.1-1", "MQTT-3.1.2-8"]
    )
    .breaks(&["MQTT-3.14.1-1"])
    .needs(UP_TO_1),
    scenario!(
        "3.14/malformed-publishes-will",
        malformed_publishes_will,
        "DISCONNECT 0x00 with wrong properties or a payload closes, and the Will is published",
        ["MQTT-3.1.2-8", "U-3.14.3-1", "U-3.14.2.2.2-1", "U-3.14.2.2.3-1", "U-2.2.2.2-14",]
    )
    .breaks(&["U-2.1.4-2", "U-3.14.2.2.2-1", "U-3.14.2.2.3-1", "U-2.2.2.2-14"])
    .needs(UP_TO_1),
    scenario!(
        "3.14/foreign-properties-publish-will",
        foreign_properties_publish_will,
        "DISCONNECT 0x00 with any property that belongs into other packets has the Will published",
        ["MQTT-3.1.2-8", "U-2.2.2.2-14"]
    )
    .breaks(&["U-2.2.2.2-14"])
    .needs(UP_TO_1),
    scenario!(
        "3.14/server-closes",
        server_closes,
        "The broker closes the connection after DISCONNECT, and keeps the session",
        ["MQTT-3.1.2-23", "U-3.14.4-1"]
    )
    .needs(&[Need::QoS(QoS::AtLeastOnce), Need::Sessions]),
    scenario!(
        "3.14/nothing-counts-after",
        nothing_counts_after,
        "What follows a DISCONNECT in the same bytes has no effect",
        ["MQTT-3.3.4-2", "U-3.14.4-1"]
    )
    .breaks(&["MQTT-3.14.4-1"]),
    scenario!(
        "3.14/fits-packet-limit",
        fits_packet_limit,
        "A DISCONNECT has no property that would make it larger than the client takes",
        ["MQTT-3.14.2-3", "MQTT-3.14.2-4", "MQTT-3.1.2-24"]
    )
    .breaks(&["U-3.1-1"])
    .needs(&[Need::Unproven]),
];

const UP_TO_1: &[Need] = &[Need::QoS(QoS::AtLeastOnce)];

async fn normal_forms_drop_will(stage: &mut Stage) -> Outcome {
    let pair = ("name", "value");
    let forms = [
        Bytes::from_static(&[0xE0, 0x00]),
        Bytes::from_static(&[0xE0, 0x01, 0x00]),
        Bytes::from_static(&[0xE0, 0x02, 0x00, 0x00]),
        bytes_of(Disconnect::default().with(PropertyId::SessionExpiryInterval, 0)),
        bytes_of(Disconnect::default().with(PropertyId::ReasonString, "done")),
        bytes_of(
            Disconnect::default()
                .with(PropertyId::UserProperty, pair)
                .with(PropertyId::UserProperty, pair),
        ),
    ];
    let mut watch = Watch::over(stage).await?;
    // Without any DISCONNECT there is a Will to be seen.
    watch.mortal(stage).await?.vanish().await?;
    watch.sees_will(stage).await?;
    for form in forms {
        let mut alice = watch.mortal(stage).await?;
        alice.send_bytes(form).await?;
        alice.hang_up().await;
        watch.sees_none(stage).await?;
    }
    Ok(())
}

async fn with_will_publishes_will(stage: &mut Stage) -> Outcome {
    let mut watch = Watch::over(stage).await?;
    let reason = "see my will";
    let long =
        Disconnect::because(ReasonCode::DisconnectWithWill).with(PropertyId::ReasonString, reason);
    for form in [
        Bytes::from_static(&[0xE0, 0x01, 0x04]),
        Bytes::from_static(&[0xE0, 0x02, 0x04, 0x00]),
        bytes_of(long),
    ] {
        stage.means();
        let mut alice = watch.mortal(stage).await?;
        alice.send_bytes(form).await?;
        alice.hang_up().await;
        stage.claims();
        watch.sees_will(stage).await?;
    }
    Ok(())
}

async fn error_codes_publish_will(stage: &mut Stage) -> Outcome {
    const CODES: [u8; 12] =
        [0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99];
    let mut watch = Watch::over(stage).await?;
    watch.sees_wills_after(stage, &CODES).await
}

async fn foreign_codes_publish_will(stage: &mut Stage) -> Outcome {
    let mut watch = Watch::over(stage).await?;
    watch.sees_wills_after(stage, &[0x01, 0x7F, 0x87, 0x8B, 0x8D, 0x8E, 0x9C, 0xFF]).await
}

async fn wrong_flags_publish_will(stage: &mut Stage) -> Outcome {
    let mut watch = Watch::over(stage).await?;
    for first_byte in [0xE1, 0xE2, 0xE4, 0xE8, 0xEF] {
        stage.proving("MQTT-3.14.1-1");
        stage.means();
        let mut alice = watch.mortal(stage).await?;
        alice.send_bytes(vec![first_byte, 0x00]).await?;
        alice.closes().await?;
        stage.proving("MQTT-3.1.2-8");
        watch.sees_will(stage).await?;
    }
    Ok(())
}

async fn malformed_publishes_will(stage: &mut Stage) -> Outcome {
    let twice = |id: PropertyId, value: &'static str| match id {
        PropertyId::SessionExpiryInterval => Disconnect::default().with(id, 0).with(id, 0),
        _ => Disconnect::default().with(id, value).with(id, value),
    };
    let cases = [
        ("U-3.14.3-1", Bytes::from_static(&[0xE0, 0x03, 0x00, 0x00, 0x2A])),
        ("U-3.14.2.2.2-1", bytes_of(twice(PropertyId::SessionExpiryInterval, ""))),
        ("U-3.14.2.2.3-1", bytes_of(twice(PropertyId::ReasonString, "done"))),
        ("U-2.2.2.2-14", bytes_of(Disconnect::default().with(PropertyId::ContentType, "text"))),
    ];
    let mut watch = Watch::over(stage).await?;
    for (requirement, bytes) in cases {
        stage.proving(requirement);
        stage.means();
        let mut alice = watch.mortal(stage).await?;
        alice.send_bytes(bytes).await?;
        alice.closes().await?;
        stage.proving("MQTT-3.1.2-8");
        watch.sees_will(stage).await?;
    }
    Ok(())
}

async fn foreign_properties_publish_will(stage: &mut Stage) -> Outcome {
    let mut watch = Watch::over(stage).await?;
    let mut names = Vec::new();
    for id in foreign(Place::Disconnect) {
        let name = format!("a {}", id.row().name);
        let mut alice = watch.mortal_with(stage, &name).await?;
        let disconnect = Disconnect::default().with(id, any_value(stage, id));
        alice.send_bytes(bytes_of(disconnect)).await?;
        alice.hang_up().await;
        names.push(name);
    }
    stage.claims();
    all_wills(stage, &mut watch.carol, names).await?;
    stage.means();
    watch.sees_none(stage).await
}

async fn server_closes(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("kept");
    let mut bob = stage.connected("bob").await?;
    let mut alice = stage.with_session("alice", 60).await?;
    alice.subscribe(&topic, QoS::AtLeastOnce).await?;
    stage.nothing_on(&topic, &mut bob, &mut alice).await?;
    alice.send(Disconnect::default()).await?;
    match alice.ended_within(FAREWELL).await? {
        Some(_) => {}
        None => stage.advise("U-3.14.4-1", "the connection closed by the broker", "still open"),
    }
    alice.hang_up().await;
    bob.publish(&topic, "while away", QoS::AtLeastOnce).await?;
    let mut alice = stage.back("alice", 60).await?;
    stage.claims();
    stage.receives_kept(&mut alice, &topic, "while away").await.map(drop)
}

async fn nothing_counts_after(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("late");
    let mut carol = stage.connected("carol").await?;
    carol.subscribe(&topic, QoS::AtMostOnce).await?;
    let mut alice = stage.connected("alice").await?;
    let ping = Packet::PingReq;
    alice.send_together(&[ping, Publish::new(&topic, "in time").into()]).await?;
    carol.receives(&topic, "in time").await?;
    let late = Publish::new(&topic, "too late");
    alice.send_together(&[Disconnect::default().into(), late.into()]).await?;
    alice.hang_up().await;

    let mut alice = stage.connected("alice").await?;
    alice.publish(&topic, "marker", QoS::AtMostOnce).await?;
    let next = carol.message("PUBLISH payload=\"marker\"").await?;
    if *next.payload == *b"too late" {
        // The receiver SHOULD close; that it must not go on reading is not said.
        let observed = packet_text(&next.into());
        stage.advise("U-3.14.4-1", "no effect of a PUBLISH after DISCONNECT", observed);
        return carol.receives(&topic, "marker").await.map(drop);
    }
    let is_marker = *next.payload == *b"marker";
    stage.check(is_marker, "PUBLISH payload=\"marker\"", packet_text(&next.into()))
}

async fn fits_packet_limit(stage: &mut Stage) -> Outcome {
    // The size of its CONNACK is one that the broker can live with.
    let mut alice = stage.open("alice").await?;
    let connect = alice.connect_packet();
    let connack = Packet::ConnAck(alice.connect(connect.clone()).await?);
    let size = connack.encoded_len().ok().and_then(|size| u32::try_from(size).ok());
    let limit = size.unwrap_or(u32::MAX).max(5);
    alice.ping().await?;
    alice.leave().await?;

    let mut alice = stage.open("alice").await?;
    let connect = connect.with(PropertyId::MaximumPacketSize, limit);
    alice.connect(connect.clone()).await?;
    alice.ping().await?;
    alice.send(connect).await?;
    let Some(disconnect) = alice.ended_within(FAREWELL).await? else {
        let expected = "the connection closed after a second CONNECT";
        return stage.stands_on("MQTT-3.1.0-2", false, expected, "still open");
    };
    let Some(disconnect) = disconnect.map(Packet::from) else { return Ok(()) };
    let fits = disconnect.encoded_len().is_ok_and(|size| size <= limit as usize);
    let expected = format!("DISCONNECT of at most {limit} bytes");
    stage.check(fits, &expected, packet_text(&disconnect))
}

/// How long the broker may take to close.
const FAREWELL: Duration = Duration::from_secs(5);

fn bytes_of(disconnect: Disconnect) -> Bytes {
    Packet::from(disconnect).to_bytes().unwrap_or_default()
}

/// Two clients that look after the Will of a third.
struct Watch {
    topic: String,
    bob: Probe,
    carol: Probe,
}

impl Watch {
    async fn over(stage: &mut Stage) -> Outcome<Watch> {
        let topic = stage.topic("will");
        let bob = stage.connected("bob").await?;
        let mut carol = stage.connected("carol").await?;
        carol.subscribe(&topic, QoS::AtLeastOnce).await?;
        Ok(Watch { topic, bob, carol })
    }

    /// A client with a Will.
    async fn mortal(&mut self, stage: &mut Stage) -> Outcome<Probe> {
        self.mortal_with(stage, "will").await
    }

    /// A client with a Will of its own.
    async fn mortal_with(&mut self, stage: &mut Stage, payload: &str) -> Outcome<Probe> {
        let will = Will::new(&self.topic, payload.to_owned()).qos(QoS::AtLeastOnce);
        let mut alice =
            stage.connected_with("alice", |connect: Connect| connect.will(will)).await?;
        alice.ping().await?;
        Ok(alice)
    }

    /// Has a client leave with each of these codes, and sees the Will of each.
    async fn sees_wills_after(&mut self, stage: &mut Stage, codes: &[u8]) -> Outcome {
        let name = |code: &u8| format!("0x{code:02X}");
        for code in codes {
            let mut alice = self.mortal_with(stage, &name(code)).await?;
            alice.send_bytes(vec![0xE0, 0x01, *code]).await?;
            alice.hang_up().await;
        }
        all_wills(stage, &mut self.carol, codes.iter().map(name)).await?;
        self.sees_none(stage).await
    }

    async fn sees_will(&mut self, stage: &mut Stage) -> Outcome {
        self.carol.receives_will(&self.topic, "will").await?;
        self.sees_none(stage).await
    }

    async fn sees_none(&mut self, stage: &mut Stage) -> Outcome {
        stage.nothing_on(&self.topic, &mut self.bob, &mut self.carol).await
    }
}
