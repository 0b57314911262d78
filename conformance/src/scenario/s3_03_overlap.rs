//! Section 3.3.4: one message, several subscriptions of one client, and their identifiers.

use reference_broker::codec::{PropertyId, Publish, QoS, ReasonCode, SubscriptionOptions};

use super::{Scenario, Stage, scenario};
use crate::probe::Probe;
use crate::target::Need;
use crate::trace::{Said, packet_text};
use crate::verdict::Outcome;

pub(super) const SCENARIOS: &[Scenario] = &[
    scenario!(
        "3.3/overlap-highest-qos",
        overlap_highest_qos,
        "Of several matching subscriptions the one with the highest QoS decides, in any order",
        ["MQTT-3.3.4-2", "U-3.3.4-1"]
    )
    .needs(&[Need::QoS(QoS::ExactlyOnce), Need::Wildcards]),
    scenario!(
        "3.3/overlap-queued",
        overlap_queued,
        "A message that waits for several subscriptions of one client comes at the highest QoS",
        ["MQTT-3.3.4-2", "U-3.3.4-1"]
    )
    .needs(&[Need::QoS(QoS::ExactlyOnce), Need::Wildcards]),
    scenario!(
        "3.3/overlap-identifiers",
        overlap_identifiers,
        "One copy has the identifiers of all matching subscriptions; several have one each",
        ["MQTT-3.3.4-3", "MQTT-3.3.4-4", "MQTT-3.3.4-5", "U-3.3.2.3.8-2", "U-3.3.4-4"]
    )
    .needs(IDENTIFIED),
    scenario!(
        "3.3/overlap-same-identifier",
        overlap_same_identifier,
        "An identifier that several matching subscriptions have comes as often as they are",
        ["MQTT-3.3.4-3", "U-3.3.4-3"]
    )
    .needs(IDENTIFIED),
    scenario!(
        "3.3/overlap-no-local",
        overlap_no_local,
        "One's own message comes by the subscription without No Local, under its identifier only",
        ["MQTT-3.8.3-3", "U-3.3.4-4", "MQTT-3.3.4-3"]
    )
    .needs(IDENTIFIED),
    scenario!(
        "3.3/overlap-less-one",
        overlap_less_one,
        "After UNSUBSCRIBE the QoS and the identifier are those of the subscription that is left",
        ["U-3.8.4-8", "MQTT-3.8.4-8"]
    )
    .needs(&[Need::QoS(QoS::ExactlyOnce), Need::Wildcards, Need::SubscriptionIdentifiers]),
    scenario!(
        "3.3/identifier-of-what-matches",
        identifier_of_what_matches,
        "A message has no identifier of a subscription that does not match, or of another client",
        ["U-3.3.4-4", "MQTT-3.3.4-3"]
    )
    .needs(&[Need::QoS(QoS::AtLeastOnce), Need::SubscriptionIdentifiers]),
    scenario!(
        "3.3/identifier-queued",
        identifier_queued,
        "A message that waited has the identifier of its subscription, also when it is sent again",
        ["MQTT-3.3.4-3"]
    )
    .needs(&[Need::QoS(QoS::AtLeastOnce), Need::SubscriptionIdentifiers]),
    scenario!(
        "3.3/identifier-of-the-receiver",
        identifier_of_the_receiver,
        "A message by a Shared Subscription has the identifier that its receiver gave",
        ["U-3.3.4-5"]
    )
    .needs(&[
        Need::QoS(QoS::AtLeastOnce),
        Need::SubscriptionIdentifiers,
        Need::SharedSubscriptions,
    ]),
];

const IDENTIFIED: &[Need] =
    &[Need::QoS(QoS::AtLeastOnce), Need::Wildcards, Need::SubscriptionIdentifiers];

/// The identifiers of a message, ascending.
fn identifiers(publish: &Publish) -> Vec<u32> {
    let mut identifiers: Vec<_> =
        publish.properties.numbers(PropertyId::SubscriptionIdentifier).collect();
    identifiers.sort_unstable();
    identifiers
}

fn texts(publishes: &[Publish]) -> String {
    let texts: Vec<_> =
        publishes.iter().map(|publish| packet_text(&publish.clone().into())).collect();
    texts.join("; ")
}

/// Reads up to a marker at `qos`, and gives the copies of the message before it. Those of lower QoS
/// may come later: between levels there is no order (section 4.6).
async fn copies(to: &mut Probe, qos: QoS) -> Outcome<Vec<Publish>> {
    let mut copies = Vec::new();
    loop {
        let publish = to.message(&format!("the marker at QoS {}", qos.value())).await?;
        to.acknowledge(&publish).await?;
        match &*publish.payload {
            b"marker" if publish.qos == qos => return Ok(copies),
            b"message" => copies.push(publish),
            _ => {}
        }
    }
}

