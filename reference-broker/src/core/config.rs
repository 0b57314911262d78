use std::time::Duration;

use crate::codec::{QoS, ReasonCode, Text};

use super::{Access, Bounds};

/// What the standard leaves to a server, and the bounds of what it keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// How many QoS 1 and 2 messages of one client may be unacknowledged at once; announced as
    /// Receive Maximum if below 65,535. One more closes the connection with 0x93 (section 3.3.4).
    pub receive_maximum: u16,
    /// The largest packet a client may send, in bytes; announced as Maximum Packet Size if below
    /// 4,294,967,295. A larger one closes the connection with 0x95 (section 3.2.2.3.6).
    pub maximum_packet_size: u32,
    /// The highest Topic Alias a client may use; announced as Topic Alias Maximum if above 0. A
    /// higher one closes the connection with 0x94 (section 3.3.2.3.4).
    pub topic_alias_maximum: u16,
    /// How many topics have a Topic Alias towards a client, if its own Topic Alias Maximum does not say
    /// less: the first that are sent over the connection at QoS 1 or 2, but for the shortest. Default 0,
    /// no aliases: packets are then what they seem (section 3.3.2.3.4).
    pub outbound_alias_maximum: u16,
    /// The highest QoS of messages from clients; announced as Maximum QoS if below 2. A message
    /// above it closes the connection, a Will above it refuses it, with 0x9B (section 3.2.2.3.4).
    pub maximum_qos: QoS,
    /// The highest QoS that a subscription is granted; one that asks for more gets this
    /// (section 3.8.4).
    pub granted_qos: QoS,
    /// Which features there are at all.
    pub features: Features,
    /// Bounds of how long sessions are kept, in seconds. A client that asks for less or more is
    /// told what it gets instead (section 3.2.2.3.2).
    pub session_expiry: (u32, u32),
    /// The Keep Alive of all clients, in seconds, in the place of what they ask for; 0 for none
    /// (section 3.2.2.3.14).
    pub server_keep_alive: Option<u16>,
    /// How many QoS 1 and 2 messages are on their way to one client at once, if its Receive
    /// Maximum does not say less (section 4.9). The rest waits in its session.
    pub send_window: u16,
    /// How many messages wait for one client. The newest is dropped when there are more.
    pub queue_limit: usize,
    /// How long a connection may last without a CONNECT (section 3.1.4).
    pub connect_timeout: Duration,
    /// How far apart the moments are at which the broker looks for what is due.
    pub timer_grain: Duration,
    /// Whether a client without a Client Identifier is given one, rather than refused with 0x85
    /// (section 3.1.3.1). Default true.
    pub assigns_client_ids: bool,
    /// Whether a publisher is told by 0x10 that there was no subscription for its message, rather than
    /// by 0x00 that all is well (sections 3.4.2.1 and 3.5.2.1). Default true.
    pub tells_no_subscribers: bool,
    /// What clients that ask for Response Information are given (section 3.1.2.11.6). Default none:
    /// whether they may use such topics is for those to say who make the rules.
    pub response_information: Option<ResponseInformation>,
    /// Where clients are sent when they connect; [`Input::Redirect`](super::Input::Redirect) changes
    /// it. Default nowhere (section 4.11).
    pub redirection: Option<Redirection>,
    /// Whether refusals come with a Reason String (section 3.2.2.3.9 and others). Default true: they
    /// tell a client of its own fault and nothing of others.
    pub reason_strings: bool,
    /// Ways to handle messages.
    pub handling: Handling,
    /// Who may connect, publish and subscribe.
    pub access: Access,
    /// Bounds of what is kept.
    pub bounds: Bounds,
    /// Whether each message that is published is an [`Output`](super::Output) as well.
    pub reports_published: bool,
}

