//! Events and packets as text.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use bytes::Bytes;
use reference_broker::codec::{
    Connect, DecodeError, Packet, PacketType, Properties, Property, Publish, PublishAck, QoS,
    ReasonCode, Subscribe, SubscribeAck, Unsubscribe, Value, Will,
};

use super::fault;
use super::literal::{BytesLiteral, HexRow, NameLiteral, TextLiteral};
use super::{Ending, Event, What};

/// The length of the longest packet name, for columns.
const PACKET_WIDTH: usize = 11;

/// The events as text, a line each; [`parse`](super::parse) gives them back, with times cut to the
/// millisecond. Property values have to be of the types in the property table, as those of every
/// packet are that can be encoded.
pub fn to_text(events: &[Event]) -> String {
    let width = name_width(events);
    events.iter().map(|event| event_line(event, width) + "\n").collect()
}

/// The widest column of names, in characters: one long name is not to make every line as long.
const WIDEST: usize = 40;

/// How wide the column of probe names has to be for these events, in characters. Few are longer than
/// the column: they stand out of it.
pub fn name_width(events: &[Event]) -> usize {
    column_width(events.iter().map(|event| NameLiteral(&event.probe).to_string()))
}

/// How wide a column of these texts is.
pub(crate) fn column_width(texts: impl Iterator<Item = String>) -> usize {
    texts.map(|text| text.chars().count()).max().unwrap_or_default().min(WIDEST)
}

/// A name as it is quoted, whether or not it has to be.
pub(crate) fn quoted_name(name: &str) -> String {
    TextLiteral(name).to_string()
}

/// A name without quotes, if it can go without them.
pub(crate) fn bare_name(name: &str) -> Option<&str> {
    (NameLiteral(name).to_string() == name).then_some(name)
}

/// One event as a line without its end, the name of its probe padded to `name_width`.
pub fn event_line(event: &Event, name_width: usize) -> String {
    let at = Seconds(event.at).to_string();
    let probe = NameLiteral(&event.probe).to_string();
    let mark = match event.what {
        What::Sent(_) | What::SentBytes(_) => "->",
        What::Received(_) | What::ReceivedBroken(..) => "<-",
        _ => "||",
    };
    format!("{at:>8}  {probe:<name_width$} {mark} {}", Happening(&event.what))
}

/// A packet as it stands in a line, without padding: `PUBLISH "a/b" qos=1 id=7 payload="x"`.
pub fn packet_text(packet: &Packet) -> String {
    packet_in_column(packet, 0)
}

fn packet_in_column(packet: &Packet, width: usize) -> String {
    let name = packet.packet_type().name();
    let body = Body(packet).to_string();
    match body.is_empty() {
        true => name.to_owned(),
        false => format!("{name:<width$}{body}"),
    }
}

/// A time in seconds, cut to the millisecond.
struct Seconds(Duration);

impl Display for Seconds {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        // Not as a float, which would round long times.
        write!(f, "{}.{:03}", self.0.as_secs(), self.0.subsec_millis())
    }
}

struct Happening<'a>(&'a What);

impl Display for Happening<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            What::Opened => f.write_str("opened"),
            What::Sent(packet) | What::Received(packet) => {
                f.write_str(&packet_in_column(packet, PACKET_WIDTH))
            }
            What::SentBytes(bytes) => write!(f, "BYTES{}", HexRow(bytes)),
            What::ReceivedBroken(bytes, error) => broken(f, bytes, *error),
            What::ClosedByBroker(Ending::EndOfStream) => {
                f.write_str("closed by the broker (end of stream)")
            }
            What::ClosedByBroker(Ending::Reset) => f.write_str("closed by the broker (reset)"),
            What::HalfClosed => f.write_str("half closed"),
            What::ClosedByProbe => f.write_str("closed"),
            What::Silence(time) => write!(f, "silent for {} s", Seconds(*time)),
            What::Waited(time) => write!(f, "waited {} s", Seconds(*time)),
            What::Restarted(restart) => f.write_str(restart.said()),
            What::WebSocket(what) => write!(f, "websocket {}", TextLiteral(what)),
        }
    }
}

