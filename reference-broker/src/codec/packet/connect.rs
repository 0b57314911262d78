use std::fmt;

use bytes::Bytes;

use super::super::reader::Reader;
use super::super::writer::Writer;
use super::super::{DecodeError, EncodeError, Fault, Place, Properties, PropertyId, Side, Text};
use super::{QoS, is_topic_name};

const PROTOCOL_NAME: &str = "MQTT";
const PROTOCOL_VERSION: u8 = 5;

const USER_NAME: u8 = 0b1000_0000;
const PASSWORD: u8 = 0b0100_0000;
const WILL_RETAIN: u8 = 0b0010_0000;
const WILL_QOS_SHIFT: u8 = 3;
const WILL: u8 = 0b0000_0100;
const CLEAN_START: u8 = 0b0000_0010;
const RESERVED: u8 = 0b0000_0001;

/// CONNECT: a client asks to be connected (section 3.1). Its `Debug` form is without the Password.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Connect {
    /// Whether to begin with no session, dropping one that exists (section 3.1.2.4).
    pub clean_start: bool,
    /// The longest silence the client will keep, in seconds; 0 for no limit (section 3.1.2.10).
    pub keep_alive: u16,
    /// Client Identifier; empty for one that the server assigns (section 3.1.3.1).
    pub client_id: Text,
    /// Will Message.
    pub will: Option<Will>,
    /// User Name.
    pub user_name: Option<Text>,
    /// Password.
    pub password: Option<Bytes>,
    /// Properties of the connection.
    pub properties: Properties,
}

/// A Will: the message to be published when the connection ends badly (section 3.1.2.5).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Will {
    /// The QoS to publish it at.
    pub qos: QoS,
    /// Whether it is published as a retained message.
    pub retain: bool,
    /// Its Topic Name.
    pub topic: Text,
    /// Its payload, at most 65,535 bytes.
    pub payload: Bytes,
    /// Will Properties.
    pub properties: Properties,
}

impl fmt::Debug for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connect")
            .field("clean_start", &self.clean_start)
            .field("keep_alive", &self.keep_alive)
            .field("client_id", &self.client_id)
            .field("will", &self.will)
            .field("user_name", &self.user_name)
            .field("password", &self.password.as_ref().map(|_| format_args!("..")))
            .field("properties", &self.properties)
            .finish()
    }
}

impl Connect {
    /// A clean start under this Client Identifier, with no Keep Alive and nothing else set.
    pub fn new(client_id: impl Into<Text>) -> Connect {
        Connect { clean_start: true, client_id: client_id.into(), ..Connect::default() }
    }

    /// Asks to go on with the session, if there is one.
    #[must_use]
    pub fn resume(mut self) -> Connect {
        self.clean_start = false;
        self
    }

    /// Sets the Keep Alive, in seconds.
    #[must_use]
    pub fn keep_alive(mut self, seconds: u16) -> Connect {
        self.keep_alive = seconds;
        self
    }

    /// Sets the Will.
    #[must_use]
    pub fn will(mut self, will: Will) -> Connect {
        self.will = Some(will);
        self
    }

    /// Sets the Session Expiry Interval, in seconds.
    #[must_use]
    pub fn session_expiry(self, seconds: u32) -> Connect {
        self.with(PropertyId::SessionExpiryInterval, seconds)
    }

    pub(super) fn decode(reader: &mut Reader<'_>, from: Side) -> Result<Connect, DecodeError> {
        decode_protocol(reader)?;
        let flags = Flags::decode(reader)?;
        let keep_alive = reader.two()?;
        let at = reader.offset();
        let properties = Properties::decode(reader, Place::Connect, from)?;
        if properties.contains(PropertyId::AuthenticationData)
            && !properties.contains(PropertyId::AuthenticationMethod)
        {
            return Err(Fault::AuthenticationMethodMissing(Place::Connect).at(at)); // U-3.1.2.11.10-1
        }
        let client_id = reader.text()?; // MQTT-3.1.3-3
        let will = match flags.will {
            Some((qos, retain)) => Some(Will::decode(reader, from, qos, retain)?), // MQTT-3.1.2-9
            None => None,
        };
        let user_name = flags.user_name.then(|| reader.text()).transpose()?; // MQTT-3.1.2-17
        let password = flags.password.then(|| reader.binary()).transpose()?; // MQTT-3.1.2-19
        Ok(Connect {
            clean_start: flags.clean_start,
            keep_alive,
            client_id,
            will,
            user_name,
            password,
            properties,
        })
    }

