//! Reports as files, and what is made of them.

use std::process::Command;

use super::fakes::mqttspec;

#[test]
fn a_selection_runs_and_reports() {
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("report.json");
    let junit = folder.path().join("report.xml");
    std::fs::write(&json, "left over from an earlier run, and longer than it need be").unwrap();
    let json_argument = format!("json={}", json.display());
    let junit_argument = format!("junit={}", junit.display());
    let arguments = [
        "run",
        "embedded:",
        "MQTT-3.1.0-2",
        "--report",
        &json_argument,
        "--report",
        &junit_argument,
    ];
    let (code, stdout, stderr) = mqttspec(&arguments);
    assert_eq!((code, stderr.as_str()), (Some(0), ""), "{stdout}");
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    assert_eq!(report["schema"], 2);
    assert_eq!(report["target"]["url"], "embedded:");
    let ids: Vec<_> =
        report["scenarios"].as_array().unwrap().iter().map(|row| &row["id"]).collect();
    assert!(ids.iter().any(|id| *id == "3.1/second-connect-closes"), "{ids:?}");
    assert!(std::fs::read_to_string(&junit).unwrap().contains("3.1/second-connect-closes"));
}

#[test]
fn a_report_on_standard_output_stands_alone() {
    let (code, stdout, stderr) = mqttspec(&["run", "3.12", "--report", "json=-"]);
    assert_eq!(code, Some(0), "{stderr}");
    let report: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert!(report["totals"]["pass"].as_u64() > Some(0), "{stdout}");
    assert!(stderr.contains("exit 0: "), "{stderr}");
    let (_, stdout, _) = mqttspec(&["run", "3.12", "--report", "junit=-", "--repeat", "2"]);
    assert!(stdout.starts_with("<?xml") && stdout.ends_with("</testsuites>\n"), "{stdout}");
}

#[test]
fn reports_are_pages_too() {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("report.html");
    let summary = folder.path().join("summary.md");
    std::fs::write(&summary, "of a step before\n").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_mqttspec"))
        .args(["run", "3.12", "--report", &format!("html={}", page.display())])
        .args(["--report", "markdown=-"])
        .env("GITHUB_STEP_SUMMARY", &summary)
        .output()
        .unwrap();
    let markdown = String::from_utf8(output.stdout).unwrap();
    assert!(markdown.starts_with("## MQTT 5.0 conformance of embedded:\n"), "{markdown}");
    let summary = std::fs::read_to_string(summary).unwrap();
    assert_eq!(summary, format!("of a step before\n{markdown}"));
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>"));
    assert!(page.contains("id=\"3.12/"), "no scenario");
}

#[test]
fn what_got_worse_fails() {
    let folder = tempfile::tempdir().unwrap();
    let report = |target: &str, name: &str| {
        let path = folder.path().join(name).display().to_string();
        mqttspec(&["run", target, "3.12", "--report", &format!("json={path}")]);
        path
    };
    let whole = report("embedded:", "whole.json");
    let broken = report("embedded:?mutant=3.12/pingresp-lost", "broken.json");
    let (code, stdout, _) = mqttspec(&["compare", &whole, &broken]);
    assert_eq!(code, Some(1), "{stdout}");
    assert!(stdout.contains("\nWorse\n  pass -> fail"), "{stdout}");
    let (code, stdout, _) = mqttspec(&["compare", &broken, &whole, "--format", "markdown"]);
    assert_eq!(code, Some(0), "{stdout}");
    assert!(stdout.contains("### Better\n"), "{stdout}");
    let page = folder.path().join("matrix.html");
    let named = format!("mine={broken}");
    let (code, _, stderr) = mqttspec(&["matrix", &whole, &named, "--html", page.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{stderr}");
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.contains("<code>3.12/"), "a scenario that differs");
    assert!(page.contains("<th scope=\"col\">mine</th>"), "a broker by its name");
    let (code, _, stderr) = mqttspec(&["compare", &whole, "Cargo.toml"]);
    assert!(code == Some(2) && stderr.contains("Cargo.toml: this is no report"), "{stderr}");
}

#[test]
fn a_report_keeps_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("report"), "of an earlier run").unwrap();
    std::os::unix::fs::symlink(path("report"), path("link")).unwrap();
    let report = format!("json={}", path("link").display());
    // Refused for another reason, so nothing is written.
    assert_eq!(mqttspec(&["run", "3.12", "--report", &report, "--jobs", "0"]).0, Some(2));
    let twice = format!("junit={}", path("report").display());
    let (code, _, stderr) = mqttspec(&["run", "3.12", "--report", &report, "--report", &twice]);
    assert_eq!(code, Some(2), "{stderr}");
    let read = |name| std::fs::read_to_string(path(name)).unwrap();
    assert_eq!(read("report"), "of an earlier run");
    assert_eq!(mqttspec(&["run", "3.12", "--report", &report]).0, Some(0));
    assert!(path("link").is_symlink() && read("report").contains("\"trouble\": null"));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "nothing beside is left");
}

