//! When a Will is published that has a delay, and what becomes of it when its client comes back.

use std::collections::BTreeMap;
use std::time::Duration;

use reference_broker::codec::{Connect, Disconnect, Packet, PropertyId, ReasonCode, Text, Will};
use reference_broker::core::{ConnectionId, Input, Moment, Output};

use super::Mutant;
use super::s3_01_will::in_will;
use super::s3_01_will_causes::is_kept;
use crate::boundary::rules::{connects, inputs, published, session_expiry, will_delay};
use crate::boundary::{Boundary, Rule};

pub(super) fn mutants() -> Vec<Mutant> {
    let mut all = delays();
    all.extend(returns());
    all
}

fn delays() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "3.1/will-delay-ignored",
            "A Will is published at once, whatever its delay",
            &["U-3.1.3.2.2-3", "MQTT-3.1.2-8"],
            || {
                vec![in_will(|will, _| {
                    will.properties.retain(|property| property.id != PropertyId::WillDelayInterval);
                })]
            },
        )
        .also(&["MQTT-3.1.3-9"]),
        Mutant::new(
            "3.1/will-delay-halved",
            "A Will is published after half its delay",
            &["U-3.1.3.2.2-3", "MQTT-3.1.2-8"],
            || {
                vec![in_will(|will, _| {
                    if let Some(delay) = will.properties.number(PropertyId::WillDelayInterval) {
                        will.properties.set(PropertyId::WillDelayInterval, delay / 2);
                    }
                })]
            },
        ),
        Mutant::new(
            "3.1/will-delay-doubled",
            "A Will is published after twice its delay",
            &["U-3.1.3.2.2-3", "MQTT-3.1.2-8"],
            || {
                vec![in_will(|will, _| {
                    if let Some(delay) = will.properties.number(PropertyId::WillDelayInterval) {
                        let longer = delay.saturating_mul(2).saturating_add(2);
                        will.properties.set(PropertyId::WillDelayInterval, longer);
                    }
                })]
            },
        ),
        Mutant::new(
            "3.1/will-without-delay-waits",
            "A Will without a delay waits until the session expires",
            &["U-3.1.3.2.2-2"],
            || {
                vec![connects(|connect, _| {
                    let expiry = session_expiry(connect);
                    if let Some(will) = &mut connect.will
                        && !will.properties.contains(PropertyId::WillDelayInterval)
                    {
                        will.properties.push(PropertyId::WillDelayInterval, expiry);
                    }
                })]
            },
        ),
        Mutant::new(
            "3.1/will-waits-though-session-ends",
            "A Will waits for its whole delay though its session ends with the connection",
            &["U-3.1.3.2.2-3", "MQTT-3.1.2-8"],
            || vec![Box::<WaitsBeyondConnection>::default()],
        ),
        Mutant::new(
            "3.1/will-waits-for-who-has-no-session",
            "A Will waits though its session ends with the connection, and goes if its client comes back",
            &["U-3.1.3.2.2-3", "MQTT-3.1.2-8"],
            || vec![Box::<WaitsForReturn>::default()],
        ),
        Mutant::new(
            "3.1/will-delay-outlasts-session",
            "A session is kept until the delay of its Will has passed",
            &["U-3.1.3.2.2-3", "MQTT-3.1.2-8"],
            || {
                vec![connects(|connect, _| {
                    let longer = session_expiry(connect).max(will_delay(connect).unwrap_or(0));
                    if longer > 0 {
                        connect.properties.set(PropertyId::SessionExpiryInterval, longer);
                    }
                })]
            },
        ),
    ]
}

fn returns() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "3.1/return-does-not-cancel-will",
            "A Will with a delay is published though its client has come back in time",
            &["MQTT-3.1.3-9"],
            || {
                vec![at_return(|connect, waiting, boundary| {
                    if !connect.clean_start {
                        let left = waiting.due.0.saturating_sub(boundary.now.0);
                        let publish = published(&waiting.will);
                        boundary.publish_after(Duration::from_millis(left), publish);
                    }
                })]
            },
        ),
        Mutant::new(
            "3.1/return-keeps-waiting-will",
            "A client that comes back in time has the Will that was waiting, not its new one",
            &["MQTT-3.1.2-7"],
            || {
                vec![at_return(|connect, waiting, _| {
                    if let Some(will) = &mut connect.will
                        && !connect.clean_start
                    {
                        let payload = waiting.will.payload.clone();
                        *will = Will { payload, ..will.clone() };
                    }
                })]
            },
        ),
        Mutant::new(
            "3.1/clean-start-cancels-will",
            "A clean start lets the Will that was waiting not be published",
            &["U-3.1.3.2.2-3", "U-3.1.3.2.2-4"],
            || {
                vec![at_return(|connect, _, boundary| {
                    if connect.clean_start {
                        let resume = Connect::new(connect.client_id.clone()).resume();
                        let resume = resume.session_expiry(60);
                        boundary.visit([resume.into(), Disconnect::default().into()]);
                    }
                })]
            },
        ),
    ]
}

/// The core is given no Will with a delay whose session ends with the connection.
#[derive(Default)]
struct WaitsBeyondConnection {
    kept: BTreeMap<ConnectionId, (Will, Duration)>,
}

impl WaitsBeyondConnection {
    fn publish(&mut self, connection: ConnectionId, boundary: &mut Boundary<'_>) {
        if let Some((will, delay)) = self.kept.remove(&connection) {
            boundary.publish_after(delay, published(&will));
        }
    }

