use std::collections::BTreeSet;
use std::time::Duration;

use crate::codec::{Packet, Publish, Text};

use super::access::{Connecting, ReAuthentication};
use super::alias::{InboundAliases, OutboundAliases};
use super::{Moment, Timer};

/// What the broker knows of one network connection; nothing of it outlives the connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) state: State,
    /// When the last packet came in.
    pub(super) last_received: Moment,
    /// What it waits for: a CONNECT, or the end of its Keep Alive.
    pub(super) timer: Option<(Moment, Timer)>,
    /// Keep Alive in force, in seconds; 0 for none.
    pub(super) keep_alive: u16,
    /// The Session Expiry Interval that CONNECT asked for.
    pub(super) requested_expiry: u32,
    /// The client's Maximum Packet Size, in bytes.
    pub(super) packet_limit: u32,
    /// How many more QoS 1 and 2 messages may be sent now (section 4.9).
    pub(super) quota: u16,
    /// Its enhanced authentication, if it connected with one.
    pub(super) re_authentication: Option<ReAuthentication>,
    /// Whether the client wants to read why something failed (section 3.1.2.11.7).
    pub(super) wants_problems: bool,
    /// Topic Aliases that the client has set.
    pub(super) aliases: InboundAliases, // MQTT-3.3.2-7
    /// Topic Aliases that the broker has set.
    pub(super) outbound_aliases: OutboundAliases, // MQTT-3.3.2-7, U-3.3.2.3.4-4
    /// Packet Identifiers of QoS 2 messages that came over this connection and wait for PUBREL:
    /// what the client's own quota counts.
    pub(super) open_inbound: BTreeSet<u16>,
}

#[derive(Debug)]
pub(super) enum State {
    /// No CONNECT yet.
    Opened,
    /// CONNECT has come, and it is yet to be known from whom.
    Connecting(Box<Connecting>),
    /// Connected as this client.
    Connected(Text),
}

impl Connection {
    pub(super) fn new(now: Moment) -> Connection {
        Connection {
            state: State::Opened,
            last_received: now,
            timer: None,
            keep_alive: 0,
            requested_expiry: 0,
            packet_limit: u32::MAX, // U-3.1.2.11.4-3
            quota: 0,
            re_authentication: None,
            wants_problems: true, // U-3.1.2.11.7-4
            aliases: InboundAliases::default(),
            outbound_aliases: OutboundAliases::default(),
            open_inbound: BTreeSet::new(),
        }
    }

    /// Whether the packet is one that can be written at all, and that the client can take.
    pub(super) fn takes(&self, packet: &Packet) -> bool {
        fits(packet, self.packet_limit)
    }

    /// A message as it is to be sent over this connection, if the client can take it. It has to be
    /// sent then.
    pub(super) fn prepare(&mut self, publish: Publish) -> Option<Packet> {
        let limit = self.packet_limit;
        self.outbound_aliases.apply(publish, |packet| fits(packet, limit))
    }

    /// Whether the client lets this packet say more about a failure than its code does.
    pub(super) fn may_explain(&self, packet: &Packet) -> bool {
        let is_exempt = matches!(packet, Packet::ConnAck(_) | Packet::Disconnect(_));
        self.wants_problems || is_exempt // MQTT-3.1.2-29
    }

    /// When the client has been silent for one and a half times its Keep Alive.
    pub(super) fn keep_alive_deadline(&self) -> Option<Moment> {
        let allowed = Duration::from_millis(u64::from(self.keep_alive) * 1500); // MQTT-3.1.2-22
        (self.keep_alive > 0).then(|| self.last_received.after(allowed)) // U-3.1.2.10-5
    }
}

fn fits(packet: &Packet, limit: u32) -> bool {
    let size = packet.encoded_len().ok().and_then(|size| u32::try_from(size).ok());
    size.is_some_and(|size| size <= limit) // MQTT-3.1.2-24
}
