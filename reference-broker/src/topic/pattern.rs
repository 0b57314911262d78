//! Topic patterns: Topic Filters (section 4.7) whose wildcards have names.

use std::error::Error;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::filter::is_shared;
use super::{TopicError, TopicFilter, TopicName};

/// A Topic Filter some of whose levels are captured under a name.
///
/// `{room}` stands for one level, as `+` does; `{rest...}`, at the end, for all that follow, as `#`
/// does. Both have their level to themselves, and a name has letters, digits and `_`. Plain `+` and
/// `#` may stand where they may in a filter. A brace has no other use: a level of a topic that has
/// one in it is matched by a wildcard only.
///
/// ```
/// use reference_broker::topic::{TopicName, TopicPattern};
///
/// let pattern = TopicPattern::parse("sensors/{room}/{rest...}").unwrap();
/// let topic = TopicName::parse("sensors/kitchen/air/humidity").unwrap();
/// assert!(pattern.filter().matches(&topic));
/// assert_eq!(pattern.capture("room", &topic), Some("kitchen"));
/// assert_eq!(pattern.capture("rest", &topic), Some("air/humidity"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicPattern {
    text: Arc<str>,
    filter: TopicFilter,
    captures: Arc<[Capture]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Capture {
    name: Box<str>,
    /// Which level it is, or begins at.
    level: usize,
    /// Whether it is all levels from there on.
    rest: bool,
}

/// Why a text is no topic pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PatternError {
    /// It is no Topic Filter, apart from its captures.
    Filter(TopicError),
    /// This level has a brace in it, and is not one capture as a whole.
    Brace(String),
    /// The name in this level is empty, or has something else in it than letters, digits and `_`.
    Name(String),
    /// Another level follows this capture of all that follow.
    RestNotLast(String),
    /// This name occurs twice.
    Twice(String),
    /// It begins with `$share/`: every tap gets every message.
    Shared,
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PatternError::Filter(error) => error.fmt(f),
            PatternError::Brace(level) => {
                write!(f, "level '{level}': a capture such as {{name}} takes a whole level")
            }
            PatternError::Name(level) => {
                write!(f, "level '{level}': a capture's name has letters, digits and '_'")
            }
            PatternError::RestNotLast(level) => {
                write!(f, "level '{level}': another level follows what takes all that follow")
            }
            PatternError::Twice(name) => write!(f, "two captures are called '{name}'"),
            PatternError::Shared => f.write_str("a pattern cannot be shared"),
        }
    }
}

impl Error for PatternError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            PatternError::Filter(error) => Some(error),
            _ => None,
        }
    }
}

impl TopicPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    ///
    /// What is wrong with it, and where.
    pub fn parse(text: &str) -> Result<TopicPattern, PatternError> {
        if is_shared(text) {
            return Err(PatternError::Shared);
        }
        let mut captures: Vec<Capture> = Vec::new();
        let mut filter = String::with_capacity(text.len());
        let mut levels = text.split('/').enumerate().peekable();
        while let Some((number, level)) = levels.next() {
            if number > 0 {
                filter.push('/');
            }
            let Some((name, rest)) = capture(level)? else {
                filter.push_str(level);
                continue;
            };
            if rest && levels.peek().is_some() {
                return Err(PatternError::RestNotLast(level.to_owned()));
            }
            if captures.iter().any(|other| *other.name == *name) {
                return Err(PatternError::Twice(name.to_owned()));
            }
            filter.push(if rest { '#' } else { '+' });
            captures.push(Capture { name: name.into(), level: number, rest });
        }
        let filter = TopicFilter::parse(&filter).map_err(PatternError::Filter)?;
        Ok(TopicPattern { text: text.into(), filter, captures: captures.into() })
    }

    /// The text, as it was parsed.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The Topic Filter that matches the same names.
    #[must_use]
    pub fn filter(&self) -> &TopicFilter {
        &self.filter
    }

    /// The names of the captures, in the order of their levels.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.captures.iter().map(|capture| &*capture.name)
    }

    /// What a capture is in a name that the pattern matches. None if it has no such capture, and for
    /// the last one of `a/{rest...}` in `a`, where nothing follows (in `a/` an empty level does).
    #[must_use]
    pub fn capture<'a>(&self, name: &str, topic: &'a TopicName) -> Option<&'a str> {
        self.captures.iter().find(|capture| *capture.name == *name)?.of(topic)
    }

    /// All captures with what each is in a topic that the pattern matches.
    pub fn captures<'a>(
        &'a self,
        topic: &'a TopicName,
    ) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.captures.iter().filter_map(|capture| Some((&*capture.name, capture.of(topic)?)))
    }
}

