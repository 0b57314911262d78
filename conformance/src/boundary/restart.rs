//! A rule for what a broker does wrong once it was restarted.

use reference_broker::core::{Input, Output};

use super::{Boundary, Rule};

/// So many connections that are lost one after the other, and nothing between, are a restart.
const AT_ONCE: usize = 3;

struct AfterRestart {
    /// How many were lost in a row.
    lost: usize,
    /// Whether that was a restart.
    restarted: bool,
    rule: Box<dyn Rule>,
}

/// Does nothing until the broker was restarted, and then what this rule does.
pub fn after_restart(rule: Box<dyn Rule>) -> Box<dyn Rule> {
    Box::new(AfterRestart { lost: 0, restarted: false, rule })
}

impl Rule for AfterRestart {
    fn inward(&mut self, input: Input, boundary: &mut Boundary<'_>) {
        match &input {
            Input::Closed(_) => self.lost += 1,
            Input::Tick => {}
            _ => self.lost = 0,
        }
        self.restarted |= self.lost >= AT_ONCE;
        match self.restarted {
            true => self.rule.inward(input, boundary),
            false => boundary.pass(input),
        }
    }

    fn outward(&mut self, output: Output, boundary: &mut Boundary<'_>) {
        match self.restarted {
            true => self.rule.outward(output, boundary),
            false => boundary.emit(output),
        }
    }
}
