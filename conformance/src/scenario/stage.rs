use std::time::Duration;

use bytes::Bytes;
use reference_broker::codec::{Connect, Packet, QoS};
use tokio::time::{Instant, sleep};

use crate::probe::{Context, Phase, Probe};
use crate::target::{Capabilities, Connector, Need, Restart, Setup};
use crate::trace::What;
use crate::verdict::{Outcome, Stop, step};

use super::Names;
use super::names::digits;

/// Keep Alive of clients that a scenario does not choose one for, in seconds: long enough never to
/// matter, without asking for none.
pub(super) const KEEP_ALIVE: u16 = 3600;

/// Within what time a broker that looks for what is over now and then has seen that something is.
const NOTICED_BY: Duration = Duration::from_millis(10_500);

/// What a scenario is given: a way to the target, names of its own, and time.
#[derive(Debug)]
pub struct Stage {
    pub(super) connector: Connector,
    pub(super) capabilities: Capabilities,
    pub(super) context: Context,
    names: Names,
    pub(super) markers: u32,
}

impl Stage {
    pub(crate) fn new(
        connector: Connector,
        capabilities: Capabilities,
        context: Context,
        names: Names,
    ) -> Stage {
        Stage { connector, capabilities, context, names, markers: 0 }
    }

    /// What the target declared.
    pub fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    /// What the target was set up with, as far as the scenario [needs](Need) it.
    pub fn setup(&self) -> &Setup {
        self.connector.setup()
    }

    /// A topic, or filter, that no other scenario uses.
    pub fn topic(&self, name: &str) -> String {
        format!("{}/{name}", self.names.topics)
    }

    /// A Client Identifier that no other scenario uses: the probe's of the same name.
    pub fn client_id(&self, name: &str) -> String {
        format!("{}{name}", self.names.clients)
    }

    /// A Client Identifier of so few letters and digits that another run may come to have it as well.
    pub fn short_client_id(&self, length: u32) -> String {
        digits(&self.names.clients, length)
    }

    /// A ShareName that no other scenario uses.
    pub fn share_name(&self, name: &str) -> String {
        format!("{}{name}", self.names.clients)
    }

    /// The filter of a Shared Subscription that no other scenario takes part in.
    pub fn shared(&self, filter: &str) -> String {
        self.shared_by("g", filter)
    }

    /// As [`Stage::shared`], for one of several groups.
    pub fn shared_by(&self, group: &str, filter: &str) -> String {
        format!("$share/{}/{filter}", self.share_name(group))
    }

    /// The bytes of a packet vector with names of this scenario in them.
    pub(super) fn vector(&self, bytes: &[u8]) -> Bytes {
        self.names.put_into(bytes)
    }

    /// Notes what such a packet leaves on a target that takes it.
    pub(super) fn may_keep(&self, packet: impl Into<Packet>) {
        self.context.remember(&packet.into());
    }

    /// From here on, steps are what the scenario is about, and findings cite this requirement.
    pub fn proving(&self, requirement: &'static str) {
        self.context.proving(requirement);
    }

    /// From here on, steps are what the scenario is about: its first requirement, or the one named
    /// last. Until then a step that fails blocks it, by the requirement of that step.
    pub fn claims(&self) {
        self.context.enter(Phase::Claim);
    }

    /// From here on, steps are what the scenario stands on, as they are when it begins.
    pub fn means(&self) {
        self.context.enter(Phase::Means);
    }

    /// Has clients refused for want of rights: that says nothing against what is seen then.
    pub(super) fn expects_refusals(&self) {
        self.context.expect_refusals();
    }

    /// Notes that the target does not follow a SHOULD; the scenario goes on.
    pub fn advise(&self, requirement: &'static str, expected: &str, observed: impl Into<String>) {
        self.context.advise(requirement, expected, observed.into());
    }

    /// Ends the scenario with a failure, shown by the last event.
    ///
    /// # Errors
    ///
    /// Always.
    pub fn fail<T>(&self, expected: &str, observed: impl Into<String>) -> Outcome<T> {
        Err(self.context.failure(expected, self.context.observed(observed)))
    }

    /// Ends the scenario with a failure unless `holds`.
    ///
    /// # Errors
    ///
    /// When it does not hold.
    pub fn check(&self, holds: bool, expected: &str, observed: impl Into<String>) -> Outcome {
        match holds {
            true => Ok(()),
            false => self.fail(expected, observed),
        }
    }

    /// As [`Stage::check`], for a requirement that this one check is about.
    ///
    /// # Errors
    ///
    /// When it does not hold.
    pub fn check_of(
        &self,
        requirement: &'static str,
        holds: bool,
        expected: &str,
        observed: impl Into<String>,
    ) -> Outcome {
        let failure =
            || self.context.failure_of(requirement, expected, self.context.observed(observed));
        if holds { Ok(()) } else { Err(failure()) }
    }

