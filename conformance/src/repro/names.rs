//! The names of a trace that are its run's own.

use reference_broker::codec::Packet;

use crate::program;
use crate::runner::TOPIC_PREFIX;
use crate::scenario::Scenario;
use crate::trace::{Event, What};

/// The type of AUTH on the wire.
const AUTH: u8 = 15;

/// How many letters and digits a run has in its names.
const RUN: usize = 6;

/// What names in a trace have of the run and of the scenario, and what topics begin with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Names {
    pub(super) run: String,
    pub(super) scenario: String,
    pub(super) topics: String,
}

impl Names {
    /// Those of a scenario's trace, in what clients sent.
    pub(super) fn of(scenario: &Scenario, trace: &[Event]) -> Names {
        let code = scenario.code();
        let sent = trace.iter().filter_map(|event| match &event.what {
            What::Sent(packet) => packet.to_bytes().ok(),
            What::SentBytes(bytes) => Some(bytes.clone()),
            _ => None,
        });
        let run = sent.into_iter().find_map(|bytes| run_in(&bytes, code.as_bytes()));
        // Where there are none, those of the control are to be replaced all the same.
        let run = run.unwrap_or_else(|| "therun".to_owned());
        let own = format!("/{run}/{code}");
        let mut prefixes = trace.iter().filter_map(|event| match &event.what {
            What::Sent(Packet::Publish(publish)) => Some(publish.topic.split_once(&own)?.0),
            What::Sent(Packet::Subscribe(subscribe)) => {
                Some(subscribe.subscriptions.first()?.filter.split_once(&own)?.0)
            }
            _ => None,
        });
        let prefix = prefixes.find(|prefix| !prefix.contains(['+', '#', '$']));
        let prefix = prefix.unwrap_or(TOPIC_PREFIX);
        Names { topics: format!("{prefix}{own}"), run, scenario: code }
    }

    /// A trace in which broken bytes end before a name of which they have only a part, or before what is random.
    pub(super) fn cut(&self, trace: &[Event]) -> Vec<Event> {
        let names =
            [format!("{}{}", self.run, self.scenario), format!("{}/{}", self.run, self.scenario)];
        let cut = |event: &Event| {
            let mut event = event.clone();
            if let What::ReceivedBroken(bytes, error) = &mut event.what {
                // What is behind the fault says nothing, and in AUTH it is random.
                if bytes.first().is_some_and(|first| first >> 4 == AUTH) {
                    bytes.truncate(error.offset + 1);
                }
                let parts =
                    names.iter().flat_map(|name| (1..name.len()).rev().map(|end| &name[..end]));
                let part = parts.into_iter().find(|part| bytes.ends_with(part.as_bytes()));
                bytes.truncate(bytes.len() - part.map_or(0, str::len));
            }
            event
        };
        trace.iter().map(cut).collect()
    }

    pub(super) fn python(&self) -> String {
        format!("({}, {})", program::text(&self.run), program::text(&self.scenario))
    }
}

fn run_in(bytes: &[u8], code: &[u8]) -> Option<String> {
    let places = bytes.windows(code.len()).enumerate().filter(|(_, part)| *part == code);
    places.map(|(at, _)| at).find_map(|at| {
        let is_level = at > 0 && bytes[at - 1] == b'/';
        let end = if is_level { at - 1 } else { at };
        let run = std::str::from_utf8(bytes.get(end.checked_sub(RUN)?..end)?).ok()?;
        run.bytes().all(|byte| byte.is_ascii_alphanumeric()).then(|| run.to_owned())
    })
}
