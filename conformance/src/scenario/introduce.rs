//! How a client comes to be connected over a network that may lose connections, to a broker that may
//! be at its limit.

use reference_broker::codec::{Connect, PropertyId};

use crate::probe::{Away, Probe};
use crate::target::{KEEP_ALIVE, Visitor};
use crate::verdict::Outcome;

use super::Stage;

/// How often a connection is tried on which nothing ever came.
const TRIES: u32 = 5;

/// How often, where it stayed silent: each takes a whole patience.
const SILENT_TRIES: u32 = 2;

impl Stage {
    /// Sends a CONNECT over a connection that carries at least an answer to it; gives the Session
    /// Expiry Interval asked for too. One that is closed, or silent, before anything came is tried
    /// again: that says nothing of how the target takes the packet.
    pub(super) async fn introduced(
        &mut self,
        name: &str,
        make: impl FnOnce(Connect) -> Connect,
    ) -> Outcome<(Probe, u32)> {
        let mut probe = self.open(name).await?;
        let connect = make(probe.connect_packet());
        let expiry = connect.properties.number(PropertyId::SessionExpiryInterval).unwrap_or(0);
        probe.send(connect.clone()).await?;
        if !self.connector.is_over_a_network() {
            return Ok((probe, expiry));
        }
        for tries in 1.. {
            let Some(how) = probe.turned_away().await else {
                // It was not the packet.
                (1..tries).for_each(|_| self.connector.strain().closed());
                break;
            };
            if tries >= if how == Away::Silent { SILENT_TRIES } else { TRIES } {
                self.try_plainly().await;
                break;
            }
            self.connector.strain().rest(tries).await;
            let next = self.open(name).await?;
            std::mem::replace(&mut probe, next).forget();
            probe.send(connect.clone()).await?;
        }
        Ok((probe, expiry))
    }

    /// Shows that a client without credentials is let in: to see that a packet without any is refused
    /// shows nothing else.
    ///
    /// # Errors
    ///
    /// Not applicable when the target wants credentials of everybody.
    pub(super) async fn lets_anybody_in(&mut self) -> Outcome {
        if self.context.credentials().is_empty() {
            return Ok(());
        }
        let mut scout = self.open("scout").await?;
        scout.send(Connect::new(scout.client_id()).keep_alive(KEEP_ALIVE)).await?;
        match scout.answer().await? {
            Some(connack) if !connack.reason.is_error() => scout.leave().await,
            _ => self.not_applicable("the target lets nobody in without credentials"),
        }
    }

    /// Sees whether a plain client is let in, for the count of those that are not.
    async fn try_plainly(&self) {
        let client = self.client_id("plain");
        let connect = self.connector.connect_packet(&client).keep_alive(KEEP_ALIVE);
        let patience = self.context.patience().reply;
        // What comes of it is in the count.
        let _ = Visitor::open(&self.connector, connect, patience).await;
    }
}
