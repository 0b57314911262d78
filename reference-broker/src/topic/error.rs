//! The ways in which a Topic Name or Topic Filter can be wrong.

use std::fmt;

/// Why a text is no Topic Name, Topic Filter or Shared Subscription filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TopicError {
    /// There is not a single character (section 4.7.3).
    Empty,
    /// U+0000 occurs in the text (section 4.7.3).
    NullCharacter,
    /// The text takes more than 65,535 bytes (section 4.7.3).
    TooLong,
    /// A Topic Name has a `+` or `#` in it (section 4.7.1).
    WildcardInName,
    /// A `#` shares its level with other characters (section 4.7.1.2).
    MultiLevelNotAlone,
    /// Another level follows a `#` (section 4.7.1.2).
    MultiLevelNotLast,
    /// A `+` shares its level with other characters (section 4.7.1.3).
    SingleLevelNotAlone,
    /// Nothing stands between `$share/` and the next `/` or the end (section 4.8.2).
    EmptyShareName,
    /// The ShareName has a `+` or `#` in it (section 4.8.2).
    WildcardInShareName,
    /// The text ends with the ShareName, without a `/` after it (section 4.8.2).
    NoShareFilter,
    /// The text ends with the `/` that follows the ShareName (section 4.8.2).
    EmptyShareFilter,
}

impl TopicError {
    /// The id of the requirement that the text violates, as in the register of requirements.
    #[must_use]
    pub fn requirement(&self) -> &'static str {
        match self {
            Self::Empty => "MQTT-4.7.3-1",
            Self::NullCharacter => "MQTT-4.7.3-2",
            Self::TooLong => "MQTT-4.7.3-3",
            Self::WildcardInName => "MQTT-4.7.0-1",
            Self::MultiLevelNotAlone | Self::MultiLevelNotLast => "MQTT-4.7.1-1",
            Self::SingleLevelNotAlone => "MQTT-4.7.1-2",
            Self::EmptyShareName => "MQTT-4.8.2-1",
            Self::WildcardInShareName | Self::NoShareFilter | Self::EmptyShareFilter => {
                "MQTT-4.8.2-2"
            }
        }
    }
}

impl fmt::Display for TopicError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "empty topic",
            Self::NullCharacter => "null character in a topic",
            Self::TooLong => "topic of more than 65,535 bytes",
            Self::WildcardInName => "wildcard in a topic name",
            Self::MultiLevelNotAlone => "multi-level wildcard within a longer level",
            Self::MultiLevelNotLast => "multi-level wildcard before another level",
            Self::SingleLevelNotAlone => "single-level wildcard within a longer level",
            Self::EmptyShareName => "empty share name",
            Self::WildcardInShareName => "wildcard in a share name",
            Self::NoShareFilter => "no separator after the share name",
            Self::EmptyShareFilter => "empty topic filter after the share name",
        })
    }
}

impl std::error::Error for TopicError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_be_wrong_reads_as_a_fragment_and_names_its_requirement() {
        let all = [
            (TopicError::Empty, "MQTT-4.7.3-1"),
            (TopicError::NullCharacter, "MQTT-4.7.3-2"),
            (TopicError::TooLong, "MQTT-4.7.3-3"),
            (TopicError::WildcardInName, "MQTT-4.7.0-1"),
            (TopicError::MultiLevelNotAlone, "MQTT-4.7.1-1"),
            (TopicError::MultiLevelNotLast, "MQTT-4.7.1-1"),
            (TopicError::SingleLevelNotAlone, "MQTT-4.7.1-2"),
            (TopicError::EmptyShareName, "MQTT-4.8.2-1"),
            (TopicError::WildcardInShareName, "MQTT-4.8.2-2"),
            (TopicError::NoShareFilter, "MQTT-4.8.2-2"),
            (TopicError::EmptyShareFilter, "MQTT-4.8.2-2"),
        ];
        for (error, requirement) in all {
            assert_eq!(error.requirement(), requirement);
            let text = error.to_string();
            assert!(text.starts_with(|c: char| c.is_ascii_lowercase()), "{text}");
            assert!(!text.ends_with('.'), "{text}");
        }
    }
}
