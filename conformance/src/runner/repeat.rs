//! Runs of one selection side by side: which verdicts changed from one to another.

use std::collections::BTreeMap;

use crate::exit::Exit;
use crate::report::{Report, ScenarioResult};
use crate::verdict::{Finding, Verdict};

/// What several runs of one selection against one target come to.
#[derive(Clone, Debug, Default)]
pub struct Repeat {
    runs: usize,
    /// In the order in which the scenarios were first seen, which is that of the registry.
    scenarios: Vec<Seen>,
    /// Where a scenario is in that list, by its id.
    places: BTreeMap<&'static str, usize>,
    /// The worst that any one run came to.
    worst: Option<Exit>,
}

/// The verdicts of one scenario.
#[derive(Clone, Debug)]
struct Seen {
    id: &'static str,
    verdicts: BTreeMap<Verdict, Times>,
    /// Whether it always passed, or did not for a known deviation that is unsteady.
    unsteady: bool,
}

#[derive(Clone, Debug, Default)]
struct Times {
    count: usize,
    /// The first result with this verdict, with its run, if it is one that needs a look.
    first: Option<(usize, Box<ScenarioResult>)>,
}

/// A scenario that did not always come to the same verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// Its id.
    pub id: &'static str,
    /// Its verdicts and how often each came.
    pub verdicts: Vec<(Verdict, usize)>,
    /// Whether no more changed than a known deviation that is unsteady may.
    pub unsteady: bool,
}

impl Repeat {
    /// Adds a run, of which it is already said what was to be expected.
    pub fn add(&mut self, report: &Report) {
        self.runs += 1;
        self.worst =
            self.worst.into_iter().chain([Exit::of(report)]).max_by_key(|exit| weight(*exit));
        for result in &report.scenarios {
            let place = *self.places.entry(result.id).or_insert(self.scenarios.len());
            if place == self.scenarios.len() {
                self.scenarios.push(Seen::new(result.id));
            }
            let seen = &mut self.scenarios[place];
            seen.unsteady &= may_change(result);
            let times = seen.verdicts.entry(result.verdict).or_default();
            times.count += 1;
            if times.first.is_none() && result.needs_a_look() {
                times.first = Some((self.runs, Box::new(result.clone())));
            }
        }
    }

    /// How many runs there were.
    pub fn runs(&self) -> usize {
        self.runs
    }

    /// The scenarios whose verdict changed, in the order of the registry.
    pub fn changed(&self) -> Vec<Changed> {
        let several = self.scenarios.iter().filter(|seen| seen.verdicts.len() > 1);
        let changed = several.map(|seen| Changed {
            id: seen.id,
            verdicts: seen
                .verdicts
                .iter()
                .map(|(verdict, times)| (*verdict, times.count))
                .collect(),
            unsteady: seen.unsteady,
        });
        changed.collect()
    }

    /// The first result of each verdict that needs a look and that the report of the last run does
    /// not show, with its run.
    pub fn not_in(&self, last: &Report) -> Vec<(usize, &ScenarioResult)> {
        let shown: BTreeMap<_, _> =
            last.scenarios.iter().map(|result| (result.id, result.verdict)).collect();
        let firsts = self.scenarios.iter().flat_map(|seen| seen.verdicts.values());
        let firsts = firsts.filter_map(|times| times.first.as_ref());
        let hidden = firsts.filter(|(_, first)| shown.get(first.id) != Some(&first.verdict));
        hidden.map(|(run, first)| (*run, first.as_ref())).collect()
    }

    /// What it comes to: a change that is not to be expected is an unexpected verdict.
    pub fn exit(&self) -> Exit {
        let surprise = self.changed().iter().any(|changed| !changed.unsteady);
        match surprise {
            true => Exit::Unexpected,
            false => self.worst.unwrap_or(Exit::NothingSelected),
        }
    }
}

impl Seen {
    fn new(id: &'static str) -> Seen {
        Seen { id, verdicts: BTreeMap::new(), unsteady: true }
    }
}

/// Whether a result is one of those that a scenario may come to that does not always pass, as is known.
fn may_change(result: &ScenarioResult) -> bool {
    let is_unsteady = |finding: &Finding| finding.known.as_ref().is_some_and(|it| it.unsteady);
    match result.verdict {
        Verdict::Pass => true,
        Verdict::NotApplicable | Verdict::Inconclusive => false,
        Verdict::Fail | Verdict::Blocked | Verdict::Advisory | Verdict::Unsteady => {
            result.expected && result.findings.first().is_some_and(is_unsteady)
        }
    }
}

/// What was seen outweighs what could not be seen.
fn weight(exit: Exit) -> u8 {
    match exit {
        Exit::AsExpected => 0,
        Exit::NothingSelected => 1,
        Exit::Trouble => 2,
        Exit::Usage => 3,
        Exit::Unexpected => 4,
    }
}

#[cfg(test)]
mod tests {
    use Verdict::{Advisory, Fail, Inconclusive, NotApplicable, Pass};

    use super::*;
    use crate::deviation::KnownDeviations;
    use crate::report::fixture;

