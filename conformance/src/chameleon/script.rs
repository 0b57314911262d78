//! A script of all that switches are about: under each of them, clients see other bytes, or at
//! other times.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::BytesMut;
use reference_broker::codec::{
    Connect, Disconnect, Framer, Packet, PropertyId, Publish, PublishAck, QoS, ReasonCode, Side,
    Subscribe, SubscriptionOptions, Unsubscribe, Will,
};
use reference_broker::transport::BoxStream;
use tokio::io::{AsyncReadExt, AsyncWriteExt, WriteHalf};
use tokio::time::{Instant, sleep};

use crate::probe::{auth, data_of};
use crate::runner::paused_runtime;
use crate::target::scram::{SCRAM_SHA_256, Scram, masked_in};
use crate::target::{Connector, Login, Need, Target, Variant};
use crate::trace::{What, packet_text};

const Q0: QoS = QoS::AtMostOnce;
const Q1: QoS = QoS::AtLeastOnce;
const Q2: QoS = QoS::ExactlyOnce;

/// More than any switch holds anything back.
const PAUSE: Duration = Duration::from_secs(3);

/// A CONNECT with the highest bit of its version set.
const OLDER: &[u8] = b"\x10\x12\0\x04MQTT\x85\x02\0\x3c\0\0\x05older";

/// Clients of many messages.
const BULK: [&str; 2] = ["away", "crowd"];

