//! A broker in a container: started, watched, restarted, and removed without fail.
//!
//! A [`Container`] is looked after by a thread of its own, which starts it, does what is asked of it,
//! waits until it is no longer wanted and removes it. So it is removed whichever way its owner ends: by
//! [`Container::remove`], by a drop while unwinding, or by a start that is given up half-way, and whatever
//! becomes of the owner's runtime. Only a process that ends without unwinding leaves its container
//! behind: one that is killed outright, or by a signal that it does not handle. Those bear the label
//! [`LABEL`].

mod engine;
mod error;
mod request;

use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

pub use error::Error;
pub use request::Request;

use engine::Order;

/// The label of every container that is started here; its value is the image.
pub const LABEL: &str = "mqttspec.broker";

/// A container, which ends with this.
///
/// A drop waits until the container is removed, which takes parts of a second; [`Container::remove`] also
/// tells whether it was.
#[derive(Debug)]
pub struct Container {
    host: String,
    orders: mpsc::Sender<Order>,
    keeper: Keeper,
}

/// How a container is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It runs. Its first process has this number on the engine's machine, if that is to be had.
    Running(Option<u32>),
    /// It has ended, in this way.
    Ended(String),
}

impl Container {
    /// Starts a container of an image, which is pulled if the engine does not have it. Given up before
    /// its end, it removes what it began. What runs in it need not serve yet.
    ///
    /// # Errors
    ///
    /// In one sentence, what is missing or went wrong. Nothing is left then.
    pub async fn start(request: Request) -> Result<Container, Error> {
        let (orders, ordered) = mpsc::channel(1);
        let (tell, told) = oneshot::channel();
        let keep = move || engine::keep(&request, tell, ordered);
        let thread = thread::Builder::new().name("container".to_owned()).spawn(keep);
        let thread = thread.map_err(|error| Error::Lost(error.to_string()))?;
        let keeper = Keeper { thread: Some(thread) };
        match told.await {
            Ok(started) => started.map(|host| Container { host, orders, keeper }),
            // The thread has ended without a word: what it has to say is how it ended.
            Err(_) => {
                drop(orders);
                Err(keeper.end().err().unwrap_or_else(|| Error::Lost("no answer".to_owned())))
            }
        }
    }

    /// The host at which its ports are.
    pub fn host(&self) -> &str {
        &self.host
    }

    async fn ask<R>(&self, order: impl FnOnce(oneshot::Sender<R>) -> Order) -> Result<R, Error> {
        let lost = || Error::Lost("its thread has ended".to_owned());
        let (answer, answered) = oneshot::channel();
        self.orders.send(order(answer)).await.map_err(|_| lost())?;
        answered.await.map_err(|_| lost())
    }

    /// How it is.
    ///
    /// # Errors
    ///
    /// When the engine does not say.
    pub async fn state(&self) -> Result<State, Error> {
        self.ask(Order::State).await?
    }

    /// The last lines that it wrote.
    ///
    /// # Errors
    ///
    /// When the engine does not say.
    pub async fn last_lines(&self, count: usize) -> Result<Vec<String>, Error> {
        self.ask(|answer| Order::LastLines(count, answer)).await?
    }

    /// Kills it.
    ///
    /// # Errors
    ///
    /// When the engine cannot.
    pub async fn kill(&self) -> Result<(), Error> {
        self.ask(Order::Kill).await?
    }

    /// Asks it to end, and kills it if it has not by then.
    ///
    /// # Errors
    ///
    /// When the engine cannot.
    pub async fn stop(&self, within: Duration) -> Result<(), Error> {
        self.ask(|answer| Order::Stop(within, answer)).await?
    }

    /// Starts it again after its end.
    ///
    /// # Errors
    ///
    /// When the engine cannot.
    pub async fn begin_again(&self) -> Result<(), Error> {
        self.ask(Order::BeginAgain).await?
    }

    /// Removes the container and waits until it is gone.
    ///
    /// # Errors
    ///
    /// When it could not be removed.
    pub fn remove(self) -> Result<(), Error> {
        let Container { orders, keeper, .. } = self;
        drop(orders);
        keeper.end()
    }
}

/// The thread that looks after a container. It ends once nobody can give it orders any more.
#[derive(Debug)]
struct Keeper {
    thread: Option<JoinHandle<Result<(), Error>>>,
}

impl Keeper {
    fn end(mut self) -> Result<(), Error> {
        self.wait()
    }

    fn wait(&mut self) -> Result<(), Error> {
        let lost = |_| Err(Error::Lost("its thread panicked".to_owned()));
        self.thread.take().map_or(Ok(()), |thread| thread.join().unwrap_or_else(lost))
    }
}

// The orders are dropped first: fields are, in their order.
impl Drop for Keeper {
    fn drop(&mut self) {
        // Whoever wants to know whether it was removed calls `remove`.
        let _ = self.wait();
    }
}
