use super::*;
use crate::exit::exit_code;
use crate::report::{Report, fixture};
use crate::scenario;
use crate::verdict::step;

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
        seen = "nothing"
        reason = " fixed in 2.1 "
        link = "https://example.org/1"

        [[deviation]]
        ids = ["3.8/*", "oracle/delivery/MQTT-3.3.2-6", "oracle/*"]
        seen = "PUBLISH*"
        verdict = "advisory"
        reason = "by design"

        [[deviation]]
        cause = "MQTT-3.14.4-2"
        unsteady = true
        reason = "at times"
        "#,
    )
    .unwrap();
    assert_eq!(list.len(), 5);
    let subjects: Vec<_> = list.deviations.iter().map(|it| (it.line, it.subject.clone())).collect();
    let [scenario, rule] =
        [Subject::Scenario, Subject::Rule].map(|of| move |name: &str| of(name.to_owned()));
    let expected = [
        (3, scenario("3.1/a")),
        (9, scenario("3.8/*")),
        (9, rule("oracle/delivery/MQTT-3.3.2-6")),
        (9, rule("oracle/*")),
        (15, Subject::Cause("MQTT-3.14.4-2".to_owned())),
    ];
    assert_eq!(subjects, expected);
    let [a, other, .., cause] = &list.deviations[..] else { panic!("{list:?}") };
    assert_eq!((a.verdict, other.verdict), (Verdict::Fail, Verdict::Advisory));
    assert_eq!(a.known.to_string(), "fixed in 2.1 (https://example.org/1)");
    assert_eq!((cause.seen.clone(), cause.known.unsteady), (None, true));
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

/// A list of one entry that names this, in lines from 2 on.
fn entry(names: &str) -> String {
    format!("[[deviation]]\n{names}\nseen = \"*\"\nreason = \"r\"\n")
}

#[test]
fn unknown_keys_are_errors() {
    let message = error(&(entry("id = \"3.1/a\"") + "resaon = \"r\"\n"));
    assert!(message.starts_with("line 5: unknown field `resaon`"), "{message}");
    let message = error(&entry("id = \"3.1/a\"").replace("[deviation]", "[deviations]"));
    assert!(message.starts_with("line 1: unknown field `deviations`"), "{message}");
}

#[test]
fn a_reason_is_required_and_says_something() {
    let message = error("\n[[deviation]]\nid = \"3.1/a\"\nseen = \"*\"\n");
    assert!(message.starts_with("line 2: missing field `reason`"), "{message}");
    let blank = error(&entry("id = \"3.1/a\"").replace("\"r\"", "\" \""));
    assert_eq!(blank, "line 4: the reason of a deviation may not be empty");
}

#[test]
fn what_is_seen_is_said_of_all_that_is_steady() {
    let entry = "[[deviation]]\nid = \"3.1/a\"\nreason = \"r\"\n";
    let message = error(entry);
    assert!(message.starts_with("line 1: a deviation says in `seen` what"), "{message}");
    assert!(message.contains("--write-known-deviations"), "{message}");
    assert!(parse(&format!("{entry}unsteady = true\n")).is_ok());
}

#[test]
fn only_a_failure_or_an_advisory_can_be_known() {
    let message = error(&entry("id = \"3.1/a\"\nverdict = \"pass\""));
    assert!(message.starts_with("line 3: unknown variant `pass`"), "{message}");
}

#[test]
fn an_entry_names_something_in_one_way() {
    let message =
        "line 1: a deviation has one of `id`, a list `ids` that is not empty, and `cause`";
    for names in [
        "",
        "ids = []",
        "id = \"3.1/a\"\nids = [\"3.1/b\"]",
        "id = \"3.1/a\"\ncause = \"MQTT-3.14.4-2\"",
    ] {
        assert_eq!(error(&entry(names)), message);
    }
}

#[test]
fn an_unknown_name_is_an_error_that_names_the_nearest() {
    for (names, expected) in [
        (
            "ids = [\n  \"3.1/a\",\n  \"3.8/some-scenaroi\",\n]",
            "line 4: there is no scenario \"3.8/some-scenaroi\"; the nearest is \"3.8/some-scenario\"",
        ),
        (
            "id = \"oracle/delivery/MQTT-3.3.2-99\"",
            "line 2: there is no rule of an oracle \"oracle/delivery/MQTT-3.3.2-99\"; the nearest is \"oracle/delivery/MQTT-3.3.2-",
        ),
        (
            "cause = \"MQTT-3.14.4-22\"",
            "line 2: there is no requirement \"MQTT-3.14.4-22\"; the nearest is \"MQTT-3.14.4-2\"",
        ),
        ("id = \"9.9/*\"", "line 2: there is no scenario \"9.9/*\"; the nearest is "),
    ] {
        let message = error(&entry(names));
        assert!(message.starts_with(expected), "{message}");
    }
    let none = KnownDeviations::parse(&entry("id = \"x\""), &[]);
    assert_eq!(none.unwrap_err().to_string(), "line 2: there is no scenario \"x\"");
}

