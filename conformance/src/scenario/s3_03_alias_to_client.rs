//! Section 3.3.2.3.4: Topic Aliases towards clients, and what clients see of those of others.

use std::collections::BTreeMap;

use reference_broker::codec::{PropertyId, Publish, QoS, Text};

use super::s3_03_alias::aliased;
use super::s3_03_retain::retain;
use super::{Scenario, Stage, scenario};
use crate::probe::Probe;
use crate::target::Need;
use crate::trace::packet_text;
use crate::verdict::Outcome;

pub(super) const SCENARIOS: &[Scenario] = &[
    scenario!(
        "3.3/alias-retained",
        alias_retained,
        "A message that was retained by its alias is found under its topic, without the alias",
        ["U-3.3.2.3.4-2", "MQTT-3.1.2-27"]
    )
    .needs(&[Need::QoS(QoS::AtLeastOnce), Need::TopicAliases(1), Need::Retain]),
    scenario!(
        "3.3/alias-not-passed-on",
        alias_not_passed_on,
        "A subscriber that wants no aliases sees none, whatever the publisher uses",
        ["MQTT-3.1.2-27"]
    )
    .needs(ONE),
    scenario!(
        "3.3/alias-to-client-bounded",
        alias_to_client_bounded,
        "Aliases towards a client are within its maximum, and each names a topic it was given",
        ["MQTT-3.3.2-11", "MQTT-3.1.2-26"]
    )
    .needs(UP_TO_1),
    scenario!(
        "3.3/alias-to-client-after-resume",
        alias_to_client_after_resume,
        "What is sent again after a resume leans on no alias of the old connection",
        ["MQTT-3.3.2-7", "MQTT-4.4.0-1"]
    )
    .needs(UP_TO_1),
    scenario!(
        "3.3/alias-to-client-no-longer",
        alias_to_client_no_longer,
        "A client that resumes without a Topic Alias Maximum is sent no alias any more",
        ["MQTT-3.1.2-27"]
    )
    .needs(UP_TO_1),
    scenario!(
        "3.3/alias-both-ways",
        alias_both_ways,
        "The aliases of a client and those towards it do not mix",
        ["U-3.3.2.3.4-4"]
    )
    .needs(ONE),
];

const UP_TO_1: &[Need] = &[Need::QoS(QoS::AtLeastOnce)];
const ONE: &[Need] = &[Need::QoS(QoS::AtLeastOnce), Need::TopicAliases(1)];

/// Aliases that a broker has given to topics on one connection.
struct Aliases {
    maximum: u32,
    topics: BTreeMap<u32, Text>,
}

impl Aliases {
    /// None yet; the client takes up to `maximum`.
    fn up_to(maximum: u32) -> Aliases {
        Aliases { maximum, topics: BTreeMap::new() }
    }

    /// Checks that a message comes under `topic`, by itself or by an alias.
    fn resolve(&mut self, stage: &Stage, publish: &Publish, topic: &str) -> Outcome {
        let observed = packet_text(&publish.clone().into());
        let alias = publish.properties.number(PropertyId::TopicAlias);
        let expected = format!("no alias above {}", self.maximum);
        let within = alias.is_none_or(|alias| alias <= self.maximum);
        stage.check(within, &expected, observed.clone())?;
        let name = match alias {
            Some(alias) if publish.topic.is_empty() => self.topics.get(&alias).cloned(),
            Some(alias) => {
                self.topics.insert(alias, publish.topic.clone());
                Some(publish.topic.clone())
            }
            None => Some(publish.topic.clone()),
        };
        let expected = format!("the topic \"{topic}\", or an alias that stands for it");
        stage.check(name.is_some_and(|name| *name == *topic), &expected, observed)
    }
}

async fn alias_retained(stage: &mut Stage) -> Outcome {
    let (topic, other) = (stage.topic("retained"), stage.topic("other"));
    let mut alice = stage.connected("alice").await?;
    let mut bob = stage.connected("bob").await?;
    // The control: a message that was retained by its topic.
    let plain = stage.topic("plain");
    retain(&mut alice, &plain, "plain", QoS::AtLeastOnce).await?;
    bob.subscribe(&plain, QoS::AtLeastOnce).await?;
    bob.receives(&plain, "plain").await?;
    let publish = aliased(&mut alice, &topic, 1, "given").retain();
    alice.publish_with(publish).await?;
    let publish = aliased(&mut alice, "", 1, "kept").retain();
    alice.publish_with(publish).await?;
    // What the alias stands for later is of no account.
    let publish = aliased(&mut alice, &other, 1, "other");
    alice.publish_with(publish).await?;
    bob.subscribe(&topic, QoS::AtLeastOnce).await?;
    stage.claims();
    let kept = bob.receives(&topic, "kept").await?;
    stage.proving("MQTT-3.1.2-27");
    Aliases::up_to(0).resolve(stage, &kept, &topic)
}

