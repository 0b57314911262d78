//! Known deviations: what a target is known to get wrong, and why.
//!
//! ```toml
//! [[deviation]]
//! id = "3.8/some-scenario"       # or ids = ["3.8/a", "3.8/b"]; with * for a run of characters
//! seen = "PUBLISH*"              # what is observed, with * for a run of characters
//! verdict = "fail"               # the default; or "advisory"
//! reason = "fixed in 2.1"
//! link = "https://example.org/1" # optional
//!
//! [[deviation]]
//! id = "oracle/delivery/MQTT-3.3.2-6" # a rule of an oracle
//! seen = "*"
//! reason = "never looked at"
//!
//! [[deviation]]
//! cause = "MQTT-3.14.4-2"        # a requirement, wherever it is found broken
//! seen = "still open"
//! reason = "closing is left to the client"
//!
//! [[deviation]]
//! cause = "MQTT-3.14.4-2/close/still-open" # or one way to break it, as reports name it
//! seen = "*"
//! reason = "closing is left to the client"
//!
//! [[deviation]]
//! id = "3.1/some-timer"
//! unsteady = true                # it does not always show; `seen` may be left out then
//! reason = "at times a second late"
//! ```
//!
//! A list keeps a run quiet about what is known and nothing else. A listed scenario that fails by
//! something else than what the list says is unexpected, and so is one that passes: the list cannot
//! outlive its reasons. Causes, rules and globs that nothing is seen of are told once everything was
//! run. The exception is a fault that comes and goes, which the list has to call unsteady.

mod apply;
mod entry;
#[cfg(test)]
mod tests;
mod write;

use thiserror::Error;

use crate::oracle;
use crate::report::ScenarioResult;
use crate::requirement;
use crate::runner::glob;
use crate::verdict::{Finding, Known, Verdict};

pub use write::write;

/// Why a list of known deviations cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DeviationError {
    /// It is no TOML, or has an unknown, missing or mistyped key.
    #[error("{}{message}", at(*line))]
    Syntax {
        /// The line, where known.
        line: Option<usize>,
        /// What is wrong.
        message: String,
    },
    /// An entry names nothing, or names it in several ways.
    #[error(
        "line {line}: a deviation has one of `id`, a list `ids` that is not empty, and `cause`"
    )]
    Subject {
        /// The line of the entry.
        line: usize,
    },
    /// It is not said what is observed.
    #[error(
        "line {line}: a deviation says in `seen` what is observed, unless `unsteady = true`; \
         --write-known-deviations finds that out"
    )]
    SeenMissing {
        /// The line of the entry.
        line: usize,
    },
    /// The reason is blank.
    #[error("line {line}: the reason of a deviation may not be empty")]
    EmptyReason {
        /// The line of the reason.
        line: usize,
    },
    /// There is nothing of this name.
    #[error("line {line}: there is no {kind} {id:?}{}", hint(nearest.as_deref()))]
    Unknown {
        /// The line of the id.
        line: usize,
        /// What it is to be: a scenario, a rule of an oracle or a requirement.
        kind: &'static str,
        /// The id as written.
        id: String,
        /// The known id that is most like it.
        nearest: Option<String>,
    },
    /// The same is listed twice.
    #[error("line {line}: {id:?} is listed already, on line {first}")]
    Duplicate {
        /// The line of the second time.
        line: usize,
        /// The id.
        id: String,
        /// The line of the first time.
        first: usize,
    },
}

/// What a target is known to get wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownDeviations {
    deviations: Vec<Deviation>,
    /// How many scenarios there are, selected or not.
    scenarios: usize,
}

/// One thing that is listed. An entry with several ids makes several of these.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Deviation {
    line: usize,
    /// Which entry of the list it is of.
    entry: usize,
    subject: Subject,
    /// A glob of what is seen; anything if there is none.
    seen: Option<String>,
    verdict: Verdict,
    known: Known,
}

/// What a deviation is about.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Subject {
    /// The scenario of this id, or those that a glob names.
    Scenario(String),
    /// A rule of an oracle, or those that a glob names.
    Rule(String),
    /// A requirement, wherever it is found broken.
    Cause(String),
}

impl KnownDeviations {
    /// How much is listed.
    pub fn len(&self) -> usize {
        self.deviations.len()
    }

    /// Whether nothing is listed.
    pub fn is_empty(&self) -> bool {
        self.deviations.is_empty()
    }

    fn add(&mut self, deviation: Deviation, known_ids: &[&str]) -> Result<(), DeviationError> {
        let Deviation { line, subject, seen, .. } = &deviation;
        subject.check(*line, known_ids)?;
        let same = |other: &&Deviation| (&other.subject, &other.seen) == (subject, seen);
        if let Some(first) = self.deviations.iter().find(same) {
            let (id, line) = (subject.name().to_owned(), *line);
            return Err(DeviationError::Duplicate { line, id, first: first.line });
        }
        self.deviations.push(deviation);
        Ok(())
    }
}

