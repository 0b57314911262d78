//! The end of every script: whoever is still there has to be served, and what is over forgotten.

use std::time::Duration;

use conformance::trace::Event;
use reference_broker::codec::{Connect, Disconnect, Packet, Publish, QoS, Subscribe};
use reference_broker::core::{Broker, ConnectionId, Input};

use super::script::Script;
use super::world::World;

/// What is sent to see whether clients are served; no script uses it.
const TOPIC: &str = "end";

/// No script makes a broker ask for more answers than this.
const MOST_ANSWERS: usize = 100_000;

/// The longest time that anything lasts which does not last for ever.
const LONGEST: Duration = Duration::from_secs(u32::MAX as u64 + 1);

/// Lets clients finish what is open, serves them once more, and ends all sessions.
///
/// # Panics
///
/// When a client is not served, or something is not forgotten.
pub(super) fn end(mut script: Script<'_>) -> Vec<Event> {
    let ids: Vec<ConnectionId> = script.world.wires.keys().copied().collect();
    for id in &ids {
        let mut answers = 0;
        while script.answer(*id) {
            answers += 1;
            assert!(answers < MOST_ANSWERS, "{id:?} is sent ever more");
        }
    }
    serve_all(&mut script, &ids);
    let Script { world, .. } = &mut script;
    forget_all(world);
    script.world.trace
}

/// A message from a new client reaches every client that can take it.
fn serve_all(script: &mut Script<'_>, ids: &[ConnectionId]) {
    let world = &mut script.world;
    let publisher = world.open();
    world.send(publisher, Connect::new("end0publisher"));
    let subscriber = world.open();
    world.send(subscriber, Connect::new("end0subscriber"));
    let mut served = vec![subscriber];
    served.extend(ids.iter().copied().filter(|id| is_able(world, *id)));
    for id in &served {
        let packet_id = world.wires.get_mut(id).map(|wire| wire.client.fresh_id());
        let subscribe = Subscribe::new(packet_id.unwrap_or(1), TOPIC, QoS::AtLeastOnce);
        world.send(*id, subscribe);
    }
    let before = world.trace.len();
    let qos = world.broker.config().maximum_qos.min(QoS::AtLeastOnce);
    let publish = Publish::new(TOPIC, "end").qos(qos, 1);
    world.send(publisher, publish);
    for id in served {
        let Some(wire) = world.wires.get(&id) else { panic!("{id:?} was closed while served") };
        let got = world.trace[before..].iter().any(|event| {
            let conformance::trace::What::Received(Packet::Publish(publish)) = &event.what else {
                return false;
            };
            event.probe == wire.probe && &*publish.topic == TOPIC
        });
        assert!(got, "{} did everything right and gets nothing", wire.probe);
    }
}

/// Whether a client has kept the rules and takes packets of the size that is to come.
fn is_able(world: &World, id: ConnectionId) -> bool {
    world.wires.get(&id).is_some_and(|wire| {
        let client = &wire.client;
        client.is_honest && client.is_connected() && client.packet_limit() >= 100
    })
}

/// Ends all connections, all sessions, all retained messages; then nothing may be left.
fn forget_all(world: &mut World) {
    let ids: Vec<ConnectionId> = world.wires.keys().copied().collect();
    ids.into_iter().for_each(|id| world.drop_wire(id));
    for client in world.census().clients.clone() {
        let id = world.open();
        world.send(id, Connect::new(client));
        world.send(id, Disconnect::default());
    }
    for topic in world.census().topics.clone() {
        // Each on a connection of its own, as some topics may be refused with a close.
        let id = world.open();
        world.send(id, Connect::new("end0janitor"));
        world.send(id, Publish::new(topic, "").retain());
        world.send(id, Disconnect::default());
    }
    assert_eq!(world.broker.next_deadline(), None, "a timer outlives what it was for");

    let mut fresh = Broker::new(world.broker.config().clone());
    fresh.handle(world.now, Input::Tick);
    assert_eq!(without_count(&world.broker), without_count(&fresh), "something is not forgotten");
    world.pass_time(world.now.after(LONGEST));
}

/// A broker as text, without its running counts: of the identifiers it assigned, and of the groups of
/// Shared Subscriptions there have been.
fn without_count(broker: &Broker) -> String {
    let text = format!("{broker:?}");
    let end = text.rfind("assigned_ids").unwrap_or(text.len());
    let text = &text[..end];
    let Some(begun) = text.find("begun: ") else { panic!("no count of groups in {text}") };
    let (before, counted) = text.split_at(begun);
    let after = counted.trim_start_matches("begun: ");
    let after = after.trim_start_matches(|c: char| c.is_ascii_digit());
    format!("{before}{after}")
}
