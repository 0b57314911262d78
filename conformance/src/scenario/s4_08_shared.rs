//! Section 4.8.2: Shared Subscriptions, which there are and what reaches them.

use std::collections::BTreeSet;

use reference_broker::codec::{Publish, QoS, Subscribe};

use super::copies::{numbered, sorted, texts};
use super::{Scenario, Stage, scenario};
use crate::target::Need;
use crate::trace::{Said, packet_text};
use crate::verdict::{Outcome, step};

pub(super) const SCENARIOS: &[Scenario] = &[
    scenario!(
        "4.8/one-member-gets-all",
        one_member_gets_all,
        "The only member of a shared subscription gets every message once",
        ["U-4.8.2-4", "U-4.8.2-2"]
    )
    .plain(&[step::DELIVER_SHARED])
    .needs(SHARED),
    scenario!(
        "4.8/one-copy-in-the-group",
        one_copy_in_the_group,
        "Each message goes to one member of a shared subscription, whichever",
        ["U-4.8.2-1", "U-3.8.4-4", "U-4.8.2-7"]
    )
    .needs(SHARED),
    scenario!(
        "4.8/groups-are-independent",
        groups_are_independent,
        "Groups of other names, and subscriptions without one, each get a copy of their own",
        ["U-4.8.2-3", "U-4.8.1-1"]
    )
    .needs(SHARED),
    scenario!(
        "4.8/filters-are-independent",
        filters_are_independent,
        "Shared subscriptions of one name with other filters each get a copy of their own",
        ["U-4.8.2-3"]
    )
    .needs(WILDCARDS),
    scenario!(
        "4.8/shared-and-plain-in-one-client",
        shared_and_plain_in_one_client,
        "A member that also has a subscription of its own gets its own copies beside the group's",
        ["U-4.8.2-11"]
    )
    .needs(SHARED),
    scenario!(
        "4.8/matched-by-filter-part",
        matched_by_filter_part,
        "What follows the name is matched as a filter by itself, wildcards included",
        ["U-4.8.2-2"]
    )
    .needs(WILDCARDS),
    scenario!(
        "4.8/filter-with-leading-slash",
        filter_with_leading_slash,
        "A filter that begins with a slash after the name matches topics that do",
        ["U-4.8.2-2"]
    )
    .needs(SHARED),
    scenario!(
        "4.8/invalid-filters-refused",
        invalid_filters_refused,
        "Shared filters without a name, with wildcards in it, or without a filter are not granted",
        ["MQTT-4.8.2-2", "MQTT-4.8.2-1"]
    )
    .breaks(&["MQTT-4.8.2-1", "MQTT-4.8.2-2"])
    .needs(SHARED),
    scenario!(
        "4.8/not-a-topic-of-the-group",
        not_a_topic_of_the_group,
        "A message published to the text of a shared filter does not reach its members",
        ["U-4.8.2-2"]
    )
    .needs(SHARED),
];

const SHARED: &[Need] = &[Need::SharedSubscriptions];
const WILDCARDS: &[Need] = &[Need::SharedSubscriptions, Need::Wildcards];

async fn one_member_gets_all(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("alone");
    let mut alice = stage.connected("alice").await?;
    alice.subscribe(&stage.shared(&topic), QoS::AtLeastOnce).await?;
    let mut bob = stage.connected("bob").await?;
    stage.serves(&mut bob).await?;
    for payload in numbered(5) {
        stage.means();
        bob.publish(&topic, &payload, QoS::AtLeastOnce).await?;
        stage.claims();
        alice.receives(&topic, &payload).await?;
    }
    stage.nothing_on(&topic, &mut bob, &mut alice).await
}

