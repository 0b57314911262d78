//! One connection of rumqttc, its events waited on with a deadline.

use std::collections::VecDeque;
use std::time::Duration;

use rumqttc::Transport;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    ConnectProperties, Filter, LastWill, LastWillProperties, Packet, PubAckReason, PubCompReason,
    Publish, PublishProperties, SubscribeProperties, SubscribeReasonCode, UnsubAckReason,
};
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};
use tokio::time::{Instant, timeout_at};

/// How long an event is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// The shortest Keep Alive that rumqttc takes: it panics below.
pub(crate) const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// What a check comes to: what was expected and what was seen, if they differ.
pub(crate) type Outcome = Result<(), String>;

/// Fails unless both are equal.
pub(crate) fn expect<T: PartialEq + std::fmt::Debug>(what: &str, wanted: T, seen: T) -> Outcome {
    if wanted == seen {
        return Ok(());
    }
    let brief = |value: &T| format!("{value:?}").chars().take(200).collect::<String>();
    Err(format!("{what}: expected {}, saw {}", brief(&wanted), brief(&seen)))
}

pub(crate) fn qos(value: u8) -> QoS {
    match value {
        0 => QoS::AtMostOnce,
        1 => QoS::AtLeastOnce,
        _ => QoS::ExactlyOnce,
    }
}

/// A broker and how to reach it.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) url: String,
    pub(crate) authority: Vec<u8>,
}

impl Place {
    /// Host and port, with the path where rumqttc wants a whole URL, and the transport.
    pub(crate) fn reach(&self) -> (String, u16, Transport) {
        let (scheme, rest) = self.url.split_once("://").expect("a URL has a scheme");
        let (host, port) =
            rest.split('/').next().and_then(|at| at.rsplit_once(':')).expect("a port");
        let (host, port) = (host.to_owned(), port.parse().expect("a port is a number"));
        let authority = self.authority.clone();
        match scheme {
            "mqtt" => (host, port, Transport::tcp()),
            "mqtts" => (host, port, Transport::tls(authority, None, None)),
            "ws" => (self.url.clone(), port, Transport::ws()),
            _ => (self.url.clone(), port, Transport::wss(authority, None, None)),
        }
    }

    pub(crate) fn options(&self, id: &str) -> MqttOptions {
        let (host, port, transport) = self.reach();
        let mut options = MqttOptions::new(id, host, port);
        let mut properties = ConnectProperties::new();
        // Without it rumqttc gives up at 10 KiB.
        properties.max_packet_size = Some(1 << 20);
        options.set_transport(transport).set_connect_properties(properties);
        options
    }

    pub(crate) async fn connect(&self, id: &str) -> Result<Client, String> {
        Client::new(self.options(id)).await
    }

    pub(crate) async fn connect_with_will(
        &self,
        id: &str,
        topic: &str,
        delay: u32,
    ) -> Result<Client, String> {
        let mut options = self.options(id);
        let properties = LastWillProperties {
            delay_interval: Some(delay),
            payload_format_indicator: None,
            message_expiry_interval: None,
            content_type: None,
            response_topic: None,
            correlation_data: None,
            user_properties: Vec::new(),
        };
        options.set_last_will(LastWill::new(topic, "will", qos(1), false, Some(properties)));
        options.set_session_expiry_interval(Some(300));
        Client::new(options).await
    }
}

/// A connected client. Dropping it ends the connection without a DISCONNECT.
pub(crate) struct Client {
    client: AsyncClient,
    events: EventLoop,
    messages: VecDeque<Publish>,
    pub(crate) session_present: bool,
}

impl Client {
    pub(crate) async fn new(options: MqttOptions) -> Result<Client, String> {
        let (client, events) = AsyncClient::new(options, 1000);
        let messages = VecDeque::new();
        let mut client = Client { client, events, messages, session_present: false };
        client.session_present = client
            .until("CONNACK", |event| match event {
                Event::Incoming(Packet::ConnAck(connack)) => Some(connack.session_present),
                _ => None,
            })
            .await?;
        Ok(client)
    }

