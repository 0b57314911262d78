//! What is printed of one run, and of several.

use std::io::{self, Write};

use conformance::exit::Exit;
use conformance::report::Report;
use conformance::report::terminal::Terminal;
use conformance::runner::{Changed, Repeat};
use conformance::verdict::Verdict;

/// One line about a run that has ended.
pub(super) fn run_line(run: usize, runs: usize, report: &Report) -> String {
    let totals = report.totals();
    let unexpected = (totals.unexpected, "unexpected");
    let counts = Verdict::ALL.map(|verdict| (totals.of(verdict), verdict.name()));
    let counts = counts.iter().chain([&unexpected]).filter(|(count, _)| *count > 0);
    let counts: Vec<_> = counts.map(|(count, name)| format!("{count} {name}")).collect();
    let seconds = report.duration.as_secs_f64();
    format!("run {run} of {runs}: {}  ({seconds:.2} s)\n", counts.join(", "))
}

/// Writes the report of the only run, and what the exit code says.
pub(super) fn write_last(
    terminal: &Terminal,
    report: &Report,
    exit: Exit,
    out: &mut impl Write,
) -> io::Result<()> {
    terminal.findings(report, out)?;
    terminal.sections(report, out)?;
    terminal.totals(report, out)?;
    terminal.exit(exit, out)
}

/// Writes what earlier runs found, the report of the last, which verdicts changed, and what the exit
/// code says.
pub(super) fn write(
    terminal: &Terminal,
    repeat: &Repeat,
    last: &Report,
    exit: Exit,
    out: &mut impl Write,
) -> io::Result<()> {
    writeln!(out)?;
    for (run, result) in repeat.not_in(last) {
        writeln!(out, "In run {run}, though not in the last:")?;
        terminal.block(result, &last.rerun_command(result.id), out)?;
        writeln!(out)?;
    }
    terminal.findings(last, out)?;
    terminal.sections(last, out)?;
    terminal.totals(last, out)?;
    write_changed(repeat.runs(), &repeat.changed(), out)?;
    terminal.exit(exit, out)
}

fn write_changed(runs: usize, changed: &[Changed], out: &mut impl Write) -> io::Result<()> {
    let scenarios = match changed.len() {
        0 => "no verdict changed".to_owned(),
        1 => "1 scenario changed its verdict".to_owned(),
        several => format!("{several} scenarios changed their verdicts"),
    };
    writeln!(out, "{runs} runs: {scenarios}")?;
    for Changed { id, verdicts, unsteady } in changed {
        let count = |(verdict, count): &(Verdict, usize)| format!("{count} {verdict}");
        let counts: Vec<_> = verdicts.iter().map(count).collect();
        let note = if *unsteady { "  (a known deviation that is unsteady)" } else { "" };
        writeln!(out, "  {id}  {}{note}", counts.join(", "))?;
    }
    Ok(())
}
