//! The embedded broker beside one that runs.
//!
//! All scripts are played on both, the embedded one taking the choices of the other one's portrait; what
//! differs is played once more, and left aside if it does not come to the same. Then more choices are found
//! that the embedded broker has to take so that least differs (`fit`), in memory, and what is left is made
//! small on the broker itself and explained (`rest`).

mod demonstrated;
mod explaining;
mod left_open;
mod overlooked;
mod playing;
mod reasons;
mod rest;
mod suspects;

use std::io;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use reference_broker::codec::{ConnAck, PropertyId};
use reference_broker::core::Config;

use crate::chameleon::Switch;
use crate::script::{Script, announce};
use crate::target::{Connector, Variant};

use super::fit::fit;
use super::{Explanation, Found, Generator, Worlds};

pub(crate) use overlooked::violations;
use playing::Playing;

/// What is compared, and how.
#[derive(Clone, Debug)]
pub struct Beside {
    /// How the other broker is reached.
    pub connector: Connector,
    /// What it announces.
    pub config: Config,
    /// The choices that it is known to take.
    pub taken: Variant,
    /// Those that it may take or not, as far as is known.
    pub open: Vec<&'static Switch>,
    /// The levels below which all of it is.
    pub topic_prefix: String,
    /// What sets this run apart from others.
    pub token: String,
    /// How long is waited for what comes of a step on the embedded broker.
    pub patience: Duration,
    /// How many scripts are played at once.
    pub jobs: usize,
    /// Scripts to play besides those that are generated, each with its name.
    pub scripts: Vec<(String, Script)>,
    /// The seed of the scripts that are generated.
    pub seed: u64,
    /// How many of them there are.
    pub cases: usize,
    /// How long new scripts are begun, if not as long as there are any.
    pub time: Option<Duration>,
    /// How long differences are explained, before the others are passed over.
    pub explaining: Duration,
}

/// What came of playing the same scripts on both.
#[derive(Clone, Debug, Default)]
pub struct Divergences {
    /// The scripts played.
    pub played: usize,
    /// Those on which both did the same, choices considered.
    pub alike: usize,
    /// Those that did not come to the same twice.
    pub unsteady: usize,
    /// Those that differ and were not looked at, as there were too many.
    pub passed_over: usize,
    /// What differs, each explanation once.
    pub found: Vec<Divergence>,
    /// What took how long.
    pub took: Took,
    /// Whether it ended before it was through.
    pub is_interrupted: bool,
}

/// How long the parts of a comparison took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Took {
    /// To play all scripts on the other broker.
    pub playing: Duration,
    /// To find the choices with which the embedded broker does most as the other one.
    pub fitting: Duration,
    /// To make what still differs small, and to explain it.
    pub explaining: Duration,
}

/// Where two brokers part ways.
#[derive(Clone, Debug)]
pub struct Divergence {
    /// The smallest script found that shows it, what differs there, and why.
    pub found: Found,
    /// How many of all scripts show it.
    pub scripts: usize,
}

/// What a broker announces, as the embedded one is to have it.
pub fn config_of(connack: &ConnAck) -> Config {
    let mut config = Config {
        receive_maximum: u16::MAX,
        topic_alias_maximum: 0,
        maximum_packet_size: u32::MAX,
        ..Config::default()
    };
    let mut announced = connack.properties.clone();
    // A server may set the Keep Alive of some clients only.
    announced.retain(|property| property.id != PropertyId::ServerKeepAlive);
    announce(&announced, &mut config);
    config
}