/// Features that a server may be without (section 3.2.2.3). It announces what it has not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features {
    /// Retained messages. Without them RETAIN closes the connection with 0x9A, and a Will with
    /// RETAIN refuses it (section 3.2.2.3.5).
    pub retain: bool,
    /// Filters with wildcards (section 3.2.2.3.11).
    pub wildcards: bool,
    /// Subscription Identifiers (section 3.2.2.3.12).
    pub subscription_identifiers: bool,
    /// Shared Subscriptions (section 3.2.2.3.13).
    pub shared_subscriptions: bool,
    /// Whether a subscription that needs one of the last three is refused by its code in SUBACK, as
    /// table 3-8 has it, rather than with a DISCONNECT, as sections 3.2.2.3.11 to 13 have it.
    pub refused_in_suback: bool,
}

/// Ways to handle messages among which a server is free to choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handling {
    /// Whether a client gets a copy for each of its subscriptions that match, rather than one for
    /// all of them (section 3.3.4).
    pub copy_for_each_subscription: bool,
    /// Whether a publisher is told 0x97 when a queue has no room for its message, rather than a success.
    pub tells_full_queues: bool,
    /// Whether a QoS 2 message is handed on at PUBREL rather than at PUBLISH (section 4.3.3).
    pub hands_on_at_release: bool,
    /// Whether a QoS 2 message that waits for its PUBREL ends with the session that it is a part of, rather than
    /// being handed on then (sections 4.1 and 4.3.3).
    pub drops_unreleased: bool,
    /// Whether QoS 0 messages wait for clients that are not there, or have no quota left, as others
    /// do (sections 4.1 and 4.9).
    pub queues_qos0: bool,
    /// Whether messages at QoS 0 are retained (section 3.3.1.3).
    pub retains_qos0: bool,
    /// Whether a retained message comes once for all filters of one SUBSCRIBE, rather than for each
    /// (sections 3.3.1.3 and 3.8.4).
    pub retained_once_for_subscribe: bool,
    /// Whether one copy for several subscriptions has RETAIN only if each of them by itself would,
    /// rather than if any would: section 3.3.1.3 says nothing of that.
    pub retain_if_all: bool,
    /// Whether a message with a Message Expiry Interval of 0 is handed to nobody, rather than to those
    /// who can have it at once (section 3.3.2.3.3).
    pub drops_lifetime_0: bool,
    /// Whether PUBLISH packets are repeated before PUBREL packets on a new connection (section 4.4).
    pub repeats_publish_first: bool,
    /// Whether a PUBACK or PUBCOMP of the wrong kind gives back quota, as section 4.9 has it of all, and
    /// is otherwise passed over, rather than ending the connection (section 4.13.1).
    pub counts_wrong_acknowledgements: bool,
    /// Whether what a member of a Shared Subscription has not acknowledged goes to another one as soon
    /// as its connection is lost and another one is connected, rather than when its session ends (section
    /// 4.8.2).
    pub shares_again_at_loss: bool,
    /// Whether a client's own retained messages come to its subscriptions with No Local: section
    /// 3.8.3.1 can be read both ways.
    pub retained_despite_no_local: bool,
    /// Whether a Clean Start within the Will Delay Interval deletes the Will rather than publish it
    /// because its session ends: section 3.1.3.2.2 says both.
    pub clean_start_deletes_will: bool,
    /// Whether a takeover deletes the Will of the connection that it ends, but for one without a delay
    /// whose session ends: by the letter of MQTT-3.1.2-8 a new connection prevents a Will that waits.
    pub takeover_deletes_will: bool,
    /// Who of a Shared Subscription gets a message (section 4.8.2).
    pub sharing: Sharing,
    /// What becomes of messages from clients whose topic begins with `$` (section 4.7.2).
    pub dollar_topics: DollarTopics,
    /// Whether the lowest free Packet Identifier is taken next, rather than the one that has been
    /// free for the longest time (section 2.2.1).
    pub lowest_packet_id_first: bool,
}

/// Who of a Shared Subscription gets a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// The connected ones in turn; the others if there is none.
    InTurn,
    /// All in turn, connected or not.
    InTurnAbsentToo,
    /// Always the same one, while it is connected.
    TheSame,
}

