//! CONNECTs that every broker must refuse, for scenarios about what a refusal leaves as it is.

use bytes::{Bytes, BytesMut};
use reference_broker::codec::{Connect, Packet, PropertyId};

use super::Stage;
use crate::verdict::{Outcome, Stop};

/// Why a CONNECT must be refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusable {
    /// Bit 0 of its flags is set (section 3.1.2.3).
    ReservedFlag,
    /// Its Receive Maximum is 0 (section 3.1.2.11.3).
    ReceiveMaximumZero,
    /// It is well formed, and names an authentication method of which no broker knows (section 4.12).
    UnknownMethod,
}

/// All of them.
pub(super) const ALL_REFUSABLE: [Refusable; 3] =
    [Refusable::ReservedFlag, Refusable::ReceiveMaximumZero, Refusable::UnknownMethod];

impl Refusable {
    /// What demands that it is refused.
    fn requirement(self) -> &'static str {
        match self {
            Refusable::ReservedFlag => "MQTT-3.1.2-3",
            Refusable::ReceiveMaximumZero => "U-3.1.2.11.3-2",
            Refusable::UnknownMethod => "MQTT-4.12.0-1",
        }
    }

    /// A good CONNECT with this fault.
    pub(super) fn bytes(self, connect: Connect) -> Bytes {
        match self {
            Refusable::ReservedFlag => with_reserved_flag(connect),
            Refusable::ReceiveMaximumZero => written(connect.with(PropertyId::ReceiveMaximum, 0)),
            Refusable::UnknownMethod => written(with_unknown_method(connect)),
        }
    }
}

impl Stage {
    /// Those of these CONNECTs that the target refuses. That it accepts another is for the scenarios
    /// about that one to tell, and no matter where one is left.
    ///
    /// # Errors
    ///
    /// Blocked when it refuses none as it must.
    pub(super) async fn refuses(&mut self, kinds: &[Refusable]) -> Outcome<Vec<Refusable>> {
        let (mut refused, mut first) = (Vec::new(), None);
        for &kind in kinds {
            let mut scout = self.open("scout").await?;
            scout.send_bytes(kind.bytes(scout.connect_packet())).await?;
            match scout.refused().await {
                Ok(()) => refused.push(kind),
                Err(Stop::Fail(mut finding)) => {
                    finding.requirement = Some(kind.requirement());
                    first = first.or(Some(Stop::Blocked(finding)));
                }
                Err(blocked @ Stop::Blocked(_)) => first = first.or(Some(blocked)),
                Err(other) => return Err(other),
            }
        }
        match first {
            Some(stop) if refused.is_empty() => Err(stop),
            _ => Ok(refused),
        }
    }
}

fn written(connect: Connect) -> Bytes {
    // A packet that cannot be written gives none, which no broker closes for.
    Packet::from(connect).to_bytes().unwrap_or_default()
}

/// With a method of authentication that no broker knows.
pub(super) fn with_unknown_method(connect: Connect) -> Connect {
    connect.with(PropertyId::AuthenticationMethod, "no-such-method")
}

/// With bit 0 of its flags set.
fn with_reserved_flag(connect: Connect) -> Bytes {
    let mut bytes = BytesMut::from(written(connect).as_ref());
    // The flags follow the name and the version.
    let name = [0, 4, b'M', b'Q', b'T', b'T', 5];
    let at = bytes.windows(name.len()).position(|window| window == name);
    if let Some(flags) = at.and_then(|at| bytes.get_mut(at + name.len())) {
        *flags |= 1;
    }
    bytes.freeze()
}