impl Beside {
    /// Plays all scripts on both, and explains what differs. How far it has come is told to `tell`, in a
    /// line now and then; what is found by then is in `so_far`.
    ///
    /// # Errors
    ///
    /// When the other broker cannot be reached.
    pub async fn compare(
        self,
        so_far: &watch::Sender<Divergences>,
        tell: &mut (dyn FnMut(&str) + Send),
    ) -> io::Result<Divergences> {
        let until = self.time.and_then(|time| Instant::now().checked_add(time));
        let scripts = self.all_scripts();
        let playing = Playing::new(self);
        let begun = Instant::now();
        let played = playing.all(scripts, until, tell).await?;
        let all_played = Instant::now();
        let mut report = Divergences {
            played: played.cases.len() + played.unsteady,
            unsteady: played.unsteady,
            took: Took { playing: all_played - begun, ..Took::default() },
            ..Divergences::default()
        };
        so_far.send_replace(report.clone());
        let cases = &played.cases[..];
        tell("fitting the choices of the reference broker");
        let mut base = tokio::task::block_in_place(|| {
            let Beside { taken, open, .. } = &*playing.beside;
            let evidence: Vec<_> = cases.iter().map(|case| &case.evidence).collect();
            fit(&evidence, taken, open, playing.seeing())
        });
        let demonstrated = demonstrated::demonstrated(cases, &mut base, &playing).await?;
        tell(&format!("closest to it is embedded:{base}"));
        report.found.extend(demonstrated);
        let fitted = Instant::now();
        report.took.fitting = fitted - all_played;
        so_far.send_replace(report.clone());
        rest::explained(cases, &base, &playing, &mut report, (so_far, tell)).await?;
        report.took.explaining = fitted.elapsed();
        report.found.sort_by_cached_key(|it| (it.rank(), it.name()));
        Ok(report)
    }

    fn all_scripts(&self) -> Vec<(String, Script)> {
        let worlds = Worlds::of(self.connector.setup());
        let generator = Generator::new(self.seed, self.config.clone(), worlds);
        let mut generator = generator.in_place(playing::place(self, 0));
        let generated = (1..=self.cases).map(|number| (number.to_string(), generator.script()));
        self.scripts.iter().cloned().chain(generated).collect()
    }
}

impl Divergence {
    /// Its name in lists of known divergences: the same as long as it is explained by the same.
    pub fn name(&self) -> String {
        match &self.found.explanation {
            Explanation::Choice(switches) => {
                let names: Vec<_> = switches.iter().map(|switch| switch.name).collect();
                format!("choice:{}", names.join("+"))
            }
            Explanation::Violation(mutant) => format!("violation:{}", mutant.id),
            Explanation::Told(finding) => {
                format!("violation:{}", finding.requirement.unwrap_or_default())
            }
            Explanation::Free(choice) => format!("choice:{}", choice.name),
            Explanation::Open(Some(mutant)) => format!("open:{}", mutant.id),
            Explanation::Open(None) => {
                let mut kinds: Vec<_> = self.found.differences.iter().map(|it| it.kind()).collect();
                kinds.dedup();
                format!("open:{}", kinds.join(", "))
            }
        }
    }

    /// Its name, and the same with each requirement that it breaks, or seems to: which of the faults that break it
    /// a broker is said to have may depend on the scripts.
    pub fn names(&self) -> Vec<String> {
        let (kind, broken) = match &self.found.explanation {
            Explanation::Violation(mutant) => ("violation", mutant.requirements),
            Explanation::Open(Some(mutant)) => ("open", mutant.requirements),
            _ => ("", &[][..]),
        };
        let broken = broken.iter().map(|requirement| format!("{kind}:{requirement}"));
        std::iter::once(self.name()).chain(broken).collect()
    }

    /// Faults come before what is open, and choices last.
    fn rank(&self) -> u8 {
        match self.found.explanation {
            Explanation::Violation(_) | Explanation::Told(_) => 0,
            Explanation::Open(_) => 1,
            Explanation::Choice(_) | Explanation::Free(_) => 2,
        }
    }

    /// Whether it is a fault.
    pub fn is_violation(&self) -> bool {
        matches!(self.found.explanation, Explanation::Violation(_) | Explanation::Told(_))
    }
}
