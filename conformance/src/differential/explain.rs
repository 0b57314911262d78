//! Which choices or faults make the embedded broker behave as another one did.

use std::fmt;

use crate::chameleon::{self, Switch};
use crate::mutant::{self, Mutant};
use crate::script::Script;
use crate::target::Variant;
use crate::verdict::Finding;

use super::seeing::Seeing;
use super::{Observed, differences};

/// Why two brokers part ways.
#[derive(Clone, Debug, PartialEq)]
pub enum Explanation {
    /// By what the standard leaves open: these switches give the same.
    Choice(Vec<&'static Switch>),
    /// By a fault: this mutant gives the same.
    Violation(&'static Mutant),
    /// By a fault that an oracle, or the decoder, tells of.
    Told(Box<Finding>),
    /// By what the standard leaves open and no switch has.
    Free(Box<FreeChoice>),
    /// By nothing that is known here; at most it looks like this fault, which shows in other scripts too,
    /// but not of this broker.
    Open(Option<&'static Mutant>),
}

/// Something that the standard leaves open, seen of a broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FreeChoice {
    /// Its name in lists of known divergences.
    pub name: String,
    /// What the broker does, in one line.
    pub does: String,
    /// The section or requirement that leaves this open.
    pub allowed_by: &'static str,
    /// The requirement that a client broke, where this was overlooked.
    pub overlooked: Option<&'static str>,
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
            Explanation::Free(choice) => {
                write!(f, "an allowed choice ({}): {}", choice.allowed_by, choice.does)
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

/// Searches for what gives, on this script, what was seen of another broker: a switch, two switches, or a
/// mutant, in this order. Of several that do, the first that also explains all of `more` is taken, or else
/// the one that leaves the fewest differences there, if that is less than without it.
///
/// The embedded broker takes the choices of `base` besides.
pub(super) fn explain(
    of: &Evidence,
    more: &[Evidence],
    base: &Variant,
    seeing: Seeing<'_>,
) -> Explanation {
    let search = Search { of, more, base, seeing, found: Vec::new(), is_quick: true };
    search.best_first().into_iter().next().unwrap_or(Explanation::Open(None))
}

/// As [`explain`], but all of them, the best ones first.
pub(super) fn explanations(
    of: &Evidence,
    more: &[Evidence],
    base: &Variant,
    seeing: Seeing<'_>,
) -> Vec<Explanation> {
    Search { of, more, base, seeing, found: Vec::new(), is_quick: false }.best_first()
}

struct Search<'a> {
    of: &'a Evidence,
    more: &'a [Evidence],
    base: &'a Variant,
    seeing: Seeing<'a>,
    /// Each with how many differences it leaves in `more`.
    found: Vec<(usize, Explanation)>,
    /// Whether the search ends when no better one can be found.
    is_quick: bool,
}

impl Search<'_> {
    fn seen(&self, script: &Script, variant: &Variant) -> Observed {
        self.seeing.seen(script, variant)
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
        self.is_quick && self.found.iter().any(|(left, _)| *left == 0)
    }

    /// Those that leave less than there is without them, the ones that leave least first.
    fn best_first(mut self) -> Vec<Explanation> {
        self.run();
        let before = self.left(self.base);
        self.found.retain(|(left, _)| *left < before || before == 0);
        // A fault is no better an explanation than a choice.
        let is_fault = |it: &Explanation| matches!(it, Explanation::Violation(_));
        self.found.sort_by_key(|(left, it)| (*left, is_fault(it)));
        self.found.into_iter().map(|(_, explanation)| explanation).collect()
    }

    /// Tries a variant; gives what is seen of it.
    fn try_one(&mut self, variant: &Variant, explanation: Explanation) -> Observed {
        let given = self.seen(&self.of.script, variant);
        if given == self.of.seen {
            self.found.push((self.left(variant), explanation));
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
        if self.found.is_empty() {
            self.try_pairs(&touching);
        }
        for mutant in mutant::all() {
            if self.is_done() {
                return;
            }
            let explanation = Explanation::Violation(mutant);
            self.try_one(&self.base.clone().and_broken(mutant), explanation);
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
