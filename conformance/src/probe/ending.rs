//! The end of a connection: how it is brought about, and how it is told from its beginnings.

use std::time::Duration;

use reference_broker::codec::{Disconnect, Packet, ReasonCode};
use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

use crate::trace::{Ending, Said, What, packet_text};
use crate::verdict::{Outcome, Stop};

use super::instead::as_observed;
use super::{Observed, Phase, Probe, Seen, step};

/// Codes that name an error without naming which; section 4.13.1 allows them for any.
const GENERAL: [ReasonCode; 3] =
    [ReasonCode::UnspecifiedError, ReasonCode::MalformedPacket, ReasonCode::ProtocolError];

/// How long a broker may take to close after the client's DISCONNECT before we do: it SHOULD
/// (section 3.14.4), and no scenario but one is about that.
const FAREWELL: Duration = Duration::from_secs(2);

/// How long one may take that did not do it in time before: it leaves that to us, and is only given
/// the time to read the DISCONNECT.
const SHORT_FAREWELL: Duration = Duration::from_millis(500);

/// What came before the end of a connection.
struct End {
    disconnect: Option<Disconnect>,
    ending: Ending,
}

impl Probe {
    /// Reads until the broker closes. Other packets than DISCONNECT are passed over: they may have
    /// been on their way. So are answers that are none: an oracle says that of them, and whether the
    /// broker closes is another question.
    async fn end(&mut self, expected: &str) -> Outcome<End> {
        let mut disconnect = None;
        let waiting: Vec<_> = self.unread.drain(..).map(|(_, packet)| packet).collect();
        disconnect = waiting.into_iter().find_map(as_disconnect).or(disconnect);
        loop {
            match self.look(self.context.patience().close).await {
                Seen::Packet(index, packet) if disconnect.is_some() => {
                    let observed = as_observed(index, &packet);
                    let expected = "nothing after DISCONNECT";
                    return Err(self.context.stop_of("MQTT-3.14.4-1", "close", expected, observed));
                }
                Seen::Packet(_, packet) => disconnect = as_disconnect(packet),
                Seen::Broken(..) if disconnect.is_none() && !self.framer.is_lost() => {}
                Seen::Closed(_, ending) => return Ok(End { disconnect, ending }),
                Seen::Silence(event, patience) if disconnect.is_some() => {
                    return Err(self.stays(event, patience));
                }
                Seen::Silence(event, patience) => {
                    let (answered, seen) = match self.ping().await {
                        Ok(()) => ("is answered", "still open, PINGREQ answered"),
                        Err(_) => ("is not answered", "still open, PINGREQ unanswered"),
                    };
                    let text =
                        format!("still open after {}, and PINGREQ {answered}", patience.said());
                    let observed = Observed { text, seen: seen.to_owned(), event };
                    return Err(self.context.failure(expected, observed));
                }
                other => return Err(self.not_closed(expected, other)),
            }
        }
    }

    /// Blocked: the broker did not close for so long after its DISCONNECT.
    fn stays(&self, event: usize, patience: Duration) -> Stop {
        let text = format!("still open {} after its DISCONNECT", patience.said());
        let observed = Observed { text, seen: "still open".to_owned(), event };
        let step::Step { name, requirement } = step::CLOSE;
        self.context.stop_of(requirement, name, "the connection closed", observed)
    }

    /// As [`Probe::instead`], where a close is what a scenario is about.
    fn not_closed(&self, expected: &str, seen: Seen) -> Stop {
        let before = self.context.enter(Phase::Claim);
        let stop = self.instead(step::OTHER, expected, seen);
        self.context.enter(before);
        stop
    }

    /// Expects the broker to close, with whatever DISCONNECT before it.
    ///
    /// # Errors
    ///
    /// A failure when it does not.
    pub async fn closes(&mut self) -> Outcome {
        self.end("the connection closed").await.map(drop)
    }

    /// Expects the broker to close because of an error that this code names, and advises if it
    /// does not say so in a DISCONNECT (section 4.13.1).
    ///
    /// # Errors
    ///
    /// A failure when it does not close.
    pub async fn closes_for(&mut self, reason: ReasonCode) -> Outcome {
        self.closes_for_either(reason, reason).await
    }

    /// As [`Probe::closes_for`], where the standard gives an error two names; the first is the
    /// better one.
    ///
    /// # Errors
    ///
    /// As [`Probe::closes_for`].
    pub async fn closes_for_either(&mut self, reason: ReasonCode, other: ReasonCode) -> Outcome {
        let expected =
            format!("the connection closed (0x{:02X} {})", reason.value(), reason.row().name);
        let End { disconnect, ending } = self.end(&expected).await?;
        match disconnect {
            Some(packet) if [reason, other].contains(&packet.reason) => {}
            Some(packet) if GENERAL.contains(&packet.reason) => {}
            Some(packet) => {
                let expected =
                    format!("DISCONNECT 0x{:02X} ({})", reason.value(), reason.row().name);
                let observed = packet_text(&packet.into());
                self.context.advise("U-4.13.1-6", &expected, observed);
            }
            // A reset may have thrown the DISCONNECT away: its absence shows nothing.
            None if ending == Ending::Reset => {}
            None => {
                let observed = "the connection closed without one".to_owned();
                self.context.advise("U-4.13.1-5", "a DISCONNECT that says why", observed);
            }
        }
        Ok(())
    }

