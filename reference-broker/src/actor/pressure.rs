//! Publishers wait for subscribers that have nearly as much waiting for them as may.
//!
//! What is acknowledged with success is kept, so a queue that runs over has to refuse: here it is seen to that it does not
//! while its client comes on. Who has published to a crowded client is not served until that one has caught up, has
//! gone, or has not done so in time; then it is left alone for a while, so that a client that is stuck keeps nobody.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::codec::Text;
use crate::core::{Broker, ConnectionId};

/// How long publishers wait for a client at the most.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long nobody waits for a client that has not come on in that time.
const LEFT_ALONE: Duration = Duration::from_secs(30);

/// For how many clients others wait at once, and how many are left alone; for more nobody waits.
const MOST: usize = 256;

/// Who waits for whom.
#[derive(Default)]
pub(super) struct Pressure {
    /// Until when, and who, by the client waited for.
    waiting: BTreeMap<Text, (Instant, Vec<ConnectionId>)>,
    /// The clients nobody waits for, and until when.
    left_alone: BTreeMap<Text, Instant>,
}

impl Pressure {
    /// Notes what came of a turn of a connection. Says whether it has to wait.
    pub(super) fn note(&mut self, id: ConnectionId, broker: &Broker) -> bool {
        let Some(client) = broker.crowded_client() else { return false };
        // By what it acknowledges, it is to make room for itself.
        if broker.connection_of(client) == Some(id) {
            return false;
        }
        let now = Instant::now();
        if self.left_alone.len() >= MOST {
            self.left_alone.retain(|_, until| *until > now);
        }
        let is_left_alone = self.left_alone.get(client).is_some_and(|until| *until > now);
        if is_left_alone || (self.waiting.len() >= MOST && !self.waiting.contains_key(client)) {
            return false;
        }
        let (_, waiting) =
            self.waiting.entry(client.clone()).or_insert_with(|| (now + PATIENCE, Vec::new()));
        waiting.push(id);
        true
    }

    /// Those who need wait no longer.
    pub(super) fn release(&mut self, broker: Option<&Broker>) -> Vec<ConnectionId> {
        let (mut released, now) = (Vec::new(), Instant::now());
        self.waiting.retain(|client, (until, waiting)| {
            let is_crowded = broker.is_some_and(|broker| broker.is_crowded(client));
            if is_crowded && *until <= now && self.left_alone.len() < MOST {
                self.left_alone.insert(client.clone(), now + LEFT_ALONE);
            }
            let stays = is_crowded && *until > now;
            if !stays {
                released.append(waiting);
            }
            stays
        });
        released
    }

    /// When the first of them has waited long enough.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.waiting.values().map(|(until, _)| *until).min()
    }
}
