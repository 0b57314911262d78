//! Section 3.3.2.3.4: Topic Aliases from clients.

use reference_broker::codec::{Packet, PropertyId, Publish, PublishAck, QoS, ReasonCode};

use super::{Scenario, Stage, scenario};
use crate::probe::Probe;
use crate::target::Need;
use crate::verdict::Outcome;

pub(super) const SCENARIOS: &[Scenario] = &[
    scenario!(
        "3.3/alias-stands-for-topic",
        alias_stands_for_topic,
        "A topic is given an alias at any QoS, and then the alias alone is enough at every QoS",
        ["U-3.3.2.3.4-2", "U-3.3.4-7"]
    )
    .needs(&[Need::QoS(QoS::ExactlyOnce), Need::TopicAliases(1)]),
    scenario!(
        "3.3/alias-given-anew",
        alias_given_anew,
        "An alias that is sent with another topic stands for that one from then on",
        ["U-3.3.2.3.4-3", "U-3.3.4-7"]
    )
    .needs(ONE),
    scenario!(
        "3.3/alias-in-one-write",
        alias_in_one_write,
        "An alias works for the very next message, also when both come together",
        ["U-3.3.4-7"]
    )
    .needs(ONE),
    scenario!(
        "3.3/alias-given-by-repetition",
        alias_given_by_repetition,
        "A PUBLISH that is repeated on a resume gives its topic the alias that it has",
        ["U-3.3.4-7", "U-3.3.2.3.4-2"]
    )
    .needs(ONE),
    scenario!(
        "3.3/alias-every-value",
        alias_every_value,
        "Every alias from 1 to the maximum is taken, and all are kept together",
        ["MQTT-3.3.2-12", "U-3.3.2.3.4-2"]
    )
    .needs(ONE),
    scenario!(
        "3.3/alias-above-maximum",
        alias_above_maximum,
        "An alias above the maximum that the broker announced ends the connection",
        ["MQTT-3.3.2-9", "U-3.3.4-6"]
    )
    .breaks(&["MQTT-3.2.2-17", "MQTT-3.2.2-18"])
    .needs(&[Need::QoS(QoS::AtLeastOnce), Need::TopicAliasLimit]),
    scenario!(
        "3.3/alias-unknown",
        alias_unknown,
        "An alias without a topic that was never given one ends the connection",
        ["U-3.3.4-8"]
    )
    .breaks(&["U-3.3.4-8"])
    .needs(ONE),
    scenario!(
        "3.3/alias-ends-with-connection",
        alias_ends_with_connection,
        "An alias means nothing on the next connection, be its session new or resumed",
        ["MQTT-3.3.2-7", "U-3.3.4-8"]
    )
    .breaks(&["U-3.3.4-8"])
    .needs(ONE),
    scenario!(
        "3.3/alias-ends-with-takeover",
        alias_ends_with_takeover,
        "An alias means nothing on a connection that takes over from the one it was given on",
        ["MQTT-3.3.2-7", "U-3.3.4-8"]
    )
    .breaks(&["U-3.3.4-8"])
    .needs(ONE),
    scenario!(
        "3.3/alias-of-another-client",
        alias_of_another_client,
        "An alias means nothing to the connections of other clients",
        ["U-3.3.4-8", "MQTT-3.3.2-7"]
    )
    .breaks(&["U-3.3.4-8"])
    .needs(ONE),
];

const ONE: &[Need] = &[Need::QoS(QoS::AtLeastOnce), Need::TopicAliases(1)];

/// A message at QoS 1 under an alias; an empty topic leaves that to the alias.
pub(super) fn aliased(from: &mut Probe, topic: &str, alias: u16, payload: &str) -> Publish {
    let id = from.packet_id();
    Publish::new(topic, payload.to_owned())
        .qos(QoS::AtLeastOnce, id)
        .with(PropertyId::TopicAlias, u32::from(alias))
}

async fn alias_stands_for_topic(stage: &mut Stage) -> Outcome {
    let mut bob = stage.connected("bob").await?;
    let mut alice = stage.connected("alice").await?;
    let plain = stage.topic("plain");
    bob.subscribe(&plain, QoS::ExactlyOnce).await?;
    for qos in QoS::ALL {
        stage.nothing_on_at(&plain, qos, &mut alice, &mut bob).await?;
    }
    for given in QoS::ALL {
        let topic = stage.topic(&format!("given/{}", given.value()));
        stage.means();
        bob.subscribe(&topic, QoS::ExactlyOnce).await?;
        stage.claims();
        let id = alice.packet_id();
        let publish = aliased(&mut alice, &topic, 1, "with both").qos(given, id);
        alice.publish_with(publish).await?;
        bob.receives(&topic, "with both").await?;
        for qos in QoS::ALL {
            let payload = format!("by alias at QoS {}", qos.value());
            let id = alice.packet_id();
            let publish = aliased(&mut alice, "", 1, &payload).qos(qos, id);
            alice.publish_with(publish).await?;
            bob.receives(&topic, &payload).await?;
        }
    }
    Ok(())
}

