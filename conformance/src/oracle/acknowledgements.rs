use std::collections::BTreeMap;

use reference_broker::codec::{Fault, Packet, PacketType, QoS};

use super::connections::{Passed, Reading, Received, Step};
use super::sessions::Start;
use super::{Findings, Oracle};
use crate::trace::packet_text;

pub(super) const ORACLE: Oracle = Oracle {
    name: "acknowledgements",
    holds: "Each answer of the broker is to one request of the client, of its kind and identifier",
    requirements: &[
        "MQTT-2.2.1-5",
        "MQTT-2.2.1-6",
        "MQTT-3.3.4-1",
        "MQTT-3.8.4-6",
        "MQTT-3.11.3-2",
        "MQTT-3.12.4-1",
    ],
    judge,
};

/// The requirement that an answer breaks, and what was expected.
type Wrong = (&'static str, &'static str);

fn judge(reading: &Reading<'_>, findings: &mut Findings) {
    let sessions = reading.sessions();
    let mut pings: Vec<usize> = vec![0; sessions.len()];
    let mut asked: BTreeMap<usize, Asked> = BTreeMap::new();
    for Step { at, place, connection, passed } in reading.steps() {
        let asked = asked.entry(sessions[place].number).or_default();
        let received = match passed {
            Passed::Sent(sent) => {
                if let Some(packet) = sent.packet() {
                    pings[place] += usize::from(*packet == Packet::PingReq);
                    asked.sent(packet);
                }
                continue;
            }
            Passed::Received(_) if !connection.is_clear(at) => continue,
            Passed::Received(received) => received,
        };
        let wrong = match received {
            Received::Packet(Packet::PingResp) => {
                let open = &mut pings[place];
                let is_wrong = *open == 0;
                *open = open.saturating_sub(1);
                is_wrong.then_some(("MQTT-3.12.4-1", "one PINGRESP for each PINGREQ")) // MQTT-3.12.4-1
            }
            // What an earlier connection may have asked for is not known.
            _ if sessions[place].start == Start::Unknown => continue,
            Received::Packet(packet) => asked.received(packet, place),
            Received::Broken(bytes, error) => answers_zero(bytes, error.fault),
        };
        if let Some((requirement, expected)) = wrong {
            findings.add(requirement, at, expected, observed(received));
        }
    }
}

fn observed(received: Received<'_>) -> String {
    match received {
        Received::Packet(packet) => packet_text(packet),
        Received::Broken(..) => "an identifier of 0".to_owned(),
    }
}

/// What a session's client has asked for and not got an answer to. All answers but PINGRESP may
/// come on a later connection: no rule says that they must not.
#[derive(Debug, Default)]
struct Asked {
    messages: BTreeMap<u16, Messages>,
    releases: BTreeMap<u16, Releases>,
    subscribes: BTreeMap<u16, Requests>,
    unsubscribes: BTreeMap<u16, Requests>,
}

/// The connections over which a client got one kind of answer to one identifier. A broker may give its
/// last answer once more on each later connection: it cannot know what was read on the one before, and
/// section 4.4 speaks of PUBLISH and PUBREL alone.
#[derive(Debug, Default)]
struct Answered {
    first: Option<usize>,
    /// The last connection on which one came that nothing waited for.
    again: Option<usize>,
}

impl Answered {
    /// Takes note of an answer.
    fn on(&mut self, place: usize) {
        self.first.get_or_insert(place);
    }

    /// Whether an answer that nothing waits for may be the last one again.
    fn is_again(&mut self, place: usize) -> bool {
        let is_later = self.first.is_some_and(|first| first < place);
        is_later && self.again.replace(place) != Some(place)
    }
}

/// The client's PUBRELs with one identifier.
#[derive(Debug, Default)]
struct Releases {
    unanswered: usize,
    answered: Answered,
}

/// The client's messages with one identifier.
#[derive(Debug, Default)]
struct Messages {
    unanswered: [usize; 2],
    answered: [Answered; 2],
    /// The QoS of the exchange that has not ended, as far as the client has read.
    open: Option<QoS>,
    /// Whether the client has sent at one QoS while an exchange of the other was open: then a
    /// broker may answer for either.
    is_mixed: bool,
}

/// Requests with one identifier.
#[derive(Debug)]
struct Requests {
    unanswered: usize,
    /// How many filters the only one that waits has; none while one of several may be answered.
    only: Option<usize>,
}

impl Requests {
    fn ask(all: &mut BTreeMap<u16, Requests>, id: u16, asked: usize) {
        let requests = all.entry(id).or_insert(Requests { unanswered: 0, only: None });
        requests.only = (requests.unanswered == 0).then_some(asked);
        requests.unanswered += 1;
    }

    /// The request that an answer is for; `Some(None)` where it may be one of several.
    fn answer(all: &mut BTreeMap<u16, Requests>, id: u16) -> Option<Option<usize>> {
        let requests = all.get_mut(&id)?;
        requests.unanswered = requests.unanswered.checked_sub(1)?;
        Some(requests.only.take())
    }
}

