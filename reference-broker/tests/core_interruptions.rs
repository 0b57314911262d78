//! Exchanges at QoS 1 and 2, interrupted after each of their packets, in each way a connection ends
//! and each way a client comes back (sections 4.3, 4.4 and 4.9).

#[path = "support/bench.rs"]
mod bench;

use std::collections::{BTreeMap, BTreeSet};

use bench::{Bench, Q1, Q2, disconnect, message, puback, pubcomp, pubrec, pubrel, text};
use reference_broker::codec::{Connect, Packet, PropertyId, Publish, QoS, ReasonCode};
use reference_broker::core::Config;

/// How many messages are in each exchange.
const MESSAGES: u16 = 3;

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Cut,
    Disconnect(ReasonCode),
    TakenOver,
}

/// How the client comes back.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Back {
    Resume,
    CleanStart,
    /// With the session at its end.
    TooLate,
}

/// One line of the table.
#[derive(Clone, Copy, Debug)]
struct Case {
    qos: QoS,
    /// After how many packets of the one who sends the messages.
    packets: usize,
    /// Whether the answer to the last of them is lost.
    is_lost: bool,
    end: End,
    back: Back,
    /// Receive Maximum of the one who receives the messages.
    window: u16,
}

fn cases() -> Vec<Case> {
    let ends = [
        End::Cut,
        End::Disconnect(ReasonCode::Success),
        End::Disconnect(ReasonCode::DisconnectWithWill),
        End::TakenOver,
    ];
    let mut cases = Vec::new();
    for (qos, steps) in [(Q1, 1), (Q2, 2)] {
        for packets in 0..=steps * usize::from(MESSAGES) {
            for is_lost in [false, true] {
                for end in ends {
                    for back in [Back::Resume, Back::CleanStart, Back::TooLate] {
                        for window in [1, 2, MESSAGES] {
                            cases.push(Case { qos, packets, is_lost, end, back, window });
                        }
                    }
                }
            }
        }
    }
    // Nothing can be lost before the first packet, and who is taken over is not too late.
    cases.retain(|case| case.packets > 0 || !case.is_lost);
    cases.retain(|case| case.end != End::TakenOver || case.back != Back::TooLate);
    cases
}

/// Packet Identifiers are used again at once: that shows which are free.
fn bench() -> Bench {
    let mut config = Config { receive_maximum: MESSAGES, ..Config::default() };
    config.handling.lowest_packet_id_first = true;
    Bench::with(config)
}

fn connect(case: Case, clean_start: bool) -> Connect {
    let connect = Connect { clean_start, ..Connect::new("c") }.session_expiry(60);
    connect.with(PropertyId::ReceiveMaximum, u32::from(case.window))
}

/// Ends the connection and comes back. Says whether the session is there.
fn interrupt(bench: &mut Bench, case: Case) -> bool {
    match case.end {
        End::Cut => bench.cut("c"),
        End::Disconnect(reason) => {
            bench.send("c", disconnect(reason));
            bench.skip_to_close("c");
        }
        End::TakenOver => {}
    }
    bench.pass(if case.back == Back::TooLate { 60_000 } else { 59_999 });
    bench.connect("c", connect(case, case.back == Back::CleanStart)).session_present
}

/// A client that receives messages, and keeps its part of the session.
#[derive(Default)]
struct Receiver {
    /// Messages at QoS 2 that are not released, by Packet Identifier.
    unreleased: BTreeMap<u16, String>,
    /// Those that are.
    released: Vec<u16>,
    /// What the application got.
    got: Vec<String>,
    /// All PUBLISH packets.
    packets: Vec<Publish>,
}

impl Receiver {
    /// Takes a packet in and gives the answer.
    fn take(&mut self, packet: Packet) -> Packet {
        match packet {
            Packet::Publish(publish) => {
                let (id, payload) = (publish.packet_id, text(&publish));
                let qos = publish.qos;
                self.packets.push(publish);
                if qos == Q1 {
                    self.got.push(payload);
                    return puback(id);
                }
                match self.unreleased.get(&id) {
                    Some(old) => assert_eq!(*old, payload, "the identifier of another message"),
                    None => self.got.push(payload.clone()),
                }
                self.unreleased.insert(id, payload);
                pubrec(id)
            }
            Packet::PubRel(ack) => {
                assert_eq!(ack.reason, ReasonCode::Success);
                match self.unreleased.remove(&ack.packet_id) {
                    Some(_) => self.released.push(ack.packet_id),
                    // The PUBCOMP for it was lost.
                    None => assert!(self.released.contains(&ack.packet_id), "{ack:?} for nothing"),
                }
                pubcomp(ack.packet_id)
            }
            other => panic!("{other:?} is no part of an exchange"),
        }
    }

    /// Goes through with all that comes.
    fn take_all(&mut self, bench: &mut Bench) {
        while let Some(packet) = bench.next_packet("c") {
            let answer = self.take(packet);
            bench.send("c", answer);
        }
    }
}

