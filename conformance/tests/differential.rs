//! Scripts on the command line: played, and played on two brokers.

use std::process::Command;

const SCRIPT: &str = r#"alice || opened
alice -> CONNECT client_id="~alice" clean_start session_expiry_interval=60
alice || acknowledges
alice -> SUBSCRIBE id=1 "~/a/#" qos=2
bob || opened
bob -> CONNECT client_id="~bob" clean_start
bob -> PUBLISH "~/a/b" qos=1 id=1 payload="m1"
alice || half closed
bob -> PUBLISH "~/a/b" qos=2 id=2 payload="m2"
bob -> PUBREL id=2
"#;

fn mqttspec(arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_mqttspec")).args(arguments).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

fn written(name: &str, text: &str) -> String {
    let path = format!("{}/{name}", env!("CARGO_TARGET_TMPDIR"));
    std::fs::write(&path, text).unwrap();
    path
}

/// A trace without what differs between memory and a network.
fn untimed(trace: &str) -> Vec<String> {
    let mut lines: Vec<_> = trace
        .lines()
        .map(|line| line.split_whitespace().skip(1).collect::<Vec<_>>().join(" "))
        .collect();
    // What comes to different clients comes in any order.
    lines.sort();
    lines
}

#[test]
fn a_script_comes_to_the_same_in_memory_and_over_a_network() {
    let script = written("a.script", SCRIPT);
    let (code, memory) = mqttspec(&["replay", &script, "--audit"]);
    assert_eq!(code, Some(0), "{memory}");
    for expected in [
        r#"alice   -> PUBACK      id=1"#,
        r#"alice.2 <- PUBLISH     "~/a/b" qos=2 id=2 payload="m2""#,
        r#"auditor <- PUBLISH     "~/a/b" qos=1 id=1 payload="probe 2""#,
    ] {
        assert!(memory.contains(expected), "{memory}");
    }
    let (code, network) = mqttspec(&["replay", &script, "embedded+tcp:", "--audit"]);
    assert_eq!(code, Some(0), "{network}");
    assert_eq!(untimed(&network), untimed(&memory));
    // The trace is a script.
    let again = written("again.script", &memory);
    let (_, told) = mqttspec(&["replay", &again]);
    assert_eq!(untimed(&told), untimed(&memory));
}

#[test]
fn what_a_replay_shows_is_judged() {
    let script = written("judged.script", SCRIPT);
    let (code, text) = mqttspec(&["replay", &script, "embedded:?mutant=3.3/dup-always"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("\nMQTT-3.3.1-3  DUP "), "{text}");
    let (code, text) = mqttspec(&["replay", &written("bad.script", "a || exploded"), "embedded:"]);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("bad.script: line 1: column 6: 'exploded' is nothing"), "{text}");
}

#[test]
fn differences_are_explained() {
    let seed = ["--seed", "1", "--cases", "200"];
    let diff = |targets: &[&str]| mqttspec(&[&["diff"], targets, &seed[..]].concat());
    let (code, text) = diff(&["embedded:"]);
    assert_eq!((code, text.as_str()), (Some(0), "200 scripts, no difference; seed 1\n"));
    let (code, text) = diff(&["embedded:?mutant=3.12/pingresp-lost"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.starts_with("a violation of MQTT-3.12.4-1: behaves as 3.12/pingresp-lost"),
        "{text}"
    );
    let (code, text) = diff(&["embedded:?hands-on-at-release"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.starts_with("an allowed choice: hands-on-at-release"), "{text}");
    let (code, _) = diff(&["embedded:?closes-late", "embedded:?closes-late"]);
    assert_eq!(code, Some(0));
}

#[test]
fn a_broker_at_an_address_is_compared() {
    let (code, text) = mqttspec(&["diff", "embedded+tcp:", "--seed", "3", "--cases", "12"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("12 scripts") && text.contains("0 violations"), "{text}");
    let (code, text) = mqttspec(&["diff", "mqtt://127.0.0.1:1", "--cases", "1"]);
    assert_eq!(code, Some(3), "{text}");
}
