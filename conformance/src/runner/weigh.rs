//! What a scenario comes to: what its steps say, what oracles say of its trace, and what is ours.

use crate::oracle::{self, tester};
use crate::report::ScenarioResult;
use crate::scenario::Scenario;
use crate::target::Unusable;
use crate::trace::Event;
use crate::verdict::{Finding, Outcome, Stop, Verdict, general, step};

use super::trouble;

pub(super) fn result(
    scenario: &Scenario,
    outcome: Outcome,
    advisories: Vec<Finding>,
) -> ScenarioResult {
    let mut findings = advisories;
    let is_cited = |finding: &Finding| is_about(scenario.requirements, finding);
    let mut reason = None;
    let verdict = match outcome {
        // An advisory about something else is told with its cause, and is not this scenario's.
        Ok(()) if findings.iter().any(is_cited) => Verdict::Advisory,
        Ok(()) => Verdict::Pass,
        Err(Stop::NotApplicable(why)) => {
            reason = Some(why);
            Verdict::NotApplicable
        }
        // What no MUST forbids is no failure, however a scenario came upon it.
        Err(Stop::Fail(finding)) if !finding.is_failure() => {
            first(Verdict::Advisory, finding, &mut findings)
        }
        Err(Stop::Fail(finding)) => first(Verdict::Fail, finding, &mut findings),
        Err(Stop::Blocked(finding)) => first(Verdict::Blocked, finding, &mut findings),
        Err(Stop::Inconclusive(finding)) => first(Verdict::Inconclusive, finding, &mut findings),
    };
    ScenarioResult { verdict, reason, findings, ..trouble(scenario, "", String::new()) }
}

fn first(verdict: Verdict, finding: Finding, findings: &mut Vec<Finding>) -> Verdict {
    findings.insert(0, finding);
    verdict
}

