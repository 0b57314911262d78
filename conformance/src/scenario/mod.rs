//! Scenarios: what the suite asks of a broker, a file a section of the standard.
//!
//! A scenario sees a [`Stage`] and nothing of transports or targets. It returns; it never panics.
//! That something did *not* happen is shown by a fence (a marker message on the same path, or
//! PINGREQ and PINGRESP), never by a pause.

mod authenticating;
mod copies;
mod fences;
mod framed;
mod introduce;
mod kept;
mod names;
mod refusable;
mod rivals;
mod s1_05_data_representation;
mod s2_02_foreign_properties;
mod s2_02_packet_id;
mod s2_packet_format;
mod s3_01_client_id;
mod s3_01_connect;
mod s3_01_credentials;
mod s3_01_keep_alive;
mod s3_01_keep_alive_steps;
mod s3_01_limits;
mod s3_01_races;
mod s3_01_small_packets;
mod s3_01_takeover;
mod s3_01_will;
mod s3_01_will_causes;
mod s3_01_will_delay;
mod s3_02_announced;
mod s3_02_connack;
mod s3_03_alias;
mod s3_03_alias_to_client;
mod s3_03_expiry;
mod s3_03_overlap;
mod s3_03_properties;
mod s3_03_property_values;
mod s3_03_publish;
mod s3_03_retain;
mod s3_03_retain_as_published;
mod s3_03_retain_handling;
mod s3_03_retain_store;
mod s3_04_acknowledgements;
mod s3_04_refusals;
mod s3_08_options;
mod s3_08_refusals;
mod s3_08_subscribe;
mod s3_09_suback;
mod s3_10_unsubscribe;
mod s3_11_unsuback;
mod s3_12_ping;
mod s3_14_disconnect;
mod s3_14_expiry;
mod s3_15_auth;
mod s4_01_restart;
mod s4_01_returns;
mod s4_01_session;
mod s4_02_transport;
mod s4_03_qos_in;
mod s4_03_qos_out;
mod s4_04_repeat;
mod s4_04_resend;
mod s4_05_at_once;
mod s4_05_receipt;
mod s4_06_ordering;
mod s4_07_matching;
mod s4_07_rights;
mod s4_07_topics;
mod s4_08_shared;
mod s4_08_shared_delivery;
mod s4_08_shared_members;
mod s4_09_flow_control;
mod s4_09_limits;
mod s4_11_redirection;
mod s4_12_again;
mod s4_12_authentication;
mod s4_12_methods;
mod s4_13_errors;
mod s6_websocket;
mod sessions;
mod stage;
mod vectors;

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::OnceLock;
use std::time::Duration;

use crate::target::Need;
use crate::trace::{Event, What};
use crate::verdict::step::Step;
use crate::verdict::{Finding, Outcome};

pub(crate) use names::Names;
pub use stage::Stage;
pub use vectors::PacketVector;
pub(crate) use vectors::section as short_section;
pub(crate) use vectors::{RIGOUR, fault_of, has_to_be_noticed};

/// The steps of a scenario, under way.
pub type Steps<'a> = Pin<Box<dyn Future<Output = Outcome> + Send + 'a>>;

/// How a scenario relates to time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timing {
    /// It waits for answers only.
    Prompt,
    /// It lets about this many seconds of real time pass.
    Timed(u16),
}

impl Timing {
    /// How many seconds of real time it lets pass.
    pub fn seconds(self) -> Option<u16> {
        match self {
            Timing::Prompt => None,
            Timing::Timed(seconds) => Some(seconds),
        }
    }
}

/// One thing that the suite shows about a broker.
#[derive(Clone)]
pub struct Scenario {
    /// Section and words, such as `3.1/second-connect-closes`; never renamed.
    pub id: &'static str,
    /// What it shows, in one line.
    pub shows: &'static str,
    /// The requirements it proves; a finding cites the first unless the step says otherwise.
    pub requirements: &'static [&'static str],
    /// What the target must have.
    pub needs: &'static [Need],
    /// How it relates to time.
    pub timing: Timing,
    /// The requirements on clients that it breaks itself, to see what a broker makes of that. Malformed
    /// vectors need not say so: their bytes do.
    pub breaks: &'static [&'static str],
    /// The steps of which it is the plain case: where one of them fails here, it does so for everybody,
    /// and what others claim by it is blocked.
    pub plain: &'static [Step],
    run: Run,
}

