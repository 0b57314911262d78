//! Traces as data, from which the page draws sequence charts.

use std::cell::RefCell;
use std::collections::BTreeMap;

use maud::{Markup, PreEscaped, html};
use reference_broker::codec::Packet;
use serde::Serialize;

use super::super::ScenarioResult;
use super::super::text::{clip, visible};
use crate::script::{Layout, client_of, layout};
use crate::trace::{Event, What, event_line, packet_text};

/// So many bytes of a packet are shown.
const LONGEST: usize = 512;

/// So many characters of what happened.
const LONGEST_TEXT: usize = 2_000;

#[derive(Default, Serialize)]
struct Trace {
    /// The clients, in the order in which they come.
    lanes: Vec<String>,
    /// The connections, each with the place of its client.
    connections: Vec<(String, usize)>,
    events: Vec<Row>,
    /// What was found, by the event that shows it.
    findings: BTreeMap<usize, String>,
}

/// An event: its time in milliseconds, the place of its connection, who does it, what happens, and what a packet
/// is on the wire. There are many, so they have no keys.
#[derive(Serialize)]
struct Row(u64, usize, Mark, String, Option<Wire>);

/// Who does it.
#[derive(Serialize)]
enum Mark {
    #[serde(rename = ">")]
    Client,
    #[serde(rename = "<")]
    Broker,
    /// It is about the connection.
    #[serde(rename = "|")]
    Connection,
}

/// The bytes of a packet in hex, as many as are shown; how many there are; the number of the layout that it has, if
/// it is a packet; and whether they are not those that came, since these were not kept.
#[derive(Serialize)]
struct Wire(String, usize, Option<usize>, bool);

/// The layouts of all packets, each once: most packets are laid out as many others are.
#[derive(Debug, Default)]
pub(super) struct Layouts {
    all: RefCell<BTreeMap<Vec<Layout>, usize>>,
}

impl Layouts {
    fn number(&self, bytes: &[u8]) -> Option<usize> {
        let layout = layout(bytes)?;
        let mut all = self.all.borrow_mut();
        let next = all.len();
        Some(*all.entry(layout).or_insert(next))
    }

    /// All of them, as data.
    pub(super) fn data(&self) -> Markup {
        let all = self.all.borrow();
        let mut in_turn: Vec<_> = all.iter().collect();
        in_turn.sort_by_key(|(_, number)| **number);
        let rows: Vec<_> = in_turn.into_iter().map(|(layout, _)| layout).collect();
        data("layouts", &rows)
    }
}

/// JSON in the page, in which nothing can end the element that holds it.
fn data(id: &str, what: &impl Serialize) -> Markup {
    let json = serde_json::to_string(what).unwrap_or_default().replace('<', "\\u003c");
    html! { script type="application/json" id=(id) { (PreEscaped(json)) } }
}

/// Where a trace is drawn when the scenario is opened, and its data.
pub(super) fn place(result: &ScenarioResult, layouts: &Layouts) -> Markup {
    let id = format!("trace of {}", visible(result.id));
    html! {
        div class="chart" data-trace=(id) {}
        (data(&id, &trace(result, layouts)))
    }
}

fn trace(result: &ScenarioResult, layouts: &Layouts) -> Trace {
    let mut trace = Trace::default();
    for (place, event) in result.trace.iter().enumerate() {
        let row = row(result, place, event, layouts, &mut trace);
        trace.events.push(row);
    }
    for finding in result.findings.iter().chain(&result.oracles) {
        if let Some(event) = finding.event {
            let text = clipped(&format!("expected {}", finding.expected));
            trace.findings.entry(event).or_insert(text);
        }
    }
    trace
}

fn row(
    result: &ScenarioResult,
    place: usize,
    event: &Event,
    layouts: &Layouts,
    trace: &mut Trace,
) -> Row {
    let wire = |bytes: &[u8], anew| {
        let hex = bytes.iter().take(LONGEST).map(|byte| format!("{byte:02x}")).collect();
        Some(Wire(hex, bytes.len(), layouts.number(bytes), anew))
    };
    let (mark, text, wire) = match &event.what {
        What::Sent(packet) => (Mark::Client, packet_text(packet), wire(&encoded(packet), false)),
        What::SentBytes(bytes) => (Mark::Client, "bytes".to_owned(), wire(bytes, false)),
        What::Received(packet) => {
            let wire = match result.bytes.get(&place) {
                Some(bytes) => wire(bytes, false),
                None => wire(&encoded(packet), true),
            };
            (Mark::Broker, packet_text(packet), wire)
        }
        What::ReceivedBroken(bytes, error) => {
            (Mark::Broker, format!("bytes that are no packet: {error}"), wire(bytes, false))
        }
        _ => (Mark::Connection, about(event), None),
    };
    let at = u64::try_from(event.at.as_millis()).unwrap_or(u64::MAX);
    Row(at, connection(event, trace), mark, clipped(&text), wire)
}

/// The place of the connection of an event.
fn connection(event: &Event, trace: &mut Trace) -> usize {
    let (name, client) = (visible(&event.probe), visible(client_of(&event.probe)));
    if let Some(place) = trace.connections.iter().position(|(known, _)| *known == name) {
        return place;
    }
    let lane = trace.lanes.iter().position(|known| *known == client).unwrap_or_else(|| {
        trace.lanes.push(client);
        trace.lanes.len() - 1
    });
    trace.connections.push((name, lane));
    trace.connections.len() - 1
}

/// What happened to a connection, in words.
fn about(event: &Event) -> String {
    let line = event_line(event, 1);
    line.split_once("|| ").map_or(line.as_str(), |(_, what)| what).to_owned()
}

/// A packet that was sent, or that comes to the same.
fn encoded(packet: &Packet) -> bytes::Bytes {
    packet.to_bytes().unwrap_or_default()
}

fn clipped(text: &str) -> String {
    clip(&visible(text), LONGEST_TEXT)
}
