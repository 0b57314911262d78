//! Section 3.8: SUBSCRIBE, its options and its Subscription Identifier.

use reference_broker::codec::{
    PropertyId, Publish, QoS, RetainHandling, Subscribe, SubscriptionOptions,
};

use super::{Scenario, Stage, scenario};
use crate::probe::Probe;
use crate::target::Need;
use crate::trace::packet_text;
use crate::verdict::Outcome;

pub(super) const SCENARIOS: &[Scenario] = &[
    scenario!(
        "3.8/every-valid-option",
        every_valid_option,
        "Every combination of valid Subscription Options makes a subscription",
        ["MQTT-3.8.4-7", "MQTT-3.8.4-5"]
    )
    .needs(&[Need::QoS(QoS::AtLeastOnce), Need::PacketSize(2000)]),
    scenario!(
        "3.8/own-messages-return",
        own_messages_return,
        "Without No Local a client gets what it publishes itself",
        ["MQTT-3.8.3-3"]
    )
    .needs(UP_TO_2),
    scenario!(
        "3.8/no-local-withholds-own",
        no_local_withholds_own,
        "With No Local a client gets what others publish, and nothing of its own",
        ["MQTT-3.8.3-3"]
    )
    .needs(UP_TO_2),
    scenario!(
        "3.8/no-local-survives-resume",
        no_local_survives_resume,
        "No Local still holds when the session goes on over another connection",
        ["MQTT-3.8.3-3", "U-4.1-4"]
    )
    .needs(&[Need::QoS(QoS::AtLeastOnce), Need::Sessions]),
    scenario!(
        "3.8/no-local-replaced",
        no_local_replaced,
        "A subscription made again turns No Local on or off",
        ["MQTT-3.8.4-3", "MQTT-3.8.3-3"]
    )
    .needs(UP_TO_1),
    scenario!(
        "3.8/identifier-range",
        identifier_range,
        "A Subscription Identifier of any length comes back with the messages",
        ["U-3.8.2.1.2-3"]
    )
    .needs(UP_TO_1_IDENTIFIED),
    scenario!(
        "3.8/identifier-of-each-filter",
        identifier_of_each_filter,
        "The Subscription Identifier of a SUBSCRIBE belongs to each of its filters",
        ["U-3.8.2.1.2-4"]
    )
    .needs(UP_TO_1_IDENTIFIED),
    scenario!(
        "3.8/identifier-replaced",
        identifier_replaced,
        "A subscription made again has the new Subscription Identifier, or none",
        ["U-3.8.2.1.2-5", "U-3.8.4-8"]
    )
    .needs(UP_TO_1_IDENTIFIED),
];

const UP_TO_1: &[Need] = &[Need::QoS(QoS::AtLeastOnce)];
const UP_TO_2: &[Need] = &[Need::QoS(QoS::ExactlyOnce)];
const UP_TO_1_IDENTIFIED: &[Need] = &[Need::QoS(QoS::AtLeastOnce), Need::SubscriptionIdentifiers];

async fn every_valid_option(stage: &mut Stage) -> Outcome {
    const HANDLING: [RetainHandling; 3] =
        [RetainHandling::Send, RetainHandling::SendIfNew, RetainHandling::DoNotSend];
    let mut all = Vec::new();
    for maximum_qos in QoS::ALL {
        for retain_handling in HANDLING {
            for flags in 0..4 {
                let (no_local, retain_as_published) = (flags & 1 != 0, flags & 2 != 0);
                let options = SubscriptionOptions {
                    maximum_qos,
                    no_local,
                    retain_as_published,
                    retain_handling,
                };
                all.push((stage.topic(&format!("options-{}", options.to_byte())), options));
            }
        }
    }
    let mut alice = stage.connected("alice").await?;
    let mut bob = stage.connected("bob").await?;
    let mut request = Subscribe::new(alice.packet_id(), "", QoS::AtMostOnce);
    request.subscriptions.clear();
    for (topic, options) in &all {
        request = request.and(topic, *options);
    }
    let suback = alice.request(request).await?;
    let asked: Vec<_> = all.iter().map(|(_, options)| options.maximum_qos).collect();
    stage.claims();
    alice.granted(&suback, &asked)?;
    for (number, (topic, _)) in all.iter().enumerate() {
        stage.means();
        bob.publish(topic, "for all", QoS::AtLeastOnce).await?;
        // The first has no options that are set.
        if number > 0 {
            stage.claims();
        }
        alice.receives(topic, "for all").await?;
    }
    Ok(())
}

