//! Requests and their answers: CONNECT, SUBSCRIBE, UNSUBSCRIBE, PINGREQ.

use reference_broker::codec::{
    ConnAck, Connect, Packet, PacketType, PropertyId, QoS, ReasonCode, Subscribe, SubscribeAck,
    SubscriptionOptions, Unsubscribe,
};

use crate::trace::packet_text;
use crate::verdict::{Outcome, Stop};

use super::instead::{as_observed, kind_of};
use super::policy::policy_of;
use super::{Observed, Phase, Probe, Seen, called, step};

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

    /// As [`Probe::connect`], for a session that is to outlive its connection if CONNECT asks for
    /// that; for how long, [`Probe::session_expiry`] says.
    ///
    /// # Errors
    ///
    /// As [`Probe::connect`], and not applicable when the broker does not keep it.
    pub async fn connect_for_session(&mut self, connect: Connect) -> Outcome<ConnAck> {
        let asked = connect.properties.number(PropertyId::SessionExpiryInterval).unwrap_or(0);
        self.send(connect).await?;
        self.connack_for_session(asked).await
    }

    /// Expects a CONNACK 0x00 that keeps the session for so many seconds.
    ///
    /// # Errors
    ///
    /// As [`Probe::connect_for_session`].
    pub(crate) async fn connack_for_session(&mut self, asked: u32) -> Outcome<ConnAck> {
        let connack = self.connack().await?;
        match self.session_expiry {
            // Section 3.2.2.3.2 lets a server cut it.
            0 if asked > 0 => {
                Err(Stop::NotApplicable("the target keeps no session for this client".to_owned()))
            }
            _ => Ok(connack),
        }
    }

    /// Its session should have been there: a failure where that is what the scenario is about; else
    /// remembered, for when a step that stands on the session fails.
    ///
    /// # Errors
    ///
    /// A failure where it is the claim, or is cited.
    pub(crate) fn lacks_its_session(&mut self) -> Outcome {
        let lack = self.context.observed("session_present 0");
        match self.context.stop(step::RESUME, "session_present 1", lack.clone()) {
            failure @ Stop::Fail(_) => Err(failure),
            _ => {
                self.lacks_session = Some(lack);
                Ok(())
            }
        }
    }

    /// As [`Probe::connect`], for a CONNECT that asks for nothing but what every broker must accept: that
    /// it does not want to is no reason then.
    ///
    /// # Errors
    ///
    /// As [`Probe::connect`], and a failure for 0x80 and 0x83.
    pub async fn connect_as_anybody(&mut self, connect: Connect) -> Outcome<ConnAck> {
        use ReasonCode::{ImplementationSpecificError, UnspecifiedError};
        let expected = "CONNACK 0x00 (success)";
        self.send(connect).await?;
        match self.look(self.context.patience().reply).await {
            Seen::Packet(_, Packet::ConnAck(connack)) if !connack.reason.is_error() => Ok(connack),
            Seen::Packet(index, Packet::ConnAck(connack))
                if matches!(connack.reason, UnspecifiedError | ImplementationSpecificError) =>
            {
                Err(self.context.failure(expected, as_observed(index, &connack.into())))
            }
            other => Err(self.instead(step::CONNECT, expected, other)),
        }
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
        self.next_for(step::CONNECT, "CONNACK 0x00 (success)", accepted).await
    }

    /// Waits for the answer to a CONNECT that may be refused: a CONNACK, whatever it says, or none
    /// when the broker closes instead. What closes for a refusal is left for [`Probe::refused`].
    ///
    /// # Errors
    ///
    /// A failure when neither comes, or another packet.
    pub async fn answer(&mut self) -> Outcome<Option<ConnAck>> {
        let seen = self.look(self.context.patience().reply).await;
        self.as_answer(seen)
    }

    /// As [`Probe::answer`], where the answer may be too large for this client: none on silence.
    ///
    /// # Errors
    ///
    /// A failure when another packet comes.
    pub async fn answer_or_silence(&mut self) -> Outcome<Option<Option<ConnAck>>> {
        match self.look(self.context.patience().reply).await {
            Seen::Silence(..) => Ok(None),
            seen => self.as_answer(seen).map(Some),
        }
    }

    fn as_answer(&self, seen: Seen) -> Outcome<Option<ConnAck>> {
        match seen {
            Seen::Packet(_, Packet::ConnAck(connack)) => Ok(Some(connack)),
            Seen::Closed(..) => Ok(None),
            other => Err(self.instead(step::CONNECT, "CONNACK, or the connection closed", other)),
        }
    }

    /// Sends PINGREQ and waits for its answer: the connection is open, and all before is read.
    ///
    /// # Errors
    ///
    /// A failure when no PINGRESP comes.
    pub async fn ping(&mut self) -> Outcome {
        self.send(Packet::PingReq).await?;
        self.pingresp().await
    }

    /// Waits for the answer to a PINGREQ that was sent.
    ///
    /// # Errors
    ///
    /// A failure when no PINGRESP comes.
    pub async fn pingresp(&mut self) -> Outcome {
        let pingresp = |packet: &Packet| (*packet == Packet::PingResp).then_some(());
        self.find_for(step::PING, "PINGRESP", pingresp).await
    }

    /// Subscribes with default options and expects just this QoS to be granted.
    ///
    /// # Errors
    ///
    /// Not applicable when less is granted, a failure when the subscription is refused.
    pub async fn subscribe(&mut self, filter: &str, qos: QoS) -> Outcome {
        self.subscribe_with(filter, SubscriptionOptions::at(qos)).await
    }

    /// Subscribes with default options, and gives the QoS granted, which may be less than asked for
    /// (section 3.8.4).
    ///
    /// # Errors
    ///
    /// A failure when the subscription is refused, or more is granted.
    pub async fn subscribe_up_to(&mut self, filter: &str, qos: QoS) -> Outcome<QoS> {
        let id = self.packet_id();
        let suback = self.request(Subscribe::new(id, filter, qos)).await?;
        match self.granted(&suback, &[qos]) {
            Err(Stop::NotApplicable(_)) => {
                let granted = suback.reasons.first().map(|code| code.value());
                Ok(granted.and_then(QoS::from_value).unwrap_or(QoS::AtMostOnce))
            }
            granted => granted.map(|()| qos),
        }
    }

    /// As [`Probe::subscribe`], for a filter that a broker may refuse by a close (section 3.14.2.1):
    /// false if it does.
    ///
    /// # Errors
    ///
    /// As [`Probe::subscribe`].
    pub async fn subscribe_or_close(&mut self, filter: &str, qos: QoS) -> Outcome<bool> {
        let request = Subscribe::new(self.packet_id(), filter, qos);
        let id = request.packet_id;
        self.send(request).await?;
        match self.ack_or_close(id).await? {
            Some(suback) => self.granted(&suback, &[qos]).map(|()| true),
            None => Ok(false),
        }
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
            return Err(self.context.refused(&expected, format!("{observed}: {policy}")));
        }
        let is_means = self.context.phase() == Phase::Means;
        let codes: Vec<_> = suback.reasons.iter().map(|code| code.value()).collect();
        // What stands on a subscription needs no more than that there is one.
        let most = |asked: &QoS| if is_means { QoS::ExactlyOnce.value() } else { asked.value() };
        let fits = codes.iter().zip(asked).all(|(granted, asked)| *granted <= most(asked));
        let count = codes.len() == asked.len() || (is_means && codes.len() > asked.len());
        let observed = Observed { seen: kind_of(&packet), ..self.context.observed(observed) };
        match (fits, count) {
            (false, _) => Err(self.stop(step::SUBSCRIBE, &expected, observed)),
            (true, false) => {
                let seen = "another number of Reason Codes".to_owned();
                let observed = Observed { seen, ..observed };
                Err(self.context.stop_of("MQTT-3.8.4-6", "subscribe", &expected, observed))
            }
            (true, true) if codes.iter().zip(asked).any(|(code, asked)| *code < asked.value()) => {
                let observed = observed.text;
                Err(Stop::NotApplicable(format!("the target grants less than asked: {observed}")))
            }
            (true, true) => Ok(()),
        }
    }

    /// Checks that an answer does not refuse for want of rights, or for a limit that it can have at any
    /// time (sections 3.9.3 and 3.11.3).
    ///
    /// # Errors
    ///
    /// Inconclusive when it does.
    pub fn unlimited(&self, answer: impl Into<Packet>) -> Outcome {
        let answer = answer.into();
        match policy_of(&answer) {
            None => Ok(()),
            Some(policy) => {
                let observed = format!("{}: {policy}", packet_text(&answer));
                Err(self.context.refused("an answer without a limit", observed))
            }
        }
    }

    /// Unsubscribes from one filter; gives the code of the UNSUBACK.
    ///
    /// # Errors
    ///
    /// A failure when no UNSUBACK with one code comes, inconclusive when it refuses.
    pub async fn unsubscribe(&mut self, filter: &str) -> Outcome<ReasonCode> {
        let id = self.packet_id();
        self.send(Unsubscribe::new(id, filter)).await?;
        let unsuback = self.unsuback(id).await?;
        self.unlimited(Packet::UnsubAck(unsuback.clone()))?;
        match unsuback.reasons[..] {
            [reason] => Ok(reason),
            _ => {
                let seen = "another number of Reason Codes".to_owned();
                let observed = self.context.observed(packet_text(&Packet::UnsubAck(unsuback)));
                let observed = Observed { seen, ..observed };
                let expected = "an UNSUBACK with one code";
                Err(self.context.stop_of("MQTT-3.11.3-1", "unsubscribe", expected, observed))
            }
        }
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
        self.find_for(step::SUBSCRIBE, &expected, suback).await
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
        self.find_for(step::UNSUBSCRIBE, &expected, unsuback).await
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
                other => return Err(self.instead(step::SUBSCRIBE, &expected, other)),
            }
        }
    }
}
