//! A connection of a trace as the TCP segments that it would have been.

use std::net::Ipv4Addr;

use etherparse::PacketBuilder;

/// The broker's address, of those that are kept for documentation (RFC 5737).
pub(super) const BROKER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

/// MQTT's own port, by which dissectors know it.
const PORT: u16 = 1883;

/// More bytes than this go into further segments: what a datagram of IPv4 holds is less than 64 KiB.
const LONGEST: usize = 32 * 1_024;

const HOPS: u8 = 64;
const WINDOW: u16 = u16::MAX;

/// Who sends a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From {
    Client,
    Broker,
}

/// What a segment does besides carrying bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Does {
    Opens,
    Accepts,
    Sends,
    Acknowledges,
    Ends,
    Resets,
}

/// One connection, and how far both sides are.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    client: Ipv4Addr,
    port: u16,
    sent_by_client: u32,
    sent_by_broker: u32,
}

impl Connection {
    pub(super) fn new(client: Ipv4Addr, port: u16) -> Connection {
        Connection { client, port, sent_by_client: 0, sent_by_broker: 0 }
    }

    /// The segments that open it.
    pub(super) fn open(&mut self) -> Vec<Vec<u8>> {
        vec![
            self.segment(From::Client, Does::Opens, &[]),
            self.segment(From::Broker, Does::Accepts, &[]),
            self.segment(From::Client, Does::Acknowledges, &[]),
        ]
    }

    /// The segments that these bytes are sent in.
    pub(super) fn send(&mut self, from: From, bytes: &[u8]) -> Vec<Vec<u8>> {
        match bytes.is_empty() {
            true => vec![self.segment(from, Does::Acknowledges, &[])],
            false => {
                let pieces = bytes.chunks(LONGEST);
                pieces.map(|piece| self.segment(from, Does::Sends, piece)).collect()
            }
        }
    }

    /// One segment, as a datagram of IP.
    pub(super) fn segment(&mut self, from: From, does: Does, bytes: &[u8]) -> Vec<u8> {
        let (own, other) = match from {
            From::Client => (self.sent_by_client, self.sent_by_broker),
            From::Broker => (self.sent_by_broker, self.sent_by_client),
        };
        let ends = ((self.client, self.port), (BROKER, PORT));
        let (source, destination) = match from {
            From::Client => ends,
            From::Broker => (ends.1, ends.0),
        };
        let builder = PacketBuilder::ipv4(source.0.octets(), destination.0.octets(), HOPS).tcp(
            source.1,
            destination.1,
            own,
            WINDOW,
        );
        let builder = match does {
            Does::Opens => builder.syn(),
            Does::Accepts => builder.syn().ack(other),
            Does::Sends => builder.psh().ack(other),
            Does::Acknowledges => builder.ack(other),
            Does::Ends => builder.fin().ack(other),
            Does::Resets => builder.rst().ack(other),
        };
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let counts = length + u32::from(matches!(does, Does::Opens | Does::Accepts | Does::Ends));
        match from {
            From::Client => self.sent_by_client = own.wrapping_add(counts),
            From::Broker => self.sent_by_broker = own.wrapping_add(counts),
        }
        let mut datagram = Vec::with_capacity(builder.size(bytes.len()));
        // It fails only where bytes do not fit into a datagram, and there are too few for that.
        let written = builder.write(&mut datagram, bytes);
        debug_assert!(written.is_ok(), "{written:?}");
        datagram
    }
}
