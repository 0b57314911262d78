//! What the exit code of `mqttspec` says.

use std::process::ExitCode;

use crate::report::Report;

/// The exit codes, which scripts may rely on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Every verdict was to be expected: no failure, or known deviations only.
    AsExpected = 0,
    /// Something failed that is no known deviation, or a known deviation is gone.
    Unexpected = 1,
    /// The command line, or a file it names, cannot be used.
    Usage = 2,
    /// The target could not be reached, the tester had trouble of its own, or the run was
    /// interrupted: nothing is known against the target, but not all is known.
    Trouble = 3,
    /// Nothing was selected, so nothing was shown.
    NothingSelected = 4,
}

impl Exit {
    /// All exit codes, ascending.
    pub const ALL: [Exit; 5] =
        [Exit::AsExpected, Exit::Unexpected, Exit::Usage, Exit::Trouble, Exit::NothingSelected];

    /// What a report comes to. An unexpected verdict outweighs trouble: it was seen.
    pub fn of(report: &Report) -> Exit {
        let totals = report.totals();
        if totals.unexpected > 0 {
            Exit::Unexpected
        } else if totals.inconclusive > 0 || report.interrupted || report.trouble.is_some() {
            Exit::Trouble
        } else if totals.scenarios == 0 {
            Exit::NothingSelected
        } else {
            Exit::AsExpected
        }
    }

    /// Its number.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// What it means, as a fragment.
    pub fn meaning(self) -> &'static str {
        match self {
            Exit::AsExpected => "every verdict was expected",
            Exit::Unexpected => "some verdicts were unexpected",
            Exit::Usage => "the command line, or a file it names, cannot be used",
            Exit::Trouble => "not everything could be tried: see what was inconclusive",
            Exit::NothingSelected => "no scenario was selected",
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}

/// The exit code for a report: see [`Exit::of`].
pub fn exit_code(report: &Report) -> u8 {
    Exit::of(report).code()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::*;
    use crate::report::ScenarioResult;
    use crate::verdict::Verdict;

    fn code(verdicts: &[(Verdict, bool)], interrupted: bool) -> u8 {
        let scenarios = verdicts.iter().map(|&(verdict, expected)| ScenarioResult {
            id: "3.1/a",
            section: "3.1",
            shows: "",
            requirements: Vec::new(),
            verdict,
            expected,
            reason: None,
            duration: Duration::ZERO,
            findings: Vec::new(),
            oracles: Vec::new(),
            trace: Vec::new(),
            again: None,
            looks_like: Vec::new(),
            bytes: BTreeMap::new(),
        });
        exit_code(&Report { scenarios: scenarios.collect(), interrupted, ..Report::default() })
    }

    #[test]
    fn a_run_as_expected_is_0() {
        use Verdict::{Advisory, Fail, NotApplicable, Pass};
        assert_eq!(code(&[Pass, Fail, Advisory, NotApplicable].map(|v| (v, true)), false), 0);
    }

    #[test]
    fn an_unexpected_verdict_is_1_whatever_else_happened() {
        assert_eq!(code(&[(Verdict::Pass, true), (Verdict::Fail, false)], false), 1);
        assert_eq!(code(&[(Verdict::Pass, false)], false), 1);
        assert_eq!(code(&[(Verdict::Inconclusive, true), (Verdict::Fail, false)], true), 1);
    }

    #[test]
    fn trouble_and_interruption_are_3() {
        assert_eq!(code(&[(Verdict::Pass, true), (Verdict::Inconclusive, true)], false), 3);
        assert_eq!(code(&[(Verdict::Pass, true)], true), 3);
        assert_eq!(code(&[], true), 3);
    }

    #[test]
    fn nothing_at_all_is_4() {
        assert_eq!(code(&[], false), 4);
    }

    #[test]
    fn codes_are_their_places() {
        assert_eq!(Exit::ALL.map(Exit::code), [0, 1, 2, 3, 4]);
    }
}
