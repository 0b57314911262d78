use std::collections::BTreeSet;

use reference_broker::codec::{Publish, QoS, ReasonCode};

use super::*;
use crate::requirement;
use crate::runner::Options;
use crate::scenario::{self, Scenario, Stage};
use crate::target::Variant;
use crate::verdict::{Outcome, Verdict};

#[test]
fn every_switch_is_named_once_and_cites_what_exists() {
    let mut names = BTreeSet::new();
    for switch in all() {
        let name = switch.name;
        assert!(names.insert(name), "{name} stands twice");
        assert!(
            name.bytes().all(|byte| byte.is_ascii_lowercase() || b"0123456789-".contains(&byte))
        );
        assert!(!switch.does.is_empty() && !switch.allowed_by.is_empty(), "{name}");
        for word in switch.allowed_by {
            let is_within = |section: &str| {
                section
                    .strip_prefix(word)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            };
            let mut rows = requirement::all().iter();
            assert!(rows.any(|row| row.id == *word || is_within(row.section)), "{name}: {word}");
        }
        for id in switch.forgoes {
            let row = requirement::find(id);
            // A broker may choose so where no MUST forbids it: an advisory about one is no advisory.
            let is_left_open = row.is_some_and(|row| !row.level.starts_with("MUST"));
            assert!(is_left_open, "{name} forgoes {id}");
        }
        for id in switch.leaves_out {
            assert!(scenario::all().iter().any(|it| it.id == *id), "{name} leaves out {id}");
        }
        for group in switch.groups {
            let members = all().iter().filter(|other| other.groups.contains(group)).count();
            assert!(members > 1, "{name} is alone in '{group}'");
        }
    }
}

#[test]
fn a_switch_shows() {
    let plain = script::seen(&Variant::default());
    assert!(script::seen(&Variant::default()) == plain, "the script is the same each time");
    for switch in all() {
        let variant = Variant::choosing([switch]).unwrap();
        // What is seen is too long to be told.
        assert!(script::seen(&variant) != plain, "nothing shows of {}", switch.name);
    }
}

#[test]
fn mixtures_are_of_what_goes_together_and_of_everything() {
    let mixtures: Vec<_> = Mixtures::new(7).take(300).collect();
    assert_eq!(Mixtures::new(7).take(300).collect::<Vec<_>>(), mixtures);
    assert_ne!(Mixtures::new(8).take(300).collect::<Vec<_>>(), mixtures);
    for mixture in &mixtures {
        assert!((2..=8).contains(&mixture.len()), "{mixture:?}");
        assert!(Variant::choosing(mixture.iter().copied()).is_ok(), "{mixture:?}");
    }
    let mixed: BTreeSet<_> = mixtures.iter().flatten().map(|switch| switch.name).collect();
    assert_eq!(mixed.len(), all().len());
}

#[test]
fn a_name_that_is_none_is_told_the_nearest() {
    assert_eq!(nearest("close-late"), Some("closes-late"));
    assert_eq!(nearest("xyz"), None);
}

/// Wrong: it may say 0x00 instead.
static DEMANDS_0X10: Scenario =
    Scenario::new("3.4/demands", "", &["U-3.4.2.1-2"], |stage| Box::pin(demands_0x10(stage)));

async fn demands_0x10(stage: &mut Stage) -> Outcome {
    let mut alice = stage.connected("alice").await?;
    let id = alice.packet_id();
    let topic = stage.topic("nobody");
    alice.send(Publish::new(topic, "").qos(QoS::AtLeastOnce, id)).await?;
    let ack = alice.puback(id).await?;
    stage.check(ack.reason == ReasonCode::NoMatchingSubscribers, "0x10", "another")
}

/// As it may be about a SHOULD: a broker need not say why it closes.
static ADVISES: Scenario =
    Scenario::new("3.1/advises", "", &["MQTT-3.1.0-2", "U-4.13.1-5"], |stage| {
        Box::pin(async {
            let mut alice = stage.connected("alice").await?;
            alice.send(alice.connect_packet()).await?;
            alice.closes_for(ReasonCode::ProtocolError).await
        })
    })
    .breaks(&["U-3.1-1"]);

