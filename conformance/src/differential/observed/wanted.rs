//! What clients have said that they take.

use reference_broker::codec::{Connect, Packet, PropertyId};

/// What a client has said that it takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    size: usize,
    reasons: bool,
}

impl Default for Wanted {
    fn default() -> Self {
        Wanted { size: usize::MAX, reasons: true }
    }
}

impl Wanted {
    pub(super) fn of(connect: &Connect) -> Wanted {
        let number = |id| connect.properties.number(id);
        let size =
            number(PropertyId::MaximumPacketSize).and_then(|size| usize::try_from(size).ok());
        let reasons = number(PropertyId::RequestProblemInformation) != Some(0);
        Wanted { size: size.unwrap_or(usize::MAX), reasons }
    }

    /// In what a packet is more than that.
    pub(super) fn misses(self, packet: &Packet) -> Vec<&'static str> {
        let is_large = packet.encoded_len().is_ok_and(|len| len > self.size);
        let may_explain =
            matches!(packet, Packet::Publish(_) | Packet::ConnAck(_) | Packet::Disconnect(_));
        let explains = packet.properties().is_some_and(|properties| {
            let texts = [PropertyId::ReasonString, PropertyId::UserProperty];
            texts.into_iter().any(|id| properties.contains(id))
        });
        [
            is_large.then_some("beyond the Maximum Packet Size"),
            (explains && !self.reasons && !may_explain)
                .then_some("with reasons that nobody asked for"),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}
