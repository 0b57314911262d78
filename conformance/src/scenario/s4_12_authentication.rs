//! Section 4.12: the exchange that begins with CONNECT.

use bytes::Bytes;
use reference_broker::codec::{
    Auth, Connect, Disconnect, Packet, PropertyId, Publish, QoS, ReasonCode, Subscribe, Will,
};

use super::authenticating::{Exchange, ROOM, refused_by_proof};
use super::{Scenario, Stage, scenario};
use crate::probe::{Probe, Reply, auth, auth_of};
use crate::target::scram::SCRAM_SHA_256;
use crate::target::{Login, Need};
use crate::trace::packet_text;
use crate::verdict::Outcome;

pub(super) const SCRAM: &[Need] = &[Need::Scram, ROOM];
const KEPT: &[Need] = &[Need::Scram, ROOM, Need::Sessions, Need::QoS(QoS::AtLeastOnce)];
const UP_TO_1: &[Need] = &[Need::Scram, ROOM, Need::QoS(QoS::AtLeastOnce)];

pub(super) const SCENARIOS: &[Scenario] = &[
    scenario!(
        "4.12/step-by-step",
        step_by_step,
        "Who proves to know the password is let in by CONNACK, all AUTH before that asks for more",
        [
            "U-4.12-2",
            "MQTT-4.12.0-2",
            "MQTT-4.12.0-5",
            "U-3.15.2-1",
            "MQTT-3.15.2-1",
            "U-3.15.2.1-2"
        ]
    )
    .needs(SCRAM),
    scenario!(
        "4.12/wrong-proof-refused",
        wrong_proof_refused,
        "Who does not know the password, or is nobody, is refused at the proof at the latest",
        ["MQTT-4.12.0-4", "MQTT-3.2.2-7", "U-3.2.2.2-10"]
    )
    .needs(SCRAM),
    scenario!(
        "4.12/wrong-data-refused",
        wrong_data_refused,
        "Authentication Data that the method has no use for is refused at each step",
        ["MQTT-4.12.0-4", "MQTT-3.2.2-7"]
    )
    .needs(SCRAM),
    scenario!(
        "4.12/other-method-in-auth",
        other_method_in_auth,
        "An AUTH of another method than CONNECT ends the exchange",
        ["U-3.15-1", "MQTT-4.12.0-5"]
    )
    .breaks(&["MQTT-4.12.0-5"])
    .needs(SCRAM),
    scenario!(
        "4.12/answer-with-another-code",
        answer_with_another_code,
        "An AUTH that answers and asks for another exchange ends the one that is under way",
        ["MQTT-4.12.0-3"]
    )
    .breaks(&["MQTT-4.12.0-3"])
    .needs(SCRAM),
    scenario!(
        "4.12/nothing-else-before-connack",
        nothing_else_before_connack,
        "What a client sends before its CONNACK, but for AUTH, has no effect and no answer",
        ["MQTT-3.1.2-30", "MQTT-3.1.4-6", "MQTT-3.2.0-1"]
    )
    .breaks(&["MQTT-3.1.2-30"])
    .needs(UP_TO_1),
    scenario!(
        "4.12/refused-exchange-leaves-nothing",
        refused_exchange_leaves_nothing,
        "A failed exchange publishes no Will, and takes no client's place",
        ["U-4.13.2-2", "MQTT-4.12.0-4", "MQTT-3.1.4-6"]
    )
    .needs(KEPT),
    scenario!(
        "4.12/leaves-in-the-middle",
        leaves_in_the_middle,
        "A client may leave in the middle of an exchange, and come again",
        ["U-4.12-2", "U-4.12-3"]
    )
    .needs(SCRAM),
    scenario!(
        "4.12/session-goes-on",
        session_goes_on,
        "A client that proves itself goes on with the session that it has",
        ["MQTT-3.2.2-3", "U-4.12-2"]
    )
    .needs(KEPT),
    scenario!(
        "4.12/without-explanations",
        without_explanations,
        "With Request Problem Information 0 no AUTH has a Reason String or a User Property",
        ["MQTT-3.1.2-29"]
    )
    .needs(SCRAM),
];

