//! Where two brokers part ways.

use std::collections::BTreeSet;

use super::Observed;

/// Something that was seen of one broker and not, or otherwise, of the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The connection that saw it.
    pub connection: String,
    /// What it is about, such as `PUBACK 7` or `end`.
    pub part: String,
    /// What was seen of the first; empty if nothing.
    pub first: String,
    /// What was seen of the second; empty if nothing.
    pub second: String,
}

/// All that is not alike, by connection and part.
pub fn differences(first: &Observed, second: &Observed) -> Vec<Difference> {
    let mut found = Vec::new();
    let names: BTreeSet<_> = first.connections.keys().chain(second.connections.keys()).collect();
    for name in names {
        let none = Default::default();
        let one = first.connections.get(name).unwrap_or(&none);
        let other = second.connections.get(name).unwrap_or(&none);
        let parts: BTreeSet<_> = one.keys().chain(other.keys()).collect();
        for part in parts {
            let seen =
                |parts: &super::observed::Parts| parts.get(part).cloned().unwrap_or_default();
            let (first, second) = (seen(one), seen(other));
            if first != second {
                let (connection, part) = (name.clone(), part.clone());
                found.push(Difference { connection, part, first, second });
            }
        }
    }
    found
}

impl Difference {
    /// What it is about, whoever saw it.
    pub(super) fn kind(&self) -> String {
        let word = self.part.split(' ').next().unwrap_or_default();
        let has = |text: &str| if text.is_empty() { "nothing" } else { "something" };
        format!("{word}: {} and {}", has(&self.first), has(&self.second))
    }
}
