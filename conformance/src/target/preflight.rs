//! A first look at a target: is there a broker at all, what does it declare, and does it let us do
//! what the suite is about to do?

use std::fmt;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use reference_broker::codec::{
    ConnAck, Connect, DecodeError, Disconnect, Framer, Packet, PropertyId, QoS, ReasonCode, Side,
};
use reference_broker::transport::url::Scheme;
use reference_broker::transport::{BoxStream, write_out};
use tokio::io::AsyncReadExt;
use tokio::time::{Instant, timeout_at};

use super::capabilities::ASKED_EXPIRY;
use super::handshake::NoCarrier;
use super::round_trip::{self, Trip};
use super::spoken::{Spoken, spoken};
use super::{Capabilities, Connector, Need};

/// More than any answer to a CONNECT: what sends on without end is no broker.
const MOST: u32 = 1 << 20;

/// How many bytes of a wrong answer are shown.
const SHOWN: usize = 24;

/// How often a connection is tried that is closed before anything came: a broker may just have
/// begun, or be at a limit for a moment.
const TRIES: u32 = 4;

/// Keep Alive, in seconds: that of most scenarios.
pub(crate) const KEEP_ALIVE: u16 = 3600;

/// What the first look showed.
#[derive(Clone, Debug)]
pub struct Looked {
    /// What the target declares.
    pub capabilities: Capabilities,
    /// What a reader of the report should know, as sentences.
    pub notes: Vec<String>,
    /// How long its CONNACK took.
    pub(crate) took: Duration,
    /// Whether it answered nothing but CONNECT.
    pub(crate) is_mute: bool,
    /// Whether a session was there.
    pub(crate) session_present: bool,
    /// The Keep Alive that the target sets, in seconds.
    pub(crate) keep_alive: Option<u32>,
}

impl Looked {
    /// At what declares nothing.
    pub(crate) fn undeclared() -> Looked {
        Looked {
            capabilities: Capabilities::undeclared(),
            notes: Vec::new(),
            took: Duration::ZERO,
            is_mute: false,
            session_present: false,
            keep_alive: None,
        }
    }

    /// With what is known of the target besides what it declares.
    fn of(self, connector: &Connector) -> Looked {
        let capabilities = self
            .capabilities
            .over_websocket(connector.has_websocket())
            .proven(connector.credentials().is_proven())
            .set_up(connector.possible_setup());
        Looked { capabilities, ..self }
    }

    fn at(connack: &ConnAck) -> Looked {
        Looked {
            capabilities: Capabilities::of(connack),
            notes: Vec::new(),
            took: Duration::ZERO,
            is_mute: false,
            session_present: connack.session_present,
            keep_alive: connack.properties.number(PropertyId::ServerKeepAlive),
        }
    }
}

/// Why a target cannot be tested.
#[derive(Debug)]
pub enum Unusable {
    /// No connection can be opened.
    Unreachable(io::Error),
    /// It took a CONNECT and said nothing.
    Silent(Duration),
    /// It closed the connection instead of answering.
    Closed,
    /// It refused a plain client, who may have had credentials.
    Refused {
        /// Why.
        reason: ReasonCode,
        /// Whether it had credentials.
        is_known: bool,
    },
    /// What it answered is no CONNACK of MQTT 5.
    NotMqtt {
        /// What is wrong with it.
        problem: String,
        /// Its first bytes.
        bytes: Vec<u8>,
    },
    /// It speaks something else than what was meant to carry MQTT.
    Speaks(Spoken, Scheme),
    /// It lets no message through where the suite would send its own.
    Barred {
        /// Where that is.
        below: String,
        /// What it said, level by level.
        said: String,
        /// Whether we had credentials.
        is_known: bool,
    },
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unusable::Unreachable(error) => match NoCarrier::of(error) {
                Some(why) => why.fmt(f),
                None => write!(f, "cannot be reached: {error}"),
            },
            Unusable::Silent(patience) => {
                write!(f, "accepts connections but did not answer a CONNECT within {patience:?}")
            }
            Unusable::Closed => f.write_str("closed the connection instead of answering a CONNECT"),
            Unusable::Refused { reason, is_known } => write!(
                f,
                "refused a client with{} credentials: 0x{:02X} ({}); {}",
                if *is_known { "" } else { "out" },
                reason.value(),
                reason.row().name,
                match is_known {
                    true => "are its user name and password right?",
                    false => {
                        "let such clients in, or give a user name and password with --username and \
                         --password-env"
                    }
                }
            ),
            Unusable::Speaks(spoken, over) => f.write_str(&spoken.advice(*over)),
            Unusable::Barred { below, said, is_known } => write!(
                f,
                "lets no message through below '{below}/' ({said}): give {} the right to publish and \
                 subscribe there, or name another place with --topic-prefix",
                if *is_known { "this user" } else { "clients without credentials" },
            ),
            Unusable::NotMqtt { problem, bytes } => write!(
                f,
                "does not speak MQTT 5: {problem} (first bytes: {})",
                bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
            ),
        }
    }
}