fn payload(n: u16) -> String {
    format!("m{n}")
}

/// The receiver has taken as many packets as the case says, and then the connection is gone.
fn outbound(case: Case) -> (Bench, Receiver, bool) {
    let mut bench = bench();
    bench.join("p");
    bench.connect("c", connect(case, true));
    bench.subscribe("c", "t", case.qos);
    for n in 1..=MESSAGES {
        bench.send("p", Publish::new("t", payload(n)).qos(case.qos, n));
        bench.send("p", pubrel(n));
    }
    let mut receiver = Receiver::default();
    for n in 1..=case.packets {
        let packet = bench.next_packet("c").expect("a packet for each answer");
        let answer = receiver.take(packet);
        if !(case.is_lost && n == case.packets) {
            bench.send("c", answer);
        }
    }
    let is_present = interrupt(&mut bench, case);
    (bench, receiver, is_present)
}

/// What was received before the end must be the same afterwards; what is repeated comes first, in the
/// order of its first time.
fn check_repetitions(case: Case, before: &[Publish], after: &[Publish]) {
    let repeated: Vec<_> = after.iter().filter(|publish| publish.dup).collect();
    let first_new = after.iter().position(|publish| !publish.dup).unwrap_or(after.len());
    assert_eq!(first_new, repeated.len(), "{case:?}: repetitions first: {after:?}");
    for publish in repeated {
        // It may have been on its way without having been taken: then its identifier shows nothing.
        if let Some(first) = before.iter().find(|first| first.payload == publish.payload) {
            assert_eq!(first.clone().dup(), *publish, "{case:?}");
        }
    }
    for publish in after.iter().filter(|publish| !publish.dup) {
        let is_known = before.iter().any(|first| first.payload == publish.payload);
        assert!(!is_known, "{case:?}: {publish:?} again without DUP");
    }
    assert!(after.is_sorted_by_key(|publish| publish.payload.clone()), "{case:?}: {after:?}");
}

#[test]
fn messages_to_a_client_survive_every_interruption() {
    let mut count = 0;
    for case in cases().into_iter().filter(|case| case.back == Back::Resume) {
        count += 1;
        let (mut bench, mut receiver, is_present) = outbound(case);
        assert!(is_present, "{case:?}");
        let before = std::mem::take(&mut receiver.packets);
        receiver.take_all(&mut bench);
        check_repetitions(case, &before, &receiver.packets);
        let expected: Vec<_> = (1..=MESSAGES).map(payload).collect();
        match case.qos {
            Q2 => assert_eq!(receiver.got, expected, "{case:?}: exactly once"),
            _ => {
                let got: BTreeSet<_> = receiver.got.iter().cloned().collect();
                assert_eq!(
                    got.into_iter().collect::<Vec<_>>(),
                    expected,
                    "{case:?}: at least once"
                );
                let twice = usize::from(case.is_lost);
                assert_eq!(receiver.got.len(), expected.len() + twice, "{case:?}");
            }
        }
        assert_eq!(receiver.unreleased, BTreeMap::new(), "{case:?}");
        check_whole(&mut bench, case);
    }
    assert_eq!(count, 240, "cases");
}

#[test]
fn messages_to_a_client_go_with_its_session() {
    let mut count = 0;
    for case in cases().into_iter().filter(|case| case.back != Back::Resume) {
        count += 1;
        let (mut bench, _, is_present) = outbound(case);
        assert!(!is_present, "{case:?}");
        assert_eq!(bench.next_packet("c"), None, "{case:?}");
        bench.subscribe("c", "t", case.qos);
        check_whole(&mut bench, case);
    }
    assert_eq!(count, 420, "cases");
}

/// All identifiers are free again, and the quota is whole.
fn check_whole(bench: &mut Bench, case: Case) {
    for n in 11..=11 + MESSAGES {
        bench.send("p", Publish::new("t", payload(n)).qos(Q1, n));
    }
    let packets: Vec<_> = std::iter::from_fn(|| bench.next_packet("c")).collect();
    let ids: Vec<_> = packets
        .iter()
        .map(|packet| match packet {
            Packet::Publish(publish) if !publish.dup => publish.packet_id,
            other => panic!("{case:?}: {other:?}"),
        })
        .collect();
    assert_eq!(ids, (1..=case.window).collect::<Vec<_>>(), "{case:?}");
}

/// A client that sends messages, and keeps its part of the session.
#[derive(Default)]
struct Sender {
    /// Not acknowledged, with how far each is, in the order of their first time.
    open: Vec<(u16, bool)>,
    /// Sent at least once to the broker.
    arrived: BTreeSet<u16>,
}

impl Sender {
    /// The next packet: PUBREL for what is received, else another PUBLISH.
    fn next(&mut self, qos: QoS) -> Option<Packet> {
        if let Some((id, _)) = self.open.iter().find(|(_, is_received)| *is_received) {
            return Some(pubrel(*id));
        }
        let id = (1..=MESSAGES).find(|id| !self.arrived.contains(id))?;
        self.arrived.insert(id);
        self.open.push((id, false));
        Some(Publish::new("t", payload(id)).qos(qos, id).into())
    }

