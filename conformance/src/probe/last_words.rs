//! What a connection of a scenario that has failed had to say, and no step has read: where a message
//! did not come, its publisher may have been cut off for a reason that says nothing of conformance.

use std::pin::Pin;
use std::task::{self, Poll, Waker};

use reference_broker::codec::Packet;
use tokio::io::{AsyncRead, ReadBuf};

use crate::trace::{What, packet_text};
use crate::verdict::{Finding, Outcome, Stop};

use super::policy::policy_of;
use super::reading::next_packet;
use super::{Context, Probe, Stream};

/// How often what has come is read, in pieces: what lies behind more is not looked for.
const READS: usize = 64;
const PIECE: usize = 4096;

impl Drop for Probe {
    fn drop(&mut self) {
        if self.context.has_failed() && self.ended.is_none() {
            self.read_last_words();
        }
    }
}

impl Probe {
    /// Reads what has come, without waiting, up to a DISCONNECT.
    fn read_last_words(&mut self) {
        for _ in 0..READS {
            while let Ok(Some((packet, _))) = next_packet(&mut self.framer) {
                if matches!(packet, Packet::Disconnect(_)) {
                    self.context.note_last_words(&self.name, packet);
                    return;
                }
            }
            let Some(Stream(stream)) = self.stream.as_mut() else { return };
            let mut piece = [0; PIECE];
            let mut read = ReadBuf::new(&mut piece);
            let mut context = task::Context::from_waker(Waker::noop());
            match Pin::new(stream).poll_read(&mut context, &mut read) {
                Poll::Ready(Ok(())) if !read.filled().is_empty() => {
                    self.framer.buffer().extend_from_slice(read.filled());
                }
                _ => return,
            }
        }
    }
}

impl Context {
    fn note_last_words(&self, probe: &str, packet: Packet) {
        if let Some(policy) = policy_of(&packet) {
            let excuse = format!("{probe} had got {}: {policy}", packet_text(&packet));
            self.excuse(excuse);
        }
        self.record(probe, What::Received(packet));
    }

    /// What a scenario came to, in the light of what its connections had to say in the end: a failure is
    /// none if one of them was closed for load, rights or limits, and what is inconclusive has a reason.
    pub(crate) fn weighed(&self, outcome: Outcome) -> Outcome {
        match (outcome, self.excuses()) {
            (
                Err(Stop::Fail(finding) | Stop::Blocked(finding) | Stop::Inconclusive(finding)),
                Some(excuse),
            ) => {
                let observed = format!("{}; {excuse}", finding.observed);
                Err(Stop::Inconclusive(Finding { requirement: None, observed, ..finding }))
            }
            (outcome, _) => outcome,
        }
    }
}
