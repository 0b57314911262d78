use super::super::fixture::{self, HOSTILE, report};
use super::*;

fn written() -> String {
    fixture::written(|out| write(&report(), out))
}

/// The elements of a page by their names, and how often each is there.
fn count(page: &str, tag: &str) -> usize {
    page.matches(&format!("<{tag}")).count()
}

#[test]
fn snapshot() {
    let page = written();
    let body = &page[page.find("<body>").unwrap()..page.rfind("<script>").unwrap()];
    // A line an element, without data.
    let lines = body.replace("><", ">\n<");
    let lines: Vec<_> = lines.lines().filter(|line| !line.contains("application/json")).collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn nothing_that_a_target_sends_is_markup() {
    let page = written();
    assert!(!page.contains(HOSTILE));
    assert!(!page.contains("red\r\n"), "control characters are shown, not sent on");
    // One for each trace, one for layouts, and that of the page.
    let traces = report().scenarios.iter().filter(|it| !it.trace.is_empty()).count();
    assert_eq!(count(&page, "script"), traces + 2);
    assert_eq!(page.matches("</script>").count(), traces + 2);
}

#[test]
fn nothing_is_loaded_from_elsewhere() {
    let page = written();
    for loads in ["src=", "<link", "@import", "url(", "fetch(", "XMLHttpRequest"] {
        assert!(!page.contains(loads), "{loads}");
    }
}

/// The data that an element holds.
fn json_in(markup: &Markup) -> serde_json::Value {
    let page = markup.0.split_once("json\" id=").unwrap().1;
    let json = page.split_once('>').unwrap().1;
    serde_json::from_str(json.strip_suffix("</script>").unwrap()).unwrap()
}

#[test]
fn a_trace_is_there_with_its_packets_and_findings() {
    let report = report();
    let result = report.scenarios.iter().find(|it| it.id == "3.1/second-connect-closes").unwrap();
    let layouts = trace::Layouts::default();
    let page = trace::place(result, &layouts);
    let trace = json_in(&page);
    assert_eq!(trace["lanes"], serde_json::json!(["alice"]));
    assert_eq!(trace["findings"], serde_json::json!({"3": "expected the connection closed"}));
    assert_eq!(trace["connections"], serde_json::json!([["alice", 0]]));
    let events = trace["events"].as_array().unwrap();
    assert_eq!(events.len(), result.trace.len());
    assert_eq!(events[0], serde_json::json!([0, 0, "|", "opened", null]));
    let connect = &events[1][4];
    assert_eq!(events[2][4].as_array().unwrap()[..2], [serde_json::json!("c000"), 2.into()]);
    assert_eq!(events[3][4][3], true, "its bytes were not kept");
    let number = usize::try_from(connect[2].as_u64().unwrap()).unwrap();
    let fields = &json_in(&layouts.data())[number];
    let fields = fields.as_array().unwrap();
    assert!(fields.contains(&serde_json::json!([2, "length of Protocol Name", 2, "number"])));
    let total: u64 = fields.iter().filter_map(|row| row[2].as_u64()).sum();
    assert_eq!(Some(total), connect[1].as_u64());
}
