//! The portrait of a broker: each choice is found where it is taken, and none where it is not.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use conformance::chameleon::{self, Mixtures, Switch};
use conformance::differential::{Answer, Asking, Portrait, paint, questions, script_for};
use conformance::script::to_text;
use conformance::target::{Target, Variant};

fn portrait(switches: &[&'static Switch]) -> Portrait {
    let variant = Variant::choosing(switches.iter().copied()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(paint(&Target::Embedded(variant), &asking(4))).unwrap()
}

fn asking(jobs: usize) -> Asking {
    Asking {
        topic_prefix: "mqttspec".to_owned(),
        token: "memory".to_owned(),
        patience: Duration::from_secs(1),
        jobs,
    }
}

/// The switches with this kind of answer.
fn named(portrait: &Portrait, kind: &str) -> Vec<&'static str> {
    let choices = portrait.choices.iter().filter(|choice| choice.answer.kind() == kind);
    choices.map(|choice| choice.switch.name).collect()
}

#[test]
fn the_reference_broker_takes_none() {
    let portrait = portrait(&[]);
    for choice in portrait.choices.iter().filter(|choice| choice.question.is_some()) {
        assert_eq!(choice.answer, Answer::Not, "{:?}", choice.switch);
    }
}

/// What a switch does besides that another one does alone.
const IMPLIED: &[(&str, &str)] = &[
    ("discards-large-connacks", "spells-defaults-out"),
    ("refuses-unavailable-subscriptions-in-suback", "no-wildcards"),
    ("refuses-unavailable-subscriptions-in-suback", "no-subscription-identifiers"),
    ("refuses-unavailable-subscriptions-in-suback", "no-shared-subscriptions"),
];

fn is_implied(by: &[&'static Switch], name: &str) -> bool {
    by.iter().any(|switch| switch.name == name || IMPLIED.contains(&(switch.name, name)))
}

/// What is wrong with the portrait of a broker that takes these choices.
fn wrong(switches: &[&'static Switch]) -> Option<String> {
    let portrait = portrait(switches);
    let names: Vec<_> = switches.iter().map(|switch| switch.name).collect();
    let takes = named(&portrait, "takes");
    let extra: Vec<_> = takes.iter().filter(|name| !is_implied(switches, name)).collect();
    let denied: Vec<_> =
        named(&portrait, "not").into_iter().filter(|name| names.contains(name)).collect();
    let unsteady = named(&portrait, "unsteady");
    let missed = names.len() == 1 && !takes.contains(&names[0]);
    let is_right = extra.is_empty() && denied.is_empty() && unsteady.is_empty() && !missed;
    (!is_right)
        .then(|| format!("{names:?}: takes {takes:?}, denied {denied:?}, unsteady {unsteady:?}"))
}

/// What is wrong with any of these, looked at on all processors.
fn all_wrong(mixtures: &[Vec<&'static Switch>]) -> Vec<String> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mixture = || mixtures.get(next.fetch_add(1, Ordering::Relaxed));
        std::iter::from_fn(mixture).filter_map(|mixture| wrong(mixture)).collect::<Vec<_>>()
    };
    let count = thread::available_parallelism().map_or(2, usize::from);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..count).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    })
}

#[test]
fn each_is_found_where_it_alone_is_taken() {
    let alone: Vec<_> = questions().iter().map(|question| vec![question.switch]).collect();
    let wrong = all_wrong(&alone);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn of_several_none_is_denied_and_nothing_else_is_found() {
    let is_asked =
        |switch: &&'static Switch| questions().iter().any(|question| question.switch == *switch);
    let mixtures = Mixtures::new(7).map(|mut mixture| {
        mixture.retain(|switch| is_asked(switch));
        mixture.truncate(2);
        mixture
    });
    let pairs: Vec<_> = mixtures.filter(|mixture| mixture.len() == 2).take(12).collect();
    let wrong = all_wrong(&pairs);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_broker_at_an_address_is_asked_twice() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let target: Target = "embedded+tcp:?hands-on-at-release".parse().unwrap();
    let portrait = runtime.block_on(paint(&target, &asking(48))).unwrap();
    assert_eq!(named(&portrait, "takes"), ["hands-on-at-release"]);
    assert_eq!(named(&portrait, "otherwise"), [""; 0]);
}

/// Looks for scripts of the switches named in `CHOICES_SEARCH`, with spaces between them, or of all that
/// have none; prints them with how many other switches touch what is asked.
#[test]
#[ignore = "takes minutes: it looks for scripts of switches that have none"]
fn scripts_are_found() {
    let named = std::env::var("CHOICES_SEARCH").unwrap_or_default();
    let asked = |name: &str| questions().iter().any(|question| question.switch.name == name);
    for switch in chameleon::all() {
        let is_named = named.split(' ').any(|name| name == switch.name);
        if !(is_named || named.is_empty() && !asked(switch.name)) {
            continue;
        }
        match script_for(switch, 1, 1_000) {
            Some((script, touching)) => {
                println!("# {}, touched by {touching} others\n{}", switch.name, to_text(&script));
            }
            None => println!("# {}: nothing found\n", switch.name),
        }
    }
}
