//! What must hold for any sequence of inputs: no panic, the [rules](bench::Rules), equal outputs for
//! equal inputs, no timer left when nothing waits, and a broker that still serves.

#[path = "support/bench.rs"]
mod bench;
#[path = "support/choices.rs"]
mod choices;
#[allow(dead_code)] // Of the generators only the packets are needed.
mod support;

use bench::{Q1, Rules, puback, pubcomp, pubrec, pubrel, step};
use bytes::Bytes;
use choices::redirection;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use reference_broker::codec::{
    Auth, Connect, DecodeError, Disconnect, Fault, Packet, PacketType, PropertyId, Publish,
    PublishAck, QoS, ReasonCode, RetainHandling, Side, Subscribe, SubscriptionOptions, Unsubscribe,
    Will,
};
use reference_broker::core::{
    Access, Action, Answer as Decision, Bounds, Broker, Config, ConnectionId, Input, Moment,
    Output, Redirection, Rule, RuleFilter, SessionState, State, Users,
};

const CLIENTS: usize = 3;

/// One thing that happens; clients are numbered.
#[derive(Clone, Debug)]
enum Event {
    Open(usize),
    /// With what is answered at once if the client is asked about.
    Connect(usize, Box<Connect>, Option<Decision>),
    Send(usize, Box<Packet>),
    /// The client answers the oldest packet that it has not answered, well or with an error.
    Answer(usize, bool),
    Malformed(usize, Option<PacketType>, Fault),
    /// Somebody answers what may have been asked about the client.
    Decide(usize, Decision),
    Close(usize),
    Pass(u64),
    /// The broker sends its clients elsewhere, or takes them again.
    Redirect(Option<Redirection>),
}

fn event() -> impl Strategy<Value = Event> {
    let client = 0..CLIENTS;
    prop_oneof![
        1 => client.clone().prop_map(Event::Open),
        6 => client.clone().prop_flat_map(|client| (Just(client), connect(client)))
            .prop_flat_map(|(client, connect)| {
                let decision = option::weighted(0.8, decision());
                decision.prop_map(move |it| Event::Connect(client, Box::new(connect.clone()), it))
            }),
        24 => (client.clone(), likely_packet())
            .prop_map(|(client, packet)| Event::Send(client, Box::new(packet))),
        2 => (client.clone(), support::packet(Side::Client))
            .prop_map(|(client, packet)| Event::Send(client, Box::new(packet))),
        16 => (client.clone(), prop::bool::weighted(0.9))
            .prop_map(|(client, well)| Event::Answer(client, well)),
        1 => (client.clone(), option::of(select(PacketType::ALL.to_vec())), fault())
            .prop_map(|(client, packet, fault)| Event::Malformed(client, packet, fault)),
        8 => (client.clone(), decision())
            .prop_map(|(client, decision)| Event::Decide(client, decision)),
        2 => client.prop_map(Event::Close),
        3 => prop_oneof![0..3_u64, 900..2_100_u64, 0..20_000_u64].prop_map(Event::Pass),
        1 => prop_oneof![1 => redirection().prop_map(Some), 4 => Just(None)].prop_map(Event::Redirect),
    ]
}

fn connect(client: usize) -> impl Strategy<Value = Connect> {
    let session = (any::<bool>(), select(vec![0, 1, 5, u32::MAX]), select(vec![0_u16, 0, 1, 5]));
    let limits = (option::of(1..4_u32), option::of(select(vec![5_u32, 20, 40, 100])));
    let wants = (option::of(0..4_u32), option::of(0..2_u32), option::of(0..2_u32));
    let limits = (limits, wants).prop_map(|(limits, wants)| {
        [
            (PropertyId::ReceiveMaximum, limits.0),
            (PropertyId::MaximumPacketSize, limits.1),
            (PropertyId::TopicAliasMaximum, wants.0),
            (PropertyId::RequestProblemInformation, wants.1),
            (PropertyId::RequestResponseInformation, wants.2),
        ]
    });
    let client = prop_oneof![12 => Just(format!("c{client}")), 1 => Just(String::new())];
    let will = option::of((topic(), qos(), any::<bool>(), option::of(0..7_u32), "x?"));
    let will = (will, option::weighted(0.4, method()));
    (client, session, limits, will).prop_map(|(client, session, limits, (will, method))| {
        let (clean_start, expiry, keep_alive) = session;
        let mut connect = Connect::new(client).keep_alive(keep_alive);
        method.into_iter().for_each(|method| {
            connect.properties.push(PropertyId::AuthenticationMethod, method);
        });
        connect.clean_start = clean_start;
        let properties = &mut connect.properties;
        properties.push(PropertyId::SessionExpiryInterval, expiry);
        for (id, number) in limits {
            number.into_iter().for_each(|number| properties.push(id, number));
        }
        connect.will = will.map(|(topic, qos, retain, delay, payload)| {
            let will = Will { retain, ..Will::new(topic, payload).qos(qos) };
            match delay {
                Some(delay) => will.with(PropertyId::WillDelayInterval, delay),
                None => will,
            }
        });
        connect
    })
}