fn broken(f: &mut Formatter<'_>, bytes: &Bytes, error: DecodeError) -> fmt::Result {
    write!(f, "BROKEN{}  ! {error}", HexRow(bytes))?;
    match fault::shown_by(bytes) == Some(error) {
        true => Ok(()),
        false => write!(f, " [{}]", fault::to_words(error.fault)),
    }
}

/// What follows the name of a packet, a blank before each part.
struct Body<'a>(&'a Packet);

impl Display for Body<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let packet_type = self.0.packet_type();
        match self.0 {
            Packet::Connect(packet) => connect(f, packet),
            Packet::ConnAck(packet) => {
                reason(f, packet.reason, packet_type)?;
                flag(f, "session_present", packet.session_present)?;
                properties(f, "", &packet.properties)
            }
            Packet::Publish(packet) => publish(f, packet),
            Packet::PubAck(packet)
            | Packet::PubRec(packet)
            | Packet::PubRel(packet)
            | Packet::PubComp(packet) => publish_ack(f, packet, packet_type),
            Packet::Subscribe(packet) => subscribe(f, packet),
            Packet::SubAck(packet) | Packet::UnsubAck(packet) => {
                subscribe_ack(f, packet, packet_type)
            }
            Packet::Unsubscribe(packet) => unsubscribe(f, packet),
            Packet::PingReq | Packet::PingResp => Ok(()),
            Packet::Disconnect(packet) => {
                reason_unless_success(f, packet.reason, packet_type)?;
                properties(f, "", &packet.properties)
            }
            Packet::Auth(packet) => {
                reason(f, packet.reason, packet_type)?;
                properties(f, "", &packet.properties)
            }
        }
    }
}

fn connect(f: &mut Formatter<'_>, packet: &Connect) -> fmt::Result {
    write!(f, " client_id={}", TextLiteral(&packet.client_id))?;
    flag(f, "clean_start", packet.clean_start)?;
    if packet.keep_alive != 0 {
        write!(f, " keep_alive={}", packet.keep_alive)?;
    }
    if let Some(user_name) = &packet.user_name {
        write!(f, " user_name={}", TextLiteral(user_name))?;
    }
    if let Some(password) = &packet.password {
        write!(f, " password={}", BytesLiteral(password))?;
    }
    if let Some(packet) = &packet.will {
        will(f, packet)?;
    }
    properties(f, "", &packet.properties)
}

fn will(f: &mut Formatter<'_>, will: &Will) -> fmt::Result {
    write!(f, " will.topic={}", TextLiteral(&will.topic))?;
    write!(f, " will.payload={}", BytesLiteral(&will.payload))?;
    if will.qos != QoS::AtMostOnce {
        write!(f, " will.qos={}", will.qos.value())?;
    }
    flag(f, "will.retain", will.retain)?;
    properties(f, "will.", &will.properties)
}

fn publish(f: &mut Formatter<'_>, packet: &Publish) -> fmt::Result {
    write!(f, " {}", TextLiteral(&packet.topic))?;
    let has_qos = packet.qos != QoS::AtMostOnce;
    if has_qos {
        write!(f, " qos={}", packet.qos.value())?;
    }
    if has_qos || packet.packet_id != 0 {
        write!(f, " id={}", packet.packet_id)?;
    }
    flag(f, "dup", packet.dup)?;
    flag(f, "retain", packet.retain)?;
    properties(f, "", &packet.properties)?;
    match packet.payload.is_empty() {
        true => Ok(()),
        false => write!(f, " payload={}", BytesLiteral(&packet.payload)),
    }
}

fn publish_ack(f: &mut Formatter<'_>, packet: &PublishAck, packet_type: PacketType) -> fmt::Result {
    write!(f, " id={}", packet.packet_id)?;
    reason_unless_success(f, packet.reason, packet_type)?;
    properties(f, "", &packet.properties)
}