/// What clients saw: when, in milliseconds, who, and which bytes; none at the end.
type Seen = Vec<(u128, &'static str, Result<Vec<u8>, ()>)>;

/// A broker and its clients by name.
struct Play {
    connector: Connector,
    start: Instant,
    seen: Arc<Mutex<Seen>>,
    writers: BTreeMap<&'static str, WriteHalf<BoxStream>>,
    /// How much of what was seen has been acknowledged.
    acknowledged: usize,
}

impl Play {
    /// With a broker that has what is needed.
    async fn new(variant: &Variant, needs: &[Need]) -> Play {
        let target = Target::Embedded(variant.clone());
        Play {
            connector: Connector::needing(&target, needs).await.unwrap(),
            start: Instant::now(),
            seen: Arc::default(),
            writers: BTreeMap::new(),
            acknowledged: 0,
        }
    }

    async fn open(&mut self, name: &'static str) {
        let stream = self.connector.connect(PAUSE).await.unwrap();
        let (mut reader, writer) = tokio::io::split(stream);
        self.writers.insert(name, writer);
        let (seen, start) = (Arc::clone(&self.seen), self.start);
        tokio::spawn(async move {
            loop {
                let mut bytes = [0; 4096];
                let read = reader.read(&mut bytes).await.map(|count| bytes[..count].to_vec());
                let is_over = read.as_ref().map_or(true, Vec::is_empty);
                let entry = (start.elapsed().as_millis(), name, read.map_err(drop));
                seen.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
                if is_over {
                    return;
                }
            }
        });
    }

    /// Sends packets together, and lets time pass.
    async fn send(&mut self, name: &'static str, packets: impl IntoIterator<Item = Packet>) {
        let mut bytes = BytesMut::new();
        packets.into_iter().for_each(|packet| packet.encode(&mut bytes).unwrap());
        self.write(name, &bytes).await;
    }

    /// Sends bytes, and lets time pass.
    async fn write(&mut self, name: &'static str, bytes: &[u8]) {
        if let Some(writer) = self.writers.get_mut(name) {
            // The broker may have closed: then there is nothing to see any more.
            let _ = writer.write_all(bytes).await;
        }
        sleep(PAUSE).await;
    }

    async fn connect(&mut self, name: &'static str, connect: Connect) {
        self.open(name).await;
        self.send(name, [connect.into()]).await;
    }

    /// Loses a connection.
    async fn lose(&mut self, name: &'static str) {
        if let Some(mut writer) = self.writers.remove(name) {
            let _ = writer.shutdown().await;
        }
        sleep(PAUSE).await;
    }

    fn all(&self) -> Seen {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What each client has got, without what is random: its packets, and how often it was closed.
    fn packets(&self) -> BTreeMap<&'static str, String> {
        let mut texts = BTreeMap::<_, String>::new();
        let mut framers = BTreeMap::<_, Framer>::new();
        for (_, name, bytes) in self.all() {
            let text = texts.entry(name).or_default();
            let framer = framers.entry(name).or_insert_with(|| Framer::new(1 << 20));
            let bytes = bytes.unwrap_or_default();
            if bytes.is_empty() {
                text.push_str("closed\n");
            }
            framer.buffer().extend_from_slice(&bytes);
            while let Ok(Some(frame)) = framer.next_frame() {
                let Ok((packet, _)) = Packet::decode_leniently(&frame, Side::Server) else {
                    text.push_str("no packet\n");
                    continue;
                };
                if let What::Received(packet) = masked_in(What::Received(packet), b"rspv") {
                    text.push_str(&packet_text(&packet));
                    text.push('\n');
                }
            }
        }
        texts
    }

    /// The Authentication Data that a client has got last.
    fn data(&self, name: &str) -> Vec<u8> {
        let mut framer = Framer::new(1 << 20);
        for (_, _, bytes) in self.all().into_iter().filter(|(_, who, _)| *who == name) {
            framer.buffer().extend_from_slice(&bytes.unwrap_or_default());
        }
        let mut last = Vec::new();
        while let Ok(Some(frame)) = framer.next_frame() {
            if let Ok(Packet::Auth(auth)) = Packet::decode(&frame, Side::Server) {
                last = data_of(&auth).to_vec();
            }
        }
        last
    }

    /// Messages at QoS 1 and 2 that a client has got since so much was seen.
    fn messages(&self, name: &str, since: usize) -> Vec<Publish> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let mut framer = Framer::new(1 << 20);
        for (_, _, bytes) in seen[since..].iter().filter(|(_, who, _)| *who == name) {
            framer.buffer().extend_from_slice(bytes.as_deref().unwrap_or_default());
        }
        let mut messages = Vec::new();
        while let Ok(Some(frame)) = framer.next_frame() {
            if let Ok(Packet::Publish(publish)) = Packet::decode(&frame, Side::Server) {
                messages.extend((publish.qos > Q0).then_some(publish));
            }
        }
        messages
    }

    /// Sends PUBACK for what a client has got since the last time.
    async fn acknowledge(&mut self, name: &'static str) {
        let messages = self.messages(name, self.acknowledged);
        self.acknowledged = self.seen.lock().unwrap_or_else(PoisonError::into_inner).len();
        let ack = |publish: Publish| Packet::PubAck(PublishAck::new(publish.packet_id));
        self.send(name, messages.into_iter().map(ack)).await;
    }
}

fn publish(topic: &str, qos: QoS, id: u16) -> Publish {
    Publish::new(topic, "payload").qos(qos, id)
}

fn subscribe(filter: &str, qos: QoS) -> Packet {
    Subscribe::new(9, filter, qos).into()
}

fn session(name: &str) -> Connect {
    Connect::new(name).resume().session_expiry(100)
}

/// What clients see of a broker.
pub(super) fn seen(variant: &Variant) -> Seen {
    paused_runtime().unwrap().block_on(async {
        let mut play = Play::new(variant, &[]).await;
        connecting(&mut play).await;
        messages(&mut play).await;
        sessions(&mut play).await;
        errors(&mut play).await;
        let mut seen = in_one_piece(play.all());
        let mut play = Play::new(variant, &[Need::Users, Need::Rights, Need::Scram]).await;
        rights(&mut play).await;
        exchanges(&mut play).await;
        seen.extend(play.packets().into_iter().map(|(name, text)| (0, name, Ok(text.into()))));
        seen
    })
}

/// What comes to those who get or send too much for one write has no fixed pieces.
fn in_one_piece(seen: Seen) -> Seen {
    let (bulk, mut rest): (Seen, Seen) =
        seen.into_iter().partition(|(_, name, _)| BULK.contains(name));
    for name in BULK {
        let own = bulk.iter().filter(|(_, who, _)| *who == name);
        let bytes = own.filter_map(|(_, _, bytes)| bytes.as_ref().ok()).flatten().copied();
        rest.push((0, name, Ok(bytes.collect())));
    }
    rest
}