async fn step_by_step(stage: &mut Stage) -> Outcome {
    let login = stage.login()?;
    let mut alice = stage.open("alice").await?;
    let mut scram = stage.scram(&alice, login);
    stage.claims();
    alice.send(stage.first_message(&alice, &scram)).await?;
    let mut is_proved = false;
    for _ in 0..8 {
        match alice.goes_on().await? {
            Reply::Challenge(challenge) => {
                has_method(stage, &challenge.clone().into())?;
                let data = crate::probe::data_of(&challenge);
                let answer = match is_proved {
                    false => Some(stage.understood(scram.respond(data))?),
                    // Its last message, in an AUTH of its own.
                    true => stage.understood(scram.verify(data)).map(|()| None)?,
                };
                is_proved = true;
                alice.send(auth(ReasonCode::ContinueAuthentication, answer)).await?;
            }
            Reply::Accepted(connack) => {
                has_method(stage, &connack.clone().into())?;
                stage.check(is_proved, "AUTH 0x18 before CONNACK", "none")?;
                if let Some(data) = connack.properties.binary(PropertyId::AuthenticationData) {
                    stage.understood(scram.verify(data))?;
                }
                stage.means();
                return stage.serves(&mut alice).await;
            }
            Reply::Refused(_) | Reply::Closed => break,
        }
    }
    stage.fail("CONNACK 0x00 (success)", "AUTH 0x18, again and again")
}

fn has_method(stage: &Stage, packet: &Packet) -> Outcome {
    let method = packet.properties().and_then(|it| it.text(PropertyId::AuthenticationMethod));
    let is_same = method.is_some_and(|method| **method == *SCRAM_SHA_256);
    let expected = "the Authentication Method of CONNECT";
    stage.check_of("MQTT-4.12.0-5", is_same, expected, packet_text(packet))
}

/// Shows that who knows the password is let in, and served.
pub(super) async fn lets_in(stage: &mut Stage, name: &str) -> Outcome {
    let mut exchange = stage.authenticated(name).await?;
    stage.serves(&mut exchange.probe).await?;
    exchange.probe.leave().await
}

async fn wrong_proof_refused(stage: &mut Stage) -> Outcome {
    lets_in(stage, "bob").await?;
    let wrong = stage.wrong_login()?;
    let Login { user_name, password } = stage.login()?;
    let nobody = format!("{user_name}-{}", stage.client_id("nobody"));
    let unknown = Login { user_name: nobody, password };
    for login in [wrong, unknown] {
        let mut alice = stage.open("alice").await?;
        let mut scram = stage.scram(&alice, login);
        alice.send(stage.first_message(&alice, &scram)).await?;
        stage.proving("MQTT-4.12.0-4");
        refused_by_proof(stage, &mut alice, &mut scram).await?;
        stage.means();
    }
    // A proof of the right password for another nonce than the broker's.
    let changes: [fn(&str) -> String; 2] =
        [|right| format!("{right}x"), |right| right.chars().take(24).collect()];
    for change in changes {
        let mut alice = stage.challenged("alice").await?;
        let answer = alice.answer_under(stage, change)?;
        alice.probe.send(answer).await?;
        stage.proving("MQTT-4.12.0-4");
        alice.probe.refused().await?;
        stage.means();
    }
    lets_in(stage, "bob").await
}

