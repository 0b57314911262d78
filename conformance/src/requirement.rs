//! The register: every requirement of the standard, numbered or not, with whom it binds and how a
//! tester sees it. It is the file `fixtures/spec/requirements.tsv`.

use std::fmt;
use std::sync::OnceLock;

const COLUMNS: [&str; 7] = ["id", "section", "binds", "level", "observable", "how", "text"];

/// One row of the register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// `MQTT-3.1.2-4` where the standard numbers it, `U-3.1.2.11.4-1` where it does not.
    pub id: &'static str,
    /// The section it stands in.
    pub section: &'static str,
    /// Who can break it: `client`, `server` or `both`.
    pub binds: &'static str,
    /// Its key word: `MUST`, `MUST NOT`, `SHOULD`, `SHOULD NOT` or `MAY`.
    pub level: &'static str,
    /// Which side of a connection a tester must be to see it: `broker-test` (it plays the clients),
    /// `client-test`, `both`, or `no`.
    pub observable: &'static str,
    /// How a tester sees it.
    pub how: &'static str,
    /// What it says, in words of our own.
    pub text: &'static str,
}

/// What is wrong with the register, and in which line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisterError {
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong there.
    pub problem: String,
}

impl fmt::Display for RegisterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.problem)
    }
}

impl std::error::Error for RegisterError {}

/// All requirements, in the order of the standard. A register that cannot be read is empty here;
/// [`parse`] says why, and the tests hold the file to it.
pub fn all() -> &'static [Requirement] {
    static ALL: OnceLock<Vec<Requirement>> = OnceLock::new();
    ALL.get_or_init(|| parse(fixtures::REQUIREMENTS).unwrap_or_default())
}

/// The requirement with this id.
pub fn find(id: &str) -> Option<&'static Requirement> {
    all().iter().find(|requirement| requirement.id == id)
}

/// Reads a register strictly.
///
/// # Errors
///
/// The first line with another number of columns, an empty column, a word that its column does not
/// know, or an id that stands twice.
pub fn parse(text: &'static str) -> Result<Vec<Requirement>, RegisterError> {
    let requirement = |[id, section, binds, level, observable, how, text]: [&'static str; 7]| {
        Requirement { id, section, binds, level, observable, how, text }
    };
    rows(text).map(|rows| rows.into_iter().map(requirement).collect())
}

/// The rows of a register, without its heading, read as strictly.
///
/// # Errors
///
/// As [`parse`].
pub fn rows(text: &str) -> Result<Vec<[&str; 7]>, RegisterError> {
    let mut rows = Vec::new();
    let mut seen = std::collections::BTreeSet::new();
    for (index, line) in text.lines().enumerate() {
        let fail = |problem: String| RegisterError { line: index + 1, problem };
        let columns: Vec<&str> = line.split('\t').collect();
        let Ok(row) = <[&str; 7]>::try_from(columns.as_slice()) else {
            return Err(fail(format!("{} columns, not {}", columns.len(), COLUMNS.len())));
        };
        let [id, _, binds, level, observable, ..] = row;
        if index == 0 {
            if row != COLUMNS {
                return Err(fail(format!("the heading is not {}", COLUMNS.join(", "))));
            }
            continue;
        }
        if let Some(empty) = row.iter().position(|column| column.trim().is_empty()) {
            return Err(fail(format!("{id} has no '{}'", COLUMNS[empty])));
        }
        for (column, value, words) in [
            ("binds", binds, &["client", "server", "both"][..]),
            ("level", level, &["MUST", "MUST NOT", "SHOULD", "SHOULD NOT", "MAY"]),
            ("observable", observable, &["broker-test", "client-test", "both", "no"]),
        ] {
            if !words.contains(&value) {
                return Err(fail(format!("{id} has '{value}' in column '{column}'")));
            }
        }
        if !seen.insert(id) {
            return Err(fail(format!("{id} stands twice")));
        }
        rows.push(row);
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_register_is_whole() {
        let requirements = parse(fixtures::REQUIREMENTS).unwrap();
        let numbered = requirements.iter().filter(|row| row.id.starts_with("MQTT-")).count();
        assert_eq!((requirements.len(), numbered), (710, 251), "rows, and those with a number");
        assert_eq!(all().len(), requirements.len());
        assert_eq!(find("MQTT-3.1.0-2").map(|row| row.level), Some("MUST"));
    }

    #[test]
    fn mistakes_are_named_with_their_line() {
        const HEAD: &str = "id\tsection\tbinds\tlevel\tobservable\thow\ttext";
        for (rows, line, problem) in [
            ("U-1\t1\tboth\tMUST\tno\thow", 2, "6 columns, not 7"),
            ("U-1\t1\tboth\tMUST\tno\t\ttext", 2, "U-1 has no 'how'"),
            ("U-1\t1\tall\tMUST\tno\thow\ttext", 2, "U-1 has 'all' in column 'binds'"),
            ("U-1\t1\tboth\tmust\tno\thow\ttext", 2, "U-1 has 'must' in column 'level'"),
            ("U-1\t1\tboth\tMUST\tno\th\tt\nU-1\t1\tboth\tMUST\tno\th\tt", 3, "U-1 stands twice"),
        ] {
            let text = Box::leak(format!("{HEAD}\n{rows}").into_boxed_str());
            let error = parse(text).unwrap_err();
            assert_eq!((error.line, error.problem.as_str()), (line, problem));
        }
    }
}