async fn alias_given_anew(stage: &mut Stage) -> Outcome {
    let (first, second) = (stage.topic("first"), stage.topic("second"));
    let mut bob = stage.connected("bob").await?;
    bob.subscribe(&first, QoS::AtLeastOnce).await?;
    bob.subscribe(&second, QoS::AtLeastOnce).await?;
    let mut alice = stage.connected("alice").await?;
    stage.nothing_on(&first, &mut alice, &mut bob).await?;
    stage.claims();
    for (topic, expected) in [(&*first, &first), ("", &first), (&second, &second), ("", &second)] {
        let publish = aliased(&mut alice, topic, 1, "aliased");
        alice.publish_with(publish).await?;
        bob.receives(expected, "aliased").await?;
    }
    Ok(())
}

async fn alias_in_one_write(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("together");
    let mut bob = stage.connected("bob").await?;
    bob.subscribe(&topic, QoS::AtLeastOnce).await?;
    let mut alice = stage.connected("alice").await?;
    stage.nothing_on_at(&topic, QoS::AtMostOnce, &mut alice, &mut bob).await?;
    let given = aliased(&mut alice, &topic, 1, "given").qos(QoS::AtMostOnce, 0);
    let used = aliased(&mut alice, "", 1, "used").qos(QoS::AtMostOnce, 0);
    alice.send_together(&[given.into(), used.into()]).await?;
    stage.claims();
    bob.receives(&topic, "given").await?;
    bob.receives(&topic, "used").await.map(drop)
}

async fn alias_given_by_repetition(stage: &mut Stage) -> Outcome {
    const ID: u16 = 2000;
    let mut bob = stage.connected("bob").await?;
    for qos in stage.acknowledged_levels() {
        stage.means();
        let topic = stage.topic(&format!("repeated{}", qos.value()));
        bob.subscribe(&topic, qos).await?;
        let mut alice = stage.with_session("alice", 60).await?;
        let publish = aliased(&mut alice, &topic, 1, "repeated").qos(qos, ID);
        alice.send(publish.clone()).await?;
        alice.vanish_unread().await?;
        let mut alice = stage.resumed("alice", 60).await?;
        alice.send(publish.dup()).await?;
        match qos {
            QoS::ExactlyOnce => {
                alice.pubrec_again(ID).await?;
                alice.send(Packet::PubRel(PublishAck::new(ID))).await?;
                // 0x92 is no error during recovery (section 3.7.2.1).
                alice.pubcomp(ID).await?;
            }
            _ => drop(alice.puback(ID).await?),
        }
        stage.claims();
        let publish = aliased(&mut alice, "", 1, "by its alias");
        alice.publish_with(publish).await?;
        // At QoS 1 there may be two copies of the other.
        bob.receives_sometime(&topic, "by its alias").await?;
        stage.means();
        alice.leave().await?;
    }
    Ok(())
}

async fn alias_every_value(stage: &mut Stage) -> Outcome {
    const TOPICS: u16 = 20;
    let maximum = stage.capabilities().topic_alias_maximum();
    // Together, so that it does not take a slow target long; more than that shows nothing new.
    let together = stage.capabilities().receive_maximum().min(TOPICS);
    let enough = together * 5;
    let mut aliases: Vec<u16> = (1..=maximum.min(enough)).collect();
    aliases.extend((maximum > enough).then_some(maximum));
    let mut bob = stage.connected("bob").await?;
    let mut alice = stage.connected("alice").await?;
    for number in 0..TOPICS {
        bob.subscribe(&stage.topic(&format!("number/{number}")), QoS::AtLeastOnce).await?;
    }
    stage.nothing_on(&stage.topic("number/0"), &mut alice, &mut bob).await?;
    stage.claims();
    for given in [true, false] {
        for batch in aliases.chunks(usize::from(together)) {
            publish_by_alias(stage, &mut alice, &mut bob, batch, given).await?;
        }
        aliases.reverse();
    }
    Ok(())
}

/// Publishes a message under each alias, with its topic if that is to be `given`, and expects them.
async fn publish_by_alias(
    stage: &Stage,
    alice: &mut Probe,
    bob: &mut Probe,
    aliases: &[u16],
    given: bool,
) -> Outcome {
    let topic = |alias: u16| stage.topic(&format!("number/{}", alias % 20));
    let payload = |alias: u16| format!("by alias {alias}, {given}");
    let publishes = aliases.iter().map(|alias| {
        let name = if given { topic(*alias) } else { String::new() };
        aliased(alice, &name, *alias, &payload(*alias))
    });
    let publishes: Vec<_> = publishes.collect();
    let packets: Vec<_> = publishes.iter().cloned().map(Packet::from).collect();
    alice.send_together(&packets).await?;
    for publish in publishes {
        alice.puback(publish.packet_id).await?;
    }
    let expected: Vec<_> = aliases.iter().map(|alias| (topic(*alias), payload(*alias))).collect();
    bob.receives_each(&expected).await
}

