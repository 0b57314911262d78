//! Section 4.7: Topic Names and Topic Filters, which match which.

use reference_broker::codec::{Packet, QoS};

use super::{Scenario, Stage, scenario};
use crate::target::Need;
use crate::trace::Said;
use crate::verdict::Outcome;

pub(super) const SCENARIOS: &[Scenario] = &[
    scenario!(
        "4.7/every-level-counts",
        every_level_counts,
        "A filter without wildcards matches its own topic alone, empty levels and all",
        ["U-4.7.1.1-1", "U-4.7.3-3", "U-4.7.3-5"]
    )
    .needs(UP_TO_1),
    scenario!(
        "4.7/plus-matches-one-level",
        plus_matches_one_level,
        "The single-level wildcard matches exactly one level, also an empty one",
        ["U-4.7.1.3-1", "U-4.7.1.1-1", "U-4.7.3-5"]
    )
    .needs(UP_TO_1_WILD),
    scenario!(
        "4.7/hash-matches-parent-and-below",
        hash_matches_parent_and_below,
        "The multi-level wildcard matches the level it stands below and everything under that",
        ["U-4.7.1.2-1", "U-4.7.1.1-1", "U-4.7.3-5"]
    )
    .needs(UP_TO_1_WILD),
    scenario!(
        "4.7/plus-and-hash-together",
        plus_and_hash_together,
        "Both wildcards in one filter match what each of them matches",
        ["U-4.7.1.3-1", "U-4.7.1.2-1", "U-4.7.3-5"]
    )
    .needs(UP_TO_1_WILD),
    scenario!(
        "4.7/wildcard-at-the-start",
        wildcard_at_the_start,
        "A wildcard that begins a filter matches the first level, also an empty one",
        ["U-4.7.1.3-1", "U-4.7.1.2-1"]
    )
    .needs(UP_TO_1_WILD),
    scenario!(
        "4.7/filter-that-goes-on",
        filter_that_goes_on,
        "Of two filters of which one goes on where the other ends each brings its own messages",
        ["U-4.7.3-5", "MQTT-3.10.4-1"]
    )
    .needs(UP_TO_1_WILD),
    scenario!(
        "4.7/case-counts",
        case_counts,
        "Topics that differ in upper and lower case differ",
        ["U-4.7.3-1"]
    )
    .needs(UP_TO_1),
    scenario!(
        "4.7/spaces-count",
        spaces_count,
        "Topics may have spaces anywhere, and differ by them",
        ["U-4.7.3-2"]
    )
    .needs(UP_TO_1),
    scenario!(
        "4.7/no-normalization",
        no_normalization,
        "Topics whose characters differ differ, however much they look or mean the same",
        ["MQTT-4.7.3-4", "MQTT-1.5.4-3"]
    )
    .needs(UP_TO_1),
    scenario!(
        "4.7/no-other-wildcards",
        no_other_wildcards,
        "Characters that are wildcards elsewhere stand for themselves",
        ["MQTT-4.7.3-4"]
    )
    .needs(UP_TO_1),
];

const UP_TO_1: &[Need] = &[Need::QoS(QoS::AtLeastOnce)];
const UP_TO_1_WILD: &[Need] = &[Need::QoS(QoS::AtLeastOnce), Need::Wildcards];