    /// Goes by what the broker answered.
    fn take(&mut self, packet: &Packet) {
        match packet {
            Packet::PubAck(ack) | Packet::PubComp(ack) => {
                self.open.retain(|(id, _)| *id != ack.packet_id);
            }
            Packet::PubRec(ack) => {
                assert_eq!(ack.reason, ReasonCode::Success);
                self.open.iter_mut().filter(|it| it.0 == ack.packet_id).for_each(|it| it.1 = true);
            }
            other => panic!("{other:?} is no part of an exchange"),
        }
    }

    fn take_all(&mut self, bench: &mut Bench) {
        while let Some(packet) = bench.next_packet("c") {
            self.take(&packet);
        }
    }

    /// What section 4.4 asks of it on a new connection.
    fn repetitions(&self, qos: QoS) -> Vec<Packet> {
        let packets = self.open.iter().map(|(id, is_received)| match is_received {
            true => pubrel(*id),
            false => Publish::new("t", payload(*id)).qos(qos, *id).dup().into(),
        });
        packets.collect()
    }
}

/// The sender has sent as many packets as the case says; the last of them does not arrive at all if
/// `never` says so.
fn inbound(case: Case, never: bool) -> (Bench, Sender, bool) {
    let mut bench = bench();
    bench.join("w");
    bench.subscribe("w", "t", QoS::AtMostOnce);
    bench.connect("c", connect(case, true));
    let mut sender = Sender::default();
    for n in 1..=case.packets {
        let packet = sender.next(case.qos).expect("a packet for each step");
        let is_last = n == case.packets;
        if !(is_last && never) {
            bench.send("c", packet);
        }
        if !(is_last && case.is_lost) {
            sender.take_all(&mut bench);
        } else {
            while bench.next_packet("c").is_some() {}
        }
    }
    let is_present = interrupt(&mut bench, case);
    (bench, sender, is_present)
}

#[test]
fn messages_from_a_client_survive_every_interruption() {
    let mut count = 0;
    for case in cases().into_iter().filter(|case| case.back == Back::Resume && case.window == 1) {
        for never in [false, true].into_iter().filter(|never| !never || case.is_lost) {
            count += 1;
            let (mut bench, mut sender, is_present) = inbound(case, never);
            assert!(is_present, "{case:?}");
            for packet in sender.repetitions(case.qos) {
                bench.send("c", packet);
                sender.take_all(&mut bench);
            }
            while let Some(packet) = sender.next(case.qos) {
                bench.send("c", packet);
                sender.take_all(&mut bench);
            }
            let got = bench.payloads("w");
            let mut expected: Vec<_> = (1..=MESSAGES).map(payload).collect();
            if case.qos == Q1 && case.is_lost && !never {
                // At least once: the broker cannot know that it had it.
                expected.insert(case.packets, expected[case.packets - 1].clone());
            }
            assert_eq!(got, expected, "{case:?} {never}");
            check_receives(&mut bench, case);
        }
    }
    assert_eq!(count, 116, "cases");
}

#[test]
fn identifiers_of_messages_from_a_client_go_with_its_session() {
    let mut count = 0;
    for case in cases().into_iter().filter(|case| case.back != Back::Resume && case.window == 1) {
        count += 1;
        let (mut bench, sender, is_present) = inbound(case, false);
        assert!(!is_present, "{case:?}");
        let got = bench.payloads("w");
        assert_eq!(
            got,
            sender.arrived.iter().copied().map(payload).collect::<Vec<_>>(),
            "{case:?}"
        );
        // What was received by the old session has nothing to do with the new one.
        for (id, _) in &sender.open {
            bench.send("c", pubrel(*id));
            let answer = bench.next_packet("c");
            let is_unknown = |packet: &Packet| matches!(packet, Packet::PubComp(ack) if ack.reason == ReasonCode::PacketIdentifierNotFound);
            assert!(answer.as_ref().is_some_and(is_unknown), "{case:?}: {answer:?}");
        }
        check_receives(&mut bench, case);
    }
    assert_eq!(count, 140, "cases");
}

/// Each identifier stands for a new message again, and as many as the Receive Maximum allows may be
/// on their way, but not one more.
fn check_receives(bench: &mut Bench, case: Case) {
    for id in 1..=MESSAGES {
        bench.send("c", message("t").qos(Q2, id));
        assert_eq!(bench.expect("c"), pubrec(id), "{case:?}");
    }
    assert_eq!(bench.payloads("w").len(), usize::from(MESSAGES), "{case:?}");
    bench.send("c", message("t").qos(Q2, MESSAGES + 1));
    bench.expect_disconnect("c", ReasonCode::ReceiveMaximumExceeded);
}
