//! Reproductions: a failure as a program that needs nothing but Python, and as the text of an issue.
//!
//! What the clients did is in the trace of the failure. The reference broker, in memory, is given the same: what it
//! sends where the broker fails is what is right there, and in what the two differ is what the program looks for
//! (`difference`). All that both send before that has to come in the program too, or it says that nothing can be
//! told.

mod beside;
mod check;
mod difference;
mod differing;
mod issue;
mod names;
mod passing;
mod people;
mod sight;
mod steps;
#[cfg(test)]
mod tests;
mod text;
mod wire;

use std::time::Duration;

use reference_broker::transport::url::{Endpoint, Host, Scheme};

use crate::report::{CauseResult, Report, ScenarioResult};
use crate::scenario;
use crate::target::Need;
use crate::trace::{Event, What};
use crate::verdict::Finding;

use difference::Seen;
use names::Names;
use people::People;
use steps::Steps;
use text::Text;

/// Where a program looks for a broker that has no address of its own.
pub fn usual_endpoint() -> Endpoint {
    let host = Host::Name("localhost".to_owned());
    Endpoint { scheme: Scheme::Mqtt, host, port: 1883, path: String::new() }
}

/// A failure that is to be shown by itself.
#[derive(Clone, Copy, Debug)]
pub struct Failure<'a> {
    /// The report that tells of it.
    pub report: &'a Report,
    /// The fault.
    pub cause: &'a CauseResult<'a>,
    /// Where the broker is.
    pub endpoint: &'a Endpoint,
}

/// A program that shows a failure.
#[derive(Clone, Debug)]
pub struct Program {
    /// Its text.
    pub text: String,
    /// How long it takes at most, if answers take no time.
    pub takes: Duration,
}

impl Failure<'_> {
    /// The result that shows it best, and the finding in it.
    fn witness(&self) -> (&ScenarioResult, &Finding) {
        self.cause.witness
    }

    /// A name for files that are about it: the id of its cause.
    pub fn file_name(&self) -> String {
        self.cause.cause.id().replace('/', "--")
    }

    /// The program that shows it.
    ///
    /// # Errors
    ///
    /// In a few words, why there is none.
    pub fn program(&self) -> Result<Program, String> {
        let (result, finding) = self.witness();
        let scenario =
            scenario::find(result.id).ok_or_else(|| format!("no scenario {}", result.id))?;
        can_be_played(&result.trace)?;
        let names = Names::of(scenario, &result.trace);
        let trace = names.cut(&result.trace);
        let (needs, people) = set_up(scenario, &trace);
        let expected = &finding.expected;
        let seen = Seen { trace: &trace, needs: &needs, people: &people, expected };
        let check = seen
            .check(finding.event)
            .ok_or("the reference broker answers as it does in all that a program looks at")?;
        let limits = seen.limits(&check);
        let steps = Steps::of(&trace, &check, &people, &limits);
        let takes = steps.takes + check.within;
        let text = Text { failure: self, scenario, check, people, steps, names };
        Ok(Program { text: text.whole(takes), takes })
    }
}

/// What the broker has to be set up with for a trace, and who its clients are.
fn set_up(scenario: &'static scenario::Scenario, trace: &[Event]) -> (Vec<Need>, People) {
    let mut needs = scenario.needs.to_vec();
    let talk = match people::exchange(trace) {
        None => Vec::new(),
        Some(is_masked) => {
            needs.push(Need::Scram);
            let passing = is_masked.then(|| passing::trace(scenario)).flatten();
            people::talk(passing.as_deref().unwrap_or(trace))
        }
    };
    needs.retain(|need| {
        matches!(need, Need::Users | Need::Rights | Need::Scram | Need::Redirection)
    });
    let people = People::of(trace, &needs, talk);
    (needs, people)
}

/// Says why a trace cannot be played by a program.
fn can_be_played(trace: &[Event]) -> Result<(), String> {
    let why = trace.iter().find_map(|event| match event.what {
        What::WebSocket(_) => Some("it is about WebSocket frames, in which a program has no hand"),
        What::Restarted(_) => Some("the broker has to be restarted for it"),
        _ => None,
    });
    match why {
        Some(why) => Err(why.to_owned()),
        None if trace.is_empty() => Err("it has no trace".to_owned()),
        None => Ok(()),
    }
}