/// Packets that have to do with each other: few topics, few identifiers.
fn likely_packet() -> impl Strategy<Value = Packet> {
    let id = || 1..5_u16;
    prop_oneof![
        8 => publish().prop_map(Packet::from),
        4 => id().prop_map(pubrel),
        4 => subscribe().prop_map(Packet::from),
        1 => (id(), filter()).prop_map(|(id, filter)| Unsubscribe::new(id, filter).into()),
        1 => select(vec![puback, pubrec, pubcomp]).prop_flat_map(move |ack| id().prop_map(ack)),
        1 => Just(Packet::PingReq),
        8 => auth().prop_map(Packet::from),
        1 => (select(vec![ReasonCode::Success, ReasonCode::DisconnectWithWill]), option::of(0..9_u32))
            .prop_map(|(reason, expiry)| {
                let mut disconnect = Disconnect::because(reason);
                expiry.into_iter().for_each(|expiry| {
                    disconnect.properties.push(PropertyId::SessionExpiryInterval, expiry);
                });
                disconnect.into()
            }),
    ]
}

fn auth() -> impl Strategy<Value = Auth> {
    let reasons = select(vec![ReasonCode::ContinueAuthentication, ReasonCode::ReAuthenticate]);
    (reasons, method()).prop_map(|(reason, method)| {
        let mut auth = Auth::new(reason);
        auth.properties.push(PropertyId::AuthenticationMethod, method);
        auth
    })
}

fn method() -> impl Strategy<Value = &'static str> {
    prop_oneof![3 => Just("X"), 1 => Just("Y")]
}

fn decision() -> impl Strategy<Value = Decision> {
    let data = || option::of(select(vec![Bytes::from_static(b"x"), Bytes::from_static(&[0; 50])]));
    let user = select(vec![None, None, Some("c0".into()), Some("+".into())]);
    prop_oneof![
        6 => (user, data()).prop_map(|(user, data)| Decision::Accepted { user, data }),
        3 => data().prop_map(Decision::GoesOn),
        1 => select(ReasonCode::ALL.to_vec()).prop_map(Decision::Refused),
    ]
}

/// Rules for few topics and few users, none of which is about `fresh`.
fn access() -> impl Strategy<Value = Access> {
    let users = select(vec![Users::Any, Users::Anonymous, Users::Named("c0".into())]);
    let action = select(vec![Action::Publish, Action::Subscribe, Action::Both]);
    let filter = select(vec!["a", "a/#", "+/b", "#", "{user}/x", "a/{client}", "$x"]);
    let rule = (users, action, filter, any::<bool>()).prop_map(|(users, action, filter, allow)| {
        Rule { users, action, filter: RuleFilter::parse(filter).unwrap(), allow }
    });
    (vec(rule, 0..4), vec(prop::bool::weighted(0.6), 4)).prop_map(|(mut rules, is)| {
        let (users, filter) = (Users::Any, RuleFilter::parse("fresh").unwrap());
        rules.insert(0, Rule { users, action: Action::Both, filter, allow: true });
        let methods = if is[1] { vec!["X".into()] } else { Vec::new() };
        let (default_allow, disconnects_at_qos0) = (is[2], is[3]);
        Access { asks: is[0], methods, rules, default_allow, disconnects_at_qos0 }
    })
}

fn publish() -> impl Strategy<Value = Publish> {
    let flags = (qos(), 1..5_u16, any::<bool>(), any::<bool>());
    let properties = (option::of(0..4_u32), option::weighted(0.2, 1..4_u32));
    (flags, topic(), "([a-z]{2}x{0,58})?", properties).prop_map(
        |((qos, id, retain, dup), topic, payload, (expiry, alias))| {
            let mut publish = Publish::new(topic, payload).qos(qos, id);
            (publish.retain, publish.dup) = (retain, dup && qos != QoS::AtMostOnce);
            let numbers =
                [(PropertyId::MessageExpiryInterval, expiry), (PropertyId::TopicAlias, alias)];
            for (id, number) in numbers {
                number.into_iter().for_each(|number| publish.properties.push(id, number));
            }
            publish
        },
    )
}

