//! The supervisor: owns every task, and outlives each of them.
//!
//! Listeners are bound once and belong to it, not to the broker. When the broker dies (a panic
//! anywhere in the engine), that is logged with its cause, all its connections are closed, and a
//! fresh engine takes over; clients that wait in the system's accept queues are served by that one.
//! The state starts anew: what a panic has left of it cannot be trusted, and clients learn that their
//! sessions are lost by Session Present 0 (section 3.2.2.1.1). A broker that dies again and again is
//! given pauses, in which clients wait.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::authentication::Authenticator;
use crate::core::ConnectionId;

use super::asker::Asker;
use super::broker;
use super::connection::{self, Counted};
use super::counts::{Counters, count};
use super::inbox::{self, Inbox, inbox};
use super::listener::{Knock, Listening};
use super::panic::{caught_call, cause};
use super::peers::{Peer, Peers};
use super::queue::{Receiver, Sender, Total, queue};
use super::tap::{self, Tap, TapHandle, Waiting, Work};
use super::tap_actor::{self, TapSet, Tapped, Taps};
use super::{Arrival, Engine, ServerSettings};

/// How many taps there may be.
const MAXIMUM_TAPS: usize = 1024;

/// So many deaths within so much of the broker's own time are answered at once; a pause comes before
/// each restart after that, the first so long, each twice the one before, up to a maximum.
const DEATHS: usize = 5;
const DEATHS_WITHIN: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// What all tasks of a server know.
pub(super) struct Shared {
    pub(super) settings: ServerSettings,
    /// The largest packet from a client, in bytes.
    pub(super) packet_limit: u32,
    pub(super) authenticator: Option<Authenticator>,
    pub(super) counters: Arc<Counters>,
    /// What waits to be written to all clients.
    pub(super) waiting: Arc<Total>,
}

/// Where engines come from; none when the last one is used up.
pub(super) type Engines = Box<dyn FnMut() -> Option<Box<dyn Engine>> + Send>;

/// The inbox of the broker that is there now, if one is.
pub(super) type Current = watch::Sender<Option<Inbox>>;

/// What the supervisor is told.
pub(super) enum Order {
    Listen(Listening),
    Tap(Tap, Receiver<Waiting>, oneshot::Sender<Option<TapHandle>>),
    Untap(TapHandle, oneshot::Sender<()>),
    /// Stop, and be done by then.
    Stop(Instant, oneshot::Sender<()>),
}

pub(super) struct Supervisor {
    engines: Engines,
    shared: Arc<Shared>,
    current: Current,
    /// They survive everything but the server.
    listeners: JoinSet<()>,
    /// The broker that is there now, and its connections.
    broker: JoinSet<()>,
    connections: JoinSet<()>,
    /// Who may have to give way.
    peers: Peers,
    /// Who has come since the broker died.
    late: Vec<Arrival>,
    last_id: u64,
    deaths: Deaths,
    /// When the broker that is there now began, or when there will be one again.
    since: Instant,
    taps: watch::Sender<Arc<TapSet>>,
    tap_inbox: Sender<Tapped>,
    tap_actor: JoinSet<()>,
    /// The tasks of the taps.
    tapping: JoinSet<()>,
    last_tap: u64,
}

/// Why the supervisor has nothing more to do.
enum End {
    /// It was told to, until then.
    Stop(Instant, oneshot::Sender<()>),
    /// There is no engine any more.
    NoEngine,
}

impl Supervisor {
    pub(super) fn new(engines: Engines, shared: Arc<Shared>, current: Current) -> Supervisor {
        let (tap_inbox, tapped) = queue(shared.settings.tap_inbox);
        let mut tap_actor = JoinSet::new();
        tap_actor.spawn(tap_actor::run(tapped));
        Supervisor {
            engines,
            shared,
            current,
            listeners: JoinSet::new(),
            broker: JoinSet::new(),
            connections: JoinSet::new(),
            peers: Peers::default(),
            late: Vec::new(),
            last_id: 0,
            deaths: Deaths::default(),
            since: Instant::now(),
            taps: watch::Sender::new(Arc::default()),
            tap_inbox,
            tap_actor,
            tapping: JoinSet::new(),
            last_tap: 0,
        }
    }

    /// Runs until it is told to stop, or has no engine any more.
    pub(super) async fn run(
        mut self,
        mut orders: mpsc::Receiver<Order>,
        mut knocks: mpsc::Receiver<Knock>,
    ) {
        match self.supervise(&mut orders, &mut knocks).await {
            End::NoEngine => tracing::error!("the broker has died, and there is no other"),
            End::Stop(deadline, done) => {
                self.listeners.shutdown().await;
                drop(knocks); // Whoever was accepted and not served yet is closed.
                self.stop(deadline).await;
                let _ = done.send(()); // Whoever waited may have given up.
            }
        }
    }

