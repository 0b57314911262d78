//! When a Will is published that has a delay, and what becomes of it when its client comes back.

use std::collections::BTreeMap;
use std::time::Duration;

use reference_broker::codec::{Connect, Disconnect, Packet, PropertyId, Text, Will};
use reference_broker::core::{Input, Moment};

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
