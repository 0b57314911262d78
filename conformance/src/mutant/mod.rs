//! Mutants: the embedded broker, broken in one way. The suite's own test: a mutant that no scenario
//! and no oracle catches, and a scenario that no mutant fails, are holes in the suite.
//!
//! A mutant rewrites what crosses the [boundary](crate::boundary) of the core, in a few lines; the
//! core knows nothing of it. It cites the requirements that it breaks: to be caught means that a
//! scenario or oracle that cites one of them fails. A file a part of the standard, as with
//! scenarios.

mod malformed;
#[cfg(test)]
mod newcomer;
mod s1_05_data_representation;
mod s2_02_foreign_properties;
mod s2_02_packet_id;
mod s2_packet_format;
mod s3_01_client_id;
mod s3_01_connect;
mod s3_01_credentials;
mod s3_01_keep_alive;
mod s3_01_limits;
mod s3_01_races;
mod s3_01_session;
mod s3_01_session_expiry;
mod s3_01_small_packets;
mod s3_01_will;
mod s3_01_will_causes;
mod s3_01_will_delay;
mod s3_02_announced;
mod s3_02_connack;
mod s3_03_alias;
mod s3_03_expiry;
mod s3_03_overlap;
mod s3_03_properties;
mod s3_03_publish;
mod s3_03_retain;
mod s3_03_retain_store;
mod s3_03_subscribed;
mod s3_04_acknowledgements;
mod s3_04_strays;
mod s3_08_options;
mod s3_08_subscribe;
mod s3_09;
mod s3_10;
mod s3_12;
mod s3_14;
mod s4_01_clean_start;
mod s4_01_restart;
mod s4_01_returns;
mod s4_01_session;
mod s4_02_transport;
mod s4_03_received;
mod s4_03_sent;
mod s4_04_received;
mod s4_04_resend;
mod s4_05_at_once;
mod s4_06_order;
mod s4_07_goes_on;
mod s4_07_rights;
mod s4_07_topics;
mod s4_08_delivery;
mod s4_08_members;
mod s4_08_shared;
mod s4_09_flow;
mod s4_11;
mod s4_12;
mod s4_12_again;
mod s4_12_early;
mod s4_13_errors;
mod s6_websocket;
mod systemic;
mod trial;
mod tries;

use std::sync::OnceLock;

use reference_broker::core::Config;
use reference_broker::transport::BoxStream;

use crate::boundary::Rules;
use crate::boundary::segments::{Piece, Pieces, Segments};
use crate::websocket::{Between, Listener};

pub use trial::{Collateral, Collided, Fate, Holes, Kill, Matrix, Trial};
pub use tries::{Reach, Tries};

/// One way of being broken.
pub struct Mutant {
    /// Section and words, such as `3.12/pingresp-lost`; never renamed.
    pub id: &'static str,
    /// What the broker does wrong, in one line.
    pub breaks: &'static str,
    /// The requirements it breaks.
    pub requirements: &'static [&'static str],
    /// Requirements that cannot hold either where those are broken in this way. To notice only
    /// these does not catch the mutant.
    pub also: &'static [&'static str],
    /// Whether it touches nearly everything, so that the suite has to tell it as one cause.
    pub systemic: bool,
    configure: fn(&mut Config),
    rules: Box<dyn Fn() -> Rules + Send + Sync>,
    reads: Option<fn(Piece) -> bool>,
    listener: Option<fn() -> Box<dyn Listener>>,
}

