use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::DuplexStream;
use tokio::net::{TcpListener, ToSocketAddrs};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::authentication::Authenticator;
use crate::core::{Broker, Config};
use crate::topic::TopicPattern;
use crate::transport::listener::Listener;
use crate::transport::{BoxStream, memory};

use super::counts::Counters;
use super::inbox::{self, Inbox, Look};
use super::listener::{self, Knock, Within};
use super::queue::Total;
use super::supervisor::{Engines, Order, Shared, Supervisor};
use super::tap::Tap;
use super::{
    Accept, Arrival, Arrived, Engine, ServerSettings, ShellCounts, TapError, TapHandle, TapMessage,
    TapOptions,
};

/// How many accepted connections, and how many orders, wait for the supervisor.
const KNOCKS: usize = 16;
const ORDERS: usize = 16;

/// A patience beyond what the clock can count is taken for that: a hundred years.
const FOREVER: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// A running broker. Dropping it ends all its tasks and closes all its connections.
#[derive(Debug)]
pub struct Server {
    orders: mpsc::Sender<Order>,
    knocks: mpsc::Sender<Knock>,
    /// The inbox of the broker, while there is one.
    current: watch::Receiver<Option<Inbox>>,
    counters: Arc<Counters>,
    /// What waits to be written to all clients.
    waiting: Arc<Total>,
    settings: ServerSettings,
    /// Whether the engine tells of what is published.
    reports_published: bool,
    /// The supervisor, alone in a set so that it ends with the server.
    _supervisor: JoinSet<()>,
}

impl Server {
    /// Starts a broker on the current runtime. It serves nobody until it is told to listen.
    ///
    /// When it dies, a new one takes its place on the same listeners; it begins without sessions
    /// and messages.
    pub fn start(config: Config) -> Server {
        Server::start_with_settings(config, ServerSettings::default())
    }

    /// As [`Server::start`], with somebody to ask about clients. Whether and how the broker asks is
    /// for its configuration to say; see [`Authenticator::access`]. Without one, a client that is
    /// asked about is turned away.
    pub fn start_with(config: Config, authenticator: Authenticator) -> Server {
        let limit = config.maximum_packet_size;
        let engine = move || Box::new(Broker::new(config.clone())) as Box<dyn Engine>;
        Server::start_engines(engine, limit, ServerSettings::default(), Some(authenticator))
    }

    /// As [`Server::start`], with other bounds around it.
    pub fn start_with_settings(config: Config, settings: ServerSettings) -> Server {
        let (limit, reports) = (config.maximum_packet_size, config.reports_published);
        let engines: Engines = Box::new(move || Some(Box::new(Broker::new(config.clone()))));
        Server::launch(engines, limit, reports, settings, None)
    }

    /// As [`Server::start`], with something that stands in the place of the core, and somebody to ask
    /// about clients; packets of more bytes than `maximum_packet_size` do not reach it. There is only
    /// this one: when it dies, the server has stopped.
    pub fn start_engine(
        engine: Box<dyn Engine>,
        maximum_packet_size: u32,
        authenticator: Option<Authenticator>,
    ) -> Server {
        let mut engine = Some(engine);
        let engines: Engines = Box::new(move || engine.take());
        let settings = ServerSettings::default();
        Server::launch(engines, maximum_packet_size, true, settings, authenticator)
    }

    /// As [`Server::start_engine`], with another one whenever one has died, other bounds around it,
    /// and somebody to ask about clients.
    pub fn start_engines(
        engines: impl Fn() -> Box<dyn Engine> + Send + 'static,
        maximum_packet_size: u32,
        settings: ServerSettings,
        authenticator: Option<Authenticator>,
    ) -> Server {
        let engines: Engines = Box::new(move || Some(engines()));
        Server::launch(engines, maximum_packet_size, true, settings, authenticator)
    }

    fn launch(
        engines: Engines,
        packet_limit: u32,
        reports_published: bool,
        settings: ServerSettings,
        authenticator: Option<Authenticator>,
    ) -> Server {
        let (orders, ordered) = mpsc::channel(ORDERS);
        let (knocks, knocked) = mpsc::channel(KNOCKS);
        let (publish, current) = watch::channel(None);
        let counters = Arc::new(Counters::default());
        let (bounds, counting) = (settings.clone(), Arc::clone(&counters));
        let waiting = Total::new(bounds.outbox_total_bytes);
        let shared = Shared {
            settings: bounds,
            packet_limit,
            authenticator,
            counters: counting,
            waiting: Arc::clone(&waiting),
        };
        let supervisor = Supervisor::new(engines, Arc::new(shared), publish);
        let mut task = JoinSet::new();
        task.spawn(supervisor.run(ordered, knocked));
        let _supervisor = task;
        Server {
            orders,
            knocks,
            current,
            counters,
            waiting,
            settings,
            reports_published,
            _supervisor,
        }
    }

    /// Opens a connection to the broker within the process.
    ///
    /// # Errors
    ///
    /// When the broker has stopped.
    pub async fn connect(&self) -> io::Result<DuplexStream> {
        let (ours, theirs) = memory::pair();
        self.arrive(Arrived { stream: Box::new(theirs), is_local: true }).await?;
        Ok(ours)
    }

    /// Serves a connection that was accepted elsewhere, over any transport. Where it comes from is
    /// not known, so it does not count as one from this machine.
    ///
    /// # Errors
    ///
    /// When the broker has stopped.
    pub async fn serve(&self, stream: BoxStream) -> io::Result<()> {
        self.arrive(Arrived { stream, is_local: false }).await
    }

