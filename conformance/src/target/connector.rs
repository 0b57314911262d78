use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use reference_broker::actor::Server;
use reference_broker::codec::Connect;
use reference_broker::transport::listener::Handshake;
use reference_broker::transport::tls::ClientTls;
use reference_broker::transport::url::{DEFAULT_PATH, Endpoint, Host, Scheme};
use reference_broker::transport::{BoxStream, memory};
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio::time::{Instant, timeout_at};

use crate::script::Logins;

use super::handshake::{NoCarrier, carry, client_tls, no_tls, secure};
use super::lines::Lines;
use super::proving::proving;
use super::scram::Scram;
use super::setup::Embedded;
use super::{
    Address, Capabilities, Credentials, Keeper, Need, Null, Restart, Setup, Strain, Target,
    Variant, Wire,
};

/// How much the system holds of what is sent and not yet taken. Little, so that a write ends when
/// the other side has nearly all of it: only then does a patience for the answer begin.
const SEND_BUFFER: u32 = 64 * 1024;

/// How often a connection is tried before it counts as refused: who is at a limit for a moment lets
/// a later one in.
const TRIES: u32 = 6;

/// A way to open connections to one running broker.
#[derive(Clone, Debug)]
pub struct Connector {
    way: Way,
    /// What lies between.
    wire: Wire,
    strain: Strain,
    /// Who the suite's clients are.
    credentials: Credentials,
    setup: Setup,
    /// What is cut off when a broker in memory is restarted; none if nobody wants that.
    lines: Option<Lines>,
    /// Who can restart any other.
    keeper: Option<Arc<Keeper>>,
}

#[derive(Clone, Debug)]
enum Way {
    /// To a broker in this process.
    Memory(Arc<Server>, Variant),
    /// To a server in this process that is no broker.
    Null(Null),
    /// To an address.
    Network(Arc<Network>),
}

/// A connection on which a WebSocket handshake is to come.
pub(crate) struct Below {
    pub(crate) stream: BoxStream,
    /// What the request calls the host.
    pub(crate) host: String,
    pub(crate) path: String,
}

#[derive(Debug)]
struct Network {
    address: Address,
    /// Whom to take for the broker; none without TLS.
    tls: Option<ClientTls>,
    /// A broker in this process behind it, which ends with it.
    _server: Option<Server>,
}

impl Network {
    fn at(address: Address) -> io::Result<Network> {
        let is_tls = address.endpoint.scheme.is_tls();
        let tls = is_tls.then(|| client_tls(&address.trust)).transpose()?;
        Ok(Network { address, tls, _server: None })
    }
}

impl Connector {
    /// Reaches the target, starting the broker if that is part of it.
    ///
    /// # Errors
    ///
    /// When no port can be had for a broker of our own, a container is not started, or a file with a
    /// certificate or key is of no use.
    pub async fn new(target: &Target) -> io::Result<Connector> {
        Connector::needing(target, &[]).await
    }

    /// As [`Connector::new`]; an embedded broker in memory is set up for what is needed.
    ///
    /// # Errors
    ///
    /// As [`Connector::new`].
    pub async fn needing(target: &Target, needs: &[Need]) -> io::Result<Connector> {
        let embedded = match target {
            Target::Embedded(_) => Embedded::with(needs),
            _ => Embedded::default(),
        };
        let way = match target {
            Target::Embedded(variant) => {
                Way::Memory(Arc::new(variant.start_as(&embedded)), variant.clone())
            }
            Target::EmbeddedTcp(variant) => {
                let server = variant.start();
                let SocketAddr::V4(address) = server.listen(("127.0.0.1", 0)).await? else {
                    return Err(io::Error::other("127.0.0.1 became an IPv6 address"));
                };
                let endpoint = Endpoint {
                    scheme: Scheme::Mqtt,
                    host: Host::V4(*address.ip()),
                    port: address.port(),
                    path: String::new(),
                };
                let network = Network::at(Address::plain(endpoint))?;
                Way::Network(Arc::new(Network { _server: Some(server), ..network }))
            }
            Target::Address(address) => {
                Way::Network(Arc::new(Network::at(Address::clone(address))?))
            }
            Target::Container(container) => match container.address() {
                Some(address) => Way::Network(Arc::new(Network::at(address.clone())?)),
                None => return Err(io::Error::other(format!("{container} is not started"))),
            },
            Target::Null(null) => Way::Null(*null),
        };
        let wire = match target {
            Target::Embedded(variant) | Target::EmbeddedTcp(variant) => variant.wire(),
            Target::Address(_) | Target::Container(_) | Target::Null(_) => Wire::default(),
        };
        let (credentials, setup) = match &way {
            Way::Network(network) => {
                (network.address.credentials.clone(), network.address.setup.clone())
            }
            Way::Memory(..) | Way::Null(_) => (embedded.credentials, embedded.setup),
        };
        let lines = needs.iter().any(|need| need.is_alone()).then(Lines::default);
        let strain = Strain::default();
        Ok(Connector { way, wire, strain, credentials, setup, lines, keeper: None })
    }