#[derive(Clone, Copy)]
enum Run {
    Steps(fn(&mut Stage) -> Steps<'_>),
    Vector(&'static PacketVector),
}

impl fmt::Debug for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Scenario").field(&self.id).finish()
    }
}

/// Makes a scenario of an async function over a [`Stage`].
macro_rules! scenario {
    ($id:literal, $steps:path, $shows:literal, [$($requirement:literal),+ $(,)?]) => {
        $crate::scenario::Scenario::new(
            $id,
            $shows,
            &[$($requirement),+],
            |stage| Box::pin($steps(stage)),
        )
    };
}
pub(crate) use scenario;

impl Scenario {
    pub(crate) const fn new(
        id: &'static str,
        shows: &'static str,
        requirements: &'static [&'static str],
        steps: fn(&mut Stage) -> Steps<'_>,
    ) -> Scenario {
        let run = Run::Steps(steps);
        let timing = Timing::Prompt;
        Scenario { id, shows, requirements, needs: &[], timing, breaks: &[], plain: &[], run }
    }

    /// Says what the target must have.
    pub(crate) const fn needs(mut self, needs: &'static [Need]) -> Scenario {
        self.needs = needs;
        self
    }

    /// Says that it lets about this many seconds pass.
    pub(crate) const fn timed(mut self, seconds: u16) -> Scenario {
        self.timing = Timing::Timed(seconds);
        self
    }

    /// Says that it breaks these requirements on clients.
    pub(crate) const fn breaks(mut self, requirements: &'static [&'static str]) -> Scenario {
        self.breaks = requirements;
        self
    }

    /// Says that it is the plain case of these steps.
    pub(crate) const fn plain(mut self, steps: &'static [Step]) -> Scenario {
        self.plain = steps;
        self
    }

    /// Whether it breaks a rule on purpose that was found broken in its trace.
    pub fn means(&self, breach: &Finding, trace: &[Event]) -> bool {
        let event = breach.event.and_then(|event| trace.get(event)).map(|event| &event.what);
        // A vector is sent with names of its scenario's own, and nothing else as bytes.
        let is_vector = matches!(event, Some(What::SentBytes(_))) && self.is_vector();
        is_vector || breach.requirement.is_some_and(|id| self.breaks.contains(&id))
    }

    /// Whether it is made of a malformed vector.
    fn is_vector(&self) -> bool {
        matches!(self.run, Run::Vector(_))
    }

    /// Letters and digits that stand for its id in the names it uses on a broker, where there is little
    /// room: the same in every run and release, and another for each scenario.
    pub fn code(&self) -> String {
        names::digits(self.id, names::CODE_DIGITS) // A test shows that all differ.
    }

    /// The section of the standard it belongs to: what stands before the first `/`.
    pub fn section(&self) -> &'static str {
        self.id.split_once('/').map_or(self.id, |(section, _)| section)
    }

    /// How long it may take before it is cut off, in units of the target's clock.
    pub fn deadline(&self, scale: f64) -> Duration {
        let own = self.timing.seconds().unwrap_or(0);
        Duration::from_secs(u64::from(own)) + Duration::from_secs_f64(45.0 * scale)
    }

    /// The bytes that it sends, if it is made of a malformed vector.
    pub(crate) fn malformed_bytes(&self) -> Option<&'static [u8]> {
        match self.run {
            Run::Steps(_) => None,
            Run::Vector(vector) => Some(vector.bytes()),
        }
    }

    /// Goes through its steps.
    pub(crate) fn perform<'a>(&self, stage: &'a mut Stage) -> Steps<'a> {
        match self.run {
            Run::Steps(steps) => steps(stage),
            Run::Vector(vector) => Box::pin(vector.perform(stage)),
        }
    }
}

/// Every scenario, in the order of the standard.
pub fn all() -> &'static [Scenario] {
    static ALL: OnceLock<Vec<Scenario>> = OnceLock::new();
    ALL.get_or_init(|| {
        let mut all: Vec<Scenario> = WRITTEN.iter().flat_map(|list| list.iter().cloned()).collect();
        all.extend(vectors::scenarios());
        all.sort_by_key(|scenario| section_order(scenario.section())); // Stable: files keep theirs.
        all
    })
}

/// The scenario of this id.
pub fn find(id: &str) -> Option<&'static Scenario> {
    static PLACES: OnceLock<BTreeMap<&str, &Scenario>> = OnceLock::new();
    let places = PLACES.get_or_init(|| all().iter().map(|it| (it.id, it)).collect());
    places.get(id).copied()
}

