//! What `conformance/README.md` teaches, word for word, so that it stays true: its scenario, and its
//! mutant.

use std::collections::BTreeSet;

use reference_broker::codec::{Packet, QoS};

use super::{Mutant, Reach, Tries};
use crate::boundary::rules::reads;
use crate::mutant::Fate;
use crate::runner::{Options, run};
use crate::scenario::{Scenario, Stage, scenario};
use crate::target::{Need, Null, Target, Variant};
use crate::verdict::{Outcome, Verdict};

const PAGE: &str = include_str!("../../README.md");
const THIS: &str = include_str!("newcomer.rs");

const UP_TO_1: &[Need] = &[Need::QoS(QoS::AtLeastOnce)];

static SCENARIOS: [Scenario; 1] = [scenario!(
    "3.8/subscribed-anew",
    subscribed_anew,
    "A filter that was given up and is subscribed to anew brings messages again",
    ["MQTT-3.8.4-7"]
)
.needs(UP_TO_1)];

async fn subscribed_anew(stage: &mut Stage) -> Outcome {
    let topic = stage.topic("anew");
    let mut alice = stage.connected("alice").await?;
    let mut bob = stage.connected("bob").await?;
    // The control: the same without what is to be shown.
    alice.subscribe(&topic, QoS::AtLeastOnce).await?;
    bob.publish(&topic, "at first", QoS::AtLeastOnce).await?;
    alice.receives(&topic, "at first").await?;

    alice.unsubscribe(&topic).await?;
    stage.claims();
    alice.subscribe(&topic, QoS::AtLeastOnce).await?;
    bob.publish(&topic, "anew", QoS::AtLeastOnce).await?;
    alice.receives(&topic, "anew").await?;
    stage.nothing_on(&topic, &mut bob, &mut alice).await
}

fn mutants() -> Vec<Mutant> {
    vec![Mutant::new(
        "3.8/given-up-for-good",
        "A filter that was given up is granted again and brings nothing",
        &["MQTT-3.8.4-7"],
        || {
            let mut given_up = BTreeSet::new();
            vec![reads(move |packet, at| match packet {
                Packet::Unsubscribe(it) => given_up.extend(it.filters.clone()),
                Packet::Subscribe(it) => {
                    let filters = it.subscriptions.iter_mut().map(|it| &mut it.filter);
                    filters
                        .filter(|filter| given_up.contains(*filter))
                        .for_each(|filter| *filter = at.id());
                }
                _ => {}
            })]
        },
    )]
}

/// The code without what formatting gives it.
fn bare(code: &str) -> String {
    code.split_whitespace().collect::<String>().trim_end_matches(',').to_owned()
}

#[test]
fn the_page_shows_this() {
    let blocks: Vec<&str> = PAGE.split("```rust\n").skip(1).collect();
    assert_eq!(blocks.len(), 3);
    for block in blocks {
        let (block, _) = block.split_once("```").unwrap();
        assert!(bare(THIS).contains(&bare(block)), "{block} is not in {}", file!());
    }
}

#[test]
fn it_works_as_the_page_says() {
    let runtime = crate::runner::paused_runtime().unwrap();
    runtime.block_on(async {
        let scenarios = || vec![(0, &SCENARIOS[0])];
        let options =
            Options { jobs: 1, timeout_scale: 1.0, token: "page".to_owned(), ..Options::default() };
        let never = std::future::pending::<()>;
        for (target, verdicts) in [
            (Target::Embedded(Variant::default()), &[Verdict::Pass][..]),
            (Target::Null(Null::Yes), &[Verdict::Fail, Verdict::Blocked]),
            (Target::Null(Null::ConnAck), &[Verdict::Fail, Verdict::Blocked]),
        ] {
            let report = run(&target, scenarios(), &options, never(), |_| ()).await.unwrap();
            let verdict = report.scenarios[0].verdict;
            assert!(verdicts.contains(&verdict), "{verdict} on {target}");
        }
        let mutant: &'static Mutant = Box::leak(Box::new(mutants().remove(0)));
        let scenarios = [&SCENARIOS[0]];
        let mut tries =
            Tries::begin(&[mutant], &scenarios, Reach::Everything, &options).await.unwrap();
        let trial = tries.next().await.unwrap().unwrap();
        assert_eq!(trial.fate(), Fate::Caught);
    });
}