    /// Asks whether the connection is still open, where the standard lets a broker decide: true if
    /// PINGREQ is answered, false if the broker closes instead.
    ///
    /// # Errors
    ///
    /// A failure when neither happens.
    pub async fn is_open(&mut self) -> Outcome<bool> {
        self.send(Packet::PingReq).await?;
        loop {
            match self.look(self.context.patience().close).await {
                Seen::Packet(_, Packet::PingResp) => return Ok(true),
                Seen::Packet(index, packet @ Packet::Disconnect(_)) => {
                    self.unread.push_back((index, packet));
                    return self.closes().await.map(|()| false);
                }
                Seen::Packet(index, packet) => self.unread.push_back((index, packet)),
                Seen::Closed(..) => return Ok(false),
                other => {
                    let expected = "PINGRESP, or the connection closed";
                    return Err(self.instead(step::PING, expected, other));
                }
            }
        }
    }

    /// Expects a CONNECT to be refused: a close, with or without a CONNACK that says why.
    ///
    /// # Errors
    ///
    /// A failure when the connection is accepted, stays open, or gets a DISCONNECT.
    pub async fn refused(&mut self) -> Outcome {
        self.refusal(false, false).await
    }

    /// As [`Probe::refused`], where the CONNACK that refuses has come: only the close is to follow.
    ///
    /// # Errors
    ///
    /// A failure when the connection stays open.
    pub async fn closes_after_refusal(&mut self) -> Outcome {
        self.refusal(false, true).await
    }

    /// As [`Probe::refused`], for a CONNECT of another protocol version: the CONNACK may then be
    /// one of that version, with its two bytes and a code from 1 to 5.
    ///
    /// # Errors
    ///
    /// As [`Probe::refused`].
    pub async fn refused_in_any_version(&mut self) -> Outcome {
        self.refusal(true, false).await
    }

    async fn refusal(&mut self, any_version: bool, mut is_refused: bool) -> Outcome {
        let expected = "the CONNECT refused and the connection closed";
        loop {
            match self.look(self.context.patience().close).await {
                Seen::Closed(..) => return Ok(()),
                Seen::Broken(index, _) if any_version && self.context.is_old_refusal(index) => {}
                Seen::Packet(_, Packet::ConnAck(connack)) if connack.reason.is_error() => {
                    is_refused = true;
                }
                Seen::Packet(index, packet @ Packet::Disconnect(_)) => {
                    let observed = as_observed(index, &packet);
                    let expected = "no DISCONNECT before a CONNACK that accepts";
                    return Err(self.context.stop_of("MQTT-3.14.0-1", "close", expected, observed));
                }
                Seen::Silence(event, patience) if is_refused => {
                    let text = format!("still open {} after its CONNACK", patience.said());
                    let observed = Observed { text, seen: "still open".to_owned(), event };
                    let expected = "the connection closed";
                    return Err(self.context.stop_of("MQTT-3.2.2-7", "close", expected, observed));
                }
                other => return Err(self.not_closed(expected, other)),
            }
        }
    }

    /// Expects the connection to be closed with nothing sent over it.
    ///
    /// # Errors
    ///
    /// A failure when anything comes, or it stays open.
    pub async fn closes_without_a_word(&mut self) -> Outcome {
        let expected = "the connection closed with nothing sent";
        match self.look(self.context.patience().close).await {
            Seen::Closed(..) => Ok(()),
            Seen::Packet(index, packet @ Packet::Disconnect(_)) => {
                let observed = as_observed(index, &packet);
                Err(self.context.stop_of("MQTT-3.14.0-1", "close", expected, observed))
            }
            // An answer to no CONNECT is odd, but nothing forbids it in so many words.
            Seen::Packet(_, Packet::ConnAck(connack)) if connack.reason.is_error() => {
                let observed = packet_text(&connack.into());
                self.context.advise("U-3.2-2", "no CONNACK without a CONNECT", observed);
                self.closes().await
            }
            other => Err(self.not_closed(expected, other)),
        }
    }

    /// Disconnects as a client should, and waits until the broker has noticed.
    ///
    /// # Errors
    ///
    /// As [`Probe::send`].
    pub async fn leave(self) -> Outcome {
        self.leave_with(Disconnect::default()).await
    }

