//! Sections 3.1.3.5, 3.1.3.6 and 3.1.4: User Name and Password, right and wrong.

use bytes::Bytes;
use reference_broker::codec::{
    Connect, Packet, Publish, QoS, ReasonCode, Subscribe, SubscriptionOptions, Will,
};

use super::stage::KEEP_ALIVE;
use super::{Scenario, Stage, scenario};
use crate::probe::{Probe, Reply};
use crate::target::{Credentials, Need};
use crate::trace::packet_text;
use crate::verdict::Outcome;

const USERS: &[Need] = &[Need::Users, Need::QoS(QoS::AtLeastOnce)];
const KEPT: &[Need] = &[Need::Users, Need::Sessions, Need::QoS(QoS::AtLeastOnce)];

pub(super) const SCENARIOS: &[Scenario] = &[
    scenario!(
        "3.1/right-password-accepted",
        right_password_accepted,
        "Each user is let in with its password, and served",
        ["MQTT-3.1.4-5", "U-3.2.2.2-2"]
    )
    .needs(USERS),
    scenario!(
        "3.1/wrong-password-refused",
        wrong_password_refused,
        "Who has a wrong password, that of another, or a part of the right one, is refused and closed",
        ["MQTT-3.1.4-2", "U-3.2.2.2-9", "MQTT-3.2.2-7", "U-3.1.4-3"]
    )
    .needs(USERS),
    scenario!(
        "3.1/unknown-user-refused",
        unknown_user_refused,
        "A user that nobody knows is refused and closed, whatever its password",
        ["MQTT-3.1.4-2", "U-3.2.2.2-9", "MQTT-3.2.2-7"]
    )
    .needs(USERS),
    scenario!(
        "3.1/credentials-missing",
        credentials_missing,
        "Where credentials are wanted, who has none, or half of them, is refused and closed",
        ["MQTT-3.1.4-2", "U-3.1.2.9-1", "U-3.2.2.2-10", "MQTT-3.2.2-7"]
    )
    .needs(USERS),
    scenario!(
        "3.1/password-of-any-bytes",
        password_of_any_bytes,
        "A password that is no text is a wrong one, and no malformed packet",
        ["U-3.1.3.6-1", "MQTT-3.1.4-2"]
    )
    .needs(USERS),
    scenario!(
        "3.1/wrong-password-leaves-nothing",
        wrong_password_leaves_nothing,
        "A CONNECT with a wrong password publishes no Will, and what follows it has no effect",
        ["MQTT-3.1.4-6", "MQTT-3.1.4-2"]
    )
    .needs(USERS),
    scenario!(
        "3.1/wrong-password-makes-no-session",
        wrong_password_makes_no_session,
        "A CONNECT with a wrong password makes no session",
        ["MQTT-3.2.2-3", "MQTT-3.1.4-2"]
    )
    .needs(KEPT),
    scenario!(
        "3.1/wrong-password-takes-nothing-over",
        wrong_password_takes_nothing_over,
        "A CONNECT with a wrong password leaves the connection and session of its Client Identifier",
        ["U-4.13.2-2", "MQTT-3.1.4-2", "U-4.13.1-7"]
    )
    .needs(KEPT),
    scenario!(
        "3.1/early-packets-wait-for-the-password",
        early_packets_wait_for_the_password,
        "What comes in one segment with a CONNECT is served once the password is found right",
        ["MQTT-3.1.4-5", "U-3.1.4-7", "MQTT-3.2.0-1"]
    )
    .needs(USERS),
];

/// A client that is to be let in, or not.
struct Candidate {
    probe: Probe,
    /// With no User Name and no Password.
    bare: Connect,
}

impl Candidate {
    async fn new(stage: &mut Stage, name: &str) -> Outcome<Candidate> {
        let probe = stage.open(name).await?;
        let bare = Connect::new(probe.client_id()).keep_alive(KEEP_ALIVE);
        Ok(Candidate { probe, bare })
    }

    fn with(&self, user_name: Option<&str>, password: Option<&[u8]>) -> Connect {
        Connect {
            user_name: user_name.map(Into::into),
            password: password.map(Bytes::copy_from_slice),
            ..self.bare.clone()
        }
    }
}

/// The two users of the target, by name and password.
fn users(stage: &Stage) -> [(String, Bytes); 2] {
    let own = stage.connector.credentials().clone();
    let other = stage.setup().other.clone().unwrap_or_default();
    [own, other].map(|user| named(&user))
}

fn named(user: &Credentials) -> (String, Bytes) {
    let Connect { user_name, password, .. } = user.complete(Connect::new(""));
    (user_name.unwrap_or_default().to_string(), password.unwrap_or_default())
}

/// A password that is like this one, and another.
fn like(password: &[u8]) -> Vec<u8> {
    [password, b"!"].concat()
}

/// Expects a refusal.
async fn turned_away(stage: &Stage, probe: &mut Probe) -> Outcome {
    turned_away_for(stage, probe, "MQTT-3.1.4-2").await
}

