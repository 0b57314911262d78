use reference_broker::codec::{
    Connect, Publish, PublishAck, QoS, RetainHandling, Subscribe, SubscriptionOptions,
};

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
fn what_is_held_back_together_keeps_its_order() {
    let visit = rules::inward(|packet, at, act| {
        if is_ping(&packet, at) {
            let publish = Publish::new("a", "from nobody");
            act.boundary.publish_after(Duration::from_secs(1), publish);
        }
        act.receive(packet);
    });
    let mut layer = connected(vec![visit]);
    let filter = Subscribe::new(1, "a", QoS::AtMostOnce);
    outputs(&mut layer, 0, Input::Received(ALICE, filter.into()));
    assert_eq!(outputs(&mut layer, 0, ping()), [PONG]);
    let sent = outputs(&mut layer, 1000, Input::Tick);
    let to_alice = Output::Send(ALICE, Publish::new("a", "from nobody").into());
    assert!(sent.contains(&to_alice), "{sent:?}");
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
    let lost = || rules::subscriptions::resubscribes(|_, present| present, |_, _| None);
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

/// The messages among outputs: payload, Packet Identifier and RETAIN.
fn messages(outputs: Vec<Output>) -> Vec<(String, u16, bool)> {
    let message = |output| match output {
        Output::Send(_, Packet::Publish(publish)) => {
            let payload = String::from_utf8_lossy(&publish.payload).into_owned();
            Some((payload, publish.packet_id, publish.retain))
        }
        _ => None,
    };
    outputs.into_iter().filter_map(message).collect()
}

#[test]
fn a_message_that_is_lost_is_settled_with_the_core() {
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let lost = rules::messages::loses(|publish, _| *publish.payload == *b"lost");
        let config = Config { send_window: 1, ..Config::default() };
        let mut layer = Layer::new(config, vec![lost]);
        outputs(&mut layer, 0, Input::Opened(ALICE));
        outputs(&mut layer, 0, received(Connect::new("alice")));
        outputs(&mut layer, 0, received(Subscribe::new(1, "a", qos)));
        for id in 1..=3 {
            let lost = outputs(&mut layer, 0, received(Publish::new("a", "lost").qos(qos, id)));
            assert!(matches!(&lost[..], [Output::Send(_, Packet::PubAck(_) | Packet::PubRec(_))]));
        }
        let kept = outputs(&mut layer, 0, received(Publish::new("a", "kept").qos(qos, 4)));
        // Those before it leave it room.
        assert_eq!(messages(kept), [("kept".to_owned(), 4, false)]);
    }
}

#[test]
fn a_message_goes_out_for_a_cause() {
    use rules::messages::Cause;
    let marks = rules::messages::remembers(
        (),
        |(), _, _| (),
        |(), publish, cause, _, act| {
            act.send(Publish { payload: format!("{cause:?}").into(), ..publish })
        },
    );
    let mut layer = connected(vec![marks]);
    let retained = Publish::new("a", "x").retain();
    assert_eq!(messages(outputs(&mut layer, 0, received(retained))), []);
    let subscribe = Subscribe::new(1, "a", QoS::AtLeastOnce);
    let brought = messages(outputs(&mut layer, 0, received(subscribe)));
    assert_eq!(brought, [(format!("{:?}", Cause::Subscribe), 0, true)]);
    let live = Publish::new("a", "x").qos(QoS::AtLeastOnce, 1);
    let live = messages(outputs(&mut layer, 0, received(live)));
    assert_eq!(live, [(format!("{:?}", Cause::Publish), 1, false)]);
}

#[test]
fn what_waited_goes_out_for_the_resumption() {
    let marks = rules::messages::delivered_for(rules::messages::Cause::Resume, |publish, _| {
        publish.payload = "resumed".into();
    });
    let mut layer = Layer::new(Config::default(), vec![marks]);
    for id in [ALICE, ConnectionId(2)] {
        let connect = Connect::new("alice").resume().session_expiry(60);
        outputs(&mut layer, 0, Input::Opened(id));
        let sent = outputs(&mut layer, 0, Input::Received(id, connect.into()));
        if id == ALICE {
            outputs(&mut layer, 0, received(Subscribe::new(1, "a", QoS::AtLeastOnce)));
            let live = Publish::new("a", "live").qos(QoS::AtLeastOnce, 1);
            let live = messages(outputs(&mut layer, 0, received(live)));
            assert_eq!(live, [("live".to_owned(), 1, false)]);
        } else {
            assert_eq!(messages(sent), [("resumed".to_owned(), 1, false)]);
        }
    }
}

#[test]
fn retained_messages_are_removed_unseen() {
    let removes = rules::messages::removes_retained(|packet, _| match packet {
        Packet::PingReq => vec!["a".into()],
        _ => Vec::new(),
    });
    let mut layer = connected(vec![removes]);
    outputs(&mut layer, 0, received(Publish::new("a", "kept").retain()));
    let brought = outputs(&mut layer, 0, received(Subscribe::new(1, "a", QoS::AtMostOnce)));
    assert_eq!(messages(brought), [("kept".to_owned(), 0, true)]);
    assert_eq!(outputs(&mut layer, 0, ping()), [PONG]);
    let again = outputs(&mut layer, 0, received(Subscribe::new(1, "a", QoS::AtMostOnce)));
    assert_eq!(messages(again), []);
}

#[test]
fn subscriptions_are_made_anew_unseen() {
    use subscriptions::Held;
    let lowers = rules::subscriptions::reads_knowing(|packet, known, at| {
        let own = known.of(at).iter().filter(|_| matches!(packet, Packet::PingReq));
        let at_0 = SubscriptionOptions {
            retain_handling: RetainHandling::Send,
            ..SubscriptionOptions::at(QoS::AtMostOnce)
        };
        own.map(|(filter, held)| (filter.clone(), Held { options: at_0, ..*held })).collect()
    });
    let mut layer = connected(vec![lowers]);
    outputs(&mut layer, 0, received(Subscribe::new(1, "a", QoS::AtLeastOnce)));
    outputs(&mut layer, 0, received(Publish::new("a", "kept").qos(QoS::AtLeastOnce, 1).retain()));
    outputs(&mut layer, 0, received(Packet::PubAck(PublishAck::new(1))));
    assert_eq!(outputs(&mut layer, 0, ping()), [PONG]);
    let live = outputs(&mut layer, 0, received(Publish::new("a", "x").qos(QoS::AtLeastOnce, 1)));
    assert_eq!(messages(live), [("x".to_owned(), 0, false)]);
}

#[test]
fn filters_overlap_where_a_topic_matches_both() {
    use subscriptions::overlap;
    for (one, other) in
        [("a", "a"), ("a", "+"), ("a/b", "a/#"), ("a", "a/#"), ("+/b", "a/+"), ("#", "a/b")]
    {
        assert!(overlap(one, other) && overlap(other, one), "{one} {other}");
    }
    for (one, other) in [("a", "b"), ("a", "+/+"), ("a/b/c", "a/+"), ("b/#", "a/#")] {
        assert!(!overlap(one, other) && !overlap(other, one), "{one} {other}");
    }
}
