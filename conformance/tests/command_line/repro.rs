//! Failures as programs and as issues.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Output};

use super::fakes::{mqttspec, server};

const MUTANT: &str = "embedded:?mutant=3.12/pingresp-twice";

/// The exit code of a program, and what it says; none where there is no Python, which only CI objects to.
fn python(program: &Path, arguments: &[&str]) -> Option<(Option<i32>, String)> {
    let mut python = Command::new("python3");
    let ran = python.arg(program).args(arguments).env_remove("MQTT_USER").output();
    match ran {
        Ok(Output { status, stdout, stderr }) => {
            let said = String::from_utf8(stdout).unwrap() + &String::from_utf8(stderr).unwrap();
            Some((status.code(), said))
        }
        Err(error) if std::env::var_os("CI").is_none() => {
            eprintln!("python3 cannot be started ({error}): the program was not tried");
            None
        }
        Err(error) => panic!("python3: {error}"),
    }
}

#[test]
fn each_cause_of_a_failure_has_a_program_and_an_issue() {
    let folder = tempfile::tempdir().unwrap();
    let (programs, issues) = (folder.path().join("programs"), folder.path().join("issues"));
    let programs_argument = format!("repro={}", programs.display());
    let issues_argument = format!("issue={}", issues.display());
    let reports = ["--report", &programs_argument, "--report", &issues_argument];
    let (code, stdout, stderr) = mqttspec(&[&["run", MUTANT, "3.12"], &reports[..]].concat());
    assert_eq!((code, stderr.as_str()), (Some(1), ""), "{stdout}");
    let name = "MQTT-3.12.4-1--oracle--one-pingresp-for-each-pingreq";
    let read = |folder: &Path, extension: &str| {
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
        assert!(files.into_iter().any(|it| *it == *format!("{name}.{extension}")), "{stdout}");
        std::fs::read_to_string(folder.join(format!("{name}.{extension}"))).unwrap()
    };
    let (program, issue) = (read(&programs, "py"), read(&issues, "md"));
    assert!(program.starts_with("#!/usr/bin/env python3\n\"\"\"3.12/"), "{program}");
    assert!(issue.contains("html#_Toc3901199)") && issue.contains("```python"), "{issue}");
    assert!(issue.contains("\n>    0.000  alice <- PINGRESP\n"), "{issue}");
    assert!(issue.contains(program.trim_end()), "the program is part of the issue");
    assert_eq!(read(&issues, "py"), program, "and stands beside it");
}

#[test]
fn what_cannot_be_reproduced_is_said() {
    for (arguments, code, says) in [
        (&["repro", "3.12/answers-each"][..], 4, "nothing to reproduce on embedded:: pass"),
        (&["repro", "nobody", MUTANT], 4, "matches no scenario"),
        (&["run", "3.12", "--report", "repro=-"], 2, "`mqttspec repro` prints a single one"),
        (
            &["repro", "6/text-frame", "embedded:?mutant=6/text-frames-taken"],
            3,
            "there is no program that shows 6/text-frame: it is about WebSocket frames",
        ),
    ] {
        let (exit, stdout, stderr) = mqttspec(arguments);
        assert_eq!(exit, Some(code), "{stdout}{stderr}");
        assert!(stderr.contains(says), "{stderr}");
    }
    let websocket = ["repro", "6/text-frame", "embedded:?mutant=6/text-frames-taken", "--issue"];
    let (code, issue, _) = mqttspec(&websocket);
    assert_eq!(code, Some(0), "{issue}");
    assert!(issue.contains("There is no program without mqttspec for it"), "{issue}");
}

/// A program in a folder.
fn program(arguments: &[&str]) -> (tempfile::TempDir, std::path::PathBuf) {
    let (code, text, stderr) = mqttspec(&[&["repro"], arguments].concat());
    assert_eq!(code, Some(0), "{stderr}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("program.py");
    std::fs::write(&path, text).unwrap();
    (folder, path)
}

#[test]
fn a_program_says_when_nothing_can_be_told() {
    let (_folder, path) = program(&["3.12/answers-each", MUTANT]);
    // Nobody is there, nobody speaks, somebody closes, somebody takes clients and serves none.
    let silent = server(std::mem::forget);
    let closes = server(drop);
    let connack = server(|mut stream| {
        let _ = stream.read(&mut [0; 256]);
        let _ = stream.write_all(&[0x20, 0x03, 0x00, 0x00, 0x00]);
        std::mem::forget(stream);
    });
    for (port, says) in [
        (1, "no connection"),
        (silent.port(), "no answer to CONNECT"),
        (closes.port(), "no answer to CONNECT"),
        (connack.port(), "no answer to SUBSCRIBE"),
    ] {
        let Some((code, said)) = python(&path, &["127.0.0.1", &port.to_string()]) else { return };
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains(says) && said.ends_with("cannot be told\n"), "{said}");
    }
}

#[test]
fn users_are_told_to_a_program_and_are_not_in_it() {
    let mutant = "embedded:?mutant=3.1/password-not-checked";
    let (_folder, path) = program(&["3.1/wrong-password-refused", mutant]);
    let text = std::fs::read_to_string(&path).unwrap();
    let data = text.split("STEPS = [").nth(1).unwrap();
    assert!(data.contains("$user") && !data.contains("61 70 70 6c 65"), "{text}");
    let Some((code, said)) = python(&path, &[]) else { return };
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("set the environment variable MQTT_USER"), "{said}");
}
