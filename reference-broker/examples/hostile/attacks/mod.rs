//! The attacks, and what each of them may cost.

mod bytes;
mod deaf;
mod floods;
mod handshakes;
mod kept;
mod subscriptions;
mod topics;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::client::Site;

/// An attack at work: ends with what the broker does wrong.
pub(crate) type Running = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// One attack.
pub(crate) struct Attack {
    /// Its name.
    pub(crate) name: &'static str,
    /// What it shows.
    pub(crate) shows: &'static str,
    /// What differs from the default configuration.
    pub(crate) settings: &'static [&'static str],
    /// How much the broker may have in memory at any time, in MiB.
    pub(crate) bound: u64,
    /// How much more than before may stay in memory, in MiB. The allocator keeps some of what is
    /// free.
    pub(crate) left: u64,
    /// Does it.
    pub(crate) run: fn(Arc<Site>) -> Running,
}

macro_rules! attacks {
    ($($run:path, $name:literal: $shows:literal, [$($setting:literal),*], $bound:literal, $left:literal;)*) => {
        &[$(Attack {
            name: $name,
            shows: $shows,
            settings: &[$($setting),*],
            bound: $bound,
            left: $left,
            run: |site| Box::pin($run(site)),
        }),*]
    };
}

/// All of them. Bounds are about twice what was measured.
pub(crate) const ATTACKS: &[Attack] = attacks![
    bytes::malformed, "malformed":
        "every malformed packet ends its connection, before CONNECT and behind it",
        [], 128, 64;
    bytes::mangled, "mangled":
        "good packets with some bytes changed, as the seed has it, bring nothing down",
        ["session.expiry_at_most=3"], 128, 64;
    bytes::announced, "announced":
        "256 MiB that are announced and never come cost nothing, nor what comes byte by byte",
        ["shell.packet_timeout=3"], 128, 64;
    bytes::unfinished, "unfinished":
        "large packets that lack their last byte are kept up to a bound over all connections",
        ["shell.packet_timeout=3"], 700, 64;
    handshakes::slow_drip, "slow-drip":
        "a CONNECT that comes byte by byte is not waited for",
        ["session.connect_timeout=3"], 128, 64;
    handshakes::half_open, "half-open":
        "connections that say nothing end in time, and there is room again",
        ["session.connect_timeout=4"], 256, 200;
    handshakes::half_tls, "half-tls":
        "TLS handshakes that stop half way end in time",
        ["shell.handshake_timeout=3"], 256, 128;
    handshakes::half_websocket, "half-websocket":
        "WebSocket handshakes that stop half way end in time",
        ["shell.handshake_timeout=3"], 256, 128;
    deaf::subscribers, "deaf-subscribers":
        "who subscribes and does not read is dropped for and cut off",
        [], 768, 384;
    deaf::with_properties, "deaf-properties":
        "the same, with messages of many User Properties",
        [], 768, 384;
    deaf::answers, "deaf-answers":
        "who asks and does not read the answers is cut off",
        [], 768, 384;
    topics::retained, "deep-retained":
        "retained messages of the deepest topics are bounded by what they take in memory",
        ["bounds.retained_bytes=268435456"], 768, 384;
    topics::searched, "deep-searches":
        "wildcards over deep retained topics do not keep others waiting",
        ["bounds.retained_bytes=134217728"], 768, 384;
    topics::subscribed, "deep-subscriptions":
        "the deepest filters, of many clients, are bounded by what they take in memory",
        [], 1024, 700;
    topics::wills, "largest-wills":
        "the largest Wills of many clients are bounded together, and so are their CONNECT packets",
        [], 1536, 1024;
    subscriptions::million, "million-subscriptions":
        "subscriptions up to the bound are kept, and those beyond refused",
        [], 1024, 768;
    subscriptions::churn, "churn":
        "SUBSCRIBE and UNSUBSCRIBE without end leave nothing behind",
        [], 256, 128;
    subscriptions::shared, "shared-absent":
        "a Shared Subscription with absent members costs no more for each message",
        ["session.expiry_at_most=8"], 512, 256;
    kept::sessions, "sessions":
        "sessions up to the bound are kept, and those that were left make room for others",
        ["bounds.sessions=20000", "session.expiry_at_most=6"], 256, 200;
    kept::retained, "retained":
        "retained messages up to the share of one client are kept, and those beyond refused",
        [], 1024, 768;
    kept::queued, "queued":
        "what waits for absent clients is bounded in messages and bytes",
        ["session.expiry_at_most=8"], 768, 384;
    kept::expiring, "expiring-queues":
        "full queues of messages that expire one after another do not keep others waiting",
        ["session.expiry_at_most=8"], 768, 384;
    kept::unreleased, "unreleased":
        "QoS 2 messages that are never released are bounded over all connections of a session",
        ["bounds.unreleased_per_session=5000", "session.expiry_at_most=5"], 256, 128;
    kept::aliases, "longest-aliases":
        "the longest topics under Topic Aliases, on many connections, are bounded together",
        [], 768, 384;
    kept::properties, "user-properties":
        "User Properties by the thousand are bounded by what they take in memory",
        ["bounds.retained_bytes=268435456"], 768, 384;
    floods::pings, "ping-flood":
        "PINGREQ without end does not keep others waiting",
        [], 256, 128;
    floods::auth, "auth-flood":
        "AUTH before and behind CONNECT ends the connection",
        [], 256, 128;
    floods::of_servers, "packets-of-servers":
        "what only servers send ends the connection, and so does a second CONNECT",
        [], 256, 128;
    floods::takeovers, "takeovers":
        "one Client Identifier on connection after connection leaves one session",
        ["session.expiry_at_most=5"], 256, 128;
];