fn subscribe(f: &mut Formatter<'_>, packet: &Subscribe) -> fmt::Result {
    write!(f, " id={}", packet.packet_id)?;
    properties(f, "", &packet.properties)?;
    for subscription in &packet.subscriptions {
        let options = &subscription.options;
        write!(f, " {}", TextLiteral(&subscription.filter))?;
        write!(f, " qos={}", options.maximum_qos.value())?;
        flag(f, "no_local", options.no_local)?;
        flag(f, "retain_as_published", options.retain_as_published)?;
        match options.retain_handling as u8 {
            0 => {}
            handling => write!(f, " retain_handling={handling}")?,
        }
    }
    Ok(())
}

fn subscribe_ack(
    f: &mut Formatter<'_>,
    packet: &SubscribeAck,
    packet_type: PacketType,
) -> fmt::Result {
    write!(f, " id={}", packet.packet_id)?;
    properties(f, "", &packet.properties)?;
    packet.reasons.iter().try_for_each(|code| reason(f, *code, packet_type))
}

fn unsubscribe(f: &mut Formatter<'_>, packet: &Unsubscribe) -> fmt::Result {
    write!(f, " id={}", packet.packet_id)?;
    properties(f, "", &packet.properties)?;
    packet.filters.iter().try_for_each(|filter| write!(f, " {}", TextLiteral(filter)))
}

fn flag(f: &mut Formatter<'_>, key: &str, set: bool) -> fmt::Result {
    match set {
        true => write!(f, " {key}"),
        false => Ok(()),
    }
}

fn reason(f: &mut Formatter<'_>, code: ReasonCode, packet: PacketType) -> fmt::Result {
    write!(f, " 0x{:02x} ({})", code.value(), code.name_in(packet))
}

fn reason_unless_success(
    f: &mut Formatter<'_>,
    code: ReasonCode,
    packet: PacketType,
) -> fmt::Result {
    match code {
        ReasonCode::Success => Ok(()),
        _ => reason(f, code, packet),
    }
}

fn properties(f: &mut Formatter<'_>, prefix: &str, properties: &Properties) -> fmt::Result {
    for Property { id, value } in properties.iter() {
        write!(f, " {prefix}{}={}", id.row().key, ValueText(value))?;
    }
    Ok(())
}

/// No more bytes of a packet are written than this.
const LONGEST_BYTES: usize = 512;

/// Bytes one by one in hex, each after a blank, and long rows of one byte written short.
pub(crate) fn hex_row(bytes: &[u8]) -> String {
    HexRow(bytes).to_string()
}

/// The bytes of an event's packet in hex: of a received one those that came, of a sent one its
/// encoding, which is what was sent. None where the text of the event has them, or there are none.
pub fn bytes_text(event: &Event, received: Option<&Bytes>) -> Option<String> {
    let bytes = match &event.what {
        What::Sent(packet) => packet.to_bytes().ok()?,
        What::Received(_) => received?.clone(),
        _ => return None,
    };
    let shown = bytes.get(..LONGEST_BYTES).unwrap_or(&bytes);
    let hex = HexRow(shown).to_string();
    match bytes.len() - shown.len() {
        0 => Some(hex.trim_start().to_owned()),
        more => Some(format!("{} ... {more} more", hex.trim_start())),
    }
}

/// Bytes as one literal.
pub(crate) fn bytes_literal(bytes: &[u8]) -> String {
    BytesLiteral(bytes).to_string()
}

struct ValueText<'a>(&'a Value);

impl Display for ValueText<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            Value::Number(number) => write!(f, "{number}"),
            Value::String(text) => TextLiteral(text).fmt(f),
            Value::Binary(bytes) => BytesLiteral(bytes).fmt(f),
            Value::Pair(name, value) => write!(f, "{}:{}", TextLiteral(name), TextLiteral(value)),
        }
    }
}

/// The text of a property, as in that of its packet.
pub(super) fn property_text(property: &Property) -> String {
    format!("{}={}", property.id.row().key, ValueText(&property.value))
}
