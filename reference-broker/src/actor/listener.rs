//! Accepts connections, for as long as the server lives: no death of a broker closes a listener.

use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::transport::listener::Listener;
use crate::transport::{BoxStream, tcp};

/// How long to wait after the system refused to accept, for lack of file descriptors say.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A connection that was accepted.
pub struct Arrival {
    /// Becomes its stream of MQTT's bytes, after a handshake if there is one. That runs in the connection's own task.
    pub handshake: Pin<Box<dyn Future<Output = io::Result<Arrived>> + Send>>,
    /// Where it comes from, if that is known.
    pub address: Option<IpAddr>,
}

impl Arrival {
    /// One of which it is not known where it comes from.
    pub fn new(handshake: impl Future<Output = io::Result<Arrived>> + Send + 'static) -> Arrival {
        Arrival { handshake: Box::pin(handshake), address: None }
    }
}

/// A connection that is ready for MQTT.
pub struct Arrived {
    /// MQTT's bytes.
    pub stream: BoxStream,
    /// Whether it came to where only this machine can come.
    pub is_local: bool,
}

/// What a server can [listen](super::Server::listen_on) on.
pub trait Accept: Send + Sync + 'static {
    /// The next connection. Does not wait for what the client says.
    ///
    /// An error is logged, and does not end the listening.
    fn accept(&self) -> impl Future<Output = io::Result<Arrival>> + Send;
}

impl Accept for TcpListener {
    async fn accept(&self) -> io::Result<Arrival> {
        let is_local = self.local_addr()?.ip().to_canonical().is_loopback();
        let stream = tcp::accept(self).await?;
        let address = stream.peer_addr().ok().map(|peer| peer.ip());
        let stream = Box::new(stream);
        let arrival = Arrival::new(async move { Ok(Arrived { stream, is_local }) });
        Ok(Arrival { address, ..arrival })
    }
}

/// A listener of any transport, and how long a handshake may take.
pub(super) struct Within(pub(super) Listener, pub(super) Duration);

impl Accept for Within {
    async fn accept(&self) -> io::Result<Arrival> {
        let Within(listener, patience) = self;
        let (raw, handshake, patience) =
            (listener.accept().await?, listener.handshake(), *patience);
        let (is_local, address) = (listener.is_loopback(), raw.peer().ip());
        let arrival = Arrival::new(async move {
            let stream = handshake.run(raw, patience).await?.stream;
            Ok(Arrived { stream, is_local })
        });
        Ok(Arrival { address: Some(address), ..arrival })
    }
}

/// What listeners tell the supervisor.
pub(super) enum Knock {
    /// Somebody has come.
    Arrival(Arrival),
    /// Somebody waits who cannot be accepted for want of file descriptors.
    NoRoom,
}

/// A listener at work.
pub(super) type Listening = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Hands what is accepted to the supervisor, and waits while that takes nothing: then clients wait
/// in the system's own queue.
pub(super) async fn listen(listener: impl Accept, knocks: mpsc::Sender<Knock>) {
    loop {
        match listener.accept().await {
            Ok(arrival) => {
                if knocks.send(Knock::Arrival(arrival)).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                tracing::warn!(%error, "no connection accepted");
                if is_out_of_files(&error) && knocks.send(Knock::NoRoom).await.is_err() {
                    return;
                }
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Whether the process, or the system, has as many files open as it may.
fn is_out_of_files(error: &io::Error) -> bool {
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    cfg!(unix) && matches!(error.raw_os_error(), Some(ENFILE | EMFILE))
}
