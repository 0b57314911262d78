//! Holds the oracles to what they must not do: find fault with a broker that conforms, however late
//! the probes read, or if they do not read at all.

use std::sync::OnceLock;

use conformance::oracle;
use conformance::runner::{Options, Selection, run};
use conformance::target::Target;
use conformance::trace::{Event, What, to_text};
use proptest::collection::vec;
use proptest::prelude::*;
use reference_broker::codec::Packet;

/// The traces of all scenarios against the embedded broker.
fn traces() -> &'static [Vec<Event>] {
    static TRACES: OnceLock<Vec<Vec<Event>>> = OnceLock::new();
    TRACES.get_or_init(|| {
        let scenarios = Selection::default().scenarios().unwrap();
        let options = Options { jobs: 2, timeout_scale: 1.0, token: "run".to_owned() };
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let never = std::future::pending();
        let report = runtime.block_on(run(&Target::default(), scenarios, &options, never, |_| ()));
        report.unwrap().scenarios.into_iter().map(|result| result.trace).collect()
    })
}

/// Whether a probe may send this before it has read what the broker sent. It cannot acknowledge
/// what it has not read, nor leave first and read on.
fn may_come_before_reading(what: &What) -> bool {
    use Packet::{Auth, PubAck, PubComp, PubRec, PubRel};
    match what {
        What::Sent(packet) => {
            !matches!(packet, PubAck(_) | PubRec(_) | PubRel(_) | PubComp(_) | Auth(_))
        }
        What::Silence(_) | What::Waited(_) => true,
        _ => false,
    }
}

/// The same on the broker's side, where the probes read later, by up to so many events each.
fn read_later(trace: &[Event], delays: &[usize]) -> Vec<Event> {
    let mut events = trace.to_vec();
    // From behind, so that what was read after is out of the way.
    for start in (0..events.len()).rev() {
        if !matches!(events[start].what, What::Received(_)) {
            continue;
        }
        for at in start..(start + delays[start % delays.len()]).min(events.len() - 1) {
            let next = &events[at + 1];
            if next.probe == events[at].probe && !may_come_before_reading(&next.what) {
                break;
            }
            events.swap(at, at + 1);
            events[at + 1].at = events[at + 1].at.max(events[at].at);
        }
    }
    events
}

/// The same on the broker's side, where this connection's probe stopped reading after so many
/// packets.
fn read_less(trace: &[Event], probe: &str, packets: usize) -> Vec<Event> {
    let mut left = packets;
    let mut events = trace.to_vec();
    events.retain(|event| {
        let is_read = matches!(
            event.what,
            What::Received(_) | What::ReceivedBroken(..) | What::ClosedByBroker(_)
        );
        if event.probe != probe || !is_read {
            return true;
        }
        let keep = left > 0;
        left = left.saturating_sub(1);
        keep
    });
    events
}

#[test]
fn a_conforming_broker_is_held_nothing_against() {
    assert!(traces().len() > 800);
    for trace in traces() {
        let found = oracle::judge(trace);
        assert!(found.is_empty(), "{found:#?}\n{}", to_text(trace));
    }
}

proptest! {
    #[test]
    fn nor_is_it_when_probes_read_late_or_not_at_all(
        trace in any::<prop::sample::Index>(),
        delays in vec(0..12_usize, 1..40),
        unread in any::<prop::sample::Index>(),
        packets in 0..8_usize,
    ) {
        let trace = trace.get(traces());
        let late = read_later(trace, &delays);
        let found = oracle::judge(&late);
        prop_assert!(found.is_empty(), "{found:#?}\n{}", to_text(&late));
        let less = read_less(&late, &unread.get(trace).probe, packets);
        let found = oracle::judge(&less);
        prop_assert!(found.is_empty(), "{found:#?}\n{}", to_text(&less));
    }
}
