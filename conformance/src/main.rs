//! mqttspec binary.
use conformance::*;
fn main() {
    let rt = tokio::runtime::Runtime::new().unwrap();
    let target: target::Target =
        std::env::args().nth(1).unwrap_or("embedded:".into()).parse().unwrap();
    let sel = runner::Selection::new(std::env::args().skip(2).collect()).scenarios().unwrap();
    let options = runner::Options { jobs: 8, timeout_scale: 1.0, token: "x1".into() };
    let report = rt
        .block_on(runner::run(&target, sel, &options, std::future::pending(), |r| {
            println!("{} {} {:?} {:?}", r.id, r.verdict, r.duration, r.findings);
            if r.verdict != verdict::Verdict::Pass {
                for e in &r.trace {
                    println!("   {e:?}");
                }
            }
        }))
        .unwrap();
    println!("{:?} {:?}", report.totals(), report.duration);
}
