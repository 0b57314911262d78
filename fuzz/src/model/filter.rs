//! Topic Filters as section 4.7 has them, level by level.

/// Whether a Topic Filter without `$share` matches a Topic Name.
pub(crate) fn matches(filter: &str, topic: &str) -> bool {
    // Section 4.7.2.
    if topic.starts_with('$') && (filter.starts_with('+') || filter.starts_with('#')) {
        return false;
    }
    let filter: Vec<_> = filter.split('/').collect();
    let topic: Vec<_> = topic.split('/').collect();
    levels_match(&filter, &topic)
}

fn levels_match(filter: &[&str], topic: &[&str]) -> bool {
    match (filter, topic) {
        (["#"], _) => true, // The parent too: section 4.7.1.2.
        ([], []) => true,
        (["+", filter @ ..], [_, topic @ ..]) => levels_match(filter, topic),
        ([same, filter @ ..], [level, topic @ ..]) if same == level => levels_match(filter, topic),
        _ => false,
    }
}

/// Whether a Topic Filter matches every topic that another one does.
pub(crate) fn covers(filter: &str, wanted: &str) -> bool {
    let is_wild = filter.starts_with(['+', '#']);
    let of_servers = wanted.starts_with('$');
    let (filter, wanted): (Vec<_>, Vec<_>) =
        (filter.split('/').collect(), wanted.split('/').collect());
    !(is_wild && of_servers) && levels_cover(&filter, &wanted)
}

fn levels_cover(filter: &[&str], wanted: &[&str]) -> bool {
    match (filter, wanted) {
        (["#"], _) | ([], []) => true,
        (["+", filter @ ..], [level, wanted @ ..]) if *level != "#" => levels_cover(filter, wanted),
        ([same, filter @ ..], [level, wanted @ ..]) if same == level => {
            levels_cover(filter, wanted)
        }
        _ => false,
    }
}

/// Whether there is a topic that both of two Topic Filters match.
pub(crate) fn overlaps(one: &str, other: &str) -> bool {
    let is_wild = |filter: &str| filter.starts_with(['+', '#']);
    let apart = is_wild(one) && other.starts_with('$') || one.starts_with('$') && is_wild(other);
    let (one, other): (Vec<_>, Vec<_>) = (one.split('/').collect(), other.split('/').collect());
    !apart && levels_overlap(&one, &other)
}

fn levels_overlap(one: &[&str], other: &[&str]) -> bool {
    match (one, other) {
        (["#"], _) | (_, ["#"]) | ([], []) => true,
        ([a, one @ ..], [b, other @ ..]) if a == b || *a == "+" || *b == "+" => {
            levels_overlap(one, other)
        }
        _ => false,
    }
}

/// Whether this may be subscribed to at all (sections 4.7.1 and 4.8.2).
pub(crate) fn is_valid(filter: &str) -> bool {
    let (name, filter) = match filter.strip_prefix("$share/") {
        Some(rest) => rest.split_once('/').unwrap_or(("", "")),
        None => ("name", filter),
    };
    let levels: Vec<_> = filter.split('/').collect();
    let (Some(last), Some(others)) = (levels.last(), levels.get(..levels.len().saturating_sub(1)))
    else {
        return false;
    };
    let is_level = |level: &&str| *level == "+" || !level.contains(['+', '#']);
    let is_last = *last == "#" || is_level(last);
    let is_name = !name.is_empty() && !name.contains(['+', '#']);
    !filter.is_empty() && is_name && is_last && others.iter().all(is_level)
}

/// The Topic Filter of a Shared Subscription.
pub(crate) fn shared(filter: &str) -> Option<&str> {
    filter.strip_prefix("$share/")?.split_once('/').map(|(_, filter)| filter)
}

#[test]
fn filters_cover_and_overlap_and_are_valid() {
    assert!(
        covers("a/#", "a") && covers("a/+", "a/b") && covers("#", "+/b") && covers("a/#", "a/+/c")
    );
    assert!(!covers("a/+", "a/#") && !covers("#", "$a") && !covers("a", "+"));
    assert!(overlaps("a/+", "+/b") && overlaps("a", "#") && overlaps("a/#", "a"));
    assert!(!overlaps("a", "b") && !overlaps("#", "$a") && !overlaps("a/+", "a"));
    for filter in ["a", "/", "#", "+/+", "$share/g/#", "$share/g//"] {
        assert!(is_valid(filter), "{filter}");
    }
    for filter in ["", "a#", "#/a", "a+/b", "$share/g", "$share//a", "$share/g+/a", "$share/g/"] {
        assert!(!is_valid(filter), "{filter}");
    }
}

#[test]
fn filters_match_as_the_examples_of_the_standard_do() {
    for (filter, topic, expected) in [
        ("sport/tennis/player1/#", "sport/tennis/player1", true),
        ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true),
        ("sport/#", "sport", true),
        ("sport/tennis/+", "sport/tennis/player1/ranking", false),
        ("sport/+", "sport", false),
        ("sport/+", "sport/", true),
        ("+/+", "/finance", true),
        ("/+", "/finance", true),
        ("+", "/finance", false),
        ("#", "$SYS/monitor", false),
        ("+/monitor/Clients", "$SYS/monitor/Clients", false),
        ("$SYS/#", "$SYS/monitor", true),
    ] {
        assert_eq!(matches(filter, topic), expected, "{filter} {topic}");
    }
    assert_eq!(shared("$share/g/a/#"), Some("a/#"));
    assert_eq!(shared("a/$share"), None);
}
