//! Two JSON reports, an earlier one and a later one: what got worse, and what got better.
//!
//! Pass is better than advisory, and advisory than fail. Verdicts that show nothing (blocked, inconclusive, not
//! applicable, unsteady) are neither: a change to them or from them is told, and worse is only what is seen.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::read::{Finding, Reread};
use super::text::{counted, visible};

/// What became of one scenario, or of one rule of an oracle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its id.
    pub id: String,
    /// The earlier verdict; none if it was not there.
    pub before: Option<String>,
    /// The later verdict; none if it is not there any more.
    pub after: Option<String>,
    /// What the later report says of it: the requirement, what was expected and what was seen.
    pub why: String,
}

/// In which way something changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// A verdict is worse than it was.
    Worse,
    /// It is better.
    Better,
    /// It showed something, and shows nothing now, or the other way round.
    Otherwise,
    /// It was not there before.
    New,
    /// It is not there any more.
    Gone,
}

impl Way {
    /// All of them, in the order in which they are told.
    pub const ALL: [Way; 5] = [Way::Worse, Way::Better, Way::Otherwise, Way::New, Way::Gone];

    fn title(self) -> &'static str {
        match self {
            Way::Worse => "Worse",
            Way::Better => "Better",
            Way::Otherwise => "Otherwise",
            Way::New => "New",
            Way::Gone => "Gone",
        }
    }
}

/// What differs between two reports.
#[derive(Clone, Debug)]
pub struct Comparison {
    heading: String,
    /// Why the later report is not whole, if it is not.
    early_end: Option<String>,
    changes: Vec<Change>,
    alike: usize,
}

/// What is compared of a report: each verdict, and what is said of it.
fn verdicts(report: &Reread) -> BTreeMap<&str, (&str, String)> {
    let scenarios = report.scenarios.iter().map(|scenario| {
        let why = scenario.finding.as_ref().map(Finding::in_words).unwrap_or_default();
        (&*scenario.id, (&*scenario.verdict, why))
    });
    let rules = report.oracles.iter().map(|rule| (&*rule.id, (&*rule.verdict, String::new())));
    scenarios.chain(rules).collect()
}

/// Compares a later report with an earlier one.
pub fn compare(earlier: &Reread, later: &Reread) -> Comparison {
    let (before, after) = (verdicts(earlier), verdicts(later));
    let mut changes = Vec::new();
    let mut alike = 0;
    for (id, (verdict, why)) in &after {
        let was = before.get(id).map(|(was, _)| (*was).to_owned());
        if was.as_deref() == Some(verdict) {
            alike += 1;
            continue;
        }
        let after = Some((*verdict).to_owned());
        changes.push(Change { id: (*id).to_owned(), before: was, after, why: why.clone() });
    }
    for (id, (verdict, _)) in before.iter().filter(|(id, _)| !after.contains_key(**id)) {
        let before = Some((*verdict).to_owned());
        changes.push(Change { id: (*id).to_owned(), before, after: None, why: String::new() });
    }
    let heading = format!("{} and then {}", earlier.heading(), later.heading());
    let early_end =
        later.early_end().map(|why| format!("the later run is not whole: {}", visible(why)));
    Comparison { heading, early_end, changes, alike }
}

impl Change {
    /// In which way it changed.
    pub fn way(&self) -> Way {
        let rank =
            |verdict: &str| ["fail", "advisory", "pass"].iter().position(|it| *it == verdict);
        match (&self.before, &self.after) {
            (None, _) => Way::New,
            (_, None) => Way::Gone,
            (Some(before), Some(after)) => match (rank(before), rank(after)) {
                // What showed nothing may have been broken all the time, but it is seen now.
                (None, Some(0)) => Way::Worse,
                (Some(before), Some(after)) if after < before => Way::Worse,
                (Some(_), Some(_)) => Way::Better,
                _ => Way::Otherwise,
            },
        }
    }

    fn verdicts(&self) -> String {
        match (&self.before, &self.after) {
            (Some(before), Some(after)) => format!("{before} -> {after}"),
            (Some(one), None) | (None, Some(one)) => one.clone(),
            (None, None) => String::new(),
        }
    }
}

impl Comparison {
    /// What changed in this way.
    pub fn of(&self, way: Way) -> impl Iterator<Item = &Change> {
        self.changes.iter().filter(move |change| change.way() == way)
    }

    /// Whether anything got worse.
    pub fn is_worse(&self) -> bool {
        self.of(Way::Worse).next().is_some()
    }

    /// Whether the later run came to its end: else what is gone may be worse.
    pub fn is_whole(&self) -> bool {
        self.early_end.is_none()
    }

    fn summary(&self) -> String {
        let counts =
            Way::ALL.map(|way| format!("{} {}", self.of(way).count(), way.title().to_lowercase()));
        let alike = counted(self.alike, "verdict is", "verdicts are");
        format!("{alike} as before; {}", counts.join(", "))
    }

