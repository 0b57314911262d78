//! Section 4.12.1: authentication anew, over a connection that goes on meanwhile.
//!
//! A broker need not let a client authenticate anew: it may answer with the end of the connection. What it
//! lets go on has to come to the end that section 4.12.1 gives it.

use reference_broker::codec::{Connect, PropertyId, QoS, ReasonCode, Subscribe, Will};

use super::authenticating::{Exchange, ROOM};
use super::{Scenario, Stage, scenario};
use crate::probe::{Again, Probe, auth, auth_of};
use crate::target::Need;
use crate::trace::packet_text;
use crate::verdict::Outcome;

const SCRAM: &[Need] = &[Need::Scram, ROOM];
const UP_TO_1: &[Need] = &[Need::Scram, ROOM, Need::QoS(QoS::AtLeastOnce)];

pub(super) const SCENARIOS: &[Scenario] = &[
    scenario!(
        "4.12/authenticates-anew",
        authenticates_anew,
        "AUTH 0x19 is answered by AUTH 0x18, and the right proof by AUTH 0x00, as often as one likes",
        ["U-4.12.1-1", "U-3.15.2.1-2", "MQTT-4.12.0-5"]
    )
    .needs(SCRAM),
    scenario!(
        "4.12/wrong-proof-anew",
        wrong_proof_anew,
        "Who does not prove itself anew is closed, with a DISCONNECT that says why",
        ["MQTT-4.12.1-2", "U-3.14.2.1-7"]
    )
    .needs(SCRAM),
    scenario!(
        "4.12/wrong-data-anew",
        wrong_data_anew,
        "Authentication Data that the method has no use for ends the connection",
        ["MQTT-4.12.1-2"]
    )
    .needs(SCRAM),
    scenario!(
        "4.12/other-method-anew",
        other_method_anew,
        "AUTH of another method than CONNECT closes the connection",
        ["MQTT-4.12.1-1", "U-3.15-1"]
    )
    .breaks(&["MQTT-4.12.1-1"])
    .needs(SCRAM),
    scenario!(
        "4.12/traffic-meanwhile",
        traffic_meanwhile,
        "Messages and requests during another exchange are not lost",
        ["MQTT-4.3.2-4", "U-4.12.1-2", "MQTT-3.8.4-1"]
    )
    .needs(UP_TO_1),
    scenario!(
        "4.12/session-outlasts-authentication",
        session_outlasts_authentication,
        "Subscriptions, and what is on its way, outlast another exchange",
        ["MQTT-4.1.0-1", "U-4.12.1-1"]
    )
    .needs(UP_TO_1),
    scenario!(
        "4.12/leaves-while-authenticating-anew",
        leaves_while_authenticating_anew,
        "A client that takes its leave during another exchange takes its Will with it",
        ["MQTT-3.14.4-3", "U-4.12-3"]
    )
    .needs(UP_TO_1),
    scenario!(
        "4.12/will-of-who-fails-anew",
        will_of_who_fails_anew,
        "Who fails to authenticate anew is lost: its Will is published",
        ["MQTT-3.1.2-8", "MQTT-4.12.1-2"]
    )
    .needs(UP_TO_1),
];

async fn authenticates_anew(stage: &mut Stage) -> Outcome {
    let login = stage.login()?;
    let mut alice = stage.authenticated("alice").await?;
    stage.serves(&mut alice.probe).await?;
    for _ in 0..2 {
        stage.claims();
        stage.challenged_anew(&mut alice, login.clone()).await?;
        stage.accepted_anew(&mut alice).await?;
        stage.means();
        stage.serves(&mut alice.probe).await?;
    }
    Ok(())
}

/// Shows that a client may authenticate anew.
async fn may_do_it(stage: &mut Stage) -> Outcome {
    let login = stage.login()?;
    let mut bob = stage.authenticated("bob").await?;
    stage.challenged_anew(&mut bob, login).await?;
    stage.accepted_anew(&mut bob).await?;
    stage.serves(&mut bob.probe).await?;
    bob.probe.leave().await
}

/// Whether the broker has asked for a proof; if not, it has closed.
async fn is_asked(stage: &Stage, probe: &mut Probe) -> Outcome<bool> {
    match probe.reply_again().await? {
        Again::Challenge(_) => Ok(true),
        Again::Closed => Ok(false),
        Again::Accepted(auth) => {
            let expected = "the connection closed for want of a proof";
            stage.fail(expected, packet_text(&auth.into()))
        }
    }
}

async fn wrong_proof_anew(stage: &mut Stage) -> Outcome {
    may_do_it(stage).await?;
    let wrong = stage.wrong_login()?;
    let mut alice = stage.authenticated("alice").await?;
    stage.serves(&mut alice.probe).await?;
    stage.challenged_anew(&mut alice, wrong).await?;
    let answer = alice.answer(stage)?;
    alice.probe.send(answer).await?;
    stage.claims();
    fails(&mut alice.probe).await
}

/// Expects the end that a failed exchange comes to.
async fn fails(probe: &mut Probe) -> Outcome {
    let (reason, other) = (ReasonCode::NotAuthorized, ReasonCode::BadAuthenticationMethod);
    probe.closes_for_either(reason, other).await
}

