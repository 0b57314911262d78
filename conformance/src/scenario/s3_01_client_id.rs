//! Section 3.1.3.1: Client Identifier.

use reference_broker::codec::{ConnAck, Connect, PropertyId, QoS, Text};

use super::{Scenario, Stage, scenario};
use crate::probe::Probe;
use crate::target::Need;
use crate::trace::Said;
use crate::verdict::Outcome;

pub(super) const SCENARIOS: &[Scenario] = &[
    scenario!(
        "3.1/client-ids-of-letters-and-digits",
        client_ids_of_letters_and_digits,
        "Client identifiers of 1 to 23 letters and digits are accepted",
        ["MQTT-3.1.3-5", "MQTT-3.1.4-5"]
    ),
    scenario!(
        "3.1/client-ids-that-differ-slightly",
        client_ids_that_differ_slightly,
        "Client identifiers that differ in case, or by one character, belong to different clients",
        ["MQTT-3.1.3-2"]
    )
    .needs(&[Need::Sessions]),
    scenario!(
        "3.1/unusual-client-ids-taken-or-refused",
        unusual_client_ids_taken_or_refused,
        "Long client identifiers, or of other characters, are accepted as they are or refused",
        ["MQTT-3.1.3-8", "MQTT-3.1.3-2", "U-3.1.3.1-1", "U-3.1.3.1-2"]
    ),
    scenario!(
        "3.1/empty-client-id-is-replaced",
        empty_client_id_is_replaced,
        "A client that gives no identifier is told the one it gets, or is refused",
        ["MQTT-3.2.2-16", "MQTT-3.1.3-6", "MQTT-3.1.3-7"]
    ),
    scenario!(
        "3.1/assigned-ids-differ",
        assigned_ids_differ,
        "No assigned identifier is that of another client or of a session that is kept",
        ["MQTT-3.1.3-6", "MQTT-3.2.2-16"]
    )
    .needs(&[Need::Sessions]),
    scenario!(
        "3.1/assigned-id-resumes",
        assigned_id_resumes,
        "A session is found again under the identifier that was assigned to its client",
        ["MQTT-3.1.3-7", "MQTT-3.1.2-5"]
    )
    .needs(&[Need::Sessions]),
    scenario!(
        "3.1/assigned-id-taken-over",
        assigned_id_taken_over,
        "A client with an assigned identifier is taken over by one that connects under it",
        ["MQTT-3.1.3-7", "MQTT-3.1.4-3"]
    ),
];

async fn client_ids_of_letters_and_digits(stage: &mut Stage) -> Outcome {
    const ALPHABET: &str = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    let own = stage.client_id("");
    // Shorter ones may be another's too, so there are few of them.
    let mut ids = vec![stage.short_client_id(1), stage.short_client_id(2)];
    ids.extend((1..=23).map(|length| own.chars().cycle().take(length).collect()).skip(own.len()));
    let characters: Vec<char> = ALPHABET.chars().collect();
    let room = 23_usize.saturating_sub(own.len()).max(1);
    ids.extend(
        characters.chunks(room).map(|some| own.chars().chain(some.iter().copied()).collect()),
    );
    stage.claims();
    for id in ids.iter().filter(|id| id.len() <= 23) {
        let mut alice = stage.open("alice").await?;
        alice.connect_as_anybody(alice.connect_packet_as(id)).await?;
        stage.serves(&mut alice).await?;
    }
    Ok(())
}

async fn client_ids_that_differ_slightly(stage: &mut Stage) -> Outcome {
    let names = ["same", "Same", "sam", "same0"];
    let topic = |stage: &Stage, name: &str| stage.topic(&format!("for {name}"));
    let mut probes = Vec::new();
    for name in names {
        let mut probe = stage.with_session(name, 60).await?;
        probe.subscribe(&topic(stage, name), QoS::AtLeastOnce).await?;
        probes.push(probe);
    }
    // None has taken another over.
    stage.keeps_sessions().await?;
    stage.claims();
    for mut probe in probes {
        probe.ping().await?;
        probe.leave().await?;
    }
    stage.means();
    let mut bob = stage.connected("bob").await?;
    for name in names {
        bob.publish(&topic(stage, name), name, QoS::AtLeastOnce).await?;
    }
    for name in names {
        let mut probe = stage.resumed(name, 60).await?;
        probe.receives_marker(&topic(stage, name), name).await?;
        stage.nothing_on(&topic(stage, name), &mut bob, &mut probe).await?;
    }
    Ok(())
}

async fn unusual_client_ids_taken_or_refused(stage: &mut Stage) -> Outcome {
    let mut control = stage.connected("control").await?;
    stage.serves(&mut control).await?;
    control.ping().await?;
    stage.claims();
    let own = stage.client_id("");
    let long = |length: usize| format!("{own}{}", "i".repeat(length.saturating_sub(own.len())));
    for base in [long(23), long(255), format!("{own}-_./+#$ \u{E9}")] {
        // Two that differ in their last character alone.
        let mut taken = Vec::new();
        for last in ["1", "2"] {
            let mut probe = stage.open("alice").await?;
            probe.send(probe.connect_packet_as(format!("{base}{last}"))).await?;
            match probe.answer().await? {
                Some(connack) if !connack.reason.is_error() => taken.push(probe),
                Some(_) => probe.refused().await?,
                None => {}
            }
        }
        stage.proving("MQTT-3.1.3-2");
        for probe in &mut taken {
            probe.ping().await?;
            stage.serves(probe).await?;
        }
        stage.proving("MQTT-3.1.3-8");
    }
    Ok(())
}

