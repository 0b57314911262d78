//! A finding as a program that needs nothing but Python: it sends what was sent, waits for as much as came, and says
//! what came and whether the broker is still there.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use reference_broker::transport::url::Endpoint;

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
    let Endpoint { scheme, host, port, path } = endpoint;
    let line = |text: &str| text.replace(['\n', '\r'], " ");
    PROGRAM
        .replace("@NAME@", &line(name))
        .replace("@WHAT@", &line(what))
        .replace("@HOST@", &host.to_string())
        .replace("@PORT@", &port.to_string())
        .replace("@TLS@", if scheme.is_tls() { "True" } else { "False" })
        .replace("@PATH@", &if scheme.is_websocket() { format!("{path:?}") } else { "None".into() })
        .replace("@STEPS@\n", &steps)
}

fn send(bytes: &[u8]) -> String {
    format!("send{}", hex_row(bytes))
}
