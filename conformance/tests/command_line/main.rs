//! The binary as a user meets it: arguments, targets that are no brokers, exit codes, reports.

#[path = "../fakes/mod.rs"]
mod fakes;
mod no_brokers;
mod reports;
mod repro;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use reference_broker::actor::Server;
use reference_broker::core::Config;

use fakes::{mqttspec, server};

#[cfg(unix)]
#[test]
fn an_interrupt_ends_the_run_with_its_reports() {
    // Accepts every client and never says another word, so that scenarios wait.
    let (connected, connections) = std::sync::mpsc::channel();
    let address = server(move |mut stream| {
        let _ = stream.read(&mut [0; 256]);
        let _ = stream.write_all(&[0x20, 0x03, 0x00, 0x00, 0x00]);
        let _ = connected.send(stream);
    });
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("report.json");
    let url = format!("mqtt://{address}");
    let report = format!("json={}", json.display());
    let run = Command::new(env!("CARGO_BIN_EXE_mqttspec"))
        .args(["run", &url, "3.1", "--jobs", "1", "--timeout-scale", "100", "--report", &report])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // The first connection is the look at the target, the second the first scenario's.
    let _first = connections.recv().unwrap();
    let _second = connections.recv().unwrap();
    Command::new("kill").args(["-INT", &run.id().to_string()]).status().unwrap();
    let Output { status, stdout, .. } = run.wait_with_output().unwrap();
    let stdout = String::from_utf8(stdout).unwrap();
    assert_eq!(status.code(), Some(3), "{stdout}");
    assert!(stdout.contains("interrupted before all that was selected had run"), "{stdout}");
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    assert_eq!(report["interrupted"], true);
}

/// A mutant that is made in the stream to the broker.
const BREAKS_READING: &str = "4.2/last-byte-alone-lost";
const BREAKS_READING_OVER_TCP: &str = "embedded+tcp:?mutant=4.2/last-byte-alone-lost";

#[test]
fn arguments_that_cannot_be_used() {
    for (arguments, code, message) in [
        (&["run", "http://localhost"][..], 2, "did you mean `ws://`"),
        (&["run", "embeded:"], 2, "did you mean 'embedded:'"),
        (&["run", "embedded:", "9.9"], 4, "'9.9' matches no scenario"),
        (&["run", "--exclude", "9.9"], 4, "'9.9' matches no scenario"),
        (&["run", "--write-known-deviations", "/nowhere/x"], 2, "/nowhere/x: No such file"),
        (&["run", "3.1/second-connect-close"], 4, "did you mean '3.1/second-connect-closes'"),
        (&["run", "--report", "xml=x"], 2, "no report 'xml'"),
        (&["run", "--report", "json=/nowhere/x"], 2, "/nowhere/x: No such file"),
        (&["run", "--known-deviations", "/nowhere/x"], 2, "/nowhere/x: No such file"),
        (&["run", "--report", "json=/tmp"], 2, "/tmp: "),
        (
            &["run", "--report", "json=x", "--report", "junit=src/../x"],
            2,
            "one file for two purposes",
        ),
        (&["run", "--report", "json=-", "--report", "junit=-"], 2, "one file for two purposes"),
        (&["run", "--known-deviations", "/dev/zero"], 2, "more than 1048576 bytes"),
        (&["run", "--jobs", "0"], 2, "not a number from 1 on"),
        (&["run", "--repeat", "0"], 2, "not a number from 1 on"),
        (&["run", "--timeout-scale", "-1"], 2, "unexpected argument"),
        (&["run", "--timeout-scale", "nan"], 2, "not a number from 0.01"),
        (&["explain", "MQTT-9.9.9-9"], 4, "nothing is called 'MQTT-9.9.9-9'"),
        (&["list", "nothing-like-that"], 4, "matches no scenario"),
        (&["chameleon", "--switch", "closes-lat"], 2, "did you mean 'closes-late'"),
        (&["chameleon", "nothing-like-that"], 4, "matches no scenario"),
        (&["list", "--switches", "3.1"], 2, "cannot be used with"),
        (&["run", BREAKS_READING_OVER_TCP, "3.12"], 2, "so over a socket it would conform"),
        (
            &["broker", "--mutant", BREAKS_READING, "--listen", "x"],
            2,
            "it would conform: use `mqttspec run",
        ),
        (
            &["broker", "--switch", "resets", "--listen", "x"],
            2,
            "use `mqttspec run 'embedded:?resets'`",
        ),
        (
            &["broker", "--switch", "closes-late", "--listen", "mqqt://x"],
            2,
            "did you mean `mqtt://`",
        ),
        (&["choices", "embedded:?hands-on-at-releas"], 2, "did you mean 'hands-on-at-release'"),
        (&["choices", "--format", "html"], 2, "[possible values: text, markdown, json]"),
        (&["choices", "mqtt://127.0.0.1:1"], 3, "cannot be reached"),
        (&["fly"], 2, "unrecognized subcommand"),
    ] {
        let (exit, _, stderr) = mqttspec(arguments);
        assert_eq!(exit, Some(code), "{arguments:?}: {stderr}");
        assert!(stderr.contains(message), "{arguments:?}: {stderr}");
    }
}

