//! The report as a capture of packets (pcapng), for Wireshark, tshark and whatever else reads one.
//!
//! Every connection of every scenario is a TCP connection with port 1883, whatever carried it: what is below MQTT is
//! made up, so that TLS and WebSocket are not in the way. Times within a scenario are those of its trace; scenarios
//! follow one another, from time 0. Each client of each scenario has an address, and the capture names it, as in
//! `alice.3.12/malformed/header/pingreq-flags-1`. Comments name scenario and verdict where a scenario begins, and what
//! was found at the packet that shows it.

mod connection;
mod file;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::time::Duration;

use self::connection::{Connection, Does, From};
use self::file::Capture;
use super::text::visible;
use super::{Report, ScenarioResult};
use crate::script::client_of;
use crate::trace::{Ending, Event, What, event_line};
use crate::verdict::Finding;

/// The first port of a client's connections.
const FIRST_PORT: u16 = 49_152;

/// Writes the traces of a report as a capture.
pub fn write(report: &Report, out: impl Write) -> io::Result<()> {
    let about = format!(
        "Traces of mqttspec against {}, as if each connection were TCP to port 1883; only what MQTT is made of was \
         seen on the wire.",
        visible(&report.target)
    );
    let mut capture = Capture::begin(out, &about)?;
    let traced = || report.scenarios.iter().filter(|result| !result.trace.is_empty()).enumerate();
    let mut names = vec![(connection::BROKER, "broker".to_owned())];
    for (place, result) in traced() {
        let clients = clients(result);
        let named = clients.iter().map(|(name, number)| {
            (address(place, *number), format!("{}.{}", visible(name), visible(result.id)))
        });
        names.extend(named);
    }
    capture.names(&names)?;
    let mut begins = Duration::ZERO;
    for (place, result) in traced() {
        scenario(&mut capture, begins, place, result)?;
        let last = result.trace.last().map_or(Duration::ZERO, |event| event.at);
        begins += last.max(result.duration) + Duration::from_secs(1);
    }
    Ok(())
}

/// The clients of a scenario, each with its number, from 1.
fn clients(result: &ScenarioResult) -> BTreeMap<&str, usize> {
    let mut clients = BTreeMap::new();
    for event in &result.trace {
        let next = clients.len() + 1;
        clients.entry(client_of(&event.probe)).or_insert(next);
    }
    clients
}

/// That of a client of a scenario: 10.SCENARIO.SCENARIO.CLIENT.
fn address(scenario: usize, client: usize) -> Ipv4Addr {
    let [.., high, low] = scenario.to_be_bytes();
    Ipv4Addr::new(10, high, low, u8::try_from(client).unwrap_or(u8::MAX))
}

fn scenario(
    capture: &mut Capture<impl Write>,
    begins: Duration,
    place: usize,
    result: &ScenarioResult,
) -> io::Result<()> {
    let clients = clients(result);
    let mut connections: BTreeMap<&str, Connection> = BTreeMap::new();
    let mut port = FIRST_PORT;
    let mut comments =
        vec![visible(&format!("{}: {}. {}", result.id, result.verdict.name(), result.shows))];
    for (row, event) in result.trace.iter().enumerate() {
        comments.extend(found_at(result, row));
        let connection = connections.entry(&event.probe).or_insert_with(|| {
            let client = clients.get(client_of(&event.probe)).copied().unwrap_or_default();
            port = port.checked_add(1).unwrap_or(FIRST_PORT);
            Connection::new(address(place, client), port)
        });
        let segments = segments(result, row, event, connection);
        if let (
            true,
            What::Silence(_) | What::Waited(_) | What::WebSocket(_) | What::Restarted(_),
        ) = (!segments.is_empty(), &event.what)
        {
            comments.push(said(event));
        }
        for segment in segments {
            capture.packet(begins + event.at, &segment, &comments)?;
            comments.clear();
        }
    }
    Ok(())
}

/// The segments of an event. What passes without a packet is an empty one, which carries the comment.
fn segments(
    result: &ScenarioResult,
    row: usize,
    event: &Event,
    connection: &mut Connection,
) -> Vec<Vec<u8>> {
    match &event.what {
        What::Opened => connection.open(),
        What::Sent(packet) => connection.send(From::Client, &packet.to_bytes().unwrap_or_default()),
        What::SentBytes(bytes) => connection.send(From::Client, bytes),
        What::Received(packet) => match result.bytes.get(&row) {
            Some(bytes) => connection.send(From::Broker, bytes),
            None => connection.send(From::Broker, &packet.to_bytes().unwrap_or_default()),
        },
        What::ReceivedBroken(bytes, _) => connection.send(From::Broker, bytes),
        What::ClosedByBroker(Ending::EndOfStream) => {
            vec![connection.segment(From::Broker, Does::Ends, &[])]
        }
        What::ClosedByBroker(Ending::Reset) => {
            vec![connection.segment(From::Broker, Does::Resets, &[])]
        }
        What::HalfClosed | What::ClosedByProbe => {
            vec![connection.segment(From::Client, Does::Ends, &[])]
        }
        What::Silence(_) | What::Waited(_) | What::WebSocket(_) | What::Restarted(_) => {
            connection.send(From::Client, &[])
        }
    }
}

/// What was found at an event.
fn found_at(result: &ScenarioResult, row: usize) -> Vec<String> {
    let at = |finding: &&Finding| finding.event == Some(row);
    let own = result.findings.iter().filter(at);
    let oracles = result.oracles.iter().filter(at).filter(|found| !result.has(found));
    let told = own.chain(oracles).map(|finding| {
        visible(&format!(
            "found: {} expected {}, observed {}",
            finding.requirement.unwrap_or_default(),
            finding.expected,
            finding.observed
        ))
    });
    told.collect()
}

/// What happened, in words.
fn said(event: &Event) -> String {
    let line = event_line(event, 1);
    visible(line.split_once("|| ").map_or(line.as_str(), |(_, what)| what))
}
