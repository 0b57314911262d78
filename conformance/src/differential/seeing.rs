//! How an embedded broker is looked at.

use reference_broker::core::Config;

use crate::script::{Place, Played, Script, play};
use crate::target::Variant;
use crate::trace::normalise;

use super::Observed;

/// How scripts are played on an embedded broker, and what counts of what is seen of it.
#[derive(Clone, Copy)]
pub(super) struct Seeing<'a> {
    pub(super) config: &'a Config,
    pub(super) view: fn(&Played) -> Observed,
    /// A place like those in which the other broker is given scripts. Topics have as many levels and bytes
    /// there, and on these depends what matches and what is too large.
    pub(super) place: Option<&'a Place>,
}

impl<'a> Seeing<'a> {
    /// Two brokers in memory are looked at alike, so all that is seen counts, and no place is needed.
    pub(super) fn in_memory(config: &'a Config) -> Seeing<'a> {
        Seeing { config, view: Observed::of, place: None }
    }

    /// What comes of a script, as if it had been played in no place.
    pub(super) fn played(self, script: &Script, variant: &Variant) -> Played {
        let Some(place) = self.place else { return play(script, variant, self.config) };
        let mut played = play(&place.script(script), variant, self.config);
        played.trace = normalise(&played.trace, &place.replacements());
        played
    }

    /// What of that counts.
    pub(super) fn seen(self, script: &Script, variant: &Variant) -> Observed {
        (self.view)(&self.played(script, variant))
    }
}
