use reference_broker::codec::{Fault, PacketType, Place, PropertyId, Side};

use super::connections::{Passed, Reading, Received, Recoded, Sent, Step, recoded};
use super::{Findings, Oracle};
use crate::trace::packet_text;

pub(super) const ORACLE: Oracle = Oracle {
    name: "well-formed",
    holds: "Every packet of the broker keeps the rules that its bytes alone can break",
    requirements: REQUIREMENTS,
    judge,
};

/// What [`Fault::requirement`] gives for the faults that packets of a server can have.
const REQUIREMENTS: &[&str] = &[
    "MQTT-1.5.4-1",
    "MQTT-1.5.4-2",
    "MQTT-1.5.5-1",
    "MQTT-2.2.1-4",
    "MQTT-2.2.1-5",
    "MQTT-2.2.1-6",
    "MQTT-3.2.2-1",
    "MQTT-3.2.2-6",
    "MQTT-3.2.2-8",
    "MQTT-3.3.1-2",
    "MQTT-3.3.1-4",
    "MQTT-3.3.2-2",
    "MQTT-3.3.2-8",
    "MQTT-3.3.2-14",
    "MQTT-3.4.2-1",
    "MQTT-3.5.2-1",
    "MQTT-3.6.1-1",
    "MQTT-3.6.2-1",
    "MQTT-3.7.2-1",
    "MQTT-3.9.3-2",
    "MQTT-3.11.3-2",
    "MQTT-3.14.1-1",
    "MQTT-3.14.2-1",
    "MQTT-3.14.2-2",
    "MQTT-3.15.1-1",
    "MQTT-3.15.2-1",
    "MQTT-4.12.0-5",
    "U-1.5.4-6",
    "U-1.5.5-1",
    "U-1.5.6-1",
    "U-2.1.2-1",
    "U-2.1.2-3",
    "U-2.1.3-1",
    "U-2.1.4-2",
    "U-2.2.1-1",
    "U-2.2.2.1-1",
    "U-2.2.2.2-1",
    "U-2.2.2.2-3",
    "U-2.2.2.2-8",
    "U-2.2.2.2-9",
    "U-2.2.2.2-10",
    "U-2.2.2.2-13",
    "U-2.2.2.2-14",
    "U-2.2.2.2-15",
    "U-2.3-1",
    "U-3.2.2.3.2-1",
    "U-3.2.2.3.3-1",
    "U-3.2.2.3.4-1",
    "U-3.2.2.3.5-1",
    "U-3.2.2.3.6-1",
    "U-3.2.2.3.7-1",
    "U-3.2.2.3.8-1",
    "U-3.2.2.3.9-1",
    "U-3.2.2.3.11-1",
    "U-3.2.2.3.12-1",
    "U-3.2.2.3.13-1",
    "U-3.2.2.3.14-1",
    "U-3.2.2.3.15-1",
    "U-3.2.2.3.16-1",
    "U-3.2.2.3.16-2",
    "U-3.2.2.3.17-1",
    "U-3.2.2.3.18-1",
    "U-3.3.2.1-2",
    "U-3.3.2.3.2-3",
    "U-3.3.2.3.3-2",
    "U-3.3.2.3.4-1",
    "U-3.3.2.3.5-1",
    "U-3.3.2.3.6-1",
    "U-3.3.2.3.8-1",
    "U-3.3.2.3.9-1",
    "U-3.4.2.2.2-1",
    "U-3.5.2.2.2-1",
    "U-3.6.2.2.2-1",
    "U-3.7.2.2.2-1",
    "U-3.9.2.1.2-1",
    "U-3.11.2.1.2-1",
    "U-3.14.2.1-2",
    "U-3.14.2.2.3-1",
    "U-3.14.2.2.5-1",
    "U-3.14.2.2.5-2",
    "U-3.15.2.1-1",
    "U-3.15.2.2.2-1",
    "U-3.15.2.2.3-1",
    "U-3.15.2.2.4-1",
    "U-4.13.1-1",
];

fn judge(reading: &Reading<'_>, findings: &mut Findings) {
    let mut judged = vec![false; reading.connections.len()];
    let mut clients_err = false;
    for Step { at, place, connection, passed } in reading.steps() {
        let (fault, observed) = match passed {
            Passed::Sent(Sent::Broken(PacketType::Connect | PacketType::Publish, _))
            | Passed::Sent(Sent::Noise(_)) => {
                clients_err = true;
                continue;
            }
            Passed::Sent(_) => continue,
            Passed::Received(Received::Packet(packet)) => match recoded(packet, Side::Server) {
                Recoded::Fault(fault) => (fault, format!("{fault}: {}", packet_text(packet))),
                Recoded::Same(_) | Recoded::Unwritable => continue,
            },
            Passed::Received(Received::Broken(bytes, error)) => {
                // Section 3.15.2.1 has a short form of AUTH, though 3.15.2.2.2 rules it out.
                if **bytes == [0xF0, 0x00] {
                    continue;
                }
                (error.fault, error.to_string())
            }
        };
        let passed_on = clients_err && may_be_passed_on(fault);
        // The probe has a limit of its own, which is none of the client's.
        let too_large = matches!(fault, Fault::PacketTooLarge { .. });
        // After the first fault bytes and packets may be out of step.
        if judged[place] || passed_on || too_large || !connection.is_ours() {
            continue;
        }
        judged[place] = true;
        let requirement = match zero_answer(passed, fault) {
            // A client that uses 0 may get it back: how strictly to check is a choice.
            Some(_) if !connection.is_clear(at) => "U-4.13.1-1", // U-4.13.1-1
            Some(requirement) => requirement,
            None => fault.requirement(Side::Server),
        };
        if REQUIREMENTS.contains(&requirement) {
            findings.add(requirement, at, "a well-formed packet", observed);
        }
    }
}

