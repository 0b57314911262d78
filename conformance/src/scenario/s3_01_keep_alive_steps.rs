//! Section 3.1: CONNECT, its Keep Alive where a client goes through exchanges at QoS 2.

use reference_broker::codec::{Packet, Publish, PublishAck, QoS, Subscribe};

use super::s3_01_keep_alive::{Client, with_keep_alive};
use super::{Scenario, Stage, scenario};
use crate::probe::Probe;
use crate::target::Need;
use crate::verdict::Outcome;

pub(super) const SCENARIOS: &[Scenario] = &[scenario!(
    "3.1/keep-alive-steps-count",
    steps_count,
    "A client that sends nothing but PUBREC, PUBREL or PUBCOMP in time stays connected",
    ["U-3.1.2.10-3", "MQTT-3.1.2-22"]
)
.needs(&[Need::QoS(QoS::ExactlyOnce)])
.timed(5)];

/// How often each client sends its step.
const ROUNDS: usize = 3;

/// A client that is kept alive by one kind of step, and the exchanges that are ready for it.
struct Stepper {
    client: Client,
    step: fn(PublishAck) -> Packet,
    ready: Vec<u16>,
}

impl Stepper {
    /// The next step. With little room a target has not so many exchanges under way: then any packet
    /// will do.
    fn next(&mut self) -> Packet {
        match self.ready.is_empty() {
            true => Packet::PingReq,
            false => (self.step)(PublishAck::new(self.ready.remove(0))),
        }
    }
}

/// Has as many messages on their way to a subscriber as are needed, if it gets so many at once.
async fn held(stage: &Stage, name: &str, bob: &mut Probe, to: &mut Probe) -> Outcome<Vec<Publish>> {
    let topic = stage.topic(name);
    to.subscribe(&topic, QoS::ExactlyOnce).await?;
    for _ in 0..ROUNDS {
        bob.publish(&topic, "held", QoS::ExactlyOnce).await?;
    }
    let mut held = vec![to.holds(&topic, "held").await?];
    held.append(&mut to.messages_now().await?);
    Ok(held)
}

async fn steps_count(stage: &mut Stage) -> Outcome {
    let mut bob = stage.connected("bob").await?;
    stage.serves(&mut bob).await?;
    let mut steppers = [
        stepper(stage, "records", Packet::PubRec).await?,
        stepper(stage, "releases", Packet::PubRel).await?,
        stepper(stage, "completes", Packet::PubComp).await?,
    ];
    let [records, releases, completes] = &mut steppers;
    let publishes = held(stage, "records", &mut bob, &mut records.client.probe).await?;
    records.ready = publishes.iter().map(|publish| publish.packet_id).collect();
    let publishes = held(stage, "completes", &mut bob, &mut completes.client.probe).await?;
    for publish in publishes {
        completes.client.probe.takes_up_to_pubrel(&publish).await?;
        completes.ready.push(publish.packet_id);
    }
    let room = usize::from(stage.capabilities().receive_maximum());
    for _ in 0..ROUNDS.min(room) {
        let alice = &mut releases.client.probe;
        let id = alice.packet_id();
        alice.send(Publish::new(stage.topic("nobody"), "open").qos(QoS::ExactlyOnce, id)).await?;
        alice.pubrec(id).await?;
        releases.ready.push(id);
    }
    for stepper in &mut steppers {
        stepper.client.fall_silent(stage).await?;
    }
    for _ in 0..ROUNDS {
        let rest = steppers.iter().map(|it| it.client.rest()).min().unwrap_or_default();
        stage.wait(rest).await;
        // None waits for an answer: the time that one takes is not to come on top.
        for stepper in &mut steppers {
            let step = stepper.next();
            stepper.client.sends(stage, step).await?;
        }
    }
    stage.claims();
    // A PINGRESP may be of before.
    let mut asked = Vec::new();
    for Stepper { client, .. } in &mut steppers {
        let id = client.probe.packet_id();
        client.sends(stage, Subscribe::new(id, stage.topic("last"), QoS::AtMostOnce)).await?;
        client.attend();
        asked.push(id);
    }
    for (stepper, id) in steppers.iter_mut().zip(asked) {
        stepper.client.probe.suback(id).await?;
    }
    Ok(())
}

async fn stepper(
    stage: &mut Stage,
    name: &str,
    step: fn(PublishAck) -> Packet,
) -> Outcome<Stepper> {
    let client = with_keep_alive(stage, name, |connect| connect).await?;
    // What it is to be given takes time that it has not.
    client.attend();
    Ok(Stepper { client, step, ready: Vec::new() })
}
