//! No scenario passes on a server that is no broker: one that would proves nothing.

use conformance::runner::{Options, Selection, run};
use conformance::target::{Null, Target};
use conformance::verdict::Verdict;

#[test]
fn nothing_passes_on_what_is_no_broker() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for null in Null::ALL {
        let scenarios = Selection::default().scenarios().unwrap();
        let options =
            Options { jobs: 2, timeout_scale: 1.0, token: "null".to_owned(), ..Options::default() };
        let never = std::future::pending();
        let target = Target::Null(null);
        let report = run(&target, scenarios, &options, never, |_| ());
        let report = runtime.block_on(report).unwrap();
        // An advisory is half a pass: it says that the rest was well.
        let conforms = |verdict| matches!(verdict, Verdict::Pass | Verdict::Advisory);
        let passed = report.scenarios.iter().filter(|result| conforms(result.verdict));
        let passed: Vec<_> = passed.map(|result| result.id).collect();
        assert!(passed.is_empty(), "on {null} pass: {passed:#?}");
        assert!(!report.scenarios.is_empty());
    }
}
