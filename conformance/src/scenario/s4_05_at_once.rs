//! Section 4.5: messages that are published, subscribed to and lost at the same time.

use std::collections::BTreeSet;

use reference_broker::codec::{Publish, QoS};

use super::copies::{numbered, text};
use super::{Scenario, Stage, scenario};
use crate::probe::Probe;
use crate::target::Need;
use crate::trace::Said;
use crate::verdict::Outcome;

const QOS1: &[Need] = &[Need::QoS(QoS::AtLeastOnce)];

pub(super) const SCENARIOS: &[Scenario] = &[
    scenario!(
        "4.5/parallel-publishers",
        parallel_publishers,
        "Of messages that three publish at once to three, each arrives once, in the order of its publisher",
        ["MQTT-4.5.0-1", "MQTT-4.6.0-5", "MQTT-4.6.0-6"]
    )
    .needs(QOS1),
    scenario!(
        "4.5/subscribers-lost-meanwhile",
        subscribers_lost_meanwhile,
        "Who is lost while messages go out keeps them from nobody, and finds its own on return",
        ["MQTT-4.5.0-1", "MQTT-4.4.0-1"]
    )
    .needs(&[Need::Sessions, Need::QoS(QoS::AtLeastOnce)]),
    scenario!(
        "4.5/parallel-retained",
        parallel_retained,
        "Of two retained messages published to a topic at once one is kept",
        ["MQTT-3.3.1-5"]
    )
    .needs(&[Need::Retain, Need::QoS(QoS::AtLeastOnce)]),
    scenario!(
        "4.5/subscribed-meanwhile",
        subscribed_meanwhile,
        "Who subscribes while messages go out gets all that are published after its SUBACK",
        ["MQTT-4.5.0-1", "MQTT-3.8.4-7"]
    )
    .needs(QOS1),
    scenario!(
        "4.5/unsubscribed-meanwhile",
        unsubscribed_meanwhile,
        "Who unsubscribes while messages go out gets none that is published after its UNSUBACK",
        ["MQTT-3.10.4-2", "U-3.10.4-1"]
    )
    .needs(QOS1),
];

/// How many messages each publishes at once: as many as the target takes, up to this.
fn burst(stage: &Stage, most: u16) -> Vec<String> {
    numbered(usize::from(stage.capabilities().receive_maximum().clamp(1, most)))
}

/// The next messages, so many, each through its exchange.
async fn taken(probe: &mut Probe, count: usize) -> Outcome<Vec<String>> {
    let mut messages = Vec::new();
    for _ in 0..count {
        let publish = probe.message("each message once").await?;
        probe.acknowledge(&publish).await?;
        messages.push(text(&publish));
    }
    Ok(messages)
}

async fn parallel_publishers(stage: &mut Stage) -> Outcome {
    const NAMES: [&str; 3] = ["bob", "carol", "dave"];
    let payloads = burst(stage, 8);
    let of = |name: &str| payloads.iter().map(|it| format!("{name} {it}")).collect::<Vec<_>>();
    let all = NAMES.len() * payloads.len();
    for qos in stage.acknowledged_levels() {
        let topic = stage.topic(&format!("at once {}", qos.value()));
        let mut subscribers = Vec::new();
        for name in ["alice", "erin", "frank"] {
            let mut probe = stage.connected(name).await?;
            probe.subscribe(&topic, qos).await?;
            subscribers.push(probe);
        }
        let mut bob = stage.connected("bob").await?;
        let mut carol = stage.connected("carol").await?;
        let mut dave = stage.connected("dave").await?;
        let (bobs, carols, daves) = (of("bob"), of("carol"), of("dave"));
        let published = tokio::join!(
            bob.publish_together(&topic, &bobs, qos),
            carol.publish_together(&topic, &carols, qos),
            dave.publish_together(&topic, &daves, qos),
        );
        published.0.and(published.1).and(published.2)?;
        for probe in &mut subscribers {
            stage.claims();
            stage.proving("MQTT-4.5.0-1");
            let came = taken(probe, all).await?;
            stage.proving("MQTT-4.6.0-5");
            for name in NAMES {
                let own: Vec<_> = came.iter().filter(|it| it.starts_with(name)).cloned().collect();
                let expected = format!("{name}'s messages once and in order");
                stage.check(own == of(name), &expected, came.said())?;
            }
            stage.means();
        }
        bob.publish(&topic, "marker", qos).await?;
        for mut probe in subscribers {
            stage.claims();
            stage.proving("MQTT-4.5.0-1");
            probe.receives(&topic, "marker").await?;
            stage.means();
            probe.leave().await?;
        }
    }
    Ok(())
}