    /// With somebody who keeps the target running.
    #[must_use]
    pub(crate) fn kept_by(self, keeper: Option<Arc<Keeper>>) -> Connector {
        Connector { keeper, ..self }
    }

    /// Restarts the target, which then answers again.
    ///
    /// # Errors
    ///
    /// In one sentence, why it does not, or that nobody can do it.
    pub(crate) async fn restart(&self, restart: Restart) -> Result<(), String> {
        match (&self.lines, &self.keeper) {
            (_, Some(keeper)) => {
                let restarted = keeper.restart(restart).await;
                // What did not come about meanwhile says nothing of it.
                self.strain.forget();
                restarted
            }
            (Some(lines), None) => {
                lines.cut();
                Ok(())
            }
            (None, None) => Err("nobody can restart it".to_owned()),
        }
    }

    /// What connections did not come about, of this one and those cloned from it.
    pub fn strain(&self) -> &Strain {
        &self.strain
    }

    /// Whether something may be lost on the way.
    pub fn is_over_a_network(&self) -> bool {
        matches!(self.way, Way::Network(_))
    }

    /// Where the target is, if it is at an address.
    pub(super) fn address(&self) -> Option<&Address> {
        match &self.way {
            Way::Network(network) => Some(&network.address),
            Way::Memory(..) | Way::Null(_) => None,
        }
    }

    /// Whether the suite's clients have credentials.
    pub(super) fn is_known(&self) -> bool {
        !self.credentials.is_empty()
    }

    /// Who the suite's clients are.
    pub(crate) fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// Who clients of scripts are there.
    pub(crate) fn logins(&self) -> Logins {
        let Setup { other, scram, .. } = self.setup.clone();
        Logins::new(self.credentials.clone(), other, scram)
    }

    /// What is not to be shown: the credentials of others than brokers of our own.
    pub(crate) fn secrets(&self) -> Vec<Credentials> {
        match &self.way {
            Way::Network(_) => self.setup.secrets().chain([self.credentials.clone()]).collect(),
            Way::Memory(..) | Way::Null(_) => Vec::new(),
        }
    }

    /// What the target was set up with.
    pub(crate) fn setup(&self) -> &Setup {
        &self.setup
    }

    /// Whether the target was set up with what is needed.
    pub(crate) fn is_set_up_for(&self, need: Need) -> bool {
        Capabilities::undeclared().set_up(self.setup.clone()).meet(need)
    }

    /// What the target is, or can be, set up with.
    pub(super) fn possible_setup(&self) -> Setup {
        match &self.way {
            Way::Memory(..) => Embedded::with(Need::OF_SETUPS).setup,
            Way::Network(_) | Way::Null(_) => self.setup.clone(),
        }
    }

    /// What carries MQTT.
    pub(super) fn scheme(&self) -> Scheme {
        self.address().map_or(Scheme::Mqtt, |address| address.endpoint.scheme)
    }

    /// What an error on an open connection says of what carries MQTT there: over TLS 1.3 a certificate
    /// of ours is refused only then.
    pub(super) fn no_carrier(&self, error: &io::Error) -> Option<io::Error> {
        no_tls(error, self.address()?)
    }

    /// The CONNECT of a client with this Client Identifier, whom the target is to let in.
    pub fn connect_packet(&self, client_id: &str) -> Connect {
        self.credentials.complete(Connect::new(client_id))
    }

