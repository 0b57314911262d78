//! The fields of each packet.

use reference_broker::codec::{
    Auth, ConnAck, Connect, Disconnect, Packet, PacketType, Properties, Publish, PublishAck, QoS,
    ReasonCode, RetainHandling, Subscribe, SubscribeAck, Subscription, SubscriptionOptions, Text,
    Unsubscribe, Will,
};

use super::body::{Body, Part};
use super::scanner::{Problem, Scanner};

/// Reads what follows the name of a packet, up to the end of the line.
pub(super) fn packet(
    scanner: &mut Scanner<'_>,
    packet_type: PacketType,
) -> Result<Packet, Problem> {
    let mut body = Body::new(scanner, packet_type);
    let body = &mut body;
    Ok(match packet_type {
        PacketType::Connect => Packet::Connect(Box::new(connect(body)?)),
        PacketType::ConnAck => Packet::ConnAck(conn_ack(body)?),
        PacketType::Publish => Packet::Publish(publish(body)?),
        PacketType::PubAck => Packet::PubAck(publish_ack(body)?),
        PacketType::PubRec => Packet::PubRec(publish_ack(body)?),
        PacketType::PubRel => Packet::PubRel(publish_ack(body)?),
        PacketType::PubComp => Packet::PubComp(publish_ack(body)?),
        PacketType::Subscribe => Packet::Subscribe(subscribe(body)?),
        PacketType::SubAck => Packet::SubAck(subscribe_ack(body)?),
        PacketType::Unsubscribe => Packet::Unsubscribe(unsubscribe(body)?),
        PacketType::UnsubAck => Packet::UnsubAck(subscribe_ack(body)?),
        PacketType::PingReq => ping(body, Packet::PingReq)?,
        PacketType::PingResp => ping(body, Packet::PingResp)?,
        PacketType::Disconnect => {
            let (reason, properties) = code_and_properties(body)?;
            let reason = reason.unwrap_or(ReasonCode::Success);
            Packet::Disconnect(Disconnect { reason, properties })
        }
        PacketType::Auth => {
            let (reason, properties) = code_and_properties(body)?;
            let reason = reason.ok_or_else(|| body.missing("a reason code"))?;
            Packet::Auth(Auth { reason, properties })
        }
    })
}

fn connect(body: &mut Body<'_, '_>) -> Result<Connect, Problem> {
    let mut connect = Connect::default();
    let mut client_id = None;
    let mut will = WillParts::default();
    while let Some(part) = body.next()? {
        match part {
            Part::Field("client_id") => client_id = Some(body.text_value()?),
            Part::Field("clean_start") => connect.clean_start = true,
            Part::Field("keep_alive") => connect.keep_alive = body.two_byte_value()?,
            Part::Field("user_name") => connect.user_name = Some(body.text_value()?),
            Part::Field("password") => connect.password = Some(body.bytes_value()?),
            Part::Property(id) => body.property(id, &mut connect.properties)?,
            part => will.read(body, &part)?,
        }
    }
    connect.client_id = client_id.ok_or_else(|| body.missing("client_id"))?;
    connect.will = will.finish(body)?;
    Ok(connect)
}

/// What there has been of a Will.
#[derive(Default)]
struct WillParts {
    will: Option<Will>,
    topic: Option<Text>,
}

impl WillParts {
    fn read(&mut self, body: &mut Body<'_, '_>, part: &Part<'_>) -> Result<(), Problem> {
        let will = self.will.get_or_insert_default();
        match part {
            Part::Field("will.topic") => self.topic = Some(body.text_value()?),
            Part::Field("will.payload") => will.payload = body.bytes_value()?,
            Part::Field("will.qos") => will.qos = body.qos_value()?,
            Part::Field("will.retain") => will.retain = true,
            Part::WillProperty(id) => body.property(*id, &mut will.properties)?,
            _ => return Err(body.misplaced()),
        }
        Ok(())
    }

    fn finish(self, body: &Body<'_, '_>) -> Result<Option<Will>, Problem> {
        let Some(mut will) = self.will else { return Ok(None) };
        will.topic = self.topic.ok_or_else(|| body.missing("will.topic with its will"))?;
        Ok(Some(will))
    }
}

fn conn_ack(body: &mut Body<'_, '_>) -> Result<ConnAck, Problem> {
    let mut session_present = false;
    let mut reason = None;
    let mut properties = Properties::default();
    while let Some(part) = body.next()? {
        match part {
            Part::Code => body.only_code(&mut reason)?,
            Part::Field("session_present") => session_present = true,
            Part::Property(id) => body.property(id, &mut properties)?,
            _ => return Err(body.misplaced()),
        }
    }
    let reason = reason.ok_or_else(|| body.missing("a reason code"))?;
    Ok(ConnAck { session_present, reason, properties })
}

