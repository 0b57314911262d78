//! What is said of something that came in the place of what was expected.

use reference_broker::codec::{Packet, QoS, ReasonCode, Side, Subscribe};
use reference_broker::topic::is_shared;

use crate::trace::{What, packet_text};
use crate::verdict::Stop;
use crate::verdict::step::{self, Step};

use super::policy::{TOO_LARGE, policy_of};
use super::{Observed, Probe, Seen};

/// A packet of more bytes than this may be too large for a broker that does not say what it takes.
const LARGE: usize = 4 * 1024;

/// A CONNECT of more bytes than this may be too large for who has not been let in: there is no CONNACK
/// yet that could say what is.
const LARGE_CONNECT: usize = 100;

/// What kind of packet it is, without what differs from run to run.
pub(super) fn kind_of(packet: &Packet) -> String {
    let reason = match packet {
        Packet::Disconnect(packet) => Some(packet.reason),
        Packet::ConnAck(packet) => Some(packet.reason),
        Packet::PubAck(packet)
        | Packet::PubRec(packet)
        | Packet::PubRel(packet)
        | Packet::PubComp(packet) => Some(packet.reason),
        Packet::SubAck(packet) | Packet::UnsubAck(packet) => packet.reasons.first().copied(),
        _ => None,
    };
    match reason {
        Some(reason) => format!("{} 0x{:02X}", packet.packet_type(), reason.value()),
        None => packet.packet_type().to_string(),
    }
}

/// A packet, as what was observed.
pub(super) fn as_observed(index: usize, packet: &Packet) -> Observed {
    Observed { text: packet_text(packet), seen: kind_of(packet), event: index }
}

impl Probe {
    /// Of a packet.
    pub(super) fn unexpected(
        &self,
        step: Step,
        expected: &str,
        index: usize,
        packet: &Packet,
    ) -> Stop {
        let policy = policy_of(packet).filter(|_| !self.had_notice_of(packet));
        let ends = matches!(packet, Packet::Disconnect(_));
        if let Some(policy) = policy.or(self.too_large().filter(|_| ends)) {
            let observed = format!("{}: {policy}", packet_text(packet));
            return self.context.refused_at(expected, observed, index);
        }
        self.stop(step, expected, as_observed(index, packet))
    }

    /// A step was not answered as the standard has it. Where the session was not there that it
    /// stands on, that is what blocks, whatever the step is about.
    pub(super) fn stop(&self, step: Step, expected: &str, observed: Observed) -> Stop {
        let step = match step {
            step::DELIVER if self.is_member() => step::DELIVER_SHARED,
            step::DELIVER if self.has_session() => step::DELIVER_KEPT,
            step => step,
        };
        match self.lacks_session.clone() {
            Some(lack) => {
                let Step { name, requirement } = step::RESUME;
                self.context.stop_of(requirement, name, "session_present 1", lack)
            }
            _ => self.context.stop(step, expected, observed),
        }
    }

    /// A message came where none should: the scenario's failure, unless it is for want of the session that
    /// it stands on.
    pub(super) fn not_silent(&self, expected: &str, observed: Observed) -> Stop {
        match self.lacks_session {
            Some(_) => self.stop(step::OTHER, expected, observed),
            None => self.context.failure(expected, observed),
        }
    }

    /// Whether a packet refuses for a size that the broker had told this client the bound of: a
    /// scenario keeps within it, or is about it.
    fn had_notice_of(&self, packet: &Packet) -> bool {
        matches!(packet, Packet::Disconnect(it) if it.reason == ReasonCode::PacketTooLarge)
            && self.limits.names_size()
    }

