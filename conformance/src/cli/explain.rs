use std::fmt::Write;

use clap::Args;
use conformance::coverage::Row;
use conformance::exit::Exit;
use conformance::oracle::{self, Oracle};
use conformance::requirement::{self, Requirement};
use conformance::scenario::{self, Scenario};
use reference_broker::codec::{PacketType, Place, PropertyId, ReasonCode, Side};

use super::{Failure, print};

#[derive(Args, Debug)]
pub(super) struct ExplainArguments {
    /// A scenario (3.1/second-connect-closes), a requirement (MQTT-3.1.0-2), an oracle
    /// (session-present), a property (receive_maximum or 0x21) or a reason code (0x8E)
    #[arg(value_name = "ID")]
    id: String,
}

pub(super) fn explain(arguments: &ExplainArguments) -> Result<Exit, Failure> {
    let id = arguments.id.as_str();
    let mut text = String::new();
    if let Some(scenario) = scenario::find(id) {
        explain_scenario(scenario, &mut text);
    }
    if let Some(requirement) = requirement::find(id) {
        explain_requirement(requirement, &mut text);
    }
    if let Some(oracle) = oracle::find(id) {
        explain_oracle(oracle, &mut text);
    }
    for property in PropertyId::ALL.iter().filter(|property| is_property(id, **property)) {
        explain_property(*property, &mut text);
    }
    if let Some(code) = number(id).and_then(ReasonCode::from_value) {
        explain_reason(code, &mut text);
    }
    if text.is_empty() {
        return Err((Exit::NothingSelected, unknown(id)));
    }
    print(&text)
}

/// Appends a line. Writing to a string cannot fail.
macro_rules! line {
    ($text:expr, $($format:tt)*) => {{ let _ = writeln!($text, $($format)*); }};
}

fn explain_scenario(scenario: &Scenario, text: &mut String) {
    line!(text, "{}\n", scenario.id);
    line!(text, "  shows     {}", scenario.shows);
    for need in scenario.needs {
        line!(text, "  needs     {need}");
    }
    if let Some(seconds) = scenario.timing.seconds() {
        line!(text, "  time      lets about {seconds} s pass");
    }
    explain_cited(scenario.requirements, text);
    line!(text, "\n  run it    mqttspec run URL {}", scenario.id);
}

fn explain_oracle(oracle: &Oracle, text: &mut String) {
    line!(text, "oracle {}\n", oracle.name);
    line!(text, "  holds     {}", oracle.holds);
    line!(text, "  judges    the trace of every scenario");
    explain_cited(oracle.requirements, text);
}

fn explain_cited(ids: &[&str], text: &mut String) {
    for requirement in ids.iter().filter_map(|id| requirement::find(id)) {
        let Requirement { id, level, section, text: says, .. } = requirement;
        line!(text, "\n  {id}  {level} ({section})");
        line!(text, "      {says}");
    }
}

fn explain_requirement(requirement: &'static Requirement, text: &mut String) {
    let Requirement { id, section, binds, level, observable, how, text: says } = requirement;
    line!(text, "{id}  {level}, section {section}\n");
    line!(text, "  says      {says}");
    line!(text, "  binds     {binds}");
    line!(text, "  seen by   {observable}: {how}");
    let row = Row::new(requirement);
    for (kind, ids) in [
        ("scenario", &row.scenarios),
        ("oracle", &row.oracles),
        ("mutant", &row.mutants),
        ("switch", &row.switches),
    ] {
        ids.iter().for_each(|id| line!(text, "  {kind:8}  {id}"));
    }
    match row.exception {
        _ if row.is_covered() => {}
        Some(reason) => line!(text, "  excepted  {reason}"),
        None => line!(text, "  open      nothing covers it yet"),
    }
}

fn explain_property(property: PropertyId, text: &mut String) {
    let row = property.row();
    line!(text, "property 0x{:02X}  {} ({})\n", property.value(), row.name, row.key);
    line!(text, "  type      {:?}, values: {:?}", row.kind, row.range);
    for place in Place::ALL {
        let from = senders(|side| property.is_allowed(place, side));
        if let Some(from) = from {
            let many = if property.is_repeatable(place) { ", may repeat" } else { "" };
            line!(text, "  stands in {} from {from}{many}", place.name());
        }
    }
}

fn explain_reason(code: ReasonCode, text: &mut String) {
    line!(text, "reason code 0x{:02X}  {}\n", code.value(), code.row().name);
    for packet in PacketType::ALL {
        if let Some(from) = senders(|side| code.is_allowed(packet, side)) {
            line!(text, "  stands in {packet} from {from}: {}", code.name_in(packet));
        }
    }
}

fn senders(may: impl Fn(Side) -> bool) -> Option<&'static str> {
    match (may(Side::Client), may(Side::Server)) {
        (true, true) => Some("either side"),
        (true, false) => Some("the client"),
        (false, true) => Some("the server"),
        (false, false) => None,
    }
}

fn is_property(id: &str, property: PropertyId) -> bool {
    let row = property.row();
    id == row.key || id.eq_ignore_ascii_case(row.name) || number(id) == Some(property.value())
}

fn number(id: &str) -> Option<u8> {
    id.strip_prefix("0x").and_then(|digits| u8::from_str_radix(digits, 16).ok())
}

fn unknown(id: &str) -> String {
    let ids = scenario::all().iter().map(|scenario| scenario.id);
    let ids = ids.chain(requirement::all().iter().map(|requirement| requirement.id));
    let ids = ids.chain(oracle::all().iter().map(|oracle| oracle.name));
    let likeness = |other: &str| strsim::jaro_winkler(id, other);
    let nearest = ids.max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    match nearest.filter(|nearest| likeness(nearest) > 0.8) {
        Some(nearest) => format!("nothing is called '{id}'; did you mean '{nearest}'?"),
        None => format!(
            "nothing is called '{id}': name a scenario, a requirement, an oracle, a property or a \
             reason code"
        ),
    }
}
