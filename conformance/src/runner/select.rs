use std::fmt;

use crate::scenario::{Scenario, all};

/// Which scenarios are to run.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    chosen: Vec<String>,
    excluded: Vec<String>,
}

/// Why a selection selects nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelectionError {
    /// The argument that matches no scenario.
    pub argument: String,
    /// An id that looks like it.
    pub nearest: Option<&'static str>,
}

impl fmt::Display for SelectionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}' matches no scenario", self.argument)?;
        match self.nearest {
            Some(nearest) => write!(f, "; did you mean '{nearest}'?"),
            None => f.write_str("; see `mqttspec list`"),
        }
    }
}

impl std::error::Error for SelectionError {}

impl Selection {
    /// Sections, ids, globs of ids, or requirements; none for all scenarios.
    pub fn new(arguments: Vec<String>) -> Selection {
        Selection { chosen: arguments, excluded: Vec::new() }
    }

    /// Without what these arguments select.
    pub fn without(self, arguments: Vec<String>) -> Selection {
        Selection { excluded: arguments, ..self }
    }

    /// The scenarios selected, with their places in the registry.
    ///
    /// # Errors
    ///
    /// The first argument that matches nothing.
    pub fn scenarios(&self) -> Result<Vec<(usize, &'static Scenario)>, SelectionError> {
        for argument in self.chosen.iter().chain(&self.excluded) {
            if !all().iter().any(|scenario| matches(argument, scenario.id, scenario.requirements)) {
                return Err(SelectionError {
                    argument: argument.clone(),
                    nearest: nearest(argument),
                });
            }
        }
        let is_among = |arguments: &[String], scenario: &Scenario| {
            arguments.iter().any(|argument| matches(argument, scenario.id, scenario.requirements))
        };
        let is_selected = |scenario: &Scenario| {
            (self.chosen.is_empty() || is_among(&self.chosen, scenario))
                && !is_among(&self.excluded, scenario)
        };
        Ok(all().iter().enumerate().filter(|(_, scenario)| is_selected(scenario)).collect())
    }
}

/// Whether an argument selects what has this id and cites these requirements: a section selects
/// itself and its subsections; anything else is an id, a glob or a requirement.
pub fn matches(argument: &str, id: &str, requirements: &[&str]) -> bool {
    let section = id.split_once('/').map_or(id, |(section, _)| section);
    let within = section.strip_prefix(argument.trim_end_matches('/'));
    within.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        || glob(argument.as_bytes(), id.as_bytes())
        || requirements.iter().any(|id| glob(argument.as_bytes(), id.as_bytes()))
}

/// Whether `pattern`, with `*` for any run of bytes, is all of `text`. Linear: only the last `*`
/// is ever tried again.
pub(crate) fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(byte) if *byte == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((at, from)) => {
                    p = at + 1;
                    t = from + 1;
                    star = Some((at, t));
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

fn nearest(argument: &str) -> Option<&'static str> {
    let likeness = |id: &str| strsim::jaro_winkler(argument, id);
    let ids = all().iter().map(|scenario| scenario.id);
    ids.max_by(|a, b| likeness(a).total_cmp(&likeness(b))).filter(|id| likeness(id) > 0.8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_excluded_is_left_out_of_what_is_chosen() {
        let ids = |selection: Selection| -> Vec<_> {
            selection.scenarios().unwrap().iter().map(|(_, scenario)| scenario.id).collect()
        };
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        let whole = ids(Selection::new(words(&["3.12"])));
        let some = ids(Selection::new(words(&["3.12"])).without(words(&["*/malformed/*"])));
        assert!(!some.is_empty() && some.len() < whole.len(), "{some:?}");
        assert!(some.iter().all(|id| id.starts_with("3.12/") && !id.contains("malformed")));
        let all_but = ids(Selection::default().without(words(&["3.12", "4"])));
        assert!(all_but.iter().any(|id| id.starts_with("3.1/")));
        assert!(!all_but.iter().any(|id| id.starts_with("3.12/") || id.starts_with("4.")));
        let unknown = Selection::default().without(words(&["9.9"])).scenarios();
        assert_eq!(unknown.unwrap_err().argument, "9.9");
    }

    #[test]
    fn globs_match_whole_texts() {
        for (pattern, text, matches) in [
            ("3.1/*", "3.1/a", true),
            ("*qos2*", "4.3/qos2-basic", true),
            ("*qos2", "4.3/qos2-basic", false),
            ("a*b*c", "aXbXbXc", true),
            ("a*b*c", "aXbXbX", false),
            ("", "", true),
            ("*", "", true),
            ("a", "ab", false),
        ] {
            assert_eq!(glob(pattern.as_bytes(), text.as_bytes()), matches, "{pattern} {text}");
        }
    }
}
