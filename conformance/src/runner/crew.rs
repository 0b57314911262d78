//! Threads that run scenarios in memory, each scenario on a broker and a clock of its own.
//!
//! Each thread keeps a processor busy with one scenario after another. A scenario that never ends is
//! given up, and its thread with it; another takes its place.

use std::io;
use std::sync::atomic::AtomicU32;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::report::ScenarioResult;
use crate::scenario::Scenario;
use crate::target::{Capabilities, Target, Variant};

use super::perform::{Performance, SPIN_LIMIT, Surroundings, look_at_embedded, never_ended};
use super::remains::Remains;
use super::{Options, RunError, TOPIC_PREFIX};

/// How often the threads are looked at.
const LOOK: Duration = Duration::from_millis(100);

/// Where embedded brokers stand that are run in memory.
#[derive(Clone, Debug)]
pub(crate) struct Ground {
    capabilities: Capabilities,
    token: String,
    scale: f64,
}

impl Ground {
    /// Looks at the plain broker, as which all mutants declare themselves.
    ///
    /// # Errors
    ///
    /// When it cannot be run.
    pub(crate) async fn plain(options: &Options) -> Result<Ground, RunError> {
        let target = Target::Embedded(Variant::default());
        let client = format!("{}first", options.token);
        let capabilities = look_at_embedded(target, client, options.patience()).await?.capabilities;
        let (token, scale) = (options.token.clone(), options.timeout_scale);
        Ok(Ground { capabilities, token, scale })
    }

    /// With this broker on it.
    pub(crate) fn with(&self, variant: Variant) -> Arc<Surroundings> {
        Arc::new(Surroundings {
            target: Target::Embedded(variant),
            connector: None,
            capabilities: self.capabilities.clone(),
            token: self.token.clone(),
            prefix: TOPIC_PREFIX.to_owned(),
            scale: self.scale,
            remains: Remains::default(),
            is_mute: false,
            silences: AtomicU32::new(0),
            keeper: None,
        })
    }
}

/// What a crew has to do. Each of its threads has a place, and does what it gets there.
pub(crate) trait Work: Send + 'static {
    /// What is to be run next at a place, if anything is left.
    fn next(&mut self, place: usize) -> Option<Performance>;

    /// Takes note of the result of what was run last at a place.
    fn done(&mut self, place: usize, result: &ScenarioResult);
}

/// Has so many threads do the work, until none is left.
///
/// # Errors
///
/// When a thread cannot be had.
pub(crate) async fn perform(work: impl Work, threads: usize) -> Result<(), RunError> {
    // Threads are looked after in real time, whatever the clock of this runtime is.
    let overseeing = tokio::task::spawn_blocking(move || oversee(work, threads, SPIN_LIMIT));
    let done = overseeing.await.map_err(io::Error::other).flatten();
    done.map_err(RunError::Trouble)
}

/// The work, and who does what.
struct Shared<W> {
    work: W,
    places: Vec<Place>,
}

#[derive(Clone, Debug, Default)]
struct Place {
    /// How many threads were given up here.
    given_up: usize,
    /// What is being run, and since when.
    busy: Option<(&'static Scenario, Instant)>,
}

type Crew<W> = Arc<Mutex<Shared<W>>>;

fn lock<W>(crew: &Crew<W>) -> MutexGuard<'_, Shared<W>> {
    crew.lock().unwrap_or_else(PoisonError::into_inner)
}

fn oversee<W: Work>(work: W, threads: usize, limit: Duration) -> io::Result<()> {
    let threads = threads.max(1);
    let crew = Arc::new(Mutex::new(Shared { work, places: vec![Place::default(); threads] }));
    let (ended, has_ended) = channel();
    for place in 0..threads {
        begin(&crew, place, 0, &ended)?;
    }
    look_after(&crew, threads, limit, &ended, &has_ended)
}

fn begin<W: Work>(
    crew: &Crew<W>,
    place: usize,
    given_up: usize,
    ended: &Sender<()>,
) -> io::Result<()> {
    let (crew, ended) = (Arc::clone(crew), ended.clone());
    let thread = thread::Builder::new().name(format!("scenarios-{place}"));
    thread.spawn(move || work_at(&crew, place, given_up, &ended)).map(drop)
}

