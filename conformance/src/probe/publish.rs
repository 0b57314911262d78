//! Messages to the broker, and the exchanges of their QoS.

use bytes::Bytes;
use reference_broker::codec::{Packet, PacketType, Publish, PublishAck, QoS, ReasonCode};

use crate::trace::packet_text;
use crate::verdict::Outcome;

use super::instead::kind_of;
use super::policy::policy_of;
use super::{Observed, Probe, Seen, Step, called, step};

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

impl Answer {
    /// What becomes of the message, in a word.
    pub fn name(self) -> &'static str {
        match self {
            Answer::Taken => "taken",
            Answer::Refused => "refused",
            Answer::Closed => "answered by a close",
        }
    }
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
                    let expected = "PUBREC for each message";
                    let ack = self.find_for(step::PUBREC, expected, next).await?;
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

    /// Publishes a message that the standard lets a broker take, refuse or close for. One at QoS 0 that
    /// seems to be taken may be closed for later: nothing tells when a broker has looked at it.
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
                other => return Err(self.instead(step::PUBREC, &expected, other)),
            }
        }
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
        self.find_for(step_of(packet_type), &expected, step).await
    }

    fn succeeded(&self, packet: Packet, reason: ReasonCode) -> Outcome {
        let text = packet_text(&packet);
        match policy_of(&packet) {
            _ if !reason.is_error() => Ok(()),
            Some(policy) => Err(self.context.refused("a success", format!("{text}: {policy}"))),
            None => {
                let expected = format!("a {} that says success", packet.packet_type());
                let observed = Observed { seen: kind_of(&packet), ..self.context.observed(text) };
                Err(self.stop(step_of(packet.packet_type()), &expected, observed))
            }
        }
    }
}

/// The kind of step that waits for a packet of this type.
fn step_of(packet_type: PacketType) -> Step {
    match packet_type {
        PacketType::PubAck => step::PUBACK,
        PacketType::PubRec => step::PUBREC,
        PacketType::PubRel => step::PUBREL,
        PacketType::PubComp => step::PUBCOMP,
        _ => step::OTHER,
    }
}
