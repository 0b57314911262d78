//! Section 3.1.4: takeovers that overlap. The standard lays down no order among them, but what is left
//! in the end.

use std::collections::{BTreeMap, BTreeSet};

use reference_broker::codec::{Connect, Packet, Publish, PublishAck, QoS, Will};

use super::copies::{is_repeated, text};
use super::rivals::Settled;
use super::{Scenario, Stage, scenario};
use crate::probe::Probe;
use crate::target::Need;
use crate::trace::Said;
use crate::verdict::Outcome;

/// How many connections are opened at the same time.
const RIVALS: usize = 4;

/// How often it is done: it may go well by chance.
const ROUNDS: usize = 3;

pub(super) const SCENARIOS: &[Scenario] = &[
    scenario!(
        "3.1/parallel-takeovers",
        parallel_takeovers,
        "Of connections opened at once for one session one is left, with the session and all messages",
        ["MQTT-3.1.4-3", "MQTT-3.1.4-5", "MQTT-3.1.2-5", "MQTT-4.5.0-1", "U-3.2.2.2-2"]
    )
    .needs(&[Need::Sessions, Need::QoS(QoS::AtLeastOnce)]),
    scenario!(
        "3.1/parallel-clean-starts",
        parallel_clean_starts,
        "Of clean starts at once one is left, with a new session that outlives its connection",
        ["MQTT-3.1.4-3", "MQTT-3.1.4-5", "MQTT-3.1.2-4", "MQTT-3.1.2-23", "MQTT-3.1.4-4"]
    )
    .needs(&[Need::Sessions, Need::QoS(QoS::AtLeastOnce)]),
    scenario!(
        "3.1/parallel-takeovers-publish-wills",
        parallel_takeovers_publish_wills,
        "The Will of each connection that is taken over in a row is published, and once",
        ["U-3.1.4-5", "MQTT-3.1.2-8", "MQTT-3.1.2-10"]
    )
    .needs(&[Need::QoS(QoS::AtLeastOnce)]),
    scenario!(
        "3.1/parallel-takeovers-of-publisher",
        parallel_takeovers_of_publisher,
        "A QoS 2 message on its way while its publisher is taken over arrives exactly once",
        ["MQTT-4.3.3-10", "MQTT-3.1.2-5", "MQTT-4.3.3-11"]
    )
    .needs(&[Need::Sessions, Need::QoS(QoS::ExactlyOnce)]),
    scenario!(
        "3.1/parallel-takeovers-of-subscriber",
        parallel_takeovers_of_subscriber,
        "QoS 2 messages on their way to who is taken over go on where they were",
        ["MQTT-4.4.0-1", "MQTT-3.1.2-5"]
    )
    .needs(&[Need::Sessions, Need::QoS(QoS::ExactlyOnce)]),
];

fn resuming(_: usize, connect: Connect) -> Connect {
    connect.resume().session_expiry(60)
}

async fn parallel_takeovers(stage: &mut Stage) -> Outcome {
    let mut bob = stage.connected("bob").await?;
    for round in 0..ROUNDS {
        let topic = stage.topic(&format!("taken{round}"));
        let mut older = stage.with_session("alice", 60).await?;
        older.subscribe(&topic, QoS::AtLeastOnce).await?;
        bob.publish(&topic, "before", QoS::AtLeastOnce).await?;
        older.holds(&topic, "before").await?;
        let mut rivals = stage.rivals("alice", RIVALS / 2, resuming).await?;
        bob.publish(&topic, "meanwhile", QoS::AtLeastOnce).await?;
        rivals.append(&mut stage.rivals("alice", RIVALS / 2, resuming).await?);
        let mut alice = stage.settled_in_session("alice", older, rivals).await?;
        // No connection has acknowledged them: whichever is left gets them, be it once more.
        stage.claims();
        stage.proving("MQTT-4.5.0-1");
        let mut came = BTreeSet::new();
        for expected in ["the first of two messages", "the second of two messages"] {
            let publish = alice.message(expected).await?;
            alice.acknowledge(&publish).await?;
            came.insert(text(&publish));
        }
        let holds = came.iter().map(String::as_str).eq(["before", "meanwhile"]);
        let observed = came.into_iter().collect::<Vec<_>>().said();
        stage.check(holds, "each of the two messages once", observed)?;
        bob.publish(&topic, "afterwards", QoS::AtLeastOnce).await?;
        alice.receives(&topic, "afterwards").await?;
        stage.means();
        alice.leave().await?;
    }
    Ok(())
}