async fn alias_not_passed_on(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("stripped");
    let maximum = PropertyId::TopicAliasMaximum;
    let mut bob = stage.connected("bob").await?;
    bob.subscribe(&topic, QoS::AtLeastOnce).await?;
    let mut carol = stage.connected_with("carol", |connect| connect.with(maximum, 0)).await?;
    carol.subscribe(&topic, QoS::AtLeastOnce).await?;
    let mut dave = stage.with_session("dave", 60).await?;
    dave.subscribe(&topic, QoS::AtLeastOnce).await?;
    dave.leave().await?;
    let mut alice = stage.connected("alice").await?;
    for topic_name in [&*topic, "", ""] {
        let publish = aliased(&mut alice, topic_name, 1, "aliased");
        alice.publish_with(publish).await?;
    }
    let dave = stage.resumed("dave", 60).await?;
    for mut subscriber in [bob, carol, dave] {
        for _ in 0..3 {
            let publish = subscriber.message("a message with its topic and no alias").await?;
            subscriber.acknowledge(&publish).await?;
            Aliases::up_to(0).resolve(stage, &publish, &topic)?;
        }
    }
    Ok(())
}

async fn alias_to_client_bounded(stage: &mut Stage) -> Outcome {
    let topics: Vec<_> = (0..12).map(|number| stage.topic(&format!("number/{number}"))).collect();
    let mut alice = stage.connected("alice").await?;
    for maximum in [1, 2, 10] {
        let property = PropertyId::TopicAliasMaximum;
        let mut bob =
            stage.connected_with("bob", |connect| connect.with(property, maximum)).await?;
        for topic in &topics {
            bob.subscribe(topic, QoS::AtLeastOnce).await?;
        }
        let mut aliases = Aliases::up_to(maximum);
        for topic in topics.iter().chain(topics.iter().rev()) {
            alice.publish(topic, "for the alias", QoS::AtLeastOnce).await?;
            let publish = bob.message("the message that was published").await?;
            bob.acknowledge(&publish).await?;
            aliases.resolve(stage, &publish, topic)?;
        }
    }
    Ok(())
}

/// A subscriber with a session that takes aliases, and that holds the first of three messages, and
/// the others if the target has more than one on its way.
async fn holds_three(stage: &mut Stage, topic: &str, alice: &mut Probe) -> Outcome<Probe> {
    let maximum = PropertyId::TopicAliasMaximum;
    let connecting = stage.connected_with("bob", |c| c.session_expiry(60).with(maximum, 10));
    let mut bob = connecting.await?;
    bob.subscribe(topic, QoS::AtLeastOnce).await?;
    let mut aliases = Aliases::up_to(10);
    for payload in ["one", "two", "three"] {
        alice.publish(topic, payload, QoS::AtLeastOnce).await?;
    }
    let first = bob.message("one").await?;
    aliases.resolve(stage, &first, topic)?;
    for publish in bob.messages_now().await? {
        aliases.resolve(stage, &publish, topic)?;
    }
    Ok(bob)
}

async fn alias_to_client_after_resume(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("again");
    let mut alice = stage.connected("alice").await?;
    let bob = holds_three(stage, &topic, &mut alice).await?;
    bob.leave().await?;
    let maximum = PropertyId::TopicAliasMaximum;
    let resuming = stage.resumed_with("bob", |c| c.session_expiry(60).with(maximum, 10));
    let mut bob = resuming.await?;
    let mut aliases = Aliases::up_to(10);
    for number in 1..=3 {
        stage.proving("MQTT-4.4.0-1");
        let publish = bob.message(&format!("message {number} of three, again")).await?;
        bob.acknowledge(&publish).await?;
        stage.proving("MQTT-3.3.2-7");
        aliases.resolve(stage, &publish, &topic)?;
    }
    Ok(())
}

async fn alias_to_client_no_longer(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("none");
    let mut alice = stage.connected("alice").await?;
    let bob = holds_three(stage, &topic, &mut alice).await?;
    bob.leave().await?;
    let mut bob = stage.resumed("bob", 60).await?;
    alice.publish(&topic, "four", QoS::AtLeastOnce).await?;
    for number in 1..=4 {
        let publish = bob.message(&format!("message {number} of four, with its topic")).await?;
        bob.acknowledge(&publish).await?;
        Aliases::up_to(0).resolve(stage, &publish, &topic)?;
    }
    Ok(())
}

async fn alias_both_ways(stage: &mut Stage) -> Outcome {
    let (inward, outward) = (stage.topic("inward"), stage.topic("outward"));
    let mut alice = stage.connected("alice").await?;
    alice.subscribe(&outward, QoS::AtLeastOnce).await?;
    let maximum = PropertyId::TopicAliasMaximum;
    let mut bob = stage.connected_with("bob", |connect| connect.with(maximum, 10)).await?;
    bob.subscribe(&inward, QoS::AtLeastOnce).await?;
    let mut aliases = Aliases::up_to(10);
    for topic_name in [&*outward, "", ""] {
        let publish = aliased(&mut bob, topic_name, 1, "outward");
        if topic_name.is_empty() {
            stage.claims();
        }
        bob.publish_with(publish).await?;
        alice.receives(&outward, "outward").await?;
        stage.means();
        alice.publish(&inward, "inward", QoS::AtLeastOnce).await?;
        let publish = bob.message("the message that was published").await?;
        bob.acknowledge(&publish).await?;
        aliases.resolve(stage, &publish, &inward)?;
    }
    Ok(())
}