    /// Keeps the Will of a client that is there, if its session ends with the connection from now on.
    fn ends_session(
        &mut self,
        connection: ConnectionId,
        expiry: u32,
        boundary: &Boundary<'_>,
    ) -> bool {
        let Some(client) = boundary.clients.get(connection) else { return false };
        let delay = will_delay(&client.connect).filter(|delay| *delay > 0 && expiry == 0);
        let (Some(delay), Some(will)) = (delay, &client.connect.will) else { return false };
        self.kept.insert(connection, (will.clone(), Duration::from_secs(u64::from(delay))));
        true
    }
}

impl Rule for WaitsBeyondConnection {
    fn inward(&mut self, mut input: Input, boundary: &mut Boundary<'_>) {
        match &mut input {
            Input::Received(connection, Packet::Connect(connect)) => {
                if let Some(delay @ 1..) = will_delay(connect)
                    && session_expiry(connect) == 0
                    && let Some(will) = connect.will.take()
                {
                    let delay = Duration::from_secs(u64::from(delay));
                    self.kept.insert(*connection, (will, delay));
                }
            }
            Input::Received(connection, Packet::Disconnect(disconnect)) => {
                let expiry = disconnect.properties.number(PropertyId::SessionExpiryInterval);
                if disconnect.reason == ReasonCode::Success {
                    self.kept.remove(connection);
                } else if expiry.is_some_and(|it| self.ends_session(*connection, it, boundary)) {
                    // To the core it is as if there were none.
                    disconnect.reason = ReasonCode::Success;
                }
                self.publish(*connection, boundary);
            }
            Input::Closed(connection) => self.publish(*connection, boundary),
            _ => {}
        }
        boundary.pass(input);
    }

    fn outward(&mut self, output: Output, boundary: &mut Boundary<'_>) {
        if let Output::Close(connection) = output {
            self.publish(connection, boundary);
        }
        boundary.emit(output);
    }
}

/// The sessions of clients that have a Will with a delay, and no session beyond the connection, are kept for that
/// delay. Who comes back within it has none.
#[derive(Default)]
struct WaitsForReturn {
    /// The clients that are there, or whose Will may wait.
    kept: BTreeMap<Text, ConnectionId>,
}

impl WaitsForReturn {
    fn connects(
        &mut self,
        connection: ConnectionId,
        connect: &mut Connect,
        boundary: &mut Boundary<'_>,
    ) {
        if let Some(before) = self.kept.remove(&connect.client_id) {
            match boundary.clients.get(before).is_some() {
                // At a takeover the session ends.
                true => connect.clean_start = true,
                // A resume takes the Will away, and its end the session.
                false => {
                    let resume = Connect::new(connect.client_id.clone()).resume();
                    boundary.visit([resume.into(), Disconnect::default().into()]);
                }
            }
        }
        if let Some(delay @ 1..) = will_delay(connect)
            && session_expiry(connect) == 0
        {
            connect.properties.set(PropertyId::SessionExpiryInterval, delay);
            self.kept.insert(connect.client_id.clone(), connection);
        }
    }

    fn disconnects(
        &mut self,
        connection: ConnectionId,
        disconnect: &mut Disconnect,
        boundary: &Boundary<'_>,
    ) {
        let Some(client) = boundary.clients.get(connection) else { return };
        let expiry = disconnect.properties.number(PropertyId::SessionExpiryInterval);
        let has_none = self.kept.get(&client.id) == Some(&connection) || expiry == Some(0);
        let Some(delay @ 1..) = will_delay(&client.connect).filter(|_| has_none) else { return };
        let left = match disconnect.reason {
            ReasonCode::Success => 0,
            _ => delay,
        };
        disconnect.properties.set(PropertyId::SessionExpiryInterval, left);
        self.kept.insert(client.id.clone(), connection);
    }
}

impl Rule for WaitsForReturn {
    fn inward(&mut self, mut input: Input, boundary: &mut Boundary<'_>) {
        match &mut input {
            Input::Received(connection, Packet::Connect(connect)) => {
                self.connects(*connection, connect, boundary);
            }
            Input::Received(connection, Packet::Disconnect(disconnect)) => {
                self.disconnects(*connection, disconnect, boundary);
            }
            _ => {}
        }
        boundary.pass(input);
    }
}

/// A Will that waits for its delay.
struct Waiting {
    will: Will,
    due: Moment,
}

/// Does something when a client connects whose Will is waiting.
fn at_return(act_on: fn(&mut Connect, Waiting, &mut Boundary<'_>)) -> Box<dyn Rule> {
    let mut all = BTreeMap::<Text, Waiting>::new();
    inputs(move |mut input, boundary| {
        match &mut input {
            Input::Closed(connection) => {
                if let Some(client) = boundary.clients.get(*connection).filter(|it| is_kept(it))
                    && let Some(will) = &client.connect.will
                    && let Some(delay @ 1..) = will_delay(&client.connect)
                {
                    let due = boundary.now.after(Duration::from_secs(u64::from(delay)));
                    all.insert(client.id.clone(), Waiting { will: will.clone(), due });
                }
            }
            Input::Received(_, Packet::Connect(connect)) => {
                if let Some(waiting) = all.remove(&connect.client_id)
                    && waiting.due > boundary.now
                {
                    act_on(connect, waiting, boundary);
                }
            }
            _ => {}
        }
        boundary.pass(input);
    })
}
