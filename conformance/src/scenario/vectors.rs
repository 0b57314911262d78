//! Malformed packets as scenarios: each vector of `fixtures/packets/malformed` that a client can
//! send, and that the standard tells a server how to answer, is one.

use reference_broker::codec::ReasonCode;
use reference_broker::codec::vector::Vector;

use crate::verdict::{Outcome, Stop};

use super::{Scenario, Stage};

/// A malformed packet that a client sends.
#[derive(Debug)]
pub struct PacketVector {
    id: String,
    shows: String,
    requirements: Vec<&'static str>,
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

/// The scenarios that are made of vectors.
pub(super) fn scenarios() -> impl Iterator<Item = Scenario> {
    std::iter::empty()
}

impl PacketVector {
    pub(super) async fn perform(&self, stage: &mut Stage) -> Outcome {
        let _ = (&self.id, &self.shows, &self.requirements, self.tier, Tier::General, Tier::Named);
        // The same connection without the fault works: what follows is the fault's doing.
        let mut control = stage.connected("control").await?;
        control.ping().await?;
        let closed = match self.when {
            When::First => {
                let mut alice = stage.open("alice").await?;
                alice.send_bytes(self.vector.bytes.clone()).await?;
                alice.refused().await
            }
            When::Connected => {
                let mut alice = stage.connected("alice").await?;
                alice.ping().await?;
                alice.send_bytes(self.vector.bytes.clone()).await?;
                alice.closes_for(self.reason).await
            }
        };
        match (closed, self.tier) {
            (Err(Stop::Fail(finding)), Tier::General) => {
                let requirement = finding.requirement.unwrap_or("U-1.2-2");
                stage.advise(requirement, &finding.expected, finding.observed);
            }
            (closed, _) => closed?,
        }
        // Nobody else is harmed.
        control.ping().await
    }
}
