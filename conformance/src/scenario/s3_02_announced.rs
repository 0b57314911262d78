//! Sections 3.2.2.3.4 to 3.2.2.3.13: what CONNACK rules out is refused, and what it does not rule out is
//! to be had. To show it, clients here also ask for what they were told is not there.

use reference_broker::codec::{Packet, PropertyId, Publish, QoS, ReasonCode, Subscribe, Will};

use super::{Scenario, Stage, scenario};
use crate::probe::{Answer, Probe, TOO_LARGE};
use crate::target::{Capabilities, Need};
use crate::trace::packet_text;
use crate::verdict::Outcome;

pub(super) const SCENARIOS: &[Scenario] = &[
    scenario!(
        "3.2/announcements-in-range",
        announcements_in_range,
        "What CONNACK announces has a value that the property can have",
        [
            "U-3.2.2.3.4-1",
            "U-3.2.2.3.3-1",
            "U-3.2.2.3.5-1",
            "U-3.2.2.3.6-1",
            "U-3.2.2.3.11-1",
            "U-3.2.2.3.12-1",
            "U-3.2.2.3.13-1"
        ]
    ),
    scenario!(
        "3.2/will-qos-as-announced",
        will_qos_as_announced,
        "A Will is taken up to the Maximum QoS; a CONNECT with one beyond it is refused and closed",
        ["MQTT-3.2.2-12", "U-3.2.2.2-18"]
    ),
    scenario!(
        "3.2/publish-qos-as-announced",
        publish_qos_as_announced,
        "A message is taken up to the Maximum QoS; one beyond it closes, and is not delivered",
        ["U-3.2.2.3.4-2", "U-3.3.1.2-1", "MQTT-4.13.1-1"]
    )
    .breaks(&["MQTT-3.2.2-11"]),
    scenario!(
        "3.2/any-subscription-qos-accepted",
        any_subscription_qos_accepted,
        "A SUBSCRIBE may ask for every QoS, whatever the Maximum QoS is",
        ["MQTT-3.2.2-10"]
    ),
    scenario!(
        "3.2/retained-will-as-announced",
        retained_will_as_announced,
        "A retained Will is taken unless there are no retained messages: then it is refused",
        ["MQTT-3.2.2-13", "U-3.2.2.2-17"]
    ),
    scenario!(
        "3.2/retain-as-announced",
        retain_as_announced,
        "A PUBLISH with RETAIN is taken unless there are no retained messages: then it closes",
        ["U-3.2.2.3.5-3", "U-3.3.1.3-1", "MQTT-4.13.1-1"]
    )
    .breaks(&["MQTT-3.2.2-14"]),
    scenario!(
        "3.2/wildcards-as-announced",
        wildcards_as_announced,
        "Wildcard Subscriptions are granted unless there are none",
        ["U-3.2.2.3.11-2"]
    )
    .breaks(&["U-3.2.2.3.11-2"]),
    scenario!(
        "3.2/subscription-identifiers-as-announced",
        subscription_identifiers_as_announced,
        "Subscriptions with an identifier are granted unless there are no identifiers",
        ["U-3.2.2.3.12-2"]
    )
    .breaks(&["U-3.2.2.3.12-2"]),
    scenario!(
        "3.2/shared-subscriptions-as-announced",
        shared_subscriptions_as_announced,
        "Shared Subscriptions are granted unless there are none",
        ["U-3.2.2.3.13-2"]
    )
    .breaks(&["U-3.2.2.3.13-2"]),
    scenario!(
        "3.2/large-packets-as-announced",
        large_packets_as_announced,
        "Packets of any size are taken up to the Maximum Packet Size, and without one altogether",
        ["U-3.2.2.3.6-3"]
    ),
];

