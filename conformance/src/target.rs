//! Brokers under test: how to name one, how to reach it, and what it says it can do.

mod capabilities;
mod container;
mod null;
mod preflight;
mod round_trip;
mod spoken;
mod strain;
mod tempo;
mod variant;
mod wire;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use reference_broker::actor::Server;
use reference_broker::transport::{BoxStream, memory};
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio::time::{Instant, timeout_at};

pub(crate) use capabilities::declared;
pub use capabilities::{Capabilities, Need};
pub use container::{Container, IMAGE_VARIABLE, Started};
pub use null::Null;
pub(crate) use preflight::{KEEP_ALIVE, Lost, Visitor, look};
pub use preflight::{Looked, Unusable, preflight};
pub use spoken::Spoken;
pub use strain::Strain;
pub use variant::Variant;
pub use wire::{Form, Wire};

/// The port of MQTT over TCP where an address leaves it out.
const DEFAULT_PORT: u16 = 1883;

/// How much the system holds of what is sent and not yet taken. Little, so that a write ends when
/// the other side has nearly all of it: only then does a patience for the answer begin.
const SEND_BUFFER: u32 = 64 * 1024;

/// How often a connection is tried before it counts as refused: who is at a limit for a moment lets
/// a later one in.
const TRIES: u32 = 6;

/// A broker to be tested, as it is named on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The reference broker in this process, over memory, on a clock that jumps: `embedded:`.
    Embedded(Variant),
    /// The reference broker in this process, over TCP, in real time: `embedded+tcp:`.
    EmbeddedTcp(Variant),
    /// A broker at an address: `mqtt://host:port`.
    Address(Address),
    /// Mosquitto in a container: `container:image`. It has to be [started](Target::start).
    Container(Container),
    /// A server in this process that is no broker: `null:closes` and its like.
    Null(Null),
}

impl Default for Target {
    fn default() -> Target {
        Target::Embedded(Variant::default())
    }
}

impl Target {
    /// Whether each scenario has a server of its own, in memory, on a clock that jumps.
    pub fn is_in_memory(&self) -> bool {
        matches!(self, Target::Embedded(_) | Target::Null(_))
    }
}

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    host: String,
    port: u16,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Embedded(variant) => write!(f, "embedded:{variant}"),
            Target::EmbeddedTcp(variant) => write!(f, "embedded+tcp:{variant}"),
            Target::Address(address) => write!(f, "mqtt://{address}"),
            Target::Container(container) => container.fmt(f),
            Target::Null(null) => null.fmt(f),
        }
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Target, String> {
        const KINDS: &str = "use mqtt://host:port, embedded:, embedded+tcp: or container:";
        match text.split_once(':') {
            Some(("embedded", variant)) => variant.parse().map(Target::Embedded),
            Some(("embedded+tcp", variant)) => {
                let variant: Variant = variant.parse()?;
                variant.over_socket()?;
                Ok(Target::EmbeddedTcp(variant))
            }
            Some(("container", image)) => Ok(Target::Container(Container::new(image))),
            Some(("null", kind)) => kind.parse().map(Target::Null),
            Some(("mqtt", rest)) => {
                let authority = rest
                    .strip_prefix("//")
                    .ok_or_else(|| format!("'{text}' lacks the slashes of mqtt://host:port"))?;
                authority.trim_end_matches('/').parse().map(Target::Address)
            }
            Some((scheme, _)) if text.contains("://") => {
                Err(format!("no target of the kind '{scheme}': {KINDS}"))
            }
            _ => Err(format!("'{text}' names no target: {KINDS}")),
        }
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Address, String> {
        let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, "")) => (host, None),
            Some((host, rest)) => (host, Some(rest.strip_prefix(':').unwrap_or(rest))),
            None => match text.rsplit_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            },
        };
        if host.is_empty() || host.contains(['/', '@', '?', '#']) {
            return Err(format!("'{text}' is not a host and port"));
        }
        let port = match port {
            Some(port) => port.parse().map_err(|_| format!("'{port}' is not a port"))?,
            None => DEFAULT_PORT,
        };
        Ok(Address { host: host.to_owned(), port })
    }
}

/// A way to open connections to one running broker.
#[derive(Clone, Debug)]
pub struct Connector {
    way: Way,
    /// What lies between.
    wire: Wire,
    strain: Strain,
}

#[derive(Clone, Debug)]
enum Way {
    /// To a broker in this process.
    Memory(Arc<Server>, Variant),
    /// To a server in this process that is no broker.
    Null(Null),
    /// To an address; a broker in this process behind it ends with the connector.
    Tcp { address: Address, _server: Option<Arc<Server>> },
}

impl Connector {
    /// Reaches the target, starting the broker if that is part of it.
    ///
    /// # Errors
    ///
    /// When no port can be had for a broker of our own, or a container is not started.
    pub async fn new(target: &Target) -> io::Result<Connector> {
        let way = match target {
            Target::Embedded(variant) => Way::Memory(Arc::new(variant.start()), variant.clone()),
            Target::EmbeddedTcp(variant) => {
                let server = variant.start();
                let address = server.listen(("127.0.0.1", 0)).await?;
                let address = Address { host: address.ip().to_string(), port: address.port() };
                Way::Tcp { address, _server: Some(Arc::new(server)) }
            }
            Target::Address(address) => Way::Tcp { address: address.clone(), _server: None },
            Target::Container(container) => match container.address() {
                Some(address) => Way::Tcp { address: address.clone(), _server: None },
                None => return Err(io::Error::other(format!("{container} is not started"))),
            },
            Target::Null(null) => Way::Null(*null),
        };
        let wire = match target {
            Target::Embedded(variant) | Target::EmbeddedTcp(variant) => variant.wire(),
            Target::Address(_) | Target::Container(_) | Target::Null(_) => Wire::default(),
        };
        Ok(Connector { way, wire, strain: Strain::default() })
    }