/// Takes one scenario after another, until none is left or this thread was given up.
fn work_at<W: Work>(crew: &Crew<W>, place: usize, given_up: usize, ended: &Sender<()>) {
    loop {
        let mut shared = lock(crew);
        let Some(performance) = shared.work.next(place) else { break };
        shared.places[place].busy = Some((performance.scenario(), Instant::now()));
        drop(shared);
        let result = performance.in_memory();
        let mut shared = lock(crew);
        if shared.places[place].given_up != given_up {
            return; // Somebody else has this place.
        }
        shared.places[place].busy = None;
        shared.work.done(place, &result);
        drop(shared);
    }
    // Nobody waits for the end any more if this fails.
    let _ = ended.send(());
}

fn look_after<W: Work>(
    crew: &Crew<W>,
    mut threads: usize,
    limit: Duration,
    ended: &Sender<()>,
    has_ended: &Receiver<()>,
) -> io::Result<()> {
    while threads > 0 {
        match has_ended.recv_timeout(LOOK) {
            Ok(()) => threads -= 1,
            Err(RecvTimeoutError::Timeout) => give_up_late(crew, limit, ended)?,
            // We hold a sender ourselves.
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
    }
    Ok(())
}

/// Gives up who has been at one scenario for too long.
fn give_up_late<W: Work>(crew: &Crew<W>, limit: Duration, ended: &Sender<()>) -> io::Result<()> {
    let mut shared = lock(crew);
    for place in 0..shared.places.len() {
        let at = &mut shared.places[place];
        let Some((scenario, _)) = at.busy.take_if(|(_, since)| since.elapsed() > limit) else {
            continue;
        };
        at.given_up += 1;
        let given_up = at.given_up;
        shared.work.done(place, &never_ended(scenario, limit));
        begin(crew, place, given_up, ended)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use crate::verdict::Verdict;

    use super::*;

    static BLOCKS: Scenario = Scenario::new("1/blocks", "", &["MQTT-3.1.0-2"], |_| {
        Box::pin(async {
            loop {
                thread::park();
            }
        })
    });
    static SPINS: Scenario = Scenario::new("2/spins", "", &["MQTT-3.1.0-2"], |_| {
        Box::pin(async {
            loop {
                tokio::task::yield_now().await;
                thread::sleep(Duration::from_millis(1));
            }
        })
    });
    static PANICS: Scenario = Scenario::new("3/panics", "", &["MQTT-3.1.0-2"], |_| {
        Box::pin(async { panic!("a slip of ours") })
    });
    static PASSES: Scenario = Scenario::new("4/passes", "", &["MQTT-3.1.0-2"], |stage| {
        Box::pin(async { stage.connected("alice").await?.ping().await })
    });

    struct List {
        rest: VecDeque<&'static Scenario>,
        surroundings: Arc<Surroundings>,
        done: Sender<(&'static str, Verdict, String)>,
    }

    impl Work for List {
        fn next(&mut self, _: usize) -> Option<Performance> {
            let scenario = self.rest.pop_front()?;
            Some(Performance::new(scenario, Arc::clone(&self.surroundings)))
        }

        fn done(&mut self, _: usize, result: &ScenarioResult) {
            let observed = result.findings.first().map(|it| it.observed.clone());
            self.done.send((result.id, result.verdict, observed.unwrap_or_default())).unwrap();
        }
    }

    async fn results_of(
        scenarios: &[&'static Scenario],
        limit: Duration,
    ) -> Vec<(&'static str, Verdict, String)> {
        let options =
            Options { jobs: 1, timeout_scale: 1.0, token: "crew".to_owned(), ..Options::default() };
        let surroundings = Ground::plain(&options).await.unwrap().with(Variant::default());
        let (done, results) = channel();
        let list = List { rest: scenarios.to_vec().into(), surroundings, done };
        tokio::task::spawn_blocking(move || oversee(list, 1, limit)).await.unwrap().unwrap();
        results.iter().take(scenarios.len()).collect()
    }

    #[tokio::test]
    async fn what_never_ends_is_given_up_and_the_rest_goes_on() {
        assert_eq!(
            results_of(&[&BLOCKS, &SPINS, &PASSES], Duration::from_secs(2)).await,
            [
                ("1/blocks", Verdict::Inconclusive, "none in 2 s".to_owned()),
                ("2/spins", Verdict::Inconclusive, "none in 2 s".to_owned()),
                ("4/passes", Verdict::Pass, String::new()),
            ]
        );
    }

    #[tokio::test]
    async fn a_slip_of_ours_is_told_and_the_rest_goes_on() {
        // To print where it slipped can take long.
        let slip = "a fault of the suite itself: a slip of ours".to_owned();
        assert_eq!(
            results_of(&[&PANICS, &PASSES], SPIN_LIMIT).await,
            [("3/panics", Verdict::Inconclusive, slip), ("4/passes", Verdict::Pass, String::new()),]
        );
    }
}
