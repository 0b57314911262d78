//! What a reader sees first: what was tested, and what it came to.

use maud::{Markup, html};

use super::super::text::{counted, visible};
use super::super::{Report, Totals, title};
use super::verdict;
use crate::verdict::Verdict;

pub(super) fn header(report: &Report) -> Markup {
    let totals = report.totals();
    html! {
        header {
            h1 { (visible(&report.target)) }
            p class="faint" {
                "MQTT 5.0 conformance by mqttspec " (env!("CARGO_PKG_VERSION")) ": "
                (counted(totals.scenarios, "scenario", "scenarios")) " in "
                (format!("{:.1} s", report.duration.as_secs_f64()))
            }
            p { (outcome(report, &totals)) }
            @if let Some(trouble) = &report.trouble { p class="notice" { (visible(trouble)) } }
            @if report.interrupted {
                p class="notice" { "It was interrupted before all that was selected had run." }
            }
            @for note in &report.notes { p class="notice" { (visible(note)) } }
            @for stale in &report.listed.stale { p class="notice" { (visible(stale)) } }
            (bar(&totals))
            (announced(report))
        }
    }
}

/// What it came to, in a sentence.
fn outcome(report: &Report, totals: &Totals) -> String {
    let known = match totals.known_deviations {
        0 => String::new(),
        count => format!(" {} known.", counted(count, "deviation is", "deviations are")),
    };
    let is_whole = report.trouble.is_none() && !report.interrupted;
    match totals.unexpected {
        0 if is_whole => format!("Every verdict was expected.{known}"),
        0 => format!("Nothing unexpected was seen.{known}"),
        count => format!("{} unexpected.{known}", counted(count, "result", "results")),
    }
}

fn bar(totals: &Totals) -> Markup {
    let counts: Vec<_> = Verdict::ALL.iter().map(|it| (*it, totals.of(*it))).collect();
    html! {
        ul class="totals" {
            @for (of, count) in &counts {
                @if *count > 0 { li { b class=(of.name()) { (count) } (of.name()) } }
            }
        }
        div class="bar" aria-hidden="true" {
            @for (of, count) in &counts {
                @if *count > 0 { i class=(of.name()) style=(format!("flex-grow: {count}")) {} }
            }
        }
    }
}

fn announced(report: &Report) -> Markup {
    html! {
        @if !report.capabilities.is_empty() {
            details {
                summary { "What it announces" }
                dl {
                    @for (name, value) in &report.capabilities {
                        dt { (visible(name)) }
                        dd { (visible(value)) }
                    }
                }
            }
        }
    }
}

/// A table of the verdicts of each section.
pub(super) fn sections(report: &Report) -> Markup {
    let shown: Vec<_> = Verdict::ALL.into_iter().filter(|it| report.totals().of(*it) > 0).collect();
    html! {
        section aria-labelledby="sections" {
            h2 id="sections" { "Sections" }
            div class="scrolls" {
                table {
                    thead {
                        tr {
                            th scope="col" { "Section" }
                            @for of in &shown { th scope="col" class="count" { (verdict(*of)) } }
                        }
                    }
                    tbody {
                        @for (section, results) in report.sections() {
                            tr {
                                th scope="row" {
                                    a href={ "#?section=" (visible(section)) } { (visible(section)) }
                                    " " (title(section))
                                }
                                @for of in &shown {
                                    @let count = results.iter().filter(|it| it.verdict == *of).count();
                                    td class="count" { @if count > 0 { (count) } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// What can be done by keys.
pub(super) fn keys() -> Markup {
    let keys = [
        ("j k", "the next scenario, the previous one"),
        ("n p", "the next one that needs a look, the previous one"),
        ("Enter", "open or close it"),
        ("/", "search"),
        ("?", "this"),
    ];
    html! {
        dialog id="keys" aria-label="Keys" {
            dl {
                @for (key, does) in keys {
                    dt { kbd { (key) } }
                    dd { (does) }
                }
            }
            form method="dialog" { button { "Close" } }
        }
    }
}
