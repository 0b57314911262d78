use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// What the shell has seen and done since it started; none of it is lost when the broker dies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShellCounts {
    /// Connections there are now, those included that are being opened or closed.
    pub connections: usize,
    /// Connections that were ever accepted.
    pub accepted: u64,
    /// Connections closed at once because there were too many.
    pub refused: u64,
    /// Connections that never came about: their handshake failed or took too long.
    pub failed_handshakes: u64,
    /// Connections cut off because their client took nothing more, or not in time.
    pub cut_off: u64,
    /// Connections closed because a packet did not become whole in time.
    pub stalled: u64,
    /// Connections closed because too much was kept of packets that were not whole.
    pub crowded_out: u64,
    /// Connections that ended in a panic.
    pub panicked: u64,
    /// QoS 0 messages dropped because their client did not read.
    pub dropped: u64,
    /// Bytes kept of packets that are not whole, apart from a few KiB of each connection.
    pub partial_bytes: usize,
    /// How many messages wait for the broker.
    pub inbox: usize,
    /// The most that ever waited for it.
    pub inbox_high_water: usize,
    /// How often the broker died and another took over.
    pub restarts: u64,
    /// Bytes that wait to be written to clients, as [`outbox_total_bytes`](super::ServerSettings) has them:
    /// all but payloads, and 256 for each packet.
    pub outbox_bytes: usize,
    /// How many messages wait for the TapActor.
    pub tap_inbox: usize,
    /// How many messages wait in the queues of taps, over all of them.
    pub tap_queued: usize,
    /// Messages that taps were to have and did not get, over all taps.
    pub tap_dropped: u64,
    /// How often a tap panicked.
    pub tap_panicked: u64,
}

/// The same, as it is counted.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) connections: AtomicUsize,
    pub(super) accepted: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) failed_handshakes: AtomicU64,
    pub(super) cut_off: AtomicU64,
    pub(super) stalled: AtomicU64,
    pub(super) crowded_out: AtomicU64,
    pub(super) panicked: AtomicU64,
    pub(super) dropped: Losses,
    pub(super) partial_bytes: AtomicUsize,
    pub(super) inbox_high_water: AtomicUsize,
    pub(super) restarts: AtomicU64,
    pub(super) tap_inbox: AtomicUsize,
    pub(super) tap_queued: AtomicUsize,
    pub(super) tap_dropped: AtomicU64,
    pub(super) tap_panicked: AtomicU64,
}

impl Counters {
    /// All of it, but for what others know: the inbox of a broker that may not be there, and the outboxes.
    pub(super) fn read(&self) -> ShellCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ShellCounts {
            connections: self.connections.load(Ordering::Relaxed),
            accepted: read(&self.accepted),
            refused: read(&self.refused),
            failed_handshakes: read(&self.failed_handshakes),
            cut_off: read(&self.cut_off),
            stalled: read(&self.stalled),
            crowded_out: read(&self.crowded_out),
            panicked: read(&self.panicked),
            dropped: self.dropped.total(),
            partial_bytes: self.partial_bytes.load(Ordering::Relaxed),
            inbox: 0,
            inbox_high_water: self.inbox_high_water.load(Ordering::Relaxed),
            restarts: read(&self.restarts),
            outbox_bytes: 0,
            tap_inbox: self.tap_inbox.load(Ordering::Relaxed),
            tap_queued: self.tap_queued.load(Ordering::Relaxed),
            tap_dropped: read(&self.tap_dropped),
            tap_panicked: read(&self.tap_panicked),
        }
    }
}

/// Counts one more.
pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// A running count of what was lost, that says when it is time to log it: at the first, and at each
/// power of two; the rest when it is [settled](Losses::settle), so that in the end the log has all.
#[derive(Debug, Default)]
pub(super) struct Losses {
    total: AtomicU64,
    told: AtomicU64,
}

impl Losses {
    /// Counts one more. Gives the total when it is to be logged.
    pub(super) fn add(&self) -> Option<u64> {
        let total = self.total.fetch_add(1, Ordering::Relaxed) + 1;
        let tell = total.is_power_of_two();
        if tell {
            self.told.fetch_max(total, Ordering::Relaxed);
        }
        tell.then_some(total)
    }

    /// The total, if not all of it has been logged.
    pub(super) fn settle(&self) -> Option<u64> {
        let total = self.total();
        (self.told.fetch_max(total, Ordering::Relaxed) < total).then_some(total)
    }

    pub(super) fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_told_seldom_and_in_the_end_all() {
        let losses = Losses::default();
        let told: Vec<_> = (0..10).filter_map(|_| losses.add()).collect();
        assert_eq!(told, [1, 2, 4, 8]);
        assert_eq!(losses.settle(), Some(10));
        assert_eq!(losses.settle(), None);
        assert_eq!(losses.add(), None);
        assert_eq!(losses.settle(), Some(11));
    }
}
