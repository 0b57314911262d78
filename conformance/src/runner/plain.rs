//! What fails in its plain case is not the fault of what is claimed by it.
//!
//! That a subscriber gets what was published is what nearly every claim is seen by. A broker that loses
//! messages would fail all of those claims, each for a requirement of its own. So a scenario that is
//! the [plain case](crate::scenario::Scenario::plain) of a step decides: where the step fails there, it
//! blocks all others that fail by it in the same way.

use std::collections::BTreeMap;

use crate::report::ScenarioResult;
use crate::scenario::{self, Scenario};
use crate::verdict::{Finding, Verdict};

/// The steps that fail in their plain cases, in what way, and by what.
#[derive(Clone, Debug, Default)]
pub(crate) struct Broken(BTreeMap<(&'static str, &'static str), Blame>);

/// What a step fails by: the requirement, and what was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Blame {
    requirement: &'static str,
    seen: String,
}

impl Broken {
    /// Takes in a scenario that fails by this finding of its own: all steps that it is the plain case of
    /// come to nothing in this way. Of two plain cases of a step the first one decides.
    pub(crate) fn note(&mut self, scenario: &Scenario, finding: &Finding) {
        let is_plain = scenario.plain.iter().any(|step| step.name == finding.step);
        if let (true, Some(way), Some(requirement)) = (is_plain, way(finding), finding.requirement)
        {
            for step in scenario.plain {
                let blame = Blame { requirement, seen: finding.seen.clone() };
                self.0.entry((step.name, way)).or_insert(blame);
            }
        }
    }

    /// What blocks a scenario that fails by this finding of its own, if it is not about that.
    pub(crate) fn blame(&self, cited: &[&str], finding: &Finding) -> Option<&Blame> {
        let blame = self.0.get(&(finding.step, way(finding)?))?;
        (!cited.contains(&blame.requirement)).then_some(blame)
    }
}

/// Blocks those of all results, in the order of the registry, that fail for what fails in its plain case.
pub(super) fn settle(results: &mut [ScenarioResult]) {
    let mut broken = Broken::default();
    for result in &*results {
        if let (Some(scenario), Some(finding)) = (scenario::find(result.id), failing(result)) {
            broken.note(scenario, finding);
        }
    }
    for result in results {
        let blame = failing(result).and_then(|it| broken.blame(&result.requirements, it));
        if let Some(Blame { requirement, seen }) = blame.cloned() {
            result.verdict = Verdict::Blocked;
            // So that it is of one cause with that.
            let first = &mut result.findings[0];
            (first.requirement, first.seen) = (Some(requirement), seen);
        }
    }
}

/// What a scenario fails by itself, if it does.
pub(crate) fn failing(result: &ScenarioResult) -> Option<&Finding> {
    let finding = result.findings.first().filter(|_| result.verdict == Verdict::Fail);
    finding.filter(|finding| finding.oracle.is_none())
}

/// In what way a step came to nothing. What was answered instead says why, and is told for itself.
fn way(finding: &Finding) -> Option<&'static str> {
    match finding.seen.as_str() {
        // Of a message that is lost the next one is seen, if there is one.
        "nothing" | "another PUBLISH" => Some("nothing"),
        "the connection closed" => Some("the connection closed"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;
    use crate::verdict::step::{self, Step};

    const PLAIN: &str = "4.5/every-connected-subscriber";

    fn failed(id: &str, step: Step, seen: &str) -> ScenarioResult {
        let scenario = scenario::find(id).unwrap();
        let finding = Finding {
            requirement: scenario.requirements.first().copied(),
            step: step.name,
            seen: seen.to_owned(),
            ..fixture::broken(Verdict::Fail)
        };
        ScenarioResult {
            id: scenario.id,
            requirements: scenario.requirements.to_vec(),
            verdict: Verdict::Fail,
            findings: vec![finding],
            ..fixture::report().scenarios[0].clone()
        }
    }

    /// What the last of these results comes to.
    fn verdict(results: &[ScenarioResult]) -> Verdict {
        let mut results = results.to_vec();
        settle(&mut results);
        let last = results.last().unwrap();
        if last.verdict == Verdict::Blocked {
            let cause = |result: &ScenarioResult| result.findings[0].cause();
            assert_eq!(cause(last), cause(&results[0]));
        }
        last.verdict
    }

    #[test]
    fn what_fails_in_its_plain_case_blocks_what_is_claimed_by_it() {
        let plain = failed(PLAIN, step::DELIVER, "another PUBLISH");
        let claim = failed("3.3/payload-unchanged", step::DELIVER, "nothing");
        assert_eq!(verdict(&[plain.clone(), claim.clone()]), Verdict::Blocked);
        assert_eq!(verdict(std::slice::from_ref(&claim)), Verdict::Fail, "it is alone");
        let pass = ScenarioResult { verdict: Verdict::Pass, findings: Vec::new(), ..plain.clone() };
        assert_eq!(verdict(&[pass, claim.clone()]), Verdict::Fail, "the plain case passes");
        let other = failed("3.3/content-type", step::DELIVER, "nothing");
        assert_eq!(verdict(&[other, claim]), Verdict::Fail, "another is no plain case");
        assert_eq!(verdict(&[plain]), Verdict::Fail, "it is told itself");
    }

    #[test]
    fn another_step_another_answer_and_who_is_about_it_are_told_for_themselves() {
        let plain = failed(PLAIN, step::DELIVER, "nothing");
        for (claim, why) in [
            (failed("3.3/payload-unchanged", step::PUBACK, "nothing"), "another step"),
            (failed("3.3/payload-unchanged", step::DELIVER, "DISCONNECT 0x82"), "it says why"),
            (failed("4.5/every-matching-session", step::DELIVER, "nothing"), "it is about that"),
        ] {
            assert_eq!(verdict(&[plain.clone(), claim]), Verdict::Fail, "{why}");
        }
    }

    #[test]
    fn the_first_plain_case_decides() {
        let plain = failed(PLAIN, step::DELIVER, "nothing");
        let later = failed("4.6/behind-a-full-window", step::DELIVER, "nothing");
        let claim = failed("3.3/payload-unchanged", step::DELIVER, "nothing");
        assert_eq!(verdict(&[later.clone(), claim.clone()]), Verdict::Blocked);
        assert_eq!(verdict(&[plain, later, claim]), Verdict::Blocked);
    }
}
