//! Topic Filters (section 4.7) and what stands in SUBSCRIBE and UNSUBSCRIBE (section 4.8).

use std::fmt;
use std::str::Split;
use std::sync::Arc;

use super::name::check_common;
use super::{TopicError, TopicName};

/// How the text of a Shared Subscription begins (section 4.8.2).
const SHARE_PREFIX: &str = "$share/";

/// Whether a filter asks for a Shared Subscription, well-formed or not (section 4.8.2).
pub fn is_shared(filter: &str) -> bool {
    filter.starts_with(SHARE_PREFIX)
}

/// A Topic Filter: a pattern for Topic Names (section 4.7).
///
/// `$share/g/t` is an ordinary pattern here, of three levels; see [`SubscriptionFilter`].
/// Equality and order are those of the bytes. A clone shares the text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicFilter(Arc<str>);

impl TopicFilter {
    /// Takes `text` as a Topic Filter, unchanged.
    ///
    /// # Errors
    ///
    /// If `text` is empty, too long, or has a null character or a misplaced wildcard in it
    /// (sections 4.7.1 and 4.7.3).
    pub fn parse(text: &str) -> Result<Self, TopicError> {
        check_common(text)?;
        check_wildcards(text)?;
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

    /// Whether the filter has a `+` or `#` in it.
    #[must_use]
    pub fn has_wildcard(&self) -> bool {
        self.0.contains(['+', '#'])
    }

    /// Whether the first level is a wildcard (section 4.7.2).
    #[must_use]
    pub fn starts_with_wildcard(&self) -> bool {
        self.0.starts_with(['+', '#'])
    }

    /// Whether the filter matches `name` (sections 4.7.1 to 4.7.3).
    #[must_use]
    pub fn matches(&self, name: &TopicName) -> bool {
        if self.starts_with_wildcard() && name.starts_with_dollar() {
            return false; // MQTT-4.7.2-1
        }
        let mut levels = name.levels();
        for wanted in self.levels() {
            match (wanted, levels.next()) {
                ("#", _) => return true,                  // U-4.7.1.2-1
                ("+", Some(_)) => {}                      // U-4.7.1.3-1
                (_, Some(level)) if wanted == level => {} // MQTT-4.7.3-4
                _ => return false,
            }
        }
        levels.next().is_none()
    }
}

impl fmt::Display for TopicFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Checks that each wildcard of a filter stands where it may (sections 4.7.1.2 and 4.7.1.3).
fn check_wildcards(text: &str) -> Result<(), TopicError> {
    let mut levels = text.split('/').peekable();
    while let Some(level) = levels.next() {
        match level {
            "#" if levels.peek().is_some() => {
                return Err(TopicError::MultiLevelNotLast); // MQTT-4.7.1-1
            }
            "#" | "+" => {}
            _ if level.contains('#') => {
                return Err(TopicError::MultiLevelNotAlone); // MQTT-4.7.1-1
            }
            _ if level.contains('+') => {
                return Err(TopicError::SingleLevelNotAlone); // MQTT-4.7.1-2
            }
            _ => {}
        }
    }
    Ok(())
}

/// The ShareName of a Shared Subscription, found by [`SubscriptionFilter::parse`] (section 4.8.2).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShareName(Arc<str>);

impl ShareName {
    /// Takes text without `/`, already free of null characters, as a ShareName.
    fn parse(text: &str) -> Result<Self, TopicError> {
        if text.is_empty() {
            return Err(TopicError::EmptyShareName); // MQTT-4.8.2-1
        }
        if text.contains(['+', '#']) {
            return Err(TopicError::WildcardInShareName); // MQTT-4.8.2-2
        }
        Ok(Self(text.into()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ShareName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What stands in SUBSCRIBE and UNSUBSCRIBE: a Topic Filter, or one shared under a ShareName
/// (section 4.8).
///
/// Equality and order are those of the whole text, which identifies the subscription.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubscriptionFilter {
    text: Arc<str>,
    share: Option<ShareName>,
    filter: TopicFilter,
}

impl SubscriptionFilter {
    /// Takes `text` as a Shared Subscription if it starts with `$share/`, else as a Topic Filter.
    ///
    /// # Errors
    ///
    /// If the text or, in a Shared Subscription, the filter part is no Topic Filter (section 4.7);
    /// if the ShareName or what follows it is missing or wrong (section 4.8.2).
    pub fn parse(text: &str) -> Result<Self, TopicError> {
        let Some(shared) = text.strip_prefix(SHARE_PREFIX) else {
            let filter = TopicFilter::parse(text)?;
            let text = Arc::clone(&filter.0);
            return Ok(Self { text, share: None, filter });
        };
        check_common(text)?;
        let (share, filter) = match shared.split_once('/') {
            Some((share, filter)) => (share, Some(filter)),
            None => (shared, None),
        };
        let share = ShareName::parse(share)?;
        let filter = match filter {
            None => return Err(TopicError::NoShareFilter), // MQTT-4.8.2-2
            Some("") => return Err(TopicError::EmptyShareFilter), // MQTT-4.8.2-2
            Some(filter) => TopicFilter::parse(filter)?,
        };
        Ok(Self { text: text.into(), share: Some(share), filter })
    }

    /// The whole text, as it was parsed.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The ShareName of a Shared Subscription; none of an ordinary one.
    #[must_use]
    pub fn share(&self) -> Option<&ShareName> {
        self.share.as_ref()
    }

    /// Whether this is a Shared Subscription (section 4.8.2).
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.share.is_some()
    }

    /// The part that takes part in matching (section 4.8.2).
    #[must_use]
    pub fn filter(&self) -> &TopicFilter {
        &self.filter // U-4.8.2-2
    }
}

impl fmt::Display for SubscriptionFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::topic::testing::{self, MATCHES};

    const INVALID: [(&str, TopicError); 20] = [
        ("", TopicError::Empty),
        ("a\0", TopicError::NullCharacter),
        ("a#", TopicError::MultiLevelNotAlone),
        ("#a", TopicError::MultiLevelNotAlone),
        ("a/#/b", TopicError::MultiLevelNotLast),
        ("#/a", TopicError::MultiLevelNotLast),
        ("a/b#", TopicError::MultiLevelNotAlone),
        ("##", TopicError::MultiLevelNotAlone),
        ("a/##", TopicError::MultiLevelNotAlone),
        ("#/", TopicError::MultiLevelNotLast),
        ("a+", TopicError::SingleLevelNotAlone),
        ("+a", TopicError::SingleLevelNotAlone),
        ("a/b+", TopicError::SingleLevelNotAlone),
        ("a/+b", TopicError::SingleLevelNotAlone),
        ("a/+b/c", TopicError::SingleLevelNotAlone),
        ("++", TopicError::SingleLevelNotAlone),
        ("a/++/b", TopicError::SingleLevelNotAlone),
        ("+a/#", TopicError::SingleLevelNotAlone),
        ("#+", TopicError::MultiLevelNotAlone),
        ("+#", TopicError::MultiLevelNotAlone),
    ];

    #[test]
    fn filters_match_as_the_table_says() {
        for (filter, matching, others) in MATCHES {
            let filter = TopicFilter::parse(filter).unwrap();
            for name in matching.iter().copied() {
                assert!(filter.matches(&TopicName::parse(name).unwrap()), "{filter} {name}");
            }
            for name in others.iter().copied() {
                assert!(!filter.matches(&TopicName::parse(name).unwrap()), "{filter} {name}");
            }
        }
    }

    #[test]
    fn a_wrong_filter_is_refused_with_the_reason() {
        for (text, error) in INVALID {
            assert_eq!(TopicFilter::parse(text), Err(error), "{text}");
            assert_eq!(SubscriptionFilter::parse(text), Err(error), "{text}");
        }
        let longest = "+/".repeat(32_767) + "#";
        assert!(TopicFilter::parse(&longest).is_ok());
        let too_long = "+/".repeat(32_768);
        assert_eq!(TopicFilter::parse(&too_long), Err(TopicError::TooLong));
    }

    #[test]
    fn a_filter_knows_its_wildcards() {
        for (text, anywhere, first) in [
            ("a/b", false, false),
            ("a/+", true, false),
            ("a/#", true, false),
            ("+/a", true, true),
            ("#", true, true),
            ("/", false, false),
        ] {
            let filter = TopicFilter::parse(text).unwrap();
            assert_eq!(filter.has_wildcard(), anywhere, "{text}");
            assert_eq!(filter.starts_with_wildcard(), first, "{text}");
        }
    }

    #[test]
    fn shared_subscriptions_split_into_share_name_and_filter() {
        for (text, share, filter) in [
            ("$share/g/t", "g", "t"),
            ("$share/g//t", "g", "/t"),
            ("$share/g//", "g", "/"),
            ("$share/g/+", "g", "+"),
            ("$share/g/#", "g", "#"),
            ("$share/$/t", "$", "t"),
            ("$share/g/$SYS/#", "g", "$SYS/#"),
            ("$share/g h/t", "g h", "t"),
            ("$share/g/$share/h/t", "g", "$share/h/t"),
        ] {
            let subscription = SubscriptionFilter::parse(text).unwrap();
            assert!(subscription.is_shared());
            assert_eq!(subscription.share().unwrap().as_str(), share);
            assert_eq!(subscription.filter().as_str(), filter);
            assert_eq!(subscription.as_str(), text);
            assert_eq!(subscription.to_string(), text);
        }
    }

    #[test]
    fn only_the_exact_prefix_makes_a_shared_subscription() {
        for text in ["$share", "$SHARE/g/t", "$sharex/g/t", "$sharex/t", "a/$share/g/t", "/$share"]
        {
            let subscription = SubscriptionFilter::parse(text).unwrap();
            assert_eq!(subscription.share(), None, "{text}");
            assert_eq!(subscription.filter().as_str(), text);
            assert_eq!(subscription.as_str(), text);
        }
    }

    #[test]
    fn a_wrong_shared_subscription_is_refused_with_the_reason() {
        let too_long = format!("$share/g/{}", "a".repeat(65_527));
        assert!(SubscriptionFilter::parse(&too_long[1..]).is_ok());
        for (text, error) in [
            ("$share/", TopicError::EmptyShareName),
            ("$share//t", TopicError::EmptyShareName),
            ("$share/g", TopicError::NoShareFilter),
            ("$share/g/", TopicError::EmptyShareFilter),
            ("$share/+/t", TopicError::WildcardInShareName),
            ("$share/#/t", TopicError::WildcardInShareName),
            ("$share/#", TopicError::WildcardInShareName),
            ("$share/a+b/t", TopicError::WildcardInShareName),
            ("$share/a#/t", TopicError::WildcardInShareName),
            ("$share/g/a#", TopicError::MultiLevelNotAlone),
            ("$share/g/a/#/b", TopicError::MultiLevelNotLast),
            ("$share/g/+a", TopicError::SingleLevelNotAlone),
            ("$share/\0/t", TopicError::NullCharacter),
            (&too_long, TopicError::TooLong),
        ] {
            assert_eq!(SubscriptionFilter::parse(text), Err(error), "{text:.20}");
        }
    }

    /// Section 4.7.1 by characters: what stands before and after each wildcard.
    fn wildcards_well_placed(text: &str) -> bool {
        let chars: Vec<char> = text.chars().collect();
        (0..chars.len()).all(|i| {
            let starts_level = i == 0 || chars[i - 1] == '/';
            match chars[i] {
                '#' => starts_level && i + 1 == chars.len(),
                '+' => starts_level && chars.get(i + 1).is_none_or(|next| *next == '/'),
                _ => true,
            }
        })
    }

    proptest! {
        #[test]
        fn filters_match_as_a_naive_matcher_does(
            filter in testing::any_filter(),
            name in testing::any_name(),
        ) {
            prop_assert_eq!(filter.matches(&name), testing::naive_match(&filter, &name));
        }

        #[test]
        fn exactly_the_well_formed_filters_are_taken(text in "[a+#/$é\0]{0,6}") {
            let valid = !text.is_empty() && !text.contains('\0') && wildcards_well_placed(&text);
            let filter = TopicFilter::parse(&text);
            prop_assert_eq!(filter.is_ok(), valid);
            prop_assert!(filter.is_err() || filter.unwrap().as_str() == text);
        }

        #[test]
        fn shared_subscriptions_are_taken_and_put_together_again(text in "[a+#/$é]{0,6}") {
            let shared = format!("$share/{text}");
            let valid = text.split_once('/').is_some_and(|(share, filter)| {
                !share.is_empty()
                    && !share.contains(['+', '#'])
                    && !filter.is_empty()
                    && wildcards_well_placed(filter)
            });
            let subscription = SubscriptionFilter::parse(&shared);
            prop_assert_eq!(subscription.is_ok(), valid);
            if let Ok(subscription) = subscription {
                let share = subscription.share().unwrap();
                prop_assert_eq!(format!("$share/{share}/{}", subscription.filter()), shared);
            }
        }
    }
}