    /// Ends the scenario unless what it stands on `holds`: blocked by this requirement, or failed if
    /// it cites that.
    ///
    /// # Errors
    ///
    /// When it does not hold.
    pub fn stands_on(
        &self,
        requirement: &'static str,
        holds: bool,
        expected: &str,
        observed: impl Into<String>,
    ) -> Outcome {
        let observed = || self.context.observed(observed);
        let stop = || self.context.stop_of(requirement, step::CHECK, expected, observed());
        if holds { Ok(()) } else { Err(stop()) }
    }

    /// Ends the scenario because the target cannot be brought to where it could be judged.
    ///
    /// # Errors
    ///
    /// Always.
    pub fn not_applicable<T>(&self, why: impl Into<String>) -> Outcome<T> {
        Err(Stop::NotApplicable(why.into()))
    }

    /// Ends the scenario because what was seen says nothing for or against the target: it had reasons
    /// of its own, say, or the suite was too late to do what it meant to.
    ///
    /// # Errors
    ///
    /// Always.
    pub fn inconclusive<T>(&self, expected: &str, observed: impl Into<String>) -> Outcome<T> {
        Err(self.context.trouble(expected, observed.into()))
    }

    /// Opens a network connection and sends nothing.
    ///
    /// # Errors
    ///
    /// Inconclusive when the target cannot be reached.
    pub async fn open(&mut self, name: &str) -> Outcome<Probe> {
        let patience = self.context.patience().reply;
        let stream = self.connector.connect(patience).await.map_err(|error| {
            self.context.trouble("a connection to the target", error.to_string())
        })?;
        let connection = self.context.connection(name);
        let mut probe = Probe::new(&connection, self.client_id(name), stream, self.context.clone());
        probe.expect_size(self.capabilities.maximum_packet_size());
        Ok(probe)
    }

    /// Connects a client with a clean start.
    ///
    /// # Errors
    ///
    /// A failure when it is not accepted.
    pub async fn connected(&mut self, name: &str) -> Outcome<Probe> {
        self.connected_with(name, |connect| connect).await
    }

    /// Connects a client with a clean start, changed as `change` says.
    ///
    /// # Errors
    ///
    /// A failure when it is not accepted, not applicable when it asks for a session to be kept and
    /// the target keeps none.
    pub async fn connected_with(
        &mut self,
        name: &str,
        change: impl FnOnce(Connect) -> Connect,
    ) -> Outcome<Probe> {
        let make = |connect: Connect| change(connect.keep_alive(KEEP_ALIVE));
        let (mut probe, asked) = self.introduced(name, make).await?;
        probe.connack_for_session(asked).await?;
        Ok(probe)
    }

    /// Whether a probe has received a packet like this.
    pub fn saw(&self, probe: &str, is_it: impl Fn(&Packet) -> bool) -> bool {
        self.context.any(|event| {
            is_connection_of(probe, &event.probe)
                && matches!(&event.what, What::Received(packet) if is_it(packet))
        })
    }

    /// Restarts the target, and sees what was open end by that.
    ///
    /// # Errors
    ///
    /// Inconclusive when it does not come back.
    pub async fn restart(&mut self, restart: Restart, open: Vec<Probe>) -> Outcome {
        let restarted = self.connector.restart(restart).await;
        self.context.record("stage", What::Restarted(restart));
        if let Err(why) = restarted {
            return self.inconclusive("a broker that comes back after a restart", why);
        }
        for mut probe in open {
            // However it ends: what is open then is of no use any more.
            probe.ended_within(self.context.patience().reply).await?;
        }
        Ok(())
    }

    /// Lets time pass, because the standard gives what is to be seen a time.
    pub async fn wait(&mut self, duration: Duration) {
        sleep(duration).await;
        self.context.record("stage", What::Waited(duration));
    }

    /// Lets time pass up to a moment, if that is still to come.
    pub async fn wait_until(&mut self, moment: Instant) {
        let left = moment.saturating_duration_since(Instant::now());
        if left > Duration::ZERO {
            self.wait(left).await;
        }
    }

    /// Lets so many seconds pass that something ends after, and as many more as a broker may take to
    /// notice: that it is not at once is no fault (sections 3.1.2.11.2 and 4.1).
    pub async fn wait_past(&mut self, seconds: u64) {
        self.wait(Duration::from_secs(seconds) + NOTICED_BY).await;
    }

    /// QoS 1 and 2, as far as the target has them.
    pub fn acknowledged_levels(&self) -> Vec<QoS> {
        let has = |qos: &QoS| self.capabilities.meet(Need::QoS(*qos));
        [QoS::AtLeastOnce, QoS::ExactlyOnce].into_iter().filter(has).collect()
    }
}

/// Whether a connection is one of this probe's: `alice.2` is of `alice`.
pub(super) fn is_connection_of(probe: &str, connection: &str) -> bool {
    connection.strip_prefix(probe).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}
