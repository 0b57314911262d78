use super::super::reader::Reader;
use super::super::writer::Writer;
use super::super::{DecodeError, EncodeError, Fault, Place, Properties, Side, Text};
use super::{PacketType, QoS};

const NO_LOCAL: u8 = 0b0000_0100;
const RETAIN_AS_PUBLISHED: u8 = 0b0000_1000;
const RETAIN_HANDLING_SHIFT: u8 = 4;
const RESERVED: u8 = 0b1100_0000;
const SHARED_PREFIX: &str = "$share/";

/// SUBSCRIBE: a client asks for messages (section 3.8).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Subscribe {
    /// Packet Identifier, which SUBACK repeats.
    pub packet_id: u16,
    /// Properties.
    pub properties: Properties,
    /// Topic Filters with their options; at least one in a valid packet.
    pub subscriptions: Vec<Subscription>,
}

/// One Topic Filter of a SUBSCRIBE with its options.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Subscription {
    /// The filter as sent: whether it is one is for the receiver to judge.
    pub filter: Text,
    /// Its options.
    pub options: SubscriptionOptions,
}

/// Subscription Options (section 3.8.3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SubscriptionOptions {
    /// The highest QoS at which messages are to be sent.
    pub maximum_qos: QoS,
    /// Whether the client's own messages are kept from it.
    pub no_local: bool,
    /// Whether RETAIN is passed on as published.
    pub retain_as_published: bool,
    /// When retained messages are sent.
    pub retain_handling: RetainHandling,
}

/// When a subscription brings retained messages (section 3.8.3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RetainHandling {
    /// 0: with every SUBSCRIBE.
    #[default]
    Send,
    /// 1: only if the subscription did not exist.
    SendIfNew,
    /// 2: never.
    DoNotSend,
}

impl Subscribe {
    /// One filter with default options at this QoS.
    pub fn new(packet_id: u16, filter: impl Into<Text>, maximum_qos: QoS) -> Subscribe {
        let options = SubscriptionOptions { maximum_qos, ..SubscriptionOptions::default() };
        Subscribe { packet_id, properties: Properties::default(), subscriptions: Vec::new() }
            .and(filter, options)
    }

    /// Appends a filter.
    #[must_use]
    pub fn and(mut self, filter: impl Into<Text>, options: SubscriptionOptions) -> Subscribe {
        self.subscriptions.push(Subscription { filter: filter.into(), options });
        self
    }

    pub(super) fn decode(reader: &mut Reader<'_>, from: Side) -> Result<Subscribe, DecodeError> {
        let packet_id = reader.packet_id()?;
        let properties = Properties::decode(reader, Place::Subscribe, from)?;
        if reader.is_empty() {
            return Err(Fault::TopicFilterMissing(PacketType::Subscribe).at(reader.offset())); // U-3.8.3-2, MQTT-3.8.3-2
        }
        let mut subscriptions = Vec::new();
        while !reader.is_empty() {
            subscriptions.push(Subscription::decode(reader)?);
        }
        Ok(Subscribe { packet_id, properties, subscriptions })
    }

    pub(super) fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.two(self.packet_id);
        self.properties.encode(writer)?;
        for subscription in &self.subscriptions {
            writer.text(&subscription.filter)?;
            writer.byte(subscription.options.to_byte());
        }
        Ok(())
    }
}

impl Subscription {
    fn decode(reader: &mut Reader<'_>) -> Result<Subscription, DecodeError> {
        let filter = reader.text()?; // MQTT-3.8.3-1
        let at = reader.offset();
        let byte = reader.byte()?; // U-3.8.3-1
        let options = SubscriptionOptions::from_byte(byte).map_err(|fault| fault.at(at))?;
        if options.no_local && filter.starts_with(SHARED_PREFIX) {
            return Err(Fault::NoLocalOnSharedSubscription.at(at)); // MQTT-3.8.3-4
        }
        Ok(Subscription { filter, options })
    }
}

impl SubscriptionOptions {
    /// Default options at this QoS.
    pub fn at(maximum_qos: QoS) -> SubscriptionOptions {
        SubscriptionOptions { maximum_qos, ..SubscriptionOptions::default() }
    }

    /// The options as the byte that follows a filter.
    pub fn to_byte(self) -> u8 {
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        self.maximum_qos.value()
            | flag(self.no_local, NO_LOCAL)
            | flag(self.retain_as_published, RETAIN_AS_PUBLISHED)
            | (self.retain_handling as u8) << RETAIN_HANDLING_SHIFT
    }

    fn from_byte(byte: u8) -> Result<SubscriptionOptions, Fault> {
        if byte & RESERVED != 0 {
            return Err(Fault::ReservedSubscriptionOption); // MQTT-3.8.3-5
        }
        Ok(SubscriptionOptions {
            maximum_qos: QoS::from_value(byte & 0b11).ok_or(Fault::SubscriptionQoS3)?, // U-3.8.3.1-1
            no_local: byte & NO_LOCAL != 0,
            retain_as_published: byte & RETAIN_AS_PUBLISHED != 0,
            retain_handling: match byte >> RETAIN_HANDLING_SHIFT & 0b11 {
                0 => RetainHandling::Send,
                1 => RetainHandling::SendIfNew,
                2 => RetainHandling::DoNotSend,
                _ => return Err(Fault::RetainHandling3), // U-3.8.3.1-5
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thirty_six_of_all_option_bytes_are_valid() {
        let valid: Vec<_> =
            (0..=u8::MAX).filter(|byte| SubscriptionOptions::from_byte(*byte).is_ok()).collect();
        assert_eq!(valid.len(), 36);
        for byte in valid {
            assert_eq!(SubscriptionOptions::from_byte(byte).unwrap().to_byte(), byte);
        }
    }
}
