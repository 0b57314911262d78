//! Mutants: the embedded broker, broken in one way. The suite's own test: a mutant that no scenario
//! and no oracle catches, and a scenario that no mutant fails, are holes in the suite.
//!
//! A mutant rewrites what crosses the [boundary](crate::boundary) of the core, in a few lines; the
//! core knows nothing of it. It cites the requirements that it breaks: to be caught means that a
//! scenario or oracle that cites one of them fails. A file a part of the standard, as with
//! scenarios.

mod malformed;
mod s3_08_options;
mod s3_08_subscribe;
mod s3_09;
mod s3_10;
mod s3_12;
mod s3_14;
mod trial;

use std::sync::OnceLock;

use reference_broker::core::Config;

use crate::boundary::Rules;

pub use trial::{Fate, Holes, Kill, Matrix, Trial, try_mutant};

/// One way of being broken.
pub struct Mutant {
    /// Section and words, such as `3.12/pingresp-lost`; never renamed.
    pub id: &'static str,
    /// What the broker does wrong, in one line.
    pub breaks: &'static str,
    /// The requirements it breaks.
    pub requirements: &'static [&'static str],
    configure: fn(&mut Config),
    rules: Box<dyn Fn() -> Rules + Send + Sync>,
}

impl Mutant {
    /// A mutant made of rules.
    fn new(
        id: &'static str,
        breaks: &'static str,
        requirements: &'static [&'static str],
        rules: impl Fn() -> Rules + Send + Sync + 'static,
    ) -> Mutant {
        Mutant { id, breaks, requirements, configure: |_| (), rules: Box::new(rules) }
    }

    #[expect(dead_code, reason = "no mutant so far")]
    /// Also sets the core's own choices.
    fn configured(mut self, configure: fn(&mut Config)) -> Mutant {
        self.configure = configure;
        self
    }

    /// The section of the standard it belongs to: what stands before the first `/`.
    pub fn section(&self) -> &'static str {
        self.id.split_once('/').map_or(self.id, |(section, _)| section)
    }

    /// Sets the core's own choices.
    pub fn configure(&self, config: &mut Config) {
        (self.configure)(config);
    }

    /// Makes its rules, for one broker.
    pub fn rules(&self) -> Rules {
        (self.rules)()
    }
}

impl std::fmt::Debug for Mutant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Mutant").field(&self.id).finish()
    }
}

impl PartialEq for Mutant {
    fn eq(&self, other: &Mutant) -> bool {
        self.id == other.id
    }
}

impl Eq for Mutant {}

/// Every mutant, by section.
pub fn all() -> &'static [Mutant] {
    static ALL: OnceLock<Vec<Mutant>> = OnceLock::new();
    ALL.get_or_init(|| {
        let lists = [
            s3_08_subscribe::mutants(),
            s3_08_options::mutants(),
            s3_09::mutants(),
            s3_10::mutants(),
            s3_12::mutants(),
            s3_14::mutants(),
            malformed::mutants(),
        ];
        let mut all: Vec<Mutant> = lists.into_iter().flatten().collect();
        all.sort_by_key(|mutant| crate::scenario::section_order(mutant.section()));
        all
    })
}

/// The mutant of this id.
pub fn find(id: &str) -> Option<&'static Mutant> {
    all().iter().find(|mutant| mutant.id == id)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::requirement;

    #[test]
    fn every_mutant_is_named_once_and_cites_what_exists() {
        let mut ids = BTreeSet::new();
        for mutant in all() {
            let id = mutant.id;
            assert!(ids.insert(id), "{id} stands twice");
            assert!(id.contains('/') && !mutant.breaks.is_empty(), "{id}");
            assert!(!mutant.requirements.is_empty(), "{id} cites nothing");
            for requirement in mutant.requirements {
                assert!(requirement::find(requirement).is_some(), "{id} cites {requirement}");
            }
        }
    }
}
