//! The core against a second, naive statement of the standard: whatever clients do, the core does
//! what the model of it expects.

#[path = "../../reference-broker/tests/support/bench.rs"]
mod bench;
#[path = "model/operation.rs"]
mod operation;
#[path = "model/run.rs"]
mod run;

use std::cell::Cell;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, FileFailurePersistence, TestError, TestRunner};

use run::Run;

/// Of 130 operations on average, so that they can shrink to any number.
const CASES: u32 = 1_400;

#[test]
fn the_core_does_what_the_model_expects() {
    let regressions = FileFailurePersistence::Direct("proptest-regressions/model.txt");
    let mut runner = TestRunner::new(Config {
        cases: CASES,
        failure_persistence: Some(Box::new(regressions)),
        ..Config::default()
    });
    let (performed, agreed, has_failed) = (Cell::new(0), Cell::new(0), Cell::new(false));
    let cases = (operation::config(), vec(operation::operation(), 0..260));
    let result = runner.run(&cases, |(config, operations)| {
        let mut run = Run::new(config);
        let result = compare(&mut run, &operations);
        performed.set(performed.get() + run.performed);
        has_failed.set(has_failed.get() || result.is_err());
        agreed.set(agreed.get() + u32::from(!has_failed.get()));
        result
    });
    match result {
        Err(TestError::Fail(difference, (config, operations))) => {
            let operations: Vec<_> = operations.iter().map(|it| format!("{it:?}")).collect();
            let (agreed, operations) = (agreed.get(), operations.join("\n"));
            panic!("{difference}\nafter:\n{operations}\nwith {config:?}\n{agreed} cases agreed");
        }
        Err(TestError::Abort(reason)) => panic!("{reason}"),
        Ok(()) => {}
    }
    println!("{} operations in {CASES} cases", performed.get());
    assert!(performed.get() >= 100_000, "only {} operations", performed.get());
}

/// Performs all of it, and what tells the rest.
fn compare(run: &mut Run, operations: &[operation::Operation]) -> Result<(), TestCaseError> {
    for operation in operations {
        let result = run.perform(operation);
        result.map_err(|difference| TestCaseError::fail(format!("{operation:?}\n{difference}")))?;
    }
    run.finish().map_err(|difference| TestCaseError::fail(format!("at the end\n{difference}")))
}
