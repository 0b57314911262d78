//! Looks for a script that shows a choice, by chance.

use std::time::Duration;

use reference_broker::codec::{Packet, Text};
use reference_broker::core::Config;

use crate::chameleon::{self, Switch};
use crate::script::{Act, Place, Script, Step};
use crate::target::Variant;

use super::super::{Generator, Worlds, shrink};
use super::judge::{Reference, variants};

/// So many scripts that show a choice are made small; the best of them is kept.
const SMALL: usize = 12;

/// So often is a smaller script tried.
const SHRINKS: usize = 1_000;

/// A script may wait for so long in all.
const WAITS: Duration = Duration::from_millis(3_200);

/// What a broker at an address does within this time is done before the next step.
const SETTLED: Duration = Duration::from_millis(250);

/// Looks through so many scripts of a seed for those that show a choice, makes some of them small, and
/// gives the one on which the fewest other switches change what is seen of it; with how many do.
pub fn script_for(switch: &'static Switch, seed: u64, cases: usize) -> Option<(Script, usize)> {
    let place = Place { topics: "mqttspec/search".to_owned(), clients: "search".to_owned() };
    let reference = || Reference::new(Config::default(), place.clone(), Duration::ZERO);
    let mut generator = Generator::new(seed, Config::default(), Worlds::all());
    let scripts = std::iter::repeat_with(|| generator.script()).take(cases);
    let shows = |script: &Script| is_fit(script) && shows(&reference(), script, switch);
    let small = scripts.map(without_waits).filter(shows).take(SMALL).map(|script| {
        let script = shrink(&script, SHRINKS, shows);
        let touching = touching(&reference(), &script, switch);
        (script, touching)
    });
    small.min_by_key(|(script, touching)| (*touching, script.waits(), script.steps.len()))
}

/// Whether the choice shows, be it that all that comes of a step comes before the next one.
fn shows(reference: &Reference, script: &Script, switch: &'static Switch) -> bool {
    let base = Variant::default();
    let mut settled = Script::default();
    for step in &script.steps {
        settled.steps.extend([step.clone(), Step::new("all", Act::Wait(SETTLED))]);
    }
    let shows = |script: &Script| {
        let script = reference.rested(script, &base, switch);
        !reference.pair(&script, &base, switch).parts().is_empty()
    };
    shows(script) && shows(&settled)
}

/// How many other switches change what is seen of a choice.
fn touching(reference: &Reference, script: &Script, switch: &'static Switch) -> usize {
    let pair = reference.pair(script, &Variant::default(), switch);
    let parts = pair.parts();
    let others = chameleon::all().iter().filter(|other| *other != switch);
    let touches = |other: &&'static Switch| {
        let (_, variant) = variants(&Variant::default(), other);
        pair.touches(&parts, &reference.seen(script, &variant))
    };
    others.filter(touches).count()
}

/// Whether it can be played on any broker beside others that use it.
fn is_fit(script: &Script) -> bool {
    let is_own = |text: &Text| text.starts_with('~');
    let is_own_filter =
        |text: &Text| is_own(text) || text.starts_with("$share/") && text.contains("/~/");
    script.waits() <= WAITS
        && script.steps.iter().all(|step| match &step.act {
            Act::Send(Packet::Connect(connect)) => {
                connect.client_id.is_empty() || is_own(&connect.client_id)
            }
            Act::Send(Packet::Publish(publish)) => {
                publish.topic.is_empty() || is_own(&publish.topic)
            }
            Act::Send(Packet::Subscribe(subscribe)) => {
                subscribe.subscriptions.iter().all(|it| is_own_filter(&it.filter))
            }
            Act::SendBytes(_) => false,
            _ => true,
        })
}

/// The script without the waits that are more than there may be.
fn without_waits(mut script: Script) -> Script {
    let mut left = WAITS;
    script.steps.retain(|step| match step.act {
        Act::Wait(time) => {
            let fits = time <= left;
            left = if fits { left - time } else { left };
            fits
        }
        _ => true,
    });
    script
}
