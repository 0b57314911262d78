//! Messages and the exchanges of their QoS, in both directions.

use bytes::Bytes;
use reference_broker::codec::{Packet, PacketType, Publish, PublishAck, QoS, ReasonCode};

use crate::trace::packet_text;
use crate::verdict::Outcome;

use super::policy::policy_of;
use super::{Probe, Seen, called};

/// How a broker takes a message that it may refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It goes on as if nothing was wrong.
    Taken,
    /// It acknowledges with an error.
    Refused,
    /// It closes the connection.
    Closed,
}

impl Probe {
    /// Publishes a message and goes through the exchange of its QoS.
    ///
    /// # Errors
    ///
    /// A failure when the exchange is not completed, or the message is refused; not applicable when
    /// the broker said that it takes no such message.
    pub async fn publish(&mut self, topic: &str, payload: &str, qos: QoS) -> Outcome {
        let payload = Bytes::copy_from_slice(payload.as_bytes());
        let id = self.packet_id();
        self.publish_with(Publish::new(topic, payload).qos(qos, id)).await
    }

    /// As [`Probe::publish`], with a packet of one's own.
    ///
    /// # Errors
    ///
    /// As [`Probe::publish`].
    pub async fn publish_with(&mut self, publish: Publish) -> Outcome {
        let (qos, id) = (publish.qos, publish.packet_id);
        self.limits.admit(&publish, 1)?;
        self.send(publish).await?;
        match qos {
            QoS::AtMostOnce => Ok(()),
            QoS::AtLeastOnce => self.puback(id).await.map(drop),
            QoS::ExactlyOnce => {
                self.pubrec(id).await?;
                self.release(id).await
            }
        }
    }

    /// Publishes messages of one QoS in one write, then goes through their exchanges.
    ///
    /// # Errors
    ///
    /// As [`Probe::publish`].
    pub async fn publish_together(
        &mut self,
        topic: &str,
        payloads: &[String],
        qos: QoS,
    ) -> Outcome {
        let ids: Vec<u16> = payloads.iter().map(|_| self.packet_id()).collect();
        let mut packets = Vec::with_capacity(ids.len());
        for (payload, id) in payloads.iter().zip(&ids) {
            let payload = Bytes::copy_from_slice(payload.as_bytes());
            let publish = Publish::new(topic, payload).qos(qos, *id);
            self.limits.admit(&publish, ids.len())?;
            packets.push(Packet::from(publish));
        }
        self.send_together(&packets).await?;
        match qos {
            QoS::AtMostOnce => {}
            QoS::AtLeastOnce => {
                for id in ids {
                    self.puback(id).await?;
                }
            }
            QoS::ExactlyOnce => {
                // PUBREL follows the order of PUBREC (section 4.6), which is the broker's choice.
                let mut recorded = Vec::new();
                for _ in &ids {
                    let next = |packet: &Packet| match packet {
                        Packet::PubRec(ack) if ids.contains(&ack.packet_id) => Some(ack.clone()),
                        _ => None,
                    };
                    let ack = self.find("PUBREC for each message", next).await?;
                    self.succeeded(Packet::PubRec(ack.clone()), ack.reason)?;
                    recorded.push(ack.packet_id);
                }
                for id in recorded {
                    self.release(id).await?;
                }
            }
        }
        Ok(())
    }

    /// Publishes a message that the standard lets a broker take, refuse or close for.
    ///
    /// # Errors
    ///
    /// A failure when none of these happens.
    pub async fn offer(&mut self, publish: Publish) -> Outcome<Answer> {
        let (qos, id) = (publish.qos, publish.packet_id);
        self.limits.admit(&publish, 1)?;
        self.send(publish).await?;
        if !self.is_open().await? {
            return Ok(Answer::Closed);
        }
        let ack = match qos {
            QoS::AtMostOnce => return Ok(Answer::Taken),
            QoS::AtLeastOnce => self.step(PacketType::PubAck, id).await?,
            QoS::ExactlyOnce => self.step(PacketType::PubRec, id).await?,
        };
        if ack.reason.is_error() {
            return Ok(Answer::Refused);
        }
        if qos == QoS::ExactlyOnce {
            self.release(id).await?;
        }
        Ok(Answer::Taken)
    }

