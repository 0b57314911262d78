//! When things happen: late, but not too late.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use reference_broker::codec::{Packet, PropertyId, QoS, Text};
use reference_broker::core::{ConnectionId, Input, Output};

use super::Switch;
use crate::boundary::{Boundary, Rule, rules};

/// The delay of slow connections.
const SLOW: Duration = Duration::from_millis(80);

/// How long what has come stays unread on some connections.
const UNREAD: Duration = Duration::from_millis(50);

/// How long the loss of a connection stays unnoticed.
const UNNOTICED: Duration = Duration::from_millis(40);

/// How long a broker takes between two looks at its timers. The standard gives no tolerance for
/// any of them, and brokers there are take that long.
const SWEEP: Duration = Duration::from_secs(5);

pub(super) const SWITCHES: &[Switch] = &[
    Switch::new(
        "every-second-connection-is-slow",
        "sends everything 80 ms later over every second connection",
        &["U-4.2-2", "4.6"],
    )
    .ruled(|| vec![Box::new(Slow)]),
    Switch::new(
        "reads-every-second-connection-late",
        "reads everything 50 ms later from every second connection",
        &["U-4.2-2", "4.6"],
    )
    .one_of(&["lag"])
    .ruled(|| vec![Box::new(ReadsLate)]),
    Switch::new(
        "takes-qos-0-in-late",
        "takes QoS 0 messages in 150 ms later than other packets, or at the end of their connection",
        &["4.6", "3.12"],
    )
    .ruled(|| {
        let held = Held::default();
        vec![Box::new(HoldsQos0(Arc::clone(&held))), Box::new(TakesOnce(held))]
    }),
    Switch::new(
        "notices-losses-late",
        "notices 40 ms later that a connection is lost",
        &["U-3.1.2.5-2", "MQTT-3.1.4-3"],
    )
    .ruled(|| vec![Box::new(NoticesLate)]),
    Switch::new(
        "looks-at-timers-now-and-then",
        "looks every 5 s for Wills, sessions, messages and Keep Alives that are due",
        &["U-3.1.2.5-2", "U-3.1.2.11.2-4", "MQTT-3.1.2-22"],
    )
    .one_of(&["lateness"])
    .configured(|config| config.timer_grain = SWEEP),
    Switch::new(
        "publishes-wills-late",
        "publishes every Will six and a half seconds late",
        &["U-3.1.2.5-2"],
    )
    .one_of(&["lateness", "slow wills"])
    .forgoes(&["U-3.1.2.5-2"])
    .ruled(|| vec![wills_late()]),
    Switch::new(
        "deletes-sessions-late",
        "ends a session eight seconds after its interval has passed",
        &["U-3.1.2.11.2-4"],
    )
    .one_of(&["session expiry", "lateness"])
    .ruled(|| vec![rules::reads(|packet, _| expire_late(packet))]),
    Switch::new(
        "waits-long-for-connect",
        "lets a connection without a CONNECT stay for an hour",
        &["U-3.1.4-2"],
    )
    .one_of(&["connect timeout"])
    .forgoes(&["U-3.1.4-2"])
    .configured(|config| config.connect_timeout = Duration::from_secs(3600)),
    Switch::new(
        "waits-two-seconds-for-connect",
        "closes a connection on which no CONNECT has come within two seconds",
        &["U-3.1.4-2"],
    )
    .one_of(&["connect timeout"])
    .configured(|config| config.connect_timeout = Duration::from_secs(2)),
];

/// How much later than it should a Will comes.
const WILL_LATE: Duration = Duration::from_millis(6500);

/// Holds the messages back that are Wills.
pub(crate) fn wills_late() -> Box<dyn Rule> {
    rules::through(
        BTreeSet::new(),
        |wills: &mut BTreeSet<(Text, Bytes)>, packet, _, act| {
            if let Packet::Connect(connect) = &packet
                && let Some(will) = &connect.will
            {
                wills.insert((will.topic.clone(), will.payload.clone()));
            }
            act.receive(packet);
        },
        |wills, packet, at, act| match &packet {
            Packet::Publish(it) if wills.contains(&(it.topic.clone(), it.payload.clone())) => {
                act.boundary.emit_after(WILL_LATE, Output::Send(at.connection, packet));
            }
            _ => act.send(packet),
        },
    )
}

