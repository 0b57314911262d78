//! Topic Names (section 4.7).

use std::fmt;
use std::str::Split;
use std::sync::Arc;

use super::TopicError;

/// The most bytes that a UTF-8 Encoded String can have (section 1.5.4).
const MAX_BYTES: usize = u16::MAX as usize;

/// Checks what Topic Names and Topic Filters have in common (section 4.7.3).
pub(super) fn check_common(text: &str) -> Result<(), TopicError> {
    if text.is_empty() {
        return Err(TopicError::Empty); // MQTT-4.7.3-1
    }
    if text.len() > MAX_BYTES {
        return Err(TopicError::TooLong); // MQTT-4.7.3-3
    }
    if text.contains('\0') {
        return Err(TopicError::NullCharacter); // MQTT-4.7.3-2
    }
    Ok(())
}

/// A Topic Name: what an Application Message is published to (section 4.7).
///
/// Equality and order are those of the bytes. A clone shares the text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicName(Arc<str>);

impl TopicName {
    /// Takes `text` as a Topic Name, unchanged.
    ///
    /// # Errors
    ///
    /// If `text` is empty, too long, or has a null character or a wildcard in it (sections 4.7.1
    /// and 4.7.3).
    pub fn parse(text: &str) -> Result<Self, TopicError> {
        check_common(text)?;
        if text.contains(['+', '#']) {
            return Err(TopicError::WildcardInName); // MQTT-4.7.0-1
        }
        Ok(Self(text.into())) // MQTT-4.7.3-4
    }

    /// The text, as it was parsed.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The levels from first to last: at least one, any of them possibly empty (section 4.7.1.1).
    pub fn levels(&self) -> Split<'_, char> {
        self.0.split('/') // U-4.7.1.1-1
    }

    /// Whether the name is one of those that a leading wildcard does not match (section 4.7.2).
    #[must_use]
    pub fn starts_with_dollar(&self) -> bool {
        self.0.starts_with('$')
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anything_else_is_a_name_and_is_kept_unchanged() {
        let longest = "é".repeat(MAX_BYTES / 2) + "e";
        for text in [
            "a",
            "/",
            "//",
            "/finance",
            "finance/",
            " a b ",
            "a/./b",
            "a/../b",
            "a%2Fb",
            "$",
            "$SYS/a",
            "$share/g/t",
            "\u{1}",
            "\u{7f}",
            "\u{feff}a",
            "\u{ffff}",
            "e\u{301}",
            &longest,
        ] {
            let name = TopicName::parse(text).unwrap();
            assert_eq!(name.as_str(), text);
            assert_eq!(name.to_string(), text);
            assert_eq!(name.levels().collect::<Vec<_>>().join("/"), text);
            assert_eq!(name.starts_with_dollar(), text.as_bytes()[0] == b'$');
        }
    }

    #[test]
    fn a_wrong_name_is_refused_with_the_reason() {
        let too_long = "a".repeat(MAX_BYTES + 1);
        let too_many_bytes = "é".repeat(MAX_BYTES / 2 + 1);
        for (text, error) in [
            ("", TopicError::Empty),
            ("\0", TopicError::NullCharacter),
            ("a/\0/b", TopicError::NullCharacter),
            ("a\0", TopicError::NullCharacter),
            ("+", TopicError::WildcardInName),
            ("#", TopicError::WildcardInName),
            ("a+b", TopicError::WildcardInName),
            ("a/b#", TopicError::WildcardInName),
            (&too_long, TopicError::TooLong),
            (&too_many_bytes, TopicError::TooLong),
        ] {
            assert_eq!(TopicName::parse(text), Err(error), "{text:.20}");
        }
    }

    #[test]
    fn separators_make_empty_levels() {
        let levels = |text| {
            let name = TopicName::parse(text).unwrap();
            name.levels().map(String::from).collect::<Vec<_>>()
        };
        assert_eq!(levels("/"), ["", ""]);
        assert_eq!(levels("a//b"), ["a", "", "b"]);
        assert_eq!(levels("/a/"), ["", "a", ""]);
        assert_eq!(levels(&"/".repeat(MAX_BYTES)).len(), MAX_BYTES + 1);
    }

    #[test]
    fn names_compare_by_their_bytes() {
        let name = |text| TopicName::parse(text).unwrap();
        assert_eq!(name("a"), name("a").clone());
        assert_ne!(name("ACCOUNTS"), name("Accounts"));
        assert_ne!(name("\u{e9}"), name("e\u{301}"));
        assert!(name("a") < name("a/") && name("a/") < name("b"));
    }
}
