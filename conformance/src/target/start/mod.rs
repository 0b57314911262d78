//! Brokers that are started for a run: as a command, or in a container.
//!
//! A [`Launch`] says how. A [`Keeper`] starts it, waits until it answers, watches it, restarts it when it
//! has died or a scenario wants that, and ends it. Nothing is left running, however the run ends:
//! a [`reaper`] outlives even a run that is killed.

mod body;
#[cfg(feature = "containers")]
mod boxed;
mod keeper;
mod process;
mod reaper;
mod started;
mod tail;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

pub use keeper::{Died, Keeper};
pub(crate) use process::memory_of_process;
pub use started::Started;

/// How long a broker may take to answer, if nothing else is said.
pub(super) const READY_WITHIN: Duration = Duration::from_secs(30);

/// How long it may take to end.
pub(super) const STOP_WITHIN: Duration = Duration::from_secs(10);

/// How a broker is started.
#[derive(Clone, Debug)]
pub struct Launch {
    pub(super) how: How,
    pub(super) env: Vec<(String, String)>,
    /// What is written first.
    pub(super) texts: Vec<(PathBuf, String)>,
    /// What is run first.
    pub(super) prepare: Vec<Vec<String>>,
    /// How long it may take until it answers.
    pub(super) ready_within: Duration,
    /// The signal that asks it to end, if not SIGTERM.
    pub(super) stop_signal: Option<String>,
    /// How long it may take to end.
    pub(super) stop_within: Duration,
    /// Where it writes what it has to say, if not to its standard output and error.
    pub(super) log: Option<PathBuf>,
    /// The folder that it has for itself, as long as there is one who wants it.
    pub(super) dir: Arc<TempDir>,
}

/// As what a broker is started.
#[derive(Clone, Debug)]
pub(super) enum How {
    /// A program and its arguments.
    Command(Vec<String>),
    /// A container.
    Image(Image),
}

/// A container that is not there yet.
#[derive(Clone, Debug, Default)]
#[cfg_attr(
    not(feature = "containers"),
    expect(dead_code, reason = "a target file is read whole, whatever can be started")
)]
pub(super) struct Image {
    pub(super) name: String,
    /// Ports of this machine, and those of the container behind them.
    pub(super) ports: Vec<(u16, u16)>,
    /// What of this machine is where in the container.
    pub(super) mounts: Vec<(String, String)>,
    /// What is put into the container: where, and what.
    pub(super) copies: Vec<(String, Vec<u8>)>,
}

impl Launch {
    /// Nothing yet, in a folder of its own, with a patience that suits most.
    pub(super) fn in_folder(dir: TempDir) -> Launch {
        Launch {
            how: How::Command(Vec::new()),
            env: Vec::new(),
            texts: Vec::new(),
            prepare: Vec::new(),
            ready_within: READY_WITHIN,
            stop_signal: None,
            stop_within: STOP_WITHIN,
            log: None,
            dir: Arc::new(dir),
        }
    }

    /// What is started, in a few words.
    pub(super) fn name(&self) -> String {
        match &self.how {
            How::Command(words) => format!("`{}`", words.join(" ")),
            How::Image(image) => format!("the container of {}", image.name),
        }
    }
}

/// The words of a command, as a shell has them.
pub(super) fn words(command: &str) -> Result<Vec<String>, String> {
    let words = shlex::split(command)
        .ok_or_else(|| format!("`{command}` has a quote without its other"))?;
    match words.is_empty() {
        true => Err("the command to start is empty".to_owned()),
        false => Ok(words),
    }
}

/// What may outlive a restart of a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Survivor {
    /// Sessions with their subscriptions.
    Sessions,
    /// Messages that wait for a session, QoS 1 and 2.
    Queued,
    /// Exchanges of QoS 1 and 2 that were under way.
    InFlight,
    /// Retained messages.
    Retained,
    /// Wills that are delayed.
    Wills,
}

impl Survivor {
    /// Each of them.
    pub const ALL: [Survivor; 5] = [
        Survivor::Sessions,
        Survivor::Queued,
        Survivor::InFlight,
        Survivor::Retained,
        Survivor::Wills,
    ];

    /// What a target file calls it.
    pub fn name(self) -> &'static str {
        match self {
            Survivor::Sessions => "sessions",
            Survivor::Queued => "queued",
            Survivor::InFlight => "in-flight",
            Survivor::Retained => "retained",
            Survivor::Wills => "wills",
        }
    }
}

/// What survives.
pub type Survivors = BTreeSet<Survivor>;

/// In which way a broker is restarted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// It is asked to end, and does.
    Stop,
    /// It is killed.
    Kill,
}

/// What survives which restart, as whoever runs the broker claims.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restarts {
    /// What survives an orderly one.
    pub stop: Survivors,
    /// What survives a violent one.
    pub kill: Survivors,
}

impl Restart {
    /// What then happens to the broker.
    pub fn said(self) -> &'static str {
        match self {
            Restart::Stop => "stopped and started again",
            Restart::Kill => "killed and started again",
        }
    }
}

impl Restarts {
    /// That everything survives everything.
    pub(super) fn all() -> Restarts {
        let all: Survivors = Survivor::ALL.into();
        Restarts { stop: all.clone(), kill: all }
    }

    /// What survives one.
    pub fn of(&self, restart: Restart) -> &Survivors {
        match restart {
            Restart::Stop => &self.stop,
            Restart::Kill => &self.kill,
        }
    }
}
