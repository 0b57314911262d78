use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep};

use super::body::Body;
use super::{How, Launch, Restart, process, tail};
use crate::target::{Address, Connector, Target, Unusable, answers};

/// The pause between two looks at a broker that does not answer yet.
const PAUSE: Duration = Duration::from_millis(30);

/// How long a single answer is waited for meanwhile.
const PATIENCE: Duration = Duration::from_secs(2);

/// How often its memory is looked at.
const LOOK: Duration = Duration::from_millis(500);

/// How many of its last lines are shown where it died.
const SHOWN: usize = 5;

/// Who keeps a started broker running. To drop it ends the broker.
#[derive(Debug)]
pub struct Keeper {
    launch: Launch,
    address: Address,
    body: Arc<Mutex<Option<Body>>>,
    /// The most memory that it had, in bytes.
    most: Arc<AtomicU64>,
    /// What it had last.
    last: Arc<AtomicU64>,
    watch: AbortHandle,
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.watch.abort();
        // Not left to the task, which may outlive this, and end only with the process.
        if let Ok(mut body) = self.body.try_lock() {
            drop(body.take());
        }
    }
}

/// That a broker ended by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Died {
    /// How, such as `exit status: 101`.
    pub how: String,
    /// The last that it wrote.
    pub last_lines: Vec<String>,
}

impl fmt::Display for Died {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.how)?;
        match &self.last_lines[..] {
            [] => f.write_str(", and had written nothing"),
            lines => write!(f, ", and the last it wrote was: {}", lines.join(" | ")),
        }
    }
}

