//! A reproduction as the text of a program.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use reference_broker::codec::{Connect, Packet, Publish, QoS, Subscribe};

use crate::program;
use crate::report::standard_link;
use crate::requirement;
use crate::scenario::Scenario;
use crate::target::{HIDDEN, Need};
use crate::trace::{What, packet_text};

use super::Failure;
use super::check::Check;
use super::names::Names;
use super::people::{self, People};
use super::sight::Fields;
use super::steps::{Steps, dictionary, seconds};
use super::wire::{self, Wire};

/// The program, but for what is its own.
const PROGRAM: &str = include_str!("program.py");

/// What is said with SCRAM, where something is.
const SCRAM: &str = include_str!("scram.py");

/// Appends to a text, which cannot fail.
macro_rules! add {
    ($text:expr, $($format:tt)*) => {{ let _ = writeln!($text, $($format)*); }};
}

/// What a program is made of.
pub(super) struct Text<'a> {
    pub(super) failure: &'a Failure<'a>,
    pub(super) scenario: &'a Scenario,
    pub(super) check: Check,
    pub(super) people: People,
    pub(super) steps: Steps,
    pub(super) names: Names,
}

impl Text<'_> {
    /// The whole program, which takes so long.
    pub(super) fn whole(&self, takes: Duration) -> String {
        let (place, connection) = program::connection(self.failure.endpoint);
        let data = self.data(takes);
        let scram = if data.contains("$scram-") { format!("{SCRAM}\n\n") } else { String::new() };
        // What is a broker's is put in last, from behind: it may say anything.
        PROGRAM
            .replace("@PLACE@", &place)
            .replace("@CONNECTION@", connection)
            .replace("@PACKETS@", &program::packets())
            .replace("@SCRAM@", &scram)
            .replacen("@DATA@", &data, 1)
            .replacen("@HEADING@", &self.heading(), 1)
    }

    fn heading(&self) -> String {
        let (_, finding) = self.failure.witness();
        let scenario = self.scenario;
        let mut text = String::new();
        add!(text, "{}: {}\n", scenario.id, program::line(scenario.shows));
        if let Some(row) = finding.requirement.and_then(requirement::find) {
            add!(text, "requirement  {} (section {})", row.id, row.section);
            add!(text, "             {}", program::line(row.text));
            add!(text, "             {}", standard_link(row.section));
        }
        add!(text, "expected     {}", program::line(&finding.expected));
        add!(text, "observed     {}", program::line(&finding.observed));
        for need in self.scenario.needs {
            add!(text, "needs        {need}");
        }
        if self.check.is_elsewhere {
            add!(
                text,
                "looks for    the first thing in which the broker differed from the reference broker"
            );
        }
        add!(
            text,
            "\nWritten by mqttspec {} from what {} did. It needs nothing but Python.\n\
             Usage: python3 THIS_FILE [HOST [PORT]]\n\
             Exit code: 1 if the fault is there, 0 if it is not, 2 if that cannot be told.",
            env!("CARGO_PKG_VERSION"),
            program::line(&self.failure.report.target),
        );
        text
    }

    fn data(&self, takes: Duration) -> String {
        let Text { failure, steps, names, .. } = self;
        let (result, finding) = failure.witness();
        let mut data = String::new();
        add!(data, "TITLE = {}", program::text(result.id));
        add!(data, "EXPECTED = {}", program::text(&finding.expected));
        add!(data, "OBSERVED = {}", program::text(&finding.observed));
        add!(data, "TAKES = {}  # seconds", seconds(takes));
        add!(
            data,
            "NAMES = {}  # What all names have of the run and of the scenario.",
            names.python()
        );
        add!(
            data,
            "\n# What the clients do: who, what, the packet in words, its bytes; and what comes of it."
        );
        add!(data, "STEPS = [\n{}]", steps.text);
        add!(
            data,
            "\n# The fault: on which connection, what is wrong, what is right, how long it is looked for."
        );
        data.push_str(&self.check());
        add!(data, "\n# A message from a client to itself.\nCONTROL = [\n{}]", self.control());
        add!(
            data,
            "\n# What ends sessions, and takes back what was retained.\nCLEAR = [\n{}]",
            self.clear()
        );
        add!(data, "\n# Who the clients are, by environment variables.");
        let logins = logins_in(&data).join(", ");
        let _ = write!(data, "LOGINS = {{{logins}}}");
        data
    }

    fn check(&self) -> String {
        let check = &self.check;
        let list = |fields: &[Fields]| {
            let entry = |it: &Fields| format!("\n        {},", dictionary(it));
            let all: String = fields.iter().map(entry).collect();
            if all.is_empty() { "[]".to_owned() } else { format!("[{all}\n    ]") }
        };
        let mut text = String::from("CHECK = {\n");
        add!(text, "    \"on\": {},", program::text(&check.on));
        add!(text, "    \"kind\": \"{}\",", check.kind.word());
        add!(text, "    \"wrong\": {},", list(&check.wrong));
        add!(text, "    \"right\": {},", list(&check.right));
        add!(text, "    \"before\": {},", check.before.map_or("None".to_owned(), seconds));
        add!(text, "    \"within\": {},\n}}", seconds(check.within));
        text
    }

    fn wire(&self) -> Wire<'_> {
        Wire { people: &self.people, message: &|_| None, scram: None }
    }

    /// A message from a client to itself, where clients are served.
    fn control(&self) -> String {
        if self.scenario.needs.contains(&Need::Redirection) {
            return String::new();
        }
        let Names { run, scenario, topics } = &self.names;
        let topic = format!("{topics}/control");
        let mut connect = Connect::new(format!("{run}{scenario}control")).keep_alive(60);
        if self.has_own_user() {
            (connect.user_name, connect.password) = (Some(HIDDEN.into()), Some(HIDDEN.into()));
        }
        let subscribe = Subscribe::new(1, topic.as_str(), QoS::AtMostOnce);
        let publish = Publish::new(topic.as_str(), "control");
        let message = format!("\"topic\": {}, \"payload\": b\"control\"", program::text(&topic));
        let exchanges: [(Packet, &str); 3] = [
            (connect.into(), "\"packet\": \"CONNACK\", \"error\": False"),
            (subscribe.into(), "\"packet\": \"SUBACK\", \"id\": 1"),
            (publish.into(), &format!("\"packet\": \"PUBLISH\", {message}")),
        ];
        let mut text = String::new();
        for (packet, wanted) in exchanges {
            let said = program::text(&packet_text(&packet));
            let data = program::text(&self.wire().of(&packet));
            add!(text, "    ({said}, {data}, {{{wanted}}}),");
        }
        text
    }

    fn has_own_user(&self) -> bool {
        let are_users =
            [Need::Users, Need::Rights].iter().any(|it| self.scenario.needs.contains(it));
        let is_own = |packet: &Packet| match packet {
            Packet::Connect(connect) => {
                let user = connect.user_name.as_deref().and_then(people::user);
                user.is_some_and(|user| user == "user")
            }
            _ => false,
        };
        are_users || self.sent().any(is_own)
    }

    fn sent(&self) -> impl Iterator<Item = &Packet> {
        let (result, _) = self.failure.witness();
        result.trace.iter().take(self.check.event).filter_map(|event| match &event.what {
            What::Sent(packet) => Some(packet),
            _ => None,
        })
    }

    fn clear(&self) -> String {
        let mut sessions = BTreeMap::new();
        let mut topics = BTreeSet::new();
        for packet in self.sent() {
            match packet {
                Packet::Connect(connect) => {
                    let will = connect.will.iter().filter(|will| will.retain);
                    topics.extend(will.map(|will| will.topic.to_string()));
                    if !connect.client_id.is_empty() {
                        sessions.insert(connect.client_id.clone(), connect);
                    }
                }
                Packet::Publish(publish) if publish.retain => {
                    topics.insert(publish.topic.to_string());
                }
                _ => {}
            }
        }
        // What has no name, or has wildcards in it, has nothing.
        topics.retain(|topic| !topic.is_empty() && !topic.contains(['+', '#']));
        let mut topics: Vec<_> = topics.into_iter().collect();
        let wire = self.wire();
        let mut text = String::new();
        for connect in sessions.into_values() {
            if let Some(data) = wire::clearing(&wire, connect, &topics) {
                topics.clear();
                add!(text, "    {},", program::text(&data));
            }
        }
        text
    }
}

/// The entries of a program for the users that its data names: each is told by an environment variable.
fn logins_in(data: &str) -> Vec<String> {
    let of_scram = data.contains("$scram-");
    let all = ["user", "password", "second-user", "second-password"];
    let is_used = |name: &&str| {
        let word = format!("${name}");
        let is_whole = |rest: &str| !rest.starts_with(|it: char| it == '-' || it.is_alphanumeric());
        let is_there = data.split(word.as_str()).skip(1).any(is_whole);
        is_there || (of_scram && !name.starts_with("second"))
    };
    let variable = |name: &str| format!("MQTT_{}", name.to_uppercase().replace('-', "_"));
    let used = all.into_iter().filter(is_used);
    used.map(|name| format!("\"{name}\": \"{}\"", variable(name))).collect()
}