    /// As [`Probe::leave`], with a DISCONNECT of one's own.
    ///
    /// # Errors
    ///
    /// As [`Probe::send`].
    pub async fn leave_with(mut self, disconnect: Disconnect) -> Outcome {
        self.send(disconnect).await?;
        self.bid_farewell().await;
        Ok(())
    }

    /// Ends the connection without a DISCONNECT, as a failing network would, and waits until the
    /// broker has noticed.
    ///
    /// # Errors
    ///
    /// Inconclusive when the broker does not close its side: then nobody knows whether it noticed.
    pub async fn vanish(mut self) -> Outcome {
        self.is_served = false;
        self.line.rest();
        if self.stream.is_some() {
            // A connection that is gone already cannot be shut down; gone is all that is wanted.
            let _ = self.line.half.lock().await.shutdown().await;
        }
        let index = self.context.record(&self.name, What::HalfClosed);
        let noticed = self.wait_for_end(self.context.patience().close).await;
        let name = self.name.clone();
        self.give_up();
        match noticed {
            true => Ok(()),
            false => {
                let observed = format!("the connection of {name} still open");
                Err(self.context.trouble_at(
                    "the broker to notice a lost connection",
                    observed,
                    index,
                ))
            }
        }
    }

    /// As [`Probe::vanish`], where what the broker has sent, or still sends, is lost with the
    /// connection: the client never learns of it.
    ///
    /// # Errors
    ///
    /// As [`Probe::vanish`].
    pub async fn vanish_unread(mut self) -> Outcome {
        self.is_deaf = true;
        self.vanish().await
    }

    /// Reads for no longer than `limit`, passing packets over, until the broker closes: gives the
    /// DISCONNECT before that, if any. None if it did not close. After its DISCONNECT it is given the usual
    /// time.
    ///
    /// # Errors
    ///
    /// A failure when bytes come that are no packet; blocked when it does not close after its DISCONNECT.
    pub async fn ended_within(&mut self, limit: Duration) -> Outcome<Option<Option<Disconnect>>> {
        let deadline = Instant::now() + limit;
        loop {
            match self.look(deadline.saturating_duration_since(Instant::now())).await {
                Seen::Packet(index, packet @ Packet::Disconnect(_)) => {
                    self.unread.push_back((index, packet));
                    return self.end("the connection closed").await.map(|end| Some(end.disconnect));
                }
                Seen::Packet(..) => {}
                Seen::Closed(..) => return Ok(Some(None)),
                Seen::Silence(..) => return Ok(None),
                broken @ Seen::Broken(..) => {
                    return Err(self.instead(step::READ, "packets", broken));
                }
            }
        }
    }

    /// Whether the broker closes in the time that a close may take. Packets are kept for later steps, and
    /// what waits for this may be dropped.
    ///
    /// # Errors
    ///
    /// When bytes come that are no packet; blocked when it does not close after its DISCONNECT.
    pub(crate) async fn ends_in_time(&mut self) -> Outcome<bool> {
        loop {
            match self.look(self.context.patience().close).await {
                Seen::Closed(..) => return Ok(true),
                Seen::Silence(event, patience) => {
                    let is_over =
                        |(_, packet): &(_, Packet)| matches!(packet, Packet::Disconnect(_));
                    return match self.unread.iter().any(is_over) {
                        true => Err(self.stays(event, patience)),
                        false => Ok(false),
                    };
                }
                Seen::Packet(index, packet) => self.unread.push_back((index, packet)),
                broken @ Seen::Broken(..) => {
                    return Err(self.instead(step::READ, "packets", broken));
                }
            }
        }
    }

    /// Closes the connection as one does who has sent DISCONNECT: the broker is given time to do it
    /// first, and so has noticed.
    pub async fn hang_up(mut self) {
        self.bid_farewell().await;
    }

    async fn bid_farewell(&mut self) {
        let patience = match self.context.leaves_closing_to_us() {
            true => SHORT_FAREWELL,
            false => FAREWELL,
        };
        if !self.wait_for_end(patience).await {
            self.context.note_left_closing();
        }
        self.give_up();
    }

    async fn wait_for_end(&mut self, patience: Duration) -> bool {
        loop {
            match self.look(patience).await {
                Seen::Closed(..) => return true,
                Seen::Packet(..) => {}
                Seen::Broken(..) | Seen::Silence(..) => return false,
            }
        }
    }

    /// Closes the connection on our side.
    fn give_up(&mut self) {
        if self.stream.take().is_some() && self.ended.is_none() {
            self.context.record(&self.name, What::ClosedByProbe);
        }
    }
}

fn as_disconnect(packet: Packet) -> Option<Disconnect> {
    match packet {
        Packet::Disconnect(disconnect) => Some(disconnect),
        _ => None,
    }
}