#[test]
fn traces_and_badges_are_reports() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let kinds = [("pcapng", "traces.pcapng"), ("badge", "badge.json"), ("badge", "badge.svg")];
    let reports = kinds.map(|(kind, name)| format!("--report={kind}={}", path(name).display()));
    let mut arguments = vec!["run", "3.12"];
    arguments.extend(reports.iter().map(String::as_str));
    let (code, _, stderr) = mqttspec(&arguments);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    let capture = std::fs::read(path("traces.pcapng")).unwrap();
    assert_eq!(capture[..4], [0x0a, 0x0d, 0x0d, 0x0a]);
    let badge = std::fs::read_to_string(path("badge.json")).unwrap();
    assert!(badge.contains("passed of a selection"), "{badge}");
    assert!(std::fs::read_to_string(path("badge.svg")).unwrap().starts_with("<svg "));
}

#[test]
fn several_targets_have_a_report_each_and_one_for_all() {
    let folder = tempfile::tempdir().unwrap();
    let target = |name: &str, mutant: &str| {
        let path = folder.path().join(name);
        let start =
            format!("{{mqttspec}} broker --mutant {mutant} --listen mqtt://127.0.0.1:{{port}}");
        let file = format!(
            "about = \"{name}\"\n[address]\nmqtt = \"mqtt://127.0.0.1:{{port}}\"\n[start]\ncommand = \"{start}\"\n"
        );
        std::fs::write(&path, file).unwrap();
        path.display().to_string()
    };
    let (one, other) =
        (target("one.toml", "3.12/pingresp-lost"), target("other.toml", "3.12/pingresp-twice"));
    let (json, page) = (folder.path().join("{target}.json"), folder.path().join("matrix.html"));
    let (json, page) = (format!("json={}", json.display()), format!("matrix={}", page.display()));
    let arguments =
        ["run", "3.12/answers-each", "--target", &one, "--target", &other, "--report", &page];
    let (code, stdout, stderr) = mqttspec(&[&arguments[..], &["--report", &json]].concat());
    assert_eq!(code, Some(1), "{stdout}{stderr}");
    assert!(stdout.contains("one.toml\n") && stdout.contains("other.toml\n"), "{stdout}");
    let page = std::fs::read_to_string(folder.path().join("matrix.html")).unwrap();
    for name in ["one", "other"] {
        let report = std::fs::read_to_string(folder.path().join(format!("{name}.json"))).unwrap();
        assert!(report.contains("3.12/answers-each"), "{report}");
        assert!(page.contains(&format!("{name}.toml")));
    }
    let (code, _, stderr) = mqttspec(&[&arguments[..], &["--report", "json=one.json"]].concat());
    assert!(code == Some(2) && stderr.contains("put {target} into its name"), "{stderr}");
}
