//! The embedded broker beside one that runs.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use reference_broker::codec::{ConnAck, PropertyId, QoS};
use reference_broker::core::Config;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::mutant::Mutant;
use crate::script::{Act, Place, Played, Script, Step, play, play_live};
use crate::target::{Connector, Variant};
use crate::trace::normalise;

use super::{Evidence, Explanation, Found, Generator, Observed, Shrinker, differences, explain};

/// So often is a smaller script tried while one is made smaller: each is played on the other broker.
const SHRINKS: usize = 150;

/// No more differences are made small and explained than these: each may take seconds.
const EXPLAINED: usize = 60;

/// So many times less is waited for what does not come while a script is made smaller.
const HURRY: u32 = 8;

/// Later than anything may be.
const LATE: Duration = Duration::from_secs(10);

/// What is compared, and how.
#[derive(Clone, Debug)]
pub struct Beside {
    /// How the other broker is reached.
    pub connector: Connector,
    /// What it announces.
    pub config: Config,
    /// The levels below which all of it is.
    pub topic_prefix: String,
    /// What sets this run apart from others.
    pub token: String,
    /// How long is waited for what comes of a step on the embedded broker.
    pub patience: Duration,
    /// How many scripts are played at once.
    pub jobs: usize,
    /// The seed of the scripts.
    pub seed: u64,
    /// How many there are.
    pub cases: usize,
}

/// What came of playing the same scripts on both.
#[derive(Debug, Default)]
pub struct Divergences {
    /// The scripts played.
    pub played: usize,
    /// Those on which both did the same, choices found before considered.
    pub alike: usize,
    /// Those that did not come to the same twice.
    pub unsteady: usize,
    /// Those that differ and were not looked at, as there were too many.
    pub passed_over: usize,
    /// What differs, each explanation once, with how many scripts show it.
    pub found: Vec<(Found, usize)>,
}

/// What a broker announces, as the embedded one is to have it.
pub fn config_of(connack: &ConnAck) -> Config {
    let properties = &connack.properties;
    let number = |id| properties.number(id);
    let small =
        |id, default: u16| number(id).and_then(|it| u16::try_from(it).ok()).unwrap_or(default);
    let has = |id| number(id) != Some(0);
    let mut config = Config {
        receive_maximum: small(PropertyId::ReceiveMaximum, u16::MAX),
        topic_alias_maximum: small(PropertyId::TopicAliasMaximum, 0),
        maximum_packet_size: number(PropertyId::MaximumPacketSize).unwrap_or(u32::MAX),
        ..Config::default()
    };
    if let Some(qos) = number(PropertyId::MaximumQoS).and_then(|it| u8::try_from(it).ok()) {
        config.maximum_qos = QoS::from_value(qos).unwrap_or(QoS::ExactlyOnce);
    }
    config.features.retain = has(PropertyId::RetainAvailable);
    config.features.wildcards = has(PropertyId::WildcardSubscriptionAvailable);
    config.features.subscription_identifiers = has(PropertyId::SubscriptionIdentifierAvailable);
    config.features.shared_subscriptions = has(PropertyId::SharedSubscriptionAvailable);
    config
}