    /// Sends PUBREL and waits for PUBCOMP 0x00.
    ///
    /// # Errors
    ///
    /// A failure when it does not come, or says something else.
    pub async fn release(&mut self, id: u16) -> Outcome {
        self.send(Packet::PubRel(PublishAck::new(id))).await?;
        let pubcomp = self.pubcomp(id).await?;
        self.succeeded(Packet::PubComp(pubcomp.clone()), pubcomp.reason)
    }

    /// Waits for PUBACK.
    ///
    /// # Errors
    ///
    /// A failure when it does not come, or refuses the message.
    pub async fn puback(&mut self, id: u16) -> Outcome<PublishAck> {
        let ack = self.step(PacketType::PubAck, id).await?;
        self.succeeded(Packet::PubAck(ack.clone()), ack.reason)?;
        Ok(ack)
    }

    /// Waits for PUBREC.
    ///
    /// # Errors
    ///
    /// A failure when it does not come, or refuses the message.
    pub async fn pubrec(&mut self, id: u16) -> Outcome<PublishAck> {
        let ack = self.step(PacketType::PubRec, id).await?;
        self.succeeded(Packet::PubRec(ack.clone()), ack.reason)?;
        Ok(ack)
    }

    /// Waits for the PUBREC of a PUBLISH that is repeated, which may say that its identifier is in use.
    ///
    /// # Errors
    ///
    /// A failure when it does not come, inconclusive when it refuses the message itself.
    pub async fn pubrec_again(&mut self, id: u16) -> Outcome {
        let ack = self.step(PacketType::PubRec, id).await?;
        self.unlimited(Packet::PubRec(ack))
    }

    /// Waits for PUBREC, whatever it says, where the broker may as well close: none if it does. A
    /// DISCONNECT is left for the step that judges it.
    ///
    /// # Errors
    ///
    /// A failure when neither comes.
    pub async fn pubrec_or_close(&mut self, id: u16) -> Outcome<Option<PublishAck>> {
        let expected = format!("{}, or the connection closed", called(PacketType::PubRec, id));
        loop {
            match self.look(self.context.patience().reply).await {
                Seen::Packet(_, Packet::PubRec(ack)) if ack.packet_id == id => {
                    return Ok(Some(ack));
                }
                Seen::Packet(index, packet) => {
                    let ends = matches!(packet, Packet::Disconnect(_));
                    self.unread.push_back((index, packet));
                    if ends {
                        return Ok(None);
                    }
                }
                Seen::Closed(..) => return Ok(None),
                other => return Err(self.instead(&expected, other)),
            }
        }
    }

    /// Waits for PUBREL, whatever it says.
    ///
    /// # Errors
    ///
    /// A failure when it does not come.
    pub async fn pubrel(&mut self, id: u16) -> Outcome<PublishAck> {
        self.step(PacketType::PubRel, id).await
    }

    /// Waits for PUBCOMP, whatever it says.
    ///
    /// # Errors
    ///
    /// A failure when it does not come.
    pub async fn pubcomp(&mut self, id: u16) -> Outcome<PublishAck> {
        self.step(PacketType::PubComp, id).await
    }

    /// Waits for a step of an exchange, whatever it says.
    ///
    /// # Errors
    ///
    /// A failure when it does not come.
    pub async fn step(&mut self, packet_type: PacketType, id: u16) -> Outcome<PublishAck> {
        let expected = called(packet_type, id);
        let step = |packet: &Packet| match packet {
            Packet::PubAck(ack)
            | Packet::PubRec(ack)
            | Packet::PubRel(ack)
            | Packet::PubComp(ack)
                if packet.packet_type() == packet_type && ack.packet_id == id =>
            {
                Some(ack.clone())
            }
            _ => None,
        };
        self.find(&expected, step).await
    }

