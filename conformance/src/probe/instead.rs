//! What is said of something that came in the place of what was expected.

use reference_broker::codec::{Packet, ReasonCode, Side};

use crate::trace::packet_text;
use crate::verdict::Stop;

use super::policy::{TOO_LARGE, policy_of};
use super::{Probe, Seen};

/// A packet of more bytes than this may be too large for a broker that does not say what it takes.
const LARGE: usize = 4 * 1024;

impl Probe {
    /// Of a packet.
    pub(super) fn unexpected(&self, expected: &str, index: usize, packet: &Packet) -> Stop {
        let policy = policy_of(packet).filter(|_| !self.had_notice_of(packet));
        let ends = matches!(packet, Packet::Disconnect(_));
        if let Some(policy) = policy.or(self.too_large().filter(|_| ends)) {
            let observed = format!("{}: {policy}", packet_text(packet));
            return self.context.trouble_at(expected, observed, index);
        }
        self.context.failure(expected, packet_text(packet), index)
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
        (self.last_sent > LARGE && !self.limits.names_size()).then_some(TOO_LARGE)
    }

    /// Of anything.
    pub(super) fn instead(&self, expected: &str, seen: Seen) -> Stop {
        let unread = match self.unread.is_empty() {
            true => String::new(),
            false => {
                let packets: Vec<_> = self.unread().take(3).map(packet_text).collect();
                format!(" (before that, not asked for: {})", packets.join("; "))
            }
        };
        match seen {
            Seen::Packet(index, packet) => self.unexpected(expected, index, &packet),
            Seen::Broken(index, error) => {
                let observed = format!("bytes that are no valid packet: {error}");
                let requirement = error.fault.requirement(Side::Server);
                self.context.failure_of(requirement, expected, observed, index)
            }
            Seen::Closed(index, ending) => {
                let observed =
                    format!("the connection closed by the broker ({}){unread}", ending.name());
                match self.too_large() {
                    Some(why) => {
                        self.context.trouble_at(expected, format!("{observed}: {why}"), index)
                    }
                    None => self.context.failure(expected, observed, index),
                }
            }
            Seen::Silence(index, patience) => {
                let observed = format!("nothing for {:.1} s{unread}", patience.as_secs_f64());
                self.context.failure(expected, observed, index)
            }
        }
    }
}