impl Keeper {
    /// Starts a broker and waits until it answers.
    ///
    /// # Errors
    ///
    /// In one sentence, why there is none, and what to do. Nothing of it is left then.
    pub(in crate::target) async fn start(
        launch: Launch,
        address: Address,
    ) -> Result<Keeper, String> {
        if let How::Command(_) = launch.how
            && is_taken(&address).await
        {
            return Err(format!(
                "something listens at {address} already: stop it, or have the broker started at another \
                 port ({{port}} stands for a free one)"
            ));
        }
        for (path, text) in &launch.texts {
            write(path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        }
        for command in &launch.prepare {
            process::run(command, &launch.env, launch.dir.path()).await?;
        }
        let (body, host) = Body::start(&launch).await?;
        let address = match host {
            Some(host) => address.at_host(&host),
            None => address,
        };
        let body = Arc::new(Mutex::new(Some(body)));
        let (most, last) = (Arc::default(), Arc::default());
        let watch = tokio::spawn(watch(Arc::clone(&body), Arc::clone(&most), Arc::clone(&last)));
        let watch = watch.abort_handle();
        let keeper = Keeper { launch, address, body, most, last, watch };
        if let Err(error) = keeper.ready().await {
            keeper.remove().await?;
            return Err(error);
        }
        Ok(keeper)
    }

    /// Where it is.
    pub(in crate::target) fn address(&self) -> &Address {
        &self.address
    }

    /// What was started.
    pub fn name(&self) -> String {
        self.launch.name()
    }

    /// Waits until it answers.
    async fn ready(&self) -> Result<(), String> {
        let within = self.launch.ready_within;
        let deadline = Instant::now() + within;
        let target = Target::Address(Box::new(self.address.clone()));
        let name = self.launch.name();
        loop {
            let why = match Connector::new(&target).await {
                Ok(connector) => answers(&connector, PATIENCE).await.err(),
                // A file with a certificate may be made by what is started.
                Err(error) => Some(Unusable::Unreachable(error)),
            };
            let Some(why) = why else { return Ok(()) };
            if self.is_meant(&why) {
                return Ok(());
            }
            if let Some(died) = self.died().await {
                return Err(format!("{name} ended before it answered ({died})"));
            }
            if why.is_final() {
                return Err(format!("{name} runs, but {} {why}", self.address));
            }
            if Instant::now() >= deadline {
                let within = humantime::format_duration(within);
                let last = self.last_lines(1).await;
                let wrote = last.first().map_or("nothing", String::as_str);
                return Err(format!(
                    "{name} was not ready within {within}: {} {why}; the last it wrote was: {wrote}",
                    self.address
                ));
            }
            sleep(PAUSE).await;
        }
    }

    /// Whether this is how the broker is meant to answer.
    fn is_meant(&self, why: &Unusable) -> bool {
        why.is_elsewhere() && self.address.setup.redirects
    }

    /// How it ended by itself, if it did.
    pub async fn died(&self) -> Option<Died> {
        let status = self.body.lock().await.as_mut()?.ended().await?;
        let last_lines = self.last_lines(SHOWN).await;
        let had = match self.last.load(Ordering::Relaxed) {
            0 => String::new(),
            bytes => format!(", with {} of memory", mebibytes(bytes)),
        };
        Some(Died { how: format!("{status}{had}"), last_lines })
    }

    async fn last_lines(&self, count: usize) -> Vec<String> {
        if let Some(lines) = self.launch.log.as_ref().and_then(|log| tail::of_file(log, count).ok())
            && !lines.is_empty()
        {
            return lines;
        }
        match self.body.lock().await.as_ref() {
            Some(body) => body.last_lines(count).await,
            None => Vec::new(),
        }
    }

    /// Starts it again after it has died.
    ///
    /// # Errors
    ///
    /// As at the start.
    pub(crate) async fn revive(&self) -> Result<(), String> {
        self.begin_again().await
    }

    async fn begin_again(&self) -> Result<(), String> {
        if let Some(body) = self.body.lock().await.as_mut() {
            body.begin_again(&self.launch).await?;
        }
        self.ready().await
    }

    /// Restarts it.
    ///
    /// # Errors
    ///
    /// When it does not end, or not come back.
    pub(crate) async fn restart(&self, restart: Restart) -> Result<(), String> {
        if let Some(body) = self.body.lock().await.as_mut() {
            let ended = match restart {
                Restart::Kill => body.kill().await,
                Restart::Stop => self.end(body).await,
            };
            ended.map_err(|error| format!("{} does not end: {error}", self.launch.name()))?;
        }
        self.begin_again().await
    }

    async fn end(&self, body: &mut Body) -> Result<(), String> {
        let Launch { stop_signal, stop_within, .. } = &self.launch;
        match body.stop(stop_signal.as_deref(), *stop_within).await {
            Ok(true) => Ok(()),
            Ok(false) => {
                let within = humantime::format_duration(*stop_within);
                Err(format!("it was asked to and had not ended after {within}, so it was killed"))
            }
            Err(error) => Err(error),
        }
    }

    /// Ends it.
    ///
    /// # Errors
    ///
    /// In one sentence, what did not go as it is meant to.
    pub(crate) async fn stop(&self) -> Result<(), String> {
        let ended = match self.body.lock().await.as_mut() {
            Some(body) => self.end(body).await,
            None => Ok(()),
        };
        self.remove().await?;
        ended.map_err(|error| format!("{}: {error}", self.launch.name()))
    }

    async fn remove(&self) -> Result<(), String> {
        match self.body.lock().await.take() {
            Some(body) => body.remove().await,
            None => Ok(()),
        }
    }

    /// The memory that it has, in bytes, as far as that is to be known.
    pub(crate) async fn memory(&self) -> Option<u64> {
        self.body.lock().await.as_ref()?.memory().await
    }

    /// What to say of the memory that it took.
    pub(crate) fn memory_note(&self) -> Option<String> {
        let most = Some(self.most.load(Ordering::Relaxed)).filter(|bytes| *bytes > 0)?;
        Some(format!("{} used {} of memory at most", self.launch.name(), mebibytes(most)))
    }
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

/// Looks at the memory of what runs, as long as there is one who keeps it.
async fn watch(body: Arc<Mutex<Option<Body>>>, most: Arc<AtomicU64>, last: Arc<AtomicU64>) {
    loop {
        let bytes = match body.lock().await.as_ref() {
            Some(body) => body.memory().await,
            None => None,
        };
        if let Some(bytes) = bytes {
            most.fetch_max(bytes, Ordering::Relaxed);
            last.store(bytes, Ordering::Relaxed);
        }
        sleep(LOOK).await;
    }
}

/// Whether somebody is there before anything was started.
async fn is_taken(address: &Address) -> bool {
    let endpoint = address.endpoint();
    let connect = tokio::net::TcpStream::connect((endpoint.host.to_string(), endpoint.port));
    matches!(tokio::time::timeout(PATIENCE, connect).await, Ok(Ok(_)))
}

fn write(path: &std::path::Path, text: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(path, text)
}
