//! Malformed packets as scenarios: each vector of `fixtures/packets/malformed` that a client can
//! send, and that the standard tells a server how to answer, is one.

use std::mem::discriminant;
use std::sync::OnceLock;

use reference_broker::codec::vector::{self, Vector};
use reference_broker::codec::{
    Connect, DecodeError, Fault, Framer, Packet, Publish, QoS, ReasonCode, Side,
};

use crate::requirement;
use crate::target::Need;
use crate::verdict::{Outcome, Stop};

use super::{Run, Scenario, Stage, Timing};

/// A malformed packet that a client sends.
#[derive(Debug)]
pub struct PacketVector {
    id: String,
    shows: String,
    requirements: Vec<&'static str>,
    needs: &'static [Need],
    reason: ReasonCode,
    when: When,
    tier: Tier,
    vector: Vector,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    /// As the first packet of a connection.
    First,
    /// After a CONNECT that was accepted.
    Connected,
}

/// How surely the standard demands that the fault is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tier {
    /// It names the fault, or demands that it is looked for: not to notice is a failure.
    Named,
    /// Only the general definition of a protocol error covers it: not to notice is worth knowing.
    General,
}

fn vectors() -> impl Iterator<Item = Vector> {
    fixtures::MALFORMED.iter().filter_map(|(_, file)| vector::parse(file).ok()).flatten()
}

/// Whether the standard demands that a fault is noticed of a client's packet that begins with this byte, as
/// far as vectors have it; if none has it, then those of the same packet that have one of its kind. None
/// where there are none.
pub(crate) fn has_to_be_noticed(first: u8, fault: Fault) -> Option<bool> {
    static FAULTS: OnceLock<Vec<(u8, Fault, bool)>> = OnceLock::new();
    let faults = FAULTS.get_or_init(|| {
        let of_clients = vectors().filter(|vector| vector.from() == Ok(Side::Client));
        let fault = |vector: Vector| {
            let is_named = vector.fields.get("tier").is_some_and(|tier| tier == "A" || tier == "B");
            Some((vector.bytes.first()? >> 4, fault_of(&vector.bytes)?.fault, is_named))
        };
        of_clients.filter_map(fault).collect()
    });
    let always = |is_it: &dyn Fn(u8, Fault) -> bool| {
        let those = faults.iter().filter(|(packet_type, other, _)| is_it(*packet_type, *other));
        those.map(|(_, _, is_named)| *is_named).reduce(|all, one| all && one)
    };
    let packet_type = first >> 4;
    always(&|of, other| of == packet_type && other == fault)
        .or_else(|| {
            always(&|of, other| of == packet_type && discriminant(&other) == discriminant(&fault))
        })
        // What no vector of this type has may be wrong with any: it has to be noticed here if it has to everywhere.
        .or_else(|| always(&|_, other| discriminant(&other) == discriminant(&fault)))
}

/// What a broker's decoder finds wrong with these bytes of a client.
pub(crate) fn fault_of(bytes: &[u8]) -> Option<DecodeError> {
    let mut framer = Framer::new(u32::MAX);
    framer.buffer().extend_from_slice(bytes);
    loop {
        match framer.next_frame() {
            Ok(Some(frame)) => match Packet::decode(&frame, Side::Client) {
                Ok(_) => {}
                Err(error) => return Some(error),
            },
            Ok(None) => return None,
            Err(error) => return Some(error),
        }
    }
}

/// The scenarios that are made of vectors.
pub(super) fn scenarios() -> impl Iterator<Item = Scenario> {
    static VECTORS: OnceLock<Vec<PacketVector>> = OnceLock::new();
    let vectors = VECTORS.get_or_init(|| {
        vectors().filter_map(|vector| PacketVector::new(vector).ok().flatten()).collect()
    });
    vectors.iter().map(|vector| Scenario {
        id: &vector.id,
        shows: &vector.shows,
        requirements: &vector.requirements,
        needs: vector.needs,
        timing: Timing::Prompt,
        breaks: &[],
        plain: &[],
        run: Run::Vector(vector),
    })
}

/// How strictly packets are checked is a choice, where nothing says that an error must be found.
pub(crate) const RIGOUR: &str = "U-4.13.1-1";
const NO_LOCAL: &str = "MQTT-3.8.3-4";