    /// As text.
    pub fn text(&self) -> String {
        let mut text = format!("{}\n", self.heading);
        if let Some(why) = &self.early_end {
            let _ = writeln!(text, "{why}");
        }
        for way in Way::ALL.into_iter().filter(|way| self.of(*way).next().is_some()) {
            let _ = writeln!(text, "\n{}", way.title());
            for change in self.of(way) {
                let _ = writeln!(text, "  {:28} {}", change.verdicts(), visible(&change.id));
                if !change.why.is_empty() {
                    let _ = writeln!(text, "  {:28}   {}", "", visible(&change.why));
                }
            }
        }
        let _ = writeln!(text, "\n{}", self.summary());
        text
    }

    /// As Markdown, for a comment on a change.
    pub fn markdown(&self) -> String {
        use super::markdown::text as plain;
        let mut text = format!("## MQTT 5.0 conformance: {}\n", plain(&self.heading));
        if let Some(why) = &self.early_end {
            let _ = writeln!(text, "\n> {}", plain(why));
        }
        for way in Way::ALL.into_iter().filter(|way| self.of(*way).next().is_some()) {
            let _ = writeln!(text, "\n### {}\n\n| | | |\n|---|---|---|", way.title());
            for change in self.of(way) {
                let (id, why) = (plain(&change.id), plain(&change.why));
                let _ = writeln!(text, "| {} | {id} | {why} |", plain(&change.verdicts()));
            }
        }
        let _ = writeln!(text, "\n{}.", self.summary());
        text
    }
}

#[cfg(test)]
mod tests {
    use super::super::{fixture, json};
    use super::*;

    fn report(verdicts: &[(&str, &str)]) -> Reread {
        let scenarios: Vec<_> = verdicts
            .iter()
            .map(|(id, verdict)| serde_json::json!({"id": id, "verdict": verdict}))
            .collect();
        let report = serde_json::json!({
            "schema": 1, "tool": {"version": "0.1.0"}, "target": {"url": "mqtt://a|b"},
            "scenarios": scenarios,
        });
        Reread::parse(&report.to_string()).unwrap()
    }

    #[test]
    fn what_changed_is_told_by_its_way() {
        let earlier = report(&[
            ("a", "pass"),
            ("b", "fail"),
            ("c", "pass"),
            ("d", "pass"),
            ("e", "blocked"),
            ("f", "pass"),
            ("h", "advisory"),
        ]);
        let later = report(&[
            ("a", "fail"),
            ("b", "pass"),
            ("c", "inconclusive"),
            ("d", "pass"),
            ("e", "fail"),
            ("g", "fail"),
            ("h", "pass"),
        ]);
        let comparison = compare(&earlier, &later);
        let ids = |way| comparison.of(way).map(|change| &*change.id).collect::<Vec<_>>();
        assert_eq!(ids(Way::Worse), ["a", "e"]);
        assert_eq!(ids(Way::Better), ["b", "h"]);
        assert_eq!(ids(Way::Otherwise), ["c"]);
        assert_eq!((ids(Way::New), ids(Way::Gone)), (vec!["g"], vec!["f"]));
        assert!(comparison.is_worse() && !compare(&earlier, &earlier).is_worse());
        let text = comparison.text();
        assert!(text.contains("pass -> fail                 a\n"), "{text}");
        let summary = "1 verdict is as before; 2 worse, 2 better, 1 otherwise, 1 new, 1 gone";
        assert!(text.ends_with(&format!("{summary}\n")), "{text}");
        let markdown = comparison.markdown();
        assert!(markdown.contains("| pass -\\> fail | a |  |\n"), "{markdown}");
        assert!(markdown.starts_with("## MQTT 5.0 conformance: mqtt://a\\|b "), "{markdown}");
    }

    #[test]
    fn a_run_that_came_to_an_early_end_is_not_taken_for_a_good_one() {
        let before = report(&[("3.1/a", "pass")]);
        let lost = Reread::parse(
            r#"{"schema": 2, "tool": {"version": "1"}, "target": {"url": "a"}, "scenarios": [],
                "trouble": "nobody answers"}"#,
        );
        let comparison = compare(&before, &lost.unwrap());
        assert!(!comparison.is_worse() && !comparison.is_whole());
        assert!(comparison.text().contains("the later run is not whole: nobody answers\n"));
        assert!(comparison.markdown().contains("> the later run is not whole"));
        assert!(compare(&before, &before).is_whole());
    }

    #[test]
    fn what_is_written_today_can_be_compared() {
        let json = fixture::written(|out| json::write(&fixture::report(), out));
        let report = Reread::parse(&json).unwrap();
        let comparison = compare(&report, &report);
        assert_eq!(comparison.changes, []);
        assert!(comparison.alike > fixture::report().scenarios.len());
    }
}
