//! What fails in its plain case is not the fault of what is claimed by it.
//!
//! That a subscriber gets what was published is what nearly every claim is seen by. A broker that loses
//! messages would fail all of those claims, each for a requirement of its own. So a scenario that is
//! the [plain case](crate::scenario::Scenario::plain) of a step decides: where the step fails there, it
//! blocks all others that fail by it in the same way.

use std::collections::BTreeSet;

use crate::report::ScenarioResult;
use crate::scenario;
use crate::verdict::step::{self, Step};
use crate::verdict::{Finding, Verdict};

/// The steps that fail in their plain cases, and how.
#[derive(Clone, Debug, Default)]
pub(crate) struct Broken(BTreeSet<(&'static str, &'static str)>);

impl Broken {
    /// Takes in what a scenario came to.
    pub(crate) fn note(&mut self, result: &ScenarioResult) {
        let plain = scenario::find(result.id).map_or(&[][..], |scenario| scenario.plain);
        let Some(finding) = failing(result) else { return };
        if let Some(step) = plain.iter().find(|step| step.name == finding.step) {
            self.0.extend(way(finding).map(|way| (step.name, way)));
        }
    }

    /// The step that blocks a scenario which fails by this finding of its own.
    pub(crate) fn step(&self, cited: &[&str], finding: &Finding) -> Option<Step> {
        let step = step::find(finding.step)?;
        let is_broken = way(finding).is_some_and(|way| self.0.contains(&(step.name, way)));
        (is_broken && !cited.contains(&step.requirement)).then_some(step)
    }

    /// Blocks it, if it fails for that.
    pub(crate) fn weigh(&self, result: &mut ScenarioResult) {
        let step = failing(result).and_then(|finding| self.step(&result.requirements, finding));
        if let Some(step) = step {
            result.verdict = Verdict::Blocked;
            result.findings[0].requirement = Some(step.requirement);
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

    const PLAIN: &str = "4.5/every-connected-subscriber";

    fn failed(id: &str, step: Step, seen: &str) -> ScenarioResult {
        let scenario = scenario::find(id).unwrap();
        let found = fixture::broken(Verdict::Fail);
        let finding = Finding { step: step.name, seen: seen.to_owned(), ..found };
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
        let mut broken = Broken::default();
        results.iter().for_each(|result| broken.note(result));
        let mut last = results.last().unwrap().clone();
        broken.weigh(&mut last);
        if last.verdict == Verdict::Blocked {
            assert_eq!(last.findings[0].requirement, Some(step::DELIVER.requirement));
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
    fn plain_cases_are_about_their_steps() {
        for scenario in scenario::all() {
            for step in scenario.plain {
                let cites = scenario.requirements.contains(&step.requirement);
                assert!(cites, "{} does not cite {}", scenario.id, step.requirement);
                assert_eq!(step::find(step.name), Some(*step));
            }
        }
    }
}
