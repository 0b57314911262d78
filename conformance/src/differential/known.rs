//! Known divergences: what a broker is known to do otherwise, and why.
//!
//! ```toml
//! [[divergence]]
//! name = "violation:4.8/shared-without-filter"  # as reports name it, or by a requirement that it breaks
//! reason = "fixed in 2.1"
//! link = "https://example.org/1"                # optional
//! ```

use serde::Deserialize;

use super::Divergence;
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
    /// A name of what it is about, with `*` for a run of characters.
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

    /// The first entry about something with these names.
    pub fn find(&self, names: &[String]) -> Option<&KnownDivergence> {
        self.entries.iter().find(|entry| entry.is_about(names))
    }

    /// The entries about none of these.
    pub fn unseen(&self, found: &[Divergence]) -> Vec<&KnownDivergence> {
        let names: Vec<_> = found.iter().flat_map(Divergence::names).collect();
        self.entries.iter().filter(|entry| !entry.is_about(&names)).collect()
    }
}

impl KnownDivergence {
    fn is_about(&self, names: &[String]) -> bool {
        names.iter().any(|name| glob(self.name.as_bytes(), name.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_found_by_name_and_mistakes_are_named() {
        let text = "[[divergence]]\nname = \"choice:*\"\nreason = \"as it likes\"\n";
        let known = KnownDivergences::parse(text).unwrap();
        let find = |names: &[&str]| {
            let names: Vec<_> = names.iter().map(|it| (*it).to_owned()).collect();
            known.find(&names).map(|it| &*it.reason)
        };
        assert_eq!(find(&["open:x", "choice:x"]), Some("as it likes"));
        assert_eq!(find(&["open:x"]), None);
        assert_eq!(known.unseen(&[]).len(), 1);
        let wrong = KnownDivergences::parse("[[divergence]]\nname = \"x\"\nreson = \"y\"\n");
        assert!(wrong.unwrap_err().starts_with("line 3: unknown field `reson`"));
    }
}
