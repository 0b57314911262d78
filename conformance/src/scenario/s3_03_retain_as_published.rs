//! Sections 3.3.1.3 and 3.8.3.1: RETAIN on messages as they are passed on.

use reference_broker::codec::{QoS, SubscriptionOptions};

use super::s3_03_retain::{has_retain, passing_on, retain};
use super::{Scenario, Stage, scenario};
use crate::target::Need;
use crate::verdict::Outcome;

pub(super) const SCENARIOS: &[Scenario] = &[
    scenario!(
        "3.3/retain-as-published",
        retain_as_published,
        "RETAIN is passed on if the subscription asks for it, and is 0 if not",
        ["MQTT-3.3.1-12", "MQTT-3.3.1-13", "U-3.8.3.1-2"]
    )
    .needs(UP_TO_2),
    scenario!(
        "3.3/retain-as-published-queued",
        retain_as_published_queued,
        "Messages that waited have RETAIN as their subscription asks for, also when sent again",
        ["MQTT-3.3.1-13", "MQTT-3.3.1-12", "U-3.8.3.1-2"]
    )
    .needs(UP_TO_1),
    scenario!(
        "3.3/retain-as-published-at-qos-2",
        retain_as_published_at_qos2,
        "QoS 2 messages that waited have RETAIN as their subscription asks for, and when sent again",
        ["MQTT-3.3.1-13", "MQTT-3.3.1-12"]
    )
    .needs(UP_TO_2),
    scenario!(
        "3.3/retain-as-published-changed",
        retain_as_published_changed,
        "A subscription that is made again passes RETAIN on as it asks for now",
        ["MQTT-3.3.1-12", "MQTT-3.3.1-13", "MQTT-3.8.4-3", "U-3.8.3.1-2"]
    )
    .needs(UP_TO_1),
];

const UP_TO_1: &[Need] = &[Need::QoS(QoS::AtLeastOnce), Need::Retain];
const UP_TO_2: &[Need] = &[Need::QoS(QoS::ExactlyOnce), Need::Retain];

async fn retain_as_published(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("live");
    let options = |retain_as_published| SubscriptionOptions {
        maximum_qos: QoS::ExactlyOnce,
        ..passing_on(retain_as_published)
    };
    let mut bob = stage.connected("bob").await?;
    bob.subscribe_with(&topic, options(false)).await?;
    let mut carol = stage.connected("carol").await?;
    carol.subscribe_with(&topic, options(true)).await?;
    let mut alice = stage.connected("alice").await?;
    for qos in QoS::ALL {
        for retained in [true, false] {
            let payload = format!("RETAIN {} at QoS {}", u8::from(retained), qos.value());
            match retained {
                true => retain(&mut alice, &topic, &payload, qos).await?,
                false => alice.publish(&topic, &payload, qos).await?,
            }
            let to_bob = bob.receives(&topic, &payload).await?;
            let to_carol = carol.receives(&topic, &payload).await?;
            stage.proving("MQTT-3.3.1-12");
            has_retain(stage, &to_bob, false)?;
            stage.proving("MQTT-3.3.1-13");
            has_retain(stage, &to_carol, retained)?;
            stage.means();
        }
    }
    Ok(())
}

async fn retain_as_published_queued(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("queued");
    for (name, retain_as_published) in [("bob", false), ("carol", true)] {
        let mut subscriber = stage.with_session(name, 60).await?;
        subscriber.subscribe_with(&topic, passing_on(retain_as_published)).await?;
        subscriber.leave().await?;
    }
    let mut alice = stage.connected("alice").await?;
    retain(&mut alice, &topic, "with", QoS::AtLeastOnce).await?;
    alice.publish(&topic, "without", QoS::AtLeastOnce).await?;
    stage.proving("MQTT-3.3.1-12");
    stage.means();
    let mut bob = stage.resumed("bob", 60).await?;
    has_retain(stage, &bob.receives(&topic, "with").await?, false)?;
    has_retain(stage, &bob.receives(&topic, "without").await?, false)?;
    stage.proving("MQTT-3.3.1-13");
    stage.means();
    let mut carol = stage.resumed("carol", 60).await?;
    has_retain(stage, &carol.holds(&topic, "with").await?, true)?;
    carol.leave().await?;
    let mut carol = stage.resumed("carol", 60).await?;
    has_retain(stage, &carol.receives(&topic, "with").await?, true)?;
    has_retain(stage, &carol.receives(&topic, "without").await?, false)
}

async fn retain_as_published_at_qos2(stage: &mut Stage) -> Outcome {
    const SUBSCRIBERS: [(&str, bool, &str); 2] =
        [("bob", false, "MQTT-3.3.1-12"), ("carol", true, "MQTT-3.3.1-13")];
    let qos = QoS::ExactlyOnce;
    let topic = stage.topic("queued");
    for (name, passes_on, _) in SUBSCRIBERS {
        let options = SubscriptionOptions { maximum_qos: qos, ..passing_on(passes_on) };
        let mut subscriber = stage.with_session(name, 60).await?;
        subscriber.subscribe_with(&topic, options).await?;
        subscriber.leave().await?;
    }
    let mut alice = stage.connected("alice").await?;
    retain(&mut alice, &topic, "with", qos).await?;
    alice.publish(&topic, "without", qos).await?;
    for (name, passes_on, requirement) in SUBSCRIBERS {
        stage.proving(requirement);
        stage.means();
        let mut subscriber = stage.resumed(name, 60).await?;
        has_retain(stage, &subscriber.holds(&topic, "with").await?, passes_on)?;
        subscriber.leave().await?;
        let mut subscriber = stage.resumed(name, 60).await?;
        has_retain(stage, &subscriber.receives(&topic, "with").await?, passes_on)?;
        has_retain(stage, &subscriber.receives(&topic, "without").await?, false)?;
        subscriber.leave().await?;
    }
    Ok(())
}

async fn retain_as_published_changed(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("changed");
    let mut bob = stage.connected("bob").await?;
    let mut alice = stage.connected("alice").await?;
    for (passes_on, requirement) in
        [(true, "MQTT-3.3.1-13"), (false, "MQTT-3.3.1-12"), (true, "MQTT-3.3.1-13")]
    {
        stage.means();
        bob.subscribe_with(&topic, passing_on(passes_on)).await?;
        retain(&mut alice, &topic, "retained", QoS::AtLeastOnce).await?;
        let publish = bob.receives(&topic, "retained").await?;
        stage.proving(requirement);
        has_retain(stage, &publish, passes_on)?;
        stage.means();
        // Nothing is to be there for the next subscription.
        retain(&mut alice, &topic, "", QoS::AtLeastOnce).await?;
        stage.proving("MQTT-3.8.4-3");
        stage.means();
        bob.receives_marker(&topic, "").await?;
    }
    Ok(())
}
