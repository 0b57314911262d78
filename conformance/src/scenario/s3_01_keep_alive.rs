//! Section 3.1.2.10: Keep Alive.

use std::time::Duration;

use reference_broker::codec::{
    Packet, PropertyId, Publish, PublishAck, QoS, Subscribe, Unsubscribe,
};

use super::{Scenario, Stage, scenario};
use crate::probe::Probe;
use crate::verdict::{Outcome, Stop};

pub(super) const SCENARIOS: &[Scenario] = &[
    scenario!(
        "3.1/silent-client-is-closed",
        silent_client_is_closed,
        "A client that is silent for one and a half times its Keep Alive is closed",
        ["MQTT-3.1.2-22", "MQTT-3.2.2-22"]
    )
    .timed(3),
    scenario!(
        "3.1/messages-to-client-are-no-sign-of-life",
        messages_to_client_are_no_sign_of_life,
        "What the broker sends to a silent client does not keep its connection open",
        ["MQTT-3.1.2-22"]
    )
    .timed(9),
    scenario!(
        "3.1/any-packet-is-a-sign-of-life",
        any_packet_is_a_sign_of_life,
        "Packets of every type keep a connection open beyond its Keep Alive",
        ["U-3.1.2.10-3"]
    )
    .timed(6),
    scenario!(
        "3.1/no-keep-alive-no-time-limit",
        no_keep_alive_no_time_limit,
        "With a Keep Alive of 0, silence does not end the connection",
        ["U-3.1.2.10-5"]
    )
    .timed(4),
    scenario!(
        "3.1/pings-answered-with-any-keep-alive",
        pings_answered_with_any_keep_alive,
        "Every PINGREQ is answered, whatever the Keep Alive",
        ["U-3.1.2.10-2"]
    ),
];

/// Connects with this Keep Alive, which the target may replace (section 3.2.2.3.14).
async fn with_keep_alive(stage: &mut Stage, name: &str, seconds: u16) -> Outcome<Probe> {
    let mut probe = stage.open(name).await?;
    let connack = probe.connect(probe.connect_packet().keep_alive(seconds)).await?;
    match connack.properties.number(PropertyId::ServerKeepAlive) {
        Some(other) if other != u32::from(seconds) => {
            stage.not_applicable(format!("the target sets a keep alive of {other} s"))
        }
        _ => Ok(probe),
    }
}

async fn silent_client_is_closed(stage: &mut Stage) -> Outcome {
    let mut bob = stage.connected("bob").await?;
    let mut alice = with_keep_alive(stage, "alice", 2).await?;
    stage.serves(&mut alice).await?;
    stage.wait(Duration::from_millis(3000)).await;
    alice.closes().await?; // A DISCONNECT that says why is optional here.
    bob.ping().await
}

async fn messages_to_client_are_no_sign_of_life(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("noise");
    let mut bob = stage.connected("bob").await?;
    let mut alice = with_keep_alive(stage, "alice", 2).await?;
    alice.subscribe(&topic, QoS::AtMostOnce).await?;
    bob.publish(&topic, "noise 0", QoS::AtMostOnce).await?;
    alice.receives(&topic, "noise 0").await?;
    // As long as any broker may take to notice.
    for number in 1..11 {
        stage.wait(Duration::from_millis(900)).await;
        let noise = format!("noise {number}");
        bob.publish(&topic, &noise, QoS::AtMostOnce).await?;
        match alice.receives(&topic, &noise).await {
            Ok(_) => {}
            Err(Stop::Fail(_)) => {
                alice.closes().await?;
                return bob.ping().await;
            }
            Err(stop) => return Err(stop),
        }
    }
    stage.fail("the connection closed", "still open after 9 s of silence with keep_alive=2")
}

async fn any_packet_is_a_sign_of_life(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("life");
    let mut alice = with_keep_alive(stage, "alice", 2).await?;
    alice.subscribe(&topic, QoS::AtLeastOnce).await?;
    alice.send(Publish::new(&topic, "hello").qos(QoS::AtLeastOnce, 100)).await?;
    alice.puback(100).await?;
    let held = alice.holds(&topic, "hello").await?;
    // Nothing but these, in four times the Keep Alive.
    let signs: [Packet; 4] = [
        Publish::new(stage.topic("other"), "sign of life").into(),
        Subscribe::new(101, stage.topic("more"), QoS::AtMostOnce).into(),
        Packet::PubAck(PublishAck::new(held.packet_id)),
        Unsubscribe::new(102, stage.topic("more")).into(),
    ];
    for sign in signs {
        stage.wait(Duration::from_millis(1300)).await;
        alice.send(sign).await?;
    }
    stage.wait(Duration::from_millis(1000)).await;
    alice.ping().await
}

async fn no_keep_alive_no_time_limit(stage: &mut Stage) -> Outcome {
    let mut alice = stage.open("alice").await?;
    let connack = alice.connect(alice.connect_packet()).await?;
    // The target may set one; a long one is as good as none here.
    match connack.properties.number(PropertyId::ServerKeepAlive) {
        Some(other @ 1..60) => {
            return stage.not_applicable(format!("the target sets a keep alive of {other} s"));
        }
        _ => alice.ping().await?,
    }
    stage.wait(Duration::from_secs(4)).await;
    stage.serves(&mut alice).await
}

async fn pings_answered_with_any_keep_alive(stage: &mut Stage) -> Outcome {
    for seconds in [0, 30, u16::MAX] {
        let mut alice = stage.open("alice").await?;
        alice.connect(alice.connect_packet().keep_alive(seconds)).await?;
        alice.send_together(&[Packet::PingReq, Packet::PingReq, Packet::PingReq]).await?;
        for _ in 0..3 {
            let answer = |packet: &Packet| (*packet == Packet::PingResp).then_some(());
            alice.next("PINGRESP for each PINGREQ", answer).await?;
        }
        stage.serves(&mut alice).await?;
    }
    Ok(())
}
