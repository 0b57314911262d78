//! The exchange of AUTH packets (section 4.12).

use bytes::Bytes;
use reference_broker::codec::{Auth, ConnAck, Packet, PropertyId, ReasonCode};

use crate::target::scram::SCRAM_SHA_256;
use crate::verdict::Outcome;

use super::instead::as_observed;
use super::policy::{is_for_rights, reservation_of};
use super::{Probe, Seen, step};

/// How a broker goes on with an exchange before its CONNACK.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// It asks for more.
    Challenge(Auth),
    /// It lets the client in.
    Accepted(ConnAck),
    /// It does not, and says so: a close is to follow.
    Refused(ConnAck),
    /// It has closed.
    Closed,
}

/// How it goes on with another exchange, after its CONNACK.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Again {
    /// It asks for more.
    Challenge(Auth),
    /// The exchange has come to a good end.
    Accepted(Auth),
    /// The connection has: a broker need not let a client authenticate anew.
    Closed,
}

/// An AUTH of the one method that the suite knows.
pub(crate) fn auth(reason: ReasonCode, data: impl Into<Option<Bytes>>) -> Auth {
    auth_of(SCRAM_SHA_256, reason, data)
}

/// The same of another method.
pub(crate) fn auth_of(method: &str, reason: ReasonCode, data: impl Into<Option<Bytes>>) -> Auth {
    let mut auth = Auth::new(reason);
    auth.properties.push(PropertyId::AuthenticationMethod, method);
    if let Some(data) = data.into() {
        auth.properties.push(PropertyId::AuthenticationData, data);
    }
    auth
}

/// The Authentication Data of an AUTH; none has no length.
pub(crate) fn data_of(auth: &Auth) -> &[u8] {
    auth.properties.binary(PropertyId::AuthenticationData).map_or(&[], |data| data)
}

impl Probe {
    /// Waits for what comes of an AUTH, or of a CONNECT with a method.
    ///
    /// # Errors
    ///
    /// A failure when another packet comes, or nothing.
    pub async fn reply(&mut self) -> Outcome<Reply> {
        let seen = self.look(self.context.patience().reply).await;
        self.as_reply(seen)
    }

    /// As [`Probe::reply`], where the client is to be let in: it is asked for more, or has been.
    ///
    /// # Errors
    ///
    /// A failure when it is not let in.
    pub async fn goes_on(&mut self) -> Outcome<Reply> {
        let expected = "AUTH 0x18 (continue authentication), or CONNACK 0x00 (success)";
        match self.look(self.context.patience().reply).await {
            Seen::Packet(index, Packet::ConnAck(connack)) if connack.reason.is_error() => {
                Err(self.unexpected(step::AUTHENTICATE, expected, index, &connack.into()))
            }
            closed @ Seen::Closed(..) => Err(self.instead(step::AUTHENTICATE, expected, closed)),
            seen => self.as_reply(seen),
        }
    }

    /// As [`Probe::reply`], where that may be too large for this client: none on silence.
    ///
    /// # Errors
    ///
    /// A failure when another packet comes.
    pub async fn reply_or_silence(&mut self) -> Outcome<Option<Reply>> {
        match self.look(self.context.patience().reply).await {
            Seen::Silence(..) => Ok(None),
            seen => self.as_reply(seen).map(Some),
        }
    }

    fn as_reply(&self, seen: Seen) -> Outcome<Reply> {
        match seen {
            Seen::Packet(_, Packet::Auth(auth)) if continues(&auth) => Ok(Reply::Challenge(auth)),
            Seen::Packet(_, Packet::ConnAck(connack)) => Ok(match connack.reason.is_error() {
                false => Reply::Accepted(connack),
                true => Reply::Refused(connack),
            }),
            Seen::Packet(index, packet @ Packet::Disconnect(_)) => {
                let observed = as_observed(index, &packet);
                let expected = "no DISCONNECT before a CONNACK that accepts";
                Err(self.context.stop_of("MQTT-3.14.0-1", "close", expected, observed))
            }
            Seen::Packet(index, packet @ Packet::Auth(_)) => {
                let observed = as_observed(index, &packet);
                let expected = "AUTH 0x18 (continue authentication)";
                Err(self.context.stop_of("MQTT-4.12.0-2", "authenticate", expected, observed))
            }
            Seen::Closed(..) => Ok(Reply::Closed),
            other => {
                let expected = "AUTH 0x18, CONNACK, or the connection closed";
                Err(self.instead(step::AUTHENTICATE, expected, other))
            }
        }
    }

    /// Waits for what comes of an AUTH of a client that has its CONNACK; other packets may come before
    /// that.
    ///
    /// # Errors
    ///
    /// A failure when it does not come.
    pub async fn reply_again(&mut self) -> Outcome<Again> {
        let expected = "AUTH 0x18 or 0x00, or the connection closed";
        loop {
            match self.look(self.context.patience().reply).await {
                Seen::Packet(_, Packet::Auth(auth)) if continues(&auth) => {
                    return Ok(Again::Challenge(auth));
                }
                Seen::Packet(_, Packet::Auth(auth)) if auth.reason == ReasonCode::Success => {
                    return Ok(Again::Accepted(auth));
                }
                Seen::Packet(index, packet @ Packet::Disconnect(_)) => {
                    // That it is at a limit says nothing of who the client is.
                    if reservation_of(&packet).is_some() && !is_for_rights(&packet) {
                        let step = step::AUTHENTICATE_ANEW;
                        return Err(self.unexpected(step, expected, index, &packet));
                    }
                    self.unread.push_back((index, packet));
                    return self.closes().await.map(|()| Again::Closed);
                }
                Seen::Packet(index, packet @ (Packet::Auth(_) | Packet::ConnAck(_))) => {
                    return Err(self.unexpected(step::AUTHENTICATE_ANEW, expected, index, &packet));
                }
                Seen::Packet(index, packet) => self.unread.push_back((index, packet)),
                Seen::Closed(..) => return Ok(Again::Closed),
                other => return Err(self.instead(step::AUTHENTICATE_ANEW, expected, other)),
            }
        }
    }
}

fn continues(auth: &Auth) -> bool {
    auth.reason == ReasonCode::ContinueAuthentication
}
