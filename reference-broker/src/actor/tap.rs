//! The TapActor: hands published messages to functions of the application in the process.
//!
//! The broker matches a message against the patterns of all taps and leaves it in the inbox of the
//! one TapActor, which owns nothing and waits for nobody: it puts the message into the queue of each
//! tap concerned. Each tap has a task of its own behind its queue, so one that hangs is alone in
//! that. Whatever is full drops the newest message, and counts that for each tap that misses it. A
//! panic ends one call, not the tap.
//!
//! A function must not block its thread (`std::thread::sleep`, endless loops): as with any task, that
//! stops whoever shares the thread.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::codec::{Properties, QoS, Text};
use crate::core::Published;
use crate::topic::{FilterTree, PatternError, TopicName, TopicPattern};

use super::Bound;
use super::counts::{Counters, Losses, count};
use super::panic::caught;
use super::queue::{self, Receiver, Sender};

/// How far apart a tap that has caught up says so, at the least.
const CAUGHT_UP: Duration = Duration::from_secs(1);

/// Where taps run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TapMode {
    /// In tasks of their own, behind bounded queues.
    #[default]
    Actor,
    /// In the broker's own loop, which waits for them before it takes the next message: a slow tap
    /// slows everybody down and one that hangs stops the broker. Only to measure what the actor is
    /// good for.
    Inline,
}

/// How a tap is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TapOptions {
    /// What may wait for the tap. The newest message is dropped beyond it.
    pub queue: Bound,
}

impl Default for TapOptions {
    fn default() -> Self {
        TapOptions { queue: Bound { items: 256, bytes: 16 * 1024 * 1024 } }
    }
}

/// A published message, as a tap gets it; the message itself is shared with other taps.
#[derive(Clone, Debug)]
pub struct TapMessage {
    message: Arc<Published>,
    pattern: TopicPattern,
}

impl TapMessage {
    /// What a capture of the tap's pattern is in this topic; see [`TopicPattern::capture`].
    pub fn get(&self, capture: &str) -> Option<&str> {
        self.pattern.capture(capture, &self.message.topic)
    }

    /// All captures of the tap's pattern, with what each is in this topic.
    pub fn captures(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pattern.captures(&self.message.topic)
    }

    /// The Topic Name.
    pub fn topic(&self) -> &TopicName {
        &self.message.topic
    }

    /// The payload.
    pub fn payload(&self) -> &Bytes {
        &self.message.payload
    }

    /// The QoS it was published at.
    pub fn qos(&self) -> QoS {
        self.message.qos
    }

    /// Whether it is to be retained.
    pub fn retain(&self) -> bool {
        self.message.retain
    }

    /// The properties that go with it to subscribers.
    pub fn properties(&self) -> &Properties {
        &self.message.properties
    }

    /// The client that published it.
    pub fn publisher(&self) -> &Text {
        &self.message.publisher
    }
}

/// Why a tap was not set up.
#[derive(Debug)]
pub enum TapError {
    /// What is wrong with its pattern.
    Pattern(PatternError),
    /// [`Config::reports_published`](crate::core::Config::reports_published) is off.
    NotReported,
    /// There are as many taps as there may be.
    TooMany,
    /// The broker has stopped.
    Stopped(io::Error),
}

impl fmt::Display for TapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TapError::Pattern(error) => error.fmt(f),
            TapError::NotReported => f.write_str("the broker does not report what is published"),
            TapError::TooMany => f.write_str("too many taps"),
            TapError::Stopped(error) => error.fmt(f),
        }
    }
}

impl Error for TapError {}

/// What became of the messages that a tap was to have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TapCounts {
    /// How many it was called with.
    pub taken: u64,
    /// How many of these calls have come to an end, by a panic too.
    pub finished: u64,
    /// How many of these calls panicked.
    pub panicked: u64,
    /// How many it missed because it was behind, or at the end of the broker.
    pub dropped: u64,
}

/// A tap that was set up. It goes on when this is dropped.
#[derive(Clone, Debug)]
pub struct TapHandle {
    pub(super) id: u64,
    tally: Arc<Tally>,
}

impl TapHandle {
    /// What became of its messages so far.
    pub fn counts(&self) -> TapCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let Tally { taken, finished, panicked, dropped, .. } = &*self.tally;
        TapCounts {
            taken: read(taken),
            finished: read(finished),
            panicked: read(panicked),
            dropped: dropped.total(),
        }
    }
}

/// What is counted of a tap; outlives its task, and the broker.
#[derive(Debug)]
struct Tally {
    pattern: TopicPattern,
    taken: AtomicU64,
    finished: AtomicU64,
    panicked: AtomicU64,
    dropped: Losses,
    counters: Arc<Counters>,
}

impl Tally {
    fn lose(&self) {
        count(&self.counters.tap_dropped);
        if let Some(total) = self.dropped.add() {
            tracing::warn!(tap = %self.pattern, total, "tap is behind: message dropped");
        }
    }

    fn settle(&self, how: &str) {
        if let Some(total) = self.dropped.settle() {
            tracing::warn!(tap = %self.pattern, total, "tap {how}: messages dropped before");
        }
    }
}