/// What becomes of messages from clients whose topic begins with `$`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DollarTopics {
    /// They are refused in their acknowledgement.
    Refused,
    /// They are acknowledged and go nowhere.
    Dropped,
    /// They are handed on as others.
    HandedOn,
}

/// What Response Information a client gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponseInformation {
    /// What it begins with, or all of it.
    pub prefix: Text,
    /// Whether the Client Identifier follows, so that each client has a part of the topics for itself. A
    /// client whose identifier cannot be in a Topic Name then gets none.
    pub for_each_client: bool,
}

impl ResponseInformation {
    pub(super) fn text_for(&self, client: &Text) -> Option<Text> {
        match self.for_each_client {
            true if client.contains(['+', '#']) => None, // MQTT-3.3.2-2
            true => Some(Text::from(format!("{}{client}", self.prefix))),
            false => Some(self.prefix.clone()),
        }
    }
}

/// Where clients are sent instead (section 4.11).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirection {
    /// Whether for good, 0x9D, rather than for a time, 0x9C.
    pub is_permanent: bool,
    /// Server Reference: other servers, separated by spaces. Without it the client has to know.
    pub reference: Option<Text>,
}

impl Redirection {
    pub(super) fn reason(&self) -> ReasonCode {
        match self.is_permanent {
            true => ReasonCode::ServerMoved,       // U-4.11-3
            false => ReasonCode::UseAnotherServer, // U-4.11-2
        }
    }
}

impl Config {
    /// The same, but for values that no server may announce or begin with.
    pub(super) fn made_valid(mut self) -> Config {
        self.receive_maximum = self.receive_maximum.max(1); // U-3.2.2.3.3-1
        self.maximum_packet_size = self.maximum_packet_size.max(1); // U-3.2.2.3.6-2
        self.send_window = self.send_window.max(1); // MQTT-4.9.0-1
        self
    }

    /// The Session Expiry Interval of a client that asks for this one.
    pub(super) fn expiry(&self, requested: u32) -> u32 {
        let (least, most) = self.session_expiry;
        requested.max(least).min(most)
    }
}

impl Default for Config {
    fn default() -> Self {
        Config {
            receive_maximum: 100,
            maximum_packet_size: 16 * 1024 * 1024,
            topic_alias_maximum: 100,
            outbound_alias_maximum: 0,
            maximum_qos: QoS::ExactlyOnce,
            granted_qos: QoS::ExactlyOnce,
            features: Features::default(),
            session_expiry: (0, u32::MAX),
            server_keep_alive: None,
            send_window: 256,
            queue_limit: 10_000,
            connect_timeout: Duration::from_secs(30),
            timer_grain: Duration::from_millis(1),
            assigns_client_ids: true,
            tells_no_subscribers: true,
            response_information: None,
            redirection: None,
            reason_strings: true,
            handling: Handling::default(),
            access: Access::default(),
            bounds: Bounds::default(),
            reports_published: false,
        }
    }
}

impl Default for Features {
    fn default() -> Self {
        Features {
            retain: true,
            wildcards: true,
            subscription_identifiers: true,
            shared_subscriptions: true,
            refused_in_suback: false,
        }
    }
}

impl Default for Handling {
    fn default() -> Self {
        Handling {
            copy_for_each_subscription: false,
            tells_full_queues: true,
            hands_on_at_release: false,
            drops_unreleased: false,
            queues_qos0: false,
            retains_qos0: true,
            retained_once_for_subscribe: false,
            retain_if_all: false,
            drops_lifetime_0: false,
            repeats_publish_first: false,
            counts_wrong_acknowledgements: false,
            shares_again_at_loss: false,
            retained_despite_no_local: false,
            clean_start_deletes_will: false,
            takeover_deletes_will: false,
            sharing: Sharing::InTurn,
            dollar_topics: DollarTopics::Refused,
            lowest_packet_id_first: false,
        }
    }
}
