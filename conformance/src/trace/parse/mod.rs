//! Text to events.

mod body;
mod packet;
mod scanner;

use std::error::Error;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use reference_broker::codec::{DecodeError, PacketType};

use super::fault;
use super::{Ending, Event, What};
use crate::target::Restart;
use scanner::{Problem, Scanner};

/// What all runs of one text may stand for, in bytes: four packets of the largest size, so that a
/// few characters cannot fill the memory.
const RUN_LIMIT: usize = 1 << 30;

/// What runs may stand for, in bytes.
#[derive(Clone, Copy)]
pub(crate) struct Budget {
    limit: usize,
    left: usize,
}

impl Budget {
    /// So much in all.
    pub(crate) fn new(limit: usize) -> Budget {
        Budget { limit, left: limit }
    }
}

/// What [`parse`] allows.
impl Default for Budget {
    fn default() -> Budget {
        Budget::new(RUN_LIMIT)
    }
}

/// What is wrong with the text of a trace, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// The line, counted from 1.
    pub line: usize,
    /// The character of the line, counted from 1.
    pub column: usize,
    /// What is wrong there.
    pub problem: String,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.problem)
    }
}

impl Error for ParseError {}

/// Reads events from text as [`to_text`](super::to_text) writes it. Widths of columns and the
/// order of fields are free; blank lines and lines that begin with `#` are skipped.
///
/// # Errors
///
/// The first line that is no event, and why; also runs that stand for more than 1 GiB in all.
pub fn parse(text: &str) -> Result<Vec<Event>, ParseError> {
    parse_within(text, RUN_LIMIT)
}

/// As [`parse`], where runs may stand for `limit` bytes in all.
///
/// # Errors
///
/// As [`parse`].
pub fn parse_within(text: &str, limit: usize) -> Result<Vec<Event>, ParseError> {
    let mut budget = Budget::new(limit);
    let mut events = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim_ascii_end();
        if line.is_empty() || line.trim_ascii_start().starts_with('#') {
            continue;
        }
        let read = parse_line(line, &mut budget);
        events.push(read.map_err(|error| ParseError { line: index + 1, ..error })?);
    }
    Ok(events)
}

/// The event that one line is, which is line 1 of any error.
pub(crate) fn parse_line(line: &str, budget: &mut Budget) -> Result<Event, ParseError> {
    let mut scanner = Scanner::new(line, *budget);
    let event = event(&mut scanner).map_err(|problem| problem.in_line(1, line))?;
    *budget = scanner.budget();
    Ok(event)
}

/// The bytes that a text begins with, as a literal, and what follows them.
pub(crate) fn bytes_at_start<'a>(
    text: &'a str,
    budget: &mut Budget,
) -> Result<(Bytes, &'a str), String> {
    at_start(text, budget, Scanner::bytes)
}

/// The string that a text begins with, as a literal, and what follows it.
pub(crate) fn text_at_start<'a>(
    text: &'a str,
    budget: &mut Budget,
) -> Result<(String, &'a str), String> {
    at_start(text, budget, Scanner::text)
}

fn at_start<'a, T>(
    text: &'a str,
    budget: &mut Budget,
    read: fn(&mut Scanner<'a>) -> Result<T, Problem>,
) -> Result<(T, &'a str), String> {
    let mut scanner = Scanner::new(text, *budget);
    let value = read(&mut scanner).map_err(|problem| problem.problem)?;
    *budget = scanner.budget();
    Ok((value, scanner.rest().trim_start()))
}

fn event(scanner: &mut Scanner<'_>) -> Result<Event, Problem> {
    scanner.blanks();
    let at = time(scanner)?;
    scanner.gap()?;
    let probe = match scanner.is_at('"') {
        true => scanner.text()?,
        false => scanner.until_blank().to_owned(),
    };
    scanner.gap()?;
    let mark_at = scanner.position();
    let what = match scanner.until_blank() {
        "->" => sent(scanner)?,
        "<-" => received(scanner)?,
        "||" => connection(scanner)?,
        mark => return Err(Problem::new(mark_at, format!("'{mark}' is none of ->, <- and ||"))),
    };
    match scanner.rest() {
        "" => Ok(Event { at, probe, what }),
        rest => Err(scanner.problem(format!("'{}' is left over", excerpt(rest)))),
    }
}

