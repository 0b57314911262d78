use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::trace::{What, parse, testing, to_text};

const TRACES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/traces/oracle");

/// What is to be found in a hand-written trace: event and requirement.
fn wanted(text: &str) -> Vec<(usize, String)> {
    let (mut wanted, mut pending, mut events) = (Vec::new(), Vec::new(), 0);
    for line in text.lines() {
        match line.trim().strip_prefix("# !") {
            Some(requirement) => pending.push(requirement.trim().to_owned()),
            None if line.trim().is_empty() || line.trim_start().starts_with('#') => {}
            None => {
                wanted.extend(pending.drain(..).map(|requirement| (events, requirement)));
                events += 1;
            }
        }
    }
    assert!(pending.is_empty(), "no event follows {pending:?}");
    wanted.sort();
    wanted
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn every_oracle_judges_its_traces() {
    for oracle in all() {
        let (mut accepted, mut cited) = (0, BTreeSet::new());
        for file in files(&Path::new(TRACES).join(oracle.name)) {
            let text = fs::read_to_string(&file).unwrap();
            let trace = parse(&text).unwrap_or_else(|error| panic!("{file:?}: {error}"));
            let finding = |finding: &Finding| {
                (finding.event.unwrap(), finding.requirement.unwrap().to_owned())
            };
            let found = oracle.judge_within(&trace, usize::MAX);
            let mut pairs: Vec<_> = found.iter().map(finding).collect();
            pairs.sort();
            assert_eq!(pairs, wanted(&text), "{}: {found:#?}", file.display());
            accepted += usize::from(found.is_empty());
            cited.extend(found.iter().filter_map(|finding| finding.requirement));
        }
        assert!(accepted > 0, "{} accepts none of its traces", oracle.name);
        let unproven: Vec<_> =
            oracle.requirements.iter().filter(|id| !cited.contains(**id)).collect();
        assert!(unproven.is_empty(), "no trace of {} breaks {unproven:?}", oracle.name);
        assert!(cited.iter().all(|id| oracle.requirements.contains(id)), "{}", oracle.name);
    }
}

#[test]
fn every_oracle_is_named_once_and_cites_what_exists() {
    let mut names = BTreeSet::new();
    for oracle in all() {
        assert!(names.insert(oracle.name), "{} stands twice", oracle.name);
        assert!(!oracle.holds.is_empty() && !oracle.requirements.is_empty(), "{}", oracle.name);
        for id in oracle.requirements {
            assert!(requirement::find(id).is_some(), "{} cites {id}", oracle.name);
        }
    }
    let folders: BTreeSet<_> = files(Path::new(TRACES)).into_iter().collect();
    let named = names.iter().map(|name| Path::new(TRACES).join(name)).collect();
    assert_eq!(folders, named, "folders of traces");
}

const KEPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/traces/embedded");

/// The traces that are kept of a broker which conforms.
fn kept() -> &'static [Vec<Event>] {
    static KEPT_TRACES: OnceLock<Vec<Vec<Event>>> = OnceLock::new();
    KEPT_TRACES.get_or_init(|| {
        let sections = files(Path::new(KEPT));
        let snapshots = sections.iter().flat_map(|section| files(section));
        let trace = |file: PathBuf| {
            let text = fs::read_to_string(&file).unwrap();
            // A heading stands above, between two lines.
            let (_, text) = text.split_once("\n---\n").unwrap();
            parse(text).unwrap_or_else(|error| panic!("{file:?}: {error}"))
        };
        snapshots.map(trace).collect()
    })
}

/// Whether a probe may send this before it has read what the broker sent. It cannot acknowledge
/// what it has not read, nor leave first and read on.
fn may_come_before_reading(what: &What) -> bool {
    use reference_broker::codec::Packet::{Auth, PubAck, PubComp, PubRec, PubRel};
    match what {
        What::Sent(packet) => {
            !matches!(packet, PubAck(_) | PubRec(_) | PubRel(_) | PubComp(_) | Auth(_))
        }
        What::Silence(_) | What::Waited(_) => true,
        _ => false,
    }
}

/// The same on the broker's side, where the probes read later, by up to so many events each.
fn read_later(trace: &[Event], delays: &[usize]) -> Vec<Event> {
    let mut events = trace.to_vec();
    // From behind, so that what was read after is out of the way.
    for start in (0..events.len()).rev() {
        if !matches!(events[start].what, What::Received(_)) {
            continue;
        }
        for at in start..(start + delays[start % delays.len()]).min(events.len() - 1) {
            let next = &events[at + 1];
            if next.probe == events[at].probe && !may_come_before_reading(&next.what) {
                break;
            }
            events.swap(at, at + 1);
            events[at + 1].at = events[at + 1].at.max(events[at].at);
        }
    }
    events
}

/// The same on the broker's side, where this connection's probe stopped reading after so many
/// packets.
fn read_less(trace: &[Event], probe: &str, packets: usize) -> Vec<Event> {
    let mut left = packets;
    let mut events = trace.to_vec();
    events.retain(|event| {
        let is_read = matches!(
            event.what,
            What::Received(_) | What::ReceivedBroken(..) | What::ClosedByBroker(_)
        );
        if event.probe != probe || !is_read {
            return true;
        }
        let keep = left > 0;
        left = left.saturating_sub(1);
        keep
    });
    events
}

/// Events of a few connections, so that some of what they say has to do with each other.
fn few_connections() -> impl Strategy<Value = Vec<Event>> {
    vec(testing::events(), 0..12).prop_map(|lists| {
        let mut events: Vec<Event> = lists.into_iter().flatten().collect();
        for (index, event) in events.iter_mut().enumerate() {
            event.probe = format!("probe {}", (index + event.probe.len()) % 3);
        }
        events
    })
}

proptest! {
    #[test]
    fn reading_late_or_not_at_all_is_held_against_nobody(
        trace in any::<prop::sample::Index>(),
        delays in vec(0..12_usize, 1..40),
        unread in any::<prop::sample::Index>(),
        packets in 0..8_usize,
    ) {
        let trace = trace.get(kept());
        prop_assert_eq!(judge(trace), []);
        let late = read_later(trace, &delays);
        let found = judge(&late);
        prop_assert!(found.is_empty(), "{found:#?}\n{}", to_text(&late));
        let less = read_less(&late, &unread.get(trace).probe, packets);
        let found = judge(&less);
        prop_assert!(found.is_empty(), "{found:#?}\n{}", to_text(&less));
    }

    #[test]
    fn no_oracle_minds_what_it_reads(
        events in prop_oneof![testing::events().boxed(), few_connections().boxed()],
    ) {
        for oracle in all() {
            let found = oracle.judge(&events);
            prop_assert!(found.len() <= FINDINGS_LIMIT);
            for finding in found {
                prop_assert!(finding.event.is_some_and(|event| event < events.len()));
                prop_assert!(finding.requirement.is_some_and(|id| oracle.requirements.contains(&id)));
            }
        }
    }
}
