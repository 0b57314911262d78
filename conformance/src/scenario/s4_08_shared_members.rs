//! Section 4.8.2: Shared Subscriptions, and how sessions become and cease to be members.

use reference_broker::codec::QoS;

use super::copies::{numbered, sorted};
use super::{Scenario, Stage, scenario};
use crate::probe::Probe;
use crate::target::Need;
use crate::trace::Said;
use crate::verdict::Outcome;

pub(super) const SCENARIOS: &[Scenario] = &[
    scenario!(
        "4.8/leaving",
        leaving,
        "When a member leaves, the creator even, the others get all later messages",
        ["U-4.8.2-5", "U-4.8.2-6"]
    )
    .needs(SHARED),
    scenario!(
        "4.8/last-one-leaves",
        last_one_leaves,
        "A shared subscription ends with its last member, and what was undelivered with it",
        ["U-4.8.2-6", "U-4.8.2-5"]
    )
    .needs(SHARED),
    scenario!(
        "4.8/subscribed-twice-left-once",
        subscribed_twice_left_once,
        "Subscribing again replaces the membership: no second copy, and one UNSUBSCRIBE ends it",
        ["U-4.8.2-10"]
    )
    .needs(SHARED),
    scenario!(
        "4.8/membership-kept",
        membership_kept,
        "A resumed session still is a member, and gets what came for it meanwhile",
        ["U-4.1-4", "U-4.8.2-5", "U-4.1-6"]
    )
    .needs(SHARED),
    scenario!(
        "4.8/unsubscribed-by-full-filter",
        unsubscribed_by_full_filter,
        "UNSUBSCRIBE of the plain filter leaves the membership, and the other way round",
        ["U-3.10.4-2", "MQTT-3.10.4-1"]
    )
    .needs(SHARED),
];

const SHARED: &[Need] = &[Need::SharedSubscriptions];

/// Expects a message to come next to this member, which is what the scenario is about.
async fn gets_next(
    stage: &Stage,
    topic: &str,
    payload: &str,
    from: &mut Probe,
    to: &mut Probe,
) -> Outcome {
    stage.means();
    from.publish(topic, payload, QoS::AtLeastOnce).await?;
    stage.claims();
    to.receives(topic, payload).await?;
    stage.means();
    Ok(())
}

async fn leaving(stage: &mut Stage) -> Outcome {
    #[derive(Clone, Copy, Debug)]
    enum Way {
        Unsubscribe,
        SessionEnd,
        CleanStart,
    }
    for way in [Way::Unsubscribe, Way::SessionEnd, Way::CleanStart] {
        let topic = stage.topic(&format!("{way:?}"));
        let filter = stage.shared(&topic);
        let expiry = if matches!(way, Way::CleanStart) { 60 } else { 0 };
        let mut alice = stage.with_session("alice", expiry).await?;
        alice.subscribe(&filter, QoS::AtLeastOnce).await?;
        let mut carol = stage.connected("carol").await?;
        carol.subscribe(&filter, QoS::AtLeastOnce).await?;
        let mut bob = stage.connected("bob").await?;
        let payloads = numbered(4);
        for payload in &payloads {
            bob.publish(&topic, payload, QoS::AtLeastOnce).await?;
        }
        let all = sorted(&stage.gather([&mut alice, &mut carol], payloads.len()).await?);
        let holds = all == payloads;
        stage.stands_on("U-4.8.2-1", holds, "each message at one member", all.said())?;
        match way {
            Way::Unsubscribe => {
                alice.unsubscribe(&filter).await?;
            }
            Way::SessionEnd => {
                alice.leave().await?;
                alice = stage.connected("alice").await?;
            }
            Way::CleanStart => {
                alice.leave().await?;
                alice = stage.connected("alice").await?;
            }
        }
        for payload in ["all", "go to", "carol"] {
            gets_next(stage, &topic, payload, &mut bob, &mut carol).await?;
        }
        alice.has_no_message().await?;
    }
    Ok(())
}

