//! A client that stays connected through a run, to notice at once when the target dies, or dies and
//! comes back.

use std::time::Duration;

use reference_broker::codec::Packet;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::AbortHandle;
use tokio::time::sleep;

use crate::target::{Connector, KEEP_ALIVE, Looked, Lost, Unusable, Visitor};

/// How long its session is to outlive a connection, in seconds: that it is gone sooner shows that the
/// target has begun anew.
const EXPIRY: u32 = 600;

/// The longest time between two of its PINGREQs.
const LONGEST: Duration = Duration::from_secs(20);

/// How often it may lose its connection, for reasons that are no death, before it gives up.
const LOSSES: usize = 8;

/// How many packets that it did not ask for it takes on one connection.
const MOST: usize = 1_000;

/// What is known of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pulse {
    /// It is there, as far as anybody knows.
    Beats,
    /// It has lost what it knew, and serves again.
    BeganAnew,
    /// It serves nobody.
    Stopped,
}

/// The client, as long as this lives.
#[derive(Debug)]
pub(super) struct Sentinel {
    ask: mpsc::Sender<oneshot::Sender<()>>,
    pulse: watch::Receiver<Pulse>,
    task: AbortHandle,
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Sentinel {
    /// Posts it.
    pub(super) fn new(connector: Connector, client_id: String, patience: Duration) -> Sentinel {
        let (ask, asked) = mpsc::channel(1);
        let (tell, pulse) = watch::channel(Pulse::Beats);
        let post = Post { connector, client_id, patience, tell, knows_sessions: false };
        let task = tokio::spawn(post.keep(asked)).abort_handle();
        Sentinel { ask, pulse, task }
    }

    /// Resolves when the target is not what it was.
    pub(super) async fn alarm(&self) -> Pulse {
        let mut pulse = self.pulse.clone();
        match pulse.wait_for(|pulse| *pulse != Pulse::Beats).await {
            Ok(pulse) => *pulse,
            // It has given up: it can see nothing here.
            Err(_) => std::future::pending().await,
        }
    }

    /// Has a look now, and says what is known.
    pub(super) async fn look(&self) -> Pulse {
        let (answer, answered) = oneshot::channel();
        if self.ask.send(answer).await.is_ok() {
            // An error says that it has ended, and why is in its pulse.
            let _ = answered.await;
        }
        *self.pulse.borrow()
    }
}

struct Post {
    connector: Connector,
    client_id: String,
    patience: Duration,
    tell: watch::Sender<Pulse>,
    /// Whether the target was seen to keep this client's session.
    knows_sessions: bool,
}

/// Why no connection came about.
enum Absent {
    /// Nobody is there.
    Dead,
    /// Somebody is, and does not want this client.
    Unwilling,
}

/// Why a connection was given up.
enum Over {
    /// The target ended it.
    Ended,
    /// We did: it did not answer, or never stopped.
    Useless,
}

impl Post {
    async fn keep(mut self, mut asked: mpsc::Receiver<oneshot::Sender<()>>) {
        // A session that is not there when it should be shows something only if it would have been.
        if self.connect(true).await.is_err() {
            return;
        }
        let Ok((mut visitor, mut looked)) = self.connect(false).await else { return };
        self.knows_sessions = looked.session_present;
        for _ in 0..LOSSES {
            // Whoever asks is answered when it is known what the loss means.
            let (over, _asking) = self.hold(&mut visitor, &looked, &mut asked).await;
            drop(visitor);
            match self.connect(false).await {
                Err(Absent::Dead) => {
                    self.tell.send_replace(Pulse::Stopped);
                    return;
                }
                Err(Absent::Unwilling) => return,
                Ok((_, again))
                    if self.knows_sessions
                        && !again.session_present
                        && matches!(over, Over::Ended) =>
                {
                    self.tell.send_replace(Pulse::BeganAnew);
                    return;
                }
                Ok(again) => (visitor, looked) = again,
            }
        }
    }

    async fn connect(&self, clean_start: bool) -> Result<(Visitor, Looked), Absent> {
        let connect = self
            .connector
            .connect_packet(&self.client_id)
            .keep_alive(KEEP_ALIVE)
            .session_expiry(EXPIRY);
        let connect = if clean_start { connect } else { connect.resume() };
        let mut absent = Absent::Dead;
        for _ in 0..2 {
            match Visitor::open(&self.connector, connect.clone(), self.patience).await {
                Ok(opened) => return Ok(opened),
                Err(Unusable::Refused { .. }) => {
                    absent = Absent::Unwilling;
                    sleep(self.patience / 4).await;
                }
                Err(_) => absent = Absent::Dead,
            }
        }
        Err(absent)
    }

    /// Holds a connection until it is over.
    async fn hold(
        &self,
        visitor: &mut Visitor,
        looked: &Looked,
        asked: &mut mpsc::Receiver<oneshot::Sender<()>>,
    ) -> (Over, Option<oneshot::Sender<()>>) {
        let keep_alive = looked.keep_alive.filter(|seconds| *seconds > 0);
        let keep_alive = Duration::from_secs(keep_alive.unwrap_or(KEEP_ALIVE.into()).into());
        let rest = (keep_alive / 2).min(LONGEST);
        let mut packets = 0;
        loop {
            visitor.allow(10 * LONGEST);
            let answer = tokio::select! {
                packet = visitor.next() => match packet {
                    Ok(Packet::Disconnect(_)) | Err(_) => return (Over::Ended, None),
                    Ok(_) if packets < MOST => {
                        packets += 1;
                        continue;
                    }
                    Ok(_) => return (Over::Useless, None),
                },
                Some(answer) = asked.recv() => Some(answer),
                () = sleep(rest) => None,
            };
            if let Some(over) = self.ping(visitor).await {
                return (over, answer);
            }
            // Who asked may have left.
            let _ = answer.map(|answer| answer.send(()));
        }
    }

    async fn ping(&self, visitor: &mut Visitor) -> Option<Over> {
        visitor.allow(self.patience);
        if visitor.send(Packet::PingReq).await.is_err() {
            return Some(Over::Useless);
        }
        for _ in 0..MOST {
            match visitor.next().await {
                Ok(Packet::PingResp) => return None,
                Ok(Packet::Disconnect(_)) => return Some(Over::Ended),
                Ok(_) => {}
                Err(Lost::Late) => return Some(Over::Useless),
                Err(_) => return Some(Over::Ended),
            }
        }
        Some(Over::Useless)
    }
}