async fn announcements_in_range(stage: &mut Stage) -> Outcome {
    const RANGES: [(PropertyId, &str, u32, u32); 7] = [
        (PropertyId::MaximumQoS, "U-3.2.2.3.4-1", 0, 1),
        (PropertyId::ReceiveMaximum, "U-3.2.2.3.3-1", 1, u16::MAX as u32),
        (PropertyId::RetainAvailable, "U-3.2.2.3.5-1", 0, 1),
        (PropertyId::MaximumPacketSize, "U-3.2.2.3.6-1", 1, u32::MAX),
        (PropertyId::WildcardSubscriptionAvailable, "U-3.2.2.3.11-1", 0, 1),
        (PropertyId::SubscriptionIdentifierAvailable, "U-3.2.2.3.12-1", 0, 1),
        (PropertyId::SharedSubscriptionAvailable, "U-3.2.2.3.13-1", 0, 1),
    ];
    let mut alice = stage.open("alice").await?;
    let connack = alice.connect(alice.connect_packet().keep_alive(3600)).await?;
    for (property, requirement, least, most) in RANGES {
        let name = property.row().key;
        let value = connack.properties.number(property);
        let fits = value.is_none_or(|value| (least..=most).contains(&value));
        let expected = format!("{name} from {least} to {most}, or none");
        let observed = format!("{name} {}", value.unwrap_or_default());
        stage.check_of(requirement, fits, &expected, observed)?;
    }
    stage.serves(&mut alice).await
}

/// What the target tells a client of this scenario.
async fn announced(stage: &mut Stage) -> Outcome<Capabilities> {
    let mut scout = stage.open("scout").await?;
    let connack = scout.connect(scout.connect_packet().keep_alive(3600)).await?;
    scout.leave().await?;
    Ok(Capabilities::of(&connack))
}

async fn will_qos_as_announced(stage: &mut Stage) -> Outcome {
    let announced = announced(stage).await?;
    for qos in QoS::ALL {
        let will = Will::new(stage.topic("will"), "will").qos(qos);
        match announced.meet(Need::QoS(qos)) {
            true => is_taken(stage, will).await?,
            false => {
                is_refused(
                    stage,
                    ["MQTT-3.2.2-12", "U-3.2.2.2-18"],
                    will,
                    ReasonCode::QoSNotSupported,
                )
                .await?;
            }
        }
    }
    Ok(())
}

async fn retained_will_as_announced(stage: &mut Stage) -> Outcome {
    is_taken(stage, Will::new(stage.topic("will"), "will")).await?;
    let will = Will::new(stage.topic("will"), "will").retain();
    match announced(stage).await?.meet(Need::Retain) {
        true => is_taken(stage, will).await,
        false => {
            is_refused(
                stage,
                ["MQTT-3.2.2-13", "U-3.2.2.2-17"],
                will,
                ReasonCode::RetainNotSupported,
            )
            .await
        }
    }
}

/// Shows that a client with this Will is accepted.
async fn is_taken(stage: &mut Stage, will: Will) -> Outcome {
    let mut alice = stage.connected_with("alice", |connect| connect.will(will)).await?;
    stage.serves(&mut alice).await?;
    alice.leave().await
}

