//! Brokers that overlook bytes that are no valid packet: one for each requirement that forbids
//! such bytes and that a malformed vector breaks.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use reference_broker::codec::Side;

use super::Mutant;
use crate::boundary::rules::endures;
use crate::scenario;

pub(super) fn mutants() -> Vec<Mutant> {
    ids().iter().map(|(id, requirement)| overlooks(id, requirement)).collect()
}

fn overlooks(id: &'static str, requirement: &'static [&'static str; 1]) -> Mutant {
    // Who overlooks them does not close for them.
    Mutant::new(id, "Bytes that break this are overlooked", requirement, || {
        let [forbids] = *requirement;
        vec![endures(move |_, error| error.fault.requirement(Side::Client) == forbids)]
    })
    .also(&["MQTT-4.13.1-1"])
}

/// Ids, and the requirement of each. Made once, so that they live as long as those written.
fn ids() -> &'static [(String, [&'static str; 1])] {
    static IDS: OnceLock<Vec<(String, [&'static str; 1])>> = OnceLock::new();
    IDS.get_or_init(|| {
        let vectors = scenario::all().iter().filter_map(|scenario| scenario.malformed_bytes());
        let forbidding: BTreeSet<_> = vectors
            .filter_map(scenario::fault_of)
            .map(|error| error.fault.requirement(Side::Client))
            .collect();
        let id = |requirement: &'static str| {
            let row = crate::requirement::find(requirement);
            let section = row.map_or("0", |row| scenario::short_section(row.section));
            (format!("{section}/overlooks-{requirement}"), [requirement])
        };
        forbidding.into_iter().map(id).collect()
    })
}
