//! Whole exchanges: a request and its answer, a message and its acknowledgements.

use bytes::Bytes;
use reference_broker::codec::{
    ConnAck, Connect, Packet, PacketType, PropertyId, Publish, PublishAck, QoS, ReasonCode,
    Subscribe, SubscribeAck, SubscriptionOptions, Unsubscribe,
};

use crate::trace::packet_text;
use crate::verdict::{Outcome, Stop};

use super::{Probe, Seen, called, policy_of};

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
    /// Sends a CONNECT and expects it to be accepted.
    ///
    /// # Errors
    ///
    /// A failure when anything but CONNACK 0x00 comes.
    pub async fn connect(&mut self, connect: Connect) -> Outcome<ConnAck> {
        self.send(connect).await?;
        self.connack().await
    }

    /// Expects CONNACK 0x00 as the next packet.
    ///
    /// # Errors
    ///
    /// A failure when anything else comes.
    pub async fn connack(&mut self) -> Outcome<ConnAck> {
        let accepted = |packet: &Packet| match packet {
            Packet::ConnAck(connack) if !connack.reason.is_error() => Some(connack.clone()),
            _ => None,
        };
        self.next("CONNACK 0x00 (success)", accepted).await
    }

    /// Sends PINGREQ and waits for its answer: the connection is open, and all before is read.
    ///
    /// # Errors
    ///
    /// A failure when no PINGRESP comes.
    pub async fn ping(&mut self) -> Outcome {
        self.send(Packet::PingReq).await?;
        self.find("PINGRESP", |packet| (*packet == Packet::PingResp).then_some(())).await
    }

    /// Subscribes with default options and expects just this QoS to be granted.
    ///
    /// # Errors
    ///
    /// Not applicable when less is granted, a failure when the subscription is refused.
    pub async fn subscribe(&mut self, filter: &str, qos: QoS) -> Outcome {
        self.subscribe_with(filter, SubscriptionOptions::at(qos)).await
    }

    /// As [`Probe::subscribe`], with options of one's own.
    ///
    /// # Errors
    ///
    /// As [`Probe::subscribe`].
    pub async fn subscribe_with(&mut self, filter: &str, options: SubscriptionOptions) -> Outcome {
        let qos = options.maximum_qos;
        let mut request = Subscribe::new(self.packet_id(), filter, qos);
        request.subscriptions.clear();
        let suback = self.request(request.and(filter, options)).await?;
        self.granted(&suback, &[qos])
    }

    /// Sends a SUBSCRIBE and waits for its SUBACK, whatever that says.
    ///
    /// # Errors
    ///
    /// A failure when none comes.
    pub async fn request(&mut self, subscribe: Subscribe) -> Outcome<SubscribeAck> {
        let id = subscribe.packet_id;
        self.send(subscribe).await?;
        self.suback(id).await
    }

    /// Checks that a SUBACK grants these levels, filter by filter.
    ///
    /// # Errors
    ///
    /// Not applicable when less is granted, a failure when a filter is refused or more is granted.
    pub fn granted(&self, suback: &SubscribeAck, asked: &[QoS]) -> Outcome {
        let packet = Packet::SubAck(suback.clone());
        let observed = packet_text(&packet);
        let expected = asked.iter().map(|qos| format!("QoS {}", qos.value())).collect::<Vec<_>>();
        let expected = format!("SUBACK that grants {}", expected.join(", "));
        if let Some(policy) = policy_of(&packet) {
            return Err(self.context.trouble(&expected, format!("{observed}: {policy}")));
        }
        let granted: Vec<_> = suback.reasons.iter().map(|code| code.value()).collect();
        let fits = granted.len() == asked.len()
            && granted.iter().zip(asked).all(|(granted, asked)| *granted <= asked.value());
        match fits {
            false => Err(self.context.failure_now(&expected, observed)),
            true if granted.iter().zip(asked).any(|(granted, asked)| *granted < asked.value()) => {
                Err(Stop::NotApplicable(format!("the target grants less than asked: {observed}")))
            }
            true => Ok(()),
        }
    }

    /// Unsubscribes from one filter; gives the code of the UNSUBACK.
    ///
    /// # Errors
    ///
    /// A failure when no UNSUBACK with one code comes.
    pub async fn unsubscribe(&mut self, filter: &str) -> Outcome<ReasonCode> {
        let id = self.packet_id();
        self.send(Unsubscribe::new(id, filter)).await?;
        let unsuback = self.unsuback(id).await?;
        match unsuback.reasons[..] {
            [reason] => Ok(reason),
            _ => {
                let observed = packet_text(&Packet::UnsubAck(unsuback));
                Err(self.context.failure_now("an UNSUBACK with one code", observed))
            }
        }
    }

    /// Publishes a message and goes through the exchange of its QoS.
    ///
    /// # Errors
    ///
    /// A failure when the exchange is not completed, or the message is refused.
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

    /// Waits for the next message and leaves it without an acknowledgement.
    ///
    /// # Errors
    ///
    /// A failure when none comes, or it is not this one.
    pub async fn holds(&mut self, topic: &str, payload: &str) -> Outcome<Publish> {
        let expected = format!("PUBLISH \"{topic}\" payload=\"{payload}\"");
        let publish = self.message(&expected).await?;
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
        let message = |packet: &Packet| match packet {
            Packet::Publish(publish) => Some(publish.clone()),
            _ => None,
        };
        self.find(expected, message).await
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

    /// Waits for SUBACK, whatever it says.
    ///
    /// # Errors
    ///
    /// A failure when it does not come.
    pub async fn suback(&mut self, id: u16) -> Outcome<SubscribeAck> {
        let expected = called(PacketType::SubAck, id);
        let suback = |packet: &Packet| match packet {
            Packet::SubAck(ack) if ack.packet_id == id => Some(ack.clone()),
            _ => None,
        };
        self.find(&expected, suback).await
    }

    /// Waits for UNSUBACK, whatever it says.
    ///
    /// # Errors
    ///
    /// A failure when it does not come.
    pub async fn unsuback(&mut self, id: u16) -> Outcome<SubscribeAck> {
        let expected = called(PacketType::UnsubAck, id);
        let unsuback = |packet: &Packet| match packet {
            Packet::UnsubAck(ack) if ack.packet_id == id => Some(ack.clone()),
            _ => None,
        };
        self.find(&expected, unsuback).await
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

    /// Waits for SUBACK or UNSUBACK, whatever it says, where the broker may as well close: none if
    /// it does.
    ///
    /// # Errors
    ///
    /// A failure when neither comes.
    pub async fn ack_or_close(&mut self, id: u16) -> Outcome<Option<SubscribeAck>> {
        let expected = format!("SUBACK or UNSUBACK id={id}, or the connection closed");
        loop {
            match self.look(self.context.patience().reply).await {
                Seen::Packet(_, Packet::SubAck(ack) | Packet::UnsubAck(ack))
                    if ack.packet_id == id =>
                {
                    return Ok(Some(ack));
                }
                Seen::Packet(index, packet @ Packet::Disconnect(_)) => {
                    self.unread.push_back((index, packet));
                    return self.closes().await.map(|()| None);
                }
                Seen::Packet(index, packet) => self.unread.push_back((index, packet)),
                Seen::Closed(..) => return Ok(None),
                other => return Err(self.instead(&expected, other)),
            }
        }
    }

    /// Waits for the answer to a CONNECT that may be refused: a CONNACK, whatever it says, or none
    /// when the broker closes instead. What closes for a refusal is left for [`Probe::refused`].
    ///
    /// # Errors
    ///
    /// A failure when neither comes, or another packet.
    pub async fn answer(&mut self) -> Outcome<Option<ConnAck>> {
        let expected = "CONNACK, or the connection closed";
        match self.look(self.context.patience().reply).await {
            Seen::Packet(_, Packet::ConnAck(connack)) => Ok(Some(connack)),
            Seen::Closed(..) => Ok(None),
            other => Err(self.instead(expected, other)),
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

    /// Goes through the exchanges of all messages up to this one, and gives those before it.
    ///
    /// # Errors
    ///
    /// A failure when this one does not come.
    pub async fn receives_until(&mut self, topic: &str, payload: &str) -> Outcome<Vec<Publish>> {
        let expected = format!("PUBLISH \"{topic}\" payload=\"{payload}\"");
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

    /// Publishes a message that the standard lets a broker take, refuse or close for.
    ///
    /// # Errors
    ///
    /// A failure when none of these happens.
    pub async fn offer(&mut self, publish: Publish) -> Outcome<Answer> {
        let (qos, id) = (publish.qos, publish.packet_id);
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

    /// Subscribes under a Subscription Identifier and expects just this QoS to be granted.
    ///
    /// # Errors
    ///
    /// As [`Probe::subscribe`].
    pub async fn subscribe_identified(
        &mut self,
        filter: &str,
        options: SubscriptionOptions,
        identifier: u32,
    ) -> Outcome {
        let mut request = Subscribe::new(self.packet_id(), filter, options.maximum_qos);
        request.subscriptions.clear();
        request.properties.push(PropertyId::SubscriptionIdentifier, identifier);
        let suback = self.request(request.and(filter, options)).await?;
        self.granted(&suback, &[options.maximum_qos])
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

    /// Publishes messages of one QoS in one write, then goes through their exchanges.
    ///
    /// # Errors
    ///
    /// A failure when an exchange is not completed, or a message is refused.
    pub async fn publish_together(
        &mut self,
        topic: &str,
        payloads: &[String],
        qos: QoS,
    ) -> Outcome {
        let ids: Vec<u16> = payloads.iter().map(|_| self.packet_id()).collect();
        let publish = |(payload, id): (&String, &u16)| {
            let payload = Bytes::copy_from_slice(payload.as_bytes());
            Packet::from(Publish::new(topic, payload).qos(qos, *id))
        };
        let packets: Vec<Packet> = payloads.iter().zip(&ids).map(publish).collect();
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
}