/// A filter and the topics it matches; it matches no other of those that are published to.
type Row = (&'static str, &'static [&'static str]);

/// Topics below one that is the scenario's own. A `$` at the start of a lower level means nothing.
const TOPICS: &[&str] = &[
    "a", "b", "/", "//", "///", "a/", "/a", "/b", "a/b", "a/$b", "$a", "A", "ab", "a//", "a//b",
    "a//c", "a/c", "a/b/", "a/b/c", "a/b/b/c", "/a/", "/a/b", "b/a", "b/a/c", "b/a/b",
];

const EXACT: &[Row] = &[
    ("a/b", &["a/b"]),
    ("a", &["a"]),
    ("a/", &["a/"]),
    ("/a", &["/a"]),
    ("/", &["/"]),
    ("//", &["//"]),
    ("a//b", &["a//b"]),
];

const PLUS: &[Row] = &[
    ("+", &["a", "b", "$a", "A", "ab"]),
    ("a/+", &["a/", "a/b", "a/$b", "a/c"]),
    ("+/b", &["/b", "a/b"]),
    ("+/+", &["/", "a/", "/a", "/b", "a/b", "a/$b", "a/c", "b/a"]),
    ("/+", &["/", "/a", "/b"]),
    ("a/+/c", &["a//c", "a/b/c"]),
    ("+/+/+", &["//", "a//", "a//b", "a//c", "a/b/", "a/b/c", "/a/", "/a/b", "b/a/c", "b/a/b"]),
];

const HASH: &[Row] = &[
    ("#", TOPICS),
    ("a/#", &["a", "a/", "a/b", "a/$b", "a//", "a//b", "a//c", "a/c", "a/b/", "a/b/c", "a/b/b/c"]),
    ("/#", &["/", "//", "///", "/a", "/b", "/a/", "/a/b"]),
    ("a/b/#", &["a/b", "a/b/", "a/b/c", "a/b/b/c"]),
    ("a//#", &["a/", "a//", "a//b", "a//c"]),
];

const BOTH: &[Row] = &[
    ("+/#", TOPICS),
    ("a/+/#", &["a/", "a/b", "a/$b", "a//", "a//b", "a//c", "a/c", "a/b/", "a/b/c", "a/b/b/c"]),
    ("+/a/#", &["/a", "/a/", "/a/b", "b/a", "b/a/c", "b/a/b"]),
    (
        "+/+/#",
        &[
            "/", "//", "///", "a/", "/a", "/b", "a/b", "a/$b", "a//", "a//b", "a//c", "a/c",
            "a/b/", "a/b/c", "a/b/b/c", "/a/", "/a/b", "b/a", "b/a/c", "b/a/b",
        ],
    ),
    ("/+/#", &["/", "//", "///", "/a", "/b", "/a/", "/a/b"]),
];

async fn every_level_counts(stage: &mut Stage) -> Outcome {
    table_holds(stage, EXACT).await
}

async fn plus_matches_one_level(stage: &mut Stage) -> Outcome {
    table_holds(stage, PLUS).await
}

async fn hash_matches_parent_and_below(stage: &mut Stage) -> Outcome {
    table_holds(stage, HASH).await
}

async fn plus_and_hash_together(stage: &mut Stage) -> Outcome {
    table_holds(stage, BOTH).await
}

async fn wildcard_at_the_start(stage: &mut Stage) -> Outcome {
    // What follows the first level is the scenario's own as well.
    let own = stage.topic("own");
    let rest = own.split_once('/').map_or(own.as_str(), |(_, rest)| rest);
    let [named, empty, other] = ["named", "", "other"].map(|first| format!("{first}/{rest}"));
    let below = format!("{named}/below");
    let topics = [named, empty, other, below].to_vec();
    let [named, empty, other, _] = &topics[..] else { return stage.fail("four topics", "others") };
    let one_level = vec![named.clone(), empty.clone(), other.clone()];
    let rows = [
        (format!("+/{rest}"), one_level),
        (format!("+/{rest}/#"), topics.clone()),
        (format!("/{rest}"), vec![empty.clone()]),
        (format!("/{rest}/#"), vec![empty.clone()]),
    ];
    let mut scout = stage.connected("scout").await?;
    for (filter, _) in &rows {
        if !scout.subscribe_or_close(filter, QoS::AtLeastOnce).await? {
            return stage.not_applicable(format!("the target closes for the filter {filter}"));
        }
    }
    scout.leave().await?;
    matches_are(stage, &topics, &rows).await
}

async fn filter_that_goes_on(stage: &mut Stage) -> Outcome {
    const SHORT: (&str, &str) = ("house/+/room", "house/1/room");
    const LONG: (&str, &str) = ("house/+/room/+", "house/1/room/2");
    let mut bob = stage.connected("bob").await?;
    for (name, pairs) in [("shorter", [SHORT, LONG]), ("longer", [LONG, SHORT])] {
        let pairs = pairs.map(|(filter, topic)| {
            (stage.topic(&format!("{name}/{filter}")), stage.topic(&format!("{name}/{topic}")))
        });
        let mut alice = stage.connected("alice").await?;
        for (filter, _) in &pairs {
            stage.means();
            alice.subscribe(filter, QoS::AtLeastOnce).await?;
        }
        for (_, topic) in &pairs {
            stage.means();
            bob.publish(topic, "both", QoS::AtLeastOnce).await?;
            stage.claims();
            alice.receives(topic, "both").await?;
        }
        // The first is given up: the other stays.
        stage.means();
        let [(filter, topic), (_, other)] = &pairs;
        alice.unsubscribe(filter).await?;
        bob.publish(topic, "given up", QoS::AtLeastOnce).await?;
        bob.publish(other, "one left", QoS::AtLeastOnce).await?;
        stage.proving("MQTT-3.10.4-1");
        alice.receives(other, "one left").await?;
        stage.proving("U-4.7.3-5");
        stage.means();
        alice.has_no_message().await?;
    }
    Ok(())
}

async fn case_counts(stage: &mut Stage) -> Outcome {
    all_differ(
        stage,
        &["ACCOUNTS", "Accounts", "accounts", "\u{C9}", "\u{E9}", "I", "i", "\u{131}"],
    )
    .await
}

async fn spaces_count(stage: &mut Stage) -> Outcome {
    all_differ(stage, &["a b", "ab", " a b", "a b ", "a  b", "a/ /b", "a//b", " ", "a\u{A0}b"])
        .await
}

async fn no_normalization(stage: &mut Stage) -> Outcome {
    let composed = ["\u{E9}", "e\u{301}", "e"];
    let compatible = ["\u{FB01}", "fi", "\u{FF21}", "A"];
    let invisible =
        ["\u{FEFF}a", "a", "a\u{FEFF}", "\u{1F468}\u{200D}\u{1F469}", "\u{1F468}\u{1F469}"];
    let paths = ["x/y", "x/./y", "x/../y", "x%2Fy", "x\\y", "x/y.", "y"];
    let topics = [&composed[..], &compatible, &invisible, &paths].concat();
    all_differ(stage, &topics).await
}

async fn no_other_wildcards(stage: &mut Stage) -> Outcome {
    all_differ(
        stage,
        &["a", "b", "*", "?", ".", ".*", "%", "_", "[ab]", "{a,b}", "a|b", "**", "(a)"],
    )
    .await
}

async fn table_holds(stage: &mut Stage, rows: &[Row]) -> Outcome {
    let full = |names: &[&str]| names.iter().map(|name| stage.topic(name)).collect::<Vec<_>>();
    let topics = full(TOPICS);
    let rows: Vec<_> =
        rows.iter().map(|(filter, names)| (stage.topic(filter), full(names))).collect();
    matches_are(stage, &topics, &rows).await
}

async fn all_differ(stage: &mut Stage, names: &[&str]) -> Outcome {
    let topics: Vec<_> = names.iter().map(|name| stage.topic(name)).collect();
    let rows: Vec<_> = topics.iter().map(|topic| (topic.clone(), vec![topic.clone()])).collect();
    matches_are(stage, &topics, &rows).await
}

/// Subscribes a client of its own to each filter, publishes to each topic, and looks at who got
/// what. All is published twice: a message too many of the first time comes before the last of the
/// second.
async fn matches_are(
    stage: &mut Stage,
    topics: &[String],
    rows: &[(String, Vec<String>)],
) -> Outcome {
    let mut bob = stage.connected("bob").await?;
    let plain = stage.topic("plain");
    let mut witness = stage.connected("witness").await?;
    witness.subscribe(&plain, QoS::AtLeastOnce).await?;
    stage.nothing_on(&plain, &mut bob, &mut witness).await?;
    witness.leave().await?;
    let mut subscribers = Vec::with_capacity(rows.len());
    for (number, (filter, _)) in rows.iter().enumerate() {
        stage.means();
        let mut subscriber = stage.connected(&format!("alice{number}")).await?;
        stage.claims();
        subscriber.subscribe(filter, QoS::AtLeastOnce).await?;
        subscribers.push(subscriber);
    }
    for time in ["first", "second"] {
        for topic in topics {
            bob.publish(topic, time, QoS::AtLeastOnce).await?;
        }
    }
    for (subscriber, (filter, matching)) in subscribers.iter_mut().zip(rows) {
        stage.claims();
        let mut expected: Vec<_> = matching.iter().chain(matching).map(String::as_str).collect();
        let text = format!(
            "two messages on each of {} and no other for {}",
            matching.said(),
            filter.said()
        );
        let mut found = Vec::with_capacity(expected.len());
        for _ in 0..expected.len() {
            let message = subscriber.message(&text).await?;
            subscriber.acknowledge(&message).await?;
            found.push(message.topic);
        }
        expected.sort_unstable();
        found.sort_unstable();
        let fits = found.iter().map(|topic| &**topic).eq(expected);
        stage.check(fits, &text, format!("messages on {}", found.said()))?;
        stage.means();
        subscriber.ping().await?;
        let more = subscriber.unread().any(|packet| matches!(packet, Packet::Publish(_)));
        stage.check(!more, &text, "one more message")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use reference_broker::topic::{TopicFilter, TopicName};

    #[test]
    fn the_tables_agree_with_the_reference_broker() {
        for (filter, matching) in [EXACT, PLUS, HASH, BOTH].concat() {
            let parsed = TopicFilter::parse(&format!("own/{filter}")).unwrap();
            let is_matched =
                |name: &&str| parsed.matches(&TopicName::parse(&format!("own/{name}")).unwrap());
            let found: Vec<_> = TOPICS.iter().copied().filter(is_matched).collect();
            assert_eq!(found, matching, "{filter}");
        }
    }
}