impl Subject {
    /// As an entry names it.
    fn of_id(id: String) -> Subject {
        match id.starts_with("oracle/") {
            true => Subject::Rule(id),
            false => Subject::Scenario(id),
        }
    }

    fn name(&self) -> &str {
        match self {
            Subject::Scenario(name) | Subject::Rule(name) | Subject::Cause(name) => name,
        }
    }

    /// Whether it names one scenario, and not whatever is like it.
    fn is_scenario(&self, id: &str) -> bool {
        matches!(self, Subject::Scenario(name) if name == id)
    }

    /// Whether it may have nothing in a run, because it is not one scenario's.
    fn is_general(&self) -> bool {
        !matches!(self, Subject::Scenario(name) if !name.contains('*'))
    }

    /// Whether a scenario is of its name, or about its requirement.
    fn may_be_in(&self, result: &ScenarioResult) -> bool {
        match self {
            Subject::Scenario(id) => is_like(id, result.id),
            Subject::Rule(id) => {
                let requirement = id.rsplit('/').next().unwrap_or_default();
                result.requirements.iter().any(|it| glob(requirement.as_bytes(), it.as_bytes()))
            }
            Subject::Cause(id) => result.requirements.contains(&requirement_of(id)),
        }
    }

    /// Checks that there is something of its name.
    fn check(&self, line: usize, known_ids: &[&str]) -> Result<(), DeviationError> {
        let unknown = |kind, id: &str, nearest: Option<String>| {
            Err(DeviationError::Unknown { line, kind, id: id.to_owned(), nearest })
        };
        match self {
            Subject::Scenario(id) if !known_ids.iter().any(|known| is_like(id, known)) => {
                unknown("scenario", id, nearest(id, known_ids.iter().copied()))
            }
            Subject::Rule(id) => {
                let rules: Vec<_> = oracle::rules().collect();
                match rules.iter().any(|rule| is_like(id, rule)) {
                    true => Ok(()),
                    false => {
                        let nearest = nearest(id, rules.iter().map(String::as_str));
                        unknown("rule of an oracle", id, nearest)
                    }
                }
            }
            Subject::Cause(id) if requirement::find(requirement_of(id)).is_none() => {
                let ids = requirement::all().iter().map(|requirement| requirement.id);
                unknown("requirement", id, nearest(id, ids))
            }
            Subject::Scenario(_) | Subject::Cause(_) => Ok(()),
        }
    }

    /// Whether it is about something that is found in a result, by its steps or by oracles.
    fn covers(&self, result: &ScenarioResult, finding: &Finding, is_own: bool) -> bool {
        match self {
            Subject::Scenario(id) => is_own && is_like(id, result.id),
            Subject::Rule(id) => finding.rule().is_some_and(|rule| is_like(id, &rule)),
            Subject::Cause(id) if id.contains('/') => {
                finding.cause().is_some_and(|cause| cause.id() == *id)
            }
            Subject::Cause(id) => finding.requirement == Some(id.as_str()),
        }
    }
}

/// The requirement of a cause, which may be given by its whole id.
fn requirement_of(cause: &str) -> &str {
    cause.split_once('/').map_or(cause, |(requirement, _)| requirement)
}

impl Deviation {
    /// Whether this is what is found in a result.
    fn covers(&self, result: &ScenarioResult, finding: &Finding, is_own: bool) -> bool {
        let verdict = match result.fails_by(finding) {
            true => Verdict::Fail,
            false => Verdict::Advisory,
        };
        verdict == self.verdict
            && self.subject.covers(result, finding, is_own)
            && self.is_seen_in(finding)
    }

    fn is_seen_in(&self, finding: &Finding) -> bool {
        let Some(seen) = &self.seen else { return true };
        // What stands in quotation marks may be told, though what is written does not tell it.
        is_like(seen, &finding.looks()) || is_like(seen, &finding.observed)
    }

    /// Whether its reason has still to be given.
    fn is_unfilled(&self) -> bool {
        self.known.reason.starts_with(write::UNFILLED)
    }
}

fn is_like(pattern: &str, text: &str) -> bool {
    glob(pattern.as_bytes(), text.as_bytes())
}

fn nearest<'a>(id: &str, ids: impl Iterator<Item = &'a str>) -> Option<String> {
    let likeness = |known: &str| strsim::normalized_damerau_levenshtein(id, known);
    ids.max_by(|a, b| likeness(a).total_cmp(&likeness(b))).map(str::to_owned)
}

fn at(line: Option<usize>) -> String {
    line.map(|line| format!("line {line}: ")).unwrap_or_default()
}

fn hint(nearest: Option<&str>) -> String {
    nearest.map(|nearest| format!("; the nearest is {nearest:?}")).unwrap_or_default()
}
