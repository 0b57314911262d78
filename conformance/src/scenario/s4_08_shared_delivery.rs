//! Section 4.8.2: Shared Subscriptions, and how their messages are delivered.

use reference_broker::codec::{
    PropertyId, Publish, QoS, ReasonCode, RetainHandling, SubscriptionOptions, Will,
};

use super::copies::{is_repeated, numbered, sorted};
use super::{Scenario, Stage, scenario};
use crate::target::Need;
use crate::trace::Said;
use crate::verdict::Outcome;

pub(super) const SCENARIOS: &[Scenario] = &[
    scenario!(
        "4.8/no-retained-messages",
        no_retained_messages,
        "Subscribing to a shared subscription brings no retained message, first or not",
        ["U-3.8.4-3", "U-4.8.2-4"]
    )
    .needs(&[Need::SharedSubscriptions, Need::Retain]),
    scenario!(
        "4.8/retain-as-published",
        retain_as_published,
        "RETAIN on messages to a member follows its Retain As Published",
        ["MQTT-3.3.1-13", "MQTT-3.3.1-12"]
    )
    .needs(&[Need::SharedSubscriptions, Need::Retain]),
    scenario!(
        "4.8/subscription-identifier",
        subscription_identifier,
        "Messages to a member carry its own Subscription Identifier",
        ["MQTT-3.3.4-3"]
    )
    .needs(&[Need::SharedSubscriptions, Need::SubscriptionIdentifiers]),
    scenario!(
        "4.8/granted-qos",
        granted_qos,
        "Each member gets its messages at no more than the QoS granted to it",
        ["MQTT-4.8.2-3"]
    )
    .needs(QOS2),
    scenario!(
        "4.8/offline-members",
        offline_members,
        "With members offline, some or all, each message reaches one member in the end",
        ["U-4.8.2-1", "MQTT-4.5.0-1", "U-4.1-6"]
    )
    .needs(QOS1),
    scenario!(
        "4.8/qos2-stays-with-its-member",
        qos2_stays_with_its_member,
        "A QoS 2 delivery begun to a member is completed to it on resume, and to no other",
        ["MQTT-4.8.2-4"]
    )
    .needs(QOS2),
    scenario!(
        "4.8/qos2-ends-with-its-member",
        qos2_ends_with_its_member,
        "A QoS 2 message begun to a member whose session ends goes to no other",
        ["MQTT-4.8.2-5"]
    )
    .needs(QOS2),
    scenario!(
        "4.8/qos1-of-a-lost-member",
        qos1_of_a_lost_member,
        "A QoS 1 message that a lost member did not acknowledge comes to it again, or to another",
        ["MQTT-4.4.0-1", "MQTT-4.3.2-3", "U-4.8.2-8", "U-4.8.2-9"]
    )
    .needs(QOS1),
    scenario!(
        "4.8/error-acknowledgement-discards",
        error_acknowledgement_discards,
        "A message that a member answers with an error goes to no other",
        ["MQTT-4.8.2-6", "MQTT-4.4.0-2"]
    )
    .needs(QOS1),
];

const QOS1: &[Need] = &[Need::SharedSubscriptions, Need::QoS(QoS::AtLeastOnce)];
const QOS2: &[Need] = &[Need::SharedSubscriptions, Need::QoS(QoS::ExactlyOnce)];

