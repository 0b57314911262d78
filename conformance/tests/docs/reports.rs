//! The JSON reports that the program writes are as their JSON Schema says, which rejects what it does not know, and
//! the schema and the page about the form say the same.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::{Value, json};

use super::page::top;

const SCHEMA: &str = include_str!("../../report.schema.json");

/// Runs whose reports have something of everything: whole ones and selections, failures, what is blocked, does not apply
/// or is inconclusive, and runs that are repeated.
const RUNS: [&[&str]; 4] = [
    &["embedded:"],
    &["embedded:?mutant=3.12/pingresp-lost", "3.12", "--repeat", "2"],
    &["embedded:?few-subscriptions&no-retained-messages", "3.8", "4.8"],
    &["null:yes", "3.12"],
];

fn schema() -> Value {
    serde_json::from_str(SCHEMA).unwrap()
}

fn written(arguments: &[&str]) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_mqttspec"))
        .arg("run")
        .args(arguments)
        .args(["--report", "json=-"])
        .output()
        .unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{arguments:?}: {error}"))
}

fn errors(schema: &Value, report: &Value) -> Vec<String> {
    let validator = jsonschema::draft202012::new(schema).unwrap();
    let errors = validator.iter_errors(report).take(5);
    errors.map(|error| format!("{}: {error}", error.instance_path())).collect()
}

#[test]
fn it_is_a_json_schema() {
    jsonschema::draft202012::meta::validate(&schema()).unwrap();
}

#[test]
fn reports_are_as_it_says() {
    let schema = schema();
    let mut verdicts = BTreeSet::new();
    for run in RUNS {
        let report = written(run);
        let errors = errors(&schema, &report);
        assert!(errors.is_empty(), "{run:?}:\n{}", errors.join("\n"));
        let scenarios = report["scenarios"].as_array().unwrap().iter();
        verdicts.extend(scenarios.map(|it| it["verdict"].as_str().unwrap().to_owned()));
    }
    let seen = ["blocked", "fail", "inconclusive", "not-applicable", "pass"];
    assert!(seen.iter().all(|verdict| verdicts.contains(*verdict)), "only {verdicts:?}");
}

#[test]
fn what_it_does_not_know_is_rejected() {
    let report = written(&["embedded:?mutant=3.12/pingresp-lost", "3.12", "--repeat", "2"]);
    let mut places = 0;
    for place in objects(&report, "") {
        // What stands here is named by others: by properties of CONNACK, by verdicts.
        let is_data = place == "/target/capabilities" || place.ends_with("/verdicts");
        let mut altered = report.clone();
        let object = altered.pointer_mut(&place).unwrap();
        object["unheard_of"] = if is_data { json!([]) } else { json!(1) };
        assert!(!errors(&schema(), &altered).is_empty(), "a key more at {place:?} is accepted");
        places += 1;
    }
    assert!(places > 20, "only {places} places");
}

/// Where objects are; of those in lists, the first ones.
fn objects(value: &Value, place: &str) -> Vec<String> {
    match value {
        Value::Object(map) => {
            let within =
                map.iter().flat_map(|(key, value)| objects(value, &format!("{place}/{key}")));
            [place.to_owned()].into_iter().chain(within).collect()
        }
        Value::Array(list) => {
            let first = list.iter().enumerate().take(3);
            first.flat_map(|(at, value)| objects(value, &format!("{place}/{at}"))).collect()
        }
        _ => Vec::new(),
    }
}

#[test]
fn the_page_says_the_same() {
    let page = std::fs::read_to_string(top().join("conformance/report-schema.md")).unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` |"));
    // What has no words there is what is told of another key.
    let told: BTreeMap<_, _> = rows
        .map(|(key, words)| (key.to_owned(), words.trim_end_matches('|').trim().to_owned()))
        .collect();
    let schema = schema();
    let mut described = BTreeMap::new();
    describe(&schema, &schema, "", &mut described);
    let [described_keys, told_keys] =
        [&described, &told].map(|it| it.keys().collect::<BTreeSet<_>>());
    let odd: Vec<_> = described_keys.symmetric_difference(&told_keys).collect();
    assert!(odd.is_empty(), "only the schema or only the page has {odd:?}");
    for (key, words) in told.iter().filter(|(_, words)| !words.is_empty()) {
        assert_eq!(&described[key], words, "{key}");
    }
}

/// The keys below a schema, as the page writes them, with what is said of each.
fn describe(whole: &Value, schema: &Value, path: &str, into: &mut BTreeMap<String, String>) {
    if let Some(reference) = schema["$ref"].as_str() {
        return describe(whole, whole.pointer(&reference[1..]).unwrap(), path, into);
    }
    for choice in schema["anyOf"].as_array().into_iter().flatten() {
        describe(whole, choice, path, into);
    }
    let keys = schema["properties"].as_object().into_iter().flatten();
    let others =
        schema["additionalProperties"].as_object().map(|_| &schema["additionalProperties"]);
    let others = others.map(|schema| ("*", schema));
    for (key, schema) in keys.map(|(key, schema)| (key.as_str(), schema)).chain(others) {
        let path = if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
        let words = schema["description"].as_str().unwrap_or_default();
        into.insert(path.clone(), words.to_owned());
        if path != "scenarios[].again" {
            describe(whole, schema, &path, into);
        }
    }
    if schema["items"].is_object() {
        describe(whole, &schema["items"], &format!("{path}[]"), into);
    }
}
