use reference_broker::codec::{Connect, Publish, PublishAck, QoS, Subscribe};

use super::*;

const ALICE: ConnectionId = ConnectionId(1);

fn outputs(layer: &mut Layer, now: u64, input: Input) -> Vec<Output> {
    layer.handle(Moment(now), input);
    std::iter::from_fn(|| layer.next_output()).collect()
}

/// A layer with alice connected.
fn connected(rules: Rules) -> Layer {
    let mut layer = Layer::new(Config::default(), rules);
    outputs(&mut layer, 0, Input::Opened(ALICE));
    outputs(&mut layer, 0, Input::Received(ALICE, Connect::new("alice").into()));
    layer
}

fn ping() -> Input {
    Input::Received(ALICE, Packet::PingReq)
}

fn is_ping(packet: &Packet, _: rules::At<'_>) -> bool {
    matches!(packet, Packet::PingReq | Packet::PingResp)
}

const PONG: Output = Output::Send(ALICE, Packet::PingResp);

#[test]
fn without_rules_everything_passes() {
    let mut layer = connected(Vec::new());
    assert_eq!(outputs(&mut layer, 0, ping()), [PONG]);
    let client = layer.clients.get(ALICE).unwrap();
    assert_eq!((&*client.id, client.accepted, client.resumed), ("alice", true, false));
}

#[test]
fn inputs_and_outputs_are_swallowed_repeated_and_forged() {
    let mut layer = connected(vec![rules::ignores(is_ping)]);
    assert_eq!(outputs(&mut layer, 0, ping()), []);
    let mut layer = connected(vec![rules::swallows(rules::only(2, is_ping))]);
    let mut count = || outputs(&mut layer, 0, ping()).len();
    assert_eq!([count(), count(), count()], [1, 0, 1]);
    let mut layer = connected(vec![rules::repeats(rules::after(1, is_ping))]);
    let mut count = || outputs(&mut layer, 0, ping()).len();
    assert_eq!([count(), count()], [1, 2]);
    let forge =
        |packet: &Packet, at: rules::At<'_>| is_ping(packet, at).then(|| vec![Packet::PingReq]);
    let mut layer = connected(vec![rules::answers(forge)]);
    assert_eq!(outputs(&mut layer, 0, ping()), [Output::Send(ALICE, Packet::PingReq)]);
}

#[test]
fn the_first_rule_is_nearest_to_the_clients() {
    let seen = |mark: &'static str| {
        rules::reads(move |packet, _| {
            if let Packet::Publish(publish) = packet {
                publish.topic = format!("{}{mark}", &*publish.topic).into();
            }
        })
    };
    let echo = rules::outward(|packet, _, act| act.send(packet));
    let mut layer = connected(vec![seen("/1"), echo, seen("/2")]);
    let filter = Subscribe::new(1, "a/1/2", QoS::AtMostOnce);
    outputs(&mut layer, 0, Input::Received(ALICE, filter.into()));
    let sent = outputs(&mut layer, 0, Input::Received(ALICE, Publish::new("a", "x").into()));
    let Some(Output::Send(ALICE, Packet::Publish(publish))) = sent.first() else {
        panic!("{sent:?}")
    };
    assert_eq!(&*publish.topic, "a/1/2");
}

#[test]
fn what_is_held_back_comes_when_it_is_due() {
    let mut layer = connected(vec![rules::delays(Duration::from_secs(2), is_ping)]);
    assert_eq!(outputs(&mut layer, 1000, ping()), []);
    assert_eq!(layer.next_deadline(), Some(Moment(3000)));
    assert_eq!(outputs(&mut layer, 2999, Input::Tick), []);
    assert_eq!(outputs(&mut layer, 3000, Input::Tick), [PONG]);
    assert_eq!(layer.next_deadline(), None);
}

#[test]
fn a_connection_that_is_closed_is_closed_for_the_core_too() {
    let mut layer = connected(vec![rules::closes(is_ping)]);
    assert_eq!(outputs(&mut layer, 0, ping()), [Output::Close(ALICE)]);
    assert!(layer.clients.get(ALICE).is_none());
}

