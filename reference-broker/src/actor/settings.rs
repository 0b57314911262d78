use std::time::Duration;

use super::TapMode;

const MIB: usize = 1024 * 1024;

/// How much may wait in a queue: whatever is reached first counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// How many items.
    pub items: usize,
    /// How many bytes, as encoded; at most 4 GiB. A single item may be larger, and is then alone.
    pub bytes: usize,
}

/// Bounds of the shell: what the tasks around the core may take up, in room and in time.
///
/// What the core bounds ([`Config`](crate::core::Config)) a client is told of. These bounds stand
/// behind those: who runs into one finds its connection closed, or misses a QoS 0 message. Each is
/// counted in [`ShellCounts`](super::ShellCounts).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerSettings {
    /// How many connections there may be, those included that have sent no CONNECT yet or are being closed. For one more,
    /// one is closed: of the address that most come from, the one that has been silent for the longest. Where it is not
    /// known where any comes from, the new one is closed at once. 10,000, about what a usual limit of file descriptors
    /// lets a process have.
    pub maximum_connections: usize,
    /// What may wait for the broker before readers wait for it, and so, by TCP, their clients. One connection has no
    /// more than 16 packets there.
    pub inbox: Bound,
    /// What may wait to be written to one client. Beyond it a QoS 0 message is dropped, and
    /// anything else ends the connection: a client that does not read cannot be told anything. Of a
    /// QoS 1 or 2 message only the header counts, as its payload is the core's to keep, and bound,
    /// until it is acknowledged: a client that reads gets its whole backlog, however large.
    pub outbox: Bound,
    /// How many bytes may wait to be written to all clients together: of each packet all but its payload,
    /// and 256 more for what it takes in memory. Beyond it, whoever has more than 64 KiB waiting is
    /// treated as if its own outbox were full. Those who read have next to nothing there.
    pub outbox_total_bytes: usize,
    /// How many bytes of packets that are not whole yet may be kept over all connections, apart from
    /// a few KiB of each. A connection that would need more is closed; to wait would be of no use,
    /// as all others may wait for their last byte as well.
    pub partial_bytes: usize,
    /// How long a packet may take from its first byte to its last, or else to come on by half as
    /// many KiB as this has seconds. Longer than the core waits for a CONNECT, so that the core is first to act there,
    /// and the only bound for a client without a Keep Alive.
    pub packet_timeout: Duration,
    /// How long a TLS or WebSocket handshake may take.
    pub handshake_timeout: Duration,
    /// How long a client may take what was sent to it before its connection was closed, however much
    /// that is; the rest is lost to it.
    pub close_timeout: Duration,
    /// How long [`Server::stop`](super::Server::stop) waits for clients to take what was sent.
    pub stop_patience: Duration,
    /// What may wait between the broker and the taps. The newest message is dropped beyond it.
    pub tap_inbox: Bound,
    /// Where taps run.
    pub tap_mode: TapMode,
}

impl Default for ServerSettings {
    fn default() -> Self {
        ServerSettings {
            maximum_connections: 10_000,
            inbox: Bound { items: 160_000, bytes: 64 * MIB },
            outbox: Bound { items: 8192, bytes: 16 * MIB },
            outbox_total_bytes: 256 * MIB,
            partial_bytes: 256 * MIB,
            packet_timeout: Duration::from_secs(60),
            handshake_timeout: Duration::from_secs(10),
            close_timeout: Duration::from_secs(60),
            stop_patience: Duration::from_secs(5),
            tap_inbox: Bound { items: 1024, bytes: 64 * MIB },
            tap_mode: TapMode::Actor,
        }
    }
}