async fn one_copy_in_the_group(stage: &mut Stage) -> Outcome {
    let mut levels = stage.acknowledged_levels();
    levels.push(QoS::AtMostOnce);
    let payloads = numbered(9);
    for qos in levels {
        let topic = stage.topic(&format!("work{}", qos.value()));
        let mut alice = stage.connected("alice").await?;
        let mut carol = stage.connected("carol").await?;
        let mut dave = stage.connected("dave").await?;
        for member in [&mut alice, &mut carol, &mut dave] {
            member.subscribe(&stage.shared(&topic), qos).await?;
        }
        let mut bob = stage.connected("bob").await?;
        for payload in &payloads {
            bob.publish(&topic, payload, qos).await?;
        }
        let members = [&mut alice, &mut carol, &mut dave];
        let all = sorted(&stage.gather(members, payloads.len()).await?);
        // At QoS 0 messages may be lost, but not doubled.
        let once: BTreeSet<&String> = all.iter().collect();
        let holds = all.len() == once.len() && (qos == QoS::AtMostOnce || all == payloads);
        let expected = format!("each message at one member, {}", qos.said());
        stage.check(holds, &expected, all.said())?;
    }
    Ok(())
}

async fn groups_are_independent(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("news");
    let mut probes = Vec::new();
    for (name, filter) in [
        ("alice", stage.shared_by("readers", &topic)),
        ("carol", stage.shared_by("writers", &topic)),
        ("dave", stage.shared_by("Readers", &topic)),
        ("erin", topic.clone()),
        ("frank", topic.clone()),
    ] {
        let mut probe = stage.connected(name).await?;
        probe.subscribe(&filter, QoS::AtLeastOnce).await?;
        probes.push(probe);
    }
    let mut bob = stage.connected("bob").await?;
    for payload in numbered(4) {
        stage.means();
        bob.publish(&topic, &payload, QoS::AtLeastOnce).await?;
        // First the last one, which has nothing to do with shared subscriptions.
        for (number, probe) in probes.iter_mut().rev().enumerate() {
            if number > 0 {
                stage.claims();
            }
            probe.receives(&topic, &payload).await?;
        }
    }
    Ok(())
}

async fn filters_are_independent(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("tree/leaf");
    let mut probes = Vec::new();
    for (name, filter) in [("alice", "tree/leaf"), ("carol", "tree/+"), ("dave", "tree/#")] {
        let mut probe = stage.connected(name).await?;
        probe.subscribe(&stage.shared(&stage.topic(filter)), QoS::AtLeastOnce).await?;
        probes.push(probe);
    }
    let mut bob = stage.connected("bob").await?;
    stage.serves(&mut bob).await?;
    for payload in numbered(4) {
        stage.means();
        bob.publish(&topic, &payload, QoS::AtLeastOnce).await?;
        stage.claims();
        for probe in &mut probes {
            probe.receives(&topic, &payload).await?;
        }
    }
    Ok(())
}

async fn shared_and_plain_in_one_client(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("both");
    let mut alice = stage.connected("alice").await?;
    alice.subscribe(&topic, QoS::AtLeastOnce).await?;
    let mut carol = stage.connected("carol").await?;
    for member in [&mut alice, &mut carol] {
        member.subscribe(&stage.shared(&topic), QoS::AtLeastOnce).await?;
    }
    let mut bob = stage.connected("bob").await?;
    let payloads = numbered(6);
    for payload in &payloads {
        bob.publish(&topic, payload, QoS::AtLeastOnce).await?;
    }
    let shares = stage.gather([&mut alice, &mut carol], 2 * payloads.len()).await?;
    let [own, _] = &shares;
    let own = texts(own);
    let has_own = payloads.iter().all(|payload| own.contains(payload));
    stage.check(has_own, "each message at the client with both", own.said())?;
    let all = sorted(&shares);
    let twice: Vec<String> =
        payloads.iter().flat_map(|text| [text.clone(), text.clone()]).collect();
    stage.check(all == twice, "two copies of each message", all.said())
}