fn subscribe() -> impl Strategy<Value = Subscribe> {
    let handling =
        select(vec![RetainHandling::Send, RetainHandling::SendIfNew, RetainHandling::DoNotSend]);
    let options = (qos(), any::<bool>(), any::<bool>(), handling);
    (1..5_u16, vec((filter(), options), 1..4), option::of(1..4_u32)).prop_map(
        |(id, filters, identifier)| {
            let mut subscribe = Subscribe::new(id, "x", Q1);
            subscribe.subscriptions.clear();
            for (filter, (maximum_qos, no_local, retain_as_published, retain_handling)) in filters {
                let no_local = no_local && !filter.starts_with("$share");
                let options = SubscriptionOptions {
                    maximum_qos,
                    no_local,
                    retain_as_published,
                    retain_handling,
                };
                subscribe = subscribe.and(filter, options);
            }
            match identifier {
                Some(number) => subscribe.with(PropertyId::SubscriptionIdentifier, number),
                None => subscribe,
            }
        },
    )
}

fn topic() -> impl Strategy<Value = &'static str> {
    select(vec!["a", "a/b", "b", "$x", "long/b", "long/b/c"])
}

fn filter() -> impl Strategy<Value = &'static str> {
    select(vec!["a", "b", "#", "+/b", "a/#", "$share/g/a", "$share/g/#", "$share/h/#", "a#"])
}

fn qos() -> impl Strategy<Value = QoS> {
    select(QoS::ALL.to_vec())
}

fn fault() -> impl Strategy<Value = Fault> {
    let too_large = Fault::PacketTooLarge { size: 2_000, limit: 1_000 };
    select(vec![Fault::Truncated, Fault::TopicMissing, Fault::UnsupportedProtocolName, too_large])
}

/// Choices, with rules and questions about clients or without.
fn config() -> impl Strategy<Value = Config> {
    let access = prop_oneof![1 => Just(Access::default()), 2 => access()];
    (choices::config(), access).prop_map(|(config, access)| Config { access, ..config })
}

/// A broker, what it was told and what it did.
struct Run {
    broker: Broker,
    rules: Rules,
    now: Moment,
    last_id: u64,
    connections: [ConnectionId; CLIENTS],
    unanswered: [Vec<Packet>; CLIENTS],
    inputs: Vec<(Moment, Input)>,
    outputs: Vec<Output>,
}

impl Run {
    fn new(config: Config) -> Run {
        let mut run = Run {
            broker: Broker::new(config),
            rules: Rules::default(),
            now: Moment(0),
            last_id: 0,
            connections: [ConnectionId(0); CLIENTS],
            unanswered: Default::default(),
            inputs: Vec::new(),
            outputs: Vec::new(),
        };
        (0..CLIENTS).for_each(|client| run.open(client));
        run
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Open(client) => self.open(client),
            Event::Connect(client, connect, decision) => {
                self.open(client);
                let id = self.connections[client];
                self.input(Input::Received(id, Packet::Connect(connect)));
                decision.into_iter().for_each(|it| self.input(Input::Answered(id, it)));
            }
            Event::Send(client, packet) => {
                self.input(Input::Received(self.connections[client], *packet));
            }
            Event::Answer(client, well) => {
                let open = &mut self.unanswered[client];
                let answers: Vec<_> = open.drain(..open.len().min(1)).collect();
                let answers = answers.iter().filter_map(|packet| answer(packet, well));
                for packet in answers.collect::<Vec<_>>() {
                    self.input(Input::Received(self.connections[client], packet));
                }
            }
            Event::Malformed(client, packet_type, fault) => {
                let error = DecodeError { fault, offset: 1 };
                self.input(Input::Malformed(self.connections[client], packet_type, error));
            }
            Event::Redirect(redirection) => self.input(Input::Redirect(redirection)),
            Event::Decide(client, decision) => {
                self.input(Input::Answered(self.connections[client], decision));
            }
            Event::Close(client) => self.input(Input::Closed(self.connections[client])),
            Event::Pass(milliseconds) => {
                self.now = Moment(self.now.0 + milliseconds);
                self.input(Input::Tick);
            }
        }
    }

    fn open(&mut self, client: usize) {
        self.last_id += 1;
        self.connections[client] = ConnectionId(self.last_id);
        self.unanswered[client].clear();
        self.input(Input::Opened(self.connections[client]));
    }

    fn input(&mut self, input: Input) {
        self.inputs.push((self.now, input.clone()));
        for output in step(&mut self.broker, &mut self.rules, self.now, input) {
            if let Output::Send(id, packet) = &output
                && let Some(client) = self.connections.iter().position(|own| own == id)
            {
                self.unanswered[client].extend(answer(packet, true).map(|_| packet.clone()));
            }
            self.outputs.push(output);
        }
        check_counts(&self.broker);
    }
}

