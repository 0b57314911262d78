//! All scenarios by section, each with what it came to, and what finds them.

use maud::{Markup, html};

use super::super::terminal::looks_like;
use super::super::text::visible;
use super::super::{CauseNames, Report, ScenarioResult, by_whom, title};
use super::{requirement, trace, verdict};
use crate::verdict::{Finding, Verdict};

pub(super) fn scenarios(report: &Report, names: &CauseNames) -> Markup {
    let layouts = trace::Layouts::default();
    let sections = report.sections();
    html! {
        section aria-labelledby="scenarios" {
            h2 id="scenarios" { "Scenarios" }
            (filter(report))
            @for (section, results) in &sections {
                div class="of-section" {
                    h3 { (visible(section)) " " (title(section)) }
                    @for result in results { (one(report, result, names, &layouts)) }
                }
            }
            (layouts.data())
        }
    }
}

fn filter(report: &Report) -> Markup {
    let totals = report.totals();
    html! {
        form id="filter" class="filter" {
            fieldset {
                legend class="skip" { "Verdicts" }
                @for of in Verdict::ALL {
                    @if totals.of(of) > 0 {
                        label { input type="checkbox" name="verdict" value=(of.name()); " " (of.name()) }
                    }
                }
                label { input type="checkbox" name="unexpected" value="yes"; " unexpected" }
            }
            label {
                span class="skip" { "Section" }
                select name="section" {
                    option value="" { "all sections" }
                    @for (section, _) in report.sections() {
                        option value=(visible(section)) { (visible(section)) " " (title(section)) }
                    }
                }
            }
            input type="search" name="text" placeholder="words, requirements, ids" aria-label="Search";
            button type="reset" { "All" }
            span id="shown" class="faint" role="status" {}
        }
    }
}

/// What a search looks at.
fn words(result: &ScenarioResult) -> String {
    let mut words = vec![result.id, result.shows];
    words.extend(result.requirements.iter().copied());
    let findings = result.findings.iter().chain(&result.oracles);
    words.extend(findings.filter_map(|finding| finding.requirement));
    visible(&words.join(" ")).to_lowercase()
}

fn one(
    report: &Report,
    result: &ScenarioResult,
    names: &CauseNames,
    layouts: &trace::Layouts,
) -> Markup {
    html! {
        details class="scenario" id=(visible(result.id)) data-verdict=(result.verdict.name())
            data-section=(visible(result.section)) data-words=(words(result))
            data-unexpected=[result.needs_a_look().then_some("")] {
            summary {
                (verdict(result.verdict))
                span { (visible(result.id)) }
                span class="shows" { (visible(result.shows)) }
            }
            div {
                (details(report, result, names))
                @if !result.trace.is_empty() { (trace::place(result, layouts)) }
            }
        }
    }
}

fn details(report: &Report, result: &ScenarioResult, names: &CauseNames) -> Markup {
    let about: Vec<_> = result.oracles.iter().filter(|it| !result.has(it)).collect();
    let like = looks_like(result);
    html! {
        dl {
            @if let Some(reason) = &result.reason { dt { "reason" } dd { (visible(reason)) } }
            @if let Some(finding) = result.blocked_by()
                && let Some(cause) = names.of(finding) {
                dt { "blocked by" } dd { code { (visible(&cause)) } }
            }
            dt { "requirements" }
            dd { @for id in &result.requirements { p { (requirement(id)) } } }
        }
        @for finding in &result.findings { (found(finding)) }
        @if !about.is_empty() {
            h4 { "Oracles, which hold every trace to rules, found" }
            @for finding in &about { (found(finding)) }
        }
        dl {
            @if !like.is_empty() { dt { "looks like" } dd { (visible(&like)) } }
            @if let Some(again) = &result.again {
                dt { "run once more" } dd { (verdict(again.verdict)) }
            }
            dt { "took" } dd { (result.duration.as_millis()) " ms" }
            dt { "rerun" } dd { (command(&report.rerun_command(result.id))) }
        }
    }
}

fn found(finding: &Finding) -> Markup {
    html! {
        dl {
            @if let Some(id) = finding.requirement {
                dt { "breaks" } dd { (requirement(id)) (by_whom(finding)) }
            }
            @if !finding.expected.is_empty() { dt { "expected" } dd { (visible(&finding.expected)) } }
            dt { "observed" } dd { (visible(&finding.observed)) }
            @if let Some(known) = &finding.known { dt { "known" } dd { (visible(&known.to_string())) } }
        }
    }
}

/// A command, which can be copied.
pub(super) fn command(command: &str) -> Markup {
    html! {
        code { (visible(command)) }
        " "
        button type="button" class="copy" { "copy" }
    }
}