fn time(scanner: &mut Scanner<'_>) -> Result<Duration, Problem> {
    let start = scanner.position();
    let word = scanner.until_blank();
    read_time(word)
        .ok_or_else(|| Problem::new(start, format!("'{}' is no time like 0.250", excerpt(word))))
}

/// Seconds with exactly three decimals: any other number of them would not be written back.
fn read_time(word: &str) -> Option<Duration> {
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (seconds, thousandths) = word.split_once('.')?;
    if thousandths.len() != 3 || !digits(thousandths) || !digits(seconds) {
        return None;
    }
    let thousandths: u32 = thousandths.parse().ok()?;
    Some(Duration::new(seconds.parse().ok()?, thousandths * 1_000_000))
}

fn sent(scanner: &mut Scanner<'_>) -> Result<What, Problem> {
    scanner.gap()?;
    let start = scanner.position();
    match scanner.word() {
        "BYTES" => Ok(What::SentBytes(scanner.hex_row()?)),
        name => packet::packet(scanner, packet_type(name, start)?).map(What::Sent),
    }
}

fn received(scanner: &mut Scanner<'_>) -> Result<What, Problem> {
    scanner.gap()?;
    let start = scanner.position();
    match scanner.word() {
        "BROKEN" => broken(scanner),
        name => packet::packet(scanner, packet_type(name, start)?).map(What::Received),
    }
}

fn packet_type(name: &str, start: usize) -> Result<PacketType, Problem> {
    PacketType::ALL
        .into_iter()
        .find(|packet| packet.name() == name)
        .ok_or_else(|| Problem::new(start, format!("'{}' is no packet", excerpt(name))))
}

fn broken(scanner: &mut Scanner<'_>) -> Result<What, Problem> {
    let bytes = scanner.hex_row()?;
    let shown = fault::shown_by(&bytes);
    if !scanner.is_at('!') {
        let error = shown.ok_or_else(|| {
            scanner.problem("these bytes show no fault: say it after '!'".to_owned())
        })?;
        return Ok(What::ReceivedBroken(bytes, error));
    }
    scanner.eat('!');
    scanner.blanks();
    let told = scanner.rest();
    let error = told_error(told, shown).map_err(|problem| scanner.problem(problem))?;
    scanner.take_rest();
    Ok(What::ReceivedBroken(bytes, error))
}

/// The error that `told` names: in brackets if it has any, or else the one the bytes show.
fn told_error(told: &str, shown: Option<DecodeError>) -> Result<DecodeError, String> {
    let bracketed = told.strip_suffix(']').and_then(|told| told.rsplit_once(" ["));
    let (sentence, error) = match bracketed {
        Some((sentence, words)) => {
            let fault = fault::from_words(words)
                .ok_or_else(|| format!("'{}' is no fault", excerpt(words)))?;
            let offset = sentence.rsplit_once(' ').and_then(|(_, offset)| offset.parse().ok());
            (sentence, Some(DecodeError { fault, offset: offset.unwrap_or_default() }))
        }
        None => (told, shown),
    };
    match error {
        Some(error) if error.to_string() == sentence => Ok(error),
        Some(error) => Err(format!("'{}' should be '{error}'", excerpt(sentence))),
        None => Err("these bytes show no fault: name it in brackets".to_owned()),
    }
}

fn connection(scanner: &mut Scanner<'_>) -> Result<What, Problem> {
    scanner.gap()?;
    let told = scanner.rest();
    if told.starts_with("websocket ") {
        scanner.until_blank();
        scanner.gap()?;
        return scanner.text().map(What::WebSocket);
    }
    let what = match told {
        "opened" => What::Opened,
        "closed by the broker (end of stream)" => What::ClosedByBroker(Ending::EndOfStream),
        "closed by the broker (reset)" => What::ClosedByBroker(Ending::Reset),
        "half closed" => What::HalfClosed,
        "closed" => What::ClosedByProbe,
        "stopped and started again" => What::Restarted(Restart::Stop),
        "killed and started again" => What::Restarted(Restart::Kill),
        _ => timed(told).ok_or_else(|| {
            scanner.problem(format!("'{}' is nothing that happens", excerpt(told)))
        })?,
    };
    scanner.take_rest();
    Ok(what)
}