/// Connects with an empty Client Identifier; gives the one that was assigned.
///
/// A target may refuse all such clients (section 3.1.3.1): then there is nothing to be shown.
async fn assigned(
    stage: &mut Stage,
    name: &str,
    change: impl FnOnce(Connect) -> Connect,
) -> Outcome<(Probe, ConnAck, Text)> {
    let mut probe = stage.open(name).await?;
    probe.send(change(probe.connect_packet_as("").keep_alive(3600))).await?;
    let connack = match probe.answer().await? {
        Some(connack) if !connack.reason.is_error() => connack,
        answer => {
            if answer.is_some() {
                probe.closes_after_refusal().await?;
            }
            return stage.not_applicable("the target does not assign client identifiers");
        }
    };
    let id = connack.properties.text(PropertyId::AssignedClientIdentifier).cloned();
    match id.filter(|id| !id.is_empty()) {
        Some(id) => Ok((probe, connack, id)),
        None => {
            let expected = "CONNACK with assigned_client_identifier";
            stage.stands_on("MQTT-3.2.2-16", false, expected, "CONNACK without one")?;
            stage.not_applicable("the target does not assign client identifiers")
        }
    }
}

/// Whether the session is kept for the minute that was asked for, or longer.
fn is_kept(connack: &ConnAck) -> bool {
    connack.properties.number(PropertyId::SessionExpiryInterval).is_none_or(|expiry| expiry >= 60)
}

async fn empty_client_id_is_replaced(stage: &mut Stage) -> Outcome {
    let mut control = stage.connected("control").await?;
    stage.serves(&mut control).await?;
    control.ping().await?;
    stage.claims();
    let mut earlier = Vec::new();
    for clean_start in [true, false] {
        let change = |connect| Connect { clean_start, ..connect };
        let (mut alice, connack, _) = assigned(stage, "alice", change).await?;
        stage.is_new("MQTT-3.1.3-6", &connack).await?;
        stage.serves(&mut alice).await?;
        earlier.push(alice);
    }
    // Each has its own, so none has taken another over.
    stage.proving("MQTT-3.1.3-6");
    for probe in &mut earlier {
        probe.ping().await?;
    }
    Ok(())
}

async fn assigned_ids_differ(stage: &mut Stage) -> Outcome {
    let (alice, connack, first) =
        assigned(stage, "alice", |connect| connect.session_expiry(60)).await?;
    alice.leave().await?;
    // A target may keep no session under an identifier of its own, and give that again.
    let mut ids = if is_kept(&connack) { vec![first.clone()] } else { Vec::new() };
    let mut probes = Vec::new();
    for _ in 0..10 {
        let (probe, connack, id) = assigned(stage, "bob", Connect::resume).await?;
        let observed =
            format!("{} again, session_present {}", id.said(), u8::from(connack.session_present));
        stage.check(!ids.contains(&id), "an identifier not yet in use", observed)?;
        ids.push(id);
        probes.push(probe);
    }
    for probe in &mut probes {
        stage.serves(probe).await?;
    }
    // Nobody else knows of the session that was kept.
    let mut alice = stage.open("alice").await?;
    alice.connect(alice.connect_packet_as(first)).await?;
    alice.leave().await
}

async fn assigned_id_resumes(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("queued");
    let (mut alice, connack, id) = assigned(stage, "alice", |c| c.session_expiry(60)).await?;
    if !is_kept(&connack) {
        return stage.not_applicable("the target keeps no session under an identifier of its own");
    }
    alice.subscribe(&topic, QoS::AtLeastOnce).await?;
    alice.leave().await?;
    let mut bob = stage.connected("bob").await?;
    bob.publish(&topic, "while away", QoS::AtLeastOnce).await?;

    let mut alice = stage.open("alice").await?;
    let connack = alice.connect(alice.connect_packet_as(id).resume().session_expiry(60)).await?;
    stage.is_resumed("MQTT-3.1.3-7", "alice", &connack).await?;
    stage.proving("MQTT-3.1.2-5");
    stage.receives_kept(&mut alice, &topic, "while away").await?;
    stage.means();
    bob.publish(&topic, "back again", QoS::AtLeastOnce).await?;
    stage.claims();
    alice.receives(&topic, "back again").await.map(drop)
}

async fn assigned_id_taken_over(stage: &mut Stage) -> Outcome {
    let (mut alice, _, id) = assigned(stage, "alice", |connect| connect).await?;
    alice.ping().await?;
    let mut other = stage.open("other").await?;
    other.connect(other.connect_packet_as(id)).await?;
    alice.closes().await?;
    stage.serves(&mut other).await
}
