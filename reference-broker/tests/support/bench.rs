//! A broker's core with clients by name and a clock that is moved by hand. Every input is checked
//! by [`Rules`] for what must always hold.

#![allow(dead_code)] // Each file of tests uses a part of it.

mod rules;

use std::collections::{BTreeMap, VecDeque};

use reference_broker::codec::{
    ConnAck, Connect, DecodeError, Disconnect, Frame, Framer, Packet, PacketType, Properties,
    PropertyId, Publish, PublishAck, QoS, ReasonCode, Side, Subscribe, SubscriptionOptions, Will,
};
use reference_broker::core::{
    Answer, Broker, Config, ConnectionId, Counts, Handling, Input, Moment, Output, Published,
    Question, Redirection,
};

pub(crate) use rules::{Rules, step};

pub(crate) const Q0: QoS = QoS::AtMostOnce;
pub(crate) const Q1: QoS = QoS::AtLeastOnce;
pub(crate) const Q2: QoS = QoS::ExactlyOnce;

/// A Session Expiry Interval that never ends.
pub(crate) const NEVER: u32 = u32::MAX;

/// A broker and its clients.
pub(crate) struct Bench {
    broker: Broker,
    now: u64,
    connections: BTreeMap<String, ConnectionId>,
    last_id: u64,
    seen: BTreeMap<ConnectionId, VecDeque<Output>>,
    /// Messages that the broker reported.
    pub(crate) published: Vec<Published>,
    rules: Rules,
}

impl Bench {
    pub(crate) fn new() -> Bench {
        Bench::with(Config::default())
    }

    /// With choices about messages other than the default.
    pub(crate) fn handling(change: impl Fn(&mut Handling)) -> Bench {
        let mut config = Config::default();
        change(&mut config.handling);
        Bench::with(config)
    }

    pub(crate) fn with(config: Config) -> Bench {
        Bench {
            broker: Broker::new(config),
            now: 0,
            connections: BTreeMap::new(),
            last_id: 0,
            seen: BTreeMap::new(),
            published: Vec::new(),
            rules: Rules::default(),
        }
    }

    /// Milliseconds since the broker was made.
    pub(crate) fn now(&self) -> u64 {
        self.now
    }

    /// When the broker wants to be woken.
    pub(crate) fn deadline(&self) -> Option<u64> {
        self.broker.next_deadline().map(|Moment(due)| due)
    }

    /// Moves the clock, stopping wherever the broker asks for it.
    pub(crate) fn tick_to(&mut self, moment: u64) {
        while let Some(Moment(due)) = self.broker.next_deadline().filter(|due| due.0 <= moment) {
            self.now = self.now.max(due);
            self.input(Input::Tick);
        }
        self.now = moment;
        self.input(Input::Tick);
    }

    /// Moves the clock without waking the broker: what comes next comes before it has been.
    pub(crate) fn skip_to(&mut self, moment: u64) {
        self.now = moment;
    }

    /// Moves the clock by so many milliseconds.
    pub(crate) fn pass(&mut self, milliseconds: u64) {
        self.tick_to(self.now + milliseconds);
    }

    /// Opens a connection under a name, which forgets the one it had.
    pub(crate) fn open(&mut self, name: &str) {
        self.last_id += 1;
        let id = ConnectionId(self.last_id);
        self.connections.insert(name.to_string(), id);
        self.input(Input::Opened(id));
    }

    /// Opens a connection and sends CONNECT; what comes is still to be seen.
    pub(crate) fn start(&mut self, name: &str, connect: Connect) {
        self.open(name);
        self.send(name, connect);
    }

    /// Connects, and gives the CONNACK, which must accept.
    pub(crate) fn connect(&mut self, name: &str, connect: Connect) -> ConnAck {
        self.start(name, connect);
        match self.expect(name) {
            Packet::ConnAck(connack) if connack.reason == ReasonCode::Success => connack,
            other => panic!("{name} expected to be accepted, not {other:?}"),
        }
    }

    /// Connects with a clean start under the name as Client Identifier.
    pub(crate) fn join(&mut self, name: &str) {
        self.connect(name, Connect::new(name));
    }

    /// Connects with a session that stays, the one that is there or a new one. Says which.
    pub(crate) fn resume(&mut self, name: &str) -> bool {
        self.connect(name, Connect::new(name).resume().session_expiry(NEVER)).session_present
    }

    pub(crate) fn send(&mut self, name: &str, packet: impl Into<Packet>) {
        let id = self.connections[name];
        self.input(Input::Received(id, packet.into()));
    }

    /// Sends bytes that are not a packet.
    pub(crate) fn send_bytes(&mut self, name: &str, bytes: &[u8]) {
        let id = self.connections[name];
        let error = decode_error(bytes, self.broker.config().maximum_packet_size);
        self.input(Input::Malformed(id, PacketType::from_value(bytes[0] >> 4), error));
    }

    /// Ends the connection as a network does.
    pub(crate) fn cut(&mut self, name: &str) {
        let id = self.connections[name];
        self.input(Input::Closed(id));
    }

