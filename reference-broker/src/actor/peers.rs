//! Who gives way when there are as many connections as may be: whoever has said nothing for the longest, of those of the
//! address that has most. One address cannot keep all others out by opening connections, nor by keeping them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// The client of a connection, as far as it is known where it comes from.
#[derive(Debug)]
pub(super) struct Peer {
    opened: Instant,
    /// When something came of it last, in milliseconds since then.
    heard: AtomicU64,
    /// Told when it has to give way.
    gives_way: Notify,
}

impl Peer {
    pub(super) fn new() -> Arc<Peer> {
        let (heard, gives_way) = (AtomicU64::new(0), Notify::new());
        Arc::new(Peer { opened: Instant::now(), heard, gives_way })
    }

    /// Notes that something came of it.
    pub(super) fn heard(&self) {
        let since = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.heard.store(since, Ordering::Relaxed);
    }

    /// Waits until it has to give way.
    pub(super) async fn has_to_give_way(&self) {
        self.gives_way.notified().await;
    }

    fn silent_since(&self) -> Instant {
        self.opened + Duration::from_millis(self.heard.load(Ordering::Relaxed))
    }
}

/// All that are there, by their addresses.
#[derive(Debug, Default)]
pub(super) struct Peers(Vec<(IpAddr, Weak<Peer>)>);

impl Peers {
    /// Adds one, where there may be so many.
    pub(super) fn add(&mut self, address: IpAddr, peer: &Arc<Peer>, most: usize) {
        if self.0.len() > most.saturating_mul(2) {
            self.forget_gone();
        }
        self.0.push((address, Arc::downgrade(peer)));
    }

    /// Has one of them give way; says whether there is any.
    pub(super) fn make_room(&mut self) -> bool {
        self.forget_gone();
        let mut counts = BTreeMap::<IpAddr, usize>::new();
        self.0.iter().for_each(|(address, _)| *counts.entry(*address).or_default() += 1);
        let Some((greediest, _)) = counts.into_iter().max_by_key(|(_, count)| *count) else {
            return false;
        };
        let of_greediest = self.0.iter().enumerate().filter(|(_, (it, _))| *it == greediest);
        let silent = of_greediest.filter_map(|(place, (_, peer))| Some((place, peer.upgrade()?)));
        let Some((place, peer)) = silent.min_by_key(|(_, peer)| peer.silent_since()) else {
            return false;
        };
        peer.gives_way.notify_one();
        self.0.swap_remove(place);
        true
    }

    fn forget_gone(&mut self) {
        self.0.retain(|(_, peer)| peer.strong_count() > 0);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{sleep, timeout};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn whoever_was_silent_for_the_longest_gives_way_where_most_come_from() {
        let mut peers = Peers::default();
        let modest = Peer::new();
        peers.add([192, 0, 2, 1].into(), &modest, 10);
        sleep(Duration::from_secs(1)).await;
        let greedy: Vec<_> = (0..3).map(|_| Peer::new()).collect();
        greedy.iter().for_each(|peer| peers.add([192, 0, 2, 2].into(), peer, 10));
        sleep(Duration::from_secs(1)).await;
        greedy[0].heard();
        greedy[2].heard();
        assert!(peers.make_room());
        let gave_way = |peer: &Arc<Peer>| {
            let peer = Arc::clone(peer);
            async move { timeout(Duration::from_secs(1), peer.has_to_give_way()).await.is_ok() }
        };
        assert!(gave_way(&greedy[1]).await);
        for other in [&modest, &greedy[0], &greedy[2]] {
            assert!(!gave_way(other).await);
        }
        drop(greedy);
        assert!(peers.make_room() && gave_way(&modest).await);
        assert!(!peers.make_room(), "nobody is left");
    }
}
