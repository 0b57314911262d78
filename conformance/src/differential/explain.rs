//! Which choices or faults make the embedded broker behave as another one did.

use std::fmt;

use reference_broker::core::Config;

use crate::chameleon::{self, Switch};
use crate::mutant::{self, Mutant};
use crate::script::{Played, Script, play};
use crate::target::Variant;
use crate::verdict::Finding;

use super::{Observed, differences};

/// Why two brokers part ways.
#[derive(Clone, Debug, PartialEq)]
pub enum Explanation {
    /// By what the standard leaves open: these switches give the same.
    Choice(Vec<&'static Switch>),
    /// By a fault: this mutant gives the same.
    Violation(&'static Mutant),
    /// By a fault that an oracle tells of.
    Told(Box<Finding>),
    /// By nothing that is known here; at most it looks like this fault, which shows in other scripts too,
    /// but not of this broker.
    Open(Option<&'static Mutant>),
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Explanation::Choice(switches) => {
                let names: Vec<_> = switches.iter().map(|switch| switch.name).collect();
                write!(f, "an allowed choice: {}", names.join(" and "))
            }
            Explanation::Violation(mutant) => {
                let broken = mutant.requirements.join(", ");
                write!(f, "a violation of {broken}: behaves as {} ({})", mutant.id, mutant.breaks)
            }
            Explanation::Told(finding) => {
                let Finding { requirement, expected, observed, .. } = &**finding;
                let broken = requirement.unwrap_or_default();
                write!(f, "a violation of {broken}: expected {expected}, observed {observed}")
            }
            Explanation::Open(None) => f.write_str("open: no known choice or fault reproduces it"),
            Explanation::Open(Some(mutant)) => write!(
                f,
                "open: looks like {} ({}), but other scripts that would show that fault do not",
                mutant.id, mutant.breaks
            ),
        }
    }
}

/// Something that was seen of a broker.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// What clients did.
    pub script: Script,
    /// What they saw.
    pub seen: Observed,
}

/// Searches for what gives, on this script, what was seen of another broker: a switch, a mutant, or two
/// switches, in this order. Of several that do, the first that also explains all of `more` is taken,
/// or else the one that leaves the fewest differences there, if that is less than without it.
///
/// The embedded broker takes the choices of `base` besides, and `view` says what counts.
pub fn explain(
    of: &Evidence,
    more: &[Evidence],
    base: &Variant,
    config: &Config,
    view: fn(&Played) -> Observed,
) -> Explanation {
    let mut search = Search { of, more, base, config, view, best: None };
    search.run();
    let before = search.left(base);
    match search.best {
        Some((left, explanation)) if left < before || before == 0 => explanation,
        _ => Explanation::Open(None),
    }
}

struct Search<'a> {
    of: &'a Evidence,
    more: &'a [Evidence],
    base: &'a Variant,
    config: &'a Config,
    view: fn(&Played) -> Observed,
    /// With how many differences that are left in `more`.
    best: Option<(usize, Explanation)>,
}

impl Search<'_> {
    fn seen(&self, script: &Script, variant: &Variant) -> Observed {
        (self.view)(&play(script, variant, self.config))
    }

    /// The base with these choices too.
    fn choosing(&self, more: &[&'static Switch]) -> Result<Variant, String> {
        let is_new = more.iter().all(|switch| !self.base.switches().contains(switch));
        match is_new {
            true => Variant::choosing(self.base.switches().iter().chain(more).copied()),
            false => Err("they are taken already".to_owned()),
        }
    }

    /// Whether no better explanation can be found.
    fn is_done(&self) -> bool {
        self.best.as_ref().is_some_and(|(left, _)| *left == 0)
    }

    /// Tries a variant; gives what is seen of it.
    fn try_one(&mut self, variant: &Variant, explanation: Explanation) -> Observed {
        let given = self.seen(&self.of.script, variant);
        if given == self.of.seen {
            let left = self.left(variant);
            if self.best.as_ref().is_none_or(|(best, _)| left < *best) {
                self.best = Some((left, explanation));
            }
        }
        given
    }

    /// How many differences a variant leaves in `more`.
    fn left(&self, variant: &Variant) -> usize {
        let left = |it: &Evidence| differences(&self.seen(&it.script, variant), &it.seen).len();
        self.more.iter().map(left).sum()
    }

    fn run(&mut self) {
        let plain = self.seen(&self.of.script, self.base);
        // Those that change anything here.
        let mut touching = Vec::new();
        for switch in chameleon::all() {
            let Ok(variant) = self.choosing(&[switch]) else { continue };
            let given = self.try_one(&variant, Explanation::Choice(vec![switch]));
            if self.is_done() {
                return;
            }
            if given != plain {
                touching.push(switch);
            }
        }
        for mutant in mutant::all() {
            let explanation = Explanation::Violation(mutant);
            self.try_one(&self.base.clone().and_broken(mutant), explanation);
            if self.is_done() {
                return;
            }
        }
        if self.best.is_none() {
            self.try_pairs(&touching);
        }
    }

    fn try_pairs(&mut self, touching: &[&'static Switch]) {
        for (at, one) in touching.iter().enumerate() {
            for other in &touching[at + 1..] {
                if let Ok(variant) = self.choosing(&[one, other]) {
                    self.try_one(&variant, Explanation::Choice(vec![one, other]));
                }
                if self.is_done() {
                    return;
                }
            }
        }
    }
}
