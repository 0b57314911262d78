//! A list as it is written.

use serde::Deserialize;
use toml::Spanned;

use super::{Deviation, DeviationError, KnownDeviations, Subject};
use crate::verdict::{Known, Verdict};

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
    cause: Option<Spanned<String>>,
    seen: Option<String>,
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

impl KnownDeviations {
    /// Reads a list. `known_ids` are the ids of all scenarios, selected or not.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong with it, and where.
    pub fn parse(text: &str, known_ids: &[&str]) -> Result<KnownDeviations, DeviationError> {
        let line_of = |offset: usize| 1 + text.bytes().take(offset).filter(|&b| b == b'\n').count();
        let file: File = toml::from_str(text).map_err(|error| DeviationError::Syntax {
            line: error.span().map(|span| line_of(span.start)),
            message: error.message().to_owned(),
        })?;
        let mut list = KnownDeviations { scenarios: known_ids.len(), ..KnownDeviations::default() };
        for (place, entry) in file.deviation.into_iter().enumerate() {
            let entry_line = line_of(entry.span().start);
            let entry = entry.into_inner();
            if entry.reason.as_ref().trim().is_empty() {
                return Err(DeviationError::EmptyReason {
                    line: line_of(entry.reason.span().start),
                });
            }
            if entry.seen.is_none() && !entry.unsteady {
                return Err(DeviationError::SeenMissing { line: entry_line });
            }
            let (known, verdict, seen) = (entry.known(), entry.verdict.into(), entry.seen.clone());
            let subjects = entry.subjects().ok_or(DeviationError::Subject { line: entry_line })?;
            for (offset, subject) in subjects {
                let (known, seen) = (known.clone(), seen.clone());
                let line = line_of(offset);
                let deviation = Deviation { line, entry: place, subject, seen, verdict, known };
                list.add(deviation, known_ids)?;
            }
        }
        Ok(list)
    }
}

impl Entry {
    fn known(&self) -> Known {
        let reason = self.reason.as_ref().trim().to_owned();
        Known { reason, link: self.link.clone(), unsteady: self.unsteady }
    }

    /// What it is about, and where that is written; none if that is not said in one way.
    fn subjects(self) -> Option<Vec<(usize, Subject)>> {
        let of_id = |id: Spanned<String>| (id.span().start, Subject::of_id(id.into_inner()));
        match (self.id, self.ids, self.cause) {
            (Some(id), None, None) => Some(vec![of_id(id)]),
            (None, Some(ids), None) if !ids.is_empty() => {
                Some(ids.into_iter().map(of_id).collect())
            }
            (None, None, Some(cause)) => {
                Some(vec![(cause.span().start, Subject::Cause(cause.into_inner()))])
            }
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
