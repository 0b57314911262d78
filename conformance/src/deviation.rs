//! Known deviations: scenarios of which it is known that a target does not pass them, and why.
//!
//! ```toml
//! [[deviation]]
//! id = "3.8/some-scenario"       # or ids = ["3.8/a", "3.8/b"]
//! verdict = "fail"               # the default; or "advisory"
//! reason = "fixed in 2.1"
//! link = "https://example.org/1" # optional
//! unsteady = true                # optional: it does not always show
//! ```
//!
//! A list keeps a run quiet about what is known and nothing else: a listed scenario that passes is
//! as unexpected as an unlisted one that fails, so the list cannot outlive its reasons. The exception is
//! a fault of the target that comes and goes, which the list has to call unsteady.

use std::collections::BTreeMap;

use serde::Deserialize;
use thiserror::Error;
use toml::Spanned;

use crate::report::{Report, ScenarioResult};
use crate::verdict::Verdict;

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
    /// An entry names no scenario, or names them in both ways.
    #[error("line {line}: a deviation has either `id` or a list `ids` that is not empty")]
    Ids {
        /// The line of the entry.
        line: usize,
    },
    /// The reason is blank.
    #[error("line {line}: the reason of a deviation may not be empty")]
    EmptyReason {
        /// The line of the reason.
        line: usize,
    },
    /// There is no such scenario.
    #[error("line {line}: there is no scenario {id:?}{}", hint(nearest.as_deref()))]
    UnknownScenario {
        /// The line of the id.
        line: usize,
        /// The id as written.
        id: String,
        /// The known id that is most like it.
        nearest: Option<String>,
    },
    /// A scenario is listed twice.
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

/// Scenarios that a target is known not to pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownDeviations {
    by_id: BTreeMap<String, Deviation>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Deviation {
    line: usize,
    verdict: Verdict,
    reason: String,
    /// Whether the target passes at times.
    unsteady: bool,
}

impl KnownDeviations {
    /// Reads a list. `known_ids` are the ids of all scenarios, selected or not.
    pub fn parse(text: &str, known_ids: &[&str]) -> Result<KnownDeviations, DeviationError> {
        let line_of = |offset: usize| 1 + text.bytes().take(offset).filter(|&b| b == b'\n').count();
        let file: File = toml::from_str(text).map_err(|error| DeviationError::Syntax {
            line: error.span().map(|span| line_of(span.start)),
            message: error.message().to_owned(),
        })?;
        let mut list = KnownDeviations::default();
        for entry in file.deviation {
            let entry_line = line_of(entry.span().start);
            let entry = entry.into_inner();
            if entry.reason.as_ref().trim().is_empty() {
                return Err(DeviationError::EmptyReason {
                    line: line_of(entry.reason.span().start),
                });
            }
            let reason = entry.reason();
            let verdict = entry.verdict.into();
            let unsteady = entry.unsteady;
            for id in entry.ids().ok_or(DeviationError::Ids { line: entry_line })? {
                let line = line_of(id.span().start);
                let reason = reason.clone();
                let deviation = Deviation { line, verdict, reason, unsteady };
                list.add(id.into_inner(), deviation, known_ids)?;
            }
        }
        Ok(list)
    }

    /// How many scenarios are listed.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether none is listed.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Says of each result whether it was to be expected, and why. Scenarios that are listed but
    /// were not selected do not matter, nor do verdicts that say nothing of the target.
    pub fn apply(&self, report: &mut Report) {
        for result in &mut report.scenarios {
            match self.by_id.get(result.id) {
                Some(listed) => listed.judge(result),
                None => {
                    result.expected = !matches!(result.verdict, Verdict::Fail | Verdict::Blocked);
                }
            }
        }
    }

    /// Whether a scenario may come to any of these verdicts from one run to another: an unsteady one
    /// may pass or not, and no more.
    pub fn may_change(&self, id: &str, verdicts: impl IntoIterator<Item = Verdict>) -> bool {
        self.by_id.get(id).is_some_and(|listed| {
            let may = |verdict| verdict == Verdict::Pass || verdict == listed.verdict;
            listed.unsteady && verdicts.into_iter().all(may)
        })
    }

    fn add(
        &mut self,
        id: String,
        deviation: Deviation,
        known_ids: &[&str],
    ) -> Result<(), DeviationError> {
        let line = deviation.line;
        if !known_ids.contains(&id.as_str()) {
            let nearest = nearest(&id, known_ids).map(str::to_owned);
            return Err(DeviationError::UnknownScenario { line, id, nearest });
        }
        if let Some(first) = self.by_id.get(&id) {
            return Err(DeviationError::Duplicate { line, id, first: first.line });
        }
        self.by_id.insert(id, deviation);
        Ok(())
    }
}

impl Deviation {
    fn judge(&self, result: &mut ScenarioResult) {
        result.expected = match result.verdict {
            Verdict::NotApplicable | Verdict::Inconclusive | Verdict::Unsteady => {
                result.expected = true;
                return;
            }
            Verdict::Pass if self.unsteady => {
                result.expected = true;
                return;
            }
            verdict => verdict == self.verdict,
        };
        result.reason = Some(match result.verdict {
            verdict if verdict == self.verdict => self.reason.clone(),
            Verdict::Pass => "listed as a known deviation, but passes".to_owned(),
            verdict => format!(
                "listed as a known deviation with verdict {}, but comes to {verdict}",
                self.verdict
            ),
        });
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    deviation: Vec<Spanned<Entry>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    id: Option<Spanned<String>>,
    ids: Option<Vec<Spanned<String>>>,
    #[serde(default)]
    verdict: Listed,
    reason: Spanned<String>,
    link: Option<String>,
    #[serde(default)]
    unsteady: bool,
}

/// The verdicts that can be listed.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Listed {
    #[default]
    Fail,
    Advisory,
}

impl Entry {
    fn reason(&self) -> String {
        let reason = self.reason.as_ref().trim();
        match &self.link {
            Some(link) => format!("{reason} ({link})"),
            None => reason.to_owned(),
        }
    }

    fn ids(self) -> Option<Vec<Spanned<String>>> {
        match (self.id, self.ids) {
            (Some(id), None) => Some(vec![id]),
            (None, Some(ids)) if !ids.is_empty() => Some(ids),
            _ => None,
        }
    }
}

impl From<Listed> for Verdict {
    fn from(listed: Listed) -> Verdict {
        match listed {
            Listed::Fail => Verdict::Fail,
            Listed::Advisory => Verdict::Advisory,
        }
    }
}

fn nearest<'a>(id: &str, known_ids: &[&'a str]) -> Option<&'a str> {
    let likeness = |known: &str| strsim::normalized_damerau_levenshtein(id, known);
    known_ids.iter().copied().max_by(|a, b| likeness(a).total_cmp(&likeness(b)))
}

fn at(line: Option<usize>) -> String {
    line.map(|line| format!("line {line}: ")).unwrap_or_default()
}

fn hint(nearest: Option<&str>) -> String {
    nearest.map(|nearest| format!("; the nearest is {nearest:?}")).unwrap_or_default()
}

#[cfg(test)]
mod tests;
