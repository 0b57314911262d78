use std::collections::BTreeMap;
use std::env;
use std::path::Path;
use std::process::Command;

use reference_broker::codec::Packet;

use super::super::fixture::{broken, report};
use super::*;
use crate::verdict::Verdict;

fn result(id: &'static str, trace: Vec<Event>) -> ScenarioResult {
    let any = report().scenarios.swap_remove(0);
    ScenarioResult {
        id,
        verdict: Verdict::Pass,
        findings: Vec::new(),
        oracles: Vec::new(),
        bytes: BTreeMap::new(),
        trace,
        ..any
    }
}

/// The kept traces of a section, as results.
fn kept(section: &str) -> Vec<ScenarioResult> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/traces/embedded");
    let scenarios = crate::scenario::all().iter().filter(|scenario| scenario.section() == section);
    let results = scenarios.map(|scenario| {
        let name = scenario.id.split_once('/').unwrap().1.replace('/', "__");
        let path = folder.join(section).join(format!("{name}.snap"));
        let file = std::fs::read_to_string(path).unwrap();
        let (_, text) = file.split_once("\n---\n").unwrap();
        result(scenario.id, crate::trace::parse(text).unwrap())
    });
    results.collect()
}

/// What tshark prints of a capture, by these arguments, if there is a tshark. In CI there has to be.
fn tshark(report: &Report, arguments: &[&str]) -> Option<String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report.pcapng");
    let mut file = Vec::new();
    write(report, &mut file).unwrap();
    std::fs::write(&path, file).unwrap();
    match Command::new("tshark").arg("-r").arg(&path).args(arguments).output() {
        Ok(output) => {
            let errors = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "{errors}");
            Some(String::from_utf8(output.stdout).unwrap())
        }
        Err(error) => {
            assert!(env::var_os("CI").is_none(), "no tshark to test with ({error}): see ci/tshark");
            eprintln!("skipped: no tshark here");
            None
        }
    }
}

/// The type of a packet as it stands in its first byte.
fn kind(packet: &Packet) -> u8 {
    packet.to_bytes().unwrap()[0] >> 4
}

/// The scenarios of section 4.3 in which nothing but packets is sent.
fn exchanges() -> Report {
    let mut scenarios = kept("4.3");
    let is_packets =
        |event: &Event| !matches!(event.what, What::SentBytes(_) | What::ReceivedBroken(..));
    scenarios.retain(|result| result.trace.iter().all(is_packets));
    Report { scenarios, ..Report::default() }
}

#[test]
fn tshark_reads_every_packet_in_its_place() {
    let report = exchanges();
    let fields = ["-Y", "mqtt", "-T", "fields", "-e", "ip.src", "-e", "mqtt.msgtype"];
    let Some(read) = tshark(&report, &fields) else { return };
    let read = read.lines().flat_map(|line| {
        let (source, types) = line.split_once('\t').unwrap();
        let from_broker = source == connection::BROKER.to_string();
        types.split(',').map(move |kind| (from_broker, kind.parse::<u8>().unwrap()))
    });
    let traces = report.scenarios.iter().flat_map(|result| &result.trace);
    let packets = traces.filter_map(|event| match &event.what {
        What::Sent(packet) => Some((false, kind(packet))),
        What::Received(packet) => Some((true, kind(packet))),
        _ => None,
    });
    let (read, packets): (Vec<_>, Vec<_>) = (read.collect(), packets.collect());
    assert!(packets.len() > 300, "{}", packets.len());
    let first = read.iter().zip(&packets).position(|(read, packet)| read != packet);
    assert_eq!((first, read.len()), (None, packets.len()));
}

#[test]
fn tshark_finds_nothing_wrong_with_the_segments() {
    // An acknowledgement of what is acknowledged already carries what is said of a silence.
    let wrong = "(tcp.analysis.flags && !tcp.analysis.window_update) || _ws.malformed || ip.checksum.status == 0";
    let arguments = ["-o", "ip.check_checksum:TRUE", "-Y", wrong];
    let Some(read) = tshark(&exchanges(), &arguments) else { return };
    assert_eq!(read, "");
}

#[test]
fn comments_name_the_scenario_and_what_was_found() {
    let mut report = exchanges();
    let failed = &mut report.scenarios[0];
    let (id, place) = (failed.id, 3);
    failed.verdict = Verdict::Fail;
    failed.findings = vec![Finding { event: Some(place), ..broken(Verdict::Fail) }];
    let fields = ["-Y", "frame.comment", "-T", "fields", "-e", "frame.comment"];
    let Some(read) = tshark(&report, &fields) else { return };
    let lines: Vec<_> = read.lines().collect();
    assert!(lines[0].starts_with(&format!("{id}: fail. ")), "{}", lines[0]);
    assert!(
        lines[1].starts_with("found: MQTT-3.1.0-2 expected the connection closed"),
        "{}",
        lines[1]
    );
    assert_eq!(
        lines.iter().filter(|line| line.contains(": pass. ")).count(),
        report.scenarios.len() - 1
    );
}

#[test]
fn clients_have_names() {
    let Some(read) = tshark(&exchanges(), &["-q", "-z", "hosts"]) else { return };
    let id = exchanges().scenarios[0].id;
    assert!(read.contains("192.0.2.1\tbroker"), "{read}");
    assert!(read.contains(&format!(".{id}")), "{read}");
}

#[test]
fn it_reads_what_hostile_brokers_sent_too() {
    let Some(read) = tshark(&report(), &["-T", "fields", "-e", "frame.comment"]) else { return };
    assert!(read.contains("found: MQTT-3.1.0-2 expected the connection closed"), "{read}");
}
