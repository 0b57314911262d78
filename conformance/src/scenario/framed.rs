//! Clients that have every frame of their WebSocket connection in hand (section 6).

use reference_broker::codec::Connect;
use tokio::time::timeout;

use crate::probe::Probe;
use crate::target::Below;
use crate::trace::What;
use crate::verdict::Outcome;
use crate::websocket::{self, Answer, Cut, Framed, Frames};

use super::Stage;

/// What MQTT is called among sub-protocols.
const MQTT: &str = "mqtt";

impl Stage {
    /// Opens a WebSocket connection, of which the scenario has the frames, and sends no packet.
    ///
    /// # Errors
    ///
    /// Inconclusive when the target cannot be reached, or opens none.
    pub async fn framed(&mut self, name: &str) -> Outcome<(Probe, Frames)> {
        let (Below { stream, .. }, answer) = self.shake_hands(&[MQTT]).await?;
        let Answer::Opened { early, .. } = answer else {
            return self.inconclusive("a WebSocket connection", answer.said());
        };
        let (stream, frames) = Framed::new(stream, early);
        let connection = self.context.connection(name);
        let (client, context) = (self.client_id(name), self.context.clone());
        let mut probe = Probe::new(&connection, client, Box::new(stream), context);
        probe.expect_size(self.capabilities.maximum_packet_size());
        Ok((probe, frames))
    }

    /// As [`Stage::framed`], connected with a clean start.
    ///
    /// # Errors
    ///
    /// As [`Stage::framed`]; a failure when the client is not accepted.
    pub async fn framed_and_connected(
        &mut self,
        name: &str,
        change: impl FnOnce(Connect) -> Connect,
    ) -> Outcome<(Probe, Frames)> {
        let (mut probe, frames) = self.framed(name).await?;
        probe.connect(change(probe.connect_packet().keep_alive(3600))).await?;
        Ok((probe, frames))
    }

    /// Puts what a client sends from here on into frames like this.
    pub fn cuts(&self, probe: &Probe, frames: &Frames, cut: Cut) {
        frames.cut(cut);
        self.context.record(probe.name(), What::WebSocket(cut.said()));
    }

    /// Asks for a WebSocket connection, with headers that offer these sub-protocols, and closes it.
    ///
    /// # Errors
    ///
    /// Inconclusive when the target cannot be reached.
    pub async fn offers(&mut self, offers: &[&str]) -> Outcome<Answer> {
        let name = self.context.connection("asks");
        self.context.record(&name, What::Opened);
        let asked = format!("offers the sub-protocols {}", offers.join(" | "));
        self.context.record(&name, What::WebSocket(asked));
        let (_, answer) = self.shake_hands(offers).await?;
        self.context.record(&name, What::WebSocket(format!("gets {}", answer.said())));
        self.context.record(&name, What::ClosedByProbe);
        Ok(answer)
    }

    async fn shake_hands(&mut self, offers: &[&str]) -> Outcome<(Below, Answer)> {
        let patience = self.context.patience().reply;
        let expected = "a connection to the target";
        let opened = self.connector.open_below_websocket(patience).await;
        let mut below = match opened {
            Ok(below) => below,
            Err(error) => return self.inconclusive(expected, error.to_string()),
        };
        let Below { stream, host, path } = &mut below;
        match timeout(patience, websocket::open(stream, host, path, offers)).await {
            Ok(answer) => Ok((below, answer)),
            Err(_) => self.inconclusive("an answer to a WebSocket handshake", "none"),
        }
    }
}