impl PacketVector {
    /// What a vector says, if it is one for brokers.
    ///
    /// # Errors
    ///
    /// What is wrong with its fields.
    fn new(vector: Vector) -> Result<Option<PacketVector>, String> {
        if vector.from().map_err(|error| error.to_string())? == Side::Server {
            return Ok(None);
        }
        let field = |key| vector.field(key).map_err(|error| error.to_string());
        let tier = match field("tier")? {
            "A" | "B" => Tier::Named,
            "C" => Tier::General,
            "none" => return Ok(None),
            other => return Err(format!("{}: no tier '{other}'", vector.name)),
        };
        let when = match field("when")? {
            "first" => When::First,
            "connected" => When::Connected,
            other => return Err(format!("{}: no moment '{other}'", vector.name)),
        };
        let reason = u8::from_str_radix(field("reason")?, 16).ok();
        let reason = reason.and_then(ReasonCode::from_value);
        let reason = reason.ok_or_else(|| format!("{}: no such reason code", vector.name))?;
        let rows = field("requirement")?.split_whitespace().map(|id| {
            requirement::find(id).ok_or_else(|| format!("{}: no requirement {id}", vector.name))
        });
        let rows = rows.collect::<Result<Vec<_>, _>>()?;
        let first = rows.first().ok_or_else(|| format!("{}: no requirement", vector.name))?;
        let id = format!("{}/malformed/{}", section(first.section), vector.name);
        let shows = format!("The broker closes on {}", field("shows")?);
        let mut requirements: Vec<_> = rows.iter().map(|row| row.id).collect();
        if tier == Tier::General || requirements.contains(&NO_LOCAL) {
            requirements.push(RIGOUR);
        }
        let needs = needs(&vector);
        Ok(Some(PacketVector { id, shows, requirements, needs, reason, when, tier, vector }))
    }

    fn is_about_the_version(&self) -> bool {
        self.reason == ReasonCode::UnsupportedProtocolVersion
    }

    fn is_about_no_local(&self) -> bool {
        self.requirements.contains(&NO_LOCAL)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.vector.bytes
    }

    pub(super) async fn perform(&self, stage: &mut Stage) -> Outcome {
        // The same without the fault works, so what follows is the fault's doing.
        let mut bystander = stage.connected("bystander").await?;
        stage.serves(&mut bystander).await?;
        let bytes = stage.vector(&self.vector.bytes);
        let closed = match self.when {
            When::First => {
                if matches!(bytes.first(), Some(0x10..=0x1F)) {
                    stage.lets_anybody_in().await?;
                }
                let mut alice = stage.open("alice").await?;
                alice.send_bytes(bytes.clone()).await?;
                match self.is_about_the_version() {
                    true => alice.refused_in_any_version().await,
                    false => alice.refused().await,
                }
            }
            When::Connected => {
                let mut alice = stage.connected("alice").await?;
                alice.ping().await?;
                alice.has_room_for(&bytes)?;
                alice.send_bytes(bytes.clone()).await?;
                match bytes.first() {
                    // Whoever says goodbye, however badly, need not be told why (section 3.14.4).
                    Some(0xE0..=0xEF) => alice.closes().await,
                    _ => alice.closes_for(self.reason).await,
                }
            }
        };
        if closed.is_err() {
            may_be_kept(stage, &bytes);
        }
        // Section 3.8.3.1 calls No Local on a Shared Subscription an error of the whole packet; that
        // a broker refuses just this subscription does no harm.
        let tier = match self.is_about_no_local() && stage.saw("alice", refuses_a_filter) {
            true => Tier::General,
            false => self.tier,
        };
        match (closed, tier) {
            (Err(Stop::Fail(finding)), Tier::General) => {
                stage.advise(RIGOUR, &finding.expected, finding.observed);
            }
            (closed, _) => closed?,
        }
        let is_open = bystander.is_open().await?;
        let expected = "the connection of another client left open";
        stage.check_of("U-4.13.1-7", is_open, expected, "it closed")
    }
}

