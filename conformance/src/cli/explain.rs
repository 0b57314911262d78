use std::fmt::Write;

use clap::Args;
use conformance::chameleon::{self, Switch};
use conformance::coverage::{self, Counts, Row};
use conformance::exit::Exit;
use conformance::mutant::{self, Mutant};
use conformance::oracle::{self, Oracle};
use conformance::report::{standard_link, title};
use conformance::requirement::{self, Requirement};
use conformance::scenario::{self, Scenario};
use reference_broker::codec::{PacketType, Place, PropertyId, ReasonCode, Side};

use super::{Failure, print};

#[derive(Args, Debug)]
pub(super) struct ExplainArguments {
    /// A section (3.1), a scenario (3.1/second-connect-closes), a requirement (MQTT-3.1.0-2), a cause
    /// (MQTT-3.14.4-2/close/still-open), an oracle (session-present), a mutant (3.12/pingresp-lost), a switch
    /// (few-topic-levels), a property (receive_maximum or 0x21) or a reason code (0x8E)
    #[arg(value_name = "ID")]
    id: String,
}

pub(super) fn explain(arguments: &ExplainArguments) -> Result<Exit, Failure> {
    let id = arguments.id.as_str();
    let mut text = String::new();
    explain_section(id, &mut text);
    if let Some(scenario) = scenario::find(id) {
        explain_scenario(scenario, &mut text);
    }
    if let Some(requirement) = requirement::find(id) {
        explain_requirement(requirement, &mut text);
    }
    explain_cause(id, &mut text);
    if let Some(mutant) = mutant::find(id) {
        explain_mutant(mutant, &mut text);
    }
    if let Some(switch) = chameleon::find(id) {
        explain_switch(switch, &mut text);
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

/// A section of the standard, whether it has scenarios of its own or not.
fn explain_section(id: &str, text: &mut String) {
    let within = |section: &str| {
        section.strip_prefix(id).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let rows: Vec<_> =
        coverage::rows().into_iter().filter(|row| within(row.requirement.section)).collect();
    if rows.is_empty() {
        return;
    }
    line!(text, "section {id}  {}\n", title(id));
    line!(text, "  read it   {}", standard_link(id));
    let scenarios: Vec<_> = scenario::all().iter().filter(|it| within(it.section())).collect();
    let mutants =
        mutant::all().iter().filter(|it| within(it.id.split('/').next().unwrap_or_default()));
    line!(text, "  has       {} scenarios, {} mutants", scenarios.len(), mutants.count());
    let Counts { requirements, scenario, oracle, open, .. } = Counts::of(&rows);
    line!(
        text,
        "  register  {requirements} requirements, {scenario} with a scenario, {oracle} with an oracle, {open} open"
    );
    for row in &rows {
        let Requirement { id, level, text: says, .. } = row.requirement;
        line!(text, "\n  {id}  {level}");
        line!(text, "      {says}");
    }
    if !scenarios.is_empty() {
        line!(text, "\n  run it    mqttspec run URL {id}");
    }
}

/// A cause as reports name it: a requirement, the kind of step that found it, and what was seen.
fn explain_cause(id: &str, text: &mut String) {
    let mut parts = id.splitn(3, '/');
    let (Some(requirement), Some(step), Some(seen)) = (parts.next(), parts.next(), parts.next())
    else {
        return;
    };
    let Some(requirement) = requirement::find(requirement) else { return };
    line!(text, "cause {id}\n");
    line!(text, "  breaks    {}  {}", requirement.id, requirement.level);
    line!(text, "  says      {}", requirement.text);
    line!(text, "  found by  step '{step}'");
    let seen = match seen.rsplit_once('-') {
        Some((words, mark))
            if mark.len() == 4 && mark.bytes().all(|byte| byte.is_ascii_hexdigit()) =>
        {
            words
        }
        _ => seen,
    };
    line!(text, "  seen      {} (short of what a report says in full)", seen.replace('-', " "));
    line!(text, "\n  run it    mqttspec run URL {}", requirement.id);
    line!(text, "  list it   [[deviation]] with cause = \"{}\"", requirement.id);
}

fn explain_mutant(mutant: &Mutant, text: &mut String) {
    line!(text, "mutant {}\n", mutant.id);
    line!(text, "  breaks    {}", mutant.breaks);
    explain_cited(mutant.requirements, text);
    if !mutant.also.is_empty() {
        line!(text, "\n  with it   {}", mutant.also.join(", "));
    }
    line!(text, "\n  try it    mqttspec mutants {} --trace", mutant.id);
    line!(text, "  serve it  mqttspec broker --mutant {}", mutant.id);
}

fn explain_switch(switch: &Switch, text: &mut String) {
    line!(text, "switch {}\n", switch.name);
    line!(text, "  does      {}", switch.does);
    for allowed in switch.allowed_by {
        match requirement::find(allowed) {
            Some(requirement) => line!(text, "  allowed   {allowed}: {}", requirement.text),
            None => line!(text, "  allowed   section {allowed}: {}", standard_link(allowed)),
        }
    }
    line!(text, "\n  try it    mqttspec chameleon --switch {} --mixtures 0", switch.name);
    line!(text, "  serve it  mqttspec broker --switch {}", switch.name);
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
    line!(text, "  read it   {}", standard_link(section));
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
    let ids = ids.chain(mutant::all().iter().map(|mutant| mutant.id));
    let ids = ids.chain(chameleon::all().iter().map(|switch| switch.name));
    let likeness = |other: &str| strsim::jaro_winkler(id, other);
    let nearest = ids.max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    match nearest.filter(|nearest| likeness(nearest) > 0.8) {
        Some(nearest) => format!("nothing is called '{id}'; did you mean '{nearest}'?"),
        None => format!(
            "nothing is called '{id}': name a section, a scenario, a requirement, a cause, an oracle, a mutant, a \
             switch, a property or a reason code"
        ),
    }
}
