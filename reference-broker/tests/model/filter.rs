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

/// The Topic Filter of a Shared Subscription.
pub(crate) fn shared(filter: &str) -> Option<&str> {
    filter.strip_prefix("$share/")?.split_once('/').map(|(_, filter)| filter)
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