async fn own_messages_return(stage: &mut Stage) -> Outcome {
    let mut alice = stage.connected("alice").await?;
    let mut bob = stage.connected("bob").await?;
    for qos in QoS::ALL {
        let topic = stage.topic(&qos.value().to_string());
        alice.subscribe(&topic, qos).await?;
        stage.nothing_on_at(&topic, qos, &mut bob, &mut alice).await?;
        alice.publish(&topic, "my own", qos).await?;
        stage.claims();
        alice.receives(&topic, "my own").await?;
        stage.means();
    }
    Ok(())
}

async fn no_local_withholds_own(stage: &mut Stage) -> Outcome {
    let mut alice = stage.connected("alice").await?;
    let mut bob = stage.connected("bob").await?;
    for qos in QoS::ALL {
        let topic = stage.topic(&qos.value().to_string());
        alice.subscribe_with(&topic, no_local(true, qos)).await?;
        bob.subscribe(&topic, qos).await?;
        only_of_others(stage, &topic, qos, &mut alice, &mut bob).await?;
        // A new subscription shows that the first message is not just slower than the second.
        stage.means();
        alice.unsubscribe(&topic).await?;
        alice.subscribe(&topic, qos).await?;
        alice.publish(&topic, "no longer", qos).await?;
        bob.receives(&topic, "no longer").await?;
        stage.claims();
        alice.receives(&topic, "no longer").await?;
        stage.means();
    }
    Ok(())
}

async fn no_local_survives_resume(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("own");
    let mut alice = stage.with_session("alice", 60).await?;
    let mut bob = stage.connected("bob").await?;
    bob.subscribe(&topic, QoS::AtLeastOnce).await?;
    alice.subscribe_with(&topic, no_local(true, QoS::AtLeastOnce)).await?;
    only_of_others(stage, &topic, QoS::AtLeastOnce, &mut alice, &mut bob).await?;
    stage.means();
    alice.leave().await?;
    let mut alice = stage.resumed("alice", 60).await?;
    // Nothing but No Local is to be seen as well when the subscription is gone.
    stage.proving("U-4.1-4");
    only_of_others(stage, &topic, QoS::AtLeastOnce, &mut alice, &mut bob).await
}

async fn no_local_replaced(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("own");
    let mut alice = stage.connected("alice").await?;
    let mut bob = stage.connected("bob").await?;
    bob.subscribe(&topic, QoS::AtLeastOnce).await?;
    stage.proving("MQTT-3.8.3-3");
    for withheld in [false, true, false, true] {
        stage.means();
        alice.subscribe_with(&topic, no_local(withheld, QoS::AtLeastOnce)).await?;
        if withheld {
            only_of_others(stage, &topic, QoS::AtLeastOnce, &mut alice, &mut bob).await?;
        } else {
            alice.publish(&topic, "my own", QoS::AtLeastOnce).await?;
            bob.receives(&topic, "my own").await?;
            stage.claims();
            alice.receives(&topic, "my own").await?;
        }
        stage.proving("MQTT-3.8.4-3");
    }
    Ok(())
}