impl Beside {
    /// Plays all scripts on both, and explains what differs: what the other broker chooses is
    /// chosen by the embedded one from then on.
    ///
    /// # Errors
    ///
    /// When the other broker cannot be reached.
    pub async fn compare(self) -> io::Result<Divergences> {
        let this = Arc::new(self);
        let played = Arc::new(AtomicU64::new(0));
        let mut comparison = Comparison {
            beside: Arc::clone(&this),
            base: Variant::default(),
            cases: Arc::default(),
            known: Vec::new(),
            plays: played,
        };
        let mut report = Divergences::default();
        let mut generator = Generator::new(this.seed, this.config.clone());
        let room = Arc::new(Semaphore::new(this.jobs));
        let mut tasks = JoinSet::new();
        let mut waiting = BTreeMap::new();
        for case in 1..=this.cases {
            let script = generator.script();
            let (other, room) = (comparison.clone(), Arc::clone(&room));
            waiting.insert(case, script.clone());
            tasks.spawn(async move {
                let _turn = room.acquire().await;
                (case, other.seen(&script, other.beside.patience).await)
            });
        }
        let mut cases = Vec::new();
        while let Some(done) = tasks.join_next().await {
            let (case, seen) = done.map_err(io::Error::other)?;
            let Some(script) = waiting.remove(&case) else { continue };
            cases.push((case, Evidence { script, seen: seen? }));
            report.played += 1;
        }
        // What is explained by a short script need not be looked for in a long one.
        cases.sort_by_key(|(case, evidence)| (cost(&evidence.script), *case));
        comparison.cases = Arc::new(cases);
        for (case, evidence) in comparison.cases.clone().iter() {
            comparison.look(*case, evidence, &mut report).await?;
        }
        Ok(report)
    }
}

/// How long a script takes: the time that it waits, and its steps.
fn cost(script: &Script) -> (Duration, usize) {
    let waits = script.steps.iter().filter_map(|step| match step.act {
        Act::Wait(time) => Some(time),
        _ => None,
    });
    (waits.sum(), script.steps.len())
}

fn without_waits(script: &Script) -> Script {
    let steps = script.steps.iter().filter(|step| !matches!(step.act, Act::Wait(_)));
    Script { steps: steps.cloned().collect() }
}

#[derive(Clone)]
struct Comparison {
    beside: Arc<Beside>,
    /// The choices found so far.
    base: Variant,
    /// What was seen of the other broker.
    cases: Arc<Vec<(usize, Evidence)>>,
    /// The faults found so far, by their place in the report.
    known: Vec<(&'static Mutant, usize)>,
    plays: Arc<AtomicU64>,
}

impl Comparison {
    /// What is seen of the other broker.
    async fn seen(&self, script: &Script, patience: Duration) -> io::Result<Observed> {
        let Beside { connector, topic_prefix, token, config, .. } = &*self.beside;
        let number = self.plays.fetch_add(1, Ordering::Relaxed);
        let clients = format!("{token}x{number}x");
        let place = Place { topics: format!("{topic_prefix}/{clients}"), clients };
        let placed = place.script(script);
        let expected = play(&placed, &self.base, config);
        let mut played = play_live(&placed, &expected, connector, patience).await?;
        played.trace = normalise(&played.trace, &place.replacements());
        Ok(Observed::unannounced(&played))
    }

    /// What is seen of the embedded one.
    fn own(&self, script: &Script, variant: &Variant) -> Observed {
        Observed::unannounced(&play(script, variant, &self.beside.config))
    }

    /// Looks at what differs in a case, until nothing does but what is explained by no choice.
    async fn look(
        &mut self,
        case: usize,
        evidence: &Evidence,
        report: &mut Divergences,
    ) -> io::Result<()> {
        let mut is_new = true;
        loop {
            if self.own(&evidence.script, &self.base) == evidence.seen {
                report.alike += usize::from(is_new);
                return Ok(());
            }
            if let Some(place) = self.known(evidence) {
                report.found[place].1 += 1;
                return Ok(());
            }
            if report.found.len() >= EXPLAINED {
                report.passed_over += 1;
                return Ok(());
            }
            let patience = self.beside.patience;
            if is_new && self.seen(&evidence.script, patience).await? != evidence.seen {
                report.unsteady += 1;
                return Ok(());
            }
            is_new = false;
            let before = self.base.clone();
            let Some(divergence) = self.explained(case, evidence).await? else {
                report.unsteady += 1;
                return Ok(());
            };
            self.note(divergence, report);
            if self.base == before {
                return Ok(());
            }
        }
    }

    /// The place of the fault that explains a case.
    fn known(&self, evidence: &Evidence) -> Option<usize> {
        let explains = |(mutant, _): &&(&'static Mutant, usize)| {
            let variant = self.base.clone().and_broken(mutant);
            self.own(&evidence.script, &variant) == evidence.seen
        };
        self.known.iter().find(explains).map(|(_, place)| *place)
    }

