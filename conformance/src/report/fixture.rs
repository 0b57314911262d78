//! One report with every verdict, expected and not, and with text that means harm.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use reference_broker::codec::{Connect, Packet};

use super::{Listed, Report, ScenarioResult};
use crate::trace::{Ending, Event, What};
use crate::verdict::{Finding, Known, Verdict, general, step};

/// What breaks naive writers: markup, the end of a CDATA section, NUL, a colour, a new line, a
/// change of direction, something that is no character.
pub(crate) const HOSTILE: &str = "<&\"]]>'\0\u{1b}[31mred\r\n\u{202e}\u{fffe}</script>";

/// What a writer writes, as text.
pub(crate) fn written(write: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> String {
    let mut out = Vec::new();
    write(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn result(id: &'static str, section: &'static str, verdict: Verdict) -> ScenarioResult {
    ScenarioResult {
        id,
        section,
        shows: "what it shows",
        requirements: vec!["MQTT-3.1.0-2"],
        verdict,
        expected: true,
        reason: None,
        duration: Duration::from_millis(12),
        findings: Vec::new(),
        oracles: Vec::new(),
        trace: Vec::new(),
        again: None,
        looks_like: Vec::new(),
        bytes: BTreeMap::new(),
    }
}

fn finding(requirement: &'static str, expected: &str, observed: &str) -> Finding {
    Finding {
        requirement: Some(requirement),
        oracle: None,
        step: step::CHECK,
        expected: expected.to_owned(),
        observed: observed.to_owned(),
        seen: general(observed),
        event: None,
        known: None,
    }
}

/// What makes a result fail, or advisory.
pub(crate) fn broken(verdict: Verdict) -> Finding {
    let requirement = if verdict == Verdict::Fail { "MQTT-3.1.0-2" } else { "U-4.13.1-6" };
    finding(requirement, "the connection closed", "PUBLISH \"a/b\" id=7")
}

fn known(reason: &str) -> Option<Box<Known>> {
    Some(Box::new(Known { reason: reason.to_owned(), link: None, unsteady: false }))
}

/// A trace of this many exchanges.
pub(crate) fn trace(exchanges: u64) -> Vec<Event> {
    let event = |at, what| Event { at: Duration::from_millis(at), probe: "alice".to_owned(), what };
    let mut trace = vec![
        event(0, What::Opened),
        event(0, What::Sent(Packet::Connect(Connect::new("alice").into()))),
    ];
    for i in 0..exchanges {
        trace.push(event(2 * i + 1, What::Sent(Packet::PingReq)));
        trace.push(event(2 * i + 2, What::Received(Packet::PingResp)));
    }
    trace.push(event(2 * exchanges + 3, What::ClosedByBroker(Ending::EndOfStream)));
    trace
}

/// The report.
pub(crate) fn report() -> Report {
    Report {
        target: "mqtt://localhost:1883".to_owned(),
        rerun: "mqtt://localhost:1883".to_owned(),
        capabilities: vec![
            ("receive_maximum".to_owned(), "100".to_owned()),
            ("assigned_client_identifier".to_owned(), HOSTILE.to_owned()),
        ],
        scenarios: [connecting(), publishing(), closing(), elsewhere()].concat(),
        duration: Duration::from_millis(1240),
        interrupted: true,
        listed: Listed {
            stale: vec![format!(
                "line 7: {HOSTILE:?} is listed as a known deviation, but was not seen"
            )],
            unfilled: 2,
        },
        trouble: None,
        notes: vec![HOSTILE.to_owned()],
    }
}

/// A report with so many failures, each of a cause of its own, in many sections.
pub(crate) fn faulty(faults: usize) -> Report {
    let scenarios = crate::scenario::all().iter().step_by(2).take(faults).enumerate();
    // Numbers do not tell causes apart.
    let letters = |place: usize| -> String {
        place.to_string().bytes().map(|digit| char::from(digit - b'0' + b'a')).collect()
    };
    let scenarios = scenarios.map(|(place, scenario)| ScenarioResult {
        expected: false,
        requirements: scenario.requirements.to_vec(),
        findings: vec![Finding {
            event: Some(21),
            ..finding(
                scenario.requirements[0],
                &format!("a long word {} ", letters(place)).repeat(20),
                &format!("a longer word {} ", letters(place)).repeat(20),
            )
        }],
        trace: trace(20),
        ..result(scenario.id, scenario.section(), Verdict::Fail)
    });
    Report { scenarios: scenarios.collect(), interrupted: false, ..report() }
}

fn connecting() -> Vec<ScenarioResult> {
    vec![
        result("3.1/first-packet-is-connect", "3.1", Verdict::Pass),
        ScenarioResult {
            shows: "a second CONNECT on a connection ends it",
            expected: false,
            findings: vec![
                Finding {
                    event: Some(3),
                    ..finding("MQTT-3.1.0-2", "the connection closed", "a PINGRESP")
                },
                finding("MQTT-4.13.1-1", "DISCONNECT 0x82", "no DISCONNECT"),
            ],
            trace: trace(1),
            ..result("3.1/second-connect-closes", "3.1", Verdict::Fail)
        },
        ScenarioResult {
            reason: Some("fixed in 2.1 (https://example.org/1)".to_owned()),
            findings: vec![Finding {
                known: Some(Box::new(Known {
                    reason: "fixed in 2.1".to_owned(),
                    link: Some("https://example.org/1".to_owned()),
                    unsteady: false,
                })),
                ..finding("MQTT-3.1.2-3", "the connection closed", "CONNACK 0x00")
            }],
            ..result("3.1/reserved-flag", "3.1", Verdict::Fail)
        },
        ScenarioResult {
            expected: false,
            reason: Some("listed as a known deviation, but passes".to_owned()),
            ..result("3.1/will-qos-3", "3.1", Verdict::Pass)
        },
        inconclusive("3.1/keep-alive", "a connection to the target", "Connection refused"),
        inconclusive("3.1/client-id", "a connection to the target", "Connection refused"),
        inconclusive("3.1/session", "a connection to the target", "Connection refused"),
        inconclusive(
            "3.1/limit",
            "a CONNACK",
            "CONNACK 0x87 (not authorized): rights; give it them",
        ),
        inconclusive("3.1/slow", "a CONNACK", "nothing for 5.0 s"),
    ]
}

fn inconclusive(id: &'static str, expected: &str, observed: &str) -> ScenarioResult {
    let finding = Finding { requirement: None, ..finding("", expected, observed) };
    ScenarioResult { findings: vec![finding], ..result(id, "3.1", Verdict::Inconclusive) }
}

/// One fault: a connection that is not closed fails one scenario and blocks others.
fn closing() -> Vec<ScenarioResult> {
    let open = Finding {
        step: step::CLOSE.name,
        event: Some(2),
        seen: "still open".to_owned(),
        ..finding("MQTT-3.14.4-2", "the connection closed", "still open 5 s after its DISCONNECT")
    };
    let blocked = |id| ScenarioResult {
        expected: false,
        findings: vec![open.clone()],
        trace: trace(1),
        ..result(id, "3.14", Verdict::Blocked)
    };
    let rule = Finding {
        oracle: Some("after-disconnect"),
        step: step::ORACLE,
        seen: String::new(),
        event: Some(3),
        ..finding("MQTT-3.14.4-1", "nothing after DISCONNECT", "PINGRESP")
    };
    vec![
        ScenarioResult {
            requirements: vec!["MQTT-3.14.4-2"],
            verdict: Verdict::Fail,
            oracles: vec![rule.clone()],
            ..blocked("3.14/closes")
        },
        blocked("3.14/a"),
        blocked("3.14/b"),
        ScenarioResult { oracles: vec![rule], ..blocked("3.14/c") },
        blocked("3.14/d"),
        ScenarioResult {
            expected: true,
            findings: vec![Finding { known: known("as by design"), ..open.clone() }],
            ..blocked("3.14/known")
        },
        ScenarioResult {
            findings: vec![open.clone()],
            trace: trace(1),
            again: Some(Box::new(result("3.14/at-times", "3.14", Verdict::Pass))),
            ..result("3.14/at-times", "3.14", Verdict::Unsteady)
        },
    ]
}

fn publishing() -> Vec<ScenarioResult> {
    vec![
        ScenarioResult {
            findings: vec![finding("U-4.13.1-5", "a DISCONNECT that says why", "none")],
            trace: trace(0),
            ..result("3.3/dup-at-qos-0", "3.3", Verdict::Advisory)
        },
        ScenarioResult {
            reason: Some("by design".to_owned()),
            findings: vec![Finding {
                known: known("by design"),
                ..finding("U-4.13.1-6", "DISCONNECT 0x82", "DISCONNECT 0x81")
            }],
            ..result("3.3/user-property-order", "3.3", Verdict::Advisory)
        },
        ScenarioResult {
            expected: false,
            reason: Some(
                "listed as a known deviation with verdict fail, but comes to advisory".to_owned(),
            ),
            findings: vec![finding("U-4.13.1-6", "DISCONNECT 0x93", "DISCONNECT 0x81")],
            ..result("3.3/receive-maximum", "3.3", Verdict::Advisory)
        },
        ScenarioResult {
            reason: Some("the target has no retained messages (Retain Available 0)".to_owned()),
            ..result("3.3/retained", "3.3", Verdict::NotApplicable)
        },
    ]
}

fn elsewhere() -> Vec<ScenarioResult> {
    let long = "a long word ".repeat(20) + &"x".repeat(200);
    let mut hostile = trace(20);
    hostile[30].probe = HOSTILE.to_owned() + &long;
    vec![
        ScenarioResult {
            shows: HOSTILE,
            expected: false,
            requirements: vec![HOSTILE],
            findings: vec![Finding {
                event: Some(30),
                ..finding(HOSTILE, &format!("{HOSTILE} {long}"), &long)
            }],
            trace: hostile,
            ..result(HOSTILE, "4.7", Verdict::Fail)
        },
        ScenarioResult {
            reason: Some(HOSTILE.to_owned()),
            findings: vec![Finding {
                known: known(HOSTILE),
                ..finding("MQTT-4.7.1-1", HOSTILE, &"y".repeat(1300))
            }],
            ..result("4.7/\u{1b}]0;title\u{7}", "4.7", Verdict::Fail)
        },
        result("6/<unknown> section", HOSTILE, Verdict::Pass),
    ]
}
