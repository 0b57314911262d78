//! The portrait of a broker, or of two where they part ways, for a person, a page or a program.

use std::fmt::Write;

use reference_broker::codec::Packet;
use serde_json::{Value, json};

use super::title;
use crate::differential::{Answer, Choice, Difference, Portrait};
use crate::trace::packet_text;

/// The version of the JSON form.
const SCHEMA: u32 = 1;

/// Appends a line. Writing to a string cannot fail.
macro_rules! line {
    ($text:expr, $($format:tt)*) => {{ let _ = writeln!($text, $($format)*); }};
}

/// What a broker does about a choice, in words.
fn does(choice: &Choice) -> String {
    let otherwise = choice.question.map_or("", |question| question.otherwise);
    match &choice.answer {
        Answer::Takes => choice.switch.does.to_owned(),
        Answer::Not => otherwise.to_owned(),
        Answer::Otherwise(differences) => {
            let seen: Vec<_> = differences.iter().map(seen).collect();
            match seen.is_empty() {
                true => "something else".to_owned(),
                false => format!("something else: {}", seen.join(", ")),
            }
        }
        Answer::Unsteady => "not the same twice".to_owned(),
        Answer::RuledOut(why) => format!("cannot be asked: {why}"),
        Answer::Unasked(why) => format!("not asked: {why}"),
    }
}

fn seen(difference: &Difference) -> String {
    let Difference { connection, part, second, .. } = difference;
    let what = if second.is_empty() { "nothing" } else { second };
    format!("{part} of {connection}: {what}")
}

/// What is left open, in words.
fn asks(choice: &Choice) -> &'static str {
    choice.question.map_or(choice.switch.does, |question| question.asks)
}

fn announced(portrait: &Portrait) -> String {
    packet_text(&Packet::from(portrait.announced.clone()))
}

fn summary(portrait: &Portrait) -> String {
    let [takes, not, otherwise, unsteady, ruled_out, unasked] =
        portrait.counts().map(|(_, count)| count);
    format!(
        "{} choices of {}: takes {takes}, does as the reference broker in {not}, something else in \
         {otherwise}; {unsteady} unsteady, {ruled_out} that cannot be asked, {unasked} not asked yet",
        portrait.choices.len(),
        portrait.target
    )
}

