//! Brokers that are started for a run: by a target file or a command, watched, restarted, and ended.
#![cfg(unix)]

mod fakes;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use fakes::{mqttspec, server};

/// The reference broker, as a command to start.
fn broker() -> String {
    format!("{} broker --listen mqtt://127.0.0.1:{{port}}", env!("CARGO_BIN_EXE_mqttspec"))
}

/// A target file in a folder of its own.
struct TargetFile {
    folder: tempfile::TempDir,
}

impl TargetFile {
    /// What `[start]` and what follows it says.
    fn starting(start: &str) -> TargetFile {
        let folder = tempfile::tempdir().unwrap();
        let text = format!(
            "about = \"a test\"\naddress.mqtt = \"mqtt://127.0.0.1:{{port}}\"\n[start]\n{start}\n"
        );
        std::fs::write(folder.path().join("target.toml"), text).unwrap();
        TargetFile { folder }
    }

    fn path(&self) -> String {
        self.folder.path().join("target.toml").display().to_string()
    }
}

/// A command that notes its number, and is the reference broker then.
fn noting(note: &Path) -> String {
    format!("command = \"sh -c 'echo $$ >>{}; exec {}'\"", note.display(), broker())
}

/// The numbers that were noted.
fn noted(note: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(note).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn runs(number: &str) -> bool {
    // One that has ended and that nobody has waited for yet runs no more.
    let stat = std::fs::read_to_string(format!("/proc/{number}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}

#[test]
fn a_command_is_started_waited_for_and_ended() {
    let (code, told, _) = mqttspec(&["run", "--start", &broker(), "3.12/*"]);
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("7 scenarios: 7 pass"), "{told}");
    assert!(told.contains("MiB of memory at most"), "{told}");
}

#[test]
fn nothing_is_left_whichever_way_a_run_ends() {
    for signal in ["", "INT", "TERM", "KILL"] {
        let folder = tempfile::tempdir().unwrap();
        let note = folder.path().join("number");
        let file = TargetFile::starting(&noting(&note));
        let mut command = Command::new(env!("CARGO_BIN_EXE_mqttspec"));
        let selection = if signal.is_empty() { "3.12/*" } else { "3.1" };
        let mut run = command
            .args(["run", "--target", &file.path(), selection])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        if !signal.is_empty() {
            while noted(&note).is_empty() {
                assert!(run.try_wait().unwrap().is_none(), "it has ended too early");
            }
            let number = run.id().to_string();
            assert!(Command::new("kill").args(["-s", signal, &number]).status().unwrap().success());
        }
        run.wait().unwrap();
        let begun = Instant::now();
        let number = noted(&note).remove(0);
        // Who is killed cannot wait for its end, and a kill takes a moment.
        while runs(&number) {
            let patience = Duration::from_secs(if signal == "KILL" { 20 } else { 5 });
            assert!(begun.elapsed() <= patience, "after SIG{signal} the broker is left");
        }
    }
}

#[test]
fn a_broker_that_dies_is_told_with_its_last_words_and_started_again() {
    let folder = tempfile::tempdir().unwrap();
    let note = folder.path().join("number");
    let file = TargetFile::starting(&noting(&note));
    let mut command = Command::new(env!("CARGO_BIN_EXE_mqttspec"));
    let mut run = command
        .args(["run", "--target", &file.path(), "3.1/will-waits-for-delay", "3.12/*"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A word that a run is alive comes after ten seconds; the broker dies before that.
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(2) || noted(&note).is_empty() {
        std::thread::yield_now();
        assert!(run.try_wait().unwrap().is_none(), "it has ended too early");
    }
    let number = noted(&note).remove(0);
    assert!(Command::new("kill").args(["-s", "KILL", &number]).status().unwrap().success());
    let told: Vec<_> =
        BufReader::new(run.stdout.take().unwrap()).lines().map(Result::unwrap).collect();
    let told = told.join("\n");
    assert_eq!(run.wait().unwrap().code(), Some(0), "{told}");
    assert!(told.contains("ended by itself (signal: 9 (SIGKILL)"), "{told}");
    assert!(told.contains("the last it wrote was: listening at mqtt://"), "{told}");
    assert!(told.contains("8 scenarios: 8 pass"), "{told}");
    let noted = noted(&note);
    assert!(noted.len() == 2 && !runs(&noted[1]), "{noted:?}");
}

#[test]
fn what_cannot_be_started_is_told_in_a_sentence() {
    let taken = server(|_| ()).to_string();
    let never = TargetFile::starting("command = \"sleep 60\"\nready_within = \"1s\"");
    let preparing = TargetFile::starting(
        "command = \"sleep 60\"\nprepare = [\"sh -c 'echo no room >&2; exit 7'\"]",
    );
    let unknown = TargetFile::starting("comand = \"sleep 60\"");
    let cases: [(&[&str], i32, &[&str]); 9] = [
        (&["--start", "no-such-broker"], 3, &["no program `no-such-broker`", "install it"]),
        (
            &["--start", "sh -c 'echo out of order >&2; exit 4'"],
            3,
            &["ended before it answered", "exit status: 4", "out of order"],
        ),
        (&["--target", &never.path()], 3, &["`sleep 60` was not ready within 1s", "refused"]),
        (
            &["--target", &preparing.path()],
            3,
            &["ended with exit status: 7", "the last it wrote was: no room"],
        ),
        (&[&taken, "--start", "sleep 60"], 3, &["something listens at", "{port} stands for"]),
        (&["--target", &unknown.path()], 2, &["line 4", "did you mean 'command'?"]),
        (&["--target", "mosquito"], 2, &["did you mean 'mosquitto'?"]),
        (
            &["--target", "mosquitto", "--variant", "maximum-qos"],
            2,
            &["did you mean 'maximum-qos-"],
        ),
        (&["--target", "./none.toml"], 2, &["./none.toml: No such file"]),
    ];
    for (arguments, exit, words) in cases {
        let (code, stdout, stderr) = mqttspec(&[&["run"], arguments, &["3.12"]].concat());
        assert_eq!(code, Some(exit), "{arguments:?}: {stdout}{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{arguments:?}: {stderr}");
        for word in words {
            assert!(stderr.contains(word), "{arguments:?} lacks '{word}': {stderr}");
        }
    }
}

#[test]
fn passwords_of_a_target_file_are_not_shown() {
    let file = TargetFile::starting(&format!("command = \"{}\"", broker()));
    let path = file.path();
    let mut text = std::fs::read_to_string(&path).unwrap();
    text.push_str("[credentials]\nusername = \"ann\"\npassword_env = \"SECRET_OF_TEST\"\n");
    text.push_str("[scram]\nusername = \"ann\"\npassword_env = \"SECRET_OF_TEST\"\n");
    std::fs::write(&path, text).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_mqttspec"))
        .args(["run", "--target", &path, "3.1/credentials*", "--report", "json=-", "--verbose"])
        .env("SECRET_OF_TEST", "swordfish-7Q")
        .output()
        .unwrap();
    let told = [output.stdout, output.stderr].concat();
    let told = String::from_utf8_lossy(&told);
    assert!(!told.contains("swordfish-7Q"), "{told}");
}
