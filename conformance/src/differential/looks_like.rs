//! What a failing scenario looks like: the faults with which the embedded broker shows the same.

use reference_broker::codec::Packet;
use reference_broker::core::Config;

use crate::mutant::{self, Mutant};
use crate::report::Report;
use crate::script::{Played, announce, from_trace, play};
use crate::target::Variant;
use crate::trace::{Event, What};

use super::Observed;
use super::parallel::in_parallel;

/// No more scenarios are looked at than these: each takes a part of a second.
const LOOKED_AT: usize = 40;

/// No more faults are named than these: where many look alike, they tell nothing.
const NAMED: usize = 3;

/// Names for each scenario that fails, and of which that was not to be expected, the faults that it looks
/// like: such as break what it fails by first.
pub fn name_look_alikes(report: &mut Report) {
    let failing = report.scenarios.iter_mut().filter(|result| !result.expected);
    for result in failing.filter(|result| !result.findings.is_empty()).take(LOOKED_AT) {
        let mut alike = look_alikes(&result.trace);
        let broken = result.findings[0].requirement;
        alike.sort_by_key(|mutant| broken.is_none_or(|id| !mutant.requirements.contains(&id)));
        alike.truncate(NAMED);
        result.looks_like = alike.into_iter().map(|mutant| mutant.id).collect();
    }
}

/// The faults with which the embedded broker shows what a trace shows; none if it does without any.
pub fn look_alikes(trace: &[Event]) -> Vec<&'static Mutant> {
    let mut config = Config::default();
    let connacks = trace.iter().filter_map(|event| match &event.what {
        What::Received(Packet::ConnAck(connack)) => Some(connack),
        _ => None,
    });
    if let Some(connack) = connacks.into_iter().next() {
        announce(&connack.properties, &mut config);
    }
    let script = from_trace(trace);
    let seen = Observed::unannounced(&Played { trace: trace.to_vec(), steps: Vec::new() });
    let shows = |variant: &Variant| Observed::unannounced(&play(&script, variant, &config)) == seen;
    if shows(&Variant::default()) {
        return Vec::new();
    }
    let all: Vec<_> = mutant::all().iter().collect();
    let alike = in_parallel(&all, |mutant| shows(&Variant::broken(mutant)));
    all.into_iter().zip(alike).filter(|(_, alike)| *alike).map(|(mutant, _)| mutant).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::parse;

    const SCRIPT: &str = r#"a || opened
a -> CONNECT client_id="a" clean_start session_expiry_interval=60
a -> SUBSCRIBE id=1 "t" qos=2
b || opened
b -> CONNECT client_id="b" clean_start
b -> PUBLISH "t" qos=2 id=1 payload="m1"
b -> PUBREL id=1
"#;

    #[test]
    fn a_fault_is_known_by_what_it_shows_and_a_whole_broker_looks_like_none() {
        let script = parse(SCRIPT).unwrap();
        let trace = |variant: &Variant| play(&script, variant, &Config::default()).trace;
        assert!(look_alikes(&trace(&Variant::default())).is_empty());
        let whole = Observed::unannounced(&play(&script, &Variant::default(), &Config::default()));
        for mutant in mutant::all() {
            let shown = play(&script, &Variant::broken(mutant), &Config::default());
            if Observed::unannounced(&shown) != whole {
                assert!(look_alikes(&shown.trace).contains(&mutant), "{}", mutant.id);
                return;
            }
        }
        panic!("no mutant shows in this script");
    }
}
