//! A finding as a program that needs nothing but Python: it sends what was sent, waits for as much as came, and says
//! what came and whether the broker is still there.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use reference_broker::transport::url::Endpoint;

use crate::program;
use crate::trace::{Event, What, hex_row};

const PROGRAM: &str = include_str!("standalone.py");

/// The program for what was sent to a broker.
pub fn standalone(name: &str, what: &str, endpoint: &Endpoint, sent: &[Event]) -> String {
    let mut steps = String::new();
    let mut awaited = BTreeMap::<&str, usize>::new();
    for event in sent {
        let connection = event.probe.as_str();
        let step = match &event.what {
            What::Opened => "open".to_owned(),
            What::Sent(packet) => send(&packet.to_bytes().unwrap_or_default()),
            What::SentBytes(bytes) => send(bytes),
            What::HalfClosed => "half close".to_owned(),
            What::ClosedByProbe => "close".to_owned(),
            What::Received(_) => {
                *awaited.entry(connection).or_default() += 1;
                continue;
            }
            _ => continue,
        };
        for (connection, count) in std::mem::take(&mut awaited) {
            let _ = writeln!(steps, "    ({connection:?}, \"read {count}\"),");
        }
        let _ = writeln!(steps, "    ({connection:?}, {step:?}),");
    }
    let (place, connection) = program::connection(endpoint);
    PROGRAM
        .replace("@NAME@", &program::line(name))
        .replace("@WHAT@", &program::line(what))
        .replace("@PLACE@", &place)
        .replace("@STEPS@\n", &steps)
        .replace("@CONNECTION@", connection)
}

fn send(bytes: &[u8]) -> String {
    format!("send{}", hex_row(bytes))
}