    /// Opens a connection; one that is refused is tried again for a while.
    ///
    /// # Errors
    ///
    /// What the system says in the end, why no MQTT can be spoken there, or that it took longer than
    /// `patience`.
    pub async fn connect(&self, patience: Duration) -> io::Result<BoxStream> {
        let stream: BoxStream = match &self.way {
            Way::Memory(server, variant) => {
                let stream = variant.stream(Box::new(server.connect().await?));
                match &self.lines {
                    Some(lines) => lines.through(stream),
                    None => stream,
                }
            }
            Way::Null(null) => {
                let (ours, theirs) = memory::pair();
                // Ends with its stream, or with the runtime that is the scenario's own.
                tokio::spawn(null.serve(Box::new(theirs)));
                Box::new(ours)
            }
            Way::Network(network) => {
                self.strain.turn().await;
                let stream = self.reach(network, Instant::now() + patience).await?;
                let stream = self.strain.around(stream);
                match self.credentials.login() {
                    Some(login) => proving(stream, login, self.nonce()),
                    None => stream,
                }
            }
        };
        Ok(self.wire.around(stream))
    }

    /// Whether the target is reached over WebSocket, or can be.
    pub(crate) fn has_websocket(&self) -> bool {
        match &self.way {
            Way::Memory(..) => true,
            Way::Null(_) => false,
            Way::Network(network) => network.address.endpoint.scheme.is_websocket(),
        }
    }

    /// Opens a connection on which a WebSocket handshake is to come.
    ///
    /// # Errors
    ///
    /// As [`Connector::connect`]; or that the target is not reached over WebSocket.
    pub(crate) async fn open_below_websocket(&self, patience: Duration) -> io::Result<Below> {
        let (stream, host, path): (BoxStream, _, _) = match &self.way {
            Way::Memory(server, variant) => {
                let (ours, theirs) = memory::pair();
                let server = Arc::clone(server);
                // Ends with its stream, or with the runtime that is the scenario's own.
                tokio::spawn(async move {
                    let handshake = Handshake::new(None, Some(DEFAULT_PATH.to_owned()));
                    let (stream, _) = handshake.over(theirs, patience).await?;
                    server.serve(stream).await
                });
                let stream = variant.below_websocket(Box::new(ours));
                (stream, "localhost".to_owned(), DEFAULT_PATH.to_owned())
            }
            Way::Network(network) if self.has_websocket() => {
                self.strain.turn().await;
                let deadline = Instant::now() + patience;
                let Network { address, tls, .. } = &**network;
                let stream = connect_within(&address.endpoint, deadline).await?;
                let stream = secure(stream, address, tls.as_ref(), deadline).await?;
                let stream = self.strain.around(stream);
                (stream, address.endpoint.authority(), address.endpoint.path.clone())
            }
            Way::Network(_) | Way::Null(_) => {
                return Err(io::Error::other("the target is not reached over WebSocket"));
            }
        };
        Ok(Below { stream, host, path })
    }

    /// A nonce that no other connection has.
    fn nonce(&self) -> String {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let since = std::time::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_nanos());
        Scram::nonce_of(&format!("{count} {since} {}", std::process::id()))
    }

    async fn reach(&self, network: &Network, deadline: Instant) -> io::Result<BoxStream> {
        for tries in 1.. {
            let error = match network.reach(deadline).await {
                Ok(stream) => return Ok(stream),
                Err(error) => error,
            };
            self.strain.refused();
            let is_final = NoCarrier::of(&error).is_some_and(|why| why.is_final);
            if is_final || tries >= TRIES || Instant::now() + Strain::pause(tries) >= deadline {
                return Err(error);
            }
            self.strain.rest(tries).await;
        }
        Err(io::ErrorKind::TimedOut.into())
    }
}

impl Network {
    async fn reach(&self, deadline: Instant) -> io::Result<BoxStream> {
        let stream = connect_within(&self.address.endpoint, deadline).await?;
        carry(stream, &self.address, self.tls.as_ref(), deadline).await
    }
}

async fn connect_within(endpoint: &Endpoint, deadline: Instant) -> io::Result<TcpStream> {
    let connected = timeout_at(deadline, connect_to_any(endpoint)).await;
    connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// Opens a connection to the first of the addresses of a host that accepts one; small packets are sent
/// at once.
async fn connect_to_any(endpoint: &Endpoint) -> io::Result<TcpStream> {
    let mut failed = io::Error::from(io::ErrorKind::NotFound);
    for address in lookup_host((endpoint.host.to_string(), endpoint.port)).await? {
        match connect_to(address).await {
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
