//! The report as one HTML page: for people, to be opened from disk and to be handed on.
//!
//! The page loads nothing and needs nothing. What there is to read stands in it as text; scripts of its own
//! filter the scenarios and draw a trace when it is opened, from the JSON that stands beside it. All that
//! comes from a target is text: it is escaped, and a policy in the page forbids anything else.

#[cfg(test)]
mod browser;
mod causes;
mod scenarios;
mod side_by_side;
mod summary;
#[cfg(test)]
mod tests;
mod trace;

pub use side_by_side::write_side_by_side;

use std::io::{self, Write};

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::standard::link;
use super::text::visible;
use super::{CauseNames, Report, causes as causes_of};
use crate::requirement;
use crate::verdict::Verdict;

const STYLE: &str = include_str!("style.css");
const SCRIPTS: [&str; 4] = [
    include_str!("packet.js"),
    include_str!("chart.js"),
    include_str!("filter.js"),
    include_str!("report.js"),
];
/// Nothing is loaded, and nothing is sent anywhere.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
                      base-uri 'none'; form-action 'none'";

/// Writes a report as an HTML page.
pub fn write(report: &Report, mut out: impl Write) -> io::Result<()> {
    out.write_all(page(report).into_string().as_bytes())
}

fn page(report: &Report) -> Markup {
    let causes = causes_of(report);
    let names = CauseNames::new(&causes);
    let body = html! {
        a class="skip" href="#scenarios" { "To the scenarios" }
        (summary::header(report))
        main {
            (causes::causes(report, &causes))
            (summary::sections(report))
            (causes::rules(report))
            (scenarios::scenarios(report, &names))
        }
        (summary::keys())
        script { (PreEscaped(format!("\"use strict\";\n{}", SCRIPTS.join("\n")))) }
    };
    around(&format!("mqttspec: {}", visible(&report.target)), &body)
}

/// A page around what it is to show.
fn around(title: &str, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body { (body) }
        }
    }
}

/// A verdict in its colour, as a word.
fn verdict(verdict: Verdict) -> Markup {
    html! { span class={ "verdict " (verdict.name()) } { (verdict.name()) } }
}

/// A requirement: its id, which leads to its section, and what it says.
fn requirement(id: &str) -> Markup {
    match requirement::find(id) {
        None => html! { code { (visible(id)) } },
        Some(found) => html! {
            a href=(link(found.section)) rel="noreferrer" { (found.id) }
            " " span class="faint" { (found.level) ", section " (found.section) }
            ": " (found.text)
        },
    }
}

/// The ids of scenarios, each of which leads to it.
fn ids(ids: &[&str]) -> Markup {
    html! {
        ul class="ids" {
            @for id in ids {
                li { a href={ "#" (visible(id)) } { (visible(id)) } }
            }
        }
    }
}