/// The choices by the section of the standard that leaves them open.
fn by_section<T>(all: Vec<T>, section_of: fn(&T) -> &'static str) -> Vec<(&'static str, Vec<T>)> {
    let mut sections: Vec<(&'static str, Vec<T>)> = Vec::new();
    for one in all {
        let section = section_of(&one);
        match sections.last_mut().filter(|(last, _)| *last == section) {
            Some((_, choices)) => choices.push(one),
            None => sections.push((section, vec![one])),
        }
    }
    sections
}

fn heading(section: &str) -> String {
    format!("{section}  {}", title(section))
}

fn portrayed(portrait: &Portrait) -> Vec<(&'static str, Vec<&Choice>)> {
    by_section(portrait.answers(), |choice| choice.section())
}

/// As text.
pub fn text(portrait: &Portrait) -> String {
    let mut text = String::new();
    line!(text, "{}\n  {}\n", portrait.target, announced(portrait));
    for (section, mut choices) in portrayed(portrait) {
        choices.retain(|choice| choice.question.is_some());
        if choices.is_empty() {
            continue;
        }
        line!(text, "{}", heading(section));
        for choice in choices {
            let is_other = matches!(choice.answer, Answer::Takes | Answer::Otherwise(_));
            let mark = if is_other { "*" } else { " " };
            line!(text, "  {mark} {}", asks(choice));
            line!(text, "      {}", does(choice));
        }
    }
    line!(text, "\n{}", summary(portrait));
    line!(text, "* where it does otherwise than the reference broker");
    text
}

/// As Markdown.
pub fn markdown(portrait: &Portrait) -> String {
    let mut text = String::new();
    line!(text, "# {}\n\n`{}`", cell(&portrait.target), announced(portrait));
    for (section, choices) in portrayed(portrait) {
        line!(text, "\n## {section} {}\n", title(section));
        line!(text, "| Left open | What it does | Switch |\n|---|---|---|");
        for choice in choices {
            let (asks, does, name) = (cell(asks(choice)), cell(&does(choice)), choice.switch.name);
            line!(text, "| {asks} | {does} | `{name}` |");
        }
    }
    line!(text, "\n{}", cell(&summary(portrait)));
    text
}

/// As JSON.
pub fn json(portrait: &Portrait) -> Value {
    let choices: Vec<_> = portrait.choices.iter().map(choice_as_json).collect();
    json!({
        "schema": SCHEMA,
        "target": portrait.target,
        "announced": announced(portrait),
        "choices": choices,
        "totals": portrait.counts().into_iter().collect::<std::collections::BTreeMap<_, _>>(),
    })
}

fn choice_as_json(choice: &Choice) -> Value {
    json!({
        "switch": choice.switch.name,
        "section": choice.section(),
        "allowed_by": choice.switch.allowed_by,
        "asks": asks(choice),
        "answer": choice.answer.kind(),
        "does": does(choice),
    })
}

/// Where two part ways, as text.
pub fn partings_text(one: &Portrait, two: &Portrait) -> String {
    let mut text = String::new();
    let partings = one.partings(two);
    let count = partings.len();
    for (section, pairs) in by_section(partings, |(choice, _)| choice.section()) {
        line!(text, "{}", heading(section));
        for (first, second) in pairs {
            line!(text, "    {}", asks(first));
            line!(text, "      first   {}", does(first));
            line!(text, "      second  {}", does(second));
        }
    }
    if count > 0 {
        line!(text, "");
    }
    line!(text, "first   {}\nsecond  {}", summary(one), summary(two));
    line!(text, "they part ways in {count}");
    text
}

/// Where two part ways, as Markdown.
pub fn partings_markdown(one: &Portrait, two: &Portrait) -> String {
    let mut text = String::new();
    line!(text, "# {} and {}", cell(&one.target), cell(&two.target));
    let partings = one.partings(two);
    for (section, pairs) in by_section(partings, |(choice, _)| choice.section()) {
        line!(text, "\n## {section} {}\n", title(section));
        line!(text, "| Left open | {} | {} |\n|---|---|---|", cell(&one.target), cell(&two.target));
        for (first, second) in pairs {
            let (asks, first, second) = (asks(first), cell(&does(first)), cell(&does(second)));
            line!(text, "| {} | {first} | {second} |", cell(asks));
        }
    }
    line!(text, "\n{}\n\n{}", cell(&summary(one)), cell(&summary(two)));
    text
}

/// Where two part ways, as JSON.
pub fn partings_json(one: &Portrait, two: &Portrait) -> Value {
    let pair = |(first, second): (&Choice, &Choice)| json!({ "first": choice_as_json(first), "second": choice_as_json(second) });
    json!({
        "schema": SCHEMA,
        "first": one.target,
        "second": two.target,
        "partings": one.partings(two).into_iter().map(pair).collect::<Vec<_>>(),
    })
}

/// A text in a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use reference_broker::codec::{ConnAck, ReasonCode};

    use super::*;
    use crate::differential::questions;

    fn portrait(answer: Answer) -> Portrait {
        let choices = questions().iter().take(1).map(|question| Choice {
            switch: question.switch,
            question: Some(question),
            answer: answer.clone(),
        });
        Portrait {
            target: "a|b".to_owned(),
            announced: ConnAck::new(false, ReasonCode::Success),
            choices: choices.collect(),
        }
    }

    #[test]
    fn the_page_about_the_form_says_what_there_is() {
        let page = include_str!("../../portrait-schema.md");
        let of = |value: &Value, before: &str| -> BTreeSet<String> {
            let keys = value.as_object().into_iter().flatten();
            keys.map(|(key, _)| format!("{before}{key}")).collect()
        };
        let one = json(&portrait(Answer::Takes));
        let two = partings_json(&portrait(Answer::Takes), &portrait(Answer::Not));
        let mut written = of(&one, "");
        written.extend(of(&one["choices"][0], "choices[]."));
        written.extend(of(&two, ""));
        written.extend(of(&two["partings"][0], "partings[]."));
        written.insert("totals.*".to_owned());
        let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once(" |"));
        let told: BTreeSet<_> =
            rows.flat_map(|(keys, _)| keys.split(", ")).map(|key| key.replace('`', "")).collect();
        assert_eq!(told, written);
        assert!(page.contains(&format!("schema {SCHEMA}")));
        assert!(Answer::KINDS.iter().all(|kind| page.contains(&format!("`{kind}`: "))));
    }

    #[test]
    fn what_a_target_is_called_stays_within_its_cell() {
        let [one, two] = [Answer::Takes, Answer::Unsteady].map(portrait);
        let text = partings_markdown(&one, &two);
        assert!(text.starts_with("# a\\|b and a\\|b\n") && !text.contains("##"), "{text}");
        assert_eq!(one.partings(&portrait(Answer::Not)).len(), 1);
        assert!(markdown(&two).contains("| not the same twice |"));
        assert!(super::text(&two).contains("1 unsteady"));
    }
}
