//! What a scenario comes to.

use std::fmt;

/// What a scenario says of its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Verdict {
    /// It did what the scenario expects.
    Pass,
    /// It broke a MUST or MUST NOT.
    Fail,
    /// It conforms, but does not follow a SHOULD.
    Advisory,
    /// It declares that it does not have what the scenario needs.
    NotApplicable,
    /// The tester or the network failed; says nothing for or against the target.
    Inconclusive,
}

impl Verdict {
    /// All verdicts.
    pub const ALL: [Verdict; 5] = [
        Verdict::Pass,
        Verdict::Fail,
        Verdict::Advisory,
        Verdict::NotApplicable,
        Verdict::Inconclusive,
    ];

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Pass => "pass",
            Verdict::Fail => "fail",
            Verdict::Advisory => "advisory",
            Verdict::NotApplicable => "not-applicable",
            Verdict::Inconclusive => "inconclusive",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// An expectation against what was observed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The requirement it concerns, as an id of the register; none where the tester itself failed.
    pub requirement: Option<&'static str>,
    /// The [oracle](crate::oracle) that found it, or `liveness` where the target served nobody
    /// afterwards; none where a step of the scenario did.
    pub oracle: Option<&'static str>,
    /// What was expected, as a fragment such as `a SUBACK for packet 7`.
    pub expected: String,
    /// What was observed, as a fragment.
    pub observed: String,
    /// The event of the trace that shows it.
    pub event: Option<usize>,
}

/// Why a scenario ended before its last step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The target broke a requirement.
    Fail(Finding),
    /// The target does not have what the scenario needs.
    NotApplicable(String),
    /// The tester or the network failed.
    Inconclusive(Finding),
}

/// How a scenario, or a step of it, ends.
pub type Outcome<T = ()> = Result<T, Stop>;
