//! Sessions over several connections: left, found again, kept for so long.

use std::time::Duration;

use reference_broker::codec::{ConnAck, Connect, Packet, Properties, PropertyId};

use crate::probe::Probe;
use crate::trace::{Event, What};
use crate::verdict::{Outcome, step};

use super::Stage;
use super::stage::{KEEP_ALIVE, is_connection_of};

/// For no longer than this, in seconds, does a scenario wait for the end of a session.
const LONGEST_WAIT: u32 = 15;

impl Stage {
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

    /// What a client left when its last connection that was accepted, and is over, ended. One that was
    /// refused beside it changes nothing.
    fn left(&self, name: &str) -> Option<Left> {
        let mut connections = Vec::<Connection>::new();
        self.context.any(|event| {
            if matches!(event.what, What::Opened) && is_connection_of(name, &event.probe) {
                connections.push(Connection { name: event.probe.clone(), ..Connection::default() });
            }
            if let Some(it) = connections.iter_mut().find(|it| it.name == event.probe) {
                it.goes_on(event);
            }
            false
        });
        let mut accepted = connections.iter().rev().filter(|it| it.is_accepted);
        accepted.next()?.left().or_else(|| accepted.next()?.left())
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