/// How long an expired session is still there.
const OVERDUE: u32 = 8;

/// Makes the interval of a session that ends longer.
fn expire_late(packet: &mut Packet) {
    let properties = match packet {
        Packet::Connect(connect) => &mut connect.properties,
        Packet::Disconnect(disconnect) => &mut disconnect.properties,
        _ => return,
    };
    let id = PropertyId::SessionExpiryInterval;
    if let Some(seconds @ 1..0x7FFF_FFFF) = properties.number(id) {
        properties.set(id, seconds + OVERDUE);
    }
}

struct Slow;

impl Rule for Slow {
    fn outward(&mut self, output: Output, boundary: &mut Boundary<'_>) {
        match &output {
            Output::Send(ConnectionId(id), _) | Output::Close(ConnectionId(id)) if id % 2 == 0 => {
                boundary.emit_after(SLOW, output);
            }
            _ => boundary.emit(output),
        }
    }
}

struct ReadsLate;

impl Rule for ReadsLate {
    fn inward(&mut self, input: Input, boundary: &mut Boundary<'_>) {
        match &input {
            Input::Received(ConnectionId(id), _)
            | Input::Malformed(ConnectionId(id), ..)
            | Input::Closed(ConnectionId(id))
                if id % 2 == 0 =>
            {
                boundary.pass_after(UNREAD, input);
            }
            _ => boundary.pass(input),
        }
    }
}

/// How late QoS 0 messages are taken in.
const TAKEN_IN: Duration = Duration::from_millis(150);

/// The QoS 0 messages that are held back, how many on each connection.
type Held = Arc<Mutex<BTreeMap<ConnectionId, VecDeque<Packet>>>>;

/// Holds them back, and gives all of them again when the client leaves or is lost.
struct HoldsQos0(Held);

/// Lets each of them by once, the first time it comes.
struct TakesOnce(Held);

/// What uses a Topic Alias must not overtake what sets it.
fn is_held(packet: &Packet) -> bool {
    let Packet::Publish(publish) = packet else { return false };
    publish.qos == QoS::AtMostOnce && !publish.properties.contains(PropertyId::TopicAlias)
}

/// What comes before CONNACK is a matter of its own.
fn is_accepted(connection: ConnectionId, boundary: &Boundary<'_>) -> bool {
    boundary.clients.get(connection).is_some_and(|client| client.accepted)
}

impl Rule for HoldsQos0 {
    fn inward(&mut self, input: Input, boundary: &mut Boundary<'_>) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &input {
            Input::Received(id, packet) if is_held(packet) && is_accepted(*id, boundary) => {
                held.entry(*id).or_default().push_back(packet.clone());
                return boundary.pass_after(TAKEN_IN, input);
            }
            Input::Received(id, Packet::Disconnect(_)) | Input::Closed(id) => {
                for packet in held.get(id).into_iter().flatten() {
                    boundary.pass(Input::Received(*id, packet.clone()));
                }
            }
            _ => {}
        }
        boundary.pass(input);
    }
}

impl Rule for TakesOnce {
    fn inward(&mut self, input: Input, boundary: &mut Boundary<'_>) {
        if let Input::Received(id, packet) = &input
            && is_held(packet)
        {
            let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if held.get_mut(id).is_some_and(|held| held.pop_front().is_none()) {
                return;
            }
        }
        boundary.pass(input);
    }
}

struct NoticesLate;

impl Rule for NoticesLate {
    fn inward(&mut self, input: Input, boundary: &mut Boundary<'_>) {
        match input {
            Input::Closed(_) => boundary.pass_after(UNNOTICED, input),
            input => boundary.pass(input),
        }
    }
}