    async fn supervise(
        &mut self,
        orders: &mut mpsc::Receiver<Order>,
        knocks: &mut mpsc::Receiver<Knock>,
    ) -> End {
        if !self.start_broker() {
            return End::NoEngine;
        }
        loop {
            let is_up = !self.broker.is_empty();
            tokio::select! {
                order = orders.recv() => match order {
                    Some(Order::Stop(deadline, done)) => return End::Stop(deadline, done),
                    Some(order) => self.obey(order),
                    None => return End::Stop(Instant::now(), oneshot::channel().0),
                },
                Some(knock) = knocks.recv(), if is_up => match knock {
                    Knock::Arrival(arrival) => self.serve(arrival),
                    Knock::NoRoom => {
                        self.peers.make_room();
                    }
                },
                Some(ended) = self.broker.join_next() => self.bury(ended).await,
                Some(_) = self.connections.join_next() => {}
                Some(_) = self.tapping.join_next() => {}
                Some(Err(error)) = self.listeners.join_next() => {
                    tracing::error!(%error, "a listener ended: nobody is accepted there any more");
                }
                () = sleep_until(self.since), if !is_up => if !self.start_broker() {
                    return End::NoEngine;
                },
            }
        }
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Listen(listening) => {
                self.listeners.spawn(listening);
            }
            Order::Tap(tap, messages, reply) => {
                let _ = reply.send(self.tap(tap, messages));
            }
            Order::Untap(handle, done) => {
                let mut taps = TapSet::clone(&self.taps.borrow());
                if let Some(tap) = taps.remove(&handle) {
                    self.taps.send_replace(Arc::new(taps));
                    tap.close();
                }
                let _ = done.send(());
            }
            Order::Stop(..) => {}
        }
    }

    fn tap(&mut self, tap: Tap, messages: Receiver<Waiting>) -> Option<TapHandle> {
        let mut taps = TapSet::clone(&self.taps.borrow());
        if taps.len() == MAXIMUM_TAPS {
            return None;
        }
        self.last_tap += 1;
        let tap = Arc::new(tap);
        let handle = tap.handle(self.last_tap);
        taps.insert(self.last_tap, Arc::clone(&tap));
        self.taps.send_replace(Arc::new(taps));
        self.tapping.spawn(tap::serve(Work { queue: messages, tap }));
        Some(handle)
    }

    /// Starts a broker with a fresh engine. Says whether there was one.
    fn start_broker(&mut self) -> bool {
        self.since = Instant::now();
        let (inbox, pending) = inbox(self.shared.settings.inbox);
        let (mode, counters) = (self.shared.settings.tap_mode, Arc::clone(&self.shared.counters));
        let taps = Taps::new(self.taps.subscribe(), self.tap_inbox.clone(), mode, counters);
        let shared = Arc::clone(&self.shared);
        match caught_call(&mut self.engines) {
            Ok(Some(engine)) => {
                let asker = Asker::new(self.shared.authenticator.clone(), inbox.messages.clone());
                self.broker.spawn(broker::run(engine, asker, pending, shared, taps));
                self.current.send_replace(Some(inbox));
                std::mem::take(&mut self.late).into_iter().for_each(|late| self.serve(late));
            }
            Ok(None) => return false,
            Err(panic) => self.wait_after(&panic),
        }
        true
    }

    /// Closes what belongs to a broker that has died, and sees to it that another takes over.
    async fn bury(&mut self, ended: Result<(), JoinError>) {
        let panic = match ended {
            Ok(()) => "it ended by itself".to_owned(),
            Err(error) => match error.try_into_panic() {
                Ok(payload) => cause(&*payload),
                Err(error) => error.to_string(),
            },
        };
        self.current.send_replace(None);
        self.connections.shutdown().await;
        self.wait_after(&panic);
    }

    fn wait_after(&mut self, panic: &str) {
        let now = Instant::now();
        let pause = self.deaths.add(now.duration_since(self.since));
        count(&self.shared.counters.restarts);
        tracing::error!(panic, ?pause, "the broker died: another takes over, without its sessions");
        self.since = now + pause;
    }

    /// Opens a connection, if there may be one more.
    fn serve(&mut self, arrival: Arrival) {
        while self.connections.try_join_next().is_some() {}
        let most = self.shared.settings.maximum_connections;
        if self.connections.len() >= most && !self.peers.make_room() {
            count(&self.shared.counters.refused);
            tracing::debug!("connection refused: there are too many");
            return;
        }
        let Some(broker) = self.current.borrow().clone() else { return };
        if broker.messages.is_closed() {
            // It has just died: the next one serves whoever comes now.
            self.late.push(arrival);
            return;
        }
        self.last_id += 1;
        let id = ConnectionId(self.last_id);
        let counted = Counted::new(&self.shared.counters);
        let shared = Arc::clone(&self.shared);
        let current = self.current.subscribe();
        let peer = Peer::new();
        if let Some(address) = arrival.address {
            self.peers.add(address, &peer, most);
        }
        self.connections.spawn(async move {
            connection::run(id, arrival, peer, shared, broker.messages, current).await;
            drop(counted);
        });
    }

    /// Takes leave of all clients, gives them and the taps until `deadline` to take what was sent,
    /// and ends all tasks.
    async fn stop(mut self, deadline: Instant) {
        let broker = self.current.send_replace(None);
        let leave = async {
            if let Some(broker) = &broker {
                let _ = broker.orders.send(inbox::Order::Stop, 0).await; // It may just have died.
            }
            while self.connections.join_next().await.is_some() {}
        };
        if timeout_at(deadline, leave).await.is_err() {
            while self.connections.try_join_next().is_some() {}
            let left = self.connections.len();
            self.shared.counters.cut_off.fetch_add(left as u64, Ordering::Relaxed);
            tracing::warn!(left, "connections cut off: they do not end in time");
            self.connections.shutdown().await;
        }
        let end = async {
            if let Some(broker) = &broker {
                let _ = broker.orders.send(inbox::Order::End, 0).await;
            }
            while self.broker.join_next().await.is_some() {}
        };
        let _ = timeout_at(deadline, end).await;
        self.broker.shutdown().await;
        self.stop_taps(deadline).await;
    }

    /// Lets the taps take what waits for them, until `deadline`.
    async fn stop_taps(mut self, deadline: Instant) {
        drop(self.tap_inbox);
        let taken = async {
            while self.tap_actor.join_next().await.is_some() {}
            self.taps.borrow().close();
            while self.tapping.join_next().await.is_some() {}
        };
        if timeout_at(deadline, taken).await.is_err() {
            self.tap_actor.shutdown().await;
            self.tapping.shutdown().await;
        }
    }
}

