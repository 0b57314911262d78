//! What is wrong with the target, each fault once, and the rules of oracles.

use maud::{Markup, html};

use super::super::terminal::looks_like;
use super::super::text::{counted, visible};
use super::super::{CauseResult, Report, rules as rules_of};
use super::{ids, requirement, verdict};
use crate::verdict::Verdict;

pub(super) fn causes(report: &Report, causes: &[CauseResult<'_>]) -> Markup {
    let (failures, advisories): (Vec<_>, Vec<_>) =
        causes.iter().partition(|it| it.verdict == Verdict::Fail);
    html! {
        @if !failures.is_empty() {
            section aria-labelledby="causes" {
                h2 id="causes" { (counted(failures.len(), "cause", "causes")) " of failures" }
                @for cause in &failures { (one(report, cause)) }
            }
        }
        @if !advisories.is_empty() {
            section aria-labelledby="advisories" {
                h2 id="advisories" { (counted(advisories.len(), "kind", "kinds")) " of advisories" }
                details {
                    summary { "What the standard advises, and the target does not do" }
                    @for cause in &advisories { (one(report, cause)) }
                }
            }
        }
    }
}

fn one(report: &Report, cause: &CauseResult<'_>) -> Markup {
    let (witness, finding) = cause.witness;
    html! {
        article class="card" {
            h3 {
                (verdict(cause.verdict))
                @if cause.expected && cause.verdict == Verdict::Fail { span class="faint" { "known " } }
                code { (visible(&cause.cause.id())) }
            }
            @if let Some(id) = finding.requirement { p { (requirement(id)) } }
            dl {
                dt { "expected" } dd { (visible(&finding.expected)) }
                dt { "observed" } dd { (visible(&finding.observed)) }
                @if let Some(known) = &finding.known {
                    dt { "known" } dd { (visible(&known.to_string())) }
                }
                @let like = looks_like(witness);
                @if !like.is_empty() { dt { "looks like" } dd { (visible(&like)) } }
                dt { "seen best in" } dd { (ids(&[witness.id])) }
                @let others: Vec<_> = cause.shown_by.iter().copied().filter(|id| *id != witness.id).collect();
                @if !others.is_empty() { dt { "shown by" } dd { (ids(&others)) } }
                @if !cause.blocks.is_empty() { dt { "blocks" } dd { (ids(&cause.blocks)) } }
                @if !cause.found_in.is_empty() { dt { "found in" } dd { (ids(&cause.found_in)) } }
                dt { "rerun" } dd { (super::scenarios::command(&report.rerun_command(witness.id))) }
            }
        }
    }
}

/// The rules that every trace is held to.
pub(super) fn rules(report: &Report) -> Markup {
    let rules = rules_of(report);
    let broken = rules.iter().filter(|it| it.verdict != Verdict::Pass).count();
    html! {
        @if !rules.is_empty() {
            section aria-labelledby="rules" {
                h2 id="rules" { "Rules that every trace is held to" }
                details {
                    summary { (rules.len()) " rules, " (broken) " broken" }
                    table {
                        thead {
                            tr { th scope="col" { "Verdict" } th scope="col" { "Rule" } th scope="col" { "Broken in" } }
                        }
                        tbody {
                            @for rule in &rules {
                                tr {
                                    td { (verdict(rule.verdict)) }
                                    td { code { (visible(&rule.id)) } }
                                    @let broken: Vec<_> = rule.broken_in.iter().map(|(result, _)| result.id).collect();
                                    td { (ids(&broken)) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}
