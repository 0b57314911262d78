use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use proptest::collection::vec;
use proptest::prelude::*;

use crate::requirement;

use super::*;
use crate::trace::{parse, testing};

const TRACES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/traces/oracle");

/// The oracles over what brokers send, and those over what the suite sends.
fn every() -> impl Iterator<Item = &'static Oracle> {
    all().iter().chain(tester::all())
}

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
    for oracle in every() {
        let (mut accepted, mut cited) = (0, BTreeSet::new());
        for file in files(&Path::new(TRACES).join(oracle.name)) {
            let text = fs::read_to_string(&file).unwrap();
            let trace = parse(&text).unwrap_or_else(|error| panic!("{file:?}: {error}"));
            let finding = |finding: &Finding| {
                (finding.event.unwrap(), finding.requirement.unwrap().to_owned())
            };
            let found = oracle.judge_within(&Reading::of(&trace), usize::MAX);
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
        assert!(cited.iter().all(|id| oracle.cites(id)), "{}", oracle.name);
    }
}

#[test]
fn every_oracle_is_named_once_and_cites_what_exists() {
    let mut names = BTreeSet::new();
    for oracle in every() {
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

impl Oracle {
    /// Whether its findings may cite this: what bytes alone can break has a row for each way.
    fn cites(&self, id: &str) -> bool {
        self.requirements.contains(&id) || self.name == "tester-form"
    }
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
    fn no_oracle_minds_what_it_reads(
        events in prop_oneof![testing::events().boxed(), few_connections().boxed()],
    ) {
        for oracle in every() {
            let found = oracle.judge(&events);
            prop_assert!(found.len() <= FINDINGS_LIMIT);
            for finding in found {
                prop_assert!(finding.event.is_some_and(|event| event < events.len()));
                prop_assert!(finding.requirement.is_some_and(|id| oracle.cites(id)));
            }
        }
    }
}
