use super::*;
use crate::exit::exit_code;
use crate::report::fixture;

const KNOWN: [&str; 4] = ["3.1/a", "3.1/b", "3.8/some-scenario", "3.8/other-scenario"];

fn parse(text: &str) -> Result<KnownDeviations, DeviationError> {
    KnownDeviations::parse(text, &KNOWN)
}

fn error(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

#[test]
fn a_full_list_is_read() {
    let list = parse(
        r#"
        [[deviation]]
        id = "3.1/a"
        reason = " fixed in 2.1 "
        link = "https://example.org/1"

        [[deviation]]
        ids = ["3.8/some-scenario", "3.8/other-scenario"]
        verdict = "advisory"
        reason = "by design"
        "#,
    )
    .unwrap();
    assert_eq!(list.len(), 3);
    let a = &list.by_id["3.1/a"];
    assert_eq!((a.verdict, a.line), (Verdict::Fail, 3));
    assert_eq!(a.reason, "fixed in 2.1 (https://example.org/1)");
    let other = &list.by_id["3.8/other-scenario"];
    assert_eq!((other.verdict, other.reason.as_str()), (Verdict::Advisory, "by design"));
}

#[test]
fn an_empty_file_lists_nothing() {
    assert!(parse("").unwrap().is_empty());
    assert!(parse("# none yet\n").unwrap().is_empty());
}

#[test]
fn what_is_no_toml_is_an_error_with_its_line() {
    let message = error("[[deviation]]\nid = \"3.1/a\nreason = \"r\"\n");
    assert!(message.starts_with("line 2: "), "{message}");
}

#[test]
fn unknown_keys_are_errors() {
    let message = error("[[deviation]]\nid = \"3.1/a\"\nreason = \"r\"\nresaon = \"r\"\n");
    assert!(message.starts_with("line 4: unknown field `resaon`"), "{message}");
    let message = error("[[deviations]]\nid = \"3.1/a\"\nreason = \"r\"\n");
    assert!(message.starts_with("line 1: unknown field `deviations`"), "{message}");
}

#[test]
fn a_reason_is_required_and_says_something() {
    let message = error("\n[[deviation]]\nid = \"3.1/a\"\n");
    assert!(message.starts_with("line 2: missing field `reason`"), "{message}");
    let blank = error("[[deviation]]\nid = \"3.1/a\"\nreason = \" \"\n");
    assert_eq!(blank, "line 3: the reason of a deviation may not be empty");
}

#[test]
fn only_a_failure_or_an_advisory_can_be_known() {
    let message = error("[[deviation]]\nid = \"3.1/a\"\nverdict = \"pass\"\nreason = \"r\"\n");
    assert!(message.starts_with("line 3: unknown variant `pass`"), "{message}");
}

#[test]
fn an_entry_names_scenarios_in_one_way() {
    let message = "line 1: a deviation has either `id` or a list `ids` that is not empty";
    assert_eq!(error("[[deviation]]\nreason = \"r\"\n"), message);
    assert_eq!(error("[[deviation]]\nids = []\nreason = \"r\"\n"), message);
    let both = "[[deviation]]\nid = \"3.1/a\"\nids = [\"3.1/b\"]\nreason = \"r\"\n";
    assert_eq!(error(both), message);
}

#[test]
fn an_unknown_scenario_is_an_error_that_names_the_nearest() {
    let text =
        "[[deviation]]\nids = [\n  \"3.1/a\",\n  \"3.8/some-scenaroi\",\n]\nreason = \"r\"\n";
    let expected = "line 4: there is no scenario \"3.8/some-scenaroi\"; \
                    the nearest is \"3.8/some-scenario\"";
    assert_eq!(error(text), expected);
    let none = KnownDeviations::parse("[[deviation]]\nid = \"x\"\nreason = \"r\"\n", &[]);
    assert_eq!(none.unwrap_err().to_string(), "line 2: there is no scenario \"x\"");
}

#[test]
fn a_scenario_is_listed_once() {
    let entry = "[[deviation]]\nid = \"3.1/a\"\nreason = \"r\"\n";
    let twice = error(&format!("{entry}{entry}"));
    assert_eq!(twice, "line 5: \"3.1/a\" is listed already, on line 2");
    let in_one = error("[[deviation]]\nids = [\"3.1/a\", \"3.1/a\"]\nreason = \"r\"\n");
    assert_eq!(in_one, "line 2: \"3.1/a\" is listed already, on line 2");
}

/// What becomes of a scenario with this verdict that is listed with that one, or not at all.
fn judged(verdict: Verdict, listed: Option<Verdict>) -> (bool, Option<String>, u8) {
    let mut report = fixture::report();
    report.interrupted = false;
    report.scenarios.truncate(1);
    let result = &mut report.scenarios[0];
    result.id = "3.1/a";
    result.verdict = verdict;
    result.expected = verdict == Verdict::Fail; // wrong on purpose where it matters
    result.reason = (verdict == Verdict::NotApplicable).then(|| "no need".to_owned());
    let list = listed.map(|listed| {
        format!("[[deviation]]\nid = \"3.1/a\"\nverdict = \"{listed}\"\nreason = \"r\"\n")
    });
    parse(&list.unwrap_or_default()).unwrap().apply(&mut report);
    let code = exit_code(&report);
    let result = report.scenarios.remove(0);
    (result.expected, result.reason, code)
}

#[test]
fn an_unlisted_failure_is_all_that_is_unexpected_of_the_unlisted() {
    assert_eq!(judged(Verdict::Pass, None), (true, None, 0));
    assert_eq!(judged(Verdict::Fail, None), (false, None, 1));
    assert_eq!(judged(Verdict::Advisory, None), (true, None, 0));
    assert_eq!(judged(Verdict::NotApplicable, None), (true, Some("no need".to_owned()), 0));
    assert_eq!(judged(Verdict::Inconclusive, None), (true, None, 3));
}

#[test]
fn a_listed_verdict_is_expected_and_no_other() {
    let some = |text: &str| Some(text.to_owned());
    let passes = some("listed as a known deviation, but passes");
    let other = |listed, verdict| {
        some(&format!("listed as a known deviation with verdict {listed}, but comes to {verdict}"))
    };
    let (fail, advisory) = (Some(Verdict::Fail), Some(Verdict::Advisory));
    assert_eq!(judged(Verdict::Fail, fail), (true, some("r"), 0));
    assert_eq!(judged(Verdict::Advisory, advisory), (true, some("r"), 0));
    assert_eq!(judged(Verdict::Pass, fail), (false, passes.clone(), 1));
    assert_eq!(judged(Verdict::Pass, advisory), (false, passes, 1));
    assert_eq!(judged(Verdict::Advisory, fail), (false, other("fail", "advisory"), 1));
    assert_eq!(judged(Verdict::Fail, advisory), (false, other("advisory", "fail"), 1));
    assert_eq!(judged(Verdict::NotApplicable, fail), (true, some("no need"), 0));
    assert_eq!(judged(Verdict::Inconclusive, fail), (true, None, 3));
}

#[test]
fn entries_of_other_scenarios_change_nothing() {
    let mut report = fixture::report();
    let before = report.totals();
    let list = parse("[[deviation]]\nid = \"3.1/b\"\nreason = \"r\"\n").unwrap();
    list.apply(&mut report);
    assert_eq!(report.totals().fail, before.fail);
}

#[test]
fn an_unsteady_fault_may_be_absent() {
    let list = parse("[[deviation]]\nid = \"3.1/a\"\nreason = \"r\"\nunsteady = true\n").unwrap();
    for (verdict, expected) in
        [(Verdict::Pass, true), (Verdict::Fail, true), (Verdict::Advisory, false)]
    {
        let mut report = fixture::report();
        report.scenarios.truncate(1);
        report.scenarios[0].id = "3.1/a";
        report.scenarios[0].verdict = verdict;
        list.apply(&mut report);
        assert_eq!(report.scenarios[0].expected, expected, "{verdict}");
    }
}
