//! The commands that prove the suite, as a user runs them.

mod repros;

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use serde_json::Value;

const MQTTSPEC: &str = env!("CARGO_BIN_EXE_mqttspec");

fn mqttspec(arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(MQTTSPEC).args(arguments).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

#[test]
fn a_mutant_that_is_caught_is_shown_with_its_packets() {
    let (code, text) = mqttspec(&["mutants", "3.12/pingresp-lost", "--against", "3.12", "--trace"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("caught     3.12/pingresp-lost"), "{text}");
    assert!(text.contains("1 mutant: 1 caught, 0 by chance, 0 alive"), "{text}");
    assert!(text.contains("-> PINGREQ") && text.contains("?mutant=3.12/pingresp-lost"), "{text}");
}

#[test]
fn a_mutant_that_lives_is_an_error() {
    let (code, text) = mqttspec(&["mutants", "3.14/overlooks-MQTT-3.14.2-1", "--against", "3.12"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("alive      3.14/overlooks-MQTT-3.14.2-1"), "{text}");
    let (code, text) = mqttspec(&["mutants", "nobody"]);
    assert_eq!(code, Some(4), "{text}");
    assert!(text.contains("'nobody' matches no mutant"), "{text}");
}

#[test]
fn the_matrix_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let (json, markdown) = (folder.path().join("m.json"), folder.path().join("m.md"));
    let (json_path, markdown_path) = (json.to_str().unwrap(), markdown.to_str().unwrap());
    let arguments = ["mutants", "3.12", "--against", "3.12/answers-each", "--json", json_path];
    let (code, text) = mqttspec(&[&arguments[..], &["--markdown", markdown_path]].concat());
    assert_eq!(code, Some(0), "{text}");
    let matrix: Value = serde_json::from_str(&std::fs::read_to_string(json).unwrap()).unwrap();
    assert_eq!(matrix["totals"]["alive"], 0);
    assert_eq!(matrix["mutants"][0]["scenarios"][0]["scenario"], "3.12/answers-each");
    let markdown = std::fs::read_to_string(markdown).unwrap();
    assert!(markdown.contains("| `3.12/pingresp-lost` | MQTT-3.12.4-1 | caught | 1 (1) |"));
}

#[test]
fn coverage_is_computed() {
    let (code, text) = mqttspec(&["coverage", "3.12", "--json"]);
    assert_eq!(code, Some(0), "{text}");
    let coverage: Value = serde_json::from_str(&text).unwrap();
    let rows = coverage["requirements"].as_array().unwrap();
    assert_eq!(coverage["all"]["rows"], rows.len());
    let ping = rows.iter().find(|row| row["id"] == "MQTT-3.12.4-1").unwrap();
    assert!(ping["caught"].as_array().unwrap().contains(&"3.12/pingresp-lost".into()), "{ping}");
    let (_, text) = mqttspec(&["coverage", "3.12"]);
    let (_, markdown) = mqttspec(&["coverage", "3.12", "--markdown"]);
    let number = coverage["levels"]["MUST"]["rows"].to_string();
    let line = text.lines().find(|line| line.starts_with("MUST  ")).unwrap();
    assert!(line.split_whitespace().any(|word| word == number), "{line}");
    assert!(markdown.contains(&format!("| MUST | {number} |")), "{markdown}");
    let (code, text) = mqttspec(&["coverage", "3.99"]);
    assert_eq!(
        (code, text.as_str()),
        (Some(2), "mqttspec: '3.99' is no section and no requirement\n")
    );
}

#[test]
fn a_mutant_is_served_over_a_socket() {
    let arguments = ["broker", "--listen", "127.0.0.1:0", "--mutant", "3.12/pingresp-twice"];
    let mut broker = Command::new(MQTTSPEC).args(arguments).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(broker.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert_eq!(lines.next().as_deref(), Some("embedded:?mutant=3.12/pingresp-twice"));
    let line = lines.next().unwrap();
    let url = line.strip_prefix("listening at ").unwrap();
    let (code, text) = mqttspec(&["run", url, "3.12/answers-each"]);
    let interrupted = Command::new("kill").args(["-INT", &broker.id().to_string()]).status();
    let ended = broker.wait().unwrap();
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("FAIL  MQTT-3.12.4-1") && text.contains("3.12/answers-each"), "{text}");
    assert!(interrupted.unwrap().success() && ended.success(), "{ended}");
}