impl std::error::Error for Unusable {}

impl Unusable {
    /// Whether it sent us to another server.
    pub(crate) fn is_elsewhere(&self) -> bool {
        use ReasonCode::{ServerMoved, UseAnotherServer};
        matches!(self, Unusable::Refused { reason: UseAnotherServer | ServerMoved, .. })
    }

    /// Whether it will be the same if it is tried again soon.
    pub fn is_final(&self) -> bool {
        match self {
            Unusable::Unreachable(error) => NoCarrier::of(error).is_some_and(|why| why.is_final),
            Unusable::Refused { reason, .. } => !matches!(
                reason,
                ReasonCode::ServerUnavailable
                    | ReasonCode::ServerBusy
                    | ReasonCode::ServerShuttingDown
                    | ReasonCode::QuotaExceeded
                    | ReasonCode::ConnectionRateExceeded
            ),
            Unusable::Speaks(..) | Unusable::NotMqtt { .. } | Unusable::Barred { .. } => true,
            Unusable::Silent(_) | Unusable::Closed => false,
        }
    }
}

/// Waits for the answer to one CONNECT.
///
/// # Errors
///
/// Why there is no broker that lets us in, or not yet.
pub async fn answers(connector: &Connector, patience: Duration) -> Result<(), Unusable> {
    look(connector, "mqttspecwait", patience).await.map(drop)
}

/// What a broker announces, in the CONNACK for a plain client.
///
/// # Errors
///
/// Why there is no broker that lets us in, or not yet.
pub async fn announced(connector: &Connector, patience: Duration) -> Result<ConnAck, Unusable> {
    let looked = look(connector, "mqttspeclook", patience).await?;
    Ok(looked.capabilities.connack().clone())
}

/// Connects as a plain client, reads what the target declares, and has it pass messages on below
/// this topic, where the suite will have its own.
///
/// # Errors
///
/// Why no scenario could be run.
pub async fn preflight(
    connector: &Connector,
    client_id: &str,
    topics: &str,
    patience: Duration,
) -> Result<Looked, Unusable> {
    let mut looked = match look(connector, client_id, patience).await {
        Err(why) if why.is_elsewhere() && connector.setup().redirects => {
            return Ok(Looked::undeclared().of(connector));
        }
        looked => looked?,
    };
    let levels = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];
    let levels: Vec<_> =
        levels.into_iter().filter(|qos| looked.capabilities.meet(Need::QoS(*qos))).collect();
    let traveller = format!("{client_id}trip");
    let trips = round_trip::all(connector, &traveller, topics, &levels, patience).await;
    let said = |trips: &[&Trip]| {
        let said: Vec<_> = trips.iter().map(|trip| trip.to_string()).collect();
        said.join("; ")
    };
    let (done, rest): (Vec<_>, Vec<_>) = trips.iter().partition(|trip| trip.is_done());
    // What breaks the protocol in a round trip is a broker that scenarios are to look at.
    if done.is_empty() && rest.iter().all(|trip| trip.is_barred()) {
        let is_known = connector.is_known();
        return Err(Unusable::Barred { below: topics.to_owned(), said: said(&rest), is_known });
    }
    looked.is_mute = done.is_empty() && rest.iter().all(|trip| trip.met_silence());
    if !rest.is_empty() {
        let rest = said(&rest);
        looked.notes.push(format!("not every message goes through below '{topics}/': {rest}"));
    }
    Ok(looked)
}

