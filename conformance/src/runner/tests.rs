//! Scenarios that go wrong, and targets that do: each ends as its own verdict, and the rest go on.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use reference_broker::actor::Server;
use reference_broker::core::Config;

use crate::scenario::{Scenario, Stage};
use crate::verdict::Outcome;

use super::*;

static PASSES: Scenario = Scenario::new("1/passes", "", &["MQTT-3.1.0-2"], |stage| {
    Box::pin(async { stage.connected("alice").await?.ping().await })
});
static PANICS: Scenario = Scenario::new("2/panics", "", &["MQTT-3.1.0-2"], |_| {
    Box::pin(async { panic!("a slip of ours") })
});
static HANGS: Scenario = Scenario::new("3/hangs", "", &["MQTT-3.1.0-2"], |stage| {
    Box::pin(async {
        let _alice = stage.connected("alice").await?;
        std::future::pending().await
    })
});
static FAILS: Scenario = Scenario::new("4/fails", "", &["MQTT-3.1.0-2"], |stage| {
    Box::pin(async {
        let mut alice = stage.connected("alice").await?;
        stage.claims();
        alice.message("a message nobody sent").await.map(drop)
    })
});
static KILLS: Scenario =
    Scenario::new("5/kills", "", &["MQTT-3.1.0-2"], |stage| Box::pin(kill(stage)));

/// The broker that `KILLS` stops.
static VICTIM: OnceLock<Server> = OnceLock::new();

async fn kill(stage: &mut Stage) -> Outcome {
    stage.connected("alice").await?.ping().await?;
    if let Some(victim) = VICTIM.get() {
        victim.stop_within(Duration::ZERO).await;
    }
    Ok(())
}

fn options(jobs: usize) -> Options {
    Options { jobs, timeout_scale: 0.2, token: "test".to_owned(), ..Options::default() }
}

fn verdicts(report: &Report) -> Vec<(&str, Verdict)> {
    report.scenarios.iter().map(|result| (result.id, result.verdict)).collect()
}

