//! Taps: functions of the application in the process that get what is published.
//!
//! The broker matches a message against the patterns of all taps and leaves it in the inbox of the
//! one [TapActor](super::tap_actor), which owns nothing and waits for nobody: it puts the message into
//! the queue of each tap concerned. Each tap has a task of its own behind its queue, so one that hangs
//! is alone in that. Whatever is full drops the newest message. Wherever a message is dropped, that is
//! counted for each tap that misses it. A panic ends one call, not the tap.
//!
//! A function must not block its thread (`std::thread::sleep`, endless loops): as with any task, that
//! stops whoever shares the thread.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::codec::{Properties, QoS, Text};
use crate::core::Published;
use crate::topic::{PatternError, TopicName, TopicPattern};

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
    pub(super) fn pattern(&self) -> &TopicPattern {
        &self.tally.pattern
    }

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
    queue: Sender<Waiting>,
    tally: Arc<Tally>,
    closing: Notify,
    /// Behind the queue, so that this is dropped after it.
    _last_word: LastWord,
}

/// Tells at the end of a tap, when nothing can be lost for it any more, what was lost in all.
struct LastWord(Arc<Tally>);

impl Drop for LastWord {
    fn drop(&mut self) {
        self.0.settle("has ended");
    }
}

/// A message on its way to a tap. One that is dropped before it is [taken](Waiting::take) is one that the
/// tap misses, wherever that happens.
pub(super) struct Waiting {
    message: Option<Arc<Published>>,
    tally: Arc<Tally>,
}

impl Waiting {
    pub(super) fn new(message: &Arc<Published>, tap: &Tap) -> Waiting {
        let tally = Arc::clone(&tap.tally);
        tally.counters.tap_queued.fetch_add(1, Ordering::Relaxed);
        Waiting { message: Some(Arc::clone(message)), tally }
    }

    /// What the tap is to be called with.
    fn take(mut self) -> Option<TapMessage> {
        let message = self.message.take()?;
        Some(TapMessage { message, pattern: self.tally.pattern.clone() })
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.tally.counters.tap_queued.fetch_sub(1, Ordering::Relaxed);
        if self.message.is_some() {
            self.tally.lose();
        }
    }
}

impl Tap {
    /// A tap, and the queue to [serve](serve) it from.
    pub(super) fn new<F, Fut>(
        pattern: TopicPattern,
        options: TapOptions,
        counters: Arc<Counters>,
        function: F,
    ) -> (Tap, Receiver<Waiting>)
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
        let tally = Arc::new(tally);
        let _last_word = LastWord(Arc::clone(&tally));
        (Tap { call, queue, tally, closing: Notify::new(), _last_word }, messages)
    }

    pub(super) fn pattern(&self) -> &TopicPattern {
        &self.tally.pattern
    }

    /// Counts a message that it misses.
    pub(super) fn lose(&self) {
        self.tally.lose();
    }

    pub(super) fn handle(&self, id: u64) -> TapHandle {
        TapHandle { id, tally: Arc::clone(&self.tally) }
    }

    /// Lets the tap end when it has taken what waits for it now.
    pub(super) fn close(&self) {
        self.closing.notify_one();
    }

    pub(super) fn offer(&self, message: &Arc<Published>) {
        // What is not taken is dropped, and so counted.
        let _ = self.queue.try_send(Waiting::new(message, self), size(message));
    }

    pub(super) async fn call(&self, message: Waiting) {
        let Some(message) = message.take() else { return };
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

/// How many bytes a message counts in a queue.
pub(super) fn size(message: &Published) -> usize {
    message.payload.len() + message.topic.as_str().len()
}

/// A tap and what waits for it, dropped in this order.
pub(super) struct Work {
    pub(super) queue: Receiver<Waiting>,
    pub(super) tap: Arc<Tap>,
}

/// Calls a tap with what waits for it, one message after another.
pub(super) async fn serve(mut work: Work) {
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
        let Some((message, mut room)) = message else { break };
        room.leave_place();
        work.tap.call(message).await;
        if work.queue.len() == 0 && settled.elapsed() >= CAUGHT_UP {
            work.tap.tally.settle("has caught up");
            settled = Instant::now();
        }
    }
    work.tap.tally.settle("has ended");
}
