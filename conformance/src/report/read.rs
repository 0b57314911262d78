//! JSON reports, read again: as much of them as is compared and shown side by side.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::json::SCHEMA;
use super::text::visible;

/// A report of a run. Those of earlier schemas can be read as well; what they do not have is empty.
#[derive(Clone, Debug, Deserialize)]
pub struct Reread {
    schema: u32,
    tool: Tool,
    pub(super) target: Target,
    pub(super) scenarios: Vec<Scenario>,
    #[serde(default)]
    trouble: Option<String>,
    #[serde(default)]
    interrupted: bool,
    #[serde(default)]
    pub(super) causes: Vec<Cause>,
    #[serde(default)]
    pub(super) oracles: Vec<Rule>,
}

#[derive(Clone, Debug, Deserialize)]
struct Tool {
    version: String,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Target {
    pub(super) url: String,
    #[serde(default)]
    pub(super) capabilities: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Scenario {
    pub(super) id: String,
    #[serde(default)]
    pub(super) section: String,
    #[serde(default)]
    pub(super) shows: String,
    #[serde(default)]
    pub(super) requirements: Vec<String>,
    pub(super) verdict: String,
    #[serde(default)]
    pub(super) reason: Option<String>,
    #[serde(default)]
    pub(super) finding: Option<Finding>,
    #[serde(default)]
    pub(super) trace: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Finding {
    #[serde(default)]
    pub(super) requirement: Option<String>,
    #[serde(default)]
    pub(super) expected: String,
    #[serde(default)]
    pub(super) observed: String,
    #[serde(default)]
    pub(super) trace_line: Option<usize>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Cause {
    pub(super) requirement: String,
    pub(super) verdict: String,
    #[serde(default)]
    pub(super) witness: Option<Witness>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Witness {
    pub(super) scenario: String,
    pub(super) expected: String,
    pub(super) observed: String,
    #[serde(default)]
    pub(super) trace_line: Option<usize>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Rule {
    pub(super) id: String,
    pub(super) verdict: String,
}

impl Reread {
    /// Reads a report.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Reread, String> {
        let report: Reread = serde_json::from_str(text)
            .map_err(|error| format!("this is no report of mqttspec run: {error}"))?;
        match report.schema {
            1..=SCHEMA => Ok(report),
            other => Err(format!("schema {other} is not known here, {SCHEMA} is the latest")),
        }
    }

    /// The same under a name that a reader knows.
    #[must_use]
    pub fn named(mut self, name: &str) -> Reread {
        name.clone_into(&mut self.target.url);
        self
    }

    /// What was tried, and with what.
    pub(super) fn heading(&self) -> String {
        format!("{} (mqttspec {})", visible(&self.target.url), visible(&self.tool.version))
    }

    /// Why it came to an early end, if it did.
    pub(super) fn early_end(&self) -> Option<&str> {
        let interrupted = self.interrupted.then_some("it was interrupted");
        self.trouble.as_deref().or(interrupted)
    }

    pub(super) fn scenario(&self, id: &str) -> Option<&Scenario> {
        self.scenarios.iter().find(|scenario| scenario.id == id)
    }
}

impl Finding {
    pub(super) fn in_words(&self) -> String {
        let requirement = self.requirement.as_deref().unwrap_or_default();
        format!("{requirement}: expected {}, observed {}", self.expected, self.observed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_report_is_refused() {
        let later =
            r#"{"schema": 99, "tool": {"version": ""}, "target": {"url": ""}, "scenarios": []}"#;
        assert!(Reread::parse(later).unwrap_err().contains("schema 99"));
        assert!(Reread::parse("[]").unwrap_err().starts_with("this is no report"));
        let first = later.replace("99", "1");
        assert!(Reread::parse(&first).is_ok());
    }
}