    /// A report with one scenario a verdict, judged by the deviations.
    fn report(verdicts: &[(&'static str, Verdict)], deviations: &KnownDeviations) -> Report {
        let mut report = fixture::report();
        let pattern = report.scenarios[0].clone();
        let results = verdicts.iter().map(|&(id, verdict)| ScenarioResult {
            id,
            verdict,
            expected: true,
            reason: None,
            findings: match verdict {
                Fail | Advisory => vec![fixture::broken(verdict)],
                _ => Vec::new(),
            },
            ..pattern.clone()
        });
        report.scenarios = results.collect();
        report.interrupted = false;
        deviations.apply(&mut report);
        report
    }

    fn repeat(runs: &[&[(&'static str, Verdict)]], deviations: &KnownDeviations) -> Repeat {
        let mut repeat = Repeat::default();
        runs.iter().for_each(|run| repeat.add(&report(run, deviations)));
        repeat
    }

    fn unsteady() -> KnownDeviations {
        let list = "[[deviation]]\nid = \"3.1/b\"\nreason = \"r\"\nunsteady = true\n";
        KnownDeviations::parse(list, &["3.1/b"]).unwrap()
    }

    #[test]
    fn runs_alike_have_no_changes() {
        let none = KnownDeviations::default();
        let run: &[_] = &[("3.2/a", Pass), ("3.10/b", Advisory), ("3.1/c", NotApplicable)];
        let repeat = repeat(&[run, run, run], &none);
        assert_eq!((repeat.runs(), repeat.changed()), (3, vec![]));
        assert_eq!(repeat.exit(), Exit::AsExpected);
    }

    #[test]
    fn changes_are_counted_and_named_in_the_order_of_the_registry() {
        let none = KnownDeviations::default();
        let runs: [&[_]; 3] = [
            &[("3.2/a", Pass), ("3.10/b", Pass), ("3.1/c", Pass)],
            &[("3.2/a", Advisory), ("3.10/b", Pass), ("3.1/c", NotApplicable)],
            &[("3.2/a", Pass), ("3.10/b", Pass), ("3.1/c", Inconclusive)],
        ];
        let repeat = repeat(&runs, &none);
        let changed =
            |id, verdicts: &[_]| Changed { id, verdicts: verdicts.to_vec(), unsteady: false };
        assert_eq!(
            repeat.changed(),
            [
                changed("3.2/a", &[(Pass, 2), (Advisory, 1)]),
                changed("3.1/c", &[(Pass, 1), (NotApplicable, 1), (Inconclusive, 1)]),
            ]
        );
        assert_eq!(repeat.exit(), Exit::Unexpected, "although no run alone is unexpected");
    }

    #[test]
    fn an_unsteady_deviation_may_pass_or_fail_and_nothing_else() {
        let list = unsteady();
        for (verdicts, is_unsteady, exit) in [
            ([Fail, Pass, Fail], true, Exit::AsExpected),
            ([Fail, Inconclusive, Pass], false, Exit::Unexpected),
            ([Pass, Pass, Advisory], false, Exit::Unexpected),
        ] {
            let repeat =
                repeat(&verdicts.map(|v| [("3.1/b", v)]).each_ref().map(|r| &r[..]), &list);
            assert_eq!(repeat.changed()[0].unsteady, is_unsteady, "{verdicts:?}");
            assert_eq!(repeat.exit(), exit, "{verdicts:?}");
        }
    }

    #[test]
    fn an_unlisted_change_beside_an_unsteady_one_counts() {
        let list = unsteady();
        let runs: [&[_]; 2] =
            [&[("3.1/a", Pass), ("3.1/b", Pass)], &[("3.1/a", NotApplicable), ("3.1/b", Fail)]];
        let repeat = repeat(&runs, &list);
        assert_eq!(repeat.changed().iter().filter(|changed| !changed.unsteady).count(), 1);
        assert_eq!(repeat.exit(), Exit::Unexpected);
    }

    #[test]
    fn the_worst_run_counts_when_nothing_changed() {
        let none = KnownDeviations::default();
        let [fails, unsure] = [Fail, Inconclusive].map(|verdict| [("3.1/a", verdict)]);
        assert_eq!(repeat(&[&fails, &fails], &none).exit(), Exit::Unexpected);
        assert_eq!(repeat(&[&unsure, &unsure], &none).exit(), Exit::Trouble);
        // An interrupted run may have come to nothing at all.
        for (verdict, exit) in [(Pass, Exit::Trouble), (Fail, Exit::Unexpected)] {
            let mut repeat = repeat(&[&[("3.1/a", verdict)]], &none);
            repeat.add(&Report { interrupted: true, ..report(&[], &none) });
            assert_eq!((repeat.changed(), repeat.exit()), (vec![], exit));
        }
    }

    #[test]
    fn what_the_last_run_does_not_show_is_kept_from_the_first_that_did() {
        let none = KnownDeviations::default();
        let runs: [&[_]; 4] = [
            &[("3.1/a", Pass), ("3.1/b", Fail)],
            &[("3.1/a", Fail), ("3.1/b", Fail)],
            &[("3.1/a", Fail), ("3.1/b", Fail)],
            &[("3.1/a", Pass), ("3.1/b", Fail)],
        ];
        let repeat = repeat(&runs, &none);
        let last = report(runs[3], &none);
        let hidden: Vec<_> =
            repeat.not_in(&last).iter().map(|(run, result)| (*run, result.id)).collect();
        assert_eq!(hidden, [(2, "3.1/a")]);
    }
}