async fn wrong_data_refused(stage: &mut Stage) -> Outcome {
    lets_in(stage, "bob").await?;
    const WRONG: [&[u8]; 4] = [b"garbage", &[0xFF, 0x00], b"n,,n=,r=", b"c=biws,r=,p="];
    for data in WRONG {
        let mut alice = stage.open("alice").await?;
        let connect = Connect::new(alice.client_id())
            .keep_alive(3600)
            .with(PropertyId::AuthenticationMethod, SCRAM_SHA_256)
            .with(PropertyId::AuthenticationData, data);
        alice.send(connect).await?;
        stage.proving("MQTT-4.12.0-4");
        refused_whatever(stage, &mut alice, data).await?;
        stage.means();
    }
    for data in WRONG.map(Bytes::from_static) {
        let mut alice = stage.challenged("alice").await?;
        alice.probe.send(auth(ReasonCode::ContinueAuthentication, data)).await?;
        stage.proving("MQTT-4.12.0-4");
        alice.probe.refused().await?;
        stage.means();
    }
    lets_in(stage, "bob").await
}

/// As [`Probe::refused`]; a broker may also ask for other data, and gets the same again.
async fn refused_whatever(stage: &Stage, probe: &mut Probe, data: &'static [u8]) -> Outcome {
    match probe.reply().await? {
        Reply::Challenge(_) => {
            let data = Bytes::from_static(data);
            probe.send(auth(ReasonCode::ContinueAuthentication, data)).await?;
            probe.refused().await
        }
        Reply::Refused(_) => probe.closes_after_refusal().await,
        Reply::Closed => Ok(()),
        Reply::Accepted(connack) => {
            let expected = "a client without a proof refused";
            stage.fail(expected, packet_text(&connack.into()))
        }
    }
}

async fn other_method_in_auth(stage: &mut Stage) -> Outcome {
    lets_in(stage, "bob").await?;
    for method in ["SCRAM-SHA-512", "SCRAM-SHA-256-PLUS", "no-such-method", ""] {
        let mut alice = stage.challenged("alice").await?;
        let Auth { reason, properties } = alice.answer(stage)?;
        let data = properties.binary(PropertyId::AuthenticationData).cloned();
        alice.probe.send(auth_of(method, reason, data)).await?;
        stage.proving("U-3.15-1");
        alice.probe.refused().await?;
        stage.means();
    }
    lets_in(stage, "bob").await
}

async fn answer_with_another_code(stage: &mut Stage) -> Outcome {
    lets_in(stage, "bob").await?;
    let mut alice = stage.challenged("alice").await?;
    let answer = alice.answer(stage)?;
    let reason = ReasonCode::ReAuthenticate;
    alice.probe.send(Auth { reason, ..answer }).await?;
    stage.claims();
    alice.probe.refused().await?;
    stage.means();
    lets_in(stage, "bob").await
}

async fn nothing_else_before_connack(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("to all");
    let mut bob = stage.connected("bob").await?;
    let mut carol = stage.connected("carol").await?;
    carol.subscribe(&topic, QoS::AtLeastOnce).await?;
    stage.nothing_on(&topic, &mut bob, &mut carol).await?;
    lets_in(stage, "dave").await?;
    let publish = |qos, id| Publish::new(&*topic, "from nobody").qos(qos, id);
    let early: [Packet; 4] = [
        publish(QoS::AtMostOnce, 0).into(),
        publish(QoS::AtLeastOnce, 1).into(),
        Subscribe::new(2, &*topic, QoS::AtLeastOnce).into(),
        Packet::PingReq,
    ];
    let wrong = stage.wrong_login()?;
    for packet in early {
        // The broker may close for the packet, or wait for the proof, which is a wrong one.
        let login = wrong.clone();
        let mut alice = stage.challenged_as("alice", login, |connect| connect).await?;
        let answer = alice.answer(stage)?;
        alice.probe.send_together(&[packet, answer.into()]).await?;
        stage.proving("MQTT-3.1.2-30");
        alice.probe.refused().await?;
        stage.proving("MQTT-3.1.4-6");
        stage.nothing_on(&topic, &mut bob, &mut carol).await?;
        stage.means();
    }
    Ok(())
}