#[test]
fn the_same_is_listed_once() {
    let a = entry("id = \"3.1/a\"");
    assert_eq!(error(&format!("{a}{a}")), "line 6: \"3.1/a\" is listed already, on line 2");
    let in_one = error(&entry("ids = [\"3.1/a\", \"3.1/a\"]"));
    assert_eq!(in_one, "line 2: \"3.1/a\" is listed already, on line 2");
    assert!(parse(&(a.clone() + &a.replace("\"*\"", "\"nothing\""))).is_ok(), "two faults");
}

/// A report with one result, of scenario `3.1/a`, with this verdict.
fn report(verdict: Verdict) -> Report {
    let mut report = fixture::report();
    report.interrupted = false;
    report.scenarios.truncate(1);
    let result = &mut report.scenarios[0];
    result.id = "3.1/a";
    result.verdict = verdict;
    result.expected = verdict == Verdict::Fail; // wrong on purpose where it matters
    result.reason = (verdict == Verdict::NotApplicable).then(|| "no need".to_owned());
    result.findings = match verdict {
        Verdict::Fail | Verdict::Advisory | Verdict::Unsteady => vec![fixture::broken(verdict)],
        Verdict::Blocked => vec![fixture::broken(Verdict::Fail)],
        Verdict::Pass | Verdict::NotApplicable | Verdict::Inconclusive => Vec::new(),
    };
    report
}

