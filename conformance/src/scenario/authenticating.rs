//! Clients that prove to know a password by SCRAM-SHA-256 (section 4.12).
//!
//! What SCRAM needs comes in the steps of its RFC. A broker may spread them over more AUTH packets
//! than there need be: its last message, say, may come in an AUTH of its own before CONNACK.

use bytes::Bytes;
use reference_broker::codec::{Auth, ConnAck, Connect, PropertyId, ReasonCode};

use super::Stage;
use super::stage::KEEP_ALIVE;
use crate::probe::{Again, Probe, Reply, auth, data_of};
use crate::target::scram::{SCRAM_SHA_256, Scram, ScramError};
use crate::target::{Login, Need};
use crate::trace::packet_text;
use crate::verdict::Outcome;

/// Proofs make packets long: no broker that takes shorter ones only can be shown any.
pub(super) const ROOM: Need = Need::PacketSize(300);

/// How many AUTH packets of a broker may ask for more, in one exchange.
const MOST_CHALLENGES: u32 = 8;

/// Tells of a message of SCRAM that the broker got wrong.
pub(super) const WRONG_MESSAGE: &str = "U-4.12-2";

/// A client and what it knows.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) probe: Probe,
    pub(super) scram: Scram,
    /// The broker's first message.
    challenge: Bytes,
}

impl Exchange {
    /// The AUTH that proves the password.
    pub(super) fn answer(&mut self, stage: &Stage) -> Outcome<Auth> {
        let answered = self.scram.respond(&self.challenge);
        let data = stage.understood(answered)?;
        Ok(auth(ReasonCode::ContinueAuthentication, data))
    }

    /// The same with a proof for another nonce, which is made of the right one.
    pub(super) fn answer_under(
        &mut self,
        stage: &Stage,
        nonce: impl FnOnce(&str) -> String,
    ) -> Outcome<Auth> {
        let answered = self.scram.respond_under(&self.challenge, nonce);
        let data = stage.understood(answered)?;
        Ok(auth(ReasonCode::ContinueAuthentication, data))
    }

    /// Waits for the CONNACK that lets the client in.
    pub(super) async fn accepted(&mut self, stage: &Stage) -> Outcome<ConnAck> {
        for _ in 0..MOST_CHALLENGES {
            match self.probe.goes_on().await? {
                Reply::Accepted(connack) => {
                    // It may have come before.
                    if let Some(data) = connack.properties.binary(PropertyId::AuthenticationData) {
                        stage.understood(self.scram.verify(data))?;
                    }
                    return Ok(connack);
                }
                Reply::Challenge(challenge) => self.acknowledge(stage, &challenge).await?,
                Reply::Refused(_) | Reply::Closed => break,
            }
        }
        stage.not_let_in("AUTH 0x18, again and again")
    }

    /// Answers an AUTH that has the broker's last message, and wants no more than an answer.
    async fn acknowledge(&mut self, stage: &Stage, challenge: &Auth) -> Outcome {
        stage.understood(self.scram.verify(data_of(challenge)))?;
        self.probe.send(auth(ReasonCode::ContinueAuthentication, None)).await
    }
}

impl Stage {
    /// Whom the target knows by SCRAM-SHA-256.
    pub(super) fn login(&self) -> Outcome<Login> {
        match &self.setup().scram {
            Some(login) => Ok(login.clone()),
            None => self.not_applicable("the target knows nobody by SCRAM-SHA-256"),
        }
    }

    /// Someone with a password that is wrong.
    pub(super) fn wrong_login(&self) -> Outcome<Login> {
        let Login { user_name, password } = self.login()?;
        Ok(Login { user_name, password: format!("{password}!") })
    }

    /// The part of this probe in an exchange.
    pub(super) fn scram(&self, probe: &Probe, login: Login) -> Scram {
        Scram::new(login, Scram::nonce_of(&format!("{} {}", probe.client_id(), probe.name())))
    }

    /// A CONNECT of this probe that begins an exchange.
    pub(super) fn first_message(&self, probe: &Probe, scram: &Scram) -> Connect {
        Connect::new(probe.client_id())
            .keep_alive(KEEP_ALIVE)
            .with(PropertyId::AuthenticationMethod, SCRAM_SHA_256)
            .with(PropertyId::AuthenticationData, scram.first())
    }

    /// What a message of the broker came to, if that is right.
    pub(super) fn understood<T>(&self, result: Result<T, ScramError>) -> Outcome<T> {
        let what = "a message as SCRAM-SHA-256 has it";
        result.or_else(|error| {
            self.stands_on(WRONG_MESSAGE, false, what, error.to_string())?;
            self.not_applicable("the target speaks no SCRAM-SHA-256")
        })
    }

    /// What comes of an exchange that should have ended well.
    fn not_let_in<T>(&self, observed: &str) -> Outcome<T> {
        let expected = "CONNACK 0x00 (success) for who proves to know the password";
        self.stands_on("U-4.12-2", false, expected, observed)?;
        self.not_applicable("the target lets nobody in")
    }