async fn no_retained_messages(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("stored");
    let mut bob = stage.connected("bob").await?;
    let id = bob.packet_id();
    bob.publish_with(Publish::new(topic.as_str(), "stored").qos(QoS::AtLeastOnce, id).retain())
        .await?;
    let mut carol = stage.connected("carol").await?;
    carol.subscribe(&topic, QoS::AtLeastOnce).await?;
    carol.receives(&topic, "stored").await?;
    for retain_handling in [RetainHandling::Send, RetainHandling::SendIfNew] {
        let options =
            SubscriptionOptions { retain_handling, ..SubscriptionOptions::at(QoS::AtLeastOnce) };
        let mut first = stage.connected("first").await?;
        let mut second = stage.connected("second").await?;
        first.subscribe_with(&stage.shared(&topic), options).await?;
        first.has_no_message().await?;
        first.subscribe_with(&stage.shared(&topic), options).await?;
        first.has_no_message().await?;
        second.subscribe_with(&stage.shared(&topic), options).await?;
        second.has_no_message().await?;
        // With one member left the marker has one place to go.
        first.unsubscribe(&stage.shared(&topic)).await?;
        stage.nothing_on(&topic, &mut bob, &mut second).await?;
        first.has_no_message().await?;
        second.leave().await?;
    }
    Ok(())
}

async fn retain_as_published(stage: &mut Stage) -> Outcome {
    let mut bob = stage.connected("bob").await?;
    for (name, requirement, retain_as_published) in
        [("kept", "MQTT-3.3.1-13", true), ("cleared", "MQTT-3.3.1-12", false)]
    {
        stage.proving(requirement);
        stage.means();
        let topic = stage.topic(name);
        let options = SubscriptionOptions {
            retain_as_published,
            ..SubscriptionOptions::at(QoS::AtLeastOnce)
        };
        let mut alice = stage.connected("alice").await?;
        alice.subscribe_with(&stage.shared(&topic), options).await?;
        let id = bob.packet_id();
        let publish = Publish::new(topic.as_str(), "retained").qos(QoS::AtLeastOnce, id);
        bob.publish_with(publish.retain()).await?;
        let publish = alice.receives(&topic, "retained").await?;
        let expected = format!("RETAIN {}", u8::from(retain_as_published));
        let observed = format!("RETAIN {}", u8::from(publish.retain));
        stage.check(publish.retain == retain_as_published, &expected, observed)?;
        alice.leave().await?;
    }
    Ok(())
}

async fn subscription_identifier(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("known");
    let at = SubscriptionOptions::at(QoS::AtLeastOnce);
    let mut alice = stage.connected("alice").await?;
    alice.subscribe_identified(&stage.shared(&topic), at, 9).await?;
    let mut carol = stage.connected("carol").await?;
    carol.subscribe_identified(&stage.shared(&topic), at, 300).await?;
    let mut bob = stage.connected("bob").await?;
    for payload in numbered(6) {
        bob.publish(&topic, &payload, QoS::AtLeastOnce).await?;
    }
    let shares = stage.gather([&mut alice, &mut carol], 6).await?;
    let count: usize = shares.iter().map(Vec::len).sum();
    let observed = format!("{count} copies of 6");
    stage.stands_on("U-4.8.2-1", count == 6, "each message at one member", observed)?;
    for (share, identifier) in shares.iter().zip([9, 300]) {
        for publish in share {
            let found = publish.properties.number(PropertyId::SubscriptionIdentifier);
            let expected = format!("subscription_identifier={identifier}");
            stage.check(found == Some(identifier), &expected, found.said())?;
        }
    }
    Ok(())
}

