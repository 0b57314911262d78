//! What a list says of the results of a run.

use super::{Deviation, KnownDeviations};
use crate::report::{Listed, Report, ScenarioResult};
use crate::verdict::{Finding, Verdict};

impl KnownDeviations {
    /// Says of each finding whether it is known, and of each result whether it was to be expected, and
    /// why. What is listed but was not selected does not matter, nor do verdicts that say nothing of
    /// the target.
    pub fn apply(&self, report: &mut Report) {
        let mut used = vec![false; self.deviations.len()];
        for result in &mut report.scenarios {
            self.mark(result, &mut used);
            self.judge(result);
        }
        let stale = match self.is_whole(report) {
            true => self.unseen(&used, report),
            false => Vec::new(),
        };
        let unfilled = self.deviations.iter().filter(|deviation| deviation.is_unfilled());
        report.listed = Listed { stale, unfilled: unfilled.count() };
    }

    /// Whether a result has failures, and all of them are listed.
    pub(crate) fn has_all_of(&self, result: &ScenarioResult) -> bool {
        let own = result.findings.iter().map(|finding| (finding, true));
        let found = result.oracles.iter().map(|finding| (finding, result.has(finding)));
        let mut failures =
            own.chain(found).filter(|(finding, _)| result.fails_by(finding)).peekable();
        failures.peek().is_some()
            && failures.all(|(finding, is_own)| {
                self.deviations.iter().any(|it| it.covers(result, finding, is_own))
            })
    }

    /// Notes at each finding what the list says of it.
    fn mark(&self, result: &mut ScenarioResult, used: &mut [bool]) {
        let mut known_of = |result: &ScenarioResult, finding: &Finding, is_own| {
            let mut known = None;
            for (deviation, used) in self.deviations.iter().zip(used.iter_mut()) {
                if deviation.covers(result, finding, is_own) {
                    *used = true;
                    known = known.or_else(|| Some(Box::new(deviation.known.clone())));
                }
            }
            known
        };
        let own: Vec<_> =
            result.findings.iter().map(|finding| known_of(result, finding, true)).collect();
        // What an oracle finds may be what the scenario fails by.
        let found = result.oracles.iter().map(|finding| {
            let is_own = result.has(finding);
            known_of(result, finding, is_own)
        });
        let found: Vec<_> = found.collect();
        result.findings.iter_mut().zip(own).for_each(|(finding, known)| finding.known = known);
        result.oracles.iter_mut().zip(found).for_each(|(finding, known)| finding.known = known);
    }

    fn judge(&self, result: &mut ScenarioResult) {
        let listed: Vec<_> =
            self.deviations.iter().filter(|it| it.subject.is_scenario(result.id)).collect();
        let unknown =
            result.findings.iter().find(|it| result.fails_by(it) && it.known.is_none()).cloned();
        let known = result.findings.iter().find_map(|finding| finding.known.clone());
        result.expected = true;
        match (result.verdict, unknown) {
            (Verdict::NotApplicable | Verdict::Inconclusive | Verdict::Unsteady, _) => {}
            (verdict, Some(unknown)) => {
                result.expected = false;
                result.reason = listed.first().map(|listed| listed.misses(verdict, &unknown));
            }
            (Verdict::Pass, None) => {
                if listed.iter().any(|listed| !listed.known.unsteady) {
                    result.expected = false;
                    result.reason = Some("listed as a known deviation, but passes".to_owned());
                }
            }
            (Verdict::Advisory, None) => {
                let misses = |listed: &&&Deviation| !listed.covers_any_of(result);
                match (listed.iter().find(misses), result.findings.first()) {
                    (Some(listed), Some(finding)) => {
                        result.expected = false;
                        result.reason = Some(listed.misses(Verdict::Advisory, finding));
                    }
                    _ => result.reason = known.map(|known| known.to_string()),
                }
            }
            (Verdict::Fail | Verdict::Blocked, None) => {
                result.expected = !result.findings.is_empty();
                result.reason = known.map(|known| known.to_string());
            }
        }
    }

    /// Whether so much was run that what was not seen is not there.
    pub(super) fn is_whole(&self, report: &Report) -> bool {
        let says_nothing = |result: &ScenarioResult| {
            matches!(result.verdict, Verdict::Inconclusive | Verdict::Unsteady)
        };
        report.scenarios.len() >= self.scenarios
            && !report.interrupted
            && !report.scenarios.iter().any(says_nothing)
    }

    /// What the list says of more than one scenario, and nothing was seen of; but for what might have
    /// been seen in a scenario that does not apply.
    fn unseen(&self, used: &[bool], report: &Report) -> Vec<String> {
        let not_applicable: Vec<_> = report
            .scenarios
            .iter()
            .filter(|result| result.verdict == Verdict::NotApplicable)
            .collect();
        let deviations = self.deviations.iter().zip(used);
        let unseen = deviations.filter(|(deviation, used)| {
            !**used
                && !deviation.known.unsteady
                && deviation.subject.is_general()
                && !not_applicable.iter().any(|result| deviation.subject.may_be_in(result))
        });
        let told = unseen.map(|(deviation, _)| {
            let Deviation { line, subject, .. } = deviation;
            format!(
                "line {line}: {:?} is listed as a known deviation, but was not seen",
                subject.name()
            )
        });
        told.collect()
    }
}

impl Deviation {
    pub(super) fn covers_any_of(&self, result: &ScenarioResult) -> bool {
        result.findings.iter().any(|finding| self.covers(result, finding, true))
            || result
                .oracles
                .iter()
                .any(|finding| self.covers(result, finding, result.has(finding)))
    }

    /// In what a scenario is not as it is listed.
    fn misses(&self, verdict: Verdict, finding: &Finding) -> String {
        match &self.seen {
            Some(seen) if !self.is_seen_in(finding) && self.verdict == verdict => format!(
                "listed as a known deviation by which {seen:?} is seen, but {:?} is",
                finding.looks()
            ),
            _ if verdict == self.verdict => {
                "listed as a known deviation, but comes to more than that".to_owned()
            }
            _ => format!(
                "listed as a known deviation with verdict {}, but comes to {verdict}",
                self.verdict
            ),
        }
    }
}
