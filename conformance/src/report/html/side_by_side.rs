//! Several brokers side by side: brokers as columns, and as rows what they announce, how they do in each section,
//! which requirements one of them breaks, and the scenarios that do not come to the same on all.

use std::collections::BTreeSet;
use std::io::{self, Write};

use maud::{Markup, html};

use super::super::read::{Reread, Scenario};
use super::super::text::visible;
use super::super::title;
use super::{around, requirement};
use crate::verdict::Verdict;

/// Writes several reports as one HTML page.
pub fn write_side_by_side(reports: &[Reread], mut out: impl Write) -> io::Result<()> {
    out.write_all(page(reports).into_string().as_bytes())
}

fn page(reports: &[Reread]) -> Markup {
    let body = html! {
        header {
            h1 { "MQTT 5.0 brokers side by side" }
            ul { @for report in reports { li { (report.heading()) } } }
        }
        main {
            (part("verdicts", "Verdicts", reports, &verdicts(reports)))
            (part("announced", "What they announce", reports, &announced(reports)))
            (part("sections", "Sections", reports, &sections(reports)))
            (part("requirements", "Requirements that one of them does not keep", reports, &requirements(reports)))
            (part("scenarios", "Scenarios that do not come to the same", reports, &scenarios(reports)))
        }
    };
    around("mqttspec: brokers side by side", &body)
}

/// A row: its name, and a cell for each report.
type Row = (Markup, Vec<Markup>);

