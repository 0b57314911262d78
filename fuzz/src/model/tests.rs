//! The model sees what is missing, what is wrong and what is late.

use reference_broker::codec::{
    ConnAck, Connect, Publish, QoS, ReasonCode, Subscribe, SubscribeAck,
};

use super::*;

const ID: ConnectionId = ConnectionId(1);

/// Follows a core that has opened a connection.
fn opened() -> Follower {
    let mut follower = Follower::new(&Config::default()).unwrap();
    let due = Some(Moment(30_000));
    assert_eq!(follower.step(Moment(0), &Input::Opened(ID), &[], due), Ok(()));
    follower
}

fn received(packet: impl Into<Packet>) -> Input {
    Input::Received(ID, packet.into())
}

fn sent(packet: impl Into<Packet>) -> Output {
    Output::Send(ID, packet.into())
}

fn connack() -> Output {
    sent(ConnAck::new(false, ReasonCode::Success))
}

/// Follows a core with a client that subscribes to everything at QoS 1.
fn subscribed() -> Follower {
    let mut follower = opened();
    let connect = received(Connect::new("alice"));
    assert_eq!(follower.step(Moment(0), &connect, &[connack()], None), Ok(()));
    let subscribe = received(Subscribe::new(1, "#", QoS::AtLeastOnce));
    let suback = sent(Packet::SubAck(SubscribeAck::new(1, vec![ReasonCode::GrantedQoS1])));
    assert_eq!(follower.step(Moment(0), &subscribe, &[suback], None), Ok(()));
    follower
}

#[test]
fn a_packet_that_is_missing_is_seen() {
    let connect = received(Connect::new("alice"));
    assert!(opened().step(Moment(0), &connect, &[], None).is_err());
    let refused = sent(ConnAck::new(false, ReasonCode::ServerBusy));
    assert!(opened().step(Moment(0), &connect, &[refused], None).is_err());
}

#[test]
fn a_message_that_is_missing_wrong_or_too_many_is_seen() {
    let publish = Publish::new("a", "m");
    let input = received(publish.clone());
    let step = |outputs: &[Output]| subscribed().step(Moment(0), &input, outputs, None);
    let right = sent(publish.clone());
    assert_eq!(step(std::slice::from_ref(&right)), Ok(()));
    assert!(step(&[]).is_err());
    assert!(step(&[right.clone(), right]).is_err());
    assert!(step(&[sent(publish.retain())]).is_err());
}

#[test]
fn what_would_come_too_late_is_seen() {
    let connect = received(Connect::new("alice").keep_alive(10));
    let step = |due| opened().step(Moment(0), &connect, &[connack()], due);
    assert_eq!(step(Some(Moment(15_000))), Ok(()));
    assert!(step(Some(Moment(15_001))).is_err() && step(None).is_err());
}

#[test]
fn a_core_that_makes_choices_of_its_own_is_not_followed() {
    let mut config = Config::default();
    config.handling.queues_qos0 = true;
    assert!(Follower::new(&config).is_none());
}
