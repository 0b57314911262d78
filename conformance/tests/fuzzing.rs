//! `mqttspec fuzz` against brokers that run: flawed ones are found out, a sound one is not.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};

use conformance::flaw::{FLAWS, Flaw};
use serde_json::Value;

const MQTTSPEC: &str = env!("CARGO_BIN_EXE_mqttspec");

/// Runs `mqttspec` and gives its exit code and what it wrote to both streams.
fn mqttspec(arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } =
        Command::new(MQTTSPEC).args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

/// A flawed broker as a process of its own, and where it listens.
fn flawed(flaw: &str) -> (Child, String) {
    let mut command = Command::new(MQTTSPEC);
    command.args(["broker", "--listen", "mqtt://127.0.0.1:0", "--flaw", flaw]);
    let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines().map(Result::unwrap);
    let address =
        lines.find_map(|line| Some(line.split_once("listening at mqtt://")?.1.to_owned()));
    (process, address.unwrap())
}

/// What is found of a broker that is started with this flaw.
fn fuzzed(flaw: Option<&str>, arguments: &[&str]) -> (Option<i32>, Value) {
    let flaw = flaw.map(|flaw| format!(" --flaw {flaw}")).unwrap_or_default();
    let start = format!("{MQTTSPEC} broker --listen mqtt://127.0.0.1:{{port}}{flaw}");
    let all = [&["fuzz", "--start", &start, "--format", "json", "--seed", "1"], arguments].concat();
    let (code, stdout, stderr) = mqttspec(&all);
    (code, serde_json::from_str(&stdout).unwrap_or_else(|_| panic!("{stdout}{stderr}")))
}

#[test]
fn every_flaw_is_found_and_named() {
    // Most of the time is spent waiting for what does not come.
    for some in FLAWS.chunks(4) {
        std::thread::scope(|scope| {
            some.iter().for_each(|flaw| drop(scope.spawn(|| is_found(flaw))));
        });
    }
}

fn is_found(flaw: &Flaw) {
    let (kind, _) = flaw.name.split_once('/').unwrap();
    // What a flaw is called, and what it looks like from outside.
    let words: &[&str] = match kind {
        "crash" => &["crash", "cut"],
        "hang" => &["hang", "unanswered"],
        "leak" => &["memory"],
        "starve" => &["late", "hang"],
        "lose" => &["lost"],
        _ => &["corrupted"],
    };
    let (code, told) = fuzzed(Some(flaw.name), &["--findings", "1", "--time", "60s"]);
    let finding = &told["findings"][0];
    let word = finding["kind"].as_str().unwrap_or_default();
    assert!(words.contains(&word), "{}: {told:#}", flaw.name);
    assert_eq!(code, Some(1));
    assert_eq!(finding["reproduced"], true, "{}: {told:#}", flaw.name);
    println!("{}: {} after {} s", flaw.name, finding["name"], finding["after_seconds"]);
}

#[test]
fn a_sound_broker_has_no_finding() {
    let (code, told) = fuzzed(None, &["--cases", "400"]);
    assert_eq!((code, told["findings"].as_array().map(Vec::len)), (Some(0), Some(0)), "{told:#}");
    assert_eq!(told["cases"], 400);
    assert!(told["connections_accepted"].as_u64() > Some(400), "{told:#}");
    assert!(told["innocent_messages"].as_u64() > Some(10), "{told:#}");
}

#[test]
fn a_finding_is_a_script_to_replay_and_a_program() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let arguments = ["--findings", "1", "--time", "60s", "--save", path];
    let (code, told) = fuzzed(Some("crash/topic-alias"), &arguments);
    assert_eq!(code, Some(1), "{told:#}");
    let saved = |extension: &str| {
        let entries = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
        entries.into_iter().find(|it| it.extension().is_some_and(|is| is == extension)).unwrap()
    };
    let (script, program) = (saved("script"), saved("py"));
    for by_program in [false, true] {
        let (mut broker, address) = flawed("crash/topic-alias");
        if by_program {
            let (host, port) = address.split_once(':').unwrap();
            let mut python = Command::new("python3");
            match python.arg(&program).args([host, port]).output() {
                Ok(output) => assert_eq!(output.status.code(), Some(1), "{output:?}"),
                // Only where there is no Python: CI has it.
                Err(error) if std::env::var_os("CI").is_none() => {
                    eprintln!("python3 cannot be started ({error}): the program was not tried");
                    broker.kill().unwrap();
                    continue;
                }
                Err(error) => panic!("python3: {error}"),
            }
        } else {
            mqttspec(&["replay", script.to_str().unwrap(), &format!("mqtt://{address}")]);
        }
        // It ends by itself: who waits for ever sees that it does not.
        let status = broker.wait().unwrap();
        assert!(!status.success(), "{status} (by program: {by_program})");
    }
}

#[test]
fn nobody_there_is_trouble() {
    let (code, _, stderr) = mqttspec(&["fuzz", "mqtt://127.0.0.1:1", "--time", "5s"]);
    assert_eq!(code, Some(3), "{stderr}");
    let (code, _, stderr) = mqttspec(&["fuzz"]);
    assert_eq!(code, Some(2), "{stderr}");
    let (code, _, stderr) = mqttspec(&["fuzz", "embedded:"]);
    assert!(code == Some(2) && stderr.contains("use embedded+tcp:"), "{stderr}");
}
