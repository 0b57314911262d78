//! Section 2.2.2.2: properties that belong into other packets. Each that the table keeps out of a
//! packet is sent in it, by a client that has all else right.

use std::time::Duration;

use bytes::Bytes;
use reference_broker::codec::{
    Kind, Packet, Place, PropertyId, Publish, PublishAck, QoS, ReasonCode, Subscribe, Unsubscribe,
    Value, Will,
};

use super::stage::KEEP_ALIVE;
use super::{Scenario, Stage, scenario};
use crate::probe::Probe;
use crate::target::Need;
use crate::verdict::{Outcome, Stop};

pub(super) const SCENARIOS: &[Scenario] = &[
    scenario!(
        "2.2/foreign-properties-in-connect",
        in_connect,
        "A CONNECT is refused for every property that belongs into other packets",
        ["U-2.2.2.2-6", "U-2.2.2.2-2"]
    )
    .breaks(&["U-2.2.2.2-6"])
    .needs(&[Need::Unproven, ROOM]),
    scenario!(
        "2.2/foreign-properties-in-will",
        in_will,
        "A CONNECT is refused for every property that does not belong to a Will",
        ["U-2.2.2.2-7", "U-2.2.2.2-2"]
    )
    .breaks(&["U-2.2.2.2-7"])
    .needs(&[Need::Unproven, ROOM]),
    scenario!(
        "2.2/foreign-properties-in-publish",
        in_publish,
        "A PUBLISH closes for every property that belongs into other packets",
        ["U-2.2.2.2-9", "U-2.2.2.2-2"]
    )
    .breaks(&["U-2.2.2.2-9"])
    .needs(&[ROOM]),
    scenario!(
        "2.2/foreign-properties-in-puback",
        in_puback,
        "A PUBACK closes for every property that belongs into other packets",
        ["U-2.2.2.2-10", "U-2.2.2.2-2"]
    )
    .breaks(&["U-2.2.2.2-10"])
    .needs(&[Need::QoS(QoS::AtLeastOnce), ROOM]),
    scenario!(
        "2.2/foreign-properties-in-pubrec",
        in_pubrec,
        "A PUBREC closes for every property that belongs into other packets",
        ["U-2.2.2.2-10", "U-2.2.2.2-2"]
    )
    .breaks(&["U-2.2.2.2-10"])
    .needs(QOS2),
    scenario!(
        "2.2/foreign-properties-in-pubrel",
        in_pubrel,
        "A PUBREL closes for every property that belongs into other packets",
        ["U-2.2.2.2-10", "U-2.2.2.2-2"]
    )
    .breaks(&["U-2.2.2.2-10"])
    .needs(QOS2),
    scenario!(
        "2.2/foreign-properties-in-pubcomp",
        in_pubcomp,
        "A PUBCOMP closes for every property that belongs into other packets",
        ["U-2.2.2.2-10", "U-2.2.2.2-2"]
    )
    .breaks(&["U-2.2.2.2-10"])
    .needs(QOS2),
    scenario!(
        "2.2/foreign-properties-in-subscribe",
        in_subscribe,
        "A SUBSCRIBE closes for every property that belongs into other packets",
        ["U-2.2.2.2-11", "U-2.2.2.2-2"]
    )
    .breaks(&["U-2.2.2.2-11"])
    .needs(&[ROOM]),
    scenario!(
        "2.2/foreign-properties-in-unsubscribe",
        in_unsubscribe,
        "An UNSUBSCRIBE closes for every property that belongs into other packets",
        ["U-2.2.2.2-12", "U-2.2.2.2-2"]
    )
    .breaks(&["U-2.2.2.2-12"])
    .needs(&[ROOM]),
];

/// The largest of these packets have two topics, or a topic and a client identifier.
const ROOM: Need = Need::PacketSize(160);

const QOS2: &[Need] = &[Need::QoS(QoS::ExactlyOnce), ROOM];

/// How many wait for the end of their connections together: one that takes its time takes it once.
pub(super) const TOGETHER: usize = 8;