async fn connecting(play: &mut Play) {
    let asking = Connect::new("asking").keep_alive(1).session_expiry(100_000);
    play.connect("asking", asking.with(PropertyId::RequestResponseInformation, 1)).await;
    play.connect("nameless", Connect::new("").session_expiry(100)).await;
    play.connect("unusual", Connect::new("un-usual")).await;
    play.connect("long", Connect::new("longer-than-twenty-three-bytes")).await;
    let refused = Connect::new("refused").with(PropertyId::AuthenticationMethod, "none");
    play.connect("refused", refused).await;
    play.open("older").await;
    play.write("older", OLDER).await;
    let heavy = Will::new("w", vec![b'x'; 5000]);
    play.connect("heavy", Connect::new("heavy").will(heavy)).await;
    let narrow = Connect::new("narrow").with(PropertyId::MaximumPacketSize, 30);
    play.connect("narrow", narrow).await;
    play.open("early").await;
    play.send("early", [Packet::PingReq]).await;
    play.open("silent").await;
    sleep(Duration::from_secs(40)).await;
}

fn user(name: &str, user_name: &str, password: &'static str) -> Connect {
    let (user_name, password) = (Some(user_name.into()), Some(password.into()));
    Connect { user_name, password, ..Connect::new(name) }
}

async fn rights(play: &mut Play) {
    let (closed, unreadable) = ("a/b/c/unwritable/x", "a/b/c/unreadable/x");
    play.connect("ann", user("ann", "ann", "apple")).await;
    play.connect("wrong", user("wrong", "ann", "pear")).await;
    for (name, packet) in [
        ("bob", publish(closed, Q1, 1).into()),
        ("bella", publish(closed, Q2, 1).into()),
        ("bert", subscribe(unreadable, Q1)),
    ] {
        play.connect(name, user(name, "bob", "banana")).await;
        play.send(name, [packet]).await;
        play.send(name, [Packet::PubRel(PublishAck::new(1))]).await;
    }
    let will = user("willing", "bob", "banana").will(Will::new(closed, "gone"));
    play.connect("willing", will).await;
}

async fn exchanges(play: &mut Play) {
    let login = Login { user_name: "ann".into(), password: "apple".into() };
    let mut scram = Scram::new(login, "nonce");
    let connect = Connect::new("proves")
        .with(PropertyId::AuthenticationMethod, SCRAM_SHA_256)
        .with(PropertyId::AuthenticationData, scram.first());
    play.connect("proves", connect).await;
    for is_first in [true, false] {
        if !is_first {
            play.send("proves", [subscribe("p", Q1)]).await;
            let again = auth(ReasonCode::ReAuthenticate, scram.first());
            play.send("proves", [again.into()]).await;
            play.send("ann", [publish("p", Q1, 1).into()]).await;
        }
        let answer = scram.respond(&play.data("proves")).unwrap_or_default();
        let answer = auth(ReasonCode::ContinueAuthentication, answer);
        play.send("proves", [answer.into()]).await;
        if play.data("proves").starts_with(b"v=") {
            let answer = auth(ReasonCode::ContinueAuthentication, None);
            play.send("proves", [answer.into()]).await;
        }
    }
}

