//! The TapActor, and how the broker reaches it; see [taps](super::tap).

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::watch;

use crate::core::Published;
use crate::topic::{FilterTree, TopicName};

use super::TapMode;
use super::counts::Counters;
use super::queue::{Receiver, Sender};
use super::tap::{Tap, TapHandle, Waiting, size};

/// All taps, and by their filters.
#[derive(Clone, Default)]
pub(super) struct TapSet {
    taps: BTreeMap<u64, Arc<Tap>>,
    filters: FilterTree<u64, ()>,
}

impl TapSet {
    pub(super) fn len(&self) -> usize {
        self.taps.len()
    }

    pub(super) fn insert(&mut self, id: u64, tap: Arc<Tap>) {
        self.filters.insert(tap.pattern().filter(), id, ());
        self.taps.insert(id, tap);
    }

    pub(super) fn remove(&mut self, handle: &TapHandle) -> Option<Arc<Tap>> {
        self.filters.remove(handle.pattern().filter(), &handle.id);
        self.taps.remove(&handle.id)
    }

    /// Lets all taps end when they have taken what waits for them now.
    pub(super) fn close(&self) {
        self.taps.values().for_each(|tap| tap.close());
    }

    fn concerned(&self, topic: &TopicName) -> Vec<Arc<Tap>> {
        self.filters.matches(topic).filter_map(|(id, ())| self.taps.get(id).cloned()).collect()
    }
}

/// A message for the TapActor, with the taps that are yet to have it. However it ends, those miss it.
pub(super) struct Tapped {
    message: Arc<Published>,
    taps: Vec<Arc<Tap>>,
    counters: Arc<Counters>,
}

impl Tapped {
    fn new(message: Published, taps: Vec<Arc<Tap>>, counters: &Arc<Counters>) -> Tapped {
        counters.tap_inbox.fetch_add(1, Ordering::Relaxed);
        Tapped { message: Arc::new(message), taps, counters: Arc::clone(counters) }
    }
}

impl Drop for Tapped {
    fn drop(&mut self) {
        self.counters.tap_inbox.fetch_sub(1, Ordering::Relaxed);
        self.taps.iter().for_each(|tap| tap.lose());
    }
}

/// The TapActor. It ends when no broker can send to it any more.
pub(super) async fn run(mut inbox: Receiver<Tapped>) {
    while let Some((mut tapped, _room)) = inbox.recv().await {
        let taps = std::mem::take(&mut tapped.taps);
        taps.iter().for_each(|tap| tap.offer(&tapped.message));
    }
}

/// How the broker reaches the taps.
pub(super) struct Taps {
    set: watch::Receiver<Arc<TapSet>>,
    current: Arc<TapSet>,
    inbox: Sender<Tapped>,
    mode: TapMode,
    counters: Arc<Counters>,
    /// What the broker is to call itself, before it goes on.
    inline: VecDeque<(Arc<Tap>, Waiting)>,
}

impl Taps {
    pub(super) fn new(
        set: watch::Receiver<Arc<TapSet>>,
        inbox: Sender<Tapped>,
        mode: TapMode,
        counters: Arc<Counters>,
    ) -> Taps {
        let current = Arc::clone(&set.borrow());
        Taps { set, current, inbox, mode, counters, inline: VecDeque::new() }
    }

    /// Hands a message to those who tap its topic, without waiting for anyone.
    pub(super) fn publish(&mut self, message: Published) {
        if self.set.has_changed().unwrap_or(false) {
            self.current = Arc::clone(&self.set.borrow_and_update());
        }
        let taps = self.current.concerned(&message.topic);
        if taps.is_empty() {
            return;
        }
        if self.mode == TapMode::Inline {
            let message = Arc::new(message);
            let waiting = |tap: Arc<Tap>| (Arc::clone(&tap), Waiting::new(&message, &tap));
            self.inline.extend(taps.into_iter().map(waiting));
            return;
        }
        let size = size(&message);
        // What is not taken is dropped, and so counted.
        let _ = self.inbox.try_send(Tapped::new(message, taps, &self.counters), size);
    }

    /// Calls the taps that run in the broker's loop.
    pub(super) async fn call_inline(&mut self) {
        while let Some((tap, message)) = self.inline.pop_front() {
            tap.call(message).await;
        }
    }
}