    /// What connections did not come about, of this one and those cloned from it.
    pub fn strain(&self) -> &Strain {
        &self.strain
    }

    /// Whether something may be lost on the way.
    pub fn is_over_a_network(&self) -> bool {
        matches!(self.way, Way::Tcp { .. })
    }

    /// Opens a connection; one that is refused is tried again for a while.
    ///
    /// # Errors
    ///
    /// What the system says in the end, or that it took longer than `patience`.
    pub async fn connect(&self, patience: Duration) -> io::Result<BoxStream> {
        let stream: BoxStream = match &self.way {
            Way::Memory(server, variant) => variant.stream(Box::new(server.connect().await?)),
            Way::Null(null) => {
                let (ours, theirs) = memory::pair();
                // Ends with its stream, or with the runtime that is the scenario's own.
                tokio::spawn(null.serve(Box::new(theirs)));
                Box::new(ours)
            }
            Way::Tcp { address, .. } => {
                self.strain.turn().await;
                let stream = self.reach(address, Instant::now() + patience).await?;
                self.strain.around(Box::new(stream))
            }
        };
        Ok(self.wire.around(stream))
    }

    async fn reach(&self, address: &Address, deadline: Instant) -> io::Result<TcpStream> {
        for tries in 1.. {
            let reached = match timeout_at(deadline, address.connect()).await {
                Ok(reached) => reached,
                Err(_) => Err(io::ErrorKind::TimedOut.into()),
            };
            let Err(error) = reached else { return reached };
            self.strain.refused();
            if tries >= TRIES || Instant::now() + Strain::pause(tries) >= deadline {
                return Err(error);
            }
            self.strain.rest(tries).await;
        }
        Err(io::ErrorKind::TimedOut.into())
    }
}

impl Address {
    /// Opens a connection to the first of its addresses that accepts one; small packets are sent at
    /// once.
    async fn connect(&self) -> io::Result<TcpStream> {
        let mut failed = io::Error::from(io::ErrorKind::NotFound);
        for address in lookup_host((self.host.as_str(), self.port)).await? {
            match Address::connect_to(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    async fn connect_to(address: SocketAddr) -> io::Result<TcpStream> {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        socket.set_send_buffer_size(SEND_BUFFER)?;
        let stream = socket.connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read_and_written_alike() {
        for (text, written) in [
            ("embedded:", "embedded:"),
            ("embedded+tcp:", "embedded+tcp:"),
            ("embedded:?mutant=3.12/pingresp-lost", "embedded:?mutant=3.12/pingresp-lost"),
            // What lies between broker and probe is in the probe's stream.
            ("embedded+tcp:?sends-byte-by-byte", "embedded+tcp:?sends-byte-by-byte"),
            // In the order of the list, each once.
            (
                "embedded+tcp:?messages-lag&closes-late&messages-lag",
                "embedded+tcp:?closes-late&messages-lag",
            ),
            ("null:yes", "null:yes"),
            ("mqtt://localhost", "mqtt://localhost:1883"),
            ("container:", "container:"),
            ("container:localhost:5000/a/b:2", "container:localhost:5000/a/b:2"),
            ("mqtt://10.0.0.1:99/", "mqtt://10.0.0.1:99"),
            ("mqtt://[::1]:1884", "mqtt://[::1]:1884"),
        ] {
            assert_eq!(text.parse::<Target>().map(|target| target.to_string()), Ok(written.into()));
        }
    }

    #[test]
    fn what_is_no_target_is_told_so() {
        for (text, problem) in [
            ("http://a", "no target of the kind 'http'"),
            ("localhost:1883", "'localhost:1883' names no target"),
            ("mqtt:localhost", "lacks the slashes"),
            ("embedded:3.1", "'3.1' after embedded: does not begin with '?'"),
            ("embedded:?mutant=none", "no mutant 'none'"),
            ("embedded:?closes-lat", "no switch 'closes-lat': did you mean 'closes-late'?"),
            ("embedded:?zzz", "no switch 'zzz': `mqttspec list --switches` lists them"),
            (
                "embedded+tcp:?mutant=4.2/last-byte-alone-lost&closes-late",
                "so over a socket it would conform: use `mqttspec run \
                 'embedded:?mutant=4.2/last-byte-alone-lost&closes-late'`",
            ),
            (
                "embedded:?keep-alive-off&keep-alive-of-a-minute",
                "'keep-alive-of-a-minute' and 'keep-alive-off' exclude each other",
            ),
            ("mqtt://", "'' is not a host and port"),
            ("mqtt://a:b", "'b' is not a port"),
            ("mqtt://a:70000", "'70000' is not a port"),
            ("mqtt://user@a", "'user@a' is not a host and port"),
        ] {
            let error = text.parse::<Target>().unwrap_err();
            assert!(error.contains(problem), "{text}: {error}");
        }
    }
}
