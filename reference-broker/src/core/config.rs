use std::time::Duration;

/// What the standard leaves to a server, and the bounds of what it keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// How many QoS 1 and 2 messages of one client may be unacknowledged at once; announced as
    /// Receive Maximum. One more closes the connection with 0x93 (section 3.3.4).
    pub receive_maximum: u16,
    /// The largest packet a client may send, in bytes; announced as Maximum Packet Size. A larger
    /// one closes the connection with 0x95 (section 3.2.2.3.6).
    pub maximum_packet_size: u32,
    /// The highest Topic Alias a client may use; announced as Topic Alias Maximum. A higher one
    /// closes the connection with 0x94 (section 3.3.2.3.4).
    pub topic_alias_maximum: u16,
    /// How many QoS 1 and 2 messages are on their way to one client at once, if its Receive
    /// Maximum does not say less (section 4.9). The rest waits in its session.
    pub send_window: u16,
    /// How many messages wait for one client. The newest is dropped when there are more.
    pub queue_limit: usize,
    /// How long a connection may last without a CONNECT (section 3.1.4).
    pub connect_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            receive_maximum: 100,
            maximum_packet_size: 16 * 1024 * 1024,
            topic_alias_maximum: 100,
            send_window: 256,
            queue_limit: 10_000,
            connect_timeout: Duration::from_secs(30),
        }
    }
}