/// The same, where the form of the CONNECT is what a requirement is about.
async fn turned_away_for(stage: &Stage, probe: &mut Probe, requirement: &'static str) -> Outcome {
    match probe.reply().await? {
        Reply::Closed => Ok(()),
        Reply::Refused(connack) => {
            let is_about_form =
                matches!(connack.reason, ReasonCode::MalformedPacket | ReasonCode::ProtocolError);
            let expected = "a code that does not call the CONNECT malformed";
            let observed = packet_text(&connack.into());
            // Section 3.1.4 lets a server choose the code of who is not let in.
            let is_right = !is_about_form || requirement == "MQTT-3.1.4-2";
            stage.check(is_right, expected, observed)?;
            probe.closes_after_refusal().await
        }
        Reply::Accepted(connack) => {
            let expected = "the CONNECT refused and the connection closed";
            let observed = packet_text(&connack.into());
            stage.check_of("MQTT-3.1.4-2", false, expected, observed)
        }
        Reply::Challenge(auth) => {
            let observed = packet_text(&auth.into());
            stage.check_of("MQTT-4.12.0-6", false, "no AUTH without a method", observed)
        }
    }
}

/// Goes through CONNECTs that are to be refused, each beside one that is not.
async fn each_turned_away(
    stage: &mut Stage,
    cases: &[(Option<&str>, Option<&[u8]>)],
    requirement: &'static str,
) -> Outcome {
    for (user_name, password) in cases {
        stage.means();
        let mut alice = Candidate::new(stage, "alice").await?;
        alice.probe.send(alice.with(*user_name, *password)).await?;
        stage.proving(requirement);
        turned_away_for(stage, &mut alice.probe, requirement).await?;
    }
    stage.means();
    let mut bob = stage.connected("bob").await?;
    stage.serves_at(QoS::AtLeastOnce, &mut bob).await
}

async fn right_password_accepted(stage: &mut Stage) -> Outcome {
    let mut watcher = stage.connected("watcher").await?;
    stage.serves_at(QoS::AtLeastOnce, &mut watcher).await?;
    for (place, (user_name, password)) in users(stage).into_iter().enumerate() {
        let mut alice = Candidate::new(stage, &format!("alice{place}")).await?;
        stage.claims();
        let connect = alice.with(Some(&user_name), Some(&password));
        alice.probe.connect(connect).await?;
        stage.means();
        stage.serves_at(QoS::AtLeastOnce, &mut alice.probe).await?;
        alice.probe.leave().await?;
    }
    Ok(())
}

async fn wrong_password_refused(stage: &mut Stage) -> Outcome {
    let [(own, password), (other, other_password)] = users(stage);
    let longer = like(&password);
    let shorter = password.get(1..).unwrap_or_default().to_vec();
    let begun = password.get(..password.len().saturating_sub(1)).unwrap_or_default().to_vec();
    let cases: [(&str, &[u8]); 6] = [
        (&own, &longer),
        (&other, &like(&other_password)),
        (&own, &shorter),
        (&own, &begun),
        (&own, &other_password),
        (&other, &password),
    ];
    // What is no other password is no case.
    let is_wrong = |(name, tried): &(&str, &[u8])| {
        let right = if *name == own { &password } else { &other_password };
        **tried != **right
    };
    let cases = cases.into_iter().filter(is_wrong);
    let cases: Vec<_> = cases.map(|(name, tried)| (Some(name), Some(tried))).collect();
    each_turned_away(stage, &cases, "MQTT-3.1.4-2").await
}

async fn unknown_user_refused(stage: &mut Stage) -> Outcome {
    let [(own, password), _] = users(stage);
    let unknown = format!("{own}-{}", stage.client_id("nobody"));
    let cases: [(&str, &[u8]); 4] =
        [(&unknown, &password), (&unknown, b""), (&unknown, b"password"), ("", &password)];
    let cases = cases.map(|(name, tried)| (Some(name), Some(tried)));
    each_turned_away(stage, &cases, "MQTT-3.1.4-2").await
}

async fn credentials_missing(stage: &mut Stage) -> Outcome {
    let [(own, _), (other, _)] = users(stage);
    let cases: [(Option<&str>, Option<&[u8]>); 4] =
        [(None, None), (Some(&own), None), (Some(&other), None), (Some(&own), Some(b""))];
    each_turned_away(stage, &cases, "MQTT-3.1.4-2").await?;
    // A password alone is valid, and nobody's (section 3.1.2.9).
    each_turned_away(stage, &[(None, Some(b"nobody's"))], "U-3.1.2.9-1").await
}

async fn password_of_any_bytes(stage: &mut Stage) -> Outcome {
    let [(own, password), _] = users(stage);
    let longer = [&*password, &[0, 0xFF, 0xC3]].concat();
    let cases: [&[u8]; 3] = [&[0], &[0xFF, 0xFE, 0xED, 0xA0, 0x80], &longer];
    let cases = cases.map(|tried| (Some(&*own), Some(tried)));
    each_turned_away(stage, &cases, "U-3.1.3.6-1").await
}