async fn parallel_clean_starts(stage: &mut Stage) -> Outcome {
    let mut bob = stage.connected("bob").await?;
    for round in 0..ROUNDS {
        let topic = stage.topic(&format!("anew{round}"));
        let mut older = stage.with_session("alice", 60).await?;
        older.subscribe(&topic, QoS::AtLeastOnce).await?;
        stage.nothing_on(&topic, &mut bob, &mut older).await?;
        let start = |_, connect: Connect| connect.session_expiry(60);
        let rivals = stage.rivals("alice", RIVALS, start).await?;
        let Settled { left, accepted } = stage.settled(Some(older), rivals).await?;
        for connack in accepted.iter().flatten() {
            stage.is_new("MQTT-3.1.4-4", connack).await?;
        }
        let mut alice = match left {
            Some((_, probe)) => probe,
            None => stage.with_session("alice", 60).await?,
        };
        bob.publish(&topic, "no longer subscribed", QoS::AtLeastOnce).await?;
        stage.proving("MQTT-3.1.2-4");
        alice.has_no_message().await?;
        outlives_its_connection(stage, &topic, alice, &mut bob).await?;
    }
    Ok(())
}

/// Shows that what the client subscribes to now is there for its next connection: none of those that it
/// had before has taken the session with it.
async fn outlives_its_connection(
    stage: &mut Stage,
    topic: &str,
    mut alice: Probe,
    bob: &mut Probe,
) -> Outcome {
    alice.subscribe(topic, QoS::AtLeastOnce).await?;
    stage.nothing_on(topic, bob, &mut alice).await?;
    alice.leave().await?;
    bob.publish(topic, "while away", QoS::AtLeastOnce).await?;
    let mut alice = stage.open("alice").await?;
    let connack = alice.connect(alice.connect_packet().resume().session_expiry(60)).await?;
    stage.is_resumed("MQTT-3.1.2-23", "alice", &connack).await?;
    stage.receives_kept(&mut alice, topic, "while away").await?;
    alice.leave().await
}

async fn parallel_takeovers_publish_wills(stage: &mut Stage) -> Outcome {
    let mut bob = stage.connected("bob").await?;
    // Wills may take their time.
    for round in 0..2 {
        let topic = stage.topic(&format!("wills{round}"));
        bob.subscribe(&topic, QoS::AtLeastOnce).await?;
        let will = |place| Will::new(&topic, called(place)).qos(QoS::AtLeastOnce);
        let rivals =
            stage.rivals("alice", RIVALS, |place, connect| connect.will(will(place))).await?;
        let Settled { left, accepted } = stage.settled(None, rivals).await?;
        let mut wills = Wills { topic: &topic, count: BTreeMap::new() };
        let is_accepted = |place: &usize| accepted.get(*place).is_some_and(Option::is_some);
        let all: Vec<_> = (0..RIVALS).filter(is_accepted).collect();
        let kept = left.as_ref().map(|(place, _)| *place);
        let over: Vec<_> = all.iter().copied().filter(|place| Some(*place) != kept).collect();
        wills.come(stage, &mut bob, &over).await?;
        if let Some((place, alice)) = left {
            let early = wills.count.contains_key(&called(place));
            stage.check_of("MQTT-3.1.2-8", !early, "no Will of who is connected", "one")?;
            alice.vanish().await?;
        }
        wills.come(stage, &mut bob, &all).await?;
    }
    Ok(())
}

fn called(place: usize) -> String {
    format!("will {place}")
}

/// The Wills that came, and how often.
struct Wills<'a> {
    topic: &'a str,
    count: BTreeMap<String, usize>,
}