/// Whether a finding is about what is cited.
fn is_about(cited: &[&'static str], finding: &Finding) -> bool {
    finding.requirement.is_some_and(|requirement| cited.contains(&requirement))
}

/// Adds what the oracles find. What they find makes a scenario fail only if it is about that, whatever
/// else it came to.
pub(super) fn judge(result: &mut ScenarioResult, trace: &[Event]) {
    result.oracles = oracle::judge(trace);
    if result.verdict == Verdict::Fail {
        return explain(result);
    }
    let own = result.oracles.iter().filter(|found| is_about(&result.requirements, found));
    let (failures, advisories): (Vec<_>, Vec<_>) =
        own.cloned().partition(|finding| finding.is_failure());
    if !failures.is_empty() {
        result.verdict = Verdict::Fail;
        result.findings.splice(0..0, failures);
    } else if !advisories.is_empty() && result.verdict == Verdict::Pass {
        result.verdict = Verdict::Advisory;
        result.findings.splice(0..0, advisories);
    }
}

/// Blocks a scenario that comes upon a packet in the place of another, or of none, if an oracle says
/// what is wrong with it. What a packet is like, once it is the right one, is for the scenario to say.
fn explain(result: &mut ScenarioResult) {
    let Some(own) = result.findings.first() else { return };
    let is_stray = own.step != step::CHECK || matches!(&*own.seen, "PUBLISH" | "another PUBLISH");
    let is_there = |it: &&Finding| {
        it.is_failure() && it.event == own.event && it.requirement.is_some_and(says_why)
    };
    let there: Vec<_> = result.oracles.iter().filter(is_there).collect();
    let is_own = there.iter().any(|found| is_about(&result.requirements, found));
    if let (true, false, [first, ..]) = (is_stray, is_own, &*there) {
        result.findings.insert(0, Finding::clone(first));
        result.verdict = Verdict::Blocked;
    }
}

/// Whether a requirement that is broken says why a packet came that a scenario does not look for. Of the
/// others a scenario says more.
fn says_why(requirement: &str) -> bool {
    const ALL: [&str; 5] =
        ["MQTT-3.3.1-8", "MQTT-3.8.4-3", "MQTT-3.8.4-7", "MQTT-3.10.4-2", "U-4.3.1-1"];
    ALL.contains(&requirement)
}

/// What a target does once the suite has broken a rule that the scenario did not mean to break says
/// nothing of the target.
pub(super) fn own_up(scenario: &Scenario, result: &mut ScenarioResult, trace: &[Event]) {
    let mut breaches = tester::judge(trace).into_iter();
    let Some(breach) = breaches.find(|breach| !scenario.means(breach, trace)) else { return };
    let is_before = |finding: &Finding| finding.event.is_some_and(|it| Some(it) < breach.event);
    result.oracles.retain(is_before);
    // A check shows no more than what came last before it, and is made after all that was sent.
    let is_shown = |finding: &Finding| finding.step != step::CHECK && is_before(finding);
    let is_told = matches!(result.verdict, Verdict::Fail | Verdict::Blocked)
        && result.findings.first().is_some_and(is_shown);
    if is_told || matches!(result.verdict, Verdict::NotApplicable | Verdict::Inconclusive) {
        return;
    }
    let requirement = breach.requirement.unwrap_or_default();
    let Finding { expected, observed, .. } = &breach;
    let observed =
        format!("the suite itself broke {requirement}: its fault ({expected}; {observed})");
    let expected = "a client that keeps the rules".to_owned();
    result.verdict = Verdict::Inconclusive;
    let finding = Finding { requirement: None, expected, observed, ..breach };
    result.findings.insert(0, finding);
}

/// A target that serves nobody after a scenario that had it for itself.
pub(super) fn not_alive(result: &mut ScenarioResult, why: &Unusable) {
    let expected = "a target that serves a fresh client after the scenario".to_owned();
    let observed = format!("one that {why}");
    let mut finding = Finding {
        requirement: Some("U-4.13.1-7"),
        oracle: Some("liveness"),
        step: step::CHECK,
        seen: general(&observed),
        known: None,
        expected,
        observed,
        event: None,
    };
    if result.verdict == Verdict::Fail {
        return result.findings.push(finding);
    }
    finding.requirement = result.requirements.first().copied();
    result.verdict = Verdict::Fail;
    result.findings.insert(0, finding);
}

/// The result of a scenario that the target dies of.
pub(super) fn killed(scenario: &Scenario) -> ScenarioResult {
    let observed = "it died while this ran beside others, and again when it ran alone".to_owned();
    let mut result = trouble(scenario, "a target that goes on serving others", observed);
    result.verdict = Verdict::Fail;
    result.expected = false;
    for finding in &mut result.findings {
        *finding = Finding {
            requirement: Some("U-4.13.1-7"),
            oracle: Some("liveness"),
            ..finding.clone()
        };
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    /// What a scenario of its own requirement comes to that fails at an event, where an oracle finds
    /// something there.
    fn verdict(step: &'static str, seen: &str, rule: &'static str, at: usize) -> Verdict {
        let broken = || fixture::broken(Verdict::Fail);
        let own = Finding { step, seen: seen.to_owned(), event: Some(7), ..broken() };
        let found = Finding {
            requirement: Some(rule),
            oracle: Some("delivery"),
            step: step::ORACLE,
            event: Some(at),
            ..broken()
        };
        let mut result = ScenarioResult {
            requirements: vec!["MQTT-3.8.4-3"],
            verdict: Verdict::Fail,
            findings: vec![own],
            oracles: vec![found.clone()],
            ..fixture::report().scenarios[0].clone()
        };
        explain(&mut result);
        if result.verdict == Verdict::Blocked {
            assert_eq!(result.findings[0], found);
        }
        result.verdict
    }

    #[test]
    fn a_packet_that_an_oracle_explains_blocks_who_comes_upon_it() {
        let receive = step::DELIVER.name;
        let message = "another PUBLISH";
        for (step, seen, rule, at, comes_to) in [
            (receive, message, "MQTT-3.10.4-2", 7, Verdict::Blocked),
            (step::CHECK, message, "MQTT-3.10.4-2", 7, Verdict::Blocked),
            // The scenario says in what it differs, or is about that, or met another packet.
            (step::CHECK, "PUBLISH \"..\" qos=..", "MQTT-3.10.4-2", 7, Verdict::Fail),
            (receive, message, "MQTT-3.8.4-3", 7, Verdict::Fail),
            (receive, message, "MQTT-3.10.4-2", 6, Verdict::Fail),
            // That it should not be there, the scenario says too.
            (receive, message, "MQTT-3.3.2-3", 7, Verdict::Fail),
        ] {
            assert_eq!(verdict(step, seen, rule, at), comes_to, "{step} {seen} {rule} {at}");
        }
    }
}
