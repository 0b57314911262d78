//! A list, written from a run.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use super::{Deviation, KnownDeviations, Subject};
use crate::report::{Report, ScenarioResult};
use crate::requirement;
use crate::verdict::{Finding, Verdict};

/// What a reason begins with that has still to be given.
pub(super) const UNFILLED: &str = "TODO";

const HEAD: &str = "\
# What it is known to get wrong, as `mqttspec run --write-known-deviations` found it. Each is to be read
# against the standard, and its reason to be given in place of TODO.
";

/// A requirement by which no more scenarios than this are blocked is listed with their names.
const FEW: usize = 10;

/// An entry that has to be made.
#[derive(Debug, Default)]
struct New<'a> {
    ids: BTreeSet<String>,
    /// The first finding of it, and in what.
    first: Option<(&'a ScenarioResult, &'a Finding)>,
}

/// What makes an entry: by what is seen, of which requirement, whether wherever that is broken.
type Key<'a> = (&'a str, String, bool);

/// Writes the list with which the run would have been as expected: what `old` says and is still so, or
/// could not be seen, then what is new, to be explained.
///
/// # Errors
///
/// When it cannot be written.
pub fn write(report: &Report, old: &KnownDeviations, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "# {}", quoted(&report.target).trim_matches('"'))?;
    out.write_all(HEAD.as_bytes())?;
    let mut entries: BTreeMap<usize, Vec<&Deviation>> = BTreeMap::new();
    let is_whole = old.is_whole(report);
    for deviation in old.deviations.iter().filter(|it| it.is_kept(report, is_whole)) {
        entries.entry(deviation.entry).or_default().push(deviation);
    }
    for entry in entries.values() {
        old_entry(entry, out)?;
    }
    for ((requirement, seen, is_cause), new) in new_entries(report) {
        writeln!(out, "\n[[deviation]]")?;
        match is_cause {
            true => writeln!(out, "cause = {}", quoted(requirement))?,
            false => ids(new.ids.iter().map(String::as_str), out)?,
        }
        writeln!(out, "seen = {}", quoted(&seen))?;
        if let Some((result, finding)) = new.first {
            writeln!(out, "reason = {}", quoted(&unfilled(old, result, finding)))?;
        }
    }
    Ok(())
}

fn old_entry(entry: &[&Deviation], out: &mut impl Write) -> io::Result<()> {
    let Some(Deviation { subject, seen, verdict, known, .. }) = entry.first() else {
        return Ok(());
    };
    writeln!(out, "\n[[deviation]]")?;
    match subject {
        Subject::Cause(cause) => writeln!(out, "cause = {}", quoted(cause))?,
        _ => ids(entry.iter().map(|deviation| deviation.subject.name()), out)?,
    }
    if let Some(seen) = seen {
        writeln!(out, "seen = {}", quoted(seen))?;
    }
    if *verdict == Verdict::Advisory {
        writeln!(out, "verdict = \"advisory\"")?;
    }
    writeln!(out, "reason = {}", quoted(&known.reason))?;
    if let Some(link) = &known.link {
        writeln!(out, "link = {}", quoted(link))?;
    }
    if known.unsteady {
        writeln!(out, "unsteady = true")?;
    }
    Ok(())
}

fn ids<'a>(ids: impl Iterator<Item = &'a str>, out: &mut impl Write) -> io::Result<()> {
    let ids: Vec<_> = ids.map(quoted).collect();
    match &ids[..] {
        [id] => writeln!(out, "id = {id}"),
        ids => writeln!(out, "ids = [\n  {},\n]", ids.join(",\n  ")),
    }
}

/// The entries for all that is wrong and not listed: one a requirement where many scenarios are blocked
/// by it, else the scenarios that fail by it, or the rule that it breaks.
fn new_entries(report: &Report) -> BTreeMap<Key<'_>, New<'_>> {
    let mut blocks: BTreeMap<_, usize> = BTreeMap::new();
    for (result, finding, is_own) in unknown(report) {
        if let (Some(requirement), true) = (finding.requirement, is_own) {
            let blocked = usize::from(result.verdict == Verdict::Blocked);
            *blocks.entry((requirement, finding.looks())).or_default() += blocked;
        }
    }
    let mut entries: BTreeMap<Key<'_>, New<'_>> = BTreeMap::new();
    for (result, finding, is_own) in unknown(report) {
        let Some(requirement) = finding.requirement else { continue };
        let key = (requirement, finding.looks());
        let is_cause = blocks.get(&key).is_some_and(|blocked| *blocked > FEW);
        let new = entries.entry((key.0, key.1, is_cause)).or_default();
        let id = match finding.rule().filter(|_| !is_own) {
            Some(rule) => rule,
            None => result.id.to_owned(),
        };
        new.ids.insert(id);
        new.first = new.first.or(Some((result, finding)));
    }
    entries
}

/// What makes a run unexpected: findings, and whether they are the result's own.
fn unknown(report: &Report) -> impl Iterator<Item = (&ScenarioResult, &Finding, bool)> {
    let steady = report.scenarios.iter().filter(|result| result.verdict != Verdict::Unsteady);
    steady.flat_map(|result| {
        let own = result.findings.iter().map(|finding| (finding, true));
        let found = result.oracles.iter().filter(|finding| !result.has(finding));
        let all = own.chain(found.map(|finding| (finding, false)));
        let unknown = all.filter(|(it, _)| result.fails_by(it) && it.known.is_none());
        unknown.map(move |(finding, is_own)| (result, finding, is_own))
    })
}

/// The reason as far as a run gives one.
fn unfilled(old: &KnownDeviations, result: &ScenarioResult, finding: &Finding) -> String {
    let requirement = finding.requirement.unwrap_or_default();
    let says = requirement::find(requirement).map_or("", |requirement| requirement.text);
    let Finding { expected, observed, .. } = finding;
    let listed = old.deviations.iter().find(|it| it.subject.is_scenario(result.id));
    let before = listed.map(|listed| format!(" Until now: {}", listed.known.reason));
    let text = format!(
        "{UNFILLED}: {requirement} ({says}) Expected {expected}; observed {observed}.{}",
        before.unwrap_or_default()
    );
    text.chars().take(600).collect()
}

impl Deviation {
    /// Whether it is still so, or may be.
    fn is_kept(&self, report: &Report, is_whole: bool) -> bool {
        let cannot_be_seen = match self.subject.is_general() {
            true => !is_whole,
            false => {
                let mut results = report.scenarios.iter();
                let result = results.find(|result| self.subject.is_scenario(result.id));
                result.is_none_or(|result| says_nothing(result.verdict))
            }
        };
        self.known.unsteady
            || cannot_be_seen
            || report.scenarios.iter().any(|result| self.covers_any_of(result))
    }
}

/// Whether it says nothing of what a scenario would come to otherwise.
fn says_nothing(verdict: Verdict) -> bool {
    match verdict {
        Verdict::NotApplicable | Verdict::Inconclusive | Verdict::Blocked | Verdict::Unsteady => {
            true
        }
        Verdict::Pass | Verdict::Fail | Verdict::Advisory => false,
    }
}

/// As a string of TOML.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted + "\""
}