#[test]
fn a_portrait_is_printed_in_each_form() {
    let of = |arguments: &[&str]| {
        let (code, text, stderr) = mqttspec(&[&["choices"], arguments].concat());
        assert_eq!(code, Some(0), "{stderr}");
        text
    };
    let broker = "embedded:?hands-on-at-release";
    let text = of(&[broker]);
    assert!(text.contains("* when a QoS 2 message is handed on\n      hands a QoS 2"), "{text}");
    assert!(text.contains(": takes 1, does as"), "{text}");
    let markdown = of(&[broker, "--format", "markdown"]);
    assert!(markdown.contains("\n## 4.3.3 QoS 0, 1 and 2\n"), "{markdown}");
    assert!(markdown.contains("at PUBREL, not at PUBLISH | `hands-on-at-release` |"), "{markdown}");
    let json: serde_json::Value = serde_json::from_str(&of(&[broker, "--format", "json"])).unwrap();
    assert_eq!(json["totals"]["takes"], 1);
    let choices = json["choices"].as_array().unwrap();
    let takes: Vec<_> = choices.iter().filter(|choice| choice["answer"] == "takes").collect();
    assert_eq!(takes[0]["switch"], "hands-on-at-release");
    let text = of(&["embedded:", broker]);
    assert!(text.ends_with("they part ways in 1\n") && text.starts_with("4.3.3  "), "{text}");
    let json: serde_json::Value =
        serde_json::from_str(&of(&["embedded:", broker, "--format", "json"])).unwrap();
    assert_eq!(json["partings"][0]["first"]["answer"], "not");
    let alike = of(&[broker, broker, "--format", "markdown"]);
    assert!(!alike.contains("\n## "), "{alike}");
}

#[test]
fn deviations_are_held_to_the_truth() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("deviations.toml");
    let run = |text: &str| {
        std::fs::write(&file, text).unwrap();
        let path = file.display().to_string();
        mqttspec(&["run", "3.1/second-connect-closes", "--known-deviations", &path])
    };
    let listed = "[[deviation]]\nid = \"3.1/second-connect-closes\"\nseen = \"*\"\nreason = \"it says so\"\n";
    let (code, stdout, _) = run(listed);
    assert_eq!(code, Some(1), "{stdout}");
    assert!(stdout.contains("listed as a known deviation, but passes"), "{stdout}");
    let (code, _, stderr) = run(&listed.replace("closes", "close"));
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.contains("3.1/second-connect-closes"), "names the nearest id: {stderr}");
}

/// A broker that does not close after a second CONNECT.
const KEEPS_OPEN: &str = "embedded:?mutant=3.1/second-connect-overheard";

#[test]
fn a_list_that_was_written_makes_the_next_run_as_expected() {
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("list.toml").display().to_string();
    let run = |arguments: &[&str]| {
        mqttspec(&[&["run", KEEPS_OPEN, "3.1", "--exclude", "*malformed*"], arguments].concat())
    };
    let (code, stdout, _) = run(&["--write-known-deviations", &list]);
    assert_eq!(code, Some(1), "{stdout}");
    let text = std::fs::read_to_string(&list).unwrap();
    assert!(text.contains("\nseen = ") && text.contains("\nreason = \"TODO: "), "{text}");
    let (code, stdout, _) = run(&["--known-deviations", &list]);
    assert_eq!(code, Some(0), "{stdout}");
    assert!(stdout.contains("without a reason"), "{stdout}");
    // By something else than what is listed: unexpected.
    std::fs::write(&list, text.replace("seen = \"", "seen = \"else ")).unwrap();
    let (code, stdout, _) = run(&["--known-deviations", &list]);
    assert_eq!(code, Some(1), "{stdout}");
    assert!(stdout.contains("is seen, but"), "{stdout}");
}