fn received(packet: impl Into<Packet>) -> Input {
    Input::Received(ALICE, packet.into())
}

/// The payloads of the messages among outputs.
fn payloads(outputs: &[Output]) -> Vec<&[u8]> {
    let publishes = outputs.iter().filter_map(|output| match output {
        Output::Send(ALICE, Packet::Publish(publish)) => Some(publish),
        _ => None,
    });
    publishes.map(|publish| &publish.payload[..]).collect()
}

/// What alice, who takes one message at a time, is sent at the start and then with each PUBACK.
fn served(window: window::Window) -> Vec<Vec<Output>> {
    let mut layer = Layer::new(Config::default(), vec![window.rule()]);
    outputs(&mut layer, 0, Input::Opened(ALICE));
    let connect = Connect::new("alice").with(PropertyId::ReceiveMaximum, 1_u32);
    outputs(&mut layer, 0, received(connect));
    outputs(&mut layer, 0, received(Subscribe::new(1, "a", QoS::AtLeastOnce)));
    let publish = |payload: &'static str, id| Publish::new("a", payload).qos(QoS::AtLeastOnce, id);
    let fleeting = publish("2", 2).with(PropertyId::MessageExpiryInterval, 1_u32);
    let mut sent = Vec::new();
    for publish in [publish("1", 1), fleeting, publish("3", 3), publish("4", 4)] {
        sent.extend(outputs(&mut layer, 0, received(publish)));
    }
    let mut all = vec![sent];
    while let Some(id) = all.last().and_then(|sent| last_id(sent)) {
        all.push(outputs(&mut layer, 2000, received(Packet::PubAck(PublishAck::new(id)))));
    }
    all
}

fn last_id(outputs: &[Output]) -> Option<u16> {
    outputs.iter().rev().find_map(|output| match output {
        Output::Send(ALICE, Packet::Publish(publish)) => Some(publish.packet_id),
        _ => None,
    })
}

#[test]
fn a_window_keeps_to_the_maximum_and_the_order_unless_told_otherwise() {
    let order = |window: window::Window| {
        let all = served(window);
        all.iter().map(|sent| payloads(sent).concat()).collect::<Vec<_>>()
    };
    let right = window::Window::default();
    assert_eq!(order(right), [b"1", b"3", b"4", &b""[..]]);
    let newest_first = window::Window { order: window::Order::LastComeFirst, ..right };
    assert_eq!(order(newest_first), [b"1", b"4", b"3", &b""[..]]);
    let keeps_expired = window::Window { keeps_expired: true, ..right };
    assert_eq!(order(keeps_expired), [b"1", b"2", b"3", b"4", &b""[..]]);
}

#[test]
fn subscriptions_are_altered_on_resume_alone() {
    let lost = || subscriptions::resubscribes(|_, present| present, |_| None);
    let mut layer = Layer::new(Config::default(), vec![lost()]);
    let connect = |clean| {
        let connect = Connect::new("alice").session_expiry(60);
        received(if clean { connect } else { connect.resume() })
    };
    let message = || received(Publish::new("a", "x"));
    outputs(&mut layer, 0, Input::Opened(ALICE));
    outputs(&mut layer, 0, connect(true));
    outputs(&mut layer, 0, received(Subscribe::new(1, "a", QoS::AtLeastOnce)));
    assert_eq!(payloads(&outputs(&mut layer, 0, message())), [b"x"]);
    outputs(&mut layer, 0, Input::Closed(ALICE));
    outputs(&mut layer, 0, Input::Opened(ALICE));
    let resumed = outputs(&mut layer, 0, connect(false));
    assert!(
        matches!(&resumed[..], [Output::Send(ALICE, Packet::ConnAck(it))] if it.session_present)
    );
    assert_eq!(outputs(&mut layer, 0, message()), []);
}
