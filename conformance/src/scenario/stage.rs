use std::future::{Future, poll_fn};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use reference_broker::codec::{
    ConnAck, Connect, Packet, Properties, PropertyId, Publish, QoS, Will,
};
use tokio::time::{Instant, sleep};

use crate::probe::{Context, Phase, Probe};
use crate::target::{Capabilities, Connector, Need};
use crate::trace::{Event, What, packet_text};
use crate::verdict::step;
use crate::verdict::{Outcome, Stop};

use super::Names;
use super::names::digits;

/// Keep Alive of clients that a scenario does not choose one for, in seconds: long enough never to
/// matter, without asking for none.
const KEEP_ALIVE: u16 = 3600;

/// Within what time a broker that looks for what is over now and then has seen that something is.
const NOTICED_BY: Duration = Duration::from_millis(10_500);

/// For no longer than this, in seconds, does a scenario wait for the end of a session.
const LONGEST_WAIT: u32 = 15;

/// What a scenario is given: a way to the target, names of its own, and time.
#[derive(Debug)]
pub struct Stage {
    pub(super) connector: Connector,
    capabilities: Capabilities,
    pub(super) context: Context,
    names: Names,
    markers: u32,
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
        match holds {
            true => Ok(()),
            false => {
                let observed = self.context.observed(observed);
                Err(self.context.failure_of(requirement, expected, observed))
            }
        }
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
        match holds {
            true => Ok(()),
            false => {
                let observed = self.context.observed(observed);
                Err(self.context.stop_of(requirement, step::CHECK, expected, observed))
            }
        }
    }

    /// Checks that a client was given no session, which this requirement is about: CONNACK says so.
    /// Whether it can be believed is asked when it does not.
    ///
    /// # Errors
    ///
    /// A failure when it was; blocked where Session Present is 1 for whoever connects.
    pub async fn is_new(&mut self, requirement: &'static str, connack: &ConnAck) -> Outcome {
        if !connack.session_present {
            return Ok(());
        }
        let (expected, observed) =
            ("session_present 0", self.context.observed("session_present 1"));
        self.denies_strangers().await?;
        Err(self.context.failure_of(requirement, expected, observed))
    }

    /// Shows that a client that was never there finds no session.
    ///
    /// # Errors
    ///
    /// Blocked when it does.
    pub async fn denies_strangers(&mut self) -> Outcome {
        let mut stranger = self.open("stranger").await?;
        let context = self.context.clone();
        let connect = stranger.connect_packet().keep_alive(KEEP_ALIVE).resume();
        let connack = context.as_means(stranger.connect(connect)).await?;
        let step::Step { name, requirement } = step::RESUME;
        match connack.session_present {
            false => Ok(()),
            true => {
                let expected = "session_present 0 for a client that was never there";
                let observed = self.context.observed("session_present 1");
                Err(self.context.stop_of(requirement, name, expected, observed))
            }
        }
    }

    /// Checks that the client of this name was given the session that it left, which this requirement
    /// is about. Whether sessions are kept at all is asked when it was not.
    ///
    /// # Errors
    ///
    /// A failure when it was not; blocked where no session is kept, and inconclusive when its time may
    /// have been over.
    pub async fn is_resumed(
        &mut self,
        requirement: &'static str,
        name: &str,
        connack: &ConnAck,
    ) -> Outcome {
        if connack.session_present {
            return Ok(());
        }
        self.is_not_over(self.left(name))?;
        let (expected, observed) =
            ("session_present 1", self.context.observed("session_present 0"));
        self.keeps_sessions().await?;
        Err(self.context.failure_of(requirement, expected, observed))
    }

    /// Shows that a session is kept for the next connection of its client.
    ///
    /// # Errors
    ///
    /// Blocked when it is not.
    pub async fn keeps_sessions(&mut self) -> Outcome {
        let context = self.context.clone();
        let left = async { self.with_session("guest", 60).await?.vanish().await };
        context.as_means(left).await?;
        let mut guest = self.open("guest").await?;
        let connect = guest.connect_packet().keep_alive(KEEP_ALIVE).resume();
        let connack = context.as_means(guest.connect(connect)).await?;
        let step::Step { name, requirement } = step::RESUME;
        match connack.session_present {
            true => guest.leave().await,
            false => {
                let observed = self.context.observed("session_present 0");
                Err(self.context.stop_of(requirement, name, "session_present 1", observed))
            }
        }
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

    /// Connects a client that asks for a session which outlives its connections by `seconds`; the
    /// target may keep it for more, or for less ([`Stage::is_kept_for`]).
    ///
    /// # Errors
    ///
    /// A failure when it is not accepted.
    pub async fn with_session(&mut self, name: &str, seconds: u32) -> Outcome<Probe> {
        self.connected_with(name, |connect| connect.session_expiry(seconds)).await
    }

    /// Connects a client to the session that it left, and expects it to be there.
    ///
    /// # Errors
    ///
    /// A failure when it is not accepted, or Session Present is 0 where that is the claim.
    pub async fn resumed(&mut self, name: &str, seconds: u32) -> Outcome<Probe> {
        self.resumed_with(name, |connect| connect.session_expiry(seconds)).await
    }

    /// As [`Stage::resumed`], changed as `change` says.
    ///
    /// # Errors
    ///
    /// As [`Stage::resumed`].
    pub async fn resumed_with(
        &mut self,
        name: &str,
        change: impl FnOnce(Connect) -> Connect,
    ) -> Outcome<Probe> {
        let (mut probe, connack) = self.back_with(name, change).await?;
        if !connack.session_present {
            probe.lacks_its_session()?;
        }
        Ok(probe)
    }

    /// Connects a client to the session that it left, for a scenario that looks at what is in it:
    /// whatever Session Present says.
    ///
    /// # Errors
    ///
    /// A failure when it is not accepted, inconclusive when its session may be over by now.
    pub async fn back(&mut self, name: &str, seconds: u32) -> Outcome<Probe> {
        let back = self.back_with(name, |connect| connect.session_expiry(seconds));
        back.await.map(|(probe, _)| probe)
    }

    async fn back_with(
        &mut self,
        name: &str,
        change: impl FnOnce(Connect) -> Connect,
    ) -> Outcome<(Probe, ConnAck)> {
        let left = self.left(name);
        let make = |connect: Connect| change(connect.keep_alive(KEEP_ALIVE).resume());
        let (mut probe, asked) = self.introduced(name, make).await?;
        let connack = probe.connack_for_session(asked).await?;
        if !connack.session_present {
            self.is_not_over(left)?;
        }
        Ok((probe, connack))
    }

    /// Ends the scenario if a session that is not there may have been over.
    fn is_not_over(&self, left: Option<Left>) -> Outcome {
        match left.filter(|left| left.is_over(self.context.now())) {
            None => Ok(()),
            Some(left) => {
                let observed = format!("session_present 0 when its {} s had passed", left.kept);
                Err(self.context.trouble("session_present 1", observed))
            }
        }
    }

    /// What a client left when its last connection that was accepted, and is over, ended.
    fn left(&self, name: &str) -> Option<Left> {
        let mut left = None;
        let mut last = Connection::default();
        self.context.any(|event| {
            if !is_connection_of(name, &event.probe) {
                return false;
            }
            if matches!(event.what, What::Opened) {
                if last.is_accepted {
                    left = last.left();
                }
                last = Connection { name: event.probe.clone(), ..Connection::default() };
            } else if event.probe == last.name {
                last.goes_on(event);
            }
            false
        });
        if last.is_accepted { last.left().or(left) } else { left }
    }

    /// Ends the scenario unless the session of this client is kept for so many seconds.
    ///
    /// # Errors
    ///
    /// Not applicable when it is not.
    pub fn is_kept_for(&self, probe: &Probe, seconds: u32) -> Outcome {
        match probe.session_expiry() {
            kept if kept >= seconds => Ok(()),
            kept => self.not_applicable(format!(
                "the target keeps sessions for {kept} s, {seconds} s are needed"
            )),
        }
    }

    /// How many seconds to wait for the end of this client's session, which the target may keep for
    /// longer than it was asked to.
    ///
    /// # Errors
    ///
    /// Not applicable when that is too long to wait for.
    pub fn is_worth_waiting(&self, probe: &Probe) -> Outcome<u32> {
        match probe.session_expiry() {
            kept @ ..=LONGEST_WAIT => Ok(kept),
            kept => self.not_applicable(format!(
                "the target keeps sessions for {kept} s, which is too long to wait for"
            )),
        }
    }

    /// Shows that nothing went from `from` to `to` on this topic: a marker sent now is the next
    /// message that comes.
    ///
    /// # Errors
    ///
    /// A failure when something else comes first, or the marker does not come.
    pub async fn nothing_on(&mut self, topic: &str, from: &mut Probe, to: &mut Probe) -> Outcome {
        self.nothing_on_at(topic, QoS::AtLeastOnce, from, to).await
    }

    /// As [`Stage::nothing_on`], for messages at another QoS: only messages at the same QoS keep
    /// their order (section 4.6).
    ///
    /// # Errors
    ///
    /// As [`Stage::nothing_on`].
    pub async fn nothing_on_at(
        &mut self,
        topic: &str,
        qos: QoS,
        from: &mut Probe,
        to: &mut Probe,
    ) -> Outcome {
        self.markers += 1;
        let marker = format!("marker {}", self.markers);
        let context = self.context.clone();
        context.as_means(from.publish(topic, &marker, qos)).await?;
        to.receives_marker(topic, &marker).await
    }

    /// Whether a probe has received a packet like this.
    pub fn saw(&self, probe: &str, is_it: impl Fn(&Packet) -> bool) -> bool {
        self.context.any(|event| {
            is_connection_of(probe, &event.probe)
                && matches!(&event.what, What::Received(packet) if is_it(packet))
        })
    }

    /// Whether `to` has a subscription for this topic: if so, a message that reaches `witness` is
    /// there before one that was sent after `to` subscribed (anew). It is subscribed then.
    ///
    /// # Errors
    ///
    /// A failure when a message does not reach who is subscribed, or another one comes.
    pub async fn subscribed(
        &mut self,
        topic: &str,
        from: &mut Probe,
        to: &mut Probe,
        witness: &mut Probe,
    ) -> Outcome<bool> {
        self.markers += 1;
        let before = format!("before {}", self.markers);
        let after = format!("after {}", self.markers);
        let context = self.context.clone();
        let first = context.as_means(async {
            from.publish(topic, &before, QoS::AtLeastOnce).await?;
            witness.receives(topic, &before).await?;
            to.subscribe(topic, QoS::AtLeastOnce).await?;
            from.publish(topic, &after, QoS::AtLeastOnce).await?;
            witness.receives(topic, &after).await?;
            let first = to.message(&format!("PUBLISH \"{topic}\" payload=\"{after}\"")).await?;
            to.acknowledge(&first).await?;
            Ok(first)
        });
        let first = first.await?;
        match *first.payload == *after.as_bytes() && *first.topic == *topic {
            true => Ok(false),
            false if *first.payload == *before.as_bytes() => {
                to.receives(topic, &after).await.map(|_| true)
            }
            false => self.fail("no other message", packet_text(&first.into())),
        }
    }

    /// Shows that `to` has no subscription for this topic, as [`Stage::subscribed`] does.
    ///
    /// # Errors
    ///
    /// As [`Stage::subscribed`], and a failure when it has one.
    pub async fn not_subscribed(
        &mut self,
        topic: &str,
        from: &mut Probe,
        to: &mut Probe,
        witness: &mut Probe,
    ) -> Outcome {
        let is_subscribed = self.subscribed(topic, from, to, witness).await?;
        self.check(!is_subscribed, "no message for want of a subscription", "one")
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

    /// Shows that a client is served, which takes more than to be answered: a message that it sends
    /// to itself arrives.
    ///
    /// # Errors
    ///
    /// A failure when it does not.
    pub async fn serves(&mut self, probe: &mut Probe) -> Outcome {
        self.markers += 1;
        let topic = self.topic(&format!("to myself {}", self.markers));
        let context = self.context.clone();
        let served = async {
            probe.subscribe(&topic, QoS::AtMostOnce).await?;
            probe.publish(&topic, "hello", QoS::AtMostOnce).await?;
            probe.receives(&topic, "hello").await.map(drop)
        };
        context.as_means(served).await
    }

    /// Shows that no Will came on this topic until now: the Will, at QoS 1, of a client that is
    /// lost now is the next message.
    ///
    /// # Errors
    ///
    /// A failure when another message comes first, or the Will of that client does not come.
    pub async fn no_will_on(&mut self, topic: &str, to: &mut Probe) -> Outcome {
        self.markers += 1;
        let marker = format!("will of witness {}", self.markers);
        let will = Will::new(topic, marker.clone()).qos(QoS::AtLeastOnce);
        let context = self.context.clone();
        let lost = async {
            self.connected_with("witness", |connect| connect.will(will)).await?.vanish().await
        };
        context.as_means(lost).await?;
        to.receives_will_marker(topic, &marker).await
    }

    /// QoS 1 and 2, as far as the target has them.
    pub fn acknowledged_levels(&self) -> Vec<QoS> {
        let has = |qos: &QoS| self.capabilities.meet(Need::QoS(*qos));
        [QoS::AtLeastOnce, QoS::ExactlyOnce].into_iter().filter(has).collect()
    }

    /// Connects with Clean Start 0 where no session should be there, for a scenario that looks at
    /// what is: whatever Session Present says.
    ///
    /// # Errors
    ///
    /// A failure when it is not accepted.
    pub async fn not_resumed(&mut self, name: &str) -> Outcome<Probe> {
        let make = |connect: Connect| connect.keep_alive(KEEP_ALIVE).resume();
        let (mut probe, _) = self.introduced(name, make).await?;
        probe.connack().await?;
        Ok(probe)
    }

    /// Waits until these probes together have this many messages, and goes through the exchanges of
    /// all that come: what each has got, which may be more. For messages that one of several is to
    /// get; less than asked for is for the scenario to judge.
    ///
    /// # Errors
    ///
    /// A failure when an exchange is not completed, or a connection is not open.
    pub async fn gather<const N: usize>(
        &mut self,
        probes: [&mut Probe; N],
        count: usize,
    ) -> Outcome<[Vec<Publish>; N]> {
        let mut probes = probes;
        let mut shares = [const { Vec::new() }; N];
        for _ in 0..count {
            let Some((place, publish)) = first_message(&mut probes).await? else { break };
            probes[place].acknowledge(&publish).await?;
            shares[place].push(publish);
        }
        // A copy too many is to be seen.
        for (probe, share) in probes.iter_mut().zip(&mut shares) {
            for publish in probe.messages_now().await? {
                probe.acknowledge(&publish).await?;
                share.push(publish);
            }
        }
        Ok(shares)
    }
}

/// The next message that comes to any of these probes, and to which; none if all are silent.
async fn first_message(probes: &mut [&mut Probe]) -> Outcome<Option<(usize, Publish)>> {
    let mut waiting: Vec<_> =
        probes.iter_mut().map(|probe| Box::pin(probe.message_or_silence())).collect();
    let (place, first) = poll_fn(|context| {
        let ready = waiting.iter_mut().enumerate().find_map(|(place, waiting)| {
            match waiting.as_mut().poll(context) {
                Poll::Ready(first) => Some((place, first)),
                Poll::Pending => None,
            }
        });
        ready.map_or(Poll::Pending, Poll::Ready)
    })
    .await;
    Ok(first?.map(|publish| (place, publish)))
}

/// A connection of a client's, as far as it has gone.
#[derive(Debug, Default)]
struct Connection {
    name: String,
    is_accepted: bool,
    ended: Option<Duration>,
    kept: u32,
}

impl Connection {
    fn goes_on(&mut self, event: &Event) {
        match &event.what {
            What::Sent(Packet::Connect(it)) => self.kept = expiry(&it.properties).unwrap_or(0),
            What::Received(Packet::ConnAck(it)) => {
                self.is_accepted = !it.reason.is_error();
                self.kept = expiry(&it.properties).unwrap_or(self.kept);
            }
            What::Sent(Packet::Disconnect(it)) => {
                self.kept = expiry(&it.properties).unwrap_or(self.kept);
                self.ended.get_or_insert(event.at);
            }
            What::Received(Packet::Disconnect(_))
            | What::HalfClosed
            | What::ClosedByProbe
            | What::ClosedByBroker(_) => {
                self.ended.get_or_insert(event.at);
            }
            _ => {}
        }
    }

    fn left(&self) -> Option<Left> {
        self.ended.map(|ended| Left { ended, kept: self.kept })
    }
}

/// A client's session, when its last connection ended.
#[derive(Clone, Copy, Debug)]
struct Left {
    ended: Duration,
    /// For how many seconds it is kept.
    kept: u32,
}

impl Left {
    /// Whether the session may be over: a while before its time, for want of equal clocks.
    fn is_over(self, now: Duration) -> bool {
        let kept = Duration::from_secs(u64::from(self.kept));
        let early = (kept / 2).min(Duration::from_secs(1));
        self.kept < u32::MAX && now.saturating_sub(self.ended) + early >= kept
    }
}

fn expiry(properties: &Properties) -> Option<u32> {
    properties.number(PropertyId::SessionExpiryInterval)
}

/// Whether a connection is one of this probe's: `alice.2` is of `alice`.
fn is_connection_of(probe: &str, connection: &str) -> bool {
    connection.strip_prefix(probe).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}