impl Wills<'_> {
    /// Reads Wills until all of these connections have come, and that of one that is lost now: there is
    /// none of them twice.
    async fn come(&mut self, stage: &mut Stage, bob: &mut Probe, of: &[usize]) -> Outcome {
        let witness = format!("witness {}", self.count.len());
        let will = Will::new(self.topic, witness.clone()).qos(QoS::AtLeastOnce);
        stage.connected_with("witness", |connect| connect.will(will)).await?.vanish().await?;
        stage.claims();
        stage.proving("U-3.1.4-5");
        let expected: Vec<_> = of.iter().map(|place| called(*place)).chain([witness]).collect();
        while let Some(missing) = expected.iter().find(|it| !self.count.contains_key(*it)) {
            let publish =
                bob.will(&format!("PUBLISH \"{}\" payload=\"{missing}\"", self.topic)).await?;
            bob.acknowledge(&publish).await?;
            let count = self.count.entry(text(&publish)).or_default();
            *count += 1;
            stage.check_of("MQTT-3.1.2-10", *count == 1, "each Will once", "one of them again")?;
        }
        stage.means();
        Ok(())
    }
}

async fn parallel_takeovers_of_publisher(stage: &mut Stage) -> Outcome {
    const ID: u16 = 7;
    let qos = QoS::ExactlyOnce;
    let mut bob = stage.connected("bob").await?;
    for round in 0..ROUNDS {
        let topic = stage.topic(&format!("once{round}"));
        bob.subscribe(&topic, qos).await?;
        let mut older = stage.with_session("alice", 60).await?;
        stage.nothing_on_at(&topic, qos, &mut older, &mut bob).await?;
        let publish = Publish::new(&topic, "once").qos(qos, ID);
        // Nobody knows whether it is read before the connection is closed.
        older.send(publish.clone()).await?;
        let rivals = stage.rivals("alice", RIVALS, resuming).await?;
        let mut alice = stage.settled_in_session("alice", older, rivals).await?;
        // A broker may repeat a PUBREC that it has sent before.
        alice.ping().await?;
        let is_pubrec = |it: &Packet| matches!(it, Packet::PubRec(ack) if ack.packet_id == ID);
        if alice.unread().any(is_pubrec) {
            alice.pubrec_again(ID).await?;
        }
        alice.send(Publish { dup: true, ..publish }).await?;
        alice.pubrec_again(ID).await?;
        alice.send(Packet::PubRel(PublishAck::new(ID))).await?;
        stage.claims();
        stage.proving("MQTT-4.3.3-11");
        alice.pubcomp(ID).await?;
        stage.proving("MQTT-4.3.3-10");
        bob.receives(&topic, "once").await?;
        stage.nothing_on_at(&topic, qos, &mut alice, &mut bob).await?;
        stage.means();
        alice.leave().await?;
    }
    Ok(())
}

async fn parallel_takeovers_of_subscriber(stage: &mut Stage) -> Outcome {
    let qos = QoS::ExactlyOnce;
    let mut bob = stage.connected("bob").await?;
    for round in 0..ROUNDS {
        let topic = stage.topic(&format!("stages{round}"));
        let mut older = stage.with_session("alice", 60).await?;
        older.subscribe(&topic, qos).await?;
        bob.publish(&topic, "received", qos).await?;
        let received = older.holds(&topic, "received").await?;
        older.takes_up_to_pubrel(&received).await?;
        bob.publish(&topic, "sent", qos).await?;
        // A target may have no more than one on its way at once.
        let sent = older.messages_now().await?.into_iter().next();
        let rivals = stage.rivals("alice", RIVALS, resuming).await?;
        let mut alice = stage.settled_in_session("alice", older, rivals).await?;
        stage.claims();
        stage.proving("MQTT-4.4.0-1");
        alice.pubrel(received.packet_id).await?;
        alice.complete(received.packet_id).await?;
        let again = alice.receives(&topic, "sent").await?;
        if let Some(sent) = sent {
            is_repeated(stage, &sent, &again)?;
        }
        stage.nothing_on_at(&topic, qos, &mut bob, &mut alice).await?;
        stage.means();
        alice.leave().await?;
    }
    Ok(())
}
