//! When things happen: late, but not too late.

use std::time::Duration;

use reference_broker::core::{ConnectionId, Input, Output};

use super::Switch;
use crate::boundary::{Boundary, Rule};

/// The delay of slow connections.
const SLOW: Duration = Duration::from_millis(80);

/// How long what has come stays unread on some connections.
const UNREAD: Duration = Duration::from_millis(50);

/// How long the loss of a connection stays unnoticed.
const UNNOTICED: Duration = Duration::from_millis(40);

/// How long a broker takes between two looks at its timers. The standard gives no tolerance for
/// any of them; a second is the grain of all its intervals. No divisor of a second, so that it is
/// late.
const SWEEP: Duration = Duration::from_millis(900);

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
        "looks every 900 ms for Wills, sessions, messages and Keep Alives that are due",
        &["U-3.1.2.5-2", "U-3.1.2.11.2-4", "MQTT-3.1.2-22"],
    )
    .configured(|config| config.timer_grain = SWEEP),
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