fn timed(told: &str) -> Option<What> {
    let told = told.strip_suffix(" s")?;
    match told.strip_prefix("silent for ") {
        Some(time) => read_time(time).map(What::Silence),
        None => told.strip_prefix("waited ").and_then(read_time).map(What::Waited),
    }
}

/// So much of a text as an error message should repeat.
fn excerpt(text: &str) -> String {
    const LONGEST: usize = 60;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

impl Problem {
    fn in_line(self, number: usize, line: &str) -> ParseError {
        let column = line.char_indices().take_while(|(at, _)| *at < self.at).count() + 1;
        ParseError { line: number, column, problem: self.problem }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn assert_problem(line: &str, column: usize, problem: &str) {
        let error = parse(&format!("# first\n\n{line}\n")).unwrap_err();
        let expected = ParseError { line: 3, column, problem: problem.to_owned() };
        assert_eq!(error, expected, "{line}");
    }

    #[test]
    fn mistakes_around_packets_are_named() {
        for (line, column, problem) in [
            ("0.1 a || opened", 1, "'0.1' is no time like 0.250"),
            ("0.0001 a || opened", 1, "'0.0001' is no time like 0.250"),
            ("+1.000 a || opened", 1, "'+1.000' is no time like 0.250"),
            (
                "99999999999999999999.000 a || opened",
                1,
                "'99999999999999999999.000' is no time like 0.250",
            ),
            ("0.000", 6, "the line ends too early"),
            ("0.000 a", 8, "the line ends too early"),
            ("0.000 \"a", 7, "no closing quote"),
            ("0.000 \"a\"b || opened", 10, "a blank is missing before 'b || opened'"),
            ("0.000 é == opened", 9, "'==' is none of ->, <- and ||"),
            ("0.000 a ||", 11, "the line ends too early"),
            ("0.000 a || exploded", 12, "'exploded' is nothing that happens"),
            ("0.000 a || silent for 1 s", 12, "'silent for 1 s' is nothing that happens"),
            ("0.000 a -> PING", 12, "'PING' is no packet"),
            ("0.000 a -> BROKEN 00", 12, "'BROKEN' is no packet"),
            ("0.000 a <- BYTES 00", 12, "'BYTES' is no packet"),
            ("0.000 a -> BYTES 0g", 18, "'0g' is no byte in hex"),
            ("0.000 a -> BYTES 00*", 21, "'' is no number up to 1073741824"),
            ("0.000 a -> BYTES 00 !", 21, "'!' is left over"),
        ] {
            assert_problem(line, column, problem);
        }
    }

    #[test]
    fn a_fault_has_to_be_the_one_of_its_bytes() {
        for (rest, column, problem) in [
            ("d0 00", 24, "these bytes show no fault: say it after '!'"),
            (
                "20 ! packet ends inside a field at byte 1",
                24,
                "these bytes show no fault: name it in brackets",
            ),
            (
                "00 ! U+0000 in a string at byte 4",
                24,
                "'U+0000 in a string at byte 4' should be 'packet type 0 is reserved at byte 0'",
            ),
            ("00 ! a fault [Fault 1]", 24, "'Fault 1' is no fault"),
            (
                "00 ! a fault [Truncated]",
                24,
                "'a fault' should be 'packet ends inside a field at byte 0'",
            ),
        ] {
            assert_problem(&format!("0.000 a <- BROKEN {rest}"), column, problem);
        }
        assert!(parse("0.000 a <- BROKEN 00").is_ok());
    }

    #[test]
    fn runs_cannot_fill_the_memory() {
        let problem = |limit| format!("the runs of this text stand for more than {limit} bytes");
        let whole = problem(1_073_741_824);
        assert_problem("0.000 a -> PUBLISH \"ab\"*536870913", 34, &whole);
        let text = "0.000 a -> BYTES 00*10\n0.000 a -> BYTES 00*10 00*10\n";
        assert!(parse_within(text, 30).is_ok());
        let error = parse_within(text, 29).unwrap_err();
        assert_eq!(error, ParseError { line: 2, column: 29, problem: problem(29) });
        let error = parse("0.000 a -> PUBLISH \"a\"*99999999999999999999").unwrap_err();
        assert_eq!(
            error.to_string(),
            "line 1, column 24: '99999999999999999999' is no number up to 1073741824"
        );
    }
}
