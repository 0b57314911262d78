//! Messages for a client that is away, where scenarios are about something else than that they are kept.

use reference_broker::codec::{Publish, QoS};

use super::Stage;
use crate::probe::Probe;
use crate::verdict::{Outcome, Stop};

impl Stage {
    /// As [`Probe::receives`], of a message that was published while the client was away. When it does
    /// not come, it is asked whether messages are kept for anybody: a target that keeps none has that
    /// fault, and not one of everything that a kept message would show.
    ///
    /// # Errors
    ///
    /// As [`Probe::receives`]; blocked when no messages are kept.
    pub(super) async fn receives_kept(
        &mut self,
        probe: &mut Probe,
        topic: &str,
        payload: &str,
    ) -> Outcome<Publish> {
        match probe.receives(topic, payload).await {
            Err(stop) => Err(self.for_want_of_kept(stop).await?),
            received => received,
        }
    }

    /// What a scenario ends with to which a message did not come that was to be kept.
    ///
    /// # Errors
    ///
    /// Blocked when no messages are kept.
    pub(super) async fn for_want_of_kept(&mut self, stop: Stop) -> Outcome<Stop> {
        if matches!(&stop, Stop::Fail(finding) if finding.seen == "nothing") {
            self.keeps_messages().await?;
        }
        Ok(stop)
    }

    /// Shows that a message is kept for a client that is away and has a subscription.
    ///
    /// # Errors
    ///
    /// Blocked when it is not, though the subscription is there.
    pub(super) async fn keeps_messages(&mut self) -> Outcome {
        let context = self.context.clone();
        context.as_means(self.asks_for_kept()).await
    }

    async fn asks_for_kept(&mut self) -> Outcome {
        let topic = self.topic("for the guest");
        let mut guest = self.with_session("guest", 60).await?;
        guest.subscribe(&topic, QoS::AtLeastOnce).await?;
        guest.leave().await?;
        let mut host = self.connected("host").await?;
        host.publish(&topic, "while away", QoS::AtLeastOnce).await?;
        let mut guest = self.back("guest", 60).await?;
        let Err(missing) = guest.receives(&topic, "while away").await else { return Ok(()) };
        host.publish(&topic, "back again", QoS::AtLeastOnce).await?;
        match guest.receives(&topic, "back again").await {
            Ok(_) => Err(missing),
            // More is gone than the message.
            Err(_) => Ok(()),
        }
    }
}
