//! Placeholders of a target file: `{port}`, `{port.NAME}`, `{dir}`, `{mqttspec}`, and its values.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;

use super::keys::nearest;

/// What placeholders stand for. Ports are chosen as they are met.
#[derive(Debug)]
pub(super) struct Filler {
    values: BTreeMap<String, String>,
    ports: BTreeMap<String, u16>,
    /// Listens at each port until all are chosen, so that all differ.
    held: Vec<TcpListener>,
}

/// How deep values may stand in values.
const DEEPEST: usize = 4;

impl Filler {
    /// For a target that has this folder for itself.
    pub(super) fn new(mut values: BTreeMap<String, String>, dir: &Path) -> Filler {
        values.insert("dir".to_owned(), dir.display().to_string());
        let program = std::env::current_exe().unwrap_or_else(|_| "mqttspec".into());
        values.insert("mqttspec".to_owned(), program.display().to_string());
        Filler { values, ports: BTreeMap::new(), held: Vec::new() }
    }

    /// The text with what its placeholders stand for.
    ///
    /// # Errors
    ///
    /// For a placeholder that stands for nothing, or when there is no free port.
    pub(super) fn fill(&mut self, text: &str) -> Result<String, String> {
        self.fill_within(text, 0)
    }

    fn fill_within(&mut self, text: &str, depth: usize) -> Result<String, String> {
        let mut filled = String::new();
        let mut rest = text;
        while let Some(start) = rest.find('{') {
            let (before, after) = rest.split_at(start);
            filled.push_str(before);
            match placeholder(after) {
                Some(name) => {
                    let value = self.value(name)?;
                    match depth < DEEPEST {
                        true => filled.push_str(&self.fill_within(&value, depth + 1)?),
                        false => return Err(format!("'{{{name}}}' stands for itself")),
                    }
                    rest = &after[name.len() + 2..];
                }
                None => {
                    filled.push('{');
                    rest = &after[1..];
                }
            }
        }
        filled.push_str(rest);
        Ok(filled)
    }

    fn value(&mut self, name: &str) -> Result<String, String> {
        if name == "port" || name.starts_with("port.") {
            return self
                .port(name)
                .map(|port| port.to_string())
                .map_err(|error| format!("no free port of 127.0.0.1 can be had: {error}"));
        }
        self.values.get(name).cloned().ok_or_else(|| {
            let words = self.values.keys().map(String::as_str).chain(["port"]);
            match nearest(name, words) {
                Some(near) => {
                    format!("'{{{name}}}' stands for nothing: did you mean '{{{near}}}'?")
                }
                None => format!("'{{{name}}}' stands for nothing: [values] can say what it is"),
            }
        })
    }

    fn port(&mut self, name: &str) -> io::Result<u16> {
        if let Some(port) = self.ports.get(name) {
            return Ok(*port);
        }
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        self.held.push(listener);
        self.ports.insert(name.to_owned(), port);
        Ok(port)
    }
}

/// The name in braces that a text begins with: a word, and no piece of a configuration that has braces
/// of its own.
fn placeholder(text: &str) -> Option<&str> {
    let (name, _) = text.strip_prefix('{')?.split_once('}')?;
    let is_word = name.starts_with(|it: char| it.is_ascii_lowercase())
        && name
            .chars()
            .all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || "._-".contains(it));
    is_word.then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filler() -> Filler {
        let values = [("a", "1"), ("b", "<{a}>"), ("loop", "{loop}")];
        let values = values.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Filler::new(values.into(), Path::new("/x"))
    }

    #[test]
    fn placeholders_are_filled_and_other_braces_left() {
        let mut filler = filler();
        for (text, filled) in [
            ("{a}{b} {dir}/y", "1<1> /x/y"),
            (r#"{"a": {"b": 1}} { a } {} {A}"#, r#"{"a": {"b": 1}} { a } {} {A}"#),
            ("{", "{"),
        ] {
            assert_eq!(filler.fill(text).as_deref(), Ok(filled));
        }
        assert_ne!(filler.fill("{port}"), filler.fill("{port.ws}"));
        assert_eq!(filler.fill("{port}"), filler.fill("{port}"));
    }

    #[test]
    fn what_stands_for_nothing_is_told() {
        for (text, told) in [
            ("{prot}", "did you mean '{port}'?"),
            ("{nothing-of-the-kind}", "[values] can say"),
            ("{loop}", "stands for itself"),
        ] {
            let error = filler().fill(text).unwrap_err();
            assert!(error.contains(told), "{text}: {error}");
        }
    }
}
