//! What holds for all oracles: they find nothing against a broker that conforms, however late the
//! probes read, or if they do not read at all, also where the client's acknowledgements stand before
//! what they are for; they see what is repeated, and they are done in time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::LazyLock;
use std::time::Duration;

use conformance::oracle::judge;
use conformance::runner::{Options, Selection, run};
use conformance::target::Target;
use conformance::trace::{Event, What, to_text};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use reference_broker::codec::{ConnAck, Connect, Packet, Publish, PublishAck, QoS, ReasonCode};

/// The trace of every scenario against the embedded broker, by id.
static TRACES: LazyLock<Vec<(&str, Vec<Event>)>> = LazyLock::new(|| {
    let scenarios = Selection::default().scenarios().unwrap();
    let options =
        Options { jobs: 2, timeout_scale: 1.0, token: "memory".to_owned(), ..Options::default() };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let never = std::future::pending();
    let report = runtime.block_on(run(&Target::default(), scenarios, &options, never, |_| ()));
    report.unwrap().scenarios.into_iter().map(|result| (result.id, result.trace)).collect()
});

/// Whether the broker did it.
fn is_brokers(event: &Event) -> bool {
    use What::{ClosedByBroker, Received, ReceivedBroken};
    matches!(event.what, Received(_) | ReceivedBroken(..) | ClosedByBroker(_))
}

/// The trace as a probe would have it that reads later, each connection in its order, and that
/// leaves some unread: `choices` says how many events are read when, and on which connection.
fn read_late(trace: &[Event], choices: &[(u8, Index)]) -> Vec<Event> {
    let mut late: Vec<Event> = Vec::new();
    let mut waiting: BTreeMap<&str, VecDeque<&Event>> = BTreeMap::new();
    let mut unread = BTreeSet::new();
    let mut choices = choices.iter().cycle();
    for event in trace {
        match is_brokers(event) {
            true => waiting.entry(&event.probe).or_default().push_back(event),
            false => late.push(event.clone()),
        }
        let Some((choice, which)) = choices.next() else { continue };
        let names: Vec<&str> = waiting.keys().copied().collect();
        if names.is_empty() {
            continue;
        }
        let name = *which.get(&names);
        if *choice > 250 {
            unread.insert(name);
        }
        let queue = waiting.entry(name).or_default();
        let read = queue.drain(..usize::from(*choice % 4).min(queue.len()));
        late.extend(read.filter(|_| !unread.contains(name)).cloned());
    }
    let rest = waiting.into_iter().filter(|(name, _)| !unread.contains(name));
    late.extend(rest.flat_map(|(_, queue)| queue).cloned());
    let mut now = Duration::ZERO;
    for event in &mut late {
        now = now.max(event.at);
        event.at = now;
    }
    late
}

#[test]
fn a_conforming_broker_is_held_nothing_against() {
    assert!(TRACES.len() > 800);
    for (id, trace) in &*TRACES {
        let found = judge(trace);
        assert!(found.is_empty(), "{id}: {found:#?}\n{}", to_text(trace));
    }
}

proptest! {
    #[test]
    fn reading_late_or_not_at_all_breaks_no_rule(
        which in any::<Index>(),
        choices in vec((any::<u8>(), any::<Index>()), 1..40),
    ) {
        let (id, trace) = which.get(&TRACES);
        let late = read_late(trace, &choices);
        let found = judge(&late);
        prop_assert!(found.is_empty(), "{id}: {found:#?}\n{}", to_text(&late));
    }
}

#[test]
fn what_the_broker_repeats_is_found() {
    // Not all of them, which takes long: a prime is in step with nothing.
    const STEP: usize = 11;
    let can_be_repeated = |event: &Event| match &event.what {
        What::Received(Packet::Publish(publish)) => publish.qos == QoS::AtMostOnce,
        What::Received(Packet::Auth(_)) => true,
        What::Received(_) => false,
        _ => true,
    };
    let (mut found, mut missed) = (0, Vec::new());
    // What bytes that are no packet are taken for is not known, nor what is left after a restart.
    let is_unknown = |event: &Event| matches!(event.what, What::SentBytes(_) | What::Restarted(_));
    let traces = TRACES.iter().filter(|(_, trace)| !trace.iter().any(is_unknown));
    let places = traces.flat_map(|(id, trace)| (0..trace.len()).map(move |at| (id, trace, at)));
    let places = places.filter(|(_, trace, at)| !can_be_repeated(&trace[*at]));
    for (id, trace, at) in places.step_by(STEP) {
        let mut twice = trace.clone();
        twice.insert(at, trace[at].clone());
        match judge(&twice).is_empty() {
            false => found += 1,
            true => missed.push((id, at, &trace[at])),
        }
    }
    // After an error of the client's own a repetition may be the answer to it.
    assert!(missed.len() * 100 < found, "{found} found, missed {missed:#?}");
}

#[test]
fn long_traces_take_no_longer_than_they_are_long() {
    let mut trace = Vec::new();
    let mut event = |probe: &str, what| {
        trace.push(Event { at: Duration::ZERO, probe: probe.to_owned(), what });
    };
    for turn in 0..10_u32 {
        let probe = format!("a.{turn}");
        let connect = Connect::new("a").session_expiry(60);
        event(&probe, What::Sent(if turn == 0 { connect } else { connect.resume() }.into()));
        let connack = ConnAck::new(turn != 0, ReasonCode::Success);
        event(&probe, What::Received(connack.into()));
        for number in 0..2000_u32 {
            let id = u16::try_from(turn * 1000 + number + 1).unwrap();
            let publish = Publish::new("t", format!("{turn} {number}")).qos(QoS::AtLeastOnce, id);
            event("b", What::Sent(publish.clone().into()));
            event(&probe, What::Received(publish.into()));
            if number < 1000 {
                event(&probe, What::Sent(Packet::PubAck(PublishAck::new(id))));
            }
        }
    }
    // Its 60,000 events squared would take far longer.
    let started = std::time::Instant::now();
    judge(&trace);
    assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
}