async fn refused_exchange_leaves_nothing(stage: &mut Stage) -> Outcome {
    let (topic, wills) = (stage.topic("to alice"), stage.topic("wills"));
    let mut bob = stage.connected("bob").await?;
    let mut carol = stage.connected("carol").await?;
    carol.subscribe(&wills, QoS::AtLeastOnce).await?;
    stage.no_will_on(&wills, &mut carol).await?;
    let kept = |connect: Connect| connect.session_expiry(60);
    let (Exchange { probe: mut alice, .. }, _) = stage.authenticated_with("alice", kept).await?;
    alice.subscribe(&topic, QoS::AtLeastOnce).await?;
    stage.nothing_on(&topic, &mut bob, &mut alice).await?;
    let wrong = stage.wrong_login()?;
    for clean_start in [false, true] {
        let will = Will::new(&*wills, "will of nobody").qos(QoS::AtLeastOnce);
        let change = |connect: Connect| Connect { clean_start, ..connect.will(will) };
        let mut other = stage.challenged_as("alice", wrong.clone(), change).await?;
        let answer = other.answer(stage)?;
        other.probe.send(answer).await?;
        stage.proving("MQTT-4.12.0-4");
        other.probe.refused().await?;
        stage.proving("U-4.13.2-2");
        let is_open = alice.is_open().await?;
        stage.check(is_open, "the connection of the client open", "it closed")?;
        stage.nothing_on(&topic, &mut bob, &mut alice).await?;
        stage.proving("MQTT-3.1.4-6");
        stage.no_will_on(&wills, &mut carol).await?;
        stage.means();
    }
    Ok(())
}

async fn leaves_in_the_middle(stage: &mut Stage) -> Outcome {
    for says_so in [true, false] {
        let alice = stage.challenged("alice").await?;
        match says_so {
            true => alice.probe.leave_with(Disconnect::default()).await?,
            false => alice.probe.vanish().await?,
        }
        stage.claims();
        let mut alice = stage.authenticated("alice").await?;
        stage.means();
        stage.serves(&mut alice.probe).await?;
        alice.probe.leave().await?;
    }
    Ok(())
}

async fn session_goes_on(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("to alice");
    let mut bob = stage.connected("bob").await?;
    let kept = |connect: Connect| connect.session_expiry(60);
    let (Exchange { probe: mut alice, .. }, _) = stage.authenticated_with("alice", kept).await?;
    if alice.session_expiry() == 0 {
        return stage.not_applicable("the target keeps no session for this client");
    }
    alice.subscribe(&topic, QoS::AtLeastOnce).await?;
    stage.nothing_on(&topic, &mut bob, &mut alice).await?;
    alice.leave().await?;
    bob.publish(&topic, "queued", QoS::AtLeastOnce).await?;
    let resumes = |connect: Connect| connect.session_expiry(60).resume();
    let (Exchange { probe: mut alice, .. }, connack) =
        stage.authenticated_with("alice", resumes).await?;
    stage.claims();
    stage.is_resumed("MQTT-3.2.2-3", "alice", &connack).await?;
    stage.receives_kept(&mut alice, &topic, "queued").await?;
    stage.nothing_on(&topic, &mut bob, &mut alice).await
}

async fn without_explanations(stage: &mut Stage) -> Outcome {
    let silent = |connect: Connect| connect.with(PropertyId::RequestProblemInformation, 0);
    let (mut alice, _) = stage.authenticated_with("alice", silent).await?;
    let explains = |packet: &Packet| match packet {
        Packet::Auth(auth) => [PropertyId::ReasonString, PropertyId::UserProperty]
            .into_iter()
            .any(|id| auth.properties.contains(id)),
        _ => false,
    };
    let says_too_much = stage.saw("alice", explains);
    let expected = "AUTH without a Reason String and a User Property";
    stage.check(!says_too_much, expected, "one with such a property")?;
    stage.serves(&mut alice.probe).await
}
