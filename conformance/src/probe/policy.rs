//! Refusals that a broker may give for reasons of its own: they say nothing of conformance.

use reference_broker::codec::{Packet, PacketType, ReasonCode};

const UNWILLING: &str = "the target may refuse that, and then shows nothing; let it accept that";
const AT_A_LIMIT: &str = "the target is at a limit; run with fewer --jobs, or raise it";
const ELSEWHERE: &str = "the target sends its clients to another server; name that one";
/// Said of a limit that a scenario cannot know of.
pub(crate) const TOO_LARGE: &str =
    "the target takes no packet of that size, and announces no limit; raise it";

/// Why a refusal says nothing of conformance, if it does not: rights, load and limits are the operator's.
pub(super) fn policy_of(packet: &Packet) -> Option<&'static str> {
    policies_of(packet).next()
}

/// Why a broker did not do what it was asked for, if that is for want of rights, or for load and limits:
/// not for what it was asked for.
pub(super) fn reservation_of(packet: &Packet) -> Option<&'static str> {
    let is_about_it = |policy: &&str| match packet {
        // No code of UNSUBACK is about the request but 0x8F (table 3-9).
        Packet::UnsubAck(ack) => ack.reasons.contains(&ReasonCode::TopicFilterInvalid),
        // It tells why it does not let a client in, and that is seen there.
        Packet::ConnAck(_) => true,
        _ => [UNWILLING, TOO_LARGE].contains(policy),
    };
    policies_of(packet).find(|policy| !is_about_it(policy))
}

/// Whether all that a packet refuses is refused for want of rights.
pub(super) fn is_for_rights(packet: &Packet) -> bool {
    let mut errors = reasons_of(packet).iter().filter(|reason| reason.is_error());
    errors.all(|reason| *reason == ReasonCode::NotAuthorized)
}

fn reasons_of(packet: &Packet) -> &[ReasonCode] {
    match packet {
        Packet::Disconnect(packet) => std::slice::from_ref(&packet.reason),
        Packet::ConnAck(packet) => std::slice::from_ref(&packet.reason),
        Packet::PubAck(packet) | Packet::PubRec(packet) => std::slice::from_ref(&packet.reason),
        Packet::SubAck(packet) | Packet::UnsubAck(packet) => &packet.reasons,
        _ => &[],
    }
}

/// As [`policy_of`], for each refusal in a packet that may have several.
pub(crate) fn policies_of(packet: &Packet) -> impl Iterator<Item = &'static str> {
    reasons_of(packet).iter().filter_map(|reason| match reason {
        ReasonCode::NotAuthorized | ReasonCode::BadUserNameOrPassword | ReasonCode::Banned => {
            Some("the target does not let this client do that; give it the rights")
        }
        ReasonCode::UseAnotherServer | ReasonCode::ServerMoved => Some(ELSEWHERE),
        // Without a Maximum Packet Size in CONNACK an implementation has bounds all the same.
        ReasonCode::PacketTooLarge => Some(TOO_LARGE),
        ReasonCode::ServerBusy
        | ReasonCode::ServerUnavailable
        | ReasonCode::ServerShuttingDown
        | ReasonCode::MessageRateTooHigh
        | ReasonCode::QuotaExceeded
        | ReasonCode::ConnectionRateExceeded
        | ReasonCode::MaximumConnectTime
        | ReasonCode::AdministrativeAction => Some(AT_A_LIMIT),
        // It knows no 0x97 (table 3-9).
        ReasonCode::ImplementationSpecificError if matches!(packet, Packet::UnsubAck(_)) => {
            Some(AT_A_LIMIT)
        }
        reason if may_refuse(packet.packet_type(), *reason) => Some(UNWILLING),
        _ => None,
    })
}

/// Whether a broker may answer so to a valid request that it does not want to grant, for reasons of its
/// own (tables 3-1, 3-4, 3-5, 3-8, 3-9 and 3-10, section 3.2.2.3.11).
fn may_refuse(packet_type: PacketType, reason: ReasonCode) -> bool {
    use ReasonCode::{ImplementationSpecificError, UnspecifiedError};
    match packet_type {
        PacketType::ConnAck => matches!(
            reason,
            UnspecifiedError | ImplementationSpecificError | ReasonCode::TopicNameInvalid
        ),
        PacketType::Disconnect => matches!(
            reason,
            ImplementationSpecificError
                | ReasonCode::TopicFilterInvalid
                | ReasonCode::TopicNameInvalid
        ),
        PacketType::PubAck | PacketType::PubRec => matches!(
            reason,
            UnspecifiedError | ImplementationSpecificError | ReasonCode::TopicNameInvalid
        ),
        PacketType::UnsubAck => {
            matches!(reason, UnspecifiedError | ReasonCode::TopicFilterInvalid)
        }
        PacketType::SubAck => matches!(
            reason,
            UnspecifiedError
                | ImplementationSpecificError
                | ReasonCode::TopicFilterInvalid
                | ReasonCode::WildcardSubscriptionsNotSupported
        ),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use reference_broker::codec::{ConnAck, Disconnect, SubscribeAck};

    use super::*;

    #[test]
    fn what_a_broker_may_refuse_for_reasons_of_its_own_is_no_fault() {
        for (packet_type, reason, may) in [
            (PacketType::ConnAck, ReasonCode::Banned, true),
            (PacketType::ConnAck, ReasonCode::UseAnotherServer, true),
            (PacketType::ConnAck, ReasonCode::ServerMoved, true),
            (PacketType::ConnAck, ReasonCode::PacketTooLarge, true),
            (PacketType::ConnAck, ReasonCode::UnspecifiedError, true),
            (PacketType::ConnAck, ReasonCode::ImplementationSpecificError, true),
            (PacketType::ConnAck, ReasonCode::MalformedPacket, false),
            (PacketType::ConnAck, ReasonCode::TopicNameInvalid, true),
            (PacketType::ConnAck, ReasonCode::ProtocolError, false),
            (PacketType::ConnAck, ReasonCode::ClientIdentifierNotValid, false),
            (PacketType::UnsubAck, ReasonCode::UnspecifiedError, true),
            (PacketType::UnsubAck, ReasonCode::NotAuthorized, true),
            (PacketType::UnsubAck, ReasonCode::TopicFilterInvalid, true),
            (PacketType::UnsubAck, ReasonCode::NoSubscriptionExisted, false),
            (PacketType::Disconnect, ReasonCode::TopicFilterInvalid, true),
            (PacketType::Disconnect, ReasonCode::TopicNameInvalid, true),
            (PacketType::Disconnect, ReasonCode::PacketTooLarge, true),
            (PacketType::Disconnect, ReasonCode::ImplementationSpecificError, true),
            (PacketType::Disconnect, ReasonCode::ServerMoved, true),
            (PacketType::Disconnect, ReasonCode::MaximumConnectTime, true),
            (PacketType::Disconnect, ReasonCode::UnspecifiedError, false),
            (PacketType::Disconnect, ReasonCode::SessionTakenOver, false),
            (PacketType::Disconnect, ReasonCode::MalformedPacket, false),
        ] {
            let packet = match packet_type {
                PacketType::ConnAck => Packet::from(ConnAck::new(false, reason)),
                PacketType::UnsubAck => Packet::UnsubAck(SubscribeAck::new(1, vec![reason])),
                _ => Packet::from(Disconnect::because(reason)),
            };
            assert_eq!(policy_of(&packet).is_some(), may, "{packet_type} {reason:?}");
        }
    }
}
