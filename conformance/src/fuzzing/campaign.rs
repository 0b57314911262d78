//! A campaign against one broker, from its first input to what is said of it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use reference_broker::core::Config;

use crate::differential::Worlds;
use crate::script::Script;
use crate::target::{Connector, Keeper};

use super::health::Patient;
use super::playing::Player;
use super::run::Run;
use super::suspects::Trial;
use super::{Cause, Inputs};

/// What is sent, to whom, and for how long.
#[derive(Debug)]
pub struct Campaign {
    /// How the broker is reached.
    pub connector: Connector,
    /// Who has started it, if we did.
    pub keeper: Option<Arc<Keeper>>,
    /// The process that it is, if that is known.
    pub pid: Option<u32>,
    /// What it announces.
    pub config: Config,
    /// The levels below which all topics are.
    pub topic_prefix: String,
    /// What sets this run apart from others.
    pub token: String,
    /// The seed of all that is sent.
    pub seed: u64,
    /// How many inputs there are, if not as many as there is time for.
    pub cases: Option<usize>,
    /// How long new ones are begun.
    pub time: Option<Duration>,
    /// How many are begun in a second at most.
    pub rate: Option<f64>,
    /// How many are played at once.
    pub jobs: usize,
    /// How long is waited for what a step is expected to bring.
    pub patience: Duration,
    /// How long innocent clients may have to wait.
    pub bound: Duration,
    /// After so many findings it is over.
    pub most_findings: Option<usize>,
    /// Scripts that are altered besides generated ones.
    pub kept: Vec<Script>,
    /// The folder for scripts that reach new states.
    pub corpus: Option<PathBuf>,
}

/// What came of a campaign.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The inputs that were played.
    pub cases: usize,
    /// The connections that were accepted.
    pub accepted: usize,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// The states that were reached.
    pub states: usize,
    /// The messages that innocent clients had passed on, and the longest that one took.
    pub innocent: (u64, Duration),
    /// What was found, each cause once.
    pub causes: Vec<Cause>,
    /// The inputs that were left out because they would only have met again what was found.
    pub left_out: usize,
    /// What else should be known.
    pub notes: Vec<String>,
    /// Why it ended early, if it did.
    pub trouble: Option<String>,
}

impl Campaign {
    /// Plays inputs until there are no more, the time is up, enough is found, or `stop` resolves. How far it has
    /// come is told to `tell`, in a line now and then.
    pub async fn run(self, tell: &mut dyn FnMut(&str), stop: impl Future<Output = ()>) -> Report {
        let worlds = Worlds::of(self.connector.setup());
        let inputs = Inputs::new(self.seed, self.config.clone(), worlds, self.kept.clone());
        let player = Player {
            connector: self.connector.clone(),
            config: self.config.clone(),
            topic_prefix: self.topic_prefix.clone(),
            token: self.token.clone(),
            patience: self.patience,
            plays: AtomicU64::new(1),
        };
        let patient = Patient {
            connector: self.connector.clone(),
            keeper: self.keeper.clone(),
            pid: self.pid,
            bound: self.bound,
        };
        let trial = Arc::new(Trial { player, patient, observers: AtomicU64::new(1) });
        let mut run = Run::new(self, trial, inputs);
        let ended = run.until_over(tell, stop).await;
        run.into_report(ended.err())
    }
}