    /// Waits for the next message and goes through the exchange of its QoS.
    ///
    /// # Errors
    ///
    /// A failure when none comes, or it is not this one.
    pub async fn receives(&mut self, topic: &str, payload: &str) -> Outcome<Publish> {
        let publish = self.holds(topic, payload).await?;
        self.acknowledge(&publish).await?;
        Ok(publish)
    }

    /// As [`Probe::receives`], for a message that a timer of the broker's brings: how often a broker
    /// looks at its timers is its own affair, so it has twice the time.
    ///
    /// # Errors
    ///
    /// As [`Probe::receives`].
    pub async fn receives_late(&mut self, topic: &str, payload: &str) -> Outcome<Publish> {
        let Some(publish) = self.message_or_silence().await? else {
            return self.receives(topic, payload).await;
        };
        let publish = self.is_this(publish, topic, payload)?;
        self.acknowledge(&publish).await?;
        Ok(publish)
    }

    /// Waits for a message on this topic, whatever comes on others before it, and goes through the
    /// exchange of its QoS.
    ///
    /// # Errors
    ///
    /// A failure when none comes.
    pub async fn receives_on(&mut self, topic: &str) -> Outcome<Publish> {
        let on_topic = |packet: &Packet| match packet {
            Packet::Publish(publish) if *publish.topic == *topic => Some(publish.clone()),
            _ => None,
        };
        let publish = self.find(&format!("PUBLISH \"{topic}\""), on_topic).await?;
        self.acknowledge(&publish).await?;
        Ok(publish)
    }

    /// Goes through the exchanges of all messages up to this one, and gives those before it.
    ///
    /// # Errors
    ///
    /// A failure when this one does not come.
    pub async fn receives_until(&mut self, topic: &str, payload: &str) -> Outcome<Vec<Publish>> {
        let expected = called_message(topic, payload);
        let mut before = Vec::new();
        loop {
            let publish = self.message(&expected).await?;
            self.acknowledge(&publish).await?;
            if *publish.topic == *topic && *publish.payload == *payload.as_bytes() {
                return Ok(before);
            }
            before.push(publish);
        }
    }

    /// Waits for the next message and leaves it without an acknowledgement.
    ///
    /// # Errors
    ///
    /// A failure when none comes, or it is not this one.
    pub async fn holds(&mut self, topic: &str, payload: &str) -> Outcome<Publish> {
        let publish = self.message(&called_message(topic, payload)).await?;
        self.is_this(publish, topic, payload)
    }

    fn is_this(&self, publish: Publish, topic: &str, payload: &str) -> Outcome<Publish> {
        let expected = called_message(topic, payload);
        match *publish.topic == *topic && *publish.payload == *payload.as_bytes() {
            true => Ok(publish),
            false => Err(self.context.failure_now(&expected, packet_text(&publish.into()))),
        }
    }

    /// Waits for the next message, whatever it is.
    ///
    /// # Errors
    ///
    /// A failure when none comes.
    pub async fn message(&mut self, expected: &str) -> Outcome<Publish> {
        self.find(expected, message).await
    }

    /// Waits for the next message, whatever it is: none if nothing comes in time. What waits for this
    /// may be dropped.
    ///
    /// # Errors
    ///
    /// A failure when the connection ends.
    pub async fn message_or_silence(&mut self) -> Outcome<Option<Publish>> {
        let expected = "PUBLISH";
        match self.seek(expected, message).await? {
            Ok(publish) => Ok(Some(publish)),
            Err(Seen::Silence(..)) => Ok(None),
            Err(other) => Err(self.instead(expected, other)),
        }
    }

    /// Goes by PINGREQ and PINGRESP, and takes the messages that came until then, without an
    /// acknowledgement: what the broker has on its way now, if it sends as soon as it may.
    ///
    /// # Errors
    ///
    /// A failure when the connection is not open.
    pub async fn messages_now(&mut self) -> Outcome<Vec<Publish>> {
        self.ping().await?;
        let mut messages = Vec::new();
        let take = |(index, packet)| match packet {
            Packet::Publish(publish) => {
                messages.push(publish);
                None
            }
            packet => Some((index, packet)),
        };
        self.unread = std::mem::take(&mut self.unread).into_iter().filter_map(take).collect();
        Ok(messages)
    }