    /// Why an end of the connection may be about the size of what was sent last, whatever is said of
    /// it (section 3.2.2.3.6).
    fn too_large(&self) -> Option<&'static str> {
        let has_connack = self.has_connack();
        let bound = if has_connack { LARGE } else { LARGE_CONNECT };
        let is_told = has_connack && self.limits.names_size();
        (self.last_sent > bound && !is_told).then_some(TOO_LARGE)
    }

    fn has_connack(&self) -> bool {
        self.has_received(|packet| matches!(packet, Packet::ConnAck(_)))
    }

    /// Whether it goes on with a session.
    fn has_session(&self) -> bool {
        self.has_received(|packet| matches!(packet, Packet::ConnAck(it) if it.session_present))
    }

    /// Whether a message was published since it has gone on with its session, and has not waited for it.
    pub(super) fn is_published_since_resume(&self, topic: &str, payload: &str) -> bool {
        let mut is_resumed = false;
        self.context.any(|event| match &event.what {
            What::Received(Packet::ConnAck(it)) if event.probe == self.name => {
                is_resumed = it.session_present;
                false
            }
            What::Sent(Packet::Publish(it)) => {
                is_resumed && *it.topic == *topic && *it.payload == *payload.as_bytes()
            }
            _ => false,
        })
    }

    /// Whether it has asked for a Shared Subscription.
    fn is_member(&self) -> bool {
        let shares =
            |subscribe: &Subscribe| subscribe.subscriptions.iter().any(|it| is_shared(&it.filter));
        self.context.any(|event| {
            event.probe == self.name
                && matches!(&event.what, What::Sent(Packet::Subscribe(it)) if shares(it))
        })
    }

    fn has_received(&self, is_it: impl Fn(&Packet) -> bool) -> bool {
        let is_own = |what: &What| matches!(what, What::Received(packet) if is_it(packet));
        self.context.any(|event| event.probe == self.name && is_own(&event.what))
    }

    /// Of anything.
    pub(super) fn instead(&self, step: Step, expected: &str, seen: Seen) -> Stop {
        let unread = match self.unread.is_empty() {
            true => String::new(),
            false => {
                let packets: Vec<_> = self.unread().take(3).map(packet_text).collect();
                format!(" (before that, not asked for: {})", packets.join("; "))
            }
        };
        match seen {
            Seen::Packet(index, packet) => self.unexpected(step, expected, index, &packet),
            Seen::Broken(event, error) => {
                let text = format!("bytes that are no valid packet: {error}");
                let requirement = error.fault.requirement(Side::Server);
                let seen = "bytes that are no valid packet".to_owned();
                let observed = Observed { text, seen, event };
                self.context.stop_of(requirement, step::READ.name, expected, observed)
            }
            Seen::Closed(event, ending) => {
                let text =
                    format!("the connection closed by the broker ({}){unread}", ending.name());
                if let Some(why) = self.too_large() {
                    return self.context.trouble_at(expected, format!("{text}: {why}"), event);
                }
                let seen = "the connection closed".to_owned();
                self.context.lost(step, expected, Observed { text, seen, event })
            }
            Seen::Silence(event, patience) => {
                let text = format!("nothing for {:.1} s{unread}", patience.as_secs_f64());
                let observed = Observed { text, seen: "nothing".to_owned(), event };
                match step {
                    step::CONNECT | step::DELIVER_ONCE => {
                        self.context.lost(step, expected, observed)
                    }
                    _ => self.stop(step, expected, observed),
                }
            }
        }
    }

    /// What kind of step it is to receive a message: at QoS 0 it may be lost (section 4.3.1).
    pub(super) fn delivery(&self, topic: &str, payload: Option<&str>) -> Step {
        let is_it = |what: &What| match what {
            What::Sent(Packet::Publish(sent)) => {
                *sent.topic == *topic
                    && payload.is_none_or(|payload| *sent.payload == *payload.as_bytes())
                    && sent.qos == QoS::AtMostOnce
            }
            _ => false,
        };
        let at_qos_0 = self.granted_at_most == Some(QoS::AtMostOnce)
            || self.context.any(|event| is_it(&event.what));
        if at_qos_0 { step::DELIVER_ONCE } else { step::DELIVER }
    }
}