async fn wrong_data_anew(stage: &mut Stage) -> Outcome {
    may_do_it(stage).await?;
    let login = stage.login()?;
    let mut alice = stage.authenticated("alice").await?;
    stage.serves(&mut alice.probe).await?;
    alice.probe.send(auth(ReasonCode::ReAuthenticate, Some("garbage".into()))).await?;
    stage.claims();
    if is_asked(stage, &mut alice.probe).await? {
        let again = auth(ReasonCode::ContinueAuthentication, Some("garbage".into()));
        alice.probe.send(again).await?;
        fails(&mut alice.probe).await?;
    }
    stage.means();
    let mut alice = stage.authenticated("alice").await?;
    stage.challenged_anew(&mut alice, login).await?;
    let last = auth(ReasonCode::ContinueAuthentication, Some("garbage".into()));
    alice.probe.send(last).await?;
    stage.claims();
    fails(&mut alice.probe).await
}

async fn other_method_anew(stage: &mut Stage) -> Outcome {
    may_do_it(stage).await?;
    for method in ["SCRAM-SHA-512", "no-such-method", ""] {
        let mut alice = stage.authenticated("alice").await?;
        stage.serves(&mut alice.probe).await?;
        let first = alice.scram.first();
        alice.probe.send(auth_of(method, ReasonCode::ReAuthenticate, first)).await?;
        stage.claims();
        alice.probe.closes_for(ReasonCode::ProtocolError).await?;
        stage.means();
    }
    // And in the middle.
    let login = stage.login()?;
    let mut alice = stage.authenticated("alice").await?;
    stage.challenged_anew(&mut alice, login).await?;
    let answer = alice.answer(stage)?;
    let data = answer.properties.binary(PropertyId::AuthenticationData).cloned();
    let other = auth_of("SCRAM-SHA-512", ReasonCode::ContinueAuthentication, data);
    alice.probe.send(other).await?;
    stage.claims();
    alice.probe.closes_for(ReasonCode::ProtocolError).await
}

async fn traffic_meanwhile(stage: &mut Stage) -> Outcome {
    let (topic, other) = (stage.topic("to alice"), stage.topic("later"));
    let login = stage.login()?;
    let mut bob = stage.connected("bob").await?;
    let mut alice = stage.authenticated("alice").await?;
    alice.probe.subscribe(&topic, QoS::AtLeastOnce).await?;
    stage.nothing_on(&topic, &mut bob, &mut alice.probe).await?;
    stage.challenged_anew(&mut alice, login).await?;
    // It may be served at once, or when the exchange is over.
    bob.publish(&topic, "meanwhile", QoS::AtLeastOnce).await?;
    let publish = reference_broker::codec::Publish::new(&*topic, "from alice");
    let (published, asked) = (alice.probe.packet_id(), alice.probe.packet_id());
    alice.probe.send(publish.qos(QoS::AtLeastOnce, published)).await?;
    alice.probe.send(Subscribe::new(asked, &*other, QoS::AtLeastOnce)).await?;
    stage.claims();
    let answer = alice.answer(stage)?;
    alice.probe.send(answer).await?;
    stage.ends_well(&mut alice).await?;
    stage.proving("MQTT-4.3.2-4");
    alice.probe.puback(published).await?;
    stage.proving("MQTT-3.8.4-1");
    let suback = alice.probe.suback(asked).await?;
    alice.probe.unlimited(reference_broker::codec::Packet::SubAck(suback))?;
    stage.proving("U-4.12.1-2");
    alice.probe.receives(&topic, "meanwhile").await?;
    alice.probe.receives(&topic, "from alice").await?;
    stage.nothing_on(&other, &mut bob, &mut alice.probe).await
}

async fn session_outlasts_authentication(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("to alice");
    let login = stage.login()?;
    let mut bob = stage.connected("bob").await?;
    let mut alice = stage.authenticated("alice").await?;
    alice.probe.subscribe(&topic, QoS::AtLeastOnce).await?;
    bob.publish(&topic, "before", QoS::AtLeastOnce).await?;
    let before = alice.probe.holds(&topic, "before").await?;
    stage.challenged_anew(&mut alice, login).await?;
    stage.accepted_anew(&mut alice).await?;
    alice.probe.acknowledge(&before).await?;
    bob.publish(&topic, "after", QoS::AtLeastOnce).await?;
    stage.claims();
    alice.probe.receives(&topic, "after").await?;
    stage.nothing_on(&topic, &mut bob, &mut alice.probe).await
}

/// Connects a client with a Will, and has it begin another exchange.
async fn with_a_will(stage: &mut Stage, topic: &str, watcher: &mut Probe) -> Outcome<Exchange> {
    let login = stage.login()?;
    watcher.subscribe(topic, QoS::AtLeastOnce).await?;
    stage.no_will_on(topic, watcher).await?;
    let will = Will::new(topic, "will of alice").qos(QoS::AtLeastOnce);
    let (mut alice, _) =
        stage.authenticated_with("alice", |connect: Connect| connect.will(will)).await?;
    stage.challenged_anew(&mut alice, login).await?;
    Ok(alice)
}

async fn leaves_while_authenticating_anew(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("wills");
    let mut carol = stage.connected("carol").await?;
    let alice = with_a_will(stage, &topic, &mut carol).await?;
    alice.probe.leave().await?;
    stage.claims();
    stage.no_will_on(&topic, &mut carol).await?;
    stage.means();
    let mut alice = stage.authenticated("alice").await?;
    stage.serves(&mut alice.probe).await
}

async fn will_of_who_fails_anew(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("wills");
    let mut carol = stage.connected("carol").await?;
    let mut alice = with_a_will(stage, &topic, &mut carol).await?;
    let garbage = auth(ReasonCode::ContinueAuthentication, Some("garbage".into()));
    alice.probe.send(garbage).await?;
    stage.proving("MQTT-4.12.1-2");
    alice.probe.closes().await?;
    stage.proving("MQTT-3.1.2-8");
    carol.receives_will(&topic, "will of alice").await.map(drop)
}
