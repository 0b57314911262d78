//! Where the broker of a trace and the reference part ways.

use std::time::Duration;

use reference_broker::codec::{ConnAck, Packet, PropertyId};
use reference_broker::core::Config;

use crate::differential::TAKEN_OVER;
use crate::script::{Act, Script, Step, announce, play};
use crate::target::{Need, Variant};
use crate::trace::{Event, What};

use super::beside::Beside;
use super::check::{Check, Kind};
use super::differing::is_named;
use super::people::People;
use super::sight::{Field, Fields, Sight, sights};

/// How long the reference is watched for what it sends later.
const LATER: Duration = Duration::from_secs(60);

/// A failure, as it was seen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen<'a> {
    pub(super) trace: &'a [Event],
    pub(super) needs: &'a [Need],
    pub(super) people: &'a People,
    /// What was expected, in words.
    pub(super) expected: &'a str,
}

impl Seen<'_> {
    /// What shows the fault that was found at this place of the trace; the first thing in which the broker and
    /// the reference differ, where that place shows none.
    pub(super) fn check(&self, place: Option<usize>) -> Option<Check> {
        let last = self.trace.len().checked_sub(1)?;
        let place = place.unwrap_or(last).min(last);
        let config = self.announced();
        let check_at = |place| {
            let beside = Beside::new(self, &config, place);
            let check = beside.at_its_place(self).filter(|check| beside.bears_out(check, self))?;
            Some(self.of_whole_order(&check, &config).unwrap_or(check))
        };
        let lacking = || {
            let beside = Beside::new(self, &config, place);
            let check = beside.lacking_anywhere(self.expected);
            check.filter(|check| beside.bears_out(check, self))
        };
        check_at(place).or_else(|| {
            let is_sure = |check: &Check| self.is_no_choice(check);
            let mut earlier = (0..place).filter_map(check_at);
            let elsewhere = earlier.find(is_sure).or_else(|| lacking().filter(is_sure));
            elsewhere.map(|check| Check { is_elsewhere: true, ..check })
        })
    }

    /// Whether what differs is none of the things in which brokers may differ as they like: where nobody has found
    /// anything, only that shows a fault.
    fn is_no_choice(&self, check: &Check) -> bool {
        let is_shared = |event: &Event| match &event.what {
            What::Sent(Packet::Subscribe(subscribe)) => {
                subscribe.subscriptions.iter().any(|it| it.filter.starts_with("$share/"))
            }
            _ => false,
        };
        if self.trace.iter().any(is_shared) {
            return false; // Who gets a message of them is the broker's to choose.
        }
        let is_message =
            |fields: &Fields| fields.get("packet") == Some(&Field::Text("PUBLISH".into()));
        let is_end = |fields: &Fields| fields.get("packet") == Some(&Field::Text("closed".into()));
        let is_meant = |(name, field): (&&str, &Field)| match (*name, field) {
            ("packet" | "error" | "session_present" | "bytes" | "id", _) => true,
            ("reason", Field::Number(code)) => self.names_code(*code, check),
            (name, _) => is_named(name, self.expected),
        };
        match (check.kind, check.wrong.first()) {
            (Kind::Comes, Some(wrong)) => is_message(wrong) || wrong.iter().all(is_meant),
            (Kind::Order, _) => check.right.iter().all(is_message),
            (Kind::Lacks, _) => check.right.iter().any(|it| is_message(it) || is_end(it)),
            (Kind::Comes, None) => false,
        }
    }

    /// Whether a Reason Code is expected in words in which another came.
    fn names_code(&self, came: u32, check: &Check) -> bool {
        let expected = self.expected.to_lowercase();
        let names = |code: u32| expected.contains(&format!("0x{code:02x}"));
        let right = check.right.first().and_then(|fields| fields.get("reason"));
        matches!(right, Some(Field::Number(right)) if names(*right)) && !names(came)
    }

    /// The same check with all messages that have to come in one order, if it is about two of them: which of
    /// them a broker mixes up may be by chance.
    fn of_whole_order(&self, check: &Check, config: &Config) -> Option<Check> {
        let (Kind::Order, [first, _]) = (check.kind, &*check.right) else { return None };
        let all = sights(self.trace, &vec![0; self.trace.len()]);
        let first = all.iter().find(|it| it.connection == check.on && it.fits(first))?;
        let belongs = |it: &&Sight| it.connection == check.on && first.is_one_of_many_with(it);
        let last = all.iter().rfind(belongs)?;
        let beside = Beside::new(self, config, last.event);
        let whole = beside.in_whole_order(first)?;
        beside.bears_out(&whole, self).then_some(whole)
    }

    /// The reference's configuration in which it announces what the broker does.
    fn announced(&self) -> Config {
        let mut config = Config::default();
        if let Some(connack) = self.connack() {
            announce(&connack.properties, &mut config);
        }
        config
    }

    fn connack(&self) -> Option<&ConnAck> {
        self.trace.iter().find_map(|event| match &event.what {
            What::Received(Packet::ConnAck(connack)) => Some(connack),
            _ => None,
        })
    }

    /// What a broker has to announce for the check to show anything: what this one does, if the reference seems
    /// to have the fault where it announces something else.
    pub(super) fn limits(&self, check: &Check) -> Fields {
        let beside = Beside::new(self, &Config::default(), check.event);
        let came: Vec<_> = beside.lacking(&check.on).collect();
        let is_right = check.kind == Kind::Order || !check.has_fault(&came);
        let Some(connack) = self.connack().filter(|_| !is_right) else { return Fields::new() };
        let number = |id: &PropertyId| {
            let number = connack.properties.number(*id);
            (id.row().key, number.map_or(Field::Given(false), Field::Number))
        };
        TAKEN_OVER.iter().map(number).collect()
    }

    /// What the reference sends to the clients of a script, and what it sends when they are silent then.
    pub(super) fn reference(&self, mut script: Script, config: &Config) -> Vec<Sight> {
        self.people.put_into(&mut script);
        script.steps.push(Step::new("all", Act::Wait(LATER)));
        let needs = self.needs.iter().map(|need| Step::new("broker", Act::Needs(*need)));
        let needs: Vec<_> = needs.collect();
        let count = needs.len();
        script.steps.splice(0..0, needs);
        let played = play(&script, &Variant::default(), config);
        let steps: Vec<_> = played.steps.iter().map(|step| step.saturating_sub(count)).collect();
        sights(&played.trace, &steps)
    }
}
