use std::fmt;

use reference_broker::codec::{ConnAck, PropertyId, QoS, ReasonCode, Value};

use super::{Restart, Setup, Survivor};

/// What a target declares in its CONNACK (section 3.2.2.3); what it leaves out has the standard's
/// default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    connack: ConnAck,
    /// Whether it is reached over WebSocket, or can be.
    has_websocket: bool,
    /// What it is set up with, or can be.
    setup: Setup,
    /// Whether the suite's clients prove who they are, by an exchange behind CONNECT.
    is_proven: bool,
}

/// The Session Expiry Interval that a target is asked for when it is first looked at, in seconds.
/// What it makes of that shows its bounds.
pub(super) const ASKED_EXPIRY: u32 = 60;

/// How large the packets of an exchange may be: proofs, names and nonces take room.
const SCRAM_SIZE: u32 = 256;

/// What a scenario needs of its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Messages up to this QoS.
    QoS(QoS),
    /// Retained messages.
    Retain,
    /// Filters with wildcards.
    Wildcards,
    /// Subscription Identifiers.
    SubscriptionIdentifiers,
    /// Shared Subscriptions.
    SharedSubscriptions,
    /// This many Topic Aliases from clients.
    TopicAliases(u16),
    /// No Topic Aliases from clients, or fewer than all.
    TopicAliasLimit,
    /// Packets of this many bytes.
    PacketSize(u32),
    /// A Receive Maximum between these two: few enough to be exceeded.
    ReceiveMaximum(u16, u16),
    /// Sessions that outlive their connections, be it for a second.
    Sessions,
    /// Sessions that outlive their connections by this many seconds.
    SessionsFor(u32),
    /// WebSocket.
    WebSocket,
    /// Two users with passwords, and nobody let in without.
    Users,
    /// A second user who may not do all.
    Rights,
    /// A user known by SCRAM-SHA-256.
    Scram,
    /// That all clients are sent to another server.
    Redirection,
    /// That clients say who they are in CONNECT, and need not prove it by packets behind that.
    Unproven,
    /// That it can be restarted in this way, and that this survives.
    Survives(Restart, Survivor),
}

impl Need {
    /// Whether nobody else may be at the target meanwhile.
    pub fn is_alone(self) -> bool {
        matches!(self, Need::Survives(..))
    }

    /// What a target has to be set up with, of which it declares nothing.
    pub(super) const OF_SETUPS: &[Need] =
        &[Need::Users, Need::Rights, Need::Scram, Need::Redirection];
}

impl Capabilities {
    /// As this CONNACK declares them; what it says of session expiry answers a request for 60 s.
    pub fn of(connack: &ConnAck) -> Capabilities {
        Capabilities {
            connack: connack.clone(),
            has_websocket: false,
            setup: Setup::default(),
            is_proven: false,
        }
    }

    /// The CONNACK that declares them.
    pub(super) fn connack(&self) -> &ConnAck {
        &self.connack
    }

    /// Of a server that declares nothing: the standard's defaults.
    pub fn undeclared() -> Capabilities {
        Capabilities::of(&ConnAck::new(false, ReasonCode::Success))
    }

    /// The same of a target that is reached over WebSocket, or can be; or is not.
    pub(super) fn over_websocket(self, has_websocket: bool) -> Capabilities {
        Capabilities { has_websocket, ..self }
    }

    /// The same of a target that is set up so, or can be.
    pub(super) fn set_up(self, setup: Setup) -> Capabilities {
        Capabilities { setup, ..self }
    }

    /// The same of a target to which the suite's clients prove who they are, or do not.
    pub(super) fn proven(self, is_proven: bool) -> Capabilities {
        Capabilities { is_proven, ..self }
    }

    fn number(&self, id: PropertyId, default: u32) -> u32 {
        declared(&self.connack, id).unwrap_or(default)
    }

    /// How many QoS 1 and 2 messages may be unacknowledged towards the target.
    pub fn receive_maximum(&self) -> u16 {
        self.small(PropertyId::ReceiveMaximum, u16::MAX)
    }

    /// The highest Topic Alias it takes.
    pub fn topic_alias_maximum(&self) -> u16 {
        self.small(PropertyId::TopicAliasMaximum, 0)
    }

    /// The largest packet it takes, in bytes.
    pub fn maximum_packet_size(&self) -> u32 {
        self.number(PropertyId::MaximumPacketSize, u32::MAX)
    }

    /// Whether it declared a Maximum Packet Size.
    pub fn limits_packet_size(&self) -> bool {
        self.connack.properties.contains(PropertyId::MaximumPacketSize)
    }

    fn small(&self, id: PropertyId, default: u16) -> u16 {
        u16::try_from(self.number(id, u32::from(default))).unwrap_or(default)
    }