fn listed(scenarios: &[&'static Scenario]) -> Vec<(usize, &'static Scenario)> {
    scenarios.iter().copied().enumerate().collect()
}

/// Sends what a client must not, and then looks for what a broker may owe to others only.
async fn misbehave(stage: &mut Stage) -> Outcome {
    let mut alice = stage.connected("alice").await?;
    alice.send(alice.connect_packet()).await?;
    stage.fail("an answer", "none")
}

static MISBEHAVES: Scenario =
    Scenario::new("6/misbehaves", "", &["MQTT-3.1.0-2"], |stage| Box::pin(misbehave(stage)));
static MEANS_TO: Scenario =
    Scenario::new("7/means-to", "", &["MQTT-3.1.0-2"], |stage| Box::pin(misbehave(stage)))
        .breaks(&["U-3.1-1"]);

#[tokio::test]
async fn what_the_suite_breaks_without_meaning_to_is_not_charged_to_the_target() {
    let scenarios = listed(&[&MISBEHAVES, &MEANS_TO]);
    let never = std::future::pending();
    let report = run(&Target::default(), scenarios, &options(2), never, |_| ()).await.unwrap();
    let expected = [("6/misbehaves", Verdict::Inconclusive), ("7/means-to", Verdict::Fail)];
    assert_eq!(verdicts(&report), expected);
    let observed = &report.scenarios[0].findings[0].observed;
    assert!(observed.starts_with("the suite itself broke U-3.1-1: its fault"), "{observed}");
}

#[tokio::test]
async fn each_scenario_ends_as_its_own_verdict_and_the_rest_go_on() {
    let scenarios = listed(&[&HANGS, &PANICS, &FAILS, &PASSES]);
    let mut told = 0;
    let never = std::future::pending();
    let report =
        run(&Target::default(), scenarios, &options(2), never, |_| told += 1).await.unwrap();
    assert_eq!(told, 4);
    assert_eq!(
        verdicts(&report),
        [
            ("3/hangs", Verdict::Inconclusive),
            ("2/panics", Verdict::Inconclusive),
            ("4/fails", Verdict::Fail),
            ("1/passes", Verdict::Pass),
        ]
    );
    let observed = |index: usize| report.scenarios[index].findings[0].observed.as_str();
    assert_eq!(observed(0), "none in 9 s");
    assert_eq!(observed(1), "a fault of the suite itself: a slip of ours");
    assert_eq!(observed(2), "nothing for 1.0 s");
    assert!(!report.scenarios[0].trace.is_empty(), "what was seen before the end is kept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_dies_ends_the_run_with_a_line() {
    let victim = VICTIM.get_or_init(|| Server::start(Config::default()));
    let address = victim.listen(("127.0.0.1", 0)).await.unwrap();
    let target: Target = format!("mqtt://{address}").parse().unwrap();
    let scenarios = listed(&[&PASSES, &KILLS, &PASSES]);
    let never = std::future::pending();
    let report = run(&target, scenarios, &options(1), never, |_| ()).await.unwrap();
    // Seen once only, so it is no failure.
    assert_eq!(verdicts(&report), [("1/passes", Verdict::Pass)]);
    let trouble = report.trouble.unwrap();
    assert!(trouble.starts_with("the target died "), "{trouble}");
    assert!(trouble.ends_with("did not come back within 4 s; then ran 5/kills"), "{trouble}");
}

/// A scenario that fails in its first `fails` runs, of which it counts all.
macro_rules! failing {
    ($name:ident, $id:literal, $fails:literal, $observed:literal) => {
        mod $name {
            use super::*;

            pub(super) static RUNS: AtomicUsize = AtomicUsize::new(0);
            pub(super) static IT: Scenario = Scenario::new($id, "", &["MQTT-3.1.0-2"], |stage| {
                Box::pin(async {
                    stage.connected("alice").await?.ping().await?;
                    let run = RUNS.fetch_add(1, Ordering::Relaxed);
                    let seen = $observed.replace("{run}", &run.to_string());
                    stage.check(run >= $fails, "a check that holds", seen)
                })
            });
        }
    };
}

failing!(once, "1/once", 1, "no");
failing!(always, "2/always", 99, "no");
failing!(otherwise, "3/otherwise", 99, "\"no\" in run {run}");
failing!(listed_so, "5/listed", 99, "no");
failing!(not_listed_so, "5/not-listed", 99, "yes");
failing!(one, "4/one", 99, "again");
failing!(two, "4/two", 99, "again");
failing!(three, "4/three", 99, "again");
failing!(four, "4/four", 99, "again");
failing!(five, "4/five", 99, "again");
failing!(six, "4/six", 99, "again");
failing!(seven, "4/seven", 99, "again");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_failure_is_told_that_was_not_seen_twice() {
    let target = Target::EmbeddedTcp(crate::target::Variant::default());
    let scenarios = listed(&[&once::IT, &always::IT, &otherwise::IT, &PASSES]);
    let never = std::future::pending();
    let report = run(&target, scenarios, &options(4), never, |_| ()).await.unwrap();
    assert_eq!(
        verdicts(&report),
        [
            ("1/once", Verdict::Unsteady),
            ("2/always", Verdict::Fail),
            ("3/otherwise", Verdict::Unsteady),
            ("1/passes", Verdict::Pass),
        ]
    );
    let again = |index: usize| report.scenarios[index].again.as_ref().map(|again| again.verdict);
    assert_eq!([again(0), again(1), again(2)], [Some(Verdict::Pass), None, Some(Verdict::Fail)]);
    assert!(!report.scenarios[0].trace.is_empty(), "both traces are kept");
    assert_eq!(always::RUNS.load(Ordering::Relaxed), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_listed_was_seen_before() {
    let target = Target::EmbeddedTcp(crate::target::Variant::default());
    let scenarios = listed(&[&listed_so::IT, &not_listed_so::IT]);
    let list = "[[deviation]]\nid = \"5/*\"\nseen = \"no\"\nreason = \"r\"\n";
    let known = KnownDeviations::parse(list, &["5/listed", "5/not-listed"]).unwrap();
    let options = Options { known: Arc::new(known), ..options(2) };
    let never = std::future::pending();
    let report = run(&target, scenarios, &options, never, |_| ()).await.unwrap();
    assert!(report.scenarios.iter().all(|result| result.verdict == Verdict::Fail));
    let runs = |runs: &AtomicUsize| runs.load(Ordering::Relaxed);
    assert_eq!((runs(&listed_so::RUNS), runs(&not_listed_so::RUNS)), (1, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_one_cause_some_are_run_again_for_all() {
    let target = Target::EmbeddedTcp(crate::target::Variant::default());
    let scenarios =
        listed(&[&one::IT, &two::IT, &three::IT, &four::IT, &five::IT, &six::IT, &seven::IT]);
    let never = std::future::pending();
    let report = run(&target, scenarios, &options(4), never, |_| ()).await.unwrap();
    assert!(report.scenarios.iter().all(|result| result.verdict == Verdict::Fail));
    let runs = [&one::RUNS, &two::RUNS, &three::RUNS, &four::RUNS, &five::RUNS];
    let runs = runs.into_iter().chain([&six::RUNS, &seven::RUNS]);
    let runs: usize = runs.map(|runs| runs.load(Ordering::Relaxed)).sum();
    assert_eq!(runs, 7 + 5);
}

#[tokio::test]
async fn in_memory_one_run_is_like_another() {
    static FAILS_NOW: Scenario = Scenario::new("1/now", "", &["MQTT-3.1.0-2"], |stage| {
        Box::pin(async { stage.fail("nothing", "something") })
    });
    let never = std::future::pending();
    let mut told = 0;
    let report =
        run(&Target::default(), listed(&[&FAILS_NOW]), &options(1), never, |_| told += 1).await;
    assert_eq!((told, verdicts(&report.unwrap())), (1, vec![("1/now", Verdict::Fail)]));
}

#[tokio::test]
async fn an_interrupted_run_reports_what_is_known() {
    static SLOW: Scenario = Scenario::new("1/slow", "", &["MQTT-3.1.0-2"], |stage| {
        Box::pin(async {
            stage.wait(Duration::from_secs(3600)).await;
            Ok(())
        })
    })
    .timed(3600);
    let (interrupt, interrupted) = tokio::sync::oneshot::channel::<()>();
    let mut interrupt = Some(interrupt);
    let on_result = |_: &ScenarioResult| drop(interrupt.take());
    let scenarios = listed(&[&SLOW, &PASSES]);
    let ended = async { drop(interrupted.await) };
    let target = Target::EmbeddedTcp(crate::target::Variant::default());
    let report = run(&target, scenarios, &options(2), ended, on_result).await.unwrap();
    assert!(report.interrupted);
    assert_eq!(verdicts(&report), [("1/passes", Verdict::Pass)]);
}

#[tokio::test]
async fn an_interrupt_does_not_wait_for_a_silent_target() {
    let silent = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let target: Target = format!("mqtt://{}", silent.local_addr().unwrap()).parse().unwrap();
    // Resolves when the look at the target is under way; the connection stays open.
    let mut connection = None;
    let looked_at = async { connection = silent.accept().await.ok() };
    let patient = Options { timeout_scale: 1000.0, ..options(1) };
    let report = run(&target, listed(&[&PASSES]), &patient, looked_at, |_| ()).await.unwrap();
    assert!(report.interrupted && report.scenarios.is_empty());
}
