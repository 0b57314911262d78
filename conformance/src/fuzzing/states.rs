//! What of a broker was reached: what a connection was, what was sent on it, and what came of that.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use reference_broker::codec::{Packet, QoS, ReasonCode};

use crate::trace::{Event, What};

/// The states that were reached, by a number that stands for each.
#[derive(Clone, Debug, Default)]
pub(super) struct States(BTreeSet<u64>);

/// What a connection is.
#[derive(Clone, Debug, Default, Hash)]
struct State {
    is_accepted: bool,
    is_resumed: bool,
    is_subscribed: bool,
    /// Messages of each direction that are not done with, two meaning more than one.
    sending: u8,
    taking: u8,
    /// What was sent last: the type of a packet and its QoS, or the first byte of what is none.
    sent: (u8, u8),
    /// What came of it: packets with the class of their reason, each once, and an end.
    came: BTreeSet<(u8, u8)>,
}

impl States {
    /// Takes in a trace. Gives whether anything new was reached.
    pub(super) fn take(&mut self, trace: &[Event]) -> bool {
        let before = self.0.len();
        let mut states = BTreeMap::<&str, State>::new();
        for event in trace {
            let state = states.entry(&event.probe).or_default();
            match &event.what {
                What::Sent(_) | What::SentBytes(_) | What::ClosedByProbe | What::HalfClosed => {
                    self.note(state);
                    state.sends(&event.what);
                }
                What::Received(packet) => state.receives(packet),
                What::ReceivedBroken(..) => drop(state.came.insert((0xFE, 0))),
                What::ClosedByBroker(ending) => {
                    state.came.insert((0xFF, *ending as u8));
                }
                _ => {}
            }
        }
        states.values().for_each(|state| self.note(state));
        self.0.len() > before
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    fn note(&mut self, state: &State) {
        let mut hasher = DefaultHasher::new();
        state.hash(&mut hasher);
        self.0.insert(hasher.finish());
    }
}

impl State {
    fn sends(&mut self, what: &What) {
        self.came.clear();
        self.sent = match what {
            What::Sent(packet) => {
                if let Packet::Publish(publish) = packet
                    && publish.qos > QoS::AtMostOnce
                {
                    self.sending = (self.sending + 1).min(2);
                }
                if let Packet::PubAck(_) | Packet::PubComp(_) = packet {
                    self.taking = self.taking.saturating_sub(1);
                }
                (packet.packet_type().value(), detail(packet))
            }
            What::SentBytes(bytes) => (0x80 | bytes.first().map_or(0, |byte| byte >> 4), 0),
            _ => (0x7F, 0),
        };
    }

    fn receives(&mut self, packet: &Packet) {
        match packet {
            Packet::ConnAck(connack) => {
                self.is_accepted = connack.reason == ReasonCode::Success;
                self.is_resumed = connack.session_present;
            }
            Packet::SubAck(_) => self.is_subscribed = true,
            Packet::Publish(publish) if publish.qos > QoS::AtMostOnce => {
                self.taking = (self.taking + 1).min(2);
            }
            Packet::PubAck(_) | Packet::PubComp(_) => self.sending = self.sending.saturating_sub(1),
            _ => {}
        }
        self.came.insert((packet.packet_type().value(), detail(packet)));
    }
}

/// What tells packets of a type apart here.
fn detail(packet: &Packet) -> u8 {
    match packet {
        Packet::Publish(publish) => publish.qos.value() << 1 | u8::from(publish.retain),
        Packet::ConnAck(it) => it.reason.value(),
        Packet::PubAck(it) | Packet::PubRec(it) | Packet::PubRel(it) | Packet::PubComp(it) => {
            it.reason.value()
        }
        Packet::Disconnect(it) => it.reason.value(),
        Packet::Auth(it) => it.reason.value(),
        Packet::SubAck(it) | Packet::UnsubAck(it) => {
            it.reasons.iter().map(|reason| reason.value()).max().unwrap_or(0)
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use reference_broker::core::Config;

    use super::*;
    use crate::script::{parse, play};
    use crate::target::Variant;

    #[test]
    fn what_was_reached_before_is_nothing_new() {
        let trace =
            |text: &str| play(&parse(text).unwrap(), &Variant::default(), &Config::default()).trace;
        let connects = "a || opened\na -> CONNECT client_id=\"a\" clean_start\n";
        let mut states = States::default();
        assert!(states.take(&trace(connects)));
        assert!(!states.take(&trace(connects)));
        let count = states.count();
        assert!(states.take(&trace(&format!("{connects}a -> PUBLISH \"t\" qos=1 id=1\n"))));
        assert!(!states.take(&trace(&format!("{connects}a -> PUBLISH \"u\" qos=1 id=2\n"))));
        assert!(states.take(&trace(&format!("{connects}a -> BYTES 41 00\n"))));
        assert!(states.count() > count + 1);
    }
}