#[test]
fn lists_and_explanations() {
    let (code, stdout, _) = mqttspec(&["list", "3.1", "--json"]);
    let list: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(code, Some(0));
    assert!(list["scenarios"].as_array().is_some_and(|rows| !rows.is_empty()));
    for (id, says) in [
        ("3.1/second-connect-closes", "A second CONNECT"),
        ("MQTT-3.1.0-2", "3.1/second-connect-closes"),
        ("receive_maximum", "property 0x21"),
        ("0x8e", "session taken over"),
        ("session-present", "MQTT-3.2.2-3  MUST (3.2.2"),
        ("MQTT-3.1.2-24", "oracle    maximum-packet-size"),
        ("3.12", "section 3.12  PINGREQ: still there?"),
        ("3.12.4", "MQTT-3.12.4-1  MUST"),
        ("3.12/pingresp-lost", "mqttspec broker --mutant 3.12/pingresp-lost"),
        ("few-topic-levels", "chameleon --switch few-topic-levels"),
        ("MQTT-3.14.4-2/close/still-open", "cause = \"MQTT-3.14.4-2\""),
    ] {
        let (code, stdout, stderr) = mqttspec(&["explain", id]);
        assert_eq!(code, Some(0), "{stderr}");
        assert!(stdout.contains(says), "{id}: {stdout}");
    }
}

#[test]
fn shells_and_man_are_told_of_every_command() {
    let (code, script, _) = mqttspec(&["completions", "bash"]);
    assert!(
        code == Some(0) && script.contains("chameleon") && script.contains("--known-deviations")
    );
    let (code, page, _) = mqttspec(&["man"]);
    assert!(code == Some(0) && page.contains(".TH mqttspec 1"), "{page}");
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man1");
    let (code, _, stderr) = mqttspec(&["man", "--folder", &pages.display().to_string()]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    let run = std::fs::read_to_string(pages.join("mqttspec-run.1")).unwrap();
    assert!(run.contains("timeout"), "{run}");
}

/// A broker that tells every run from the one before by its first client, and in the runs in which
/// `ignores` says so takes no notice of a second CONNECT.
fn unsteady_broker(ignores: fn(usize) -> bool) -> SocketAddr {
    let (tell, told) = std::sync::mpsc::channel();
    thread::spawn(move || {
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            let broker = Server::start(Config::default());
            tell.send(broker.listen(("127.0.0.1", 0)).await.unwrap()).unwrap();
            std::future::pending::<()>().await;
        });
    });
    let broker = told.recv().unwrap();
    let runs = Arc::new(AtomicUsize::new(0));
    server(move |mut client| {
        let runs = Arc::clone(&runs);
        let mut upstream = TcpStream::connect(broker).unwrap();
        let (mut answers, mut back) = (upstream.try_clone().unwrap(), client.try_clone().unwrap());
        thread::spawn(move || {
            let _ = std::io::copy(&mut answers, &mut back);
            let _ = back.shutdown(Shutdown::Both);
        });
        thread::spawn(move || {
            let (mut buffer, mut packets) = ([0; 4096], 0);
            while let Ok(read @ 1..) = client.read(&mut buffer) {
                let packet = &buffer[..read];
                let is_connect = packet[0] == 0x10;
                if is_connect && packet.ends_with(b"look") {
                    runs.fetch_add(1, Ordering::Relaxed);
                }
                let ignored = is_connect && packets > 0 && ignores(runs.load(Ordering::Relaxed));
                if !ignored && upstream.write_all(packet).is_err() {
                    break;
                }
                packets += 1;
            }
            let _ = upstream.shutdown(Shutdown::Both);
        });
    })
}

/// Repeats one scenario and gives the exit code, the terminal report and the JSON report.
fn repeated(
    address: SocketAddr,
    times: &str,
    deviations: Option<&str>,
) -> (Option<i32>, String, serde_json::Value) {
    let folder = tempfile::tempdir().unwrap();
    let (json, list) = (folder.path().join("report.json"), folder.path().join("list.toml"));
    let (url, report) = (format!("mqtt://{address}"), format!("json={}", json.display()));
    let mut arguments = vec!["run", &url, "3.1/second-connect-closes", "--repeat", times];
    arguments.extend(["--timeout-scale", "0.4", "--report", &report]);
    let path = list.display().to_string();
    if let Some(deviations) = deviations {
        std::fs::write(&list, deviations).unwrap();
        arguments.extend(["--known-deviations", &path]);
    }
    let (code, stdout, stderr) = mqttspec(&arguments);
    assert_eq!(stderr, "", "{stdout}");
    (code, stdout, serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap())
}

