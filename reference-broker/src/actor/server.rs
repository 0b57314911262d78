use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::DuplexStream;
use tokio::net::{TcpListener, ToSocketAddrs};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::authentication::Authenticator;
use crate::core::{Broker, Config, ConnectionId};
use crate::transport::{BoxStream, memory, tcp};

use super::Engine;
use super::asker::Asker;
use super::broker::{self, Message};
use super::connection;

/// How many new connections wait for the supervisor.
const BACKLOG: usize = 128;

/// How long to wait after the system refused to accept, for lack of file descriptors say.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A running broker. Dropping it ends all its tasks and closes all its connections.
#[derive(Debug)]
pub struct Server {
    orders: mpsc::Sender<Order>,
    /// The supervisor, alone in a set so that it ends with the server.
    _supervisor: JoinSet<()>,
}

enum Order {
    Serve(BoxStream),
    Listen(TcpListener),
    Stop(oneshot::Sender<()>),
}

impl Server {
    /// Starts a broker on the current runtime. It serves nobody until it is told to listen. If its
    /// configuration asks about clients, they are all turned away.
    pub fn start(config: Config) -> Server {
        let limit = config.maximum_packet_size;
        Server::start_engine(Box::new(Broker::new(config)), limit)
    }

    /// As [`Server::start`], with somebody to ask about clients. Whether and how the broker asks is
    /// for its configuration to say; see [`Authenticator::access`].
    pub fn start_with(config: Config, authenticator: Authenticator) -> Server {
        let limit = config.maximum_packet_size;
        Server::launch(Box::new(Broker::new(config)), limit, Some(authenticator))
    }

    /// As [`Server::start`], with something that stands in the place of the core; packets of more
    /// bytes than `maximum_packet_size` do not reach it.
    pub fn start_engine(engine: Box<dyn Engine>, maximum_packet_size: u32) -> Server {
        Server::launch(engine, maximum_packet_size, None)
    }

    fn launch(
        engine: Box<dyn Engine>,
        maximum_packet_size: u32,
        authenticator: Option<Authenticator>,
    ) -> Server {
        let (orders, inbox) = mpsc::channel(BACKLOG);
        let mut supervisor = JoinSet::new();
        let own_orders = orders.downgrade();
        let running = supervise(engine, authenticator, maximum_packet_size, inbox, own_orders);
        supervisor.spawn(running);
        Server { orders, _supervisor: supervisor }
    }

    /// Opens a connection to the broker within the process.
    ///
    /// # Errors
    ///
    /// When the broker has stopped.
    pub async fn connect(&self) -> io::Result<DuplexStream> {
        let (ours, theirs) = memory::pair();
        self.order(Order::Serve(Box::new(theirs))).await?;
        Ok(ours)
    }

    /// Listens for MQTT over TCP and gives the address, whose port may have been left to the system.
    ///
    /// # Errors
    ///
    /// What the system says, or that the broker has stopped.
    pub async fn listen(&self, address: impl ToSocketAddrs) -> io::Result<SocketAddr> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        self.order(Order::Listen(listener)).await?;
        Ok(address)
    }

    /// Stops the broker and waits until all its connections are closed.
    pub async fn stop(&self) {
        let (done, stopped) = oneshot::channel();
        if self.order(Order::Stop(done)).await.is_ok() {
            // An error means that the supervisor is gone, which is what was asked for.
            let _ = stopped.await;
        }
    }

    async fn order(&self, order: Order) -> io::Result<()> {
        let stopped = |_| io::Error::new(io::ErrorKind::NotConnected, "the broker has stopped");
        self.orders.send(order).await.map_err(stopped)
    }
}

/// Owns every task of the broker.
async fn supervise(
    engine: Box<dyn Engine>,
    authenticator: Option<Authenticator>,
    limit: u32,
    mut orders: mpsc::Receiver<Order>,
    own_orders: mpsc::WeakSender<Order>,
) {
    let (broker, inbox) = broker::inbox();
    let mut tasks = JoinSet::new();
    let asker = Asker::new(authenticator, broker.downgrade());
    tasks.spawn(broker::run(engine, asker, inbox));
    let mut last_id = 0;
    loop {
        let order = tokio::select! {
            order = orders.recv() => order,
            Some(_) = tasks.join_next() => continue,
        };
        match order {
            Some(Order::Serve(stream)) => {
                last_id += 1;
                let id = ConnectionId(last_id);
                let (sender, outbox) = mpsc::channel(connection::OUTBOX);
                let (open, opened) = oneshot::channel::<()>();
                let inbox = broker.clone();
                let task = tasks.spawn(async move {
                    if opened.await.is_ok() {
                        connection::run(id, stream, limit, inbox, outbox).await;
                    }
                });
                if broker.send(Message::Opened(id, sender, task)).await.is_ok() {
                    let _ = open.send(());
                }
            }
            Some(Order::Listen(listener)) => {
                if let Some(orders) = own_orders.upgrade() {
                    tasks.spawn(accept(listener, orders));
                }
            }
            Some(Order::Stop(done)) => {
                tasks.shutdown().await;
                let _ = done.send(());
                return;
            }
            None => return,
        }
    }
}

async fn accept(listener: TcpListener, orders: mpsc::Sender<Order>) {
    loop {
        match tcp::accept(&listener).await {
            Ok(stream) => {
                if orders.send(Order::Serve(Box::new(stream))).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                tracing::warn!(%error, "no connection accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