impl Mutant {
    /// A mutant made of rules.
    fn new(
        id: &'static str,
        breaks: &'static str,
        requirements: &'static [&'static str],
        rules: impl Fn() -> Rules + Send + Sync + 'static,
    ) -> Mutant {
        let (rules, configure) = (Box::new(rules), |_: &mut Config| ());
        Mutant {
            id,
            breaks,
            requirements,
            also: &[],
            systemic: false,
            configure,
            rules,
            reads: None,
            listener: None,
        }
    }

    /// It touches nearly everything.
    fn systemic(mut self) -> Mutant {
        self.systemic = true;
        self
    }

    /// Where it does what it does, these requirements cannot hold either.
    fn also(mut self, requirements: &'static [&'static str]) -> Mutant {
        self.also = requirements;
        self
    }

    /// Also sets the core's own choices.
    fn configured(mut self, configure: fn(&mut Config)) -> Mutant {
        self.configure = configure;
        self
    }

    /// A mutant that reads only those pieces of packets that `reads` is true of.
    fn reading(
        id: &'static str,
        breaks: &'static str,
        requirements: &'static [&'static str],
        reads: fn(Piece) -> bool,
    ) -> Mutant {
        Mutant { reads: Some(reads), ..Mutant::new(id, breaks, requirements, Rules::new) }
    }

    /// A mutant whose WebSocket listener is broken.
    fn listening(
        id: &'static str,
        breaks: &'static str,
        requirements: &'static [&'static str],
        listener: fn() -> Box<dyn Listener>,
    ) -> Mutant {
        Mutant { listener: Some(listener), ..Mutant::new(id, breaks, requirements, Rules::new) }
    }

    /// Whether it breaks one of these requirements.
    pub(crate) fn breaks_one_of(&self, requirements: &[&str]) -> bool {
        requirements.iter().any(|requirement| self.requirements.contains(requirement))
    }

    /// Whether it is made in the stream between a client within the process and the broker. Over a socket
    /// there is nothing of it.
    pub fn is_in_stream(&self) -> bool {
        self.reads.is_some() || self.listener.is_some()
    }

    /// Whether one of the requirements that it breaks is a MUST.
    pub fn breaks_a_must(&self) -> bool {
        let mut rows = self.requirements.iter().filter_map(|id| crate::requirement::find(id));
        rows.any(|row| row.level.starts_with("MUST"))
    }

    /// The stream over which a client within the process reaches it.
    pub fn stream(&self, stream: BoxStream) -> BoxStream {
        match self.pieces() {
            Some(pieces) => Box::new(Segments::new(stream, pieces)),
            None => stream,
        }
    }

    /// What it reads of a connection, if not all of it.
    pub fn pieces(&self) -> Option<Pieces> {
        self.reads.map(Pieces::new)
    }

    /// The stream over which a client within the process reaches its WebSocket listener.
    pub fn below_websocket(&self, stream: BoxStream) -> BoxStream {
        match self.listener {
            Some(listener) => Box::new(Between::new(stream, listener())),
            None => stream,
        }
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
            s3_03_alias::mutants(),
            s3_03_expiry::mutants(),
            s3_03_overlap::mutants(),
            s3_03_properties::mutants(),
            s3_03_publish::mutants(),
            s3_03_retain::mutants(),
            s3_03_retain_store::mutants(),
            s3_03_subscribed::mutants(),
            s3_04_acknowledgements::mutants(),
            s3_04_strays::mutants(),
            s1_05_data_representation::mutants(),
            s2_02_packet_id::mutants(),
            s2_packet_format::mutants(),
            s2_02_foreign_properties::mutants(),
            s3_01_client_id::mutants(),
            s3_01_connect::mutants(),
            s3_01_credentials::mutants(),
            s3_01_keep_alive::mutants(),
            s3_01_limits::mutants(),
            s3_01_small_packets::mutants(),
            s3_01_races::mutants(),
            s3_01_session::mutants(),
            s3_01_session_expiry::mutants(),
            s3_01_will::mutants(),
            s3_01_will_causes::mutants(),
            s3_01_will_delay::mutants(),
            s3_02_connack::mutants(),
            s3_02_announced::mutants(),
            s3_08_subscribe::mutants(),
            s3_08_options::mutants(),
            s3_09::mutants(),
            s3_10::mutants(),
            s3_12::mutants(),
            s3_14::mutants(),
            s4_01_session::mutants(),
            s4_01_returns::mutants(),
            s4_01_restart::mutants(),
            s4_01_clean_start::mutants(),
            s4_02_transport::mutants(),
            s4_03_received::mutants(),
            s4_03_sent::mutants(),
            s4_04_received::mutants(),
            s4_04_resend::mutants(),
            s4_05_at_once::mutants(),
            s4_06_order::mutants(),
            s4_07_topics::mutants(),
            s4_07_goes_on::mutants(),
            s4_07_rights::mutants(),
            s4_08_delivery::mutants(),
            s4_08_shared::mutants(),
            s4_08_members::mutants(),
            s4_09_flow::mutants(),
            s4_11::mutants(),
            s4_12::mutants(),
            s4_12_early::mutants(),
            s4_12_again::mutants(),
            s4_13_errors::mutants(),
            s6_websocket::mutants(),
            systemic::mutants(),
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
            for requirement in mutant.requirements.iter().chain(mutant.also) {
                assert!(requirement::find(requirement).is_some(), "{id} cites {requirement}");
            }
        }
    }
}