impl Capture {
    fn of<'a>(&self, topic: &'a TopicName) -> Option<&'a str> {
        match self.rest {
            true => topic.as_str().splitn(self.level + 1, '/').nth(self.level),
            false => topic.levels().nth(self.level),
        }
    }
}

/// The name in a level that is a capture, and whether it is one of all that follow.
fn capture(level: &str) -> Result<Option<(&str, bool)>, PatternError> {
    if !level.contains(['{', '}']) {
        return Ok(None);
    }
    let inner = level.strip_prefix('{').and_then(|level| level.strip_suffix('}'));
    let inner = inner.filter(|inner| !inner.contains(['{', '}']));
    let inner = inner.ok_or_else(|| PatternError::Brace(level.to_owned()))?;
    let (name, rest) = match inner.strip_suffix("...") {
        Some(name) => (name, true),
        None => (inner, false),
    };
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    match !name.is_empty() && name.chars().all(is_name) {
        true => Ok(Some((name, rest))),
        false => Err(PatternError::Name(level.to_owned())),
    }
}

impl FromStr for TopicPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        TopicPattern::parse(text)
    }
}

impl fmt::Display for TopicPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topic::testing::{MATCHES, name};

    #[test]
    fn captures_are_wildcards_with_a_name() {
        for (text, filter) in [
            ("sensors/{room}/temperature", "sensors/+/temperature"),
            ("{a}/{b_2}/{rest...}", "+/+/#"),
            ("{rest...}", "#"),
            ("+/{é}/#", "+/+/#"),
            ("a/b", "a/b"),
            ("/{a}/", "/+/"),
        ] {
            let pattern = TopicPattern::parse(text).unwrap();
            assert_eq!(pattern.filter().as_str(), filter);
            assert_eq!(pattern.to_string(), text);
        }
    }

    #[test]
    fn captures_are_found_in_the_topic() {
        for (text, topic, captures) in [
            ("s/{room}/t", "s/kitchen/t", &[("room", Some("kitchen")), ("other", None)][..]),
            ("s/{room}/t", "s//t", &[("room", Some(""))]),
            ("{a}/+/{b}", "1/2/3", &[("a", Some("1")), ("b", Some("3"))]),
            ("a/{rest...}", "a/b/c", &[("rest", Some("b/c"))]),
            ("a/{rest...}", "a/", &[("rest", Some(""))]),
            ("a/{rest...}", "a//", &[("rest", Some("/"))]),
            ("a/{rest...}", "a", &[("rest", None)]),
            ("{rest...}", "a/b", &[("rest", Some("a/b"))]),
        ] {
            let pattern = TopicPattern::parse(text).unwrap();
            let topic = name(topic);
            assert!(pattern.filter().matches(&topic), "{text} {topic}");
            for (name, value) in captures {
                assert_eq!(pattern.capture(name, &topic), *value, "{text} {topic} {name}");
            }
        }
        let pattern = TopicPattern::parse("{b}/+/{a}").unwrap();
        assert_eq!(pattern.names().collect::<Vec<_>>(), ["b", "a"]);
    }

    #[test]
    fn every_filter_is_a_pattern_without_captures() {
        for (text, _, _) in MATCHES {
            let pattern = TopicPattern::parse(text).unwrap();
            assert_eq!((pattern.filter().as_str(), pattern.names().count()), (text, 0));
        }
    }

    #[test]
    fn a_wrong_pattern_is_refused_with_the_place() {
        let whole = "a capture such as {name} takes a whole level";
        let named = "a capture's name has letters, digits and '_'";
        let last = "another level follows what takes all that follow";
        for (text, problem) in [
            ("", "empty topic".to_owned()),
            ("a#", "multi-level wildcard within a longer level".to_owned()),
            ("a/#/{b}", "multi-level wildcard before another level".to_owned()),
            ("a/{b", format!("level '{{b': {whole}")),
            ("a}/b", format!("level 'a}}': {whole}")),
            ("a/x{b}", format!("level 'x{{b}}': {whole}")),
            ("{a}{b}", format!("level '{{a}}{{b}}': {whole}")),
            ("{}", format!("level '{{}}': {named}")),
            ("{...}", format!("level '{{...}}': {named}")),
            ("{a b}", format!("level '{{a b}}': {named}")),
            ("{+}", format!("level '{{+}}': {named}")),
            ("{a....}", format!("level '{{a....}}': {named}")),
            ("{a...}/b", format!("level '{{a...}}': {last}")),
            ("{a}/{a...}", "two captures are called 'a'".to_owned()),
            ("$share/g/{a}", "a pattern cannot be shared".to_owned()),
        ] {
            let error = TopicPattern::parse(text).unwrap_err();
            assert_eq!(error.to_string(), problem, "{text}");
        }
    }
}