    pub(super) fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.binary(PROTOCOL_NAME.as_bytes())?;
        writer.byte(PROTOCOL_VERSION);
        writer.byte(self.flags());
        writer.two(self.keep_alive);
        self.properties.encode(writer)?;
        writer.text(&self.client_id)?;
        if let Some(will) = &self.will {
            will.properties.encode(writer)?;
            writer.text(&will.topic)?;
            writer.binary(&will.payload)?;
        }
        if let Some(user_name) = &self.user_name {
            writer.text(user_name)?;
        }
        if let Some(password) = &self.password {
            writer.binary(password)?;
        }
        Ok(())
    }

    fn flags(&self) -> u8 {
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        let will = self.will.as_ref().map_or(0, |will| {
            WILL | will.qos.value() << WILL_QOS_SHIFT | flag(will.retain, WILL_RETAIN)
        });
        will | flag(self.clean_start, CLEAN_START)
            | flag(self.user_name.is_some(), USER_NAME)
            | flag(self.password.is_some(), PASSWORD)
    }
}

/// Connect Flags (section 3.1.2.3).
struct Flags {
    clean_start: bool,
    will: Option<(QoS, bool)>,
    user_name: bool,
    password: bool,
}

impl Flags {
    fn decode(reader: &mut Reader<'_>) -> Result<Flags, DecodeError> {
        let at = reader.offset();
        let flags = reader.byte()?;
        let has = |bit: u8| flags & bit != 0;
        let qos = QoS::from_value(flags >> WILL_QOS_SHIFT & 0b11);
        let fault = if has(RESERVED) {
            Some(Fault::ReservedConnectFlag) // MQTT-3.1.2-3, U-3.1.2.3-1
        } else if has(WILL) && qos.is_none() {
            Some(Fault::WillQoS3) // MQTT-3.1.2-12
        } else if !has(WILL) && qos != Some(QoS::AtMostOnce) {
            Some(Fault::WillQoSWithoutWill) // MQTT-3.1.2-11
        } else if !has(WILL) && has(WILL_RETAIN) {
            Some(Fault::WillRetainWithoutWill) // MQTT-3.1.2-13
        } else {
            None
        };
        match fault {
            Some(fault) => Err(fault.at(at)),
            None => Ok(Flags {
                clean_start: has(CLEAN_START),
                will: qos.filter(|_| has(WILL)).map(|qos| (qos, has(WILL_RETAIN))),
                user_name: has(USER_NAME),
                password: has(PASSWORD),
            }),
        }
    }
}

impl Will {
    /// A Will at QoS 0, not retained, with no properties.
    pub fn new(topic: impl Into<Text>, payload: impl Into<Bytes>) -> Will {
        Will { topic: topic.into(), payload: payload.into(), ..Will::default() }
    }

    /// Sets the QoS.
    #[must_use]
    pub fn qos(mut self, qos: QoS) -> Will {
        self.qos = qos;
        self
    }

    /// Makes it a retained message.
    #[must_use]
    pub fn retain(mut self) -> Will {
        self.retain = true;
        self
    }

    fn decode(
        reader: &mut Reader<'_>,
        from: Side,
        qos: QoS,
        retain: bool,
    ) -> Result<Will, DecodeError> {
        let properties = Properties::decode(reader, Place::Will, from)?;
        let at = reader.offset();
        let topic = reader.text()?; // MQTT-3.1.3-11
        if !is_topic_name(&topic) {
            return Err(Fault::WillTopicInvalid.at(at)); // MQTT-4.7.0-1
        }
        let payload = reader.binary()?;
        Ok(Will { qos, retain, topic, payload, properties })
    }
}

fn decode_protocol(reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    let at = reader.offset();
    // Compared as bytes: whether another name is well-formed UTF-8 is of no interest.
    let name = reader.binary().map_err(|error| match error.fault {
        Fault::BinaryOverrun => Fault::StringOverrun.at(error.offset),
        _ => error,
    })?;
    if name != PROTOCOL_NAME {
        return Err(Fault::UnsupportedProtocolName.at(at)); // MQTT-3.1.2-1
    }
    let at = reader.offset();
    match reader.byte()? {
        PROTOCOL_VERSION => Ok(()),
        version => Err(Fault::UnsupportedProtocolVersion(version).at(at)), // MQTT-3.1.2-2
    }
}