async fn granted_qos(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("levels");
    let mut alice = stage.connected("alice").await?;
    let mut carol = stage.connected("carol").await?;
    let mut dave = stage.connected("dave").await?;
    for (member, qos) in [&mut alice, &mut carol, &mut dave].into_iter().zip(QoS::ALL) {
        member.subscribe(&stage.shared(&topic), qos).await?;
    }
    let mut bob = stage.connected("bob").await?;
    for payload in numbered(9) {
        bob.publish(&topic, &payload, QoS::ExactlyOnce).await?;
    }
    let shares = stage.gather([&mut alice, &mut carol, &mut dave], 9).await?;
    for (share, granted) in shares.iter().zip(QoS::ALL) {
        let levels: Vec<QoS> = share.iter().map(|publish| publish.qos).collect();
        let holds = levels.iter().all(|qos| *qos == granted);
        stage.check(holds, &format!("{}, as granted", granted.said()), levels.said())?;
    }
    // Each of them alone, so that none is left out by the broker's choice.
    for (payload, qos) in ["last two", "last one"].iter().zip([QoS::AtLeastOnce, QoS::ExactlyOnce])
    {
        let (leaver, stays) = match qos {
            QoS::AtLeastOnce => ([&mut alice, &mut dave], &mut carol),
            _ => ([&mut alice, &mut carol], &mut dave),
        };
        for probe in leaver {
            probe.unsubscribe(&stage.shared(&topic)).await?;
        }
        stays.subscribe(&stage.shared(&topic), qos).await?;
        bob.publish(&topic, payload, QoS::ExactlyOnce).await?;
        let publish = stays.receives(&topic, payload).await?;
        let observed = publish.qos.said();
        stage.check(publish.qos == qos, &format!("{}, as granted", qos.said()), observed)?;
    }
    Ok(())
}

async fn offline_members(stage: &mut Stage) -> Outcome {
    let payloads = numbered(9);
    for qos in stage.acknowledged_levels() {
        for all_offline in [false, true] {
            let name = if all_offline { "none" } else { "one" };
            let topic = stage.topic(&format!("{name}{}", qos.value()));
            let mut alice = stage.with_session("alice", 60).await?;
            alice.subscribe(&stage.shared(&topic), qos).await?;
            let mut carol = stage.with_session("carol", 60).await?;
            carol.subscribe(&stage.shared(&topic), qos).await?;
            carol.leave().await?;
            let connected = match all_offline {
                true => alice.leave().await.map(|()| None)?,
                false => Some(alice),
            };
            let mut bob = stage.connected("bob").await?;
            for payload in &payloads {
                bob.publish(&topic, payload, qos).await?;
            }
            let mut alice = match connected {
                Some(alice) => alice,
                None => stage.resumed("alice", 60).await?,
            };
            let mut carol = stage.resumed("carol", 60).await?;
            let shares = stage.gather([&mut alice, &mut carol], payloads.len()).await?;
            let all = sorted(&shares);
            if all.is_empty() && all_offline {
                stage.keeps_messages().await?;
            }
            let expected =
                format!("each message at one member, {name} of them connected, {}", qos.said());
            stage.check(all == payloads, &expected, all.said())?;
            alice.leave().await?;
            carol.leave().await?;
        }
    }
    Ok(())
}

async fn qos2_stays_with_its_member(stage: &mut Stage) -> Outcome {
    let qos = QoS::ExactlyOnce;
    for (name, released) in [("sent", false), ("released", true)] {
        let topic = stage.topic(name);
        stage.means();
        let mut bob = stage.connected("bob").await?;
        let mut alice = stage.with_session("alice", 60).await?;
        alice.subscribe(&stage.shared(&topic), qos).await?;
        bob.publish(&topic, "begun", qos).await?;
        let publish = alice.holds(&topic, "begun").await?;
        if released {
            alice.takes_up_to_pubrel(&publish).await?;
        }
        let mut carol = stage.connected("carol").await?;
        carol.subscribe(&stage.shared(&topic), qos).await?;
        alice.vanish().await?;
        carol.has_no_message().await?;

        let mut alice = stage.resumed("alice", 60).await?;
        if released {
            stage.claims();
            alice.pubrel(publish.packet_id).await?;
            alice.complete(publish.packet_id).await?;
        } else {
            stage.claims();
            let again = alice.receives(&topic, "begun").await?;
            is_repeated(stage, &publish, &again)?;
        }
        stage.means();
        // With one member left the marker has one place to go.
        alice.unsubscribe(&stage.shared(&topic)).await?;
        stage.nothing_on_at(&topic, qos, &mut bob, &mut carol).await?;
        alice.has_no_message().await?;
        alice.leave().await?;
        carol.leave().await?;
    }
    Ok(())
}