/// Gives up where it sees something unusual.
static HIDES: Scenario = Scenario::new("3.4/hides", "", &["U-3.4.2.1-3"], |stage| {
    Box::pin(async {
        let mut alice = stage.connected("alice").await?;
        let topic = stage.topic("nobody");
        alice.publish(&topic, "", QoS::AtLeastOnce).await?;
        let usual = stage.saw("alice", |packet| match packet {
            Packet::PubAck(ack) => ack.reason == ReasonCode::NoMatchingSubscribers,
            _ => false,
        });
        if usual { Ok(()) } else { stage.not_applicable("it does not say 0x10") }
    })
});

fn options() -> Options {
    Options { jobs: 2, timeout_scale: 1.0, token: "memory".to_owned(), ..Options::default() }
}

fn variant(names: &[&str]) -> Variant {
    Variant::choosing(names.iter().map(|name| find(name).unwrap())).unwrap()
}

/// What is wrong under these switches.
async fn wrong_under(names: &[&str]) -> Vec<Wrong> {
    let scenarios: Vec<_> = [&DEMANDS_0X10, &ADVISES, &HIDES].into_iter().enumerate().collect();
    let baseline = Baseline::new(&scenarios, &options()).await.unwrap();
    let trial = try_switches(variant(names), &scenarios, &baseline, &options()).await.unwrap();
    let mut shrunk = Vec::new();
    for wrong in trial.wrong {
        shrunk.push(wrong.shrunk(&baseline, &options()).await.unwrap());
    }
    shrunk
}

#[tokio::test]
async fn a_wrong_verdict_is_seen_and_shrunk_to_what_it_takes() {
    let names = ["closes-late", "never-says-no-matching-subscribers", "messages-lag"];
    let wrong = wrong_under(&names).await;
    let shown: Vec<_> = wrong.iter().map(|wrong| (wrong.scenario.id, wrong.verdict)).collect();
    let expected = [("3.4/demands", Verdict::Fail), ("3.4/hides", Verdict::NotApplicable)];
    assert_eq!(shown, expected);
    for wrong in &wrong {
        assert_eq!(wrong.variant, variant(&names[1..2]));
    }
    let rerun = "run 'embedded:?never-says-no-matching-subscribers' 3.4/demands -v";
    assert_eq!(wrong[0].rerun(), rerun);
}

#[tokio::test]
async fn what_a_switch_forgoes_or_takes_away_is_no_wrong_verdict() {
    assert_eq!(wrong_under(&["closes-without-disconnect"]).await.len(), 0);
    // Who takes something away may leave a scenario nothing to show, but not make it fail.
    let names = ["never-says-no-matching-subscribers", "maximum-qos-1"];
    let wrong = wrong_under(&names).await;
    assert_eq!(wrong.iter().map(|wrong| wrong.scenario.id).collect::<Vec<_>>(), ["3.4/demands"]);
}

/// One that does not say what it forgoes.
static BARE: Switch = Switch::new("bare", "sends no DISCONNECT", &["U-3.14-1"]).ruled(|| {
    vec![crate::boundary::rules::swallows(|packet, _| matches!(packet, Packet::Disconnect(_)))]
});

#[tokio::test]
async fn an_advisory_that_no_switch_accounts_for_is_wrong() {
    let scenarios = [(0, &ADVISES)];
    let baseline = Baseline::new(&scenarios, &options()).await.unwrap();
    let variant = Variant::choosing([&BARE]).unwrap();
    let trial = try_switches(variant, &scenarios, &baseline, &options()).await.unwrap();
    let verdicts: Vec<_> = trial.wrong.iter().map(|wrong| wrong.verdict).collect();
    assert_eq!((trial.served, verdicts), (0, vec![Verdict::Advisory]));
}