async fn identifier_range(stage: &mut Stage) -> Outcome {
    const VALUES: [u32; 8] = [1, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152, 268_435_455];
    let mut alice = stage.connected("alice").await?;
    let mut bob = stage.connected("bob").await?;
    for value in VALUES {
        let topic = stage.topic(&value.to_string());
        // One that every target can have has been seen to work before the others.
        if value > 1 {
            stage.claims();
        }
        subscribe_as(&mut alice, &[&topic], Some(value)).await?;
        stage.means();
        bob.publish(&topic, "identified", QoS::AtLeastOnce).await?;
        if value > 1 {
            stage.claims();
        }
        let message = alice.receives(&topic, "identified").await?;
        has_identifier(stage, &message, Some(value))?;
        stage.means();
    }
    Ok(())
}

async fn identifier_of_each_filter(stage: &mut Stage) -> Outcome {
    let topics = ["first", "second", "third"].map(|name| stage.topic(name));
    let mut alice = stage.connected("alice").await?;
    let mut bob = stage.connected("bob").await?;
    let filters: Vec<_> = topics.iter().map(String::as_str).collect();
    subscribe_as(&mut alice, &filters, Some(7)).await?;
    for topic in &topics {
        bob.publish(topic, "identified", QoS::AtLeastOnce).await?;
        let message = alice.receives(topic, "identified").await?;
        has_identifier(stage, &message, Some(7))?;
    }
    Ok(())
}

async fn identifier_replaced(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("again");
    let mut alice = stage.connected("alice").await?;
    let mut bob = stage.connected("bob").await?;
    for identifier in [Some(1), Some(2), None, Some(3)] {
        subscribe_as(&mut alice, &[&topic], identifier).await?;
        bob.publish(&topic, "subscribed again", QoS::AtLeastOnce).await?;
        let message = alice.receives(&topic, "subscribed again").await?;
        has_identifier(stage, &message, identifier)?;
    }
    stage.proving("U-3.8.4-8");
    stage.means();
    alice.unsubscribe(&topic).await?;
    subscribe_as(&mut alice, &[&topic], None).await?;
    bob.publish(&topic, "subscribed anew", QoS::AtLeastOnce).await?;
    let message = alice.receives(&topic, "subscribed anew").await?;
    has_identifier(stage, &message, None)
}

fn no_local(no_local: bool, maximum_qos: QoS) -> SubscriptionOptions {
    SubscriptionOptions { no_local, ..SubscriptionOptions::at(maximum_qos) }
}

/// Both publish on a topic that both subscribe to; `quiet` has No Local.
async fn only_of_others(
    stage: &Stage,
    topic: &str,
    qos: QoS,
    quiet: &mut Probe,
    other: &mut Probe,
) -> Outcome {
    stage.means();
    quiet.publish(topic, "withheld", qos).await?;
    other.receives(topic, "withheld").await?;
    other.publish(topic, "of another", qos).await?;
    other.receives(topic, "of another").await?;
    stage.claims();
    quiet.receives(topic, "of another").await.map(drop)
}

async fn subscribe_as(probe: &mut Probe, filters: &[&str], identifier: Option<u32>) -> Outcome {
    let mut request = Subscribe::new(probe.packet_id(), "", QoS::AtLeastOnce);
    request.subscriptions.clear();
    for filter in filters {
        request = request.and(*filter, SubscriptionOptions::at(QoS::AtLeastOnce));
    }
    if let Some(identifier) = identifier {
        request = request.with(PropertyId::SubscriptionIdentifier, identifier);
    }
    let suback = probe.request(request).await?;
    probe.granted(&suback, &vec![QoS::AtLeastOnce; filters.len()])
}

fn has_identifier(stage: &Stage, message: &Publish, identifier: Option<u32>) -> Outcome {
    let expected = match identifier {
        Some(identifier) => format!("PUBLISH with subscription identifier {identifier} alone"),
        None => "PUBLISH without a subscription identifier".to_owned(),
    };
    let found = message.properties.numbers(PropertyId::SubscriptionIdentifier);
    let fits = found.eq(identifier);
    stage.check(fits, &expected, packet_text(&message.clone().into()))
}
