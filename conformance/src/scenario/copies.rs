//! Copies of messages, as subscribers see them: told apart, compared, put in order.

use reference_broker::codec::Publish;

use super::Stage;
use crate::trace::packet_text;
use crate::verdict::Outcome;

/// The payload of a message as text.
pub(super) fn text(publish: &Publish) -> String {
    String::from_utf8_lossy(&publish.payload).into_owned()
}

/// The payloads of messages as text.
pub(super) fn texts(publishes: &[Publish]) -> Vec<String> {
    publishes.iter().map(text).collect()
}

/// The payloads of all shares as text, sorted.
pub(super) fn sorted(shares: &[Vec<Publish>]) -> Vec<String> {
    let mut all: Vec<String> = shares.iter().flat_map(|share| texts(share)).collect();
    all.sort();
    all
}

/// So many payloads, all different.
pub(super) fn numbered(count: usize) -> Vec<String> {
    (1..=count).map(|number| format!("message {number}")).collect()
}

/// Payloads in the order in which their last copies came: copies from before a resume may stand
/// between those from after it (section 4.6, comment).
pub(super) fn last_copies(publishes: &[Publish]) -> Vec<String> {
    let all = texts(publishes);
    let is_last =
        |(at, text): &(usize, &String)| !all.iter().skip(at + 1).any(|later| later == *text);
    all.iter().enumerate().filter(is_last).map(|(_, text)| text.clone()).collect()
}

/// Expects `again` to be the PUBLISH `first`, sent once more.
pub(super) fn is_repeated(stage: &Stage, first: &Publish, again: &Publish) -> Outcome {
    let same = again.packet_id == first.packet_id
        && again.qos == first.qos
        && again.topic == first.topic
        && again.payload == first.payload;
    let expected = format!("the same PUBLISH again, DUP 1: id={} {}", first.packet_id, text(first));
    let observed = packet_text(&again.clone().into());
    stage.stands_on("MQTT-4.4.0-1", same, &expected, &*observed)?;
    // Whether it says that it is repeated is another matter.
    stage.stands_on("MQTT-3.3.1-1", again.dup, &expected, observed)
}
