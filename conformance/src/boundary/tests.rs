use reference_broker::codec::{Connect, Publish, QoS, Subscribe};

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