/// Connects as a plain client and reads what the target declares.
///
/// # Errors
///
/// Why no scenario could be run.
pub(crate) async fn look(
    connector: &Connector,
    client_id: &str,
    patience: Duration,
) -> Result<Looked, Unusable> {
    let connect =
        connector.connect_packet(client_id).session_expiry(ASKED_EXPIRY).keep_alive(KEEP_ALIVE);
    let opened = Visitor::open(connector, connect, patience).await;
    let (mut visitor, looked) = match opened {
        Err(Unusable::Closed | Unusable::Silent(_)) | Err(Unusable::NotMqtt { .. }) => {
            let spoken = spoken(connector, patience.min(Duration::from_secs(1))).await;
            return Err(match (spoken, opened) {
                (Some(spoken), _) => Unusable::Speaks(spoken, connector.scheme()),
                (None, opened) => opened.err().unwrap_or(Unusable::Closed),
            });
        }
        opened => opened?,
    };
    let looked = looked.of(connector);
    let mut goodbye = Disconnect::default();
    goodbye.properties.push(PropertyId::SessionExpiryInterval, 0);
    // It has answered; how it takes the goodbye is for scenarios to judge.
    let _ = visitor.send(goodbye).await;
    Ok(looked)
}

/// A plain client of few words: each of its steps ends by one deadline, whatever the target does.
pub(crate) struct Visitor {
    stream: BoxStream,
    framer: Framer,
    deadline: Instant,
    /// What has ended the connection, if it was no end of stream.
    failed: Option<io::Error>,
}

/// Why a visitor heard nothing more.
#[derive(Debug)]
pub(crate) enum Lost {
    /// The time was up.
    Late,
    /// The connection ended.
    Closed,
    /// Bytes came that are no packet: these.
    Broken(Bytes, String),
}

impl Visitor {
    /// Connects, and tries again where no byte came; gives what the CONNACK declares.
    pub(crate) async fn open(
        connector: &Connector,
        connect: Connect,
        patience: Duration,
    ) -> Result<(Visitor, Looked), Unusable> {
        let mut tries = 0;
        loop {
            tries += 1;
            let opened = Visitor::open_once(connector, connect.clone(), patience).await;
            // One that is refused was tried again already.
            if !matches!(opened, Err(Unusable::Closed)) || tries == TRIES {
                return opened;
            }
            connector.strain().closed();
            connector.strain().rest(tries).await;
        }
    }

    async fn open_once(
        connector: &Connector,
        connect: Connect,
        patience: Duration,
    ) -> Result<(Visitor, Looked), Unusable> {
        let stream = connector.connect(patience).await.map_err(Unusable::Unreachable)?;
        let begun = Instant::now();
        let deadline = begun + patience;
        let mut visitor = Visitor { stream, framer: Framer::new(MOST), deadline, failed: None };
        if visitor.send(connect).await.is_err() {
            return Err(Unusable::Closed);
        }
        let looked = match visitor.next().await {
            Ok(Packet::ConnAck(connack)) if connack.reason.is_error() => {
                return Err(refused(connector, connack.reason));
            }
            Ok(Packet::ConnAck(connack)) => {
                Looked { took: begun.elapsed(), ..Looked::at(&connack) }
            }
            Ok(packet) => {
                let problem = format!("{} in answer to a CONNECT", packet.packet_type());
                let bytes = packet.to_bytes().unwrap_or_default();
                let bytes = bytes.iter().take(SHOWN).copied().collect();
                return Err(Unusable::NotMqtt { problem, bytes });
            }
            Err(Lost::Late) => return Err(Unusable::Silent(patience)),
            Err(Lost::Closed) => {
                let why = visitor.failed.and_then(|error| connector.no_carrier(&error));
                return Err(why.map_or(Unusable::Closed, Unusable::Unreachable));
            }
            Err(Lost::Broken(bytes, problem)) => unreadable(connector, &bytes, problem)?,
        };
        Ok((visitor, looked))
    }

