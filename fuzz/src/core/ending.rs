//! The end of every script: whoever is still there is served, what is hidden is shown, what is over forgotten.

use std::time::Duration;

use conformance::trace::{Event, What};
use reference_broker::codec::{
    Connect, Packet, PropertyId, Publish, QoS, Subscribe, SubscriptionOptions, Text,
};
use reference_broker::core::{Broker, ConnectionId, Input};

use super::client::{Identity, Verdict};
use super::script::Script;
use super::world::World;

/// Who looks at retained messages, and clears them; no script has such a client.
pub(super) const AUDITOR: &str = "auditor";

/// What is sent to see whether clients are served; no script uses it.
pub(super) const END: &str = "end";

/// For how many seconds the sessions of clients that come back are kept.
const KEPT: u32 = 100;

/// Lets clients finish what is open, serves them once more, has them all come back for what there is for them,
/// looks at what is retained, and ends all of it.
///
/// # Panics
///
/// When a client is not served, or something is not forgotten.
pub(super) fn end(mut script: Script<'_>) -> Vec<Event> {
    if script.world.is_redirected {
        script.world.redirect(None);
    }
    while script.world.answer_late(Verdict::Accepted) {}
    let ids: Vec<ConnectionId> = script.world.wires.keys().copied().collect();
    ids.iter().for_each(|id| script.answer_all(*id));
    let auditor = serve_all(&mut script.world, &ids);
    come_back(&mut script);
    look(&mut script, auditor);
    forget_all(&mut script.world);
    script.world.trace
}

/// Opens a connection with this CONNECT, as this user.
fn connect(world: &mut World, mut connect: Connect, user: Option<Text>) -> ConnectionId {
    let methods = &world.broker.config().access.methods;
    if let (Some(method), Some(_)) = (methods.first(), &user) {
        // Who asks for no method may be asked nothing, and be nobody.
        connect.properties.push(PropertyId::AuthenticationMethod, method.clone());
    }
    let id = world.open();
    if let Some(wire) = world.wires.get_mut(&id) {
        wire.client.identity = Identity { user, verdict: Verdict::Accepted };
    }
    world.send(id, connect);
    id
}

/// A message of a new client reaches it, and every client that can take it.
fn serve_all(world: &mut World, ids: &[ConnectionId]) -> ConnectionId {
    let auditor = connect(world, Connect::new(AUDITOR), Some(AUDITOR.into()));
    let mut served = vec![auditor];
    served.extend(ids.iter().copied().filter(|id| is_able(world, *id)));
    for id in &served {
        let subscribe = Subscribe::new(fresh_id(world, *id), END, QoS::AtLeastOnce);
        world.send(*id, subscribe);
    }
    let before = world.trace.len();
    let qos = world.broker.config().maximum_qos.min(QoS::AtLeastOnce);
    let packet_id = if qos == QoS::AtMostOnce { 0 } else { fresh_id(world, auditor) };
    world.send(auditor, Publish::new(END, END).qos(qos, packet_id));
    for id in served {
        let Some(wire) = world.wires.get(&id) else { world.fail("closed while it is served") };
        let got = world.trace[before..].iter().any(|event| {
            let What::Received(Packet::Publish(publish)) = &event.what else { return false };
            event.probe == wire.probe && &*publish.topic == END
        });
        if !got {
            world.fail(&format!("{} did everything right and gets nothing", wire.probe));
        }
    }
    auditor
}

fn fresh_id(world: &mut World, id: ConnectionId) -> u16 {
    world.wires.get_mut(&id).map_or(1, |wire| wire.client.fresh_id())
}

/// Whether a client has kept the rules and takes packets of the size that is to come.
fn is_able(world: &World, id: ConnectionId) -> bool {
    world.wires.get(&id).is_some_and(|wire| {
        let client = &wire.client;
        client.is_honest && client.is_connected() && client.packet_limit() >= 100
    })
}

/// Each client comes back to its session, and takes what waits there.
fn come_back(script: &mut Script<'_>) {
    for (client, user) in script.world.census.clients.clone() {
        if &*client == AUDITOR {
            continue;
        }
        let again = Connect::new(client).resume().session_expiry(KEPT);
        let id = connect(&mut script.world, again, user);
        script.answer_all(id);
    }
}

/// Retained messages are read.
fn look(script: &mut Script<'_>, auditor: ConnectionId) {
    let world = &mut script.world;
    if world.census.topics.is_empty() || !world.broker.config().features.wildcards {
        return;
    }
    let at_most = SubscriptionOptions::at(QoS::ExactlyOnce);
    let subscribe = Subscribe::new(fresh_id(world, auditor), "#", QoS::ExactlyOnce);
    world.send(auditor, subscribe.and("$a/#", at_most));
    script.answer_all(auditor);
}

/// Ends all connections, lets all sessions end and clears what is retained; then nothing may be left.
fn forget_all(world: &mut World) {
    let ids: Vec<ConnectionId> = world.wires.keys().copied().collect();
    ids.into_iter().for_each(|id| world.drop_wire(id));
    // A broker may look at what is due now and then only.
    world.pass_time(world.now.after(Duration::from_secs(u64::from(KEPT) + 2)));
    if world.broker.counts().retained > 0 {
        clear(world);
    }
    if let Some(due) = world.broker.next_deadline() {
        world.fail(&format!("a timer for {due:?} outlives what it was for"));
    }
    let left = world.broker.counts();
    let sessions = left.connections + left.sessions_connected + left.sessions_waiting;
    let others = left.subscriptions + left.shared_members + left.retained + left.retained_bytes;
    if sessions + others + left.queued_bytes > 0 {
        world.fail(&format!("something is not forgotten: {left:?}"));
    }
    if is_looked_into(world) {
        world.input(Input::Tick);
        let mut fresh = Broker::new(world.broker.config().clone());
        fresh.handle(world.now, Input::Tick);
        let (left, none) = (without_count(&world.broker), without_count(&fresh));
        if left != none {
            world.fail(&format!("something is not forgotten: {left}\nwhere there may be {none}"));
        }
    }
}

/// Whether what is left is looked at in full, which takes longer than most scripts do: for every eighth moment at
/// which they end, and so for one of a few scripts that leave the same.
fn is_looked_into(world: &World) -> bool {
    world.trace.len().is_multiple_of(8)
}

fn clear(world: &mut World) {
    let auditor = connect(world, Connect::new(AUDITOR), Some(AUDITOR.into()));
    for topic in world.census.topics.clone() {
        // One that is the broker's own may be refused with a close.
        world.send(auditor, Publish::new(topic, "").retain());
    }
    world.drop_wire(auditor);
}

/// A broker as text, without its running counts: of the identifiers it assigned, of the groups of Shared Subscriptions
/// there have been, and of the clients that have left.
fn without_count(broker: &Broker) -> String {
    let text = format!("{broker:?}");
    let end = text.rfind("assigned_ids").unwrap_or(text.len());
    let mut text = text[..end].to_owned();
    for count in ["begun: ", "left: "] {
        let Some((before, counted)) = text.split_once(count) else { panic!("no {count}in {text}") };
        let after = counted.trim_start_matches(|c: char| c.is_ascii_digit());
        text = format!("{before}{after}");
    }
    text
}