async fn alias_above_maximum(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("above");
    let maximum = stage.capabilities().topic_alias_maximum();
    let mut bob = stage.connected("bob").await?;
    bob.subscribe(&topic, QoS::AtLeastOnce).await?;
    for alias in [maximum.saturating_add(1), u16::MAX] {
        let mut alice = stage.connected("alice").await?;
        let mut within = aliased(&mut alice, &topic, maximum, "within");
        // With a maximum of 0 no alias is within.
        within.properties.retain(|_| maximum > 0);
        alice.publish_with(within).await?;
        bob.receives(&topic, "within").await?;
        let above = aliased(&mut alice, &topic, alias, "above");
        alice.send(above).await?;
        alice.closes_for(ReasonCode::TopicAliasInvalid).await?;
        let mut carol = stage.connected("carol").await?;
        stage.nothing_on(&topic, &mut carol, &mut bob).await?;
    }
    Ok(())
}

/// Sends a message by an alias alone that means nothing on this connection, and expects that to
/// end it, with nothing said to the subscriber of `topic`.
async fn means_nothing(
    stage: &mut Stage,
    alias: u16,
    from: &mut Probe,
    topic: &str,
    to: &mut Probe,
) -> Outcome {
    from.ping().await?;
    let publish = aliased(from, "", alias, "by an alias that means nothing");
    from.send(publish).await?;
    from.closes_for_either(ReasonCode::ProtocolError, ReasonCode::TopicAliasInvalid).await?;
    let mut witness = stage.connected("witness").await?;
    stage.nothing_on(topic, &mut witness, to).await
}

async fn alias_unknown(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("unknown");
    let maximum = stage.capabilities().topic_alias_maximum();
    let mut bob = stage.connected("bob").await?;
    bob.subscribe(&topic, QoS::AtLeastOnce).await?;
    let mut alice = stage.connected("alice").await?;
    alice.publish(&topic, "before", QoS::AtLeastOnce).await?;
    bob.receives(&topic, "before").await?;
    if maximum > 1 {
        let publish = aliased(&mut alice, &topic, maximum - 1, "by another");
        alice.publish_with(publish).await?;
        bob.receives(&topic, "by another").await?;
    }
    means_nothing(stage, maximum, &mut alice, &topic, &mut bob).await
}

/// Gives the alias 1 to a topic, and shows that it is taken.
async fn gives_alias(from: &mut Probe, topic: &str, to: &mut Probe) -> Outcome {
    for (topic_name, payload) in [(topic, "given"), ("", "used")] {
        let publish = aliased(from, topic_name, 1, payload);
        from.publish_with(publish).await?;
        to.receives(topic, payload).await?;
    }
    Ok(())
}

async fn alias_ends_with_connection(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("ended");
    let mut bob = stage.connected("bob").await?;
    bob.subscribe(&topic, QoS::AtLeastOnce).await?;
    for resumes in [true, false] {
        let mut alice = stage.with_session("alice", 60).await?;
        gives_alias(&mut alice, &topic, &mut bob).await?;
        alice.leave().await?;
        let mut alice = match resumes {
            true => stage.resumed("alice", 60).await?,
            false => stage.connected("alice").await?,
        };
        means_nothing(stage, 1, &mut alice, &topic, &mut bob).await?;
    }
    Ok(())
}

async fn alias_ends_with_takeover(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("taken");
    let mut bob = stage.connected("bob").await?;
    bob.subscribe(&topic, QoS::AtLeastOnce).await?;
    let mut alice = stage.with_session("alice", 60).await?;
    gives_alias(&mut alice, &topic, &mut bob).await?;
    let mut successor = stage.resumed("alice", 60).await?;
    means_nothing(stage, 1, &mut successor, &topic, &mut bob).await
}

async fn alias_of_another_client(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("other");
    let mut bob = stage.connected("bob").await?;
    bob.subscribe(&topic, QoS::AtLeastOnce).await?;
    let mut alice = stage.connected("alice").await?;
    gives_alias(&mut alice, &topic, &mut bob).await?;
    let mut carol = stage.connected("carol").await?;
    means_nothing(stage, 1, &mut carol, &topic, &mut bob).await?;
    let publish = aliased(&mut alice, "", 1, "still mine");
    alice.publish_with(publish).await?;
    bob.receives(&topic, "still mine").await.map(drop)
}