/// Shows that a client with this Will is refused, as it must be, with this code, as it should be.
async fn is_refused(
    stage: &mut Stage,
    [must, should]: [&'static str; 2],
    will: Will,
    reason: ReasonCode,
) -> Outcome {
    let mut alice = stage.open("alice").await?;
    alice.send(alice.connect_packet().keep_alive(3600).will(will)).await?;
    let expected = format!("CONNACK 0x{:02X} ({})", reason.value(), reason.row().name);
    let Some(connack) = alice.answer().await? else { return Ok(()) };
    let observed = packet_text(&connack.clone().into());
    stage.check_of(must, connack.reason.is_error(), &expected, observed.as_str())?;
    if connack.reason != reason {
        stage.advise(should, &expected, observed);
    }
    alice.closes_after_refusal().await
}

async fn publish_qos_as_announced(stage: &mut Stage) -> Outcome {
    let announced = announced(stage).await?;
    for qos in QoS::ALL {
        let is_available = announced.meet(Need::QoS(qos));
        let publish = |topic: &str, id| Publish::new(topic, "hello").qos(qos, id);
        is_taken_or_closed_for(stage, publish, is_available, ReasonCode::QoSNotSupported).await?;
    }
    Ok(())
}

async fn retain_as_announced(stage: &mut Stage) -> Outcome {
    let is_available = announced(stage).await?.meet(Need::Retain);
    let publish = |topic: &str, _| Publish::new(topic, "hello").retain();
    is_taken_or_closed_for(stage, publish, is_available, ReasonCode::RetainNotSupported).await
}

/// Shows that a message is delivered if that is available, and otherwise closes its connection and is
/// not.
async fn is_taken_or_closed_for(
    stage: &mut Stage,
    publish: impl Fn(&str, u16) -> Publish,
    is_available: bool,
    reason: ReasonCode,
) -> Outcome {
    let topic = stage.topic("messages");
    let mut bob = stage.connected("bob").await?;
    bob.subscribe_up_to(&topic, QoS::AtLeastOnce).await?;
    bob.publish(&topic, "before", QoS::AtMostOnce).await?;
    bob.receives_until(&topic, "before").await?;
    let mut alice = stage.connected("alice").await?;
    let publish = publish(&topic, alice.packet_id());
    if is_available {
        alice.publish_with(publish).await?;
        return bob.receives(&topic, "hello").await.map(drop);
    }
    alice.send(publish).await?;
    alice.closes_for(reason).await?;
    let mut carol = stage.connected("carol").await?;
    stage.nothing_on_at(&topic, QoS::AtMostOnce, &mut carol, &mut bob).await
}

async fn any_subscription_qos_accepted(stage: &mut Stage) -> Outcome {
    let mut alice = stage.connected("alice").await?;
    let mut bob = stage.connected("bob").await?;
    stage.claims();
    for qos in QoS::ALL {
        let topic = stage.topic(&format!("at{}", qos.value()));
        alice.subscribe_up_to(&topic, qos).await?;
        bob.publish(&topic, "hello", QoS::AtMostOnce).await?;
        alice.receives(&topic, "hello").await?;
    }
    Ok(())
}

async fn wildcards_as_announced(stage: &mut Stage) -> Outcome {
    const REASON: ReasonCode = ReasonCode::WildcardSubscriptionsNotSupported;
    let is_available = announced(stage).await?.meet(Need::Wildcards);
    for (filter, topic) in [("first/+", "first/a"), ("second/#", "second"), ("+/third", "b/third")]
    {
        let subscribe = Subscribe::new(1, stage.topic(filter), QoS::AtMostOnce);
        is_granted_or_not(stage, subscribe, topic, is_available, REASON).await?;
    }
    Ok(())
}

async fn subscription_identifiers_as_announced(stage: &mut Stage) -> Outcome {
    const REASON: ReasonCode = ReasonCode::SubscriptionIdentifiersNotSupported;
    let is_available = announced(stage).await?.meet(Need::SubscriptionIdentifiers);
    let mut subscribe = Subscribe::new(1, stage.topic("numbered"), QoS::AtMostOnce);
    subscribe.properties.push(PropertyId::SubscriptionIdentifier, 1);
    is_granted_or_not(stage, subscribe, "numbered", is_available, REASON).await
}

async fn shared_subscriptions_as_announced(stage: &mut Stage) -> Outcome {
    const REASON: ReasonCode = ReasonCode::SharedSubscriptionsNotSupported;
    let is_available = announced(stage).await?.meet(Need::SharedSubscriptions);
    let filter = format!("$share/{}/{}", stage.client_id("group"), stage.topic("shared"));
    let subscribe = Subscribe::new(1, filter, QoS::AtMostOnce);
    is_granted_or_not(stage, subscribe, "shared", is_available, REASON).await
}

/// Shows that a subscription brings messages if it is available. Otherwise it is not granted: the
/// connection is closed, as sections 3.2.2.3.11 to .13 have it, or SUBACK says so, as table 3-8 does.
async fn is_granted_or_not(
    stage: &mut Stage,
    subscribe: Subscribe,
    topic: &str,
    is_available: bool,
    reason: ReasonCode,
) -> Outcome {
    let mut alice = stage.connected("alice").await?;
    if !is_available {
        stage.serves(&mut alice).await?;
        return is_not_granted(stage, &mut alice, subscribe, reason).await;
    }
    let suback = alice.request(subscribe).await?;
    alice.granted(&suback, &[QoS::AtMostOnce])?;
    let topic = stage.topic(topic);
    alice.publish(&topic, "hello", QoS::AtMostOnce).await?;
    alice.receives(&topic, "hello").await.map(drop)
}

async fn is_not_granted(
    stage: &mut Stage,
    alice: &mut Probe,
    subscribe: Subscribe,
    reason: ReasonCode,
) -> Outcome {
    // The identifiers of a client begin with 1, and it has subscribed already.
    let id = alice.packet_id();
    alice.send(Subscribe { packet_id: id, ..subscribe }).await?;
    let Some(suback) = alice.ack_or_close(id).await? else { return Ok(()) };
    let is_refused = suback.reasons.iter().all(|code| code.is_error());
    let expected = format!("no subscription (0x{:02X} {})", reason.value(), reason.row().name);
    stage.check(is_refused, &expected, packet_text(&Packet::SubAck(suback)))?;
    stage.serves(alice).await
}

async fn large_packets_as_announced(stage: &mut Stage) -> Outcome {
    /// What goes beside the payload.
    const ROOM: usize = 200;
    let limit =
        usize::try_from(announced(stage).await?.maximum_packet_size()).unwrap_or(usize::MAX);
    let mut alice = stage.connected("alice").await?;
    stage.serves(&mut alice).await?;
    alice.leave().await?;
    // The last is no more than many a picture has.
    for size in [500, 5 << 10, 64 << 10, 512 << 10] {
        if size + ROOM > limit {
            break;
        }
        let topic = stage.topic(&format!("of{size}"));
        let mut alice = stage.connected("alice").await?;
        alice.subscribe(&topic, QoS::AtMostOnce).await?;
        let (id, payload) = (alice.packet_id(), "x".repeat(size));
        let level = stage.acknowledged_levels().first().copied().unwrap_or(QoS::AtMostOnce);
        let expected =
            format!("a packet of {size} bytes taken, as no Maximum Packet Size rules it out");
        match alice.offer(Publish::new(&topic, payload.clone()).qos(level, id)).await? {
            Answer::Taken => alice.receives(&topic, &payload).await.map(drop)?,
            // A quota, or how the broker is made: of a Maximum Packet Size it would have told.
            _ if tells_of_limit(stage) => {
                return stage.inconclusive(&expected, TOO_LARGE);
            }
            _ => {
                return stage
                    .fail(&expected, "it refused, and gave no limit of its own as the reason");
            }
        }
        alice.leave().await?;
    }
    Ok(())
}

/// Whether a packet was refused for a quota, or for how this broker is made. 0x95 names a Maximum Packet
/// Size, and CONNACK said that there is none.
fn tells_of_limit(stage: &Stage) -> bool {
    let is_told = |reason: ReasonCode| {
        [ReasonCode::QuotaExceeded, ReasonCode::ImplementationSpecificError].contains(&reason)
    };
    stage.saw("alice", |packet| match packet {
        Packet::Disconnect(packet) => is_told(packet.reason),
        Packet::PubAck(packet) | Packet::PubRec(packet) => is_told(packet.reason),
        _ => false,
    })
}