/// What is counted is what is there, and no session has more than it may.
fn check_counts(broker: &Broker) {
    let (counts, bounds) = (broker.counts(), &broker.config().bounds);
    let State { sessions, retained, shared } = broker.state(usize::MAX);
    let sum = |of: fn(&SessionState) -> usize| sessions.iter().map(of).sum::<usize>();
    let connected = sum(|session| usize::from(session.is_connected));
    let subscribed = sum(|session| session.subscriptions.len());
    let members: usize = shared.iter().map(|shared| shared.members.len()).sum();
    for (what, counted, there) in [
        ("connected", counts.sessions_connected, connected),
        ("waiting", counts.sessions_waiting, sessions.len() - connected),
        ("subscriptions", counts.subscriptions + counts.shared_members, subscribed),
        ("shared", counts.shared_subscriptions, shared.len()),
        ("members", counts.shared_members, members),
        ("retained", counts.retained, retained.len()),
        ("retained bytes", counts.retained_bytes, retained.iter().map(|it| it.bytes).sum()),
        ("queued", counts.queued, sum(|session| session.queued)),
        ("in flight", counts.in_flight, sum(|session| session.in_flight)),
        ("queued bytes", counts.queued_bytes, sum(|session| session.queued_bytes)),
        ("unreleased", counts.unreleased, sum(|session| session.unreleased)),
    ] {
        assert_eq!(counted, there, "{what}");
    }
    for session in &sessions {
        let filters = session.subscriptions.iter().map(|it| it.filter.len()).sum();
        for (what, count, most) in [
            ("filters", session.subscription_count, bounds.subscriptions_per_session),
            ("bytes of filters", filters, bounds.filter_bytes_per_session),
            ("messages", session.queued, broker.config().queue_limit),
            ("bytes of messages", session.queued_bytes, bounds.queued_bytes_per_session),
            ("unreleased", session.unreleased, bounds.unreleased_per_session),
        ] {
            assert!(count <= most, "{count} {what} of {} where {most} may be", session.client_id);
        }
    }
}

/// What a client answers, if anything.
fn answer(packet: &Packet, well: bool) -> Option<Packet> {
    let reason = if well { ReasonCode::Success } else { ReasonCode::UnspecifiedError };
    match packet {
        Packet::Publish(publish) => match publish.qos {
            QoS::AtMostOnce => None,
            QoS::AtLeastOnce => {
                Some(Packet::PubAck(PublishAck::because(publish.packet_id, reason)))
            }
            QoS::ExactlyOnce => {
                Some(Packet::PubRec(PublishAck::because(publish.packet_id, reason)))
            }
        },
        Packet::PubRec(ack) if !ack.reason.is_error() => Some(pubrel(ack.packet_id)),
        Packet::PubRel(ack) => Some(pubcomp(ack.packet_id)),
        _ => None,
    }
}

fn replay(config: Config, inputs: Vec<(Moment, Input)>) -> Vec<Output> {
    let mut broker = Broker::new(config);
    let mut outputs = Vec::new();
    for (now, input) in inputs {
        broker.handle(now, input);
        outputs.extend(std::iter::from_fn(|| broker.next_output()));
    }
    outputs
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_sequence_keeps_the_rules(
        config in prop_oneof![Just(Config::default()), config()],
        events in vec(event(), 1..120),
    ) {
        let is_bounded = config.bounds != Bounds::default();
        let mut run = Run::new(config.clone());
        events.into_iter().for_each(|event| run.event(event));
        prop_assert_eq!(&replay(config, run.inputs.clone()), &run.outputs);

        // Nobody left, nothing to wait for.
        run.event(Event::Pass(10_000));
        for id in 1..=run.last_id {
            run.input(Input::Closed(ConnectionId(id)));
        }
        while let Some(due) = run.broker.next_deadline() {
            prop_assert!(due > run.now, "{:?} comes again and again", due);
            run.now = due;
            run.input(Input::Tick);
        }

        // And it still serves.
        run.event(Event::Redirect(None));
        let nobody = Decision::Accepted { user: None, data: None };
        run.event(Event::Connect(0, Box::new(Connect::new("fresh")), Some(nobody)));
        let answer = run.outputs.iter().rev().find_map(|output| match output {
            Output::Send(_, Packet::ConnAck(connack)) => Some(connack.reason),
            _ => None,
        });
        if answer != Some(ReasonCode::Success) {
            prop_assert!(is_bounded, "{:?}", answer);
            return Ok(());
        }
        let sent = run.outputs.len();
        run.event(Event::Send(0, Box::new(Subscribe::new(1, "fresh", Q1).into())));
        run.event(Event::Send(0, Box::new(Publish::new("fresh", "x").qos(Q1, 2).into())));
        let is_sent = |output: &Output| matches!(output, Output::Send(..));
        let seen: Vec<_> = run.outputs.drain(sent..).filter(is_sent).collect();
        let few = if is_bounded { 2 } else { 3 };
        prop_assert!((few..4).contains(&seen.len()), "{:?}", seen);
    }
}