    /// The broker has asked this about the client next.
    pub(crate) fn expect_question(&mut self, name: &str) -> Question {
        match self.next(name) {
            Some(Output::Ask(_, question)) => question,
            other => panic!("{name} expected to be asked about, not {other:?}"),
        }
    }

    /// Answers what the broker has asked about the client.
    pub(crate) fn answer(&mut self, name: &str, answer: Answer) {
        self.input(Input::Answered(self.connections[name], answer));
    }

    /// The broker is told to end.
    pub(crate) fn stop(&mut self) {
        self.input(Input::Stop);
    }

    /// All clients are to go elsewhere, or none any more.
    pub(crate) fn redirect(&mut self, redirection: Option<Redirection>) {
        self.input(Input::Redirect(redirection));
    }

    /// How much there is, and how much has happened.
    pub(crate) fn counts(&self) -> Counts {
        self.broker.counts()
    }

    /// The broker, to be asked.
    pub(crate) fn broker(&self) -> &Broker {
        &self.broker
    }

    /// Subscribes at this QoS; what the subscription brings is still to be seen.
    pub(crate) fn subscribe(&mut self, name: &str, filter: &str, qos: QoS) {
        self.subscribe_with(name, Subscribe::new(9, filter, qos));
    }

    /// Sends a SUBSCRIBE and expects that all of it is granted.
    pub(crate) fn subscribe_with(&mut self, name: &str, subscribe: Subscribe) {
        let (packet_id, count) = (subscribe.packet_id, subscribe.subscriptions.len());
        self.send(name, subscribe);
        match self.expect(name) {
            Packet::SubAck(suback) if suback.packet_id == packet_id => {
                assert_eq!(suback.reasons.len(), count);
                assert!(suback.reasons.iter().all(|reason| !reason.is_error()), "{suback:?}");
            }
            other => panic!("{name} expected SUBACK, not {other:?}"),
        }
    }

    /// Publishes at QoS 1 and takes the PUBACK.
    pub(crate) fn publish(&mut self, name: &str, publish: Publish) {
        self.send(name, publish.qos(Q1, 77));
        match self.expect_acknowledgement(name) {
            Packet::PubAck(ack) if ack.packet_id == 77 && !ack.reason.is_error() => {}
            other => panic!("{name} expected PUBACK, not {other:?}"),
        }
    }

    /// Publishes at QoS 1 and is told that there was no room for it.
    pub(crate) fn publish_in_vain(&mut self, name: &str, publish: Publish) {
        self.send(name, publish.qos(Q1, 77));
        match self.expect_acknowledgement(name) {
            Packet::PubAck(ack) if ack.packet_id == 77 => {
                assert_eq!(ack.reason, ReasonCode::QuotaExceeded);
            }
            other => panic!("{name} expected PUBACK, not {other:?}"),
        }
    }

    /// Publishes at QoS 1 and is told that there is no subscription for it.
    pub(crate) fn publish_to_nobody(&mut self, name: &str, publish: Publish) {
        self.send(name, publish.qos(Q1, 77));
        let nobody = PublishAck::because(77, ReasonCode::NoMatchingSubscribers);
        assert_eq!(self.expect_acknowledgement(name), Packet::PubAck(nobody));
    }

    /// The acknowledgement among what the client is still to see, which may have messages too.
    fn expect_acknowledgement(&mut self, name: &str) -> Packet {
        let seen = self.seen.entry(self.connections[name]).or_default();
        let is_ack = |output: &Output| matches!(output, Output::Send(_, Packet::PubAck(_)));
        let place = seen.iter().position(is_ack).unwrap_or(0);
        match seen.remove(place) {
            Some(Output::Send(_, packet)) => packet,
            other => panic!("{name} expected an acknowledgement, not {other:?}"),
        }
    }

    /// The next thing the client sees, which must be a packet.
    pub(crate) fn expect(&mut self, name: &str) -> Packet {
        match self.next(name) {
            Some(Output::Send(_, packet)) => packet,
            Some(Output::Close(_)) => panic!("{name} expected a packet, not the end"),
            Some(other) => panic!("{name} expected a packet, not {other:?}"),
            None => panic!("{name} expected a packet, not silence"),
        }
    }

    /// The next thing the client sees, which must be a PUBLISH.
    pub(crate) fn expect_publish(&mut self, name: &str) -> Publish {
        match self.expect(name) {
            Packet::Publish(publish) => publish,
            other => panic!("{name} expected PUBLISH, not {other:?}"),
        }
    }

    /// Payloads of all the messages that the client sees now.
    pub(crate) fn payloads(&mut self, name: &str) -> Vec<String> {
        let mut payloads = Vec::new();
        while let Some(output) = self.next(name) {
            match output {
                Output::Send(_, Packet::Publish(publish)) => payloads.push(text(&publish)),
                other => panic!("{name} expected messages only, not {other:?}"),
            }
        }
        payloads
    }