async fn publish_two(from: &mut Probe, topic: &str, qos: QoS) -> Outcome {
    from.publish(topic, "message", qos).await?;
    from.publish(topic, "marker", qos).await
}

/// Checks the copies of a message that was published at `qos`, for subscriptions with these levels:
/// one at the highest, and at most one more for each of the others, at its own.
fn at_highest_qos(stage: &Stage, copies: &[Publish], qos: QoS, granted: &[QoS]) -> Outcome {
    let highest = granted.iter().max().copied().unwrap_or_default().min(qos);
    let case = format!("QoS {} by subscriptions at {}", qos.value(), granted.said());
    stage.proving("MQTT-3.3.4-2");
    let expected = format!("a copy at QoS {}: {case}", highest.value());
    let found = copies.iter().any(|copy| copy.qos == highest);
    stage.check(found, &expected, texts(copies))?;
    let expected = format!("1 copy, or 1 for each: {case}");
    // Section 3.8.4 allows duplicates of a QoS 1 message where only QoS 0 is granted.
    let at_0 = |copy: &&Publish| qos == QoS::AtLeastOnce && copy.qos == QoS::AtMostOnce;
    let few = copies.iter().filter(|copy| !at_0(copy)).count() <= granted.len();
    stage.check(few, &expected, texts(copies))?;
    let own = |copy: &Publish| granted.iter().any(|granted| copy.qos == qos.min(*granted));
    let expected = format!("each copy at the QoS of a subscription: {case}");
    stage.check(copies.iter().all(own), &expected, texts(copies))
}

/// Shows that messages on this topic are delivered at every QoS.
async fn control(stage: &mut Stage, topic: &str, from: &mut Probe) -> Outcome {
    let mut control = stage.connected("control").await?;
    control.subscribe(topic, QoS::ExactlyOnce).await?;
    for qos in QoS::ALL {
        stage.nothing_on_at(topic, qos, from, &mut control).await?;
    }
    control.leave().await
}

async fn overlap_highest_qos(stage: &mut Stage) -> Outcome {
    const GRANTED: [[QoS; 3]; 4] = [
        [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce],
        [QoS::ExactlyOnce, QoS::AtLeastOnce, QoS::AtMostOnce],
        [QoS::AtLeastOnce, QoS::ExactlyOnce, QoS::AtMostOnce],
        [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::AtMostOnce],
    ];
    let topic = stage.topic("overlap/a");
    let mut alice = stage.connected("alice").await?;
    control(stage, &topic, &mut alice).await?;
    for granted in GRANTED {
        for qos in QoS::ALL {
            stage.means();
            let mut bob = stage.connected("bob").await?;
            for (filter, granted) in
                ["overlap/a", "overlap/+", "overlap/#"].into_iter().zip(granted)
            {
                bob.subscribe(&stage.topic(filter), granted).await?;
            }
            publish_two(&mut alice, &topic, qos).await?;
            let highest = granted.into_iter().max().unwrap_or_default().min(qos);
            stage.claims();
            let copies = copies(&mut bob, highest).await?;
            at_highest_qos(stage, &copies, qos, &granted)?;
        }
    }
    Ok(())
}

async fn overlap_queued(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("overlap/a");
    let mut alice = stage.connected("alice").await?;
    control(stage, &topic, &mut alice).await?;
    let mut bob = stage.with_session("bob", 60).await?;
    bob.subscribe(&stage.topic("overlap/+"), QoS::ExactlyOnce).await?;
    bob.subscribe(&topic, QoS::AtLeastOnce).await?;
    bob.leave().await?;
    publish_two(&mut alice, &topic, QoS::ExactlyOnce).await?;
    let mut bob = stage.resumed("bob", 60).await?;
    stage.claims();
    let copies = match copies(&mut bob, QoS::ExactlyOnce).await {
        Err(stop) => return Err(stage.for_want_of_kept(stop).await?),
        copies => copies?,
    };
    at_highest_qos(stage, &copies, QoS::ExactlyOnce, &[QoS::ExactlyOnce, QoS::AtLeastOnce])
}

