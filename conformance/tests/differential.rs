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

/// More writes than tokio lets one task do without a pause: what TLS keeps then has to be flushed.
#[test]
fn all_of_a_long_script_leaves_over_tls() {
    let mut text = "a || opened\na -> CONNECT client_id=\"~a\" clean_start\n".to_owned();
    text.extend((0..300).map(|n| format!("a -> PUBLISH \"~/a\" payload=\"m{n}\"\n")));
    text.push_str("a -> PINGREQ\n");
    let script = written("long.script", &text);
    let embedded = ["--target", "embedded", "--transport", "mqtts"];
    let (code, text) = mqttspec(&[&["replay", &script], &embedded[..]].concat());
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("a <- PINGRESP"), "{text}");
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
    let seed = ["--seed", "1", "--cases", "80"];
    let diff = |targets: &[&str]| mqttspec(&[&["diff"], targets, &seed[..]].concat());
    let (code, text) = diff(&["embedded:"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.starts_with("80 scripts, no difference; "), "{text}");
    let (code, text) = diff(&["embedded:?mutant=3.12/pingresp-lost"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.starts_with("# a violation of MQTT-3.12.4-1: behaves as 3.12/pingresp-lost"),
        "{text}"
    );
    assert!(text.contains("# >>> here they part ways\n"), "{text}");
    // What is told is a script that shows it.
    let script = written("pingresp.script", &text[..text.find("\nscript ").unwrap()]);
    let (_, whole) = mqttspec(&["replay", &script]);
    assert!(whole.contains("<- PINGRESP"), "{whole}");
    let (_, broken) = mqttspec(&["replay", &script, "embedded:?mutant=3.12/pingresp-lost"]);
    assert!(!broken.contains("<- PINGRESP"), "{broken}");
    let (code, text) = diff(&["embedded:?hands-on-at-release"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.starts_with("# an allowed choice: hands-on-at-release"), "{text}");
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
    let (code, text) = mqttspec(&["diff"]);
    assert_eq!(code, Some(2), "{text}");
}

/// A session in which the broker is to answer PINGREQ.
const PING: &str = r#"a || opened
a -> CONNECT client_id="~a" clean_start
a -> PINGREQ
"#;

#[test]
fn faults_of_a_broker_at_an_address_fail_unless_they_are_known() {
    let folder = format!("{}/scripts", env!("CARGO_TARGET_TMPDIR"));
    std::fs::create_dir_all(&folder).unwrap();
    written("scripts/ping.script", PING);
    let list = "[[divergence]]\nname = \"violation:*\"\nreason = \"lost\"\n\n\
                [[divergence]]\nname = \"choice:none\"\nreason = \"gone\"\n";
    let list = written("known.toml", list);
    let saved = format!("{folder}/saved");
    let target = "embedded+tcp:?mutant=3.12/pingresp-lost";
    let arguments = ["diff", target, "--cases", "0", "--seed", "1", "--scripts", &folder];
    let diff = |more: &[&str]| mqttspec(&[&arguments[..], more].concat());
    let (code, text) = diff(&["--save", &saved, "--patience", "200ms"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("violation:3.12/pingresp-lost"), "{text}");
    let file = format!("{saved}/001-violation-3.12-pingresp-lost.script");
    assert!(std::fs::read_to_string(&file).unwrap().contains("-> PINGREQ"));
    let known = ["--known-divergences", &list, "--patience", "200ms", "--format", "json"];
    let (code, text) = diff(&known);
    assert_eq!(code, Some(0), "{text}");
    let json = &text[text.find('{').unwrap()..=text.rfind('}').unwrap()];
    let json: serde_json::Value = serde_json::from_str(json).unwrap();
    let divergence = &json["divergences"][0];
    assert_eq!(divergence["mutant"], "3.12/pingresp-lost", "{json}");
    assert_eq!(divergence["known"], "lost");
    assert_eq!(divergence["requirements"][0], "MQTT-3.12.4-1");
    assert_eq!(json["known_and_not_seen"][0], "choice:none");
}

#[test]
fn two_brokers_at_addresses_are_told_apart() {
    written("scripts/ping.script", PING);
    let folder = format!("{}/scripts/ping.script", env!("CARGO_TARGET_TMPDIR"));
    let (code, text) = mqttspec(&[
        "diff",
        "embedded+tcp:",
        "embedded+tcp:?mutant=3.12/pingresp-lost",
        "--cases",
        "0",
        "--scripts",
        &folder,
        "--patience",
        "200ms",
    ]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("# only embedded+tcp:?mutant=3.12/pingresp-lost:"), "{text}");
}

#[test]
fn a_script_may_need_users_and_proofs() {
    let script = r#"broker || needs users
broker || needs SCRAM
a || opened
a -> CONNECT client_id="~a" clean_start user_name="~other" password="~other"
b || opened
b -> CONNECT client_id="~b" clean_start user_name="~nobody"
c || opened
c -> CONNECT client_id="~c" clean_start authentication_method="SCRAM-SHA-256" authentication_data="~first"
c -> AUTH 0x18 authentication_method="SCRAM-SHA-256" authentication_data="~answer"
d || opened
d -> CONNECT client_id="~d" clean_start authentication_method="SCRAM-SHA-256" authentication_data="~first"
d -> AUTH 0x18 authentication_method="SCRAM-SHA-256" authentication_data="~wrong"
"#;
    let file = written("users.script", script);
    let (code, text) = mqttspec(&["replay", &file, "embedded+tcp:"]);
    assert_eq!(code, Some(3), "{text}");
    assert!(text.contains("the script needs two users (a target file names them)"), "{text}");
    let (code, text) = mqttspec(&["replay", &file]);
    assert_eq!(code, Some(0), "{text}");
    for (name, answer) in [("a", "0x00"), ("b", "0x87"), ("c", "0x00"), ("d", "0x87")] {
        let line = text.lines().find(|line| line.contains(&format!(" {name} <- CONNACK")));
        assert!(line.is_some_and(|line| line.contains(answer)), "{name}: {text}");
    }
}