async fn subscribers_lost_meanwhile(stage: &mut Stage) -> Outcome {
    let payloads = burst(stage, 9);
    for qos in stage.acknowledged_levels() {
        let topic = stage.topic(&format!("fan-out {}", qos.value()));
        let mut alice = stage.connected("alice").await?;
        let mut carol = stage.with_session("carol", 60).await?;
        let mut dave = stage.connected("dave").await?;
        let mut erin = stage.connected("erin").await?;
        for probe in [&mut alice, &mut carol, &mut dave, &mut erin] {
            probe.subscribe(&topic, qos).await?;
        }
        let mut bob = stage.connected("bob").await?;
        let messages: Vec<_> = payloads.iter().map(|it| format!("meanwhile {it}")).collect();
        let (published, first, second) = tokio::join!(
            bob.publish_together(&topic, &messages, qos),
            alice.vanish_unread(),
            carol.vanish_unread(),
        );
        published.and(first).and(second)?;
        bob.publish(&topic, "afterwards", qos).await?;
        stage.claims();
        stage.proving("MQTT-4.5.0-1");
        let all: Vec<_> = messages.into_iter().chain(["afterwards".to_owned()]).collect();
        for probe in [&mut dave, &mut erin] {
            for payload in &all {
                probe.receives(&topic, payload).await?;
            }
        }
        // It has acknowledged nothing: all of them come, those again that were on their way.
        stage.means();
        let mut carol = stage.resumed("carol", 60).await?;
        stage.claims();
        stage.proving("MQTT-4.4.0-1");
        for payload in &all {
            carol.receives(&topic, payload).await?;
        }
        stage.nothing_on_at(&topic, qos, &mut bob, &mut carol).await?;
        stage.means();
        carol.leave().await?;
    }
    Ok(())
}

async fn parallel_retained(stage: &mut Stage) -> Outcome {
    let mut bob = stage.connected("bob").await?;
    let mut carol = stage.connected("carol").await?;
    for round in 0..5 {
        let topic = stage.topic(&format!("retained{round}"));
        let retained = |probe: &mut Probe, payload: &'static str| {
            Publish::new(&topic, payload).qos(QoS::AtLeastOnce, probe.packet_id()).retain()
        };
        let (bobs, carols) = (retained(&mut bob, "bob's"), retained(&mut carol, "carol's"));
        let (one, other) = tokio::join!(bob.publish_with(bobs), carol.publish_with(carols));
        one.and(other)?;
        // Which of them came last nobody can tell who is neither.
        let mut alice = stage.connected("alice").await?;
        alice.subscribe(&topic, QoS::AtLeastOnce).await?;
        stage.claims();
        stage.proving("MQTT-3.3.1-5");
        let kept = alice.message("one of the two retained messages").await?;
        alice.acknowledge(&kept).await?;
        let is_one = kept.retain && ["bob's", "carol's"].contains(&text(&kept).as_str());
        let observed = format!("retain {} payload={}", kept.retain, kept.payload.said());
        stage.check(is_one, "one of the two, retained", observed)?;
        stage.nothing_on(&topic, &mut bob, &mut alice).await?;
        stage.means();
        alice.leave().await?;
    }
    Ok(())
}

async fn subscribed_meanwhile(stage: &mut Stage) -> Outcome {
    let payloads = burst(stage, 9);
    for qos in stage.acknowledged_levels() {
        let topic = stage.topic(&format!("subscribed {}", qos.value()));
        let mut alice = stage.connected("alice").await?;
        let mut bob = stage.connected("bob").await?;
        let mut carol = stage.connected("carol").await?;
        let (published, subscribed) = tokio::join!(
            carol.publish_together(&topic, &payloads, qos),
            alice.subscribe(&topic, qos),
        );
        stage.claims();
        stage.proving("MQTT-4.5.0-1");
        subscribed.and(published)?;
        let mut missing = BTreeSet::new();
        for (name, probe) in [("bob", &mut bob), ("carol", &mut carol)] {
            for payload in ["first", "second"].map(|it| format!("{name}'s {it}")) {
                probe.publish(&topic, &payload, qos).await?;
                missing.insert(payload);
            }
        }
        // Those that were on their way may have come before the subscription, or after it.
        while let Some(payload) = missing.first() {
            let publish =
                alice.message(&format!("PUBLISH \"{topic}\" payload=\"{payload}\"")).await?;
            alice.acknowledge(&publish).await?;
            missing.remove(&text(&publish));
        }
        stage.means();
        alice.leave().await?;
    }
    Ok(())
}

async fn unsubscribed_meanwhile(stage: &mut Stage) -> Outcome {
    let payloads = burst(stage, 9);
    for qos in stage.acknowledged_levels() {
        let topic = stage.topic(&format!("unsubscribed {}", qos.value()));
        let mut alice = stage.connected("alice").await?;
        alice.subscribe(&topic, qos).await?;
        let mut bob = stage.connected("bob").await?;
        bob.publish(&topic, "held", qos).await?;
        let held = alice.holds(&topic, "held").await?;
        let (published, unsubscribed) =
            tokio::join!(bob.publish_together(&topic, &payloads, qos), alice.unsubscribe(&topic),);
        unsubscribed.map(drop).and(published)?;
        alice.acknowledge(&held).await?;
        bob.publish(&topic, "late", qos).await?;
        alice.subscribe(&topic, qos).await?;
        bob.publish(&topic, "marker", qos).await?;
        // Those that were on their way may still come.
        let before = alice.receives_until(&topic, "marker").await?;
        let late = before.iter().any(|publish| *publish.payload == *b"late");
        stage.claims();
        stage.proving("MQTT-3.10.4-2");
        stage.check(!late, "no message published after UNSUBACK", "one")?;
        stage.means();
        alice.leave().await?;
    }
    Ok(())
}
