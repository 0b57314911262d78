use reference_broker::codec::{ConnAck, Packet, PropertyId, Publish};

use crate::target::declared;
use crate::verdict::{Outcome, Stop};

/// What a broker says in its CONNACK that it takes. A client that goes beyond it is itself wrong
/// (section 3.2.2.3).
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    qos: u32,
    retain: bool,
    size: u32,
    receive_maximum: u32,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { qos: 2, retain: true, size: u32::MAX, receive_maximum: u32::from(u16::MAX) }
    }
}

impl Limits {
    pub(super) fn of(connack: &ConnAck) -> Limits {
        let number = |id, default| declared(connack, id).unwrap_or(default);
        let Limits { qos, size, receive_maximum, .. } = Limits::default();
        Limits {
            qos: number(PropertyId::MaximumQoS, qos),
            retain: number(PropertyId::RetainAvailable, 1) == 1,
            size: number(PropertyId::MaximumPacketSize, size),
            receive_maximum: number(PropertyId::ReceiveMaximum, receive_maximum),
        }
    }

    /// Sets the size of packets.
    pub(super) fn expect_size(&mut self, limit: u32) {
        self.size = limit;
    }

    /// Whether it bounds the size of packets.
    pub(super) fn names_size(&self) -> bool {
        self.size < u32::MAX
    }

    /// Whether the broker is to take so many messages at once, of which this is one.
    ///
    /// # Errors
    ///
    /// Not applicable if it said that it does not.
    pub(super) fn admit(&self, publish: &Publish, together: usize) -> Outcome {
        let size = Packet::from(publish.clone()).encoded_len().unwrap_or(usize::MAX);
        let qos = u32::from(publish.qos.value());
        let lack = if qos > self.qos {
            format!("messages up to QoS {} only", self.qos)
        } else if publish.retain && !self.retain {
            "no retained messages".to_owned()
        } else if qos > 0 && together > self.receive_maximum as usize {
            format!("{} messages at once, {together} are needed", self.receive_maximum)
        } else {
            return self.admit_size(size);
        };
        Err(Stop::NotApplicable(format!("the target takes {lack}")))
    }

    /// Whether the broker is to take a packet of this size.
    ///
    /// # Errors
    ///
    /// Not applicable if it said that it does not.
    pub(super) fn admit_size(&self, size: usize) -> Outcome {
        if size <= self.size as usize {
            return Ok(());
        }
        let most = self.size;
        let lack = format!("the target takes packets of {most} bytes at most, {size} are needed");
        Err(Stop::NotApplicable(lack))
    }
}

#[cfg(test)]
mod tests {
    use reference_broker::codec::{QoS, ReasonCode};

    use super::*;

    #[test]
    fn what_a_broker_does_not_take_does_not_apply() {
        let publish = Publish::new("a", "b").qos(QoS::AtLeastOnce, 1).retain();
        let size = Packet::from(publish.clone()).encoded_len().unwrap() as u32;
        let connack = ConnAck::new(false, ReasonCode::Success);
        assert_eq!(Limits::of(&connack).admit(&publish, 65_535), Ok(()));
        for (id, value, fits) in [
            (PropertyId::MaximumQoS, 1, true),
            (PropertyId::MaximumQoS, 0, false),
            (PropertyId::RetainAvailable, 1, true),
            (PropertyId::RetainAvailable, 0, false),
            (PropertyId::MaximumPacketSize, size, true),
            (PropertyId::MaximumPacketSize, size - 1, false),
            (PropertyId::ReceiveMaximum, 2, true),
            (PropertyId::ReceiveMaximum, 1, false),
        ] {
            let limits = Limits::of(&connack.clone().with(id, value));
            assert_eq!(limits.admit(&publish, 2).is_ok(), fits, "{id:?} {value}");
        }
    }
}
