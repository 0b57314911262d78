//! Connections that did not come about, counted over a run.

use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use reference_broker::transport::BoxStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, sleep, sleep_until};

use super::tempo::{Lesson, Tempo};

/// How long a target is left alone after the first connection that did not come about.
const PAUSE: Duration = Duration::from_millis(50);

/// Connections that did not come about though nothing had been said on them: the network's doing, or a
/// limit, and no fault.
#[derive(Clone, Debug, Default)]
pub struct Strain(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    refused: AtomicUsize,
    closed: AtomicUsize,
    silent: AtomicUsize,
    open: AtomicUsize,
    /// The most that were open when one did not come about.
    most: AtomicUsize,
    /// How often too many were found to be open at once.
    crowds: AtomicUsize,
    tempo: Mutex<Tempo>,
}

impl Counts {
    fn tempo(&self) -> MutexGuard<'_, Tempo> {
        // Nothing is done by halves while it is held.
        self.tempo.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }
}

/// A stream that counts as open.
struct Counted {
    stream: BoxStream,
    open: Open,
    /// Whether anything has come.
    is_heard: bool,
}

/// A connection that counts as open for as long as this lives.
#[derive(Debug)]
struct Open(Arc<Counts>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Strain {
    /// Counts a connection as open until it is dropped.
    pub(super) fn around(&self, stream: BoxStream) -> BoxStream {
        Box::new(Counted { stream, open: self.open(), is_heard: false })
    }

    fn open(&self) -> Open {
        self.0.open.fetch_add(1, Ordering::Relaxed);
        Open(Arc::clone(&self.0))
    }

    /// Forgets what did not come about while the target was away, and why.
    pub(crate) fn forget(&self) {
        for count in [&self.0.refused, &self.0.closed, &self.0.silent, &self.0.most] {
            count.store(0, Ordering::Relaxed);
        }
        *self.0.tempo() = Tempo::default();
    }

    /// Notes a connection that the target, or what lies before it, did not accept.
    pub fn refused(&self) {
        self.note(&self.0.refused);
    }

    /// Notes one that was closed before it said anything.
    pub fn closed(&self) {
        self.note(&self.0.closed);
    }

    /// Notes one on which nothing ever came.
    pub fn silent(&self) {
        self.note(&self.0.silent);
    }

    fn note(&self, count: &AtomicUsize) {
        count.fetch_add(1, Ordering::Relaxed);
        self.0.most.fetch_max(self.0.open(), Ordering::Relaxed);
    }

    /// Waits until one more connection may be opened.
    pub(super) async fn turn(&self) {
        let now = Instant::now();
        let at = self.0.tempo().turn(now);
        if at > now {
            sleep_until(at).await;
        }
    }

    /// Whether connections are waited for: more that want some do no good then.
    pub fn is_waited_for(&self) -> bool {
        self.0.tempo().is_waited_for(Instant::now())
    }

    /// Whether fewer connections may be opened than are wanted.
    pub fn is_bounded(&self) -> bool {
        self.0.tempo().rate().is_some()
    }

    /// How often too many connections were found to be open at once.
    pub fn crowds(&self) -> usize {
        self.0.crowds.load(Ordering::Relaxed)
    }

    /// Leaves a target alone for a while on which a connection was tried so many times and did not come
    /// about: each time for twice as long.
    pub async fn rest(&self, tries: u32) {
        if self.0.tempo().failed(Instant::now(), self.0.open()) == Lesson::Crowd {
            self.0.crowds.fetch_add(1, Ordering::Relaxed);
        }
        sleep(Strain::pause(tries)).await;
    }

    /// How long a target is left alone on which a connection was tried so many times.
    pub(super) fn pause(tries: u32) -> Duration {
        PAUSE * 2_u32.saturating_pow(tries.saturating_sub(1))
    }

    /// How many there were.
    pub fn count(&self) -> usize {
        [&self.0.refused, &self.0.closed, &self.0.silent]
            .iter()
            .map(|count| count.load(Ordering::Relaxed))
            .sum()
    }

    /// What to say of it, if there is anything to be said.
    pub fn note_for_report(&self, slowed_to: Option<usize>) -> Option<String> {
        let counts = [
            (&self.0.refused, "refused"),
            (&self.0.closed, "closed before CONNACK"),
            (&self.0.silent, "never answered"),
        ];
        let counts = counts.map(|(count, how)| (count.load(Ordering::Relaxed), how));
        let told: Vec<_> = counts
            .iter()
            .filter(|it| it.0 > 0)
            .map(|(count, how)| format!("{count} {how}"))
            .collect();
        if told.is_empty() {
            return None;
        }
        let most = self.0.most.load(Ordering::Relaxed);
        let slowed = slowed_to.map(|jobs| format!(", so at last {jobs} scenarios ran at once"));
        let rate = self.0.tempo().rate();
        let rate = rate.map(|rate| format!(", and at most {rate:.0} were opened a second"));
        Some(format!(
            "connections did not come about ({}; {most} were open then at most){}{}: the target or the \
             network has a limit or loses some; raise it, or run with fewer --jobs",
            told.join(", "),
            slowed.unwrap_or_default(),
            rate.unwrap_or_default(),
        ))
    }
}

impl AsyncRead for Counted {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let polled = pin!(&mut this.stream).poll_read(cx, buffer);
        if !this.is_heard && buffer.filled().len() > before {
            this.is_heard = true;
            let counts = &this.open.0;
            counts.tempo().came_about(Instant::now(), counts.open());
        }
        polled
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        pin!(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        pin!(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        pin!(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_did_not_come_about_is_told_in_a_line() {
        let strain = Strain::default();
        assert_eq!(strain.note_for_report(None), None);
        let open = [strain.open(), strain.open(), strain.open()];
        strain.closed();
        drop(open);
        strain.refused();
        let note = strain.note_for_report(Some(4)).unwrap();
        assert!(note.contains("(1 refused, 1 closed before CONNACK; 3 were open then at most)"));
        assert!(note.contains("at last 4 scenarios ran at once") && note.contains("--jobs"));
    }
}
