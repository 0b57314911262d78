//! Messages from the broker, and the exchanges of their QoS.

use reference_broker::codec::{Packet, PacketType, Publish, PublishAck, QoS, ReasonCode};

use crate::trace::packet_text;
use crate::verdict::Outcome;

use super::instead::as_observed;
use super::{Observed, Probe, Seen, step};

/// What a marker is called: it shows by its place that nothing came before it.
const MARKER: &str = "the message sent right behind";

impl Probe {
    /// Waits for PUBREL, whatever it says.
    ///
    /// # Errors
    ///
    /// A failure when it does not come.
    pub async fn pubrel(&mut self, id: u16) -> Outcome<PublishAck> {
        self.step(PacketType::PubRel, id).await
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

    /// As [`Probe::receives`], for a Will. It comes when the broker notices that a connection is gone, or
    /// that a time has passed, and it only SHOULD be prompt (section 3.1.2.5): so it has twice the time.
    ///
    /// # Errors
    ///
    /// As [`Probe::receives`].
    pub async fn receives_will(&mut self, topic: &str, payload: &str) -> Outcome<Publish> {
        let publish = self.will(&called_message(topic, payload)).await?;
        let publish = self.is_this(publish, topic, payload)?;
        self.acknowledge(&publish).await?;
        Ok(publish)
    }

    /// As [`Probe::message`], for a Will.
    ///
    /// # Errors
    ///
    /// As [`Probe::message`].
    pub async fn will(&mut self, expected: &str) -> Outcome<Publish> {
        match self.message_or_silence().await? {
            Some(publish) => Ok(publish),
            None => self.find_for(step::WILL, expected, message).await,
        }
    }

    /// Waits for each of these messages, topic and payload, and goes through their exchanges: on
    /// different topics they come in any order.
    ///
    /// # Errors
    ///
    /// A failure when one does not come, or another does.
    pub async fn receives_each(&mut self, expected: &[(String, String)]) -> Outcome {
        let mut left = expected.to_vec();
        while let Some((topic, payload)) = left.first() {
            let expected = called_message(topic, payload);
            let publish = self.message(&expected).await?;
            self.acknowledge(&publish).await?;
            // On one topic they keep their order (section 4.6).
            match left.iter().position(|(topic, _)| *publish.topic == **topic) {
                Some(at) if *publish.payload == *left[at].1.as_bytes() => drop(left.remove(at)),
                Some(at) => {
                    let (topic, payload) = left.remove(at);
                    self.is_this(publish, &topic, &payload).map(drop)?;
                }
                None => return self.is_this(publish, topic, payload).map(drop),
            }
        }
        Ok(())
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
        let step = self.delivery(topic, None);
        let publish = self.find_for(step, &format!("PUBLISH \"{topic}\""), on_topic).await?;
        self.acknowledge(&publish).await?;
        Ok(publish)
    }

    /// Goes through the exchanges of all messages up to this one, and gives those before it.
    ///
    /// # Errors
    ///
    /// A failure when this one does not come.
    pub async fn receives_until(&mut self, topic: &str, payload: &str) -> Outcome<Vec<Publish>> {
        let (before, _) = self.up_to(topic, payload).await?;
        Ok(before)
    }

    /// As [`Probe::receives`], whatever other messages come before it.
    ///
    /// # Errors
    ///
    /// A failure when it does not come.
    pub async fn receives_sometime(&mut self, topic: &str, payload: &str) -> Outcome<Publish> {
        let (_, publish) = self.up_to(topic, payload).await?;
        Ok(publish)
    }

    /// The messages before this one, and this one; all of them acknowledged.
    async fn up_to(&mut self, topic: &str, payload: &str) -> Outcome<(Vec<Publish>, Publish)> {
        let expected = called_message(topic, payload);
        let mut before = Vec::new();
        loop {
            let publish = self.message(&expected).await?;
            self.acknowledge(&publish).await?;
            if *publish.topic == *topic && *publish.payload == *payload.as_bytes() {
                return Ok((before, publish));
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
        let step = self.delivery(topic, Some(payload));
        let publish = self.find_for(step, &called_message(topic, payload), message).await?;
        self.is_this(publish, topic, payload)
    }

    /// Waits for a message that shows by its place that nothing came before it: that it comes is what
    /// a scenario stands on, that another comes is the scenario's failure.
    ///
    /// # Errors
    ///
    /// A failure when another message comes.
    pub(crate) async fn receives_marker(&mut self, topic: &str, payload: &str) -> Outcome {
        let context = self.context.clone();
        let step = match self.delivery(topic, Some(payload)) {
            step::DELIVER if self.is_published_since_resume(topic, payload) => {
                step::DELIVER_RESUMED
            }
            step => step,
        };
        let publish = context.as_means(self.find_for(step, MARKER, message)).await?;
        self.is_marker(publish, topic, payload).await
    }

    /// As [`Probe::receives_marker`], for a marker that is a Will.
    ///
    /// # Errors
    ///
    /// As [`Probe::receives_marker`].
    pub(crate) async fn receives_will_marker(&mut self, topic: &str, payload: &str) -> Outcome {
        let context = self.context.clone();
        let publish = context.as_means(self.will("the Will sent right behind")).await?;
        self.is_marker(publish, topic, payload).await
    }

    async fn is_marker(&mut self, publish: Publish, topic: &str, payload: &str) -> Outcome {
        if *publish.topic != *topic || *publish.payload != *payload.as_bytes() {
            let other = self.context.observed(packet_text(&publish.into()));
            let observed = Observed { seen: "another PUBLISH".to_owned(), ..other };
            return Err(
                self.not_silent("no other message before the one sent right behind", observed)
            );
        }
        self.acknowledge(&publish).await
    }

    fn is_this(&self, publish: Publish, topic: &str, payload: &str) -> Outcome<Publish> {
        let expected = called_message(topic, payload);
        match *publish.topic == *topic && *publish.payload == *payload.as_bytes() {
            true => Ok(publish),
            false => {
                let other = self.context.observed(packet_text(&publish.into()));
                let observed = Observed { seen: "another PUBLISH".to_owned(), ..other };
                Err(self.stop(step::DELIVER, &expected, observed))
            }
        }
    }

    /// Waits for the next message, whatever it is.
    ///
    /// # Errors
    ///
    /// A failure when none comes.
    pub async fn message(&mut self, expected: &str) -> Outcome<Publish> {
        let step = match self.granted_at_most {
            Some(QoS::AtMostOnce) => step::DELIVER_ONCE,
            _ => step::DELIVER,
        };
        self.find_for(step, expected, message).await
    }

    /// Waits for the next message, whatever it is: none if nothing comes in time. What waits for this
    /// may be dropped.
    ///
    /// # Errors
    ///
    /// A failure when the connection ends.
    pub async fn message_or_silence(&mut self) -> Outcome<Option<Publish>> {
        let expected = "PUBLISH";
        match self.seek(step::DELIVER, expected, message).await? {
            Ok(publish) => Ok(Some(publish)),
            Err(Seen::Silence(..)) => Ok(None),
            Err(other) => Err(self.instead(step::DELIVER, expected, other)),
        }
    }

    /// Goes by PINGREQ and PINGRESP, and takes the messages that came until then, without an
    /// acknowledgement: what the broker has on its way now, if it sends as soon as it may.
    ///
    /// # Errors
    ///
    /// A failure when the connection is not open.
    pub async fn messages_now(&mut self) -> Outcome<Vec<Publish>> {
        let context = self.context.clone();
        context.as_means(self.ping()).await?;
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
                let context = self.context.clone();
                context.as_means(self.pubrel(publish.packet_id)).await?;
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
        match self.message_by_now().await? {
            None => Ok(()),
            Some(observed) => Err(self.not_silent("no message", observed)),
        }
    }

    /// As [`Probe::has_no_message`], where the client has as many messages to acknowledge as it takes at
    /// once: that none comes then is what a scenario stands on.
    ///
    /// # Errors
    ///
    /// When one has come.
    pub async fn has_full_window(&mut self) -> Outcome {
        let expected = "no message beyond the Receive Maximum";
        match self.message_by_now().await? {
            None => Ok(()),
            Some(observed) => {
                Err(self.context.stop_of("MQTT-3.3.4-9", step::CHECK, expected, observed))
            }
        }
    }

    /// The first message that no step has taken and that came before an answer to PINGREQ.
    async fn message_by_now(&mut self) -> Outcome<Option<Observed>> {
        let context = self.context.clone();
        context.as_means(self.ping()).await?;
        let message = self.unread.iter().find(|(_, packet)| matches!(packet, Packet::Publish(_)));
        Ok(message.map(|(index, packet)| as_observed(*index, packet)))
    }

    /// Checks that the connection is open and that no packet of this type that no step has taken
    /// has come over it.
    ///
    /// # Errors
    ///
    /// A failure when one has.
    pub async fn has_no(&mut self, packet_type: PacketType) -> Outcome {
        let context = self.context.clone();
        context.as_means(self.ping()).await?;
        match self.unread.iter().find(|(_, packet)| packet.packet_type() == packet_type) {
            None => Ok(()),
            Some((index, packet)) => {
                let expected = format!("no {packet_type}");
                Err(self.context.failure(&expected, as_observed(*index, packet)))
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
