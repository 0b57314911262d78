//! What a connection of a scenario that has failed had to say, and no step has read: where a message
//! did not come, its publisher may have been cut off for a reason that says nothing of conformance.

use std::pin::Pin;
use std::task::{self, Poll, Waker};

use reference_broker::codec::Packet;
use tokio::io::{AsyncRead, ReadBuf};

use crate::trace::{What, packet_text};
use crate::verdict::{Finding, Outcome, Stop, step};

use super::policy::{is_for_rights, policy_of, reservation_of};
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
        if let Some(policy) = policy_of(&packet)
            && !(self.expects_refusals() && is_for_rights(&packet))
        {
            let excuse = format!("{probe} had got {}: {policy}", packet_text(&packet));
            self.excuse(excuse);
        }
        self.record(probe, What::Received(packet));
    }

    /// Why the broker did not do all that it was asked for, if it said so in a packet that a step has
    /// read and that was no trouble there: what it refused it need not have looked at, and has no effect.
    fn reservation(&self) -> Option<String> {
        let mut found = None;
        let is_expected = self.expects_refusals();
        self.each(|event| {
            let What::Received(packet) = &event.what else { return };
            if is_expected && is_for_rights(packet) {
                return;
            }
            if let (None, Some(policy)) = (&found, reservation_of(packet)) {
                found = Some(format!("{} had got {}: {policy}", event.probe, packet_text(packet)));
            }
        });
        found
    }

    /// What a scenario came to, in the light of what its connections had to say: a failure is none if
    /// something was refused, or one of them closed, for load, rights or limits, and what is
    /// inconclusive has a reason.
    pub(crate) fn weighed(&self, outcome: Outcome) -> Outcome {
        let excused = |finding: Finding, excuse: String| {
            let observed = format!("{}; {excuse}", finding.observed);
            Stop::Inconclusive(Finding {
                requirement: None,
                step: step::POLICY,
                observed,
                ..finding
            })
        };
        match (outcome, self.excuses()) {
            (
                Err(Stop::Fail(finding) | Stop::Blocked(finding) | Stop::Inconclusive(finding)),
                Some(excuse),
            ) => Err(excused(finding, excuse)),
            (Err(stop @ (Stop::Fail(_) | Stop::Blocked(_))), None) => {
                Err(match (self.reservation(), stop) {
                    (Some(excuse), Stop::Fail(finding) | Stop::Blocked(finding)) => {
                        excused(finding, excuse)
                    }
                    (_, stop) => stop,
                })
            }
            (outcome, _) => outcome,
        }
    }
}