fn publish(body: &mut Body<'_, '_>) -> Result<Publish, Problem> {
    let mut publish = Publish::default();
    let mut packet_id = None;
    match body.next()? {
        Some(Part::Text) => publish.topic = body.text()?,
        _ => return Err(body.missing("a topic first")),
    }
    while let Some(part) = body.next()? {
        match part {
            Part::Field("qos") => publish.qos = body.qos_value()?,
            Part::Field("id") => packet_id = Some(body.two_byte_value()?),
            Part::Field("dup") => publish.dup = true,
            Part::Field("retain") => publish.retain = true,
            Part::Field("payload") => publish.payload = body.bytes_value()?,
            Part::Property(id) => body.property(id, &mut publish.properties)?,
            _ => return Err(body.misplaced()),
        }
    }
    publish.packet_id = match publish.qos {
        QoS::AtMostOnce => packet_id.unwrap_or_default(),
        _ => packet_id.ok_or_else(|| body.missing("id at this qos"))?,
    };
    Ok(publish)
}

fn publish_ack(body: &mut Body<'_, '_>) -> Result<PublishAck, Problem> {
    let mut packet_id = None;
    let mut reason = None;
    let mut properties = Properties::default();
    while let Some(part) = body.next()? {
        match part {
            Part::Field("id") => packet_id = Some(body.two_byte_value()?),
            Part::Code => body.only_code(&mut reason)?,
            Part::Property(id) => body.property(id, &mut properties)?,
            _ => return Err(body.misplaced()),
        }
    }
    let packet_id = packet_id.ok_or_else(|| body.missing("id"))?;
    Ok(PublishAck { packet_id, reason: reason.unwrap_or(ReasonCode::Success), properties })
}

fn subscribe(body: &mut Body<'_, '_>) -> Result<Subscribe, Problem> {
    let mut packet_id = None;
    let mut properties = Properties::default();
    let mut subscriptions: Vec<Subscription> = Vec::new();
    while let Some(part) = body.next()? {
        match part {
            Part::Field("id") => packet_id = Some(body.two_byte_value()?),
            Part::Text => {
                let options = SubscriptionOptions::default();
                subscriptions.push(Subscription { filter: body.text()?, options });
                body.forget_all_but("id");
            }
            Part::Property(id) => body.property(id, &mut properties)?,
            Part::Field(key) => match subscriptions.last_mut() {
                Some(subscription) => option(body, key, &mut subscription.options)?,
                None => return Err(body.misplaced()),
            },
            _ => return Err(body.misplaced()),
        }
    }
    let packet_id = packet_id.ok_or_else(|| body.missing("id"))?;
    Ok(Subscribe { packet_id, properties, subscriptions })
}

fn option(
    body: &mut Body<'_, '_>,
    key: &str,
    options: &mut SubscriptionOptions,
) -> Result<(), Problem> {
    match key {
        "qos" => options.maximum_qos = body.qos_value()?,
        "no_local" => options.no_local = true,
        "retain_as_published" => options.retain_as_published = true,
        "retain_handling" => {
            options.retain_handling = match body.number_value::<u8>(2)? {
                0 => RetainHandling::Send,
                1 => RetainHandling::SendIfNew,
                _ => RetainHandling::DoNotSend,
            }
        }
        _ => return Err(body.misplaced()),
    }
    Ok(())
}

fn subscribe_ack(body: &mut Body<'_, '_>) -> Result<SubscribeAck, Problem> {
    let mut packet_id = None;
    let mut properties = Properties::default();
    let mut reasons = Vec::new();
    while let Some(part) = body.next()? {
        match part {
            Part::Field("id") => packet_id = Some(body.two_byte_value()?),
            Part::Code => reasons.push(body.code()?),
            Part::Property(id) => body.property(id, &mut properties)?,
            _ => return Err(body.misplaced()),
        }
    }
    let packet_id = packet_id.ok_or_else(|| body.missing("id"))?;
    Ok(SubscribeAck { packet_id, properties, reasons })
}

fn unsubscribe(body: &mut Body<'_, '_>) -> Result<Unsubscribe, Problem> {
    let mut packet_id = None;
    let mut properties = Properties::default();
    let mut filters = Vec::new();
    while let Some(part) = body.next()? {
        match part {
            Part::Field("id") => packet_id = Some(body.two_byte_value()?),
            Part::Text => filters.push(body.text()?),
            Part::Property(id) => body.property(id, &mut properties)?,
            _ => return Err(body.misplaced()),
        }
    }
    let packet_id = packet_id.ok_or_else(|| body.missing("id"))?;
    Ok(Unsubscribe { packet_id, properties, filters })
}

fn ping(body: &mut Body<'_, '_>, packet: Packet) -> Result<Packet, Problem> {
    match body.next()? {
        Some(_) => Err(body.misplaced()),
        None => Ok(packet),
    }
}