async fn messages(play: &mut Play) {
    play.connect("alice", Connect::new("alice")).await;
    let bob = session("bob").with(PropertyId::TopicAliasMaximum, 5);
    play.connect("bob", bob).await;
    let overlapping = Subscribe::new(1, "t", Q1).and("t/#", SubscriptionOptions::at(Q1));
    play.send("bob", [overlapping.into(), subscribe("z", Q1), subscribe("$x", Q1)]).await;
    let twice = [1, 2].map(|id| publish("t", Q1, id).into());
    play.send("alice", twice).await;
    play.acknowledge("bob").await;
    play.connect("brisk", Connect::new("brisk").keep_alive(5)).await;
    play.send("brisk", [subscribe("t", Q0)]).await;
    play.send("alice", [publish("z", Q1, 3).into(), publish("t", Q1, 4).into()]).await;
    play.acknowledge("bob").await;
    play.send("alice", [publish("t", Q2, 5).into()]).await;
    play.send("alice", [Packet::PubRel(PublishAck::new(5))]).await;
    let unknown = Packet::PubRel(PublishAck::new(999));
    play.send("alice", [publish("nobody", Q1, 6).into(), unknown]).await;
    let expiring = publish("z", Q1, 7).with(PropertyId::MessageExpiryInterval, 50);
    play.send("alice", [expiring.into()]).await;
    play.send("bob", [subscribe("long", Q1), subscribe("d", Q0)]).await;
    play.send("alice", [18, 19].map(|id| publish("long", Q1, id).into())).await;
    play.send("alice", [publish("d", Q1, 8).into()]).await;
    play.send("alice", [publish("$x", Q1, 9).into()]).await;

    play.connect("carol", Connect::new("carol")).await;
    let retained = [publish("r0", Q0, 0).retain(), publish("r1", Q1, 1).retain()];
    play.send("carol", retained.map(Packet::from)).await;
    let options = SubscriptionOptions { no_local: true, ..SubscriptionOptions::at(Q1) };
    let mut muted = Subscribe::new(2, "r1", Q1);
    muted.subscriptions[0].options = options;
    play.send("carol", [muted.into()]).await;
    play.send("carol", [subscribe("r0", Q0)]).await;

    let both = Subscribe::new(3, "r1", Q1).and("r1/#", SubscriptionOptions::at(Q1));
    play.send("alice", [both.into()]).await;
    let as_published = SubscriptionOptions { retain_as_published: true, ..options };
    let mut wanted = Subscribe::new(4, "r2", Q1).and("r2/#", SubscriptionOptions::at(Q1));
    wanted.subscriptions[0].options = SubscriptionOptions { no_local: false, ..as_published };
    play.send("carol", [wanted.into(), publish("r2", Q1, 2).retain().into()]).await;
    let short_lived = publish("z", Q1, 14).with(PropertyId::MessageExpiryInterval, 0);
    play.send("alice", [short_lived.into()]).await;

    // A message that waits for nothing but its subscriber, and one of a client that has a name.
    play.send("alice", [publish("d", Q0, 0).into(), Packet::PingReq]).await;
    let user = Connect { user_name: Some("user".into()), ..Connect::new("user") };
    play.connect("user", user).await;
    play.send("bob", [subscribe("u", Q0)]).await;
    play.send("user", [publish("u", Q0, 0).into()]).await;
    let answers = vec!["deep"; 200].join("/");
    let request = publish("z", Q1, 20).with(PropertyId::ResponseTopic, answers.as_str());
    play.connect("asks", Connect::new("asks")).await;
    play.send("asks", [request.into()]).await;
    let over = ["u", "none", "neither"].map(|filter| Unsubscribe::new(10, filter).into());
    play.send("bob", over).await;

    let deep = vec!["deep"; 200].join("/");
    play.send("alice", [publish(&deep, Q1, 17).into()]).await;
    let none = Subscribe::new(5, "n1", Q1).and("n2", options).and("n3", options);
    play.send("alice", [none.into()]).await;

    for name in ["first", "second", "third"] {
        play.connect(name, session(name)).await;
        play.send(name, [subscribe("$share/g/s", Q1)]).await;
    }
    play.lose("second").await;
    play.send("alice", [10, 11, 12].map(|id| publish("s", Q1, id).into())).await;
    play.lose("first").await;
}

