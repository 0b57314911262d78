//! Known divergences: what a broker is known to do otherwise, and why.
//!
//! ```toml
//! [[divergence]]
//! name = "violation:4.8/shared-without-filter"  # as reports name it; * stands for a run of characters
//! reason = "fixed in 2.1"
//! link = "https://example.org/1"                # optional
//! ```

use serde::Deserialize;

use crate::runner::glob;

/// A list of known divergences.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownDivergences {
    /// The entries, in their order.
    #[serde(default, rename = "divergence")]
    pub entries: Vec<KnownDivergence>,
}

/// An entry of the list.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownDivergence {
    /// The name of what it is about, with `*` for a run of characters.
    pub name: String,
    /// Why it is known.
    pub reason: String,
    /// Where more is said of that.
    pub link: Option<String>,
}

impl KnownDivergences {
    /// Reads a list.
    ///
    /// # Errors
    ///
    /// What is wrong with it, and where.
    pub fn parse(text: &str) -> Result<KnownDivergences, String> {
        toml::from_str(text).map_err(|error| {
            let line = error.span().map(|span| 1 + text[..span.start].matches('\n').count());
            let at = line.map(|line| format!("line {line}: ")).unwrap_or_default();
            format!("{at}{}", error.message())
        })
    }

    /// The first entry about this name.
    pub fn find(&self, name: &str) -> Option<&KnownDivergence> {
        self.entries.iter().find(|entry| is_about(entry, name))
    }

    /// The entries about none of these names.
    pub fn unseen<'a>(&'a self, names: &[String]) -> Vec<&'a KnownDivergence> {
        let is_unseen = |entry: &&KnownDivergence| !names.iter().any(|it| is_about(entry, it));
        self.entries.iter().filter(is_unseen).collect()
    }
}

fn is_about(entry: &KnownDivergence, name: &str) -> bool {
    glob(entry.name.as_bytes(), name.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_found_by_name_and_mistakes_are_named() {
        let text = "[[divergence]]\nname = \"choice:*\"\nreason = \"as it likes\"\n";
        let known = KnownDivergences::parse(text).unwrap();
        assert_eq!(known.find("choice:x").unwrap().reason, "as it likes");
        assert!(known.find("open:x").is_none());
        assert_eq!(known.unseen(&["open:x".to_owned()]).len(), 1);
        let wrong = KnownDivergences::parse("[[divergence]]\nname = \"x\"\nreson = \"y\"\n");
        assert!(wrong.unwrap_err().starts_with("line 3: unknown field `reson`"));
    }
}