async fn overlap_identifiers(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("overlap/a");
    let options = SubscriptionOptions::at(QoS::AtLeastOnce);
    let mut bob = stage.connected("bob").await?;
    bob.subscribe_identified(&topic, options, 1).await?;
    bob.subscribe_identified(&stage.topic("overlap/+"), options, 268_435_455).await?;
    bob.subscribe_with(&stage.topic("overlap/#"), options).await?;
    let mut alice = stage.connected("alice").await?;
    publish_two(&mut alice, &topic, QoS::AtLeastOnce).await?;
    let copies = copies(&mut bob, QoS::AtLeastOnce).await?;
    let mut all: Vec<_> = copies.iter().flat_map(identifiers).collect();
    all.sort_unstable();
    let expected = "the identifiers 1 and 268435455, each once";
    if let [single] = &copies[..] {
        let found = identifiers(single);
        let has_both = found.contains(&1) && found.contains(&268_435_455);
        stage.proving("MQTT-3.3.4-4");
        stage.check(has_both, expected, texts(&copies))?;
        stage.proving("U-3.3.4-4");
        return stage.check(found.len() == 2, expected, texts(&copies));
    }
    stage.proving("MQTT-3.3.4-5");
    let own = copies.iter().all(|copy| identifiers(copy).len() <= 1);
    stage.check(own, "each copy with the identifier of one subscription", texts(&copies))?;
    stage.proving("MQTT-3.3.4-3");
    stage.check(all == [1, 268_435_455], expected, texts(&copies))?;
    stage.proving("MQTT-3.3.4-2");
    stage.check(copies.len() <= 3, "at most 3 copies", texts(&copies))
}

async fn overlap_same_identifier(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("overlap/a");
    let options = SubscriptionOptions::at(QoS::AtLeastOnce);
    let mut bob = stage.connected("bob").await?;
    bob.subscribe_identified(&topic, options, 7).await?;
    bob.subscribe_identified(&stage.topic("overlap/+"), options, 7).await?;
    let mut alice = stage.connected("alice").await?;
    publish_two(&mut alice, &topic, QoS::AtLeastOnce).await?;
    let copies = copies(&mut bob, QoS::AtLeastOnce).await?;
    let all: Vec<_> = copies.iter().map(identifiers).collect();
    match &all[..] {
        [single] if *single == [7] => {
            stage.advise("U-3.3.4-3", "the identifier 7 twice in a single copy", texts(&copies));
            Ok(())
        }
        [single] => stage.check(*single == [7, 7], "the identifier 7 twice", texts(&copies)),
        [one, two] if *one == [7] && *two == [7] => Ok(()),
        _ => stage.fail("1 or 2 copies with the identifier 7", texts(&copies)),
    }
}

async fn overlap_no_local(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("overlap/a");
    let wild = stage.topic("overlap/+");
    let options = SubscriptionOptions::at(QoS::AtLeastOnce);
    let mut alice = stage.connected("alice").await?;
    control(stage, &topic, &mut alice).await?;
    let mut bob = stage.connected("bob").await?;
    let no_local = SubscriptionOptions { no_local: true, ..options };
    bob.subscribe_identified(&topic, no_local, 1).await?;
    // The QoS tells by which of them a message comes.
    bob.subscribe_identified(&wild, SubscriptionOptions::at(QoS::AtMostOnce), 2).await?;
    publish_two(&mut bob, &topic, QoS::AtLeastOnce).await?;
    stage.claims();
    let mut own = bob.receives_until(&topic, "marker").await?;
    let came = own.iter().any(|copy| *copy.payload == *b"message");
    stage.check(came, "one's own message by the subscription without No Local", texts(&own))?;
    own.extend(bob.messages_now().await?);
    // In a single copy the highest QoS of all that match may count, even of one that brings nothing.
    let is_single = own.len() == 1 && own.iter().all(|copy| identifiers(copy) == [2]);
    let by_other = is_single || own.iter().all(|copy| copy.qos == QoS::AtMostOnce);
    stage.check(by_other, "nothing by the subscription at QoS 1, with No Local", texts(&own))?;
    let has_own = own.iter().all(|copy| identifiers(copy).contains(&2));
    stage.proving(if has_own { "U-3.3.4-4" } else { "MQTT-3.3.4-3" });
    let only_own = own.iter().all(|copy| identifiers(copy) == [2]);
    stage.check(only_own, "the identifier 2 only", texts(&own))?;
    // What others publish comes by both.
    stage.proving("MQTT-3.3.4-3");
    stage.means();
    bob.subscribe_identified(&wild, options, 2).await?;
    publish_two(&mut alice, &topic, QoS::AtLeastOnce).await?;
    let others = copies(&mut bob, QoS::AtLeastOnce).await?;
    let mut found: Vec<_> = others.iter().flat_map(identifiers).collect();
    found.sort_unstable();
    stage.check(found == [1, 2], "the identifiers 1 and 2, each once", texts(&others))
}

