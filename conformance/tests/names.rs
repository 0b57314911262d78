//! No two scenarios, and no two runs, have a name in common on a broker: every Client Identifier,
//! Topic Name, Topic Filter and ShareName that a kept trace shows, in packets and in bytes that are
//! none, has a part that no other scenario's has. Those that cannot are listed with the reason.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use conformance::scenario::{self, Scenario};
use conformance::trace::{Event, What, parse};
use reference_broker::codec::{Packet, PropertyId};

use sent::{Kind, Name};

#[path = "names/sent.rs"]
mod sent;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/traces/embedded");

/// What the traces are kept with.
const TOKEN: &str = "memory";

/// Names without a part of their own, and why they have to be without.
const OUTSIDE: &[(&str, &str, &str)] = &[
    (
        "3.1/client-ids-of-letters-and-digits",
        "x",
        "a Client Identifier of one letter has no room: it is made of the run's token",
    ),
    ("3.1/client-ids-of-letters-and-digits", "x6", "as above, two letters"),
    (
        "3.1/malformed/connect/property-length-one-too-large",
        "emorynfzqcvector",
        "the fault takes a byte off the name's beginning",
    ),
    (
        "4.7/dollar-not-by-leading-wildcard",
        "#",
        "that it does not match a topic with $ is what it is about; messages of others are passed over",
    ),
    ("4.8/invalid-filters-refused", "+", "the ShareName is the fault; the filter after it is own"),
    ("4.8/invalid-filters-refused", "#", "the ShareName is the fault; the filter after it is own"),
];

/// What has Client Identifiers that a server may refuse, because it is about them.
const UNUSUAL_CLIENT_IDS: &[&str] = &[
    "1.5/byte-order-mark-in-client-id",
    "3.1/malformed/connect/property-length-one-too-small",
    "3.1/malformed/strings/client-identifier-nul-alone",
    "3.1/malformed/strings/client-identifier-overlong-c0",
    "3.1/malformed/strings/client-identifier-stray-80",
    "3.1/unusual-client-ids-taken-or-refused",
];

#[test]
fn no_name_is_shared() {
    let excused: BTreeSet<_> = OUTSIDE.iter().map(|(id, name, _)| (*id, *name)).collect();
    let mut outside = BTreeSet::new();
    let mut seen: BTreeMap<Kind, usize> = BTreeMap::new();
    let mut shared = Vec::new();
    for scenario in scenario::all() {
        for Name { kind, text } in names(scenario) {
            *seen.entry(kind).or_default() += 1;
            let is_it = |listed: &&(&str, &str)| **listed == (scenario.id, &*text);
            if let Some(listed) = excused.iter().find(is_it) {
                outside.insert(*listed);
            } else if !is_own(scenario, &text) {
                shared.push(format!("{}: {kind:?} {text:?}", scenario.id));
            }
        }
    }
    assert!(shared.is_empty(), "names that others may have:\n{}", shared.join("\n"));
    assert_eq!(outside, excused, "some are listed in vain");
    let all = [Kind::ClientId, Kind::Topic, Kind::Filter, Kind::ShareName];
    assert!(all.iter().all(|kind| seen.contains_key(kind)), "{seen:?}");
}

/// Bytes that are no packet may say what no parser finds: at least nothing in them is the name of
/// another scenario.
#[test]
fn no_bytes_hold_the_name_of_another_scenario() {
    let mut found = 0;
    for scenario in scenario::all() {
        let (code, trace) = (scenario.code(), trace(scenario));
        let bytes = trace.iter().filter_map(|event| match &event.what {
            What::SentBytes(bytes) => Some(String::from_utf8_lossy(bytes)),
            _ => None,
        });
        for bytes in bytes {
            for (at, _) in bytes.match_indices(TOKEN) {
                let rest = &bytes[at + TOKEN.len()..];
                let is_own = rest.trim_start_matches('/').starts_with(&code);
                assert!(is_own, "{}: {bytes:?}", scenario.id);
                found += 1;
            }
        }
    }
    assert!(found > 0);
}

/// Every server has to accept a Client Identifier of 1 to 23 letters and digits (section 3.1.3.1); what
/// goes beyond is about that.
#[test]
fn client_identifiers_are_such_as_every_server_accepts() {
    let mut beyond = BTreeSet::new();
    for scenario in scenario::all() {
        let (own, names) = (format!("{TOKEN}{}", scenario.code()), names(scenario));
        for name in names.iter().filter(|name| name.kind == Kind::ClientId) {
            let id = name.text.replace('~', &own);
            let is_plain = id.bytes().all(|byte| byte.is_ascii_alphanumeric());
            if !is_plain || !(1..=23).contains(&id.len()) {
                beyond.insert(scenario.id);
            }
        }
    }
    assert_eq!(beyond.into_iter().collect::<Vec<_>>(), UNUSUAL_CLIENT_IDS);
}

/// The names that a scenario sends, but for those that the broker gave it.
fn names(scenario: &Scenario) -> BTreeSet<Name> {
    let trace = trace(scenario);
    let assigned: BTreeSet<String> = trace.iter().filter_map(assigned).collect();
    let names = trace.iter().flat_map(|event| sent::names(&event.what));
    names.filter(|name| !assigned.contains(&name.text)).collect()
}

fn assigned(event: &Event) -> Option<String> {
    let What::Received(Packet::ConnAck(connack)) = &event.what else { return None };
    connack.properties.text(PropertyId::AssignedClientIdentifier).map(ToString::to_string)
}

/// Whether a name has the scenario's part: kept as `~`, but where it does not stand as a whole.
fn is_own(scenario: &Scenario, name: &str) -> bool {
    let code = scenario.code();
    let own = ["~".to_owned(), format!("{TOKEN}/{code}"), format!("{TOKEN}{code}")];
    own.iter().any(|own| name.contains(own))
}

fn trace(scenario: &Scenario) -> Vec<Event> {
    let (section, name) = scenario.id.split_once('/').unwrap();
    let file = Path::new(FOLDER).join(section).join(format!("{}.snap", name.replace('/', "__")));
    let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file:?}: {error}"));
    let (_, trace) = text.trim_start_matches("---\n").split_once("---\n").unwrap();
    parse(trace).unwrap_or_else(|error| panic!("{file:?}: {error:?}"))
}