async fn matched_by_filter_part(stage: &mut Stage) -> Outcome {
    let mut bob = stage.connected("bob").await?;
    stage.serves(&mut bob).await?;
    for (filter, matching, other) in [
        ("a/+/c", "a/b/c", "a/b/d"),
        ("b/#", "b/x/y", "c/x/y"),
        ("d/#", "d", "dd"),
        ("+/e", "x/e", "x/f"),
    ] {
        stage.means();
        let mut alice = stage.connected("alice").await?;
        alice.subscribe(&stage.shared(&stage.topic(filter)), QoS::AtLeastOnce).await?;
        bob.publish(&stage.topic(other), "other", QoS::AtLeastOnce).await?;
        bob.publish(&stage.topic(matching), "matching", QoS::AtLeastOnce).await?;
        stage.claims();
        alice.receives(&stage.topic(matching), "matching").await?;
        alice.has_no_message().await?;
        alice.leave().await?;
    }
    Ok(())
}

async fn filter_with_leading_slash(stage: &mut Stage) -> Outcome {
    let without = stage.topic("finance");
    let with = format!("/{without}");
    let mut alice = stage.connected("alice").await?;
    alice.subscribe(&stage.shared(&with), QoS::AtLeastOnce).await?;
    let mut bob = stage.connected("bob").await?;
    stage.serves(&mut bob).await?;
    bob.publish(&without, "other", QoS::AtLeastOnce).await?;
    bob.publish(&with, "matching", QoS::AtLeastOnce).await?;
    stage.claims();
    alice.receives(&with, "matching").await?;
    alice.has_no_message().await
}

async fn invalid_filters_refused(stage: &mut Stage) -> Outcome {
    let (group, topic) = (stage.share_name("g"), stage.topic("valid"));
    let invalid = [
        ("$share/".to_owned(), "MQTT-4.8.2-1"),
        (format!("$share//{topic}"), "MQTT-4.8.2-1"),
        ("$share//".to_owned(), "MQTT-4.8.2-1"),
        (format!("$share/{group}"), "MQTT-4.8.2-2"),
        (format!("$share/{group}/"), "MQTT-4.8.2-2"),
        (format!("$share/+/{topic}"), "MQTT-4.8.2-2"),
        (format!("$share/#/{topic}"), "MQTT-4.8.2-2"),
        (format!("$share/{group}+b/{topic}"), "MQTT-4.8.2-2"),
        (format!("$share/{group}#/{topic}"), "MQTT-4.8.2-2"),
        ("$share/#".to_owned(), "MQTT-4.8.2-2"),
        (format!("$share/{group}/{topic}#"), "MQTT-4.8.2-2"),
        (format!("$share/{group}/{topic}/#/b"), "MQTT-4.8.2-2"),
        (format!("$share/{group}/+{topic}"), "MQTT-4.8.2-2"),
    ];
    let mut bob = stage.connected("bob").await?;
    for (filter, requirement) in invalid {
        stage.means();
        // The nearest valid neighbour is granted and works.
        let mut alice = stage.connected("alice").await?;
        alice.subscribe(&stage.shared_by("g", &topic), QoS::AtLeastOnce).await?;
        stage.nothing_on(&topic, &mut bob, &mut alice).await?;
        stage.proving(requirement);
        let id = alice.packet_id();
        alice.send(Subscribe::new(id, &*filter, QoS::AtLeastOnce)).await?;
        if let Some(suback) = alice.ack_or_close(id).await? {
            let refused = suback.reasons.iter().all(|reason| reason.is_error());
            let expected = format!("\"{filter}\" not granted");
            let packet = reference_broker::codec::Packet::SubAck(suback);
            stage.check(refused, &expected, packet_text(&packet))?;
        }
        alice.vanish().await?;
    }
    Ok(())
}

async fn not_a_topic_of_the_group(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("inner");
    let mut alice = stage.connected("alice").await?;
    alice.subscribe(&stage.shared(&topic), QoS::AtLeastOnce).await?;
    let mut bob = stage.connected("bob").await?;
    stage.nothing_on(&topic, &mut bob, &mut alice).await?;
    // A broker may take this message, refuse it, or close.
    let mut carol = stage.connected("carol").await?;
    let id = carol.packet_id();
    let publish = Publish::new(stage.shared(&topic), "outer").qos(QoS::AtLeastOnce, id);
    carol.send(publish).await?;
    carol.vanish().await?;
    stage.nothing_on(&topic, &mut bob, &mut alice).await?;
    alice.has_no_message().await
}