#[test]
fn a_verdict_that_changes_is_named() {
    let (code, stdout, report) = repeated(unsteady_broker(|run| run == 2), "3", None);
    assert_eq!(code, Some(1), "{stdout}");
    for line in
        ["run 1 of 3: 1 pass  (", "run 2 of 3: 1 fail, 1 unexpected  (", "run 3 of 3: 1 pass  ("]
    {
        assert!(stdout.lines().any(|is| is.starts_with(line)), "{line}: {stdout}");
    }
    let changed = "3 runs: 1 scenario changed its verdict\n  \
                   3.1/second-connect-closes  2 pass, 1 fail\nexit 1";
    assert!(stdout.contains(changed), "{stdout}");
    assert!(stdout.contains("In run 2, though not in the last:\nFAIL"), "{stdout}");
    assert_eq!(report["scenarios"][0]["verdict"], "pass", "of the last run");
    let changed = serde_json::json!({
        "runs": 3,
        "changed": [{
            "id": "3.1/second-connect-closes",
            "verdicts": { "pass": 2, "fail": 1 },
            "unsteady": false,
        }],
    });
    assert_eq!(report["repeat"], changed);
}

#[test]
fn an_unsteady_deviation_may_change() {
    let list =
        "[[deviation]]\nid = \"3.1/second-connect-closes\"\nseen = \"*\"\nreason = \"at times\"\n";
    let unsteady = format!("{list}unsteady = true\n");
    let (code, stdout, report) = repeated(unsteady_broker(|run| run == 2), "2", Some(&unsteady));
    assert_eq!(code, Some(0), "{stdout}");
    assert!(stdout.contains("(a known deviation that is unsteady)\nexit 0"), "{stdout}");
    assert_eq!(report["repeat"]["changed"][0]["unsteady"], true);
    let (code, stdout, _) = repeated(unsteady_broker(|run| run == 2), "2", Some(list));
    assert_eq!(code, Some(1), "{stdout}");
}

#[test]
fn runs_that_are_alike_are_told_so() {
    let (code, stdout, report) = repeated(unsteady_broker(|_| false), "2", None);
    assert_eq!(code, Some(0), "{stdout}");
    assert!(stdout.contains("2 runs: no verdict changed\nexit 0"), "{stdout}");
    assert_eq!(report["repeat"], serde_json::json!({ "runs": 2, "changed": [] }));
    let (code, stdout, _) = repeated(unsteady_broker(|_| true), "2", None);
    assert_eq!(code, Some(1), "{stdout}");
    assert!(stdout.contains("2 runs: no verdict changed\nexit 1"), "{stdout}");
}

#[cfg(not(feature = "containers"))]
#[test]
fn a_container_needs_a_build_with_containers() {
    let (code, _, stderr) = mqttspec(&["run", "container:", "3.12"]);
    assert_eq!(code, Some(3), "{stderr}");
    assert!(stderr.contains("`cargo build --release --features containers`"), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
}

#[test]
fn oracles_are_listed() {
    let (code, stdout, _) = mqttspec(&["list", "--oracles"]);
    assert_eq!(code, Some(0));
    let listed = |name: &str| stdout.lines().any(|line| line.starts_with(&format!("{name} ")));
    assert!(listed("session-present") && listed("after-disconnect"), "{stdout}");
    let (_, stdout, _) = mqttspec(&["list", "--oracles", "--json"]);
    let list: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    let rows = list["oracles"].as_array().unwrap();
    assert!(rows.iter().all(|row| !row["requirements"].as_array().unwrap().is_empty()), "{list}");
    let names: Vec<_> = rows.iter().map(|row| row["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"session-present"), "{names:?}");
}

#[test]
fn the_chameleon_lists_its_switches_and_tries_them() {
    let (code, listed, _) = mqttspec(&["list", "--switches"]);
    assert_eq!(code, Some(0));
    let switch = "closes-without-disconnect";
    assert!(listed.lines().any(|line| line.starts_with(switch)), "{listed}");
    let arguments = ["chameleon", "3.12", "--switch", switch, "--mixtures", "2", "--seed", "5"];
    let (code, tried, stderr) = mqttspec(&arguments);
    assert_eq!(code, Some(0), "{tried}{stderr}");
    assert_eq!(tried.lines().filter(|line| line.starts_with("right ")).count(), 3, "{tried}");
    assert!(tried.contains(switch) && tried.contains("no wrong verdict; seed 5"), "{tried}");
}
