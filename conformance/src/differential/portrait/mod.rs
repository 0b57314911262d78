//! The portrait of a broker: what it does wherever the standard leaves it open.
//!
//! For each switch of the embedded broker there is a script of which something else is seen with the
//! switch than without it. It is played on the other broker, twice, and what is seen of that is
//! compared with both, as far as they differ.

mod judge;
mod paint;
mod question;
mod search;
mod sitter;

use reference_broker::codec::ConnAck;

use crate::chameleon::Switch;
use crate::target::Variant;

pub use paint::{Asking, paint};
use question::section;
pub use question::{Question, questions, unasked};
pub use search::script_for;

use super::Difference;

/// What a broker does about a choice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It takes it.
    Takes,
    /// It does as the reference broker does without it.
    Not,
    /// It does neither: in what it differs from the reference broker without it.
    Otherwise(Vec<Difference>),
    /// It did not do the same twice.
    Unsteady,
    /// It cannot be asked there, and why.
    RuledOut(String),
    /// No script shows it yet, and why.
    Unasked(&'static str),
}

impl Answer {
    /// All kinds by their names in reports, in the order of a summary.
    pub const KINDS: [&str; 6] = ["takes", "not", "otherwise", "unsteady", "ruled-out", "unasked"];

    /// The name of its kind.
    pub fn kind(&self) -> &'static str {
        let place = match self {
            Answer::Takes => 0,
            Answer::Not => 1,
            Answer::Otherwise(_) => 2,
            Answer::Unsteady => 3,
            Answer::RuledOut(_) => 4,
            Answer::Unasked(_) => 5,
        };
        Answer::KINDS[place]
    }

    /// The lower, the more it says of what the broker does.
    fn rank(&self) -> usize {
        match self {
            Answer::Takes => 0,
            Answer::Otherwise(_) => 1,
            Answer::Unsteady => 2,
            Answer::Not => 3,
            Answer::RuledOut(_) => 4,
            Answer::Unasked(_) => 5,
        }
    }

    /// Whether it says what the broker does.
    pub fn is_told(&self) -> bool {
        matches!(self, Answer::Takes | Answer::Not | Answer::Otherwise(_))
    }
}

/// One choice of a broker.
#[derive(Clone, Debug)]
pub struct Choice {
    /// Which it is.
    pub switch: &'static Switch,
    /// What was asked; none where there is no script.
    pub question: Option<&'static Question>,
    /// What the broker does.
    pub answer: Answer,
}

/// What a broker does wherever the standard leaves it open.
#[derive(Clone, Debug)]
pub struct Portrait {
    /// The broker.
    pub target: String,
    /// The CONNACK with which it answers a plain client.
    pub announced: ConnAck,
    /// Every choice, in the order of the standard.
    pub choices: Vec<Choice>,
}

impl Portrait {
    /// The choices that it takes: of those that exclude each other the first.
    pub fn taken(&self) -> Variant {
        let mut taken = Variant::default();
        for choice in self.choices.iter().filter(|choice| choice.answer == Answer::Takes) {
            taken = taken.and_choosing(choice.switch).unwrap_or(taken);
        }
        taken
    }

    /// The choices of which it was not seen whether it takes them: there is a script, and it did neither.
    pub fn open(&self) -> Vec<&'static Switch> {
        let is_open = |choice: &&Choice| {
            !choice.answer.is_told() && !matches!(choice.answer, Answer::Unasked(_))
                || matches!(choice.answer, Answer::Otherwise(_))
        };
        self.choices.iter().filter(is_open).map(|choice| choice.switch).collect()
    }

    /// How many answers are of each [kind](Answer::KINDS).
    pub fn counts(&self) -> [(&'static str, usize); 6] {
        Answer::KINDS.map(|kind| {
            (kind, self.choices.iter().filter(|choice| choice.answer.kind() == kind).count())
        })
    }

    /// The choices by question, in the order of the standard: of several answers to the same question
    /// the one that the broker gives.
    pub fn answers(&self) -> Vec<&Choice> {
        let mut answers: Vec<&Choice> = Vec::new();
        for choice in &self.choices {
            let is_same = |other: &&mut &Choice| match (other.question, choice.question) {
                (Some(one), Some(other)) => one.asks == other.asks,
                _ => false,
            };
            match answers.iter_mut().find(is_same) {
                Some(best) if choice.answer.rank() < best.answer.rank() => *best = choice,
                Some(_) => {}
                None => answers.push(choice),
            }
        }
        answers
    }

    /// The answers of both that are known to be two.
    pub fn partings<'a>(&'a self, other: &'a Portrait) -> Vec<(&'a Choice, &'a Choice)> {
        let pairs = self.answers().into_iter().zip(other.answers());
        pairs.filter(|(one, two)| one.parts_from(two)).collect()
    }
}

impl Choice {
    /// The section of the standard that leaves it open.
    pub fn section(&self) -> &'static str {
        self.question.map_or_else(|| section(self.switch), |question| question.section)
    }

    /// Whether this answer and another one to the same question are known to be two.
    fn parts_from(&self, other: &Choice) -> bool {
        let is_told = self.answer.is_told() && other.answer.is_told();
        let is_same = self.answer == other.answer
            && (self.answer != Answer::Takes || self.switch == other.switch);
        is_told && !is_same
    }
}