/// What an answer with an identifier of 0 breaks, if it is that: `MQTT-2.2.1-4` is about the broker's
/// own messages.
fn zero_answer(passed: Passed<'_, '_>, fault: Fault) -> Option<&'static str> {
    let Passed::Received(Received::Broken(bytes, _)) = passed else { return None };
    if fault != Fault::PacketIdentifierZero {
        return None;
    }
    match bytes.first().and_then(|byte| PacketType::from_value(byte >> 4))? {
        PacketType::Publish => None,
        PacketType::SubAck | PacketType::UnsubAck => Some("MQTT-2.2.1-6"), // MQTT-2.2.1-6
        _ => Some("MQTT-2.2.1-5"),                                         // MQTT-2.2.1-5
    }
}

/// Whether the fault may be the doing of a client that published it: the standard has properties
/// forwarded unaltered and does not say that wrong values are to be looked for.
fn may_be_passed_on(fault: Fault) -> bool {
    matches!(
        fault,
        Fault::ResponseTopicInvalid
            | Fault::PropertyOutOfRange(PropertyId::PayloadFormatIndicator, Place::Publish)
            | Fault::DuplicateProperty(
                PropertyId::PayloadFormatIndicator | PropertyId::MessageExpiryInterval,
                Place::Publish
            )
    )
}

#[cfg(test)]
mod tests {
    use reference_broker::codec::{Range, ReasonCode};

    use super::*;

    /// The faults that property lists of a server's packets can have.
    fn faults() -> impl Iterator<Item = Fault> {
        let places = Place::ALL.into_iter().filter(|place| {
            use Place::{Connect, Subscribe, Unsubscribe, Will};
            ![Connect, Will, Subscribe, Unsubscribe].contains(place)
        });
        places
            .flat_map(|place| {
                PropertyId::ALL.iter().flat_map(move |&id| {
                    let allowed = id.is_allowed(place, Side::Server);
                    let misplaced = match id.belongs_in(place) {
                        true => Fault::PropertyFromWrongSide(id, place),
                        false => Fault::PropertyNotAllowed(id, place),
                    };
                    let ranged = allowed && id.row().range != Range::Any;
                    [
                        (!allowed).then_some(misplaced),
                        (allowed && !id.is_repeatable(place))
                            .then_some(Fault::DuplicateProperty(id, place)),
                        ranged.then_some(Fault::PropertyOutOfRange(id, place)),
                    ]
                })
            })
            .flatten()
    }

    #[test]
    fn all_requirements_of_a_servers_faults_are_listed() {
        assert_eq!(faults().count(), 269);
        let values = [
            Fault::ReservedPacketType,
            Fault::PublishQoS3,
            Fault::DupOnQoS0,
            Fault::WrongDirection(PacketType::Connect, Side::Server),
            Fault::IntegerTooLong,
            Fault::IntegerNotMinimal,
            Fault::Truncated,
            Fault::PacketIdentifierMissing,
            Fault::PacketIdentifierZero,
            Fault::StringOverrun,
            Fault::BinaryOverrun,
            Fault::IllFormedUtf8,
            Fault::NulInString,
            Fault::TrailingBytes,
            Fault::PropertyLengthOverrun,
            Fault::PropertyTruncated,
            Fault::UnknownProperty(0),
            Fault::AuthenticationMethodMissing(Place::Auth),
            Fault::AuthenticationMethodMissing(Place::ConnAck),
            Fault::ServerReferenceWithoutRedirection(Place::ConnAck),
            Fault::ServerReferenceWithoutRedirection(Place::Disconnect),
            Fault::ReasonCodeFromWrongSide(ReasonCode::DisconnectWithWill, PacketType::Disconnect),
            Fault::ReasonCodeFromWrongSide(ReasonCode::ReAuthenticate, PacketType::Auth),
            Fault::ReservedAcknowledgeFlag,
            Fault::SessionPresentOnRefusal,
            Fault::TopicMissing,
            Fault::WildcardInTopicName,
            Fault::ResponseTopicInvalid,
            Fault::ReasonCodeMissing(PacketType::SubAck),
        ];
        let sent = PacketType::ALL.into_iter().filter(|packet| packet.is_sent_by(Side::Server));
        let of_packets = sent.flat_map(|packet| {
            let has_code = ReasonCode::ALL.iter().any(|code| code.is_allowed(packet, Side::Server));
            [
                Some(Fault::InvalidFlags(packet)),
                has_code.then_some(Fault::UnknownReasonCode(7, packet)),
            ]
        });
        for fault in faults().chain(values).chain(of_packets.flatten()) {
            let requirement = fault.requirement(Side::Server);
            assert!(REQUIREMENTS.contains(&requirement), "{fault:?}: {requirement}");
        }
    }
}