    /// What differs in a case, made small and explained; none if it is not there any more.
    async fn explained(&self, case: usize, evidence: &Evidence) -> io::Result<Option<Found>> {
        let script = self.shrink(&evidence.script).await?;
        let slow = self.beside.patience;
        // What is late comes while both rest; what is never to come is still not there then.
        let rested = script.rested();
        let seen = self.seen(&rested, slow).await?;
        let mut small = Evidence { script: rested, seen };
        if self.own(&small.script, &self.base) == small.seen {
            let seen = self.seen(&script, slow).await?;
            small = Evidence { script, seen };
        }
        let own = self.own(&small.script, &self.base);
        if own == small.seen {
            return Ok(None);
        }
        let view: fn(&Played) -> Observed = Observed::unannounced;
        let more = std::slice::from_ref(evidence);
        let mut explanation = explain(&small, more, &self.base, &self.beside.config, view);
        if let Explanation::Violation(mutant) = &explanation
            && !self.is_lasting(&small.script, mutant).await?
        {
            explanation = Explanation::Open;
        }
        let differences = differences(&own, &small.seen);
        Ok(Some(Found { case, script: small.script, differences, explanation }))
    }

    /// Whether a script still shows a fault when much more time has passed: what is a little late is
    /// none.
    async fn is_lasting(&self, script: &Script, mutant: &'static Mutant) -> io::Result<bool> {
        let mut script = script.clone();
        script.steps.push(Step::new("all", Act::Wait(LATE)));
        let seen = self.seen(&script, self.beside.patience).await?;
        Ok(self.own(&script, &self.base.clone().and_broken(mutant)) == seen)
    }

    async fn shrink(&self, script: &Script) -> io::Result<Script> {
        let quick = self.beside.patience / HURRY;
        let mut best = script.clone();
        // Waiting is what takes time: first none at all, then none that does not matter.
        let unhurried = without_waits(&best);
        if unhurried != best && self.differs(&unhurried, quick).await? {
            best = unhurried;
        }
        let mut shrinker = Shrinker::new(best, SHRINKS);
        while let Some(smaller) = shrinker.smaller() {
            let shows = self.differs(&smaller, quick).await?;
            shrinker.told(smaller, shows);
        }
        Ok(shrinker.into_best())
    }

    async fn differs(&self, script: &Script, patience: Duration) -> io::Result<bool> {
        Ok(self.own(script, &self.base) != self.seen(script, patience).await?)
    }

    /// How many differences a variant leaves in all cases.
    fn left(&self, variant: &Variant) -> usize {
        let left = |evidence: &Evidence| {
            differences(&self.own(&evidence.script, variant), &evidence.seen).len()
        };
        self.cases.iter().map(|(_, evidence)| left(evidence)).sum()
    }

    /// Takes in an explanation: each once.
    fn note(&mut self, divergence: Found, report: &mut Divergences) {
        let is_same = |(other, _): &&mut (Found, usize)| match &divergence.explanation {
            Explanation::Open => {
                let parts =
                    |it: &Found| it.differences.iter().map(|it| it.kind()).collect::<Vec<_>>();
                other.explanation == Explanation::Open && parts(other) == parts(&divergence)
            }
            explanation => other.explanation == *explanation,
        };
        if let Some((_, count)) = report.found.iter_mut().find(is_same) {
            *count += 1;
            return;
        }
        match &divergence.explanation {
            Explanation::Choice(switches) => {
                let all = self.base.switches().iter().chain(switches).copied();
                // A choice may explain one case and be too much for others.
                if let Ok(base) = Variant::choosing(all)
                    && self.left(&base) < self.left(&self.base)
                {
                    self.base = base;
                }
            }
            Explanation::Violation(mutant) => self.known.push((mutant, report.found.len())),
            Explanation::Open => {}
        }
        report.found.push((divergence, 1));
    }
}