/// How long it is looked whether a connection has been closed that had more time than it needs.
const MOMENT: Duration = Duration::from_millis(50);

/// The properties that belong into other packets than this one.
pub(super) fn foreign(place: Place) -> impl Iterator<Item = PropertyId> {
    PropertyId::ALL.iter().copied().filter(move |id| !id.belongs_in(place))
}

/// A value that a property may have, with names of the scenario's own.
pub(super) fn any_value(stage: &Stage, id: PropertyId) -> Value {
    match id.row().kind {
        Kind::Byte | Kind::TwoByte | Kind::FourByte | Kind::Variable => Value::from(1),
        Kind::Binary => Value::from(Bytes::from_static(b"data")),
        Kind::Pair => Value::from(("name", "value")),
        Kind::String => Value::from(match id {
            PropertyId::ResponseTopic => stage.topic("response"),
            PropertyId::AssignedClientIdentifier => stage.client_id("assigned"),
            _ => "text".to_owned(),
        }),
    }
}

/// Puts a property there, whether or not it belongs there.
fn put(packet: &mut Packet, place: Place, id: PropertyId, value: Value) {
    let properties = match packet {
        Packet::Connect(it) => match (place, &mut it.will) {
            (Place::Will, Some(will)) => &mut will.properties,
            _ => &mut it.properties,
        },
        Packet::Publish(it) => &mut it.properties,
        Packet::PubAck(it) | Packet::PubRec(it) | Packet::PubRel(it) | Packet::PubComp(it) => {
            &mut it.properties
        }
        Packet::Subscribe(it) => &mut it.properties,
        Packet::Unsubscribe(it) => &mut it.properties,
        _ => return,
    };
    properties.push(id, value);
}

/// Brings a client to where it sends a packet with such properties, and gives that packet.
async fn ready(
    stage: &mut Stage,
    place: Place,
    name: &str,
    bob: &mut Probe,
) -> Outcome<(Probe, Packet)> {
    let topic = stage.topic(name);
    if is_first(place) {
        let alice = stage.open(name).await?;
        let connect = alice.connect_packet().keep_alive(KEEP_ALIVE);
        return Ok(match place {
            Place::Will => (alice, connect.will(Will::new(&topic, "will")).into()),
            _ => (alice, connect.into()),
        });
    }
    let mut alice = stage.connected(name).await?;
    let id = alice.packet_id();
    let packet = match place {
        Place::Publish => Publish::new(&topic, "wrong").into(),
        Place::Subscribe => Subscribe::new(id, &topic, QoS::AtMostOnce).into(),
        Place::Unsubscribe => Unsubscribe::new(id, &topic).into(),
        Place::PubRel => {
            alice.send(Publish::new(&topic, "recorded").qos(QoS::ExactlyOnce, id)).await?;
            alice.pubrec(id).await?;
            Packet::PubRel(PublishAck::new(id))
        }
        _ => {
            let qos = if place == Place::PubAck { QoS::AtLeastOnce } else { QoS::ExactlyOnce };
            alice.subscribe(&topic, qos).await?;
            bob.publish(&topic, "held", qos).await?;
            let publish = alice.holds(&topic, "held").await?;
            let ack = PublishAck::new(publish.packet_id);
            match place {
                Place::PubAck => Packet::PubAck(ack),
                Place::PubRec => Packet::PubRec(ack),
                _ => {
                    alice.takes_up_to_pubrel(&publish).await?;
                    Packet::PubComp(ack)
                }
            }
        }
    };
    Ok((alice, packet))
}

/// Whether these properties are those of the first packet.
fn is_first(place: Place) -> bool {
    matches!(place, Place::Connect | Place::Will)
}