    /// Whether the target has what is needed.
    pub fn meet(&self, need: Need) -> bool {
        match need {
            Need::QoS(qos) => self.number(PropertyId::MaximumQoS, 2) >= u32::from(qos.value()),
            Need::Retain => self.number(PropertyId::RetainAvailable, 1) == 1,
            Need::Wildcards => self.number(PropertyId::WildcardSubscriptionAvailable, 1) == 1,
            Need::SubscriptionIdentifiers => {
                self.number(PropertyId::SubscriptionIdentifierAvailable, 1) == 1
            }
            Need::SharedSubscriptions => {
                self.number(PropertyId::SharedSubscriptionAvailable, 1) == 1
            }
            Need::TopicAliases(count) => self.topic_alias_maximum() >= count,
            Need::TopicAliasLimit => self.topic_alias_maximum() < u16::MAX,
            Need::PacketSize(size) => self.maximum_packet_size() >= size,
            Need::ReceiveMaximum(least, most) => (least..=most).contains(&self.receive_maximum()),
            Need::WebSocket => self.has_websocket,
            Need::Users => self.setup.other.is_some(),
            Need::Rights => self.setup.has_rights,
            Need::Scram => self.setup.scram.is_some() && self.maximum_packet_size() >= SCRAM_SIZE,
            Need::Redirection => self.setup.redirects,
            Need::Unproven => !self.is_proven,
            Need::Survives(restart, survivor) => {
                self.setup.restarts.of(restart).contains(&survivor)
            }
            Need::Sessions => self.meet(Need::SessionsFor(1)),
            Need::SessionsFor(seconds) => {
                let granted = self.number(PropertyId::SessionExpiryInterval, ASKED_EXPIRY);
                seconds <= granted || granted >= ASKED_EXPIRY
            }
        }
    }

    /// The declarations as names and values, for reports.
    pub fn lines(&self) -> Vec<(String, String)> {
        const SHOWN: [(PropertyId, u32); 7] = [
            (PropertyId::MaximumQoS, 2),
            (PropertyId::RetainAvailable, 1),
            (PropertyId::ReceiveMaximum, u16::MAX as u32),
            (PropertyId::TopicAliasMaximum, 0),
            (PropertyId::WildcardSubscriptionAvailable, 1),
            (PropertyId::SubscriptionIdentifierAvailable, 1),
            (PropertyId::SharedSubscriptionAvailable, 1),
        ];
        let line = |id: PropertyId, value: String| (id.row().key.to_owned(), value);
        let size = match self.limits_packet_size() {
            true => self.maximum_packet_size().to_string(),
            false => "none".to_owned(),
        };
        SHOWN
            .iter()
            .map(|(id, default)| line(*id, self.number(*id, *default).to_string()))
            .chain([line(PropertyId::MaximumPacketSize, size)])
            .collect()
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Need::QoS(qos) => write!(f, "QoS {}", qos.value()),
            Need::Retain => f.write_str("retained messages"),
            Need::Wildcards => f.write_str("wildcard subscriptions"),
            Need::SubscriptionIdentifiers => f.write_str("subscription identifiers"),
            Need::SharedSubscriptions => f.write_str("shared subscriptions"),
            Need::TopicAliases(count) => write!(f, "a topic alias maximum of at least {count}"),
            Need::TopicAliasLimit => f.write_str("a topic alias maximum below 65,535"),
            Need::PacketSize(size) => write!(f, "packets of {size} bytes"),
            Need::ReceiveMaximum(least, most) => {
                write!(f, "a receive maximum from {least} to {most}")
            }
            Need::Sessions => f.write_str("sessions that outlive their connections"),
            Need::WebSocket => f.write_str("WebSocket (name the target as ws:// or wss://)"),
            Need::SessionsFor(seconds) => write!(f, "sessions that are kept for {seconds} s"),
            Need::Users => f.write_str("two users (a target file names them)"),
            Need::Rights => f.write_str("a user who may not do all (a target file names it)"),
            Need::Scram => f.write_str(
                "a user of SCRAM-SHA-256 (a target file names it), and packets of 256 bytes",
            ),
            Need::Survives(restart, survivor) => {
                let how = match restart {
                    Restart::Stop => "stop",
                    Restart::Kill => "kill",
                };
                let what = survivor.name();
                write!(f, "a target file that starts it and says: keeps.{how} = [\"{what}\"]")
            }
            Need::Redirection => {
                f.write_str("a server that sends its clients elsewhere (a target file says so)")
            }
            Need::Unproven => f.write_str("clients that log in by CONNECT alone, without SCRAM"),
        }
    }
}

/// What a CONNACK declares, if that is a value that can be meant.
pub(crate) fn declared(connack: &ConnAck, id: PropertyId) -> Option<u32> {
    connack.properties.number(id).filter(|number| id.admits(&Value::Number(*number)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_of_session_expiry_are_seen() {
        let meets = |granted: Option<u32>| {
            let mut connack = ConnAck::new(false, ReasonCode::Success);
            if let Some(seconds) = granted {
                connack.properties.push(PropertyId::SessionExpiryInterval, seconds);
            }
            let capabilities = Capabilities::of(&connack);
            [1, 30, 60, 4000].map(|seconds| capabilities.meet(Need::SessionsFor(seconds)))
        };
        assert_eq!(meets(None), [true; 4]);
        assert_eq!(meets(Some(60)), [true; 4], "as asked for, said aloud");
        assert_eq!(meets(Some(0)), [false; 4]);
        assert_eq!(meets(Some(1)), [true, false, false, false]);
        assert_eq!(meets(Some(30)), [true, true, false, false]);
        assert_eq!(meets(Some(3600)), [true; 4], "raised");
    }
}
