//! Topic Filters of which one goes on where another ends.

use reference_broker::codec::{Packet, Text, Unsubscribe};

use super::Mutant;
use crate::boundary::Rules;
use crate::boundary::rules::{FORGED, forges};
use crate::boundary::subscriptions::Subscriptions;

pub(super) fn mutants() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "4.7/longer-filter-goes-with-shorter",
            "UNSUBSCRIBE of a filter also ends those with a wildcard that go on where it ends",
            &["MQTT-3.10.4-1"],
            || {
                others_end(|packet, own| match packet {
                    Packet::Unsubscribe(it) => it.filters.iter().any(|gone| goes_on(own, gone)),
                    _ => false,
                })
            },
        ),
        Mutant::new(
            "4.7/longer-filter-takes-place-of-shorter",
            "A subscription takes the place of one with a wildcard that it goes on from",
            &["U-4.7.3-5"],
            || {
                others_end(|packet, own| match packet {
                    Packet::Subscribe(it) => {
                        it.subscriptions.iter().any(|new| goes_on(&new.filter, own))
                    }
                    _ => false,
                })
            },
        ),
    ]
}

/// Whether a filter is another one, which has a wildcard, and one more level that is one.
fn goes_on(longer: &str, shorter: &str) -> bool {
    let rest = longer.strip_prefix(shorter);
    rest.is_some_and(|rest| rest == "/+") && shorter.contains('+')
}

/// Ends those of a client's subscriptions that `which` names at a packet of it.
fn others_end(which: fn(&Packet, &str) -> bool) -> Rules {
    let mut known = Subscriptions::default();
    vec![forges(move |packet, at, act| {
        let own = known.of(at).keys().filter(|own| which(&packet, own));
        let others: Vec<Text> = own.cloned().collect();
        known.note(&packet, at);
        let ends = others.into_iter().map(|other| Unsubscribe::new(FORGED, other));
        act.receive_with(packet, ends);
    })]
}