/// When a broker has died how often, by the time that there was one.
#[derive(Debug, Default)]
struct Deaths {
    lived: Duration,
    recent: VecDeque<Duration>,
    pause: Option<Duration>,
}

impl Deaths {
    /// Takes in that a broker died which had lived for so long. Says how long to wait before the
    /// next.
    fn add(&mut self, lived: Duration) -> Duration {
        self.lived += lived;
        self.recent.push_back(self.lived);
        while self.recent.front().is_some_and(|death| *death + DEATHS_WITHIN <= self.lived) {
            self.recent.pop_front();
        }
        if self.recent.len() <= DEATHS {
            self.pause = None;
            return Duration::ZERO;
        }
        self.recent.pop_front(); // No more than these decide.
        let pause = self.pause.map_or(FIRST_PAUSE, |pause| (2 * pause).min(LONGEST_PAUSE));
        self.pause = Some(pause);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pauses(deaths: &mut Deaths, lived: Duration, count: usize) -> Vec<u64> {
        let pause = |_| u64::try_from(deaths.add(lived).as_millis()).unwrap();
        (0..count).map(pause).collect()
    }

    #[test]
    fn who_dies_again_and_again_is_given_longer_and_longer_pauses() {
        let mut deaths = Deaths::default();
        let instantly = pauses(&mut deaths, Duration::ZERO, 14);
        let expected = [0, 0, 0, 0, 0, 100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000];
        assert_eq!(instantly, expected);
        assert!(deaths.recent.len() <= DEATHS);
        // Ten seconds later all that is forgotten.
        assert_eq!(pauses(&mut deaths, Duration::from_secs(10), 1), [0]);
        assert_eq!(pauses(&mut deaths, Duration::ZERO, 5), [0, 0, 0, 0, 100]);
    }

    #[test]
    fn who_dies_seldom_is_given_none() {
        let mut deaths = Deaths::default();
        assert_eq!(pauses(&mut deaths, Duration::from_secs(2), 20), [0; 20]);
        let mut deaths = Deaths::default();
        assert_eq!(pauses(&mut deaths, Duration::from_millis(1999), 6), [0, 0, 0, 0, 0, 100]);
    }
}