type Call = Box<dyn Fn(TapMessage) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// A tap, as the broker and the TapActor know it.
pub(super) struct Tap {
    call: Call,
    queue: Sender<TapMessage>,
    tally: Arc<Tally>,
    closing: Notify,
}

impl Tap {
    /// A tap, and the queue to [serve](serve) it from.
    pub(super) fn new<F, Fut>(
        pattern: TopicPattern,
        options: TapOptions,
        counters: Arc<Counters>,
        function: F,
    ) -> (Tap, Receiver<TapMessage>)
    where
        F: Fn(TapMessage) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let (queue, messages) = queue::queue(options.queue);
        let tally = Tally {
            pattern,
            taken: AtomicU64::new(0),
            finished: AtomicU64::new(0),
            panicked: AtomicU64::new(0),
            dropped: Losses::default(),
            counters,
        };
        let call: Call = Box::new(move |message| Box::pin(function(message)));
        (Tap { call, queue, tally: Arc::new(tally), closing: Notify::new() }, messages)
    }

    pub(super) fn handle(&self, id: u64) -> TapHandle {
        TapHandle { id, tally: Arc::clone(&self.tally) }
    }

    /// Lets the tap end when it has taken what waits for it now.
    pub(super) fn close(&self) {
        self.closing.notify_one();
    }

    fn message(&self, message: &Arc<Published>) -> TapMessage {
        TapMessage { message: Arc::clone(message), pattern: self.tally.pattern.clone() }
    }

    fn offer(&self, message: &Arc<Published>) {
        if self.queue.try_send(self.message(message), size(message)).is_err() {
            self.tally.lose();
        }
    }

    async fn call(&self, message: TapMessage) {
        count(&self.tally.taken);
        // Also what the function does before there is a future.
        if let Err(panic) = caught(async { (self.call)(message).await }).await {
            count(&self.tally.panicked);
            count(&self.tally.counters.tap_panicked);
            tracing::error!(tap = %self.tally.pattern, panic, "tap panicked");
        }
        count(&self.tally.finished);
    }
}

fn size(message: &Published) -> usize {
    message.payload.len() + message.topic.as_str().len()
}

/// Calls a tap with what waits for it, one message after another.
pub(super) async fn serve(tap: Arc<Tap>, queue: Receiver<TapMessage>) {
    let mut work = Work { tap, queue };
    let mut settled = Instant::now();
    let mut closing = false;
    loop {
        let message = tokio::select! {
            message = work.queue.recv() => message,
            () = work.tap.closing.notified(), if !closing => {
                work.queue.close();
                closing = true;
                continue;
            }
        };
        let Some((message, _room)) = message else { return };
        work.tap.call(message).await;
        if work.queue.len() == 0 && settled.elapsed() >= CAUGHT_UP {
            work.tap.tally.settle("has caught up");
            settled = Instant::now();
        }
    }
}

/// A tap at work. However that ends, what it did not take is counted.
struct Work {
    tap: Arc<Tap>,
    queue: Receiver<TapMessage>,
}

impl Drop for Work {
    fn drop(&mut self) {
        self.queue.close();
        while self.queue.try_recv().is_some() {
            self.tap.tally.lose();
        }
        self.tap.tally.settle("has ended");
    }
}

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
        self.filters.insert(tap.tally.pattern.filter(), id, ());
        self.taps.insert(id, tap);
    }

    pub(super) fn remove(&mut self, handle: &TapHandle) -> Option<Arc<Tap>> {
        self.filters.remove(handle.tally.pattern.filter(), &handle.id);
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

/// A message for the TapActor: with the taps that are to have it.
pub(super) struct Tapped {
    message: Arc<Published>,
    taps: Vec<Arc<Tap>>,
}

/// The TapActor. It ends when no broker can send to it any more.
pub(super) async fn run(mut inbox: Receiver<Tapped>) {
    while let Some((Tapped { message, taps }, _room)) = inbox.recv().await {
        taps.iter().for_each(|tap| tap.offer(&message));
    }
}

/// How the broker reaches the taps.
pub(super) struct Taps {
    set: watch::Receiver<Arc<TapSet>>,
    current: Arc<TapSet>,
    inbox: Sender<Tapped>,
    mode: TapMode,
    /// What the broker is to call itself, before it goes on.
    inline: Vec<Tapped>,
}

impl Taps {
    pub(super) fn new(
        set: watch::Receiver<Arc<TapSet>>,
        inbox: Sender<Tapped>,
        mode: TapMode,
    ) -> Taps {
        let current = Arc::clone(&set.borrow());
        Taps { set, current, inbox, mode, inline: Vec::new() }
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
        let size = size(&message);
        let tapped = Tapped { message: Arc::new(message), taps };
        if self.mode == TapMode::Inline {
            self.inline.push(tapped);
        } else if let Err((tapped, _)) = self.inbox.offer(tapped, size) {
            tapped.taps.iter().for_each(|tap| tap.tally.lose());
        }
    }

    /// Calls the taps that run in the broker's loop.
    pub(super) async fn call_inline(&mut self) {
        for Tapped { message, taps } in std::mem::take(&mut self.inline) {
            for tap in taps {
                let tap_message = tap.message(&message);
                tap.call(tap_message).await;
            }
        }
    }
}
