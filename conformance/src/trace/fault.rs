//! Faults of broken bytes: which one the bytes show, and a form for those they do not.

use reference_broker::codec::{
    DecodeError, Fault, Framer, Packet, PacketType, Place, PropertyId, ReasonCode, Side,
};

/// The error that bytes from a broker give without any size limit, if they give one.
pub(super) fn shown_by(bytes: &[u8]) -> Option<DecodeError> {
    let mut framer = Framer::new(u32::MAX);
    framer.buffer().extend_from_slice(bytes);
    loop {
        match framer.next_frame() {
            Ok(Some(frame)) => {
                if let Err(error) = Packet::decode(&frame, Side::Server) {
                    return Some(error);
                }
            }
            Ok(None) => return None,
            Err(error) => return Some(error),
        }
    }
}

/// A parameter of a fault as a word.
trait Parameter: Sized {
    fn to_word(&self) -> String;
    fn from_word(word: &str) -> Option<Self>;
}

macro_rules! numbers {
    ($($number:ty),*) => {$(
        impl Parameter for $number {
            fn to_word(&self) -> String {
                self.to_string()
            }

            fn from_word(word: &str) -> Option<Self> {
                word.parse().ok()
            }
        }
    )*};
}

numbers!(u8, u32, u64);

impl Parameter for PacketType {
    fn to_word(&self) -> String {
        self.name().to_owned()
    }

    fn from_word(word: &str) -> Option<Self> {
        PacketType::ALL.into_iter().find(|packet| packet.name() == word)
    }
}

impl Parameter for Side {
    fn to_word(&self) -> String {
        match self {
            Side::Client => "client".to_owned(),
            Side::Server => "server".to_owned(),
        }
    }

    fn from_word(word: &str) -> Option<Self> {
        [Side::Client, Side::Server].into_iter().find(|side| side.to_word() == word)
    }
}

impl Parameter for Place {
    fn to_word(&self) -> String {
        match self {
            Place::Will => "will".to_owned(), // Its name is more than one word.
            _ => self.name().to_owned(),
        }
    }

    fn from_word(word: &str) -> Option<Self> {
        Place::ALL.into_iter().find(|place| place.to_word() == word)
    }
}

impl Parameter for PropertyId {
    fn to_word(&self) -> String {
        self.row().key.to_owned()
    }

    fn from_word(word: &str) -> Option<Self> {
        PropertyId::ALL.iter().copied().find(|id| id.row().key == word)
    }
}

impl Parameter for ReasonCode {
    fn to_word(&self) -> String {
        format!("0x{:02x}", self.value())
    }

    fn from_word(word: &str) -> Option<Self> {
        ReasonCode::ALL.iter().copied().find(|code| code.to_word() == word)
    }
}

macro_rules! faults {
    ($($variant:ident { $($field:tt $name:ident: $parameter:ty),* })*) => {
        /// A fault as its name and its parameters, blanks between them.
        pub(super) fn to_words(fault: Fault) -> String {
            match fault {
                $(Fault::$variant { $($field: $name),* } => {
                    let words: &[String] = &[
                        stringify!($variant).to_owned(),
                        $(<$parameter>::to_word(&$name)),*
                    ];
                    words.join(" ")
                })*
            }
        }

        /// The fault with these words, as [`to_words`] gives them.
        pub(super) fn from_words(words: &str) -> Option<Fault> {
            let mut words = words.split(' ');
            let fault = match words.next()? {
                $(stringify!($variant) => Fault::$variant {
                    $($field: <$parameter>::from_word(words.next()?)?),*
                },)*
                _ => return None,
            };
            words.next().is_none().then_some(fault)
        }
    };
}

// The compiler holds this list to be complete: `to_words` matches on it.
faults! {
    ReservedPacketType {}
    InvalidFlags { 0 packet: PacketType }
    PublishQoS3 {}
    DupOnQoS0 {}
    WrongDirection { 0 packet: PacketType, 1 side: Side }
    PacketTooLarge { size size: u64, limit limit: u32 }
    IntegerTooLong {}
    IntegerNotMinimal {}
    Truncated {}
    PacketIdentifierMissing {}
    PacketIdentifierZero {}
    StringOverrun {}
    BinaryOverrun {}
    IllFormedUtf8 {}
    NulInString {}
    TrailingBytes {}
    PropertyLengthOverrun {}
    PropertyTruncated {}
    UnknownProperty { 0 id: u32 }
    PropertyNotAllowed { 0 id: PropertyId, 1 place: Place }
    PropertyFromWrongSide { 0 id: PropertyId, 1 place: Place }
    DuplicateProperty { 0 id: PropertyId, 1 place: Place }
    PropertyOutOfRange { 0 id: PropertyId, 1 place: Place }
    AuthenticationMethodMissing { 0 place: Place }
    ServerReferenceWithoutRedirection { 0 place: Place }
    UnknownReasonCode { 0 code: u8, 1 packet: PacketType }
    ReasonCodeFromWrongSide { 0 code: ReasonCode, 1 packet: PacketType }
    UnsupportedProtocolName {}
    UnsupportedProtocolVersion { 0 version: u8 }
    ReservedConnectFlag {}
    WillQoSWithoutWill {}
    WillRetainWithoutWill {}
    WillQoS3 {}
    WillTopicInvalid {}
    ReservedAcknowledgeFlag {}
    SessionPresentOnRefusal {}
    TopicMissing {}
    WildcardInTopicName {}
    ResponseTopicInvalid {}
    TopicFilterMissing { 0 packet: PacketType }
    ReasonCodeMissing { 0 packet: PacketType }
    ReservedSubscriptionOption {}
    SubscriptionQoS3 {}
    RetainHandling3 {}
    NoLocalOnSharedSubscription {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_name_a_fault_with_its_parameters() {
        for (fault, words) in [
            (Fault::Truncated, "Truncated"),
            (Fault::PacketTooLarge { size: 100, limit: 50 }, "PacketTooLarge 100 50"),
            (
                Fault::WrongDirection(PacketType::PingReq, Side::Server),
                "WrongDirection PINGREQ server",
            ),
            (
                Fault::DuplicateProperty(PropertyId::WillDelayInterval, Place::Will),
                "DuplicateProperty will_delay_interval will",
            ),
            (
                Fault::ReasonCodeFromWrongSide(
                    ReasonCode::DisconnectWithWill,
                    PacketType::Disconnect,
                ),
                "ReasonCodeFromWrongSide 0x04 DISCONNECT",
            ),
        ] {
            assert_eq!(to_words(fault), words);
            assert_eq!(from_words(words), Some(fault));
        }
        for words in ["", "Trunc", "Truncated 1", "PacketTooLarge 100", "PacketTooLarge a 50"] {
            assert_eq!(from_words(words), None, "{words}");
        }
    }

    #[test]
    fn bytes_show_the_first_fault_in_any_packet() {
        assert_eq!(shown_by(&[0xD0, 0x00]), None);
        assert_eq!(shown_by(&[0x20]), None);
        let error = shown_by(&[0xD0, 0x00, 0xC0, 0x00]);
        let fault = Fault::WrongDirection(PacketType::PingReq, Side::Server);
        assert_eq!(error, Some(DecodeError { fault, offset: 0 }));
    }
}