    async fn arrive(&self, arrived: Arrived) -> io::Result<()> {
        let arrival = Arrival::new(async { Ok(arrived) });
        self.knocks.send(Knock::Arrival(arrival)).await.map_err(|_| stopped())
    }

    /// Listens for MQTT over TCP and gives the address, whose port may have been left to the system.
    ///
    /// # Errors
    ///
    /// What the system says, or that the broker has stopped.
    pub async fn listen(&self, address: impl ToSocketAddrs) -> io::Result<SocketAddr> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        self.listen_on(listener).await?;
        Ok(address)
    }

    /// As [`Server::listen_on`], on a listener of one of the [transports](crate::transport).
    ///
    /// # Errors
    ///
    /// When the broker has stopped.
    pub async fn listen_at(&self, listener: Listener) -> io::Result<()> {
        self.listen_on(Within(listener, self.settings.handshake_timeout)).await
    }

    /// Serves whatever a listener accepts, until the server stops; the death of a broker does not
    /// close it.
    ///
    /// # Errors
    ///
    /// When the broker has stopped.
    pub async fn listen_on(&self, listener: impl Accept) -> io::Result<()> {
        let listening = listener::listen(listener, self.knocks.clone());
        self.order(Order::Listen(Box::pin(listening))).await
    }

    /// Calls a function in this process with every message that is published to a topic that the
    /// pattern matches; see [`TopicPattern`] for its captures. It sees what is published from now on,
    /// retained messages that are there already not included.
    ///
    /// The function is called with one message after another, in the order of their publication, in
    /// a task of its own; when it is behind, the newest message is dropped and counted.
    ///
    /// # Errors
    ///
    /// When the pattern is none, when the broker does not report what is published, or has stopped.
    pub async fn tap<F, Fut>(&self, pattern: &str, function: F) -> Result<TapHandle, TapError>
    where
        F: Fn(TapMessage) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.tap_with(pattern, TapOptions::default(), function).await
    }

    /// As [`Server::tap`], with a queue of another size.
    ///
    /// # Errors
    ///
    /// As of [`Server::tap`].
    pub async fn tap_with<F, Fut>(
        &self,
        pattern: &str,
        options: TapOptions,
        function: F,
    ) -> Result<TapHandle, TapError>
    where
        F: Fn(TapMessage) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let pattern = TopicPattern::parse(pattern).map_err(TapError::Pattern)?;
        if !self.reports_published {
            return Err(TapError::NotReported);
        }
        let (tap, messages) = Tap::new(pattern, options, Arc::clone(&self.counters), function);
        let (reply, handle) = oneshot::channel();
        let order = Order::Tap(tap, messages, reply);
        self.order(order).await.map_err(TapError::Stopped)?;
        handle.await.map_err(|_| TapError::Stopped(stopped()))?.ok_or(TapError::TooMany)
    }

    /// Takes a tap away. It gets what waits for it now, and no more.
    pub async fn untap(&self, tap: &TapHandle) {
        let (done, taken_away) = oneshot::channel();
        if self.order(Order::Untap(tap.clone(), done)).await.is_ok() {
            // An error means that the supervisor is gone, and the tap with it.
            let _ = taken_away.await;
        }
    }

    /// What the shell has seen and done so far.
    pub fn counts(&self) -> ShellCounts {
        let inbox = self.current.borrow().as_ref().map_or(0, |inbox| inbox.messages.depth());
        ShellCounts { inbox, outbox_bytes: self.waiting.held(), ..self.counters.read() }
    }

    /// Looks at the core, between two messages; everybody waits meanwhile. Between two brokers it
    /// waits for the next.
    ///
    /// # Errors
    ///
    /// When the broker has stopped or dies, when what stands in its place shows no core
    /// ([`Engine::broker`]), or when `look` panics.
    pub async fn inspect<R: Send + 'static>(
        &self,
        look: impl FnOnce(&Broker) -> R + Send + 'static,
    ) -> io::Result<R> {
        let mut current = self.current.clone();
        let broker = current.wait_for(Option::is_some).await.map_err(|_| stopped())?.clone();
        let broker = broker.ok_or_else(stopped)?;
        let (reply, answer) = oneshot::channel();
        let look: Look = Box::new(move |core| {
            let _ = reply.send(core.map(look)); // Whoever asked may have given up.
        });
        broker.orders.send(inbox::Order::Inspect(look), 0).await.map_err(|_| stopped())?;
        let answer = answer.await.map_err(|_| io::Error::other("no answer from the broker"))?;
        answer.ok_or_else(|| io::Error::new(io::ErrorKind::Unsupported, "no core to look at"))
    }

    /// As [`Server::stop_within`], as long as [`ServerSettings::stop_patience`] says.
    pub async fn stop(&self) {
        self.stop_within(self.settings.stop_patience).await;
    }

    /// Stops the broker. It accepts nobody more, tells all clients that it is shutting down
    /// (DISCONNECT with 0x8B) and closes their connections, with their Wills published as at any
    /// other close by the server. Clients and taps may take what was sent until `patience` is over;
    /// who has not by then is cut off. Returns when every task has ended.
    pub async fn stop_within(&self, patience: Duration) {
        let (done, stopped) = oneshot::channel();
        let now = Instant::now();
        let deadline = now.checked_add(patience).unwrap_or(now + FOREVER);
        if self.order(Order::Stop(deadline, done)).await.is_ok() {
            // An error means that the supervisor is gone, which is what was asked for.
            let _ = stopped.await;
        }
    }

    async fn order(&self, order: Order) -> io::Result<()> {
        self.orders.send(order).await.map_err(|_| stopped())
    }
}

fn stopped() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the broker has stopped")
}