    /// Handles events until one of them is what was wanted. Messages are kept.
    async fn until<T>(
        &mut self,
        what: &str,
        mut wanted: impl FnMut(&Event) -> Option<T>,
    ) -> Result<T, String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let event = timeout_at(deadline, self.events.poll())
                .await
                .map_err(|_| format!("expected {what} within {PATIENCE:?}, saw nothing"))?
                .map_err(|error| format!("expected {what}, saw {error}"))?;
            if let Event::Incoming(Packet::Publish(message)) = &event {
                self.messages.push_back(message.clone());
            }
            if let Some(found) = wanted(&event) {
                return Ok(found);
            }
        }
    }

    pub(crate) async fn subscribe(
        mut self,
        filters: &[&str],
        at: u8,
        identifier: Option<usize>,
    ) -> Result<Client, String> {
        let asked: Vec<Filter> = filters.iter().map(|name| Filter::new(*name, qos(at))).collect();
        let properties = SubscribeProperties { id: identifier, user_properties: Vec::new() };
        let sent = self.client.subscribe_many_with_properties(asked, properties).await;
        sent.map_err(|error| error.to_string())?;
        let granted = self
            .until("SUBACK", |event| match event {
                Event::Incoming(Packet::SubAck(suback)) => Some(suback.return_codes.clone()),
                _ => None,
            })
            .await?;
        let wanted = vec![SubscribeReasonCode::Success(qos(at)); filters.len()];
        expect("reasons of SUBACK", wanted, granted)?;
        Ok(self)
    }

    pub(crate) async fn unsubscribe(&mut self, filter: &str) -> Outcome {
        self.client.unsubscribe(filter).await.map_err(|error| error.to_string())?;
        let reasons = self
            .until("UNSUBACK", |event| match event {
                Event::Incoming(Packet::UnsubAck(unsuback)) => Some(unsuback.reasons.clone()),
                _ => None,
            })
            .await?;
        expect("reasons of UNSUBACK", vec![UnsubAckReason::Success], reasons)
    }

    /// Gives messages to the client, and waits until each is sent and acknowledged.
    pub(crate) async fn publish_all(
        &mut self,
        at: u8,
        messages: Vec<(String, Vec<u8>, bool, PublishProperties)>,
    ) -> Outcome {
        let mut left = messages.len();
        for (topic, payload, retain, properties) in messages {
            let sent = self
                .client
                .publish_with_properties(topic, qos(at), retain, payload, properties)
                .await;
            sent.map_err(|error| error.to_string())?;
        }
        while left > 0 {
            self.until("the end of a publish", |event| match event {
                Event::Outgoing(rumqttc::Outgoing::Publish(_)) if at == 0 => Some(Ok(())),
                Event::Incoming(Packet::PubAck(ack)) => match ack.reason {
                    PubAckReason::Success | PubAckReason::NoMatchingSubscribers => Some(Ok(())),
                    other => Some(Err(format!("expected PUBACK to accept, saw {other:?}"))),
                },
                Event::Incoming(Packet::PubComp(ack)) => {
                    Some(expect("reason of PUBCOMP", PubCompReason::Success, ack.reason))
                }
                _ => None,
            })
            .await??;
            left -= 1;
        }
        Ok(())
    }

    pub(crate) async fn publish_with(
        &mut self,
        topic: &str,
        payload: &[u8],
        properties: PublishProperties,
    ) -> Outcome {
        self.publish_all(1, vec![(topic.into(), payload.into(), false, properties)]).await
    }

    pub(crate) async fn publish(&mut self, topic: &str, payload: &[u8], at: u8) -> Outcome {
        let message = (topic.into(), payload.into(), false, PublishProperties::default());
        self.publish_all(at, vec![message]).await
    }

    pub(crate) async fn retain(&mut self, topic: &str, payload: &[u8]) -> Outcome {
        let message = (topic.into(), payload.into(), true, PublishProperties::default());
        self.publish_all(1, vec![message]).await
    }

    pub(crate) async fn next(&mut self) -> Result<Publish, String> {
        if self.messages.is_empty() {
            self.until("a message", |event| match event {
                Event::Incoming(Packet::Publish(_)) => Some(()),
                _ => None,
            })
            .await?;
        }
        self.messages.pop_front().ok_or_else(|| "no message".into())
    }

    pub(crate) async fn receive_as(
        &mut self,
        topic: &str,
        payload: &[u8],
        at: u8,
        retain: bool,
    ) -> Result<PublishProperties, String> {
        let message = self.next().await.map_err(|error| format!("{error}, at {topic}"))?;
        let seen = (&message.topic[..], &message.payload[..], message.qos, message.retain);
        expect("message", (topic.as_bytes(), payload, qos(at), retain), seen)?;
        Ok(message.properties.unwrap_or_default())
    }

    pub(crate) async fn receive(
        &mut self,
        topic: &str,
        payload: &[u8],
    ) -> Result<PublishProperties, String> {
        self.receive_as(topic, payload, 1, false).await
    }

    /// Lets time pass while the client does what it does by itself; fails if the connection ends.
    pub(crate) async fn idle(&mut self, time: Duration) -> Outcome {
        let deadline = Instant::now() + time;
        let mut answers = 0;
        while let Ok(event) = timeout_at(deadline, self.events.poll()).await {
            match event.map_err(|error| format!("expected an idle connection, saw {error}"))? {
                Event::Incoming(Packet::PingResp(_)) => answers += 1,
                Event::Incoming(other) => return Err(format!("expected no packet, saw {other:?}")),
                Event::Outgoing(_) => {}
            }
        }
        expect("PINGRESP seen", true, answers > 0)
    }

    pub(crate) async fn end(mut self) -> Outcome {
        self.client.disconnect().await.map_err(|error| error.to_string())?;
        self.until("DISCONNECT sent", |event| {
            matches!(event, Event::Outgoing(rumqttc::Outgoing::Disconnect)).then_some(())
        })
        .await?;
        // What was under way may still come; then the broker closes.
        let deadline = Instant::now() + PATIENCE;
        while timeout_at(deadline, self.events.poll()).await.map_err(|_| "expected an end")?.is_ok()
        {
        }
        Ok(())
    }
}