async fn overlap_less_one(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("overlap/a");
    let mut alice = stage.connected("alice").await?;
    control(stage, &topic, &mut alice).await?;
    let mut bob = stage.connected("bob").await?;
    let at = SubscriptionOptions::at;
    bob.subscribe_identified(&topic, at(QoS::ExactlyOnce), 1).await?;
    bob.subscribe_identified(&stage.topic("overlap/+"), at(QoS::AtLeastOnce), 2).await?;
    let reason = bob.unsubscribe(&topic).await?;
    let removed = reason == ReasonCode::Success;
    stage.stands_on("MQTT-3.11.3-1", removed, "UNSUBACK 0x00", reason.row().name)?;
    publish_two(&mut alice, &topic, QoS::ExactlyOnce).await?;
    stage.proving("MQTT-3.8.4-8");
    let copies = copies(&mut bob, QoS::AtLeastOnce).await?;
    let observed = texts(&copies);
    let at_1 = copies.iter().all(|copy| copy.qos == QoS::AtLeastOnce);
    stage.check(at_1 && copies.len() == 1, "a single copy at QoS 1", observed.clone())?;
    stage.proving("U-3.8.4-8");
    let own = copies.iter().all(|copy| identifiers(copy) == [2]);
    stage.check(own, "the identifier 2 only", observed)
}

async fn identifier_of_what_matches(stage: &mut Stage) -> Outcome {
    let (topic, other) = (stage.topic("matching"), stage.topic("matching/not"));
    let options = SubscriptionOptions::at(QoS::AtLeastOnce);
    let mut bob = stage.connected("bob").await?;
    bob.subscribe_identified(&other, options, 9).await?;
    bob.subscribe_identified(&topic, options, 1).await?;
    let mut carol = stage.connected("carol").await?;
    carol.subscribe_identified(&topic, options, 5).await?;
    let mut dave = stage.connected("dave").await?;
    dave.subscribe_with(&topic, options).await?;
    let mut alice = stage.connected("alice").await?;
    alice.publish(&topic, "message", QoS::AtLeastOnce).await?;
    for (subscriber, own) in [(&mut bob, Some(1)), (&mut carol, Some(5)), (&mut dave, None)] {
        stage.means();
        let publish = subscriber.receives(&topic, "message").await?;
        let found = identifiers(&publish);
        let own: Vec<u32> = own.into_iter().collect();
        let lacks = own.iter().any(|own| !found.contains(own));
        stage.proving(if lacks { "MQTT-3.3.4-3" } else { "U-3.3.4-4" });
        let expected = format!("just the identifiers {}", own.said());
        stage.check(found == own, &expected, packet_text(&publish.into()))?;
    }
    Ok(())
}

async fn identifier_queued(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("queued");
    let mut bob = stage.with_session("bob", 60).await?;
    bob.subscribe_identified(&topic, SubscriptionOptions::at(QoS::AtLeastOnce), 129).await?;
    bob.leave().await?;
    let mut alice = stage.connected("alice").await?;
    alice.publish(&topic, "message", QoS::AtLeastOnce).await?;
    for _ in 0..2 {
        let mut bob = stage.resumed("bob", 60).await?;
        let publish = bob.holds(&topic, "message").await?;
        let observed = packet_text(&publish.clone().into());
        stage.check(identifiers(&publish) == [129], "the identifier 129", observed)?;
        bob.leave().await?;
    }
    Ok(())
}

async fn identifier_of_the_receiver(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("shared");
    let shared = stage.shared(&topic);
    let options = SubscriptionOptions::at(QoS::AtLeastOnce);
    let mut alice = stage.connected("alice").await?;
    let mut bob = stage.connected("bob").await?;
    bob.subscribe_identified(&shared, options, 3).await?;
    alice.publish(&topic, "alone", QoS::AtLeastOnce).await?;
    let first = bob.receives(&topic, "alone").await?;
    let observed = packet_text(&first.clone().into());
    stage.check(identifiers(&first) == [3], "the identifier 3 only", observed)?;
    // The next of the group gave another.
    let mut carol = stage.connected("carol").await?;
    carol.subscribe_identified(&shared, options, 4).await?;
    bob.unsubscribe(&shared).await?;
    alice.publish(&topic, "the other", QoS::AtLeastOnce).await?;
    let second = carol.receives(&topic, "the other").await?;
    let observed = packet_text(&second.clone().into());
    stage.check(identifiers(&second) == [4], "the identifier 4 only", observed)
}