    /// The next packet that the client sees, if there is one.
    pub(crate) fn next_packet(&mut self, name: &str) -> Option<Packet> {
        match self.next(name)? {
            Output::Send(_, packet) => Some(packet),
            other => panic!("{name} expected a packet or silence, not {other:?}"),
        }
    }

    /// Whatever is still to be seen is not, up to the end, which comes.
    #[track_caller]
    pub(crate) fn skip_to_close(&mut self, name: &str) {
        let mut rest = std::iter::from_fn(|| self.next(name));
        let is_closed = rest.any(|output| matches!(output, Output::Close(_)));
        assert!(is_closed, "{name} expected the end");
    }

    /// The client sees nothing more.
    #[track_caller]
    pub(crate) fn expect_nothing(&mut self, name: &str) {
        assert_eq!(self.next(name), None, "{name} expected nothing");
    }

    /// The client sees the end of the connection next.
    #[track_caller]
    pub(crate) fn expect_close(&mut self, name: &str) {
        let next = self.next(name);
        assert!(matches!(next, Some(Output::Close(_))), "{name} expected the end, not {next:?}");
    }

    /// The client sees a DISCONNECT with this code and then the end.
    #[track_caller]
    pub(crate) fn expect_disconnect(&mut self, name: &str, reason: ReasonCode) {
        match self.next(name) {
            Some(Output::Send(_, Packet::Disconnect(packet))) => assert_eq!(packet.reason, reason),
            other => panic!("{name} expected DISCONNECT, not {other:?}"),
        }
        self.expect_close(name);
    }

    /// The client sees a CONNACK with this code and then the end.
    #[track_caller]
    pub(crate) fn expect_refusal(&mut self, name: &str, reason: ReasonCode) {
        match self.next(name) {
            Some(Output::Send(_, Packet::ConnAck(connack))) => {
                assert_eq!((connack.reason, connack.session_present), (reason, false));
            }
            other => panic!("{name} expected CONNACK, not {other:?}"),
        }
        self.expect_close(name);
    }

    /// The connection is still served.
    #[track_caller]
    pub(crate) fn expect_alive(&mut self, name: &str) {
        self.send(name, Packet::PingReq);
        assert_eq!(self.expect(name), Packet::PingResp);
    }

    fn next(&mut self, name: &str) -> Option<Output> {
        self.seen.get_mut(&self.connections[name])?.pop_front()
    }

    fn input(&mut self, input: Input) {
        for output in step(&mut self.broker, &mut self.rules, Moment(self.now), input) {
            match &output {
                Output::Send(id, _) | Output::Close(id) | Output::Ask(id, _) => {
                    self.seen.entry(*id).or_default().push_back(output);
                }
                Output::Published(published) => self.published.push(published.clone()),
            }
        }
    }
}

fn decode_error(bytes: &[u8], limit: u32) -> DecodeError {
    let packet = frame(bytes, limit).and_then(|frame| Packet::decode(&frame, Side::Client));
    packet.expect_err("bytes that are no packet")
}

fn frame(bytes: &[u8], limit: u32) -> Result<Frame, DecodeError> {
    let mut framer = Framer::new(limit);
    framer.buffer().extend_from_slice(bytes);
    Ok(framer.next_frame()?.expect("a whole packet"))
}

/// A message with this topic as its payload too.
pub(crate) fn message(topic: &str) -> Publish {
    Publish::new(topic, topic.to_string())
}

pub(crate) fn text(publish: &Publish) -> String {
    String::from_utf8(publish.payload.to_vec()).expect("a payload of text")
}

/// Subscription options from their byte.
pub(crate) fn options(qos: QoS, change: impl Fn(&mut SubscriptionOptions)) -> SubscriptionOptions {
    let mut options = SubscriptionOptions::at(qos);
    change(&mut options);
    options
}

pub(crate) fn identifiers(publish: &Publish) -> Vec<u32> {
    numbers(&publish.properties, PropertyId::SubscriptionIdentifier)
}

fn numbers(properties: &Properties, id: PropertyId) -> Vec<u32> {
    let of_id = properties.iter().filter(|property| property.id == id);
    of_id
        .filter_map(|property| match property.value {
            reference_broker::codec::Value::Number(number) => Some(number),
            _ => None,
        })
        .collect()
}

/// A Will on the topic `will` that waits for so many seconds.
pub(crate) fn will(delay: u32) -> Will {
    Will::new("will", "gone").with(PropertyId::WillDelayInterval, delay)
}

pub(crate) fn puback(packet_id: u16) -> Packet {
    Packet::PubAck(PublishAck::new(packet_id))
}

pub(crate) fn pubrec(packet_id: u16) -> Packet {
    Packet::PubRec(PublishAck::new(packet_id))
}

pub(crate) fn pubrel(packet_id: u16) -> Packet {
    Packet::PubRel(PublishAck::new(packet_id))
}

pub(crate) fn pubcomp(packet_id: u16) -> Packet {
    Packet::PubComp(PublishAck::new(packet_id))
}

pub(crate) fn disconnect(reason: ReasonCode) -> Disconnect {
    Disconnect::because(reason)
}