    /// Begins an exchange with the right login: the broker has asked for the proof.
    pub(super) async fn challenged(&mut self, name: &str) -> Outcome<Exchange> {
        self.challenged_with(name, |connect| connect).await
    }

    /// As [`Stage::challenged`], with a CONNECT changed as `change` says.
    pub(super) async fn challenged_with(
        &mut self,
        name: &str,
        change: impl FnOnce(Connect) -> Connect,
    ) -> Outcome<Exchange> {
        let login = self.login()?;
        self.challenged_as(name, login, change).await
    }

    /// The same with any login.
    pub(super) async fn challenged_as(
        &mut self,
        name: &str,
        login: Login,
        change: impl FnOnce(Connect) -> Connect,
    ) -> Outcome<Exchange> {
        let mut probe = self.open(name).await?;
        let scram = self.scram(&probe, login);
        probe.send(change(self.first_message(&probe, &scram))).await?;
        match probe.goes_on().await? {
            Reply::Challenge(challenge) => {
                let challenge = Bytes::copy_from_slice(data_of(&challenge));
                Ok(Exchange { probe, scram, challenge })
            }
            Reply::Accepted(connack) => {
                let observed = packet_text(&connack.into());
                self.stands_on(WRONG_MESSAGE, false, "AUTH 0x18 for SCRAM-SHA-256", observed)?;
                self.not_applicable("the target asks for no proof")
            }
            Reply::Refused(_) | Reply::Closed => self.not_let_in("neither"),
        }
    }

    /// Connects a client that proves itself.
    pub(super) async fn authenticated(&mut self, name: &str) -> Outcome<Exchange> {
        let (exchange, _) = self.authenticated_with(name, |connect| connect).await?;
        Ok(exchange)
    }

    /// As [`Stage::authenticated`], with a CONNECT changed as `change` says.
    pub(super) async fn authenticated_with(
        &mut self,
        name: &str,
        change: impl FnOnce(Connect) -> Connect,
    ) -> Outcome<(Exchange, ConnAck)> {
        let mut exchange = self.challenged_with(name, change).await?;
        let answer = exchange.answer(self)?;
        exchange.probe.send(answer).await?;
        let connack = exchange.accepted(self).await?;
        Ok((exchange, connack))
    }

    /// Begins another exchange with a login.
    ///
    /// # Errors
    ///
    /// Not applicable when the target lets nobody authenticate anew.
    pub(super) async fn challenged_anew(
        &mut self,
        exchange: &mut Exchange,
        login: Login,
    ) -> Outcome {
        exchange.scram = self.scram(&exchange.probe, login);
        let first = exchange.scram.first();
        exchange.probe.send(auth(ReasonCode::ReAuthenticate, first)).await?;
        match exchange.probe.reply_again().await? {
            Again::Challenge(challenge) => {
                exchange.challenge = Bytes::copy_from_slice(data_of(&challenge));
                Ok(())
            }
            Again::Accepted(auth) => {
                let observed = packet_text(&auth.into());
                self.stands_on("U-4.12.1-1", false, "AUTH 0x18 for SCRAM-SHA-256", observed)
            }
            Again::Closed => self.not_applicable("the target lets nobody authenticate anew"),
        }
    }

    /// Proves the password in another exchange, and sees it end well.
    pub(super) async fn accepted_anew(&mut self, exchange: &mut Exchange) -> Outcome {
        let answer = exchange.answer(self)?;
        exchange.probe.send(answer).await?;
        self.ends_well(exchange).await
    }

    /// Waits for the end of another exchange, whose proof was sent.
    pub(super) async fn ends_well(&mut self, exchange: &mut Exchange) -> Outcome {
        let expected = "AUTH 0x00 (success) for who proves to know the password";
        for _ in 0..MOST_CHALLENGES {
            match exchange.probe.reply_again().await? {
                Again::Accepted(auth) => {
                    return match data_of(&auth) {
                        [] => Ok(()),
                        data => self.understood(exchange.scram.verify(data)),
                    };
                }
                Again::Challenge(challenge) => exchange.acknowledge(self, &challenge).await?,
                Again::Closed => {
                    return self.stands_on("U-4.12.1-1", false, expected, "the connection closed");
                }
            }
        }
        self.stands_on("U-4.12.1-1", false, expected, "AUTH 0x18, again and again")
    }
}

/// Sends what a broker has to refuse, as far as it lets it come to that: a login may be refused at its
/// first message, or at the proof.
pub(super) async fn refused_by_proof(
    stage: &mut Stage,
    probe: &mut Probe,
    scram: &mut Scram,
) -> Outcome {
    match probe.reply().await? {
        Reply::Challenge(challenge) => {
            // What it says to someone it does not know need not be a challenge.
            let data = scram.respond(data_of(&challenge)).unwrap_or_default();
            probe.send(auth(ReasonCode::ContinueAuthentication, data)).await?;
            probe.refused().await
        }
        Reply::Refused(_) => probe.closes_after_refusal().await,
        Reply::Closed => Ok(()),
        Reply::Accepted(connack) => {
            let observed = packet_text(&connack.into());
            stage.fail("a client that does not prove itself refused", observed)
        }
    }
}
