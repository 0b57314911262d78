//! Texts that people write and tools read back: traces, scripts, the register of requirements.

use std::fs;
use std::io;
use std::path::Path;

use conformance::{oracle, requirement, script, trace};

use crate::seed::{ROOT, files};

/// What runs such as `"a"*65535` may stand for here, in bytes.
const LIMIT: usize = 1 << 18;

/// So much longer than what it was read from, and than what its runs stand for, is nothing written: each
/// byte may be one that is written as an escape, and each line has a few columns.
const LONGER: usize = 64;

/// What is read as a trace is written to a text that is read as the same trace, and in proportion to what
/// was read; the oracles have a judgement of it. What is not read is refused with its place.
///
/// # Panics
///
/// When it is not.
pub fn a_trace_is_written_as_it_is_read(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let events = match trace::parse_within(&text, LIMIT) {
        Ok(events) => events,
        Err(error) => {
            let line = text.lines().nth(error.line.wrapping_sub(1)).expect("a line of the text");
            let columns = line.chars().count() + 1;
            assert!((1..=columns).contains(&error.column), "{error}: there are {columns} columns");
            return check_problem(&error.problem, &text);
        }
    };
    let written = trace::to_text(&events);
    check_length(&written, &text);
    let again = trace::parse(&written);
    assert!(again.as_ref() == Ok(&events), "{written}\nis read as {again:?}, not as {events:?}");
    let _ = oracle::judge(&events);
    check_script(&script::from_trace(&events), &text);
}

/// What is read as a script is written to a text that is read as the same script, and in proportion to
/// what was read. What is not read is refused with its line.
///
/// # Panics
///
/// When it is not.
pub fn a_script_is_written_as_it_is_read(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    match script::parse_within(&text, LIMIT) {
        Ok(script) => check_script(&script, &text),
        Err(error) => {
            assert!((1..=text.lines().count()).contains(&error.line), "{error}");
            check_problem(&error.problem, &text);
        }
    }
}

fn check_script(script: &script::Script, text: &str) {
    let written = script::to_text(script);
    check_length(&written, text);
    let again = script::parse(&written);
    assert!(again.as_ref() == Ok(script), "{written}\nis read as {again:?}, not as {script:?}");
    let rested = script.rested();
    assert!(rested.waits() >= script.waits() && rested.steps.len() == script.steps.len() + 1);
    let _ = script::Conditions::of(&script.steps);
}

/// What is read as a register is nothing but its rows; what is not is refused with its line.
///
/// # Panics
///
/// When it is not.
pub fn a_register_is_its_rows(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    match requirement::rows(&text) {
        Ok(rows) => {
            let mut lines = text.lines();
            let columns = lines.next().map_or(7, |heading| heading.split('\t').count());
            assert_eq!(columns, 7, "a heading of other columns");
            assert!(lines.eq(rows.iter().map(|row| row.join("\t"))), "rows that are not its lines");
            for (at, row) in rows.iter().enumerate() {
                assert!(
                    row.iter().all(|column| !column.trim().is_empty()),
                    "an empty column: {row:?}"
                );
                assert!(
                    rows[..at].iter().all(|other| other[0] != row[0]),
                    "{} stands twice",
                    row[0]
                );
                assert!(["client", "server", "both"].contains(&row[2]), "{row:?}");
                assert!(
                    ["MUST", "MUST NOT", "SHOULD", "SHOULD NOT", "MAY"].contains(&row[3]),
                    "{row:?}"
                );
            }
        }
        Err(error) => {
            assert!((1..=text.lines().count()).contains(&error.line), "{error}");
            check_problem(&error.problem, &text);
        }
    }
}

/// A problem is told in words, and in not many more than what it is about.
fn check_problem(problem: &str, text: &str) {
    assert!(!problem.is_empty(), "nothing is told");
    assert!(problem.len() <= 2 * text.len() + 300, "{} bytes are told", problem.len());
}

fn check_length(written: &str, text: &str) {
    let most = LONGER * (text.len() + 1) + 8 * LIMIT;
    assert!(written.len() <= most, "{} bytes are written of {}", written.len(), text.len());
}

/// Traces to begin with: the short ones of those that are kept.
pub(crate) fn traces() -> io::Result<Vec<Vec<u8>>> {
    let kept = short("fixtures/traces/embedded", 1_200)?;
    let without_heading = |text: Vec<u8>| {
        let text = String::from_utf8_lossy(&text).into_owned();
        text.rsplit_once("---\n").map_or(text.clone(), |(_, trace)| trace.to_owned()).into_bytes()
    };
    let every_kind = br#"0.000 a || opened
0.000 "a b" -> CONNECT client_id="" will.topic="w" will.payload=xff00 will.user_property="k":"v"
0.001 a.2 <- BROKEN 30 0a  ! packet of 12 bytes where 10 are allowed at byte 1 [PacketTooLarge 12 10]
0.002 a -> BYTES 10 0e 61*65
0.002 a -> PUBLISH "x"*300 qos=1 id=7 dup retain payload=x00*20
0.003 a || websocket "sends \u{0}\u{e0001} text"
0.004 a || killed and started again
1.000 a || silent for 1.000 s
"#;
    let names = b"0.000 \"ab\"*40000 || opened\n0.000 a || opened\n0.001 \"1.5\" || closed\n";
    let more = [every_kind.to_vec(), names.to_vec()];
    Ok(kept.into_iter().map(without_heading).chain(more).collect())
}

/// Scripts to begin with: the short ones of those that are kept.
pub(crate) fn scripts() -> io::Result<Vec<Vec<u8>>> {
    let every_kind = br##"broker || needs users
broker || announces receive_maximum=2 server_keep_alive=5
alice || acknowledges
alice || cuts 1 8
alice || joins 3
alice || withholds
alice -> PUBACK @m1
alice -> PUBREC @"of several words" 0x80 (unspecified error) reason_string="no"
alice -> PUBCOMP @x00ff*3
alice || waited 1.500 s
alice.2 || half closed
"1.5" || opened
"#a" || closed
"a b" || withholds
"##;
    Ok(short("fixtures/choices", 1_500)?.into_iter().chain([every_kind.to_vec()]).collect())
}

/// Registers to begin with: parts of the one there is.
pub(crate) fn registers() -> io::Result<Vec<Vec<u8>>> {
    let text = fs::read_to_string(Path::new(ROOT).join("fixtures/spec/requirements.tsv"))?;
    let (heading, rows) = text.split_once('\n').unwrap_or_default();
    let rows: Vec<&str> = rows.lines().step_by(40).collect();
    let parts = rows.chunks(3).map(|rows| format!("{heading}\n{}\n", rows.join("\n")).into_bytes());
    let twice = format!("{heading}\n{}\n", [&rows[..1], &rows[..1]].concat().join("\n"));
    Ok(parts.chain([twice.into_bytes()]).collect())
}

/// The files of a folder, and of those in it, that are no longer than this.
fn short(folder: &str, longest: usize) -> io::Result<Vec<Vec<u8>>> {
    let mut folders = vec![Path::new(ROOT).join(folder)];
    let mut texts = Vec::new();
    while let Some(folder) = folders.pop() {
        for file in files(&folder)? {
            texts.push(fs::read(file)?);
        }
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            folders.extend(path.is_dir().then_some(path));
        }
    }
    texts.retain(|text| text.len() <= longest);
    texts.sort();
    Ok(texts)
}