/// What a packet asks of its broker apart from its fault: one that does not have it may refuse the
/// packet for that reason alone.
fn needs(vector: &Vector) -> &'static [Need] {
    let fault = vector.fields.get("error").map_or("", String::as_str);
    match *vector.bytes {
        [0x82, ..] if fault.contains("SubscriptionIdentifier") => &[Need::SubscriptionIdentifiers],
        [0x82, ..] if fault == "NoLocalOnSharedSubscription" => &[Need::SharedSubscriptions],
        [first @ 0x30..=0x3F, ..] => needs_of_message(first >> 1, first & 0x01 != 0),
        // The flags of a CONNECT of fewer than 128 bytes, with a Will.
        [0x10, ..=0x7F, 0, 4, b'M', b'Q', b'T', b'T', 5, flags, ..] if flags & 0x04 != 0 => {
            needs_of_message(flags >> 3, flags & 0x20 != 0)
        }
        _ => &[],
    }
}

/// What a message needs whose QoS is in the two lowest bits; of QoS 3 there is nothing to be had.
fn needs_of_message(qos: u8, retain: bool) -> &'static [Need] {
    const QOS_1: Need = Need::QoS(QoS::AtLeastOnce);
    const QOS_2: Need = Need::QoS(QoS::ExactlyOnce);

    match (qos & 3, retain) {
        (1, false) => &[QOS_1],
        (1, true) => &[QOS_1, Need::Retain],
        (2, false) => &[QOS_2],
        (2, true) => &[QOS_2, Need::Retain],
        (_, true) => &[Need::Retain],
        (_, false) => &[],
    }
}

/// A target that overlooks the fault may keep a session or a retained message.
fn may_be_kept(stage: &Stage, bytes: &[u8]) {
    match *bytes {
        [0x10..=0x1F, ..] => {
            stage.may_keep(Connect::new(stage.client_id("vector")).session_expiry(1));
        }
        [first @ 0x30..=0x3F, _, high, low, ref rest @ ..] if first & 1 == 1 => {
            let topic = rest.get(..usize::from(u16::from_be_bytes([high, low])));
            if let Some(Ok(topic)) = topic.map(std::str::from_utf8) {
                stage.may_keep(Publish::new(topic, "").retain());
            }
        }
        _ => {}
    }
}

fn refuses_a_filter(packet: &Packet) -> bool {
    matches!(packet, Packet::SubAck(suback) if suback.reasons.iter().any(|code| code.is_error()))
}

/// Chapter and section of a longer number: `3.1` of `3.1.2.11.4`.
pub(crate) fn section(number: &str) -> &str {
    let mut dots = number.match_indices('.').map(|(position, _)| position);
    dots.nth(1).map_or(number, |end| &number[..end])
}

#[cfg(test)]
mod tests {
    use super::super::Names;
    use super::*;

    #[test]
    fn every_vector_is_understood() {
        let mut scenarios = 0;
        for (_, file) in fixtures::MALFORMED {
            for vector in vector::parse(file).unwrap() {
                scenarios += usize::from(PacketVector::new(vector).unwrap().is_some());
            }
        }
        assert_eq!(super::scenarios().count(), scenarios);
        assert!(scenarios > 0);
    }

    /// Names are put into bytes whose lengths stand beside them: the fault has to stay what it is.
    #[test]
    fn names_of_a_run_leave_each_fault_as_it_is() {
        let names = Names::new("m1b2c3", "wxexu");
        let mut with_names = 0;
        for vector in scenarios().filter_map(|scenario| scenario.malformed_bytes()) {
            let named = names.put_into(vector);
            assert_eq!(named.len(), vector.len());
            let written = fault_of(vector);
            assert!(written.is_some(), "{vector:?}");
            assert_eq!(fault_of(&named), written, "{vector:?}");
            let text = String::from_utf8_lossy(&named);
            assert!(!text.contains("therun"), "{text}");
            with_names += usize::from(named != vector);
        }
        assert!(with_names > 0);
    }

    #[test]
    fn what_is_named_has_to_be_noticed_and_what_is_only_wrong_in_general_has_not() {
        let noticed = |bytes: &[u8]| has_to_be_noticed(bytes[0], fault_of(bytes).unwrap().fault);
        // Reserved flags of PUBACK; an unassigned Reason Code, that of no vector; SUBACK of a client.
        assert_eq!(noticed(&[0x41, 2, 0, 1]), Some(true));
        assert_eq!(noticed(&[0x40, 3, 0, 1, 0x77]), Some(false));
        assert_eq!(noticed(&[0x90, 3, 0, 1, 0]), Some(false));
    }

    #[test]
    fn sections_have_two_numbers() {
        assert_eq!(section("3.1.2.11.4"), "3.1");
        assert_eq!(section("4.13"), "4.13");
        assert_eq!(section("6"), "6");
    }
}