/// `3.10` comes after `3.9`.
pub(crate) fn section_order(section: &str) -> Vec<u32> {
    section.split('.').map(|part| part.parse().unwrap_or(u32::MAX)).collect()
}

/// The scenarios of each file.
const WRITTEN: &[&[Scenario]] = &[
    s1_05_data_representation::SCENARIOS,
    s2_02_packet_id::SCENARIOS,
    s2_packet_format::SCENARIOS,
    s2_02_foreign_properties::SCENARIOS,
    s3_01_client_id::SCENARIOS,
    s3_01_connect::SCENARIOS,
    s3_01_credentials::SCENARIOS,
    s3_01_keep_alive::SCENARIOS,
    s3_01_keep_alive_steps::SCENARIOS,
    s3_01_limits::SCENARIOS,
    s3_01_small_packets::SCENARIOS,
    s3_01_takeover::SCENARIOS,
    s3_01_races::SCENARIOS,
    s3_01_will::SCENARIOS,
    s3_01_will_causes::SCENARIOS,
    s3_01_will_delay::SCENARIOS,
    s3_02_connack::SCENARIOS,
    s3_02_announced::SCENARIOS,
    s3_03_alias::SCENARIOS,
    s3_03_alias_to_client::SCENARIOS,
    s3_03_expiry::SCENARIOS,
    s3_03_overlap::SCENARIOS,
    s3_03_properties::SCENARIOS,
    s3_03_property_values::SCENARIOS,
    s3_03_publish::SCENARIOS,
    s3_03_retain::SCENARIOS,
    s3_03_retain_as_published::SCENARIOS,
    s3_03_retain_handling::SCENARIOS,
    s3_03_retain_store::SCENARIOS,
    s3_04_acknowledgements::SCENARIOS,
    s3_04_refusals::SCENARIOS,
    s3_08_options::SCENARIOS,
    s3_08_refusals::SCENARIOS,
    s3_08_subscribe::SCENARIOS,
    s3_09_suback::SCENARIOS,
    s3_10_unsubscribe::SCENARIOS,
    s3_11_unsuback::SCENARIOS,
    s3_12_ping::SCENARIOS,
    s3_14_disconnect::SCENARIOS,
    s3_14_expiry::SCENARIOS,
    s3_15_auth::SCENARIOS,
    s4_01_session::SCENARIOS,
    s4_01_returns::SCENARIOS,
    s4_01_restart::STOP,
    s4_01_restart::KILL,
    s4_02_transport::SCENARIOS,
    s4_03_qos_in::SCENARIOS,
    s4_03_qos_out::SCENARIOS,
    s4_04_repeat::SCENARIOS,
    s4_04_resend::SCENARIOS,
    s4_05_receipt::SCENARIOS,
    s4_05_at_once::SCENARIOS,
    s4_06_ordering::SCENARIOS,
    s4_07_matching::SCENARIOS,
    s4_07_topics::SCENARIOS,
    s4_07_rights::SCENARIOS,
    s4_08_shared::SCENARIOS,
    s4_08_shared_delivery::SCENARIOS,
    s4_08_shared_members::SCENARIOS,
    s4_09_flow_control::SCENARIOS,
    s4_09_limits::SCENARIOS,
    s4_11_redirection::SCENARIOS,
    s4_12_again::SCENARIOS,
    s4_12_authentication::SCENARIOS,
    s4_12_methods::SCENARIOS,
    s4_13_errors::SCENARIOS,
    s6_websocket::SCENARIOS,
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::requirement;

    #[test]
    fn every_scenario_is_named_once_and_cites_what_exists() {
        let (mut ids, mut codes) = (BTreeSet::new(), BTreeSet::new());
        for scenario in all() {
            let id = scenario.id;
            assert!(codes.insert(scenario.code()), "{id} has the code of another");
            assert!(ids.insert(id), "{id} stands twice");
            let words = id
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || b"0123456789-./".contains(&byte));
            assert!(words && id.contains('/'), "{id} is no id");
            assert!(!scenario.shows.is_empty() && !scenario.requirements.is_empty(), "{id}");
            for requirement in scenario.requirements {
                assert!(requirement::find(requirement).is_some(), "{id} cites {requirement}");
            }
            for requirement in scenario.breaks {
                let row = requirement::find(requirement);
                let binds_clients = row.is_some_and(|row| row.binds != "server");
                assert!(binds_clients, "{id} breaks {requirement}");
            }
        }
    }
}