async fn last_one_leaves(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("ended");
    let filter = stage.shared(&topic);
    let mut bob = stage.connected("bob").await?;
    let mut alice = stage.with_session("alice", 60).await?;
    alice.subscribe(&filter, QoS::AtLeastOnce).await?;
    stage.nothing_on(&topic, &mut bob, &mut alice).await?;
    alice.leave().await?;
    bob.publish(&topic, "undelivered", QoS::AtLeastOnce).await?;
    stage.connected("alice").await?.leave().await?;
    bob.publish(&topic, "nobody there", QoS::AtLeastOnce).await?;

    let mut carol = stage.connected("carol").await?;
    carol.subscribe(&filter, QoS::AtLeastOnce).await?;
    gets_next(stage, &topic, "for carol", &mut bob, &mut carol).await?;
    carol.unsubscribe(&filter).await?;
    bob.publish(&topic, "nobody there", QoS::AtLeastOnce).await?;
    let mut dave = stage.connected("dave").await?;
    dave.subscribe(&filter, QoS::AtLeastOnce).await?;
    gets_next(stage, &topic, "for dave", &mut bob, &mut dave).await?;
    carol.has_no_message().await
}

async fn subscribed_twice_left_once(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("twice");
    let filter = stage.shared(&topic);
    let mut bob = stage.connected("bob").await?;
    let mut alice = stage.connected("alice").await?;
    alice.subscribe(&filter, QoS::AtLeastOnce).await?;
    alice.subscribe(&filter, QoS::AtLeastOnce).await?;
    for _ in 0..3 {
        stage.nothing_on(&topic, &mut bob, &mut alice).await?;
    }
    alice.subscribe(&filter, QoS::AtMostOnce).await?;
    bob.publish(&topic, "lower", QoS::AtLeastOnce).await?;
    let publish = alice.receives(&topic, "lower").await?;
    stage.check(publish.qos == QoS::AtMostOnce, "QoS 0, as granted last", "another")?;
    alice.unsubscribe(&filter).await?;
    bob.publish(&topic, "not a member", QoS::AtLeastOnce).await?;
    alice.subscribe(&topic, QoS::AtLeastOnce).await?;
    stage.nothing_on(&topic, &mut bob, &mut alice).await
}

async fn membership_kept(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("kept");
    let mut bob = stage.connected("bob").await?;
    let mut alice = stage.with_session("alice", 60).await?;
    alice.subscribe(&stage.shared(&topic), QoS::AtLeastOnce).await?;
    alice.leave().await?;
    bob.publish(&topic, "meanwhile", QoS::AtLeastOnce).await?;
    let mut alice = stage.resumed("alice", 60).await?;
    stage.proving("U-4.1-6");
    alice.receives(&topic, "meanwhile").await?;
    stage.proving("U-4.8.2-5");
    gets_next(stage, &topic, "afterwards", &mut bob, &mut alice).await
}

async fn unsubscribed_by_full_filter(stage: &mut Stage) -> Outcome {
    let mut bob = stage.connected("bob").await?;
    for (name, plain_goes) in [("first", true), ("second", false)] {
        let topic = stage.topic(name);
        let filter = stage.shared(&topic);
        let mut alice = stage.connected("alice").await?;
        alice.subscribe(&topic, QoS::AtLeastOnce).await?;
        alice.subscribe(&filter, QoS::AtLeastOnce).await?;
        alice.unsubscribe(if plain_goes { &topic } else { &filter }).await?;
        for payload in ["by the other", "by the other again"] {
            gets_next(stage, &topic, payload, &mut bob, &mut alice).await?;
        }
        alice.unsubscribe(if plain_goes { &filter } else { &topic }).await?;
        bob.publish(&topic, "gone", QoS::AtLeastOnce).await?;
        alice.subscribe(&topic, QoS::AtLeastOnce).await?;
        stage.nothing_on(&topic, &mut bob, &mut alice).await?;
    }
    Ok(())
}
