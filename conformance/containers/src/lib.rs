//! Mosquitto in a container: started, reached at an address, and removed without fail.
//!
//! A [`Broker`] is looked after by a thread of its own, which starts the container, waits until it is
//! no longer wanted and removes it. So it is removed whichever way its owner ends: by [`Broker::stop`],
//! by a drop while unwinding, or by a start that is given up half-way, and whatever becomes of the
//! owner's runtime. Only a process that ends without unwinding leaves its container behind: one that is
//! killed outright, or by a signal that it does not handle. Those bear the label [`LABEL`].

mod engine;
mod error;
mod ready;

use std::thread::{self, JoinHandle};

use tokio::sync::oneshot;

pub use error::Error;

/// The image of [`Broker::start`] where nobody names another.
pub const DEFAULT_IMAGE: &str = "eclipse-mosquitto:2";

/// The label of every container that is started here; its value is the image.
pub const LABEL: &str = "mqttspec.broker";

/// A broker that serves MQTT in a container, which ends with it.
///
/// A drop waits until the container is removed, which takes parts of a second; [`Broker::stop`] also
/// tells whether it was.
#[derive(Debug)]
pub struct Broker {
    host: String,
    port: u16,
    keeper: Keeper,
}

impl Broker {
    /// Starts a container of the image, which is pulled if the engine does not have it, and waits
    /// until Mosquitto serves. Given up before its end, it removes what it began.
    ///
    /// # Errors
    ///
    /// In one sentence, what is missing or went wrong. Nothing is left then.
    pub async fn start(image: &str) -> Result<Broker, Error> {
        let (wanted, unwanted) = oneshot::channel();
        let (tell, told) = oneshot::channel();
        let image = image.to_owned();
        let keep = move || engine::keep(image, tell, unwanted);
        let thread = thread::Builder::new().name("container".to_owned()).spawn(keep);
        let thread = thread.map_err(|error| Error::Lost(error.to_string()))?;
        let keeper = Keeper { wanted: Some(wanted), thread: Some(thread) };
        match told.await {
            Ok(started) => started.map(|(host, port)| Broker { host, port, keeper }),
            // The thread has ended without a word: what it has to say is how it ended.
            Err(_) => {
                Err(keeper.end().err().unwrap_or_else(|| Error::Lost("no answer".to_owned())))
            }
        }
    }

    /// The host at which it serves.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port at which it serves.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Removes the container and waits until it is gone.
    ///
    /// # Errors
    ///
    /// When it could not be removed.
    pub fn stop(self) -> Result<(), Error> {
        self.keeper.end()
    }
}

/// The thread that looks after a container.
#[derive(Debug)]
struct Keeper {
    /// Held for as long as the container is wanted.
    wanted: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Result<(), Error>>>,
}

impl Keeper {
    fn end(mut self) -> Result<(), Error> {
        self.wait()
    }

    fn wait(&mut self) -> Result<(), Error> {
        drop(self.wanted.take());
        let lost = |_| Err(Error::Lost("its thread panicked".to_owned()));
        self.thread.take().map_or(Ok(()), |thread| thread.join().unwrap_or_else(lost))
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        // Whoever wants to know whether it was removed calls `stop`.
        let _ = self.wait();
    }
}