async fn sessions(play: &mut Play) {
    play.lose("bob").await;
    play.send("alice", [publish("t", Q0, 0).into()]).await;
    play.connect("bob", session("bob")).await;

    // More than some keep for who is not there.
    play.connect("away", session("away")).await;
    play.send("away", [subscribe("q", Q1)]).await;
    play.lose("away").await;
    let large = |id| Publish::new("q", vec![b'x'; 1000]).qos(Q1, id).into();
    play.connect("crowd", Connect::new("crowd")).await;
    play.send("crowd", (1..=150).map(large)).await;
    play.connect("away", session("away")).await;

    // One message recorded, one not; then both go on over another connection.
    play.connect("dora", session("dora")).await;
    play.send("dora", [subscribe("o", Q2)]).await;
    play.send("alice", [15, 16].map(|id| publish("o", Q2, id).into())).await;
    play.send("alice", [15, 16].map(|id| Packet::PubRel(PublishAck::new(id)))).await;
    if let Some(first) = play.messages("dora", 0).first() {
        play.send("dora", [Packet::PubRec(PublishAck::new(first.packet_id))]).await;
    }
    play.lose("dora").await;
    play.connect("dora", session("dora")).await;

    // A message of a client's that waits for its PUBREL, likewise.
    play.connect("emma", session("emma")).await;
    play.send("emma", [publish("nobody", Q2, 21).into()]).await;
    play.lose("emma").await;
    play.connect("emma", session("emma")).await;

    play.send("bob", [subscribe("w", Q0)]).await;
    let will = |delay: u32| Will::new("w", "gone").with(PropertyId::WillDelayInterval, delay);
    play.connect("dies", Connect::new("dies").will(will(0))).await;
    play.lose("dies").await;
    play.connect("waits", session("waits").will(will(5))).await;
    play.connect("older", session("twice").will(will(0))).await;
    play.connect("newer", session("twice")).await;
    play.lose("waits").await;
    play.connect("waits", Connect::new("waits")).await;
    play.connect("delayed", session("delayed").will(will(1))).await;
    play.lose("delayed").await;
    play.connect("brief", Connect::new("brief").session_expiry(1).will(will(100))).await;
    play.lose("brief").await;
    play.send("carol", [Disconnect::default().into()]).await;
}

async fn errors(play: &mut Play) {
    let identified = Subscribe::new(1, "i", Q0).with(PropertyId::SubscriptionIdentifier, 1);
    let disallowed = publish("a\u{1}", Q1, 1);
    let mut lying = publish("l", Q1, 1).with(PropertyId::PayloadFormatIndicator, 1);
    lying.payload = vec![0xFF].into();
    let unknown = Packet::PubAck(PublishAck::new(500));
    let alias = publish("a", Q1, 1).with(PropertyId::TopicAlias, 60_000);
    let packets: [(&'static str, Packet); 9] = [
        ("wildcard", subscribe("+/w", Q0)),
        ("shared", subscribe("$share/g/x", Q0)),
        ("identified", identified.into()),
        ("bad", subscribe("a#", Q0)),
        ("disallowed", disallowed.into()),
        ("lying", lying.into()),
        ("unknown", unknown),
        ("alias", alias.into()),
        ("again", Connect::new("again").into()),
    ];
    for (name, packet) in packets {
        play.connect(name, Connect::new(name)).await;
        play.send(name, [packet]).await;
    }
    // Again over the same connection, and released in the wrong order.
    play.connect("repeats", Connect::new("repeats")).await;
    play.send("repeats", [1, 1].map(|id| publish("nobody", Q2, id).into())).await;
    play.connect("releases", Connect::new("releases")).await;
    play.send("releases", [1, 2].map(|id| publish("nobody", Q2, id).into())).await;
    play.send("releases", [2, 1].map(|id| Packet::PubRel(PublishAck::new(id)))).await;
    // The wrong kind of acknowledgement, under whatever identifier the message has.
    play.connect("wrong", Connect::new("wrong")).await;
    play.send("wrong", [subscribe("k", Q2)]).await;
    play.send("wrong", [publish("k", Q2, 1).into()]).await;
    play.send("wrong", [Packet::PubRel(PublishAck::new(1))]).await;
    let ids = play.messages("wrong", 0).into_iter().map(|publish| publish.packet_id);
    let acks: Vec<_> = ids.map(|id| Packet::PubAck(PublishAck::new(id))).collect();
    play.send("wrong", acks).await;
}
