//! When things happen: late, but not too late.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use reference_broker::codec::{Packet, PropertyId, Text};
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
    .ruled(|| vec![Box::new(ReadsLate)]),
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
    .one_of(&["lateness"])
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
fn wills_late() -> Box<dyn Rule> {
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

struct NoticesLate;

impl Rule for NoticesLate {
    fn inward(&mut self, input: Input, boundary: &mut Boundary<'_>) {
        match input {
            Input::Closed(_) => boundary.pass_after(UNNOTICED, input),
            input => boundary.pass(input),
        }
    }
}