/// Sends each foreign property, by a client of its own, and says of which the connection is not closed.
async fn closes_for_each(stage: &mut Stage, place: Place) -> Outcome {
    let mut bob = stage.connected("bob").await?;
    stage.serves(&mut bob).await?;
    // The same with a property that belongs there works.
    let (mut alice, mut packet) = ready(stage, place, "alice", &mut bob).await?;
    put(&mut packet, place, PropertyId::UserProperty, ("name", "value").into());
    stage.claims();
    alice.send(packet).await?;
    if is_first(place) {
        alice.connack().await?;
    }
    alice.ping().await?;

    let (mut finding, mut overlooked, mut open) = (None, Vec::new(), Vec::new());
    for batch in foreign(place).collect::<Vec<_>>().chunks(TOGETHER) {
        let mut sent = Vec::new();
        stage.means();
        for &id in batch {
            let name = format!("p{}", id.value());
            let (mut alice, mut packet) = ready(stage, place, &name, &mut bob).await?;
            put(&mut packet, place, id, any_value(stage, id));
            let bytes = packet.to_bytes().unwrap_or_default();
            alice.has_room_for(&bytes)?;
            alice.send_bytes(bytes).await?;
            sent.push((id, alice));
        }
        stage.claims();
        for (id, mut alice) in sent {
            if !is_first(place) {
                open.extend(alice.is_open().await?.then_some((id, alice)));
                continue;
            }
            match alice.refused().await {
                // Who is accepted has not to be waited for.
                Err(Stop::Fail(it)) if it.seen.starts_with("CONNACK") => {
                    finding.get_or_insert(it);
                    overlooked.push(id.row().name);
                }
                refused => refused?,
            }
        }
    }
    // It may have been answered before it was closed: the first is given all the time that may take, and
    // the others have had it by then.
    for (id, mut alice) in open {
        let is_open = match finding {
            Some(_) => alice.ended_within(MOMENT).await?.is_none(),
            None => match alice.closes_for(ReasonCode::MalformedPacket).await {
                Err(Stop::Fail(it)) => finding.insert(it).event.is_some(),
                closed => closed.map(|()| false)?,
            },
        };
        overlooked.extend(is_open.then_some(id.row().name));
    }
    if let Some(mut it) = finding {
        it.observed = format!("{}, with {}", it.observed, overlooked.join(", "));
        return Err(Stop::Fail(it));
    }
    let is_open = bob.is_open().await?;
    let expected = "the connection of another client left open";
    stage.check_of("U-4.13.1-7", is_open, expected, "it closed")
}

async fn in_connect(stage: &mut Stage) -> Outcome {
    closes_for_each(stage, Place::Connect).await
}

async fn in_will(stage: &mut Stage) -> Outcome {
    closes_for_each(stage, Place::Will).await
}

async fn in_publish(stage: &mut Stage) -> Outcome {
    closes_for_each(stage, Place::Publish).await
}

async fn in_puback(stage: &mut Stage) -> Outcome {
    closes_for_each(stage, Place::PubAck).await
}

async fn in_pubrec(stage: &mut Stage) -> Outcome {
    closes_for_each(stage, Place::PubRec).await
}

async fn in_pubrel(stage: &mut Stage) -> Outcome {
    closes_for_each(stage, Place::PubRel).await
}

async fn in_pubcomp(stage: &mut Stage) -> Outcome {
    closes_for_each(stage, Place::PubComp).await
}

async fn in_subscribe(stage: &mut Stage) -> Outcome {
    closes_for_each(stage, Place::Subscribe).await
}

async fn in_unsubscribe(stage: &mut Stage) -> Outcome {
    closes_for_each(stage, Place::Unsubscribe).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_the_table_keeps_out_of_what_clients_send_is_foreign() {
        let places = Place::ALL
            .into_iter()
            .filter(|place| !matches!(place, Place::ConnAck | Place::SubAck | Place::UnsubAck));
        let places: Vec<_> = places.collect();
        let pairs: usize = places.iter().map(|place| foreign(*place).count()).sum();
        // 42 may be sent; a Subscription Identifier in PUBLISH is another error.
        assert_eq!(pairs, PropertyId::ALL.len() * places.len() - 42 - 1);
    }
}