async fn wrong_password_leaves_nothing(stage: &mut Stage) -> Outcome {
    let (topic, own) = (stage.topic("to all"), users(stage)[0].clone());
    let mut bob = stage.connected("bob").await?;
    let mut carol = stage.connected("carol").await?;
    carol.subscribe(&topic, QoS::AtLeastOnce).await?;
    stage.nothing_on(&topic, &mut bob, &mut carol).await?;

    let mut alice = Candidate::new(stage, "alice").await?;
    let will = Will::new(&*topic, "will").qos(QoS::AtLeastOnce);
    let connect = alice.with(Some(&own.0), Some(&like(&own.1))).will(will);
    let publish = |qos, id| Publish::new(&*topic, "from nobody").qos(qos, id);
    let early = [
        connect.into(),
        publish(QoS::AtMostOnce, 0).into(),
        publish(QoS::AtLeastOnce, 1).into(),
        Subscribe::new(2, &*topic, QoS::AtLeastOnce).into(),
    ];
    alice.probe.send_together(&early).await?;
    stage.proving("MQTT-3.1.4-2");
    turned_away(stage, &mut alice.probe).await?;
    stage.proving("MQTT-3.1.4-6");
    stage.no_will_on(&topic, &mut carol).await?;
    stage.nothing_on(&topic, &mut bob, &mut carol).await
}

async fn wrong_password_makes_no_session(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("queued");
    let (user_name, password) = users(stage)[0].clone();
    let mut bob = stage.connected("bob").await?;
    let mut alice = Candidate::new(stage, "alice").await?;
    let connect = alice.with(Some(&user_name), Some(&like(&password))).session_expiry(60);
    let subscribe = Subscribe::new(1, &*topic, QoS::AtLeastOnce);
    alice.probe.send_together(&[connect.into(), subscribe.into()]).await?;
    stage.proving("MQTT-3.1.4-2");
    turned_away(stage, &mut alice.probe).await?;
    stage.means();
    bob.publish(&topic, "for nobody", QoS::AtLeastOnce).await?;
    let mut alice = stage.open("alice").await?;
    let connect = alice.connect_packet().keep_alive(KEEP_ALIVE).resume().session_expiry(60);
    let connack = alice.connect(connect).await?;
    stage.proving("MQTT-3.2.2-3");
    stage.is_new("MQTT-3.2.2-3", &connack).await?;
    stage.means();
    stage.serves_at(QoS::AtLeastOnce, &mut alice).await?;
    Ok(())
}

async fn wrong_password_takes_nothing_over(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("to alice");
    let [(user_name, password), _] = users(stage);
    let wrong = like(&password);
    let mut bob = stage.connected("bob").await?;
    let mut alice = stage.with_session("alice", 60).await?;
    alice.subscribe(&topic, QoS::AtLeastOnce).await?;
    stage.nothing_on(&topic, &mut bob, &mut alice).await?;
    // While its client is there.
    for clean_start in [false, true] {
        stage.means();
        let mut other = Candidate::new(stage, "alice").await?;
        let connect = other.with(Some(&user_name), Some(&wrong));
        other.probe.send(Connect { clean_start, ..connect }).await?;
        stage.proving("MQTT-3.1.4-2");
        turned_away(stage, &mut other.probe).await?;
        stage.proving("U-4.13.2-2");
        let is_open = alice.is_open().await?;
        stage.check(is_open, "the connection of the client open", "it closed")?;
        stage.nothing_on(&topic, &mut bob, &mut alice).await?;
    }
    // And while it is away.
    stage.means();
    alice.leave().await?;
    bob.publish(&topic, "queued", QoS::AtLeastOnce).await?;
    let mut other = Candidate::new(stage, "alice").await?;
    other.probe.send(other.with(Some(&user_name), Some(&wrong))).await?;
    stage.proving("MQTT-3.1.4-2");
    turned_away(stage, &mut other.probe).await?;
    stage.means();
    let mut alice = stage.open("alice").await?;
    let connect = alice.connect_packet().keep_alive(KEEP_ALIVE).resume().session_expiry(60);
    let connack = alice.connect(connect).await?;
    stage.is_resumed("U-4.13.2-2", "alice", &connack).await?;
    stage.proving("U-4.13.2-2");
    stage.receives_kept(&mut alice, &topic, "queued").await.map(drop)
}

async fn early_packets_wait_for_the_password(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("early");
    let (user_name, password) = users(stage)[1].clone();
    let mut alice = Candidate::new(stage, "alice").await?;
    let options = SubscriptionOptions::at(QoS::AtLeastOnce);
    let subscribe = Subscribe::new(1, &*topic, QoS::AtLeastOnce).and(stage.topic("too"), options);
    let publish = Publish::new(&*topic, "at once").qos(QoS::AtLeastOnce, 2);
    let connect = alice.with(Some(&user_name), Some(&password));
    let together: [Packet; 3] = [connect.into(), subscribe.into(), publish.into()];
    stage.claims();
    alice.probe.send_together(&together).await?;
    alice.probe.connack().await?;
    stage.proving("U-3.1.4-7");
    let suback = alice.probe.suback(1).await?;
    alice.probe.unlimited(Packet::SubAck(suback))?;
    alice.probe.puback(2).await?;
    alice.probe.receives(&topic, "at once").await?;
    stage.means();
    alice.probe.ping().await
}