fn code_and_properties(
    body: &mut Body<'_, '_>,
) -> Result<(Option<ReasonCode>, Properties), Problem> {
    let mut reason = None;
    let mut properties = Properties::default();
    while let Some(part) = body.next()? {
        match part {
            Part::Code => body.only_code(&mut reason)?,
            Part::Property(id) => body.property(id, &mut properties)?,
            _ => return Err(body.misplaced()),
        }
    }
    Ok((reason, properties))
}

#[cfg(test)]
mod tests {
    use super::super::super::parse;

    #[test]
    fn mistakes_in_packets_are_named() {
        for (body, column, problem) in [
            ("CONNECT", 19, "CONNECT needs client_id"),
            ("CONNECT client_id=a", 30, "'\"' is missing"),
            ("CONNECT client_id=\"a\" client_id=\"b\"", 34, "a second 'client_id'"),
            ("CONNECT client_id=\"a\" keep_alive=65536", 45, "'65536' is no number up to 65535"),
            ("CONNECT client_id=\"a\" clean_start=1", 45, "a blank is missing before '=1'"),
            ("CONNECT client_id=\"a\" will.qos=1", 44, "CONNECT needs will.topic with its will"),
            ("CONNECT client_id=\"a\" will.topic=\"a\" will.qos=3", 58, "'3' is no number up to 2"),
            ("CONNECT client_id=\"a\" will.x=1", 34, "CONNECT has no 'will.x'"),
            ("CONNECT client_id=\"a\" \"b\"", 34, "CONNECT has no '\"b\"'"),
            ("CONNECT client_id=\"a\" user_property=\"a\"", 51, "':' is missing"),
            (
                "CONNECT client_id=\"a\" receive_maximum=65536",
                50,
                "'65536' is no number up to 65535",
            ),
            ("CONNECT client_id=\"a\" =", 34, "CONNECT has no '='"),
            ("CONNACK", 19, "CONNACK needs a reason code"),
            ("CONNACK 0x00 0x00", 25, "a second reason code"),
            ("CONNACK 0x05", 20, "'0x05' is no reason code"),
            ("CONNACK 0x+5", 20, "'0x' is no reason code"),
            ("CONNACK 0x00 (normal disconnection)", 25, "0x00 in CONNACK is (success)"),
            ("CONNACK 0x00 (success", 25, "0x00 in CONNACK is (success)"),
            ("PUBLISH qos=1 \"a\"", 20, "PUBLISH needs a topic first"),
            ("PUBLISH \"a\" qos=1", 29, "PUBLISH needs id at this qos"),
            ("PUBLISH \"a\"dup", 23, "a blank is missing before 'dup'"),
            ("PUBLISH \"a\" will_topic=\"b\"", 24, "PUBLISH has no 'will_topic'"),
            ("PUBLISH \"a\" will.delay=1", 24, "PUBLISH has no 'will.delay'"),
            (
                "PUBLISH \"a\" will.will_delay_interval=1",
                24,
                "PUBLISH has no 'will.will_delay_interval'",
            ),
            ("PUBACK 0x00", 23, "PUBACK needs id"),
            ("SUBSCRIBE id=1 qos=1", 27, "SUBSCRIBE has no 'qos'"),
            ("SUBSCRIBE id=1 \"a\" qos=1 qos=1", 37, "a second 'qos'"),
            ("SUBSCRIBE id=1 \"a\" id=1", 31, "a second 'id'"),
            ("SUBSCRIBE \"a\" 0x00", 26, "SUBSCRIBE has no '0x00'"),
            ("SUBACK id=1 0x01 (granted QoS 2)", 29, "0x01 in SUBACK is (granted QoS 1)"),
            ("UNSUBSCRIBE \"a\"", 27, "UNSUBSCRIBE needs id"),
            ("PINGREQ id=1", 20, "PINGREQ has no 'id'"),
            ("AUTH", 16, "AUTH needs a reason code"),
        ] {
            let error = parse(&format!("\n0.000 a -> {body}")).unwrap_err();
            assert_eq!(
                (error.line, error.column, error.problem.as_str()),
                (2, column, problem),
                "{body}"
            );
        }
    }

    #[test]
    fn order_and_names_of_codes_are_free() {
        for (loose, strict) in [
            ("CONNACK session_present 0x00", "CONNACK 0x00 (success) session_present"),
            ("PUBLISH \"\" payload=\"\" id=7 qos=1", "PUBLISH \"\" qos=1 id=7"),
            ("PUBACK 0x00 (success) id=1", "PUBACK id=1"),
            ("SUBSCRIBE \"a\" id=1", "SUBSCRIBE id=1 \"a\" qos=0"),
        ] {
            let events = |body| parse(&format!("1.000\ta -> {body}"));
            assert_eq!(events(loose), events(strict));
        }
    }
}
