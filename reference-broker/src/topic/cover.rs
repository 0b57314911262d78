//! How the names that two filters match stand to each other.
//!
//! The parent level of `/#` would be an empty name, which there is not (section 4.7.3). It is taken
//! for one here, which errs on the side that nobody gains by.

use super::TopicFilter;

impl TopicFilter {
    /// Whether the filter matches every name that `other` matches.
    #[must_use]
    pub fn covers(&self, other: &TopicFilter) -> bool {
        if self.starts_with_wildcard() && other.as_str().starts_with('$') {
            return false; // MQTT-4.7.2-1
        }
        let mut theirs = other.levels();
        for (place, own) in self.levels().enumerate() {
            match (own, theirs.next()) {
                ("#", _) => return true, // Its parent level too: U-4.7.1.2-1
                // Every name has a first level, so `#` is `+/#`. Below, `a/#` matches `a` as well.
                ("+", Some("#")) if place == 0 => return self.as_str() == "+/#",
                ("+", Some(level)) if level != "#" => {} // U-4.7.1.3-1
                (own, Some(level)) if own == level => {}
                _ => return false,
            }
        }
        theirs.next().is_none()
    }

    /// Whether there is a name that both filters match.
    #[must_use]
    pub fn overlaps(&self, other: &TopicFilter) -> bool {
        let is_apart = |one: &TopicFilter, other: &TopicFilter| {
            one.starts_with_wildcard() && other.as_str().starts_with('$') // MQTT-4.7.2-1
        };
        if is_apart(self, other) || is_apart(other, self) {
            return false;
        }
        let (mut own, mut theirs) = (self.levels(), other.levels());
        loop {
            match (own.next(), theirs.next()) {
                (Some("#"), _) | (_, Some("#")) => return true, // U-4.7.1.2-1
                (Some("+"), Some(_)) | (Some(_), Some("+")) => {} // U-4.7.1.3-1
                (Some(one), Some(other)) if one == other => {}
                (None, None) => return true,
                _ => return false,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::topic::TopicName;
    use crate::topic::testing::{self, filter};

    #[test]
    fn a_filter_covers_what_it_is_wider_than() {
        for (wide, narrow) in [
            ("a/b", "a/b"),
            ("a/+", "a/b"),
            ("a/#", "a"),
            ("a/#", "a/#"),
            ("a/#", "a/+/b"),
            ("#", "a/b"),
            ("#", "+/+"),
            ("+/#", "#"),
            ("#", "+/#"),
            ("$SYS/#", "$SYS"),
            ("$SYS/#", "$SYS/+/x"),
            ("a/+/#", "a/b"),
        ] {
            assert!(filter(wide).covers(&filter(narrow)), "{wide} {narrow}");
        }
    }

    #[test]
    fn a_filter_does_not_cover_what_goes_beyond_it() {
        for (one, other) in [
            ("a/b", "a/+"),
            ("a/b", "a/#"),
            ("a", "a/#"),
            ("a/+", "a/#"),
            ("a/+", "a"),
            ("a/+/#", "a/#"),
            ("+", "#"),
            ("+/a", "#"),
            ("+/+/#", "#"),
            ("#", "$SYS/a"),
            ("+/#", "$SYS/#"),
            ("+/a", "$SYS/a"),
            ("$SYS/#", "#"),
            ("a", "a/"),
            ("a/", "a"),
        ] {
            assert!(!filter(one).covers(&filter(other)), "{one} {other}");
        }
    }

    #[test]
    fn filters_overlap_where_a_name_matches_both() {
        for (one, other) in
            [("a/#", "a"), ("+/b", "a/+"), ("+/b", "a/#"), ("#", "+"), ("a/+/c", "+/b/c")]
        {
            assert!(filter(one).overlaps(&filter(other)), "{one} {other}");
        }
        for (one, other) in
            [("a", "b"), ("a", "a/"), ("#", "$SYS/#"), ("+/a", "$x/a"), ("a/+", "a"), ("+", "a/+")]
        {
            assert!(!filter(one).overlaps(&filter(other)), "{one} {other}");
        }
    }

    /// All texts of one to `most` of these levels.
    fn texts(levels: &[&str], most: usize) -> Vec<String> {
        let mut all: Vec<String> = levels.iter().map(ToString::to_string).collect();
        let mut last = all.clone();
        for _ in 1..most {
            let longer = |text: &String| levels.iter().map(|it| format!("{text}/{it}")).collect();
            last = last.iter().flat_map(|text| -> Vec<String> { longer(text) }).collect();
            all.extend(last.iter().cloned());
        }
        all
    }

    #[test]
    fn both_say_what_all_short_names_say() {
        let filters = texts(&["", "a", "$", "+", "#"], 3);
        let filters: Vec<_> = filters.iter().filter_map(|it| TopicFilter::parse(it).ok()).collect();
        // One level that no filter names, and one more level than any filter has.
        let names = texts(&["", "a", "$", "x"], 4);
        let names: Vec<_> = names.iter().filter_map(|it| TopicName::parse(it).ok()).collect();
        let matches: Vec<Vec<bool>> =
            filters.iter().map(|it| names.iter().map(|name| it.matches(name)).collect()).collect();
        for (one, in_one) in filters.iter().zip(&matches) {
            for (other, in_other) in filters.iter().zip(&matches) {
                let mut pairs = in_one.iter().zip(in_other);
                let covers = pairs.clone().all(|(one, other)| *one || !*other);
                let overlaps = pairs.any(|(one, other)| *one && *other);
                if one.as_str() == "/#" || other.as_str() == "/#" {
                    assert!(!one.covers(other) || covers, "{one} covers {other}");
                    assert!(one.overlaps(other) || !overlaps, "{one} overlaps {other}");
                    continue;
                }
                assert_eq!(one.covers(other), covers, "{one} covers {other}");
                assert_eq!(one.overlaps(other), overlaps, "{one} overlaps {other}");
            }
        }
    }

    proptest! {
        #[test]
        fn no_name_shows_otherwise(
            one in testing::any_filter(),
            other in testing::any_filter(),
            name in testing::any_name(),
        ) {
            prop_assert!(one.covers(&one) && one.overlaps(&one));
            prop_assert_eq!(one.overlaps(&other), other.overlaps(&one));
            if other.matches(&name) {
                prop_assert!(!one.covers(&other) || one.matches(&name));
                prop_assert!(one.overlaps(&other) || !one.matches(&name));
            }
        }
    }
}