/// What becomes of a report by a list: of its only scenario, and of all.
fn judged(list: &str, mut report: Report) -> (bool, Option<String>, u8) {
    parse(list).unwrap().apply(&mut report);
    let code = exit_code(&report);
    let result = report.scenarios.remove(0);
    (result.expected, result.reason, code)
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[test]
fn an_unlisted_failure_is_all_that_is_unexpected_of_the_unlisted() {
    let judged = |verdict| judged("", report(verdict));
    assert_eq!(judged(Verdict::Pass), (true, None, 0));
    assert_eq!(judged(Verdict::Fail), (false, None, 1));
    assert_eq!(judged(Verdict::Blocked), (false, None, 1));
    assert_eq!(judged(Verdict::Advisory), (true, None, 0));
    assert_eq!(judged(Verdict::Unsteady), (true, None, 0));
    assert_eq!(judged(Verdict::NotApplicable), (true, some("no need"), 0));
    assert_eq!(judged(Verdict::Inconclusive), (true, None, 3));
}

#[test]
fn a_listed_verdict_is_expected_and_no_other() {
    let passes = some("listed as a known deviation, but passes");
    let other = |listed, verdict| {
        some(&format!("listed as a known deviation with verdict {listed}, but comes to {verdict}"))
    };
    let judged = |verdict, listed| {
        judged(&entry(&format!("id = \"3.1/a\"\nverdict = \"{listed}\"")), report(verdict))
    };
    let (fail, advisory) = (Verdict::Fail, Verdict::Advisory);
    assert_eq!(judged(Verdict::Fail, fail), (true, some("r"), 0));
    assert_eq!(judged(Verdict::Advisory, advisory), (true, some("r"), 0));
    assert_eq!(judged(Verdict::Pass, fail), (false, passes.clone(), 1));
    assert_eq!(judged(Verdict::Pass, advisory), (false, passes, 1));
    assert_eq!(judged(Verdict::Advisory, fail), (false, other("fail", "advisory"), 1));
    assert_eq!(judged(Verdict::Fail, advisory), (false, other("advisory", "fail"), 1));
    assert_eq!(judged(Verdict::NotApplicable, fail), (true, some("no need"), 0));
    assert_eq!(judged(Verdict::Inconclusive, fail), (true, None, 3));
    assert_eq!(judged(Verdict::Unsteady, fail), (true, None, 0));
}

#[test]
fn a_failure_by_something_else_than_is_listed_is_unexpected() {
    let list = |seen: &str| entry("id = \"3.1/a\"").replace("\"*\"", seen);
    let judged = |seen: &str| judged(&list(seen), report(Verdict::Fail));
    // What is observed is PUBLISH "a/b" id=7.
    for seen in ["'PUBLISH \"..\" id=..'", "'PUBLISH*'", "'PUBLISH \"a/b\" id=7'"] {
        assert_eq!(judged(seen), (true, some("r"), 0), "{seen}");
    }
    let (expected, reason, code) = judged("'nothing'");
    assert_eq!((expected, code), (false, 1));
    let reason = reason.unwrap();
    assert!(reason.starts_with("listed as a known deviation by which \"nothing\" is"), "{reason}");
}

#[test]
fn a_cause_is_known_wherever_it_is_found() {
    let list = entry("cause = \"MQTT-3.1.0-2\"");
    for verdict in [Verdict::Fail, Verdict::Blocked] {
        assert_eq!(judged(&list, report(verdict)), (true, some("r"), 0));
    }
    let other = entry("cause = \"MQTT-3.14.4-2\"");
    assert!(!judged(&other, report(Verdict::Blocked)).0);
    // By its whole id, as reports name it.
    let whole = report(Verdict::Blocked).scenarios[0].findings[0].cause().unwrap().id();
    assert!(whole.starts_with("MQTT-3.1.0-2/"), "{whole}");
    for (id, expected) in [(whole.clone(), true), (format!("{whole}-not"), false)] {
        let list = entry(&format!("cause = \"{id}\""));
        assert_eq!(judged(&list, report(Verdict::Blocked)).0, expected, "{id}");
    }
    // What blocks a scenario is found in it, so an entry of that scenario covers it there.
    let blocked = judged(&entry("ids = [\"3.1/a\", \"3.1/b\"]"), report(Verdict::Blocked));
    assert_eq!(blocked, (true, some("r"), 0));
}

/// A report of a scenario that passes, in whose trace an oracle found something.
fn with_oracle_finding() -> Report {
    let mut report = report(Verdict::Pass);
    report.scenarios[0].oracles = vec![Finding {
        oracle: Some("packet-ids"),
        requirement: Some("MQTT-2.2.1-4"),
        step: step::ORACLE,
        seen: String::new(),
        ..fixture::broken(Verdict::Fail)
    }];
    report
}

#[test]
fn a_rule_of_an_oracle_is_known_by_its_name() {
    let judged = |list: &str| judged(list, with_oracle_finding());
    assert_eq!(judged(""), (true, None, 1), "a result of its own, not the scenario's");
    for name in ["id = \"oracle/packet-ids/MQTT-2.2.1-4\"", "ids = [\"oracle/packet-*\"]"] {
        assert_eq!(judged(&entry(name)), (true, None, 0), "{name}");
    }
    assert_eq!(judged(&entry("cause = \"MQTT-2.2.1-4\"")), (true, None, 0));
    let (_, _, code) = judged(&entry("id = \"oracle/ordering/*\""));
    assert_eq!(code, 1);
    let other = entry("id = \"oracle/packet-ids/*\"").replace("\"*\"", "\"nothing\"");
    assert_eq!(judged(&other).2, 1, "{other}");
}

#[test]
fn what_is_listed_in_general_is_stale_once_everything_was_run() {
    let lists =
        ["cause = \"MQTT-3.14.4-2\"", "id = \"3.8/*\"", "id = \"oracle/packet-ids/MQTT-2.2.1-4\""];
    for names in lists {
        let list = KnownDeviations::parse(&entry(names), &["3.1/a", "3.8/b"]).unwrap();
        let mut partial = report(Verdict::Pass);
        list.apply(&mut partial);
        assert_eq!((partial.listed.stale.len(), exit_code(&partial)), (0, 0), "{names}");
        let mut whole = report(Verdict::Pass);
        whole.scenarios.push(ScenarioResult { id: "3.8/b", ..whole.scenarios[0].clone() });
        let (mut unsure, mut limited) = (whole.clone(), whole.clone());
        list.apply(&mut whole);
        assert_eq!((whole.listed.stale.len(), exit_code(&whole)), (1, 1), "{names}");
        let told = &whole.listed.stale[0];
        assert!(told.starts_with("line 2: ") && told.ends_with("but was not seen"), "{told}");
        unsure.scenarios[1].verdict = Verdict::Inconclusive;
        list.apply(&mut unsure);
        assert_eq!((unsure.listed.stale.len(), exit_code(&unsure)), (0, 3), "{names}");
        // What might show it does not apply to this target.
        limited.scenarios[1].verdict = Verdict::NotApplicable;
        limited.scenarios[1].requirements = vec!["MQTT-3.14.4-2", "MQTT-2.2.1-4"];
        list.apply(&mut limited);
        assert_eq!((limited.listed.stale.len(), exit_code(&limited)), (0, 0), "{names}");
    }
}

#[test]
fn entries_of_other_scenarios_change_nothing() {
    let (expected, _, code) = judged(&entry("id = \"3.1/b\""), report(Verdict::Fail));
    assert_eq!((expected, code), (false, 1));
}

#[test]
fn an_unsteady_fault_may_be_absent() {
    let list = "[[deviation]]\nid = \"3.1/a\"\nreason = \"r\"\nunsteady = true\n";
    for (verdict, expected) in
        [(Verdict::Pass, true), (Verdict::Fail, true), (Verdict::Advisory, false)]
    {
        assert_eq!(judged(list, report(verdict)).0, expected, "{verdict}");
    }
}

#[test]
fn reasons_to_be_filled_in_are_counted() {
    let list = parse(&entry("id = \"3.1/a\"").replace("\"r\"", "\"TODO: look\"")).unwrap();
    let mut report = report(Verdict::Fail);
    list.apply(&mut report);
    assert_eq!((report.listed.unfilled, exit_code(&report)), (1, 0));
}

fn written(report: &Report, old: &KnownDeviations) -> String {
    let mut out = Vec::new();
    write(report, old, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn a_list_that_was_written_makes_its_run_as_expected() {
    let mut report = fixture::report();
    report.scenarios.retain(|result| result.verdict != Verdict::Inconclusive);
    report.interrupted = false;
    let blocked = report.scenarios.iter().find(|it| it.id == "3.14/a").unwrap().clone();
    let others = scenario::all().iter().take(10);
    report.scenarios.extend(others.map(|it| ScenarioResult { id: it.id, ..blocked.clone() }));
    // Only what the list says is to count.
    let none = KnownDeviations::default();
    none.apply(&mut report);
    let ids: Vec<_> = report.scenarios.iter().map(|result| result.id).collect();
    // What has a requirement that the register does not know cannot be listed.
    let is_known = |result: &ScenarioResult| {
        let mut all = result.findings.iter().chain(&result.oracles);
        all.all(|finding| finding.requirement.and_then(requirement::find).is_some())
    };
    report.scenarios.retain(is_known);
    let text = written(&report, &none);
    let list =
        KnownDeviations::parse(&text, &ids).unwrap_or_else(|error| panic!("{error}: {text}"));
    list.apply(&mut report);
    assert_eq!(exit_code(&report), 0, "{text}");
    assert!(report.listed.unfilled > 2, "{text}");
    assert_eq!(
        text.matches("cause = \"MQTT-3.14.4-2\"\nseen = \"still open\"").count(),
        1,
        "{text}"
    );
    assert!(!text.contains("3.14/a"), "one entry for what is blocked: {text}");
    assert_eq!(written(&report, &list), text, "what is listed stays");
}

#[test]
fn a_list_that_is_renewed_keeps_its_reasons_and_loses_what_is_gone() {
    let text = [
        entry("id = \"3.1/a\"").replace("\"r\"", "\"kept\""),
        entry("id = \"3.1/b\"").replace("\"r\"", "\"not run\""),
        entry("id = \"3.8/some-scenario\"").replace("\"r\"", "\"gone\""),
        entry("id = \"3.8/other-scenario\"").replace("\"*\"", "\"other\""),
    ];
    let old = parse(&text.concat()).unwrap();
    let mut report = report(Verdict::Fail);
    let failed = report.scenarios[0].clone();
    report.scenarios.push(ScenarioResult { id: "3.8/other-scenario", ..failed.clone() });
    let passed = ScenarioResult { verdict: Verdict::Pass, findings: Vec::new(), ..failed };
    report.scenarios.push(ScenarioResult { id: "3.8/some-scenario", ..passed });
    old.apply(&mut report);
    let new = written(&report, &old);
    for (text, is_there) in [
        ("kept", true),
        ("not run", true),
        ("gone", false),
        ("seen = \"other\"", false),
        ("Until now: r", true),
    ] {
        assert_eq!(new.contains(text), is_there, "{text}: {new}");
    }
}
