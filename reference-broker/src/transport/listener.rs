//! Sockets that are listened on.
//!
//! Accepting never waits for a client: [`Listener::accept`] gives a raw connection, and
//! [`Handshake::run`], in a task of its own, makes a stream of MQTT's bytes of it, within a time.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use super::browser::Browsers;
use super::tls::{ClientIdentity, ServerTls};
use super::url::{Endpoint, Host};
use super::{BoxStream, Stream, websocket};

/// How many connections the system holds until they are accepted.
const BACKLOG: i32 = 1024;

/// A bound socket and what is spoken on it.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    endpoint: Endpoint,
    handshake: Handshake,
}

/// A connection of which not a byte was read yet.
#[derive(Debug)]
pub struct Raw {
    stream: TcpStream,
    peer: SocketAddr,
}

impl Raw {
    /// Where it comes from.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }
}

/// A connection ready for MQTT.
pub struct Accepted {
    /// MQTT's bytes.
    pub stream: BoxStream,
    /// Where it comes from.
    pub peer: SocketAddr,
    /// Who a verified client certificate says it is.
    pub identity: Option<ClientIdentity>,
}

impl Listener {
    /// Binds a socket. A name is resolved, and the first of its addresses that can be bound is.
    ///
    /// An IPv6 address is for IPv6 alone: what is listened on is what was asked for, on every
    /// system alike. For both kinds on every interface listen on `0.0.0.0` and on `[::]`.
    ///
    /// # Errors
    ///
    /// What the system says and what to do about it; or that TLS is asked for, but there is none.
    pub async fn bind(endpoint: &Endpoint, tls: Option<&ServerTls>) -> io::Result<Listener> {
        let tls = match (endpoint.scheme.is_tls(), tls) {
            (false, _) => None,
            (true, Some(tls)) => Some(tls.clone()),
            (true, None) => {
                let what = format!("{endpoint} needs the PEM files of a certificate and its key");
                return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
            }
        };
        let socket = bind_first(endpoint).await.map_err(|error| told(endpoint, &error))?;
        let address = socket.local_addr()?;
        let endpoint = Endpoint { port: address.port(), ..endpoint.clone() };
        let path = endpoint.scheme.is_websocket().then(|| endpoint.path.clone());
        Ok(Listener { socket, address, endpoint, handshake: Handshake::new(tls, path) })
    }

    /// The address that is bound.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// As asked for, with the port that is bound.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Whether only this machine can reach it.
    pub fn is_loopback(&self) -> bool {
        self.address.ip().to_canonical().is_loopback()
    }

    /// What to do with each connection that is accepted; cheap to clone into its task.
    pub fn handshake(&self) -> Handshake {
        self.handshake.clone()
    }

    /// The same, for these web pages and those of the host that is listened on.
    #[must_use]
    pub fn for_browsers(mut self, mut browsers: Browsers) -> Listener {
        if let Host::Name(name) = &self.endpoint.host {
            browsers.names.push(name.clone());
        }
        self.handshake.browsers = Arc::new(browsers);
        self
    }

    /// The next connection. May be dropped at any time without losing one.
    ///
    /// # Errors
    ///
    /// What the system says, for lack of file descriptors say: pause before trying again.
    pub async fn accept(&self) -> io::Result<Raw> {
        let (stream, peer) = self.socket.accept().await?;
        // Fails when the client is gone already, which is seen soon enough.
        let _ = stream.set_nodelay(true);
        Ok(Raw { stream, peer })
    }
}

/// What makes a stream of MQTT's bytes of a raw connection.
#[derive(Debug, Clone)]
pub struct Handshake {
    tls: Option<ServerTls>,
    /// Of WebSocket.
    path: Option<String>,
    browsers: Arc<Browsers>,
}

impl Handshake {
    /// Of TLS, if any, and of WebSocket on a path, if any.
    pub fn new(tls: Option<ServerTls>, path: Option<String>) -> Handshake {
        Handshake { tls, path, browsers: Arc::default() }
    }

    /// Shakes hands, within a time for all of it; over plain TCP there is nothing to wait for.
    ///
    /// # Errors
    ///
    /// Why the client is not served; nothing remains to be done with it.
    pub async fn run(&self, raw: Raw, patience: Duration) -> io::Result<Accepted> {
        let Raw { stream, peer } = raw;
        let (stream, identity) = self.over(stream, patience).await?;
        Ok(Accepted { stream, peer, identity })
    }

    /// As [`Handshake::run`], over any stream.
    ///
    /// # Errors
    ///
    /// Why the client is not served.
    pub async fn over(
        &self,
        stream: impl Stream,
        patience: Duration,
    ) -> io::Result<(BoxStream, Option<ClientIdentity>)> {
        let started = Instant::now();
        match &self.tls {
            None => Ok((self.unwrap(stream, patience).await?, None)),
            Some(tls) => {
                let (stream, identity) = tls.accept(stream, patience).await?;
                let left = patience.saturating_sub(started.elapsed());
                Ok((self.unwrap(stream, left).await?, identity))
            }
        }
    }

    async fn unwrap(&self, stream: impl Stream, patience: Duration) -> io::Result<BoxStream> {
        match &self.path {
            None => Ok(Box::new(stream)),
            Some(path) => {
                let accepted = websocket::accept_from(&self.browsers, stream, path, patience);
                Ok(Box::new(accepted.await?))
            }
        }
    }
}

async fn bind_first(endpoint: &Endpoint) -> io::Result<TcpListener> {
    let port = endpoint.port;
    let addresses = match &endpoint.host {
        Host::V4(address) => vec![SocketAddr::from((*address, port))],
        Host::V6(address) => vec![SocketAddr::from((*address, port))],
        Host::Name(name) => {
            tokio::net::lookup_host((name.as_str(), port)).await?.collect::<Vec<_>>()
        }
    };
    let mut failed = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        match bind_one(address) {
            Ok(listener) => return Ok(listener),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

fn bind_one(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Elsewhere it would let two listen on one port.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket.into())
}

/// What to do when an address cannot be listened on.
pub(crate) fn advice(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::AddrInUse => "something else listens there; choose another port (0: any)",
        io::ErrorKind::PermissionDenied => "choose a port from 1024 on, such as 8080",
        io::ErrorKind::AddrNotAvailable => "no interface has that address; 0.0.0.0 is all of IPv4",
        _ => "check the host",
    }
}

fn told(endpoint: &Endpoint, error: &io::Error) -> io::Error {
    let advice = advice(error.kind());
    io::Error::new(error.kind(), format!("cannot listen on {endpoint}: {error}; {advice}"))
}
