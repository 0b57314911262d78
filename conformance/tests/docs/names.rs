//! What a page names in backticks exists: scenarios, mutants, requirements, rules of oracles, causes, switches, targets,
//! files.

use std::collections::BTreeSet;

use conformance::differential::Answer;
use conformance::target::{Provided, Target};
use conformance::verdict::Verdict;
use conformance::{chameleon, mutant, oracle, requirement, runner, scenario};

use super::page::{Page, pages, top};

/// Lower-case words joined by `-` that are no names of this suite's.
const OTHERS: &[&str] = &["exit-code", "keep-alive-idle", "llvm-cov"];

/// Scenarios and files that a page makes up, to show how it is done.
const MADE_UP: &[&str] = &[];

/// What a name is of, for those that can be told from their form.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// `MQTT-3.1.0-2`
    Requirement,
    /// `oracle/delivery/MQTT-3.3.2-6`
    Rule,
    /// `MQTT-3.14.4-2/close/still-open`
    Cause,
    /// `3.1/second-connect-closes`, or a glob
    Id,
    /// `embedded:?hides-reasons`
    Target,
    /// `fixtures/spec`
    File,
    /// `hides-reasons`
    Word,
}

#[test]
fn every_name_is_of_something() {
    let words = words();
    let mut wrong = Vec::new();
    let mut kinds = BTreeSet::new();
    let mut made_up = BTreeSet::new();
    let mut others = BTreeSet::new();
    for page in pages() {
        for span in page.spans() {
            let Some(kind) = kind(&span.text) else { continue };
            let exists = match kind {
                Kind::Requirement => requirement::find(&span.text).is_some(),
                Kind::Rule => oracle::rules().any(|rule| rule == span.text),
                Kind::Cause => span.text.split('/').next().and_then(requirement::find).is_some(),
                Kind::Id => is_id(&span.text) || page.makes(&span.text),
                Kind::Target => span.text.parse::<Target>().is_ok(),
                Kind::File => top().join(&span.text).exists(),
                Kind::Word => words.contains(span.text.as_str()) || is_beside(&page, &span.text),
            };
            if MADE_UP.contains(&&*span.text) {
                made_up.insert(span.text);
            } else if OTHERS.contains(&&*span.text) && !exists {
                others.insert(span.text);
            } else if !exists {
                wrong.push(format!("{}: `{}`: no such {kind:?}", page.at(span.line), span.text));
            }
            kinds.insert(kind);
        }
    }
    assert!(wrong.is_empty(), "names of nothing:\n{}", wrong.join("\n"));
    let listed = |list: &[&str]| list.iter().map(|&it| it.to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(made_up, listed(MADE_UP), "some are listed in vain");
    assert_eq!(others, listed(OTHERS), "some are listed in vain");
    assert_eq!(kinds.len(), 7, "only {kinds:?} occur: are they read?");
}

fn kind(text: &str) -> Option<Kind> {
    let first = text.split('/').next().unwrap_or_default();
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if text.contains(char::is_whitespace) || text.contains(['{', '<', '"']) {
        None
    } else if is_requirement(first) {
        Some(if first == text { Kind::Requirement } else { Kind::Cause })
    } else if first == "oracle" && text.matches('/').count() == 2 && !text.contains("NAME") {
        Some(Kind::Rule)
    } else if first.starts_with(|c: char| c.is_ascii_digit() || c == '*')
        && first.chars().all(|c| c.is_ascii_digit() || c == '.' || c == '*')
        && first != text
        && text.ends_with(|c: char| is_plain(c) || c == '*')
    {
        Some(Kind::Id)
    } else if stands_for_others(text) {
        None
    } else if ["embedded:", "embedded+tcp:", "null:"].iter().any(|it| text.starts_with(it)) {
        Some(Kind::Target)
    } else if !["", text, "target"].contains(&first)
        && top().join(first).is_dir()
        && !text.contains(['*', ':', '='])
    {
        Some(Kind::File)
    } else if text.contains('-') && text.starts_with(|c: char| c.is_ascii_lowercase()) {
        text.chars().all(is_plain).then_some(Kind::Word)
    } else {
        None
    }
}

/// Whether a word of it in capitals stands for others.
fn stands_for_others(text: &str) -> bool {
    let is_capital = |word: &str| word.len() > 2 && word.chars().all(|c| c.is_ascii_uppercase());
    text.split(|c: char| !c.is_ascii_alphanumeric()).any(is_capital)
}

/// Whether it is written like `MQTT-3.1.0-2` or `U-6-1`.
fn is_requirement(text: &str) -> bool {
    let number = text.strip_prefix("MQTT-").or_else(|| text.strip_prefix("U-"));
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|it| it.is_ascii_digit());
    number
        .and_then(|number| number.rsplit_once('-'))
        .is_some_and(|(section, last)| is_number(last) && section.split('.').all(is_number))
}

/// Whether it is a file or a folder that a page stands beside, or one of the folders that everybody knows.
fn is_beside(page: &Page, name: &str) -> bool {
    let folder = page.path.rsplit_once('/').map_or("", |(folder, _)| folder);
    [folder, "", "fixtures"].iter().any(|folder| top().join(folder).join(name).exists())
}

fn is_id(text: &str) -> bool {
    let matches = |id: &str| runner::matches(text, id, &[]);
    scenario::all().iter().any(|it| matches(it.id)) || mutant::all().iter().any(|it| matches(it.id))
}

/// Every word that names something.
fn words() -> BTreeSet<String> {
    let mut words: BTreeSet<String> =
        chameleon::all().iter().map(|it| it.name.to_owned()).collect();
    words.extend(oracle::all().iter().map(|it| it.name.to_owned()));
    words.extend(Answer::KINDS.map(str::to_owned));
    words.extend(Verdict::ALL.iter().map(|it| it.name().to_owned()));
    for target in Provided::all() {
        words.insert(target.name.to_owned());
        words.extend(target.file().unwrap().variants().map(|(name, _)| name.to_owned()));
    }
    words
}

#[test]
fn forms_are_told_apart() {
    for (text, expected) in [
        ("MQTT-3.1.0-2", Some(Kind::Requirement)),
        ("U-6-1", Some(Kind::Requirement)),
        ("MQTT-5", None),
        ("MQTT-3.14.4-2/close/still-open", Some(Kind::Cause)),
        ("oracle/delivery/MQTT-3.3.2-6", Some(Kind::Rule)),
        ("oracle/NAME/REQUIREMENT", None),
        ("3.1/second-connect-closes", Some(Kind::Id)),
        ("*/malformed/*", Some(Kind::Id)),
        ("3.12", None),
        ("embedded:?hides-reasons", Some(Kind::Target)),
        ("fixtures/spec", Some(Kind::File)),
        ("fixtures/corpus/TARGET.txt", None),
        ("target/release/mqttspec", None),
        ("hides-reasons", Some(Kind::Word)),
        ("--password-env", None),
        ("mqttspec run", None),
    ] {
        assert_eq!(kind(text), expected, "{text}");
    }
}