impl Asked {
    fn sent(&mut self, packet: &Packet) {
        match packet {
            Packet::Publish(publish) if publish.qos != QoS::AtMostOnce => {
                self.messages.entry(publish.packet_id).or_default().sent(publish.qos);
            }
            Packet::PubRel(ack) => {
                self.releases.entry(ack.packet_id).or_default().unanswered += 1;
            }
            Packet::Subscribe(request) => {
                let count = request.subscriptions.len();
                Requests::ask(&mut self.subscribes, request.packet_id, count);
            }
            Packet::Unsubscribe(request) => {
                let count = request.filters.len();
                Requests::ask(&mut self.unsubscribes, request.packet_id, count);
            }
            _ => {}
        }
    }

    fn received(&mut self, packet: &Packet, place: usize) -> Option<Wrong> {
        match packet {
            Packet::PubAck(ack) => {
                let messages = self.messages.entry(ack.packet_id).or_default();
                messages.answered(QoS::AtLeastOnce, true, place)
            }
            Packet::PubRec(ack) => {
                let messages = self.messages.entry(ack.packet_id).or_default();
                messages.answered(QoS::ExactlyOnce, ack.reason.is_error(), place)
            }
            Packet::PubComp(ack) => {
                if let Some(messages) = self.messages.get_mut(&ack.packet_id) {
                    messages.open = None;
                }
                self.releases.entry(ack.packet_id).or_default().answered(place)
            }
            Packet::SubAck(ack) => match Requests::answer(&mut self.subscribes, ack.packet_id) {
                None => Some(("MQTT-2.2.1-6", "one SUBACK for each SUBSCRIBE")), // MQTT-2.2.1-6
                // What is granted is another oracle's.
                Some(Some(count)) if count != ack.reasons.len() => {
                    Some(("MQTT-3.8.4-6", "one Reason Code for each Topic Filter")) // MQTT-3.8.4-6
                }
                Some(_) => None,
            },
            Packet::UnsubAck(ack) => {
                match Requests::answer(&mut self.unsubscribes, ack.packet_id) {
                    None => Some(("MQTT-2.2.1-6", "one UNSUBACK for each UNSUBSCRIBE")), // MQTT-2.2.1-6
                    Some(Some(count)) if count != ack.reasons.len() => {
                        Some(("MQTT-3.11.3-2", "one Reason Code for each Topic Filter")) // MQTT-3.11.3-2
                    }
                    Some(_) => None,
                }
            }
            _ => None,
        }
    }
}

/// What is wrong with broken bytes: an answer with an identifier of 0, which no request has that
/// keeps the rules.
fn answers_zero(bytes: &[u8], fault: Fault) -> Option<Wrong> {
    let packet_type = bytes.first().and_then(|byte| PacketType::from_value(byte >> 4));
    match packet_type {
        _ if fault != Fault::PacketIdentifierZero => None,
        Some(PacketType::Publish) => None,
        Some(PacketType::SubAck | PacketType::UnsubAck) => {
            Some(("MQTT-2.2.1-6", "the identifier of a request")) // MQTT-2.2.1-6
        }
        _ => Some(("MQTT-2.2.1-5", "the identifier of a message")), // MQTT-2.2.1-5
    }
}

impl Releases {
    /// PUBCOMP.
    fn answered(&mut self, place: usize) -> Option<Wrong> {
        if self.unanswered == 0 {
            let wrong = ("MQTT-2.2.1-5", "one PUBCOMP for each PUBREL"); // MQTT-2.2.1-5
            return (!self.answered.is_again(place)).then_some(wrong);
        }
        self.unanswered -= 1;
        self.answered.on(place);
        None
    }
}

impl Messages {
    fn unanswered(&mut self, qos: QoS) -> &mut usize {
        &mut self.unanswered[usize::from(qos == QoS::ExactlyOnce)]
    }

    fn sent(&mut self, qos: QoS) {
        self.is_mixed |= self.open.is_some_and(|open| open != qos);
        self.open = Some(qos);
        *self.unanswered(qos) += 1;
    }

    /// PUBACK for QoS 1, PUBREC for QoS 2.
    fn answered(&mut self, qos: QoS, ends: bool, place: usize) -> Option<Wrong> {
        if ends {
            self.open = None;
        }
        let other = match qos {
            QoS::ExactlyOnce => QoS::AtLeastOnce,
            _ => QoS::ExactlyOnce,
        };
        let has_other = *self.unanswered(other) > 0;
        let answered = usize::from(qos == QoS::ExactlyOnce);
        for qos in [Some(qos), self.is_mixed.then_some(other)].into_iter().flatten() {
            let open = self.unanswered(qos);
            if *open > 0 {
                *open -= 1;
                self.answered[answered].on(place);
                return None;
            }
        }
        if self.answered[answered].is_again(place) {
            return None;
        }
        Some(match has_other {
            true => ("MQTT-3.3.4-1", "PUBACK for QoS 1, PUBREC for QoS 2"), // MQTT-3.3.4-1
            false => ("MQTT-2.2.1-5", "one PUBACK or PUBREC for each message"), // MQTT-2.2.1-5
        })
    }
}
