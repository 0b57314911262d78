//! Coverage of the register, for a person, a page or a program.

use std::fmt::Write;

use serde_json::{Value, json};

use super::title;
use crate::coverage::{Counts, Row, by_level, by_section};

/// As text: a table by section, one by level, and what is open if `list_open`.
pub fn text(rows: &[Row], list_open: bool) -> String {
    let mut text = String::new();
    let table = |text: &mut String, name: &str, groups: Vec<(String, Counts)>| {
        let columns = Counts::COLUMNS.iter().map(|column| format!("{column:>9}"));
        line(text, &format!("{name:37}{}", columns.collect::<String>()));
        for (name, counts) in groups {
            let numbers = counts.numbers().map(|number| format!("{number:>9}"));
            line(text, &format!("{name:37}{}", numbers.concat()));
        }
        line(text, "");
    };
    let section = |(section, rows): (&str, Vec<&Row>)| {
        let name = format!("{section:5} {}", title(section));
        (name, Counts::of(rows))
    };
    table(&mut text, "section", by_section(rows).into_iter().map(section).collect());
    let level = |(level, rows): (&str, Vec<&Row>)| (level.to_owned(), Counts::of(rows));
    let mut levels: Vec<_> = by_level(rows).into_iter().map(level).collect();
    levels.push(("all".to_owned(), Counts::of(rows)));
    table(&mut text, "level", levels);
    let open = rows.iter().filter(|row| row.is_open());
    if list_open {
        for row in open {
            let requirement = row.requirement;
            let (id, level, says) = (requirement.id, requirement.level, requirement.text);
            line(&mut text, &format!("open  {id:18} {level:10} {says}"));
        }
    } else if open.count() > 0 {
        line(&mut text, "--open lists what is open");
    }
    text
}

/// As Markdown: the two tables, then what is open and what is excepted.
pub fn markdown(rows: &[Row]) -> String {
    let mut text = String::from("# Coverage of the register\n\n");
    let columns = Counts::COLUMNS.join(" | ");
    let table = |text: &mut String, name: &str, groups: Vec<(&str, Vec<&Row>)>| {
        line(text, &format!("| {name} | {columns} |"));
        line(text, &format!("|---|{}", "---:|".repeat(Counts::COLUMNS.len())));
        for (name, rows) in groups {
            let numbers = Counts::of(rows).numbers().map(|number| number.to_string()).join(" | ");
            line(text, &format!("| {name} | {numbers} |"));
        }
        line(text, "");
    };
    table(&mut text, "section", by_section(rows));
    let mut levels = by_level(rows);
    levels.push(("all", rows.iter().collect()));
    table(&mut text, "level", levels);
    line(&mut text, "## Open\n");
    for row in rows.iter().filter(|row| row.is_open()) {
        let requirement = row.requirement;
        line(
            &mut text,
            &format!("- `{}` {}: {}", requirement.id, requirement.level, requirement.text),
        );
    }
    line(&mut text, "\n## Excepted\n");
    for row in rows.iter().filter(|row| !row.is_covered()) {
        if let Some(reason) = row.exception {
            line(&mut text, &format!("- `{}`: {reason}", row.requirement.id));
        }
    }
    text
}

/// As JSON, ended by a newline: totals and every row.
pub fn json(rows: &[Row]) -> String {
    let counts = |rows: Vec<&Row>| -> Value {
        let pairs = Counts::COLUMNS.into_iter().zip(Counts::of(rows).numbers());
        pairs.map(|(name, number)| (name.to_owned(), Value::from(number))).collect()
    };
    let groups = |groups: Vec<(&str, Vec<&Row>)>| -> Value {
        groups.into_iter().map(|(name, rows)| (name.to_owned(), counts(rows))).collect()
    };
    let row = |row: &Row| {
        json!({
            "id": row.requirement.id,
            "section": row.requirement.section,
            "level": row.requirement.level,
            "scenarios": row.scenarios,
            "oracles": row.oracles,
            "switches": row.switches,
            "mutants": row.mutants,
            "caught": row.caught,
            "exception": row.exception,
            "open": row.is_open(),
        })
    };
    let report = json!({
        "schema": 1,
        "all": counts(rows.iter().collect()),
        "sections": groups(by_section(rows)),
        "levels": groups(by_level(rows)),
        "requirements": rows.iter().map(row).collect::<Vec<_>>(),
    });
    format!("{report:#}\n")
}

/// Appends a line. Writing to a string cannot fail.
fn line(text: &mut String, line: &str) {
    let _ = writeln!(text, "{}", line.trim_end());
}