fn part(id: &str, heading: &str, reports: &[Reread], rows: &[Row]) -> Markup {
    html! {
        section aria-labelledby=(id) {
            h2 id=(id) { (heading) }
            @if rows.is_empty() { p { "None." } }
            @else {
                div class="scrolls" {
                    table class="matrix" {
                        thead {
                            tr {
                                td {}
                                @for report in reports { th scope="col" { (visible(&report.target.url)) } }
                            }
                        }
                        tbody {
                            @for (name, cells) in rows {
                                tr {
                                    th scope="row" { (name) }
                                    @for cell in cells { td { (cell) } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// A verdict in its colour, if it is one.
fn verdict(name: &str) -> Markup {
    let class = Verdict::ALL.iter().map(|it| it.name()).find(|it| *it == name).unwrap_or_default();
    html! { span class={ "verdict " (class) } { (visible(name)) } }
}

fn verdicts(reports: &[Reread]) -> Vec<Row> {
    let count = |report: &Reread, name: &str| {
        report.scenarios.iter().filter(|it| it.verdict == name).count()
    };
    let rows = Verdict::ALL.iter().map(|it| it.name());
    let rows = rows.filter(|name| reports.iter().any(|report| count(report, name) > 0));
    rows.map(|name| {
        (verdict(name), reports.iter().map(|report| html! { (count(report, name)) }).collect())
    })
    .collect()
}

fn announced(reports: &[Reread]) -> Vec<Row> {
    let names = reports.iter().flat_map(|it| it.target.capabilities.keys());
    let names: BTreeSet<&str> = names.map(String::as_str).collect();
    let cell = |report: &Reread, name: &str| {
        let value = report.target.capabilities.get(name).map_or("", |value| value);
        html! { (visible(value)) }
    };
    let row =
        |name: &str| (html! { (visible(name)) }, reports.iter().map(|it| cell(it, name)).collect());
    names.into_iter().map(row).collect()
}

fn sections(reports: &[Reread]) -> Vec<Row> {
    let mut sections: Vec<&str> = Vec::new();
    for scenario in reports.iter().flat_map(|report| &report.scenarios) {
        if !sections.contains(&&*scenario.section) {
            sections.push(&scenario.section);
        }
    }
    let cell = |report: &Reread, section: &str| {
        let of: Vec<_> = report.scenarios.iter().filter(|it| it.section == section).collect();
        let count = |verdict: &str| of.iter().filter(|it| it.verdict == verdict).count();
        let counts = Verdict::ALL.iter().map(|it| (it.name(), count(it.name())));
        let counts: Vec<_> = counts.filter(|(_, count)| *count > 0).collect();
        html! { @for (name, count) in counts { span class=(name) { (count) " " (name) } " " } }
    };
    let row = |section: &&str| {
        let name = html! { (visible(section)) " " (title(section)) };
        (name, reports.iter().map(|report| cell(report, section)).collect())
    };
    sections.iter().map(row).collect()
}

fn requirements(reports: &[Reread]) -> Vec<Row> {
    let broken = reports.iter().flat_map(|report| &report.causes);
    let broken: BTreeSet<_> = broken.map(|cause| &*cause.requirement).collect();
    let row = |id: &&str| (requirement(id), reports.iter().map(|it| kept(it, id)).collect());
    broken.iter().map(row).collect()
}

/// What a report says of a requirement.
fn kept(report: &Reread, id: &str) -> Markup {
    let mut causes = report.causes.iter().filter(|cause| cause.requirement == id);
    let worst = causes.clone().find(|cause| cause.verdict == "fail").or_else(|| causes.next());
    let shows = |it: &&Scenario| it.requirements.iter().any(|it| it == id);
    let is_shown = || report.scenarios.iter().filter(shows).any(|it| it.verdict == "pass");
    match worst {
        Some(cause) => html! {
            details {
                summary { (verdict(&cause.verdict)) }
                @if let Some(witness) = &cause.witness {
                    (shown(&witness.expected, &witness.observed))
                    (trace(report.scenario(&witness.scenario), witness.trace_line))
                }
            }
        },
        None if is_shown() => verdict("pass"),
        None => html! { span class="faint" { "not shown" } },
    }
}

fn scenarios(reports: &[Reread]) -> Vec<Row> {
    let mut ids: Vec<&str> = Vec::new();
    let mut known = BTreeSet::new();
    for scenario in reports.iter().flat_map(|report| &report.scenarios) {
        if known.insert(&*scenario.id) {
            ids.push(&scenario.id);
        }
    }
    let verdict_of = |report: &Reread, id: &str| report.scenario(id).map(|it| it.verdict.clone());
    ids.retain(|id| {
        let verdicts: BTreeSet<_> = reports.iter().map(|it| verdict_of(it, id)).collect();
        verdicts.len() > 1
    });
    let row = |id: &&str| {
        let shows = reports.iter().find_map(|it| it.scenario(id)).map_or("", |it| &it.shows);
        let name = html! { code { (visible(id)) } br; span class="faint" { (visible(shows)) } };
        (name, reports.iter().map(|report| came_to(report.scenario(id))).collect())
    };
    ids.iter().map(row).collect()
}

fn came_to(scenario: Option<&Scenario>) -> Markup {
    let Some(scenario) = scenario else { return html! { span class="faint" { "not run" } } };
    match &scenario.finding {
        Some(finding) => html! {
            details {
                summary { (verdict(&scenario.verdict)) }
                (shown(&finding.expected, &finding.observed))
                (trace(Some(scenario), finding.trace_line))
            }
        },
        None => html! {
            (verdict(&scenario.verdict))
            @if let Some(reason) = &scenario.reason { p class="faint" { (visible(reason)) } }
        },
    }
}

fn shown(expected: &str, observed: &str) -> Markup {
    html! {
        p { span class="faint" { "expected " } (visible(expected)) }
        p { span class="faint" { "observed " } (visible(observed)) }
    }
}

fn trace(scenario: Option<&Scenario>, place: Option<usize>) -> Markup {
    let lines = scenario.map_or(&[][..], |it| &it.trace);
    html! {
        @if !lines.is_empty() {
            ol class="trace" {
                @for (number, line) in lines.iter().enumerate() {
                    li class=[(place == Some(number)).then_some("finding")] { code { (visible(line)) } }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::{fixture, json};
    use super::*;

    fn report(change: impl Fn(&mut serde_json::Value)) -> Reread {
        let json = fixture::written(|out| json::write(&fixture::report(), out));
        let mut report: serde_json::Value = serde_json::from_str(&json).unwrap();
        change(&mut report);
        Reread::parse(&report.to_string()).unwrap()
    }

    fn text(rows: &[Row], name: &str) -> Vec<String> {
        let is_it = |(of, _): &&Row| of.0.contains(name);
        let (_, cells) = rows.iter().find(is_it).unwrap();
        cells.iter().map(|cell| cell.0.clone()).collect()
    }

    #[test]
    fn what_differs_is_seen_at_a_glance() {
        let better = report(|it| {
            it["scenarios"][1]["verdict"] = "pass".into();
            it["scenarios"][1]["finding"] = serde_json::Value::Null;
            it["causes"] = serde_json::json!([]);
            it["target"]["url"] = "mqtt://other".into();
        });
        let reports = [report(|_| ()), better];
        let rows = scenarios(&reports);
        assert_eq!(rows.len(), 1);
        let cells = text(&rows, "3.1/second-connect-closes");
        assert!(cells[0].contains("fail") && cells[0].contains("class=\"finding\""), "{cells:?}");
        assert!(cells[1].contains(">pass<"), "{cells:?}");
        let cells = text(&requirements(&reports), ">MQTT-3.1.0-2<");
        assert!(cells[0].contains(">fail<") && cells[1].contains(">pass<"), "{cells:?}");
        assert!(requirements(&reports[1..]).is_empty());
        let page = page(&reports).into_string();
        assert_eq!(page.matches("<script").count(), 0);
        assert!(!page.contains(fixture::HOSTILE) && page.contains("mqtt://other"));
    }
}
