//! Reason codes (section 2.4): one table of what each is called and who may send it where.

use super::{PacketType, Side, cell_admits};

/// One row of the reason-code table.
#[derive(Debug)]
pub struct ReasonRow {
    /// The code itself.
    pub code: ReasonCode,
    /// Its name in the standard, in lower case.
    pub name: &'static str,
    /// Who may send it, a cell for each packet in the order of `COLUMNS`.
    cells: &'static [u8; 9],
}

/// The packets that carry reason codes, in the order of the table's cells.
const COLUMNS: [PacketType; 9] = [
    PacketType::ConnAck,
    PacketType::PubAck,
    PacketType::PubRec,
    PacketType::PubRel,
    PacketType::PubComp,
    PacketType::SubAck,
    PacketType::UnsubAck,
    PacketType::Disconnect,
    PacketType::Auth,
];

macro_rules! reason_codes {
    ($($cells:literal $variant:ident = $code:literal, $name:literal;)*) => {
        /// A Reason Code (section 2.4). Codes from 0x80 on are failures.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum ReasonCode {
            $(#[doc = concat!("`", stringify!($code), "`: ", $name, ".")] $variant = $code,)*
        }

        impl ReasonCode {
            /// Every code, ascending.
            pub const ALL: &'static [ReasonCode] = &[$(ReasonCode::$variant),*];

            /// The code with this value, if the standard assigns it.
            pub fn from_value(value: u8) -> Option<ReasonCode> {
                match value {
                    $($code => Some(ReasonCode::$variant),)*
                    _ => None,
                }
            }

            /// The row of the table for this code.
            pub fn row(self) -> &'static ReasonRow {
                match self {
                    $(ReasonCode::$variant => &ReasonRow {
                        code: ReasonCode::$variant,
                        name: $name,
                        cells: $cells,
                    },)*
                }
            }
        }
    };
}

// Cells: CONNACK PUBACK PUBREC PUBREL PUBCOMP SUBACK UNSUBACK DISCONNECT AUTH.
// C: only the client may send it there, S: only the server, B: both. Two cells go beyond the
// packet's own table because the text elsewhere does: 0x8C and 0x9B in DISCONNECT (2.4, 3.3.4).
reason_codes! {
    b"SBBBBSSBS" Success = 0x00, "success";
    b".....S..." GrantedQoS1 = 0x01, "granted QoS 1";
    b".....S..." GrantedQoS2 = 0x02, "granted QoS 2";
    b".......C." DisconnectWithWill = 0x04, "disconnect with will message";
    b".SS......" NoMatchingSubscribers = 0x10, "no matching subscribers";
    b"......S.." NoSubscriptionExisted = 0x11, "no subscription existed";
    b"........B" ContinueAuthentication = 0x18, "continue authentication";
    b"........C" ReAuthenticate = 0x19, "re-authenticate";
    b"SBB..SSB." UnspecifiedError = 0x80, "unspecified error";
    b"S......B." MalformedPacket = 0x81, "malformed packet";
    b"S......B." ProtocolError = 0x82, "protocol error";
    b"SBB..SSB." ImplementationSpecificError = 0x83, "implementation specific error";
    b"S........" UnsupportedProtocolVersion = 0x84, "unsupported protocol version";
    b"S........" ClientIdentifierNotValid = 0x85, "client identifier not valid";
    b"S........" BadUserNameOrPassword = 0x86, "bad user name or password";
    b"SBB..SSS." NotAuthorized = 0x87, "not authorized";
    b"S........" ServerUnavailable = 0x88, "server unavailable";
    b"S......S." ServerBusy = 0x89, "server busy";
    b"S........" Banned = 0x8A, "banned";
    b".......S." ServerShuttingDown = 0x8B, "server shutting down";
    b"S......S." BadAuthenticationMethod = 0x8C, "bad authentication method";
    b".......S." KeepAliveTimeout = 0x8D, "keep alive timeout";
    b".......S." SessionTakenOver = 0x8E, "session taken over";
    b".....SSS." TopicFilterInvalid = 0x8F, "topic filter invalid";
    b"SBB....B." TopicNameInvalid = 0x90, "topic name invalid";
    b".BB..SS.." PacketIdentifierInUse = 0x91, "packet identifier in use";
    b"...BB...." PacketIdentifierNotFound = 0x92, "packet identifier not found";
    b".......B." ReceiveMaximumExceeded = 0x93, "receive maximum exceeded";
    b".......B." TopicAliasInvalid = 0x94, "topic alias invalid";
    b"S......B." PacketTooLarge = 0x95, "packet too large";
    b".......B." MessageRateTooHigh = 0x96, "message rate too high";
    b"SBB..S.B." QuotaExceeded = 0x97, "quota exceeded";
    b".......B." AdministrativeAction = 0x98, "administrative action";
    b"SBB....B." PayloadFormatInvalid = 0x99, "payload format invalid";
    b"S......S." RetainNotSupported = 0x9A, "retain not supported";
    b"S......B." QoSNotSupported = 0x9B, "QoS not supported";
    b"S......S." UseAnotherServer = 0x9C, "use another server";
    b"S......S." ServerMoved = 0x9D, "server moved";
    b".....S.S." SharedSubscriptionsNotSupported = 0x9E, "shared subscriptions not supported";
    b"S......S." ConnectionRateExceeded = 0x9F, "connection rate exceeded";
    b".......S." MaximumConnectTime = 0xA0, "maximum connect time";
    b".....S.S." SubscriptionIdentifiersNotSupported = 0xA1, "subscription identifiers not supported";
    b".....S.S." WildcardSubscriptionsNotSupported = 0xA2, "wildcard subscriptions not supported";
}

impl ReasonCode {
    /// The code as it stands on the wire.
    pub fn value(self) -> u8 {
        self as u8
    }

    /// Whether the code reports a failure: 0x80 and above (section 2.4).
    pub fn is_error(self) -> bool {
        self.value() >= 0x80 // U-2.4-1
    }

    /// Whether `from` may send this code in `packet` (tables 2-6 and 3-1 to 3-11).
    pub fn is_allowed(self, packet: PacketType, from: Side) -> bool {
        let column = COLUMNS.iter().position(|column| *column == packet);
        cell_admits(column.and_then(|column| self.row().cells.get(column)), from) // U-2.4-2
    }

    /// What the code is called in this packet: 0x00 has three names.
    pub fn name_in(self, packet: PacketType) -> &'static str {
        match (self, packet) {
            (ReasonCode::Success, PacketType::SubAck) => "granted QoS 0",
            (ReasonCode::Success, PacketType::Disconnect) => "normal disconnection",
            _ => self.row().name,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(packet: PacketType) -> usize {
        ReasonCode::ALL
            .iter()
            .filter(|code| {
                code.is_allowed(packet, Side::Client) || code.is_allowed(packet, Side::Server)
            })
            .count()
    }

    #[test]
    fn each_packet_has_as_many_codes_as_its_table() {
        // The sums of tables 3-1 to 3-11; DISCONNECT's has 0x8C on top, from table 2-6.
        let counts = COLUMNS.map(count);
        assert_eq!(counts, [22, 9, 9, 2, 2, 12, 7, 30, 3]);
    }

    #[test]
    fn values_round_trip() {
        for value in 0..=u8::MAX {
            if let Some(code) = ReasonCode::from_value(value) {
                assert_eq!(code.value(), value);
            }
        }
        assert_eq!(ReasonCode::ALL.len(), 43);
    }
}