    /// Goes through the exchange of a received message's QoS.
    ///
    /// # Errors
    ///
    /// A failure when PUBREL does not come.
    pub async fn acknowledge(&mut self, publish: &Publish) -> Outcome {
        let ack = PublishAck::new(publish.packet_id);
        match publish.qos {
            QoS::AtMostOnce => Ok(()),
            QoS::AtLeastOnce => self.send(Packet::PubAck(ack)).await,
            QoS::ExactlyOnce => {
                self.send(Packet::PubRec(ack.clone())).await?;
                self.pubrel(publish.packet_id).await?;
                self.send(Packet::PubComp(ack)).await
            }
        }
    }

    /// Answers a message with this code, in PUBACK or PUBREC as its QoS has it.
    ///
    /// # Errors
    ///
    /// As [`Probe::send`].
    pub async fn answer_with(&mut self, publish: &Publish, reason: ReasonCode) -> Outcome {
        let ack = PublishAck::because(publish.packet_id, reason);
        match publish.qos {
            QoS::AtMostOnce => Ok(()),
            QoS::AtLeastOnce => self.send(Packet::PubAck(ack)).await,
            QoS::ExactlyOnce => self.send(Packet::PubRec(ack)).await,
        }
    }

    /// Takes a QoS 2 message as far as PUBREL, and leaves that without an answer.
    ///
    /// # Errors
    ///
    /// A failure when PUBREL does not come.
    pub async fn takes_up_to_pubrel(&mut self, publish: &Publish) -> Outcome {
        self.answer_with(publish, ReasonCode::Success).await?;
        self.pubrel(publish.packet_id).await.map(drop)
    }

    /// Answers PUBREL.
    ///
    /// # Errors
    ///
    /// As [`Probe::send`].
    pub async fn complete(&mut self, id: u16) -> Outcome {
        self.send(Packet::PubComp(PublishAck::new(id))).await
    }

    /// Checks that the connection is open and that no message has come over it.
    ///
    /// # Errors
    ///
    /// A failure when one has.
    pub async fn has_no_message(&mut self) -> Outcome {
        self.ping().await?;
        let message = self.unread.iter().find(|(_, packet)| matches!(packet, Packet::Publish(_)));
        match message {
            None => Ok(()),
            Some((index, packet)) => {
                Err(self.context.failure("no message", packet_text(packet), *index))
            }
        }
    }

    /// Checks that the connection is open and that no packet of this type that no step has taken
    /// has come over it.
    ///
    /// # Errors
    ///
    /// A failure when one has.
    pub async fn has_no(&mut self, packet_type: PacketType) -> Outcome {
        self.ping().await?;
        match self.unread.iter().find(|(_, packet)| packet.packet_type() == packet_type) {
            None => Ok(()),
            Some((index, packet)) => {
                let expected = format!("no {packet_type}");
                Err(self.context.failure(&expected, packet_text(packet), *index))
            }
        }
    }

    fn succeeded(&self, packet: Packet, reason: ReasonCode) -> Outcome {
        let observed = packet_text(&packet);
        match policy_of(&packet) {
            _ if !reason.is_error() => Ok(()),
            Some(policy) => Err(self.context.trouble("a success", format!("{observed}: {policy}"))),
            None => {
                let expected = format!("a {} that says success", packet.packet_type());
                Err(self.context.failure_now(&expected, observed))
            }
        }
    }
}

fn called_message(topic: &str, payload: &str) -> String {
    format!("PUBLISH \"{topic}\" payload=\"{payload}\"")
}

fn message(packet: &Packet) -> Option<Publish> {
    match packet {
        Packet::Publish(publish) => Some(publish.clone()),
        _ => None,
    }
}