async fn qos2_ends_with_its_member(stage: &mut Stage) -> Outcome {
    let qos = QoS::ExactlyOnce;
    for (name, released) in [("sent", false), ("released", true)] {
        let topic = stage.topic(name);
        let gone = stage.topic(&format!("gone, {name}"));
        let will = Will::new(&gone, "gone").qos(QoS::AtLeastOnce);
        let mut bob = stage.connected("bob").await?;
        bob.subscribe(&gone, QoS::AtLeastOnce).await?;
        let mut alice = stage.connected_with("alice", |connect| connect.will(will)).await?;
        alice.subscribe(&stage.shared(&topic), qos).await?;
        bob.publish(&topic, "begun", qos).await?;
        let publish = alice.holds(&topic, "begun").await?;
        if released {
            alice.takes_up_to_pubrel(&publish).await?;
        }
        let mut carol = stage.connected("carol").await?;
        carol.subscribe(&stage.shared(&topic), qos).await?;
        alice.vanish().await?;
        // Before the target has noticed, messages may go to her, and end with her.
        bob.receives_will(&gone, "gone").await?;
        stage.nothing_on_at(&topic, qos, &mut bob, &mut carol).await?;
        carol.leave().await?;
    }
    Ok(())
}

async fn qos1_of_a_lost_member(stage: &mut Stage) -> Outcome {
    let qos = QoS::AtLeastOnce;
    for comes_back in [true, false] {
        stage.means();
        let topic = stage.topic(if comes_back { "back" } else { "gone" });
        let mut bob = stage.connected("bob").await?;
        let mut alice = stage.with_session("alice", if comes_back { 60 } else { 0 }).await?;
        let kept = alice.session_expiry();
        alice.subscribe(&stage.shared(&topic), qos).await?;
        bob.publish(&topic, "begun", qos).await?;
        alice.holds(&topic, "begun").await?;
        let mut carol = stage.connected("carol").await?;
        carol.subscribe(&stage.shared(&topic), qos).await?;
        alice.vanish().await?;
        if !comes_back {
            // The target may keep her session for longer than it was asked to.
            if kept == 0 && carol.message_or_silence().await?.is_none() {
                let expected = "the message at another member, as the session of its own ended";
                stage.advise("U-4.8.2-9", expected, "nothing");
            }
            continue;
        }
        let mut alice = stage.resumed("alice", 60).await?;
        stage.claims();
        // Both is no fault either: its first copy may have been on its way already.
        let came = sorted(&stage.gather([&mut alice, &mut carol], 1).await?);
        let is_there = !came.is_empty() && came.iter().all(|text| text == "begun");
        stage.check(is_there, "the message at its member again, or at another", came.said())?;
        alice.leave().await?;
        carol.leave().await?;
    }
    Ok(())
}

async fn error_acknowledgement_discards(stage: &mut Stage) -> Outcome {
    for qos in stage.acknowledged_levels() {
        let topic = stage.topic(&format!("refused{}", qos.value()));
        let mut bob = stage.connected("bob").await?;
        let mut alice = stage.with_session("alice", 60).await?;
        alice.subscribe(&stage.shared(&topic), qos).await?;
        bob.publish(&topic, "refused", qos).await?;
        let publish = alice.holds(&topic, "refused").await?;
        let mut carol = stage.connected("carol").await?;
        carol.subscribe(&stage.shared(&topic), qos).await?;
        alice.answer_with(&publish, ReasonCode::ImplementationSpecificError).await?;
        alice.ping().await?;
        alice.unsubscribe(&stage.shared(&topic)).await?;
        stage.nothing_on_at(&topic, qos, &mut bob, &mut carol).await?;
        alice.vanish().await?;
        let mut alice = stage.resumed("alice", 60).await?;
        alice.has_no_message().await?;
        alice.leave().await?;
        carol.leave().await?;
    }
    Ok(())
}