    /// Gives it so much time from now on.
    pub(crate) fn allow(&mut self, patience: Duration) {
        self.deadline = Instant::now() + patience;
    }

    pub(crate) async fn send(&mut self, packet: impl Into<Packet>) -> Result<(), Lost> {
        let bytes = packet.into().to_bytes().unwrap_or_default();
        match timeout_at(self.deadline, write_out(&mut self.stream, &bytes)).await {
            Ok(Ok(())) => Ok(()),
            // What came before the end may say why.
            Ok(Err(_)) => Ok(()),
            Err(_) => Err(Lost::Late),
        }
    }

    /// The next packet.
    pub(crate) async fn next(&mut self) -> Result<Packet, Lost> {
        loop {
            let pending = self.framer.pending_bytes();
            let first = Bytes::copy_from_slice(&pending[..pending.len().min(SHOWN)]);
            let broken = |bytes, error: DecodeError| Lost::Broken(bytes, error.to_string());
            match self.framer.next_frame() {
                Err(error) => return Err(broken(first, error)),
                Ok(Some(frame)) => {
                    // A bad value is for scenarios to find.
                    return Packet::decode_leniently(&frame, Side::Server)
                        .map(|(packet, _)| packet)
                        .map_err(|error| broken(frame.bytes.clone(), error));
                }
                Ok(None) => {}
            }
            // Whoever never stops sending does not get more than the time either.
            if Instant::now() >= self.deadline {
                return Err(Lost::Late);
            }
            let read = self.stream.read_buf(self.framer.buffer());
            match timeout_at(self.deadline, read).await {
                Err(_) => return Err(Lost::Late),
                Ok(Ok(0)) => return Err(Lost::Closed),
                Ok(Err(error)) => {
                    self.failed = Some(error);
                    return Err(Lost::Closed);
                }
                Ok(Ok(_)) => {}
            }
        }
    }
}

/// What a CONNACK declares that cannot be read: one that accepts us is a fault for scenarios to find,
/// and not the end of the run.
///
/// # Errors
///
/// When it is no such CONNACK.
fn unreadable(connector: &Connector, bytes: &[u8], problem: String) -> Result<Looked, Unusable> {
    if let Some(spoken) = Spoken::by(bytes) {
        return Err(Unusable::Speaks(spoken, connector.scheme()));
    }
    match bytes {
        // As short a Remaining Length as this is one byte, and a CONNACK with few properties short.
        [0x20, 3..=127, _, 0x00, ..] | [0x20, 0x80..=0xFF, _, _, 0x00, ..] => Ok(Looked {
            notes: vec![format!(
                "its CONNACK cannot be read, so what it declares is unknown: {problem}"
            )],
            ..Looked::undeclared()
        }),
        [0x20, 3..=127, _, code, ..] => match ReasonCode::from_value(*code) {
            Some(reason) => Err(refused(connector, reason)),
            None => Err(not_mqtt(bytes, problem)),
        },
        _ => Err(not_mqtt(bytes, problem)),
    }
}

fn refused(connector: &Connector, reason: ReasonCode) -> Unusable {
    Unusable::Refused { reason, is_known: connector.is_known() }
}

fn not_mqtt(bytes: &[u8], problem: String) -> Unusable {
    Unusable::NotMqtt { problem, bytes: bytes.iter().take(SHOWN).copied().collect() }
}
