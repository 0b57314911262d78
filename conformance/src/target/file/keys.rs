//! The words of a target file, and what is said of others.

use toml::de::{DeTable, DeValue};

/// A table and the keys that it may have. `*` stands for any name.
type Table = (&'static str, &'static [&'static str]);

/// What is known of a target besides where it is.
const KNOWN: [&str; 8] =
    ["topic_prefix", "credentials", "other_user", "scram", "rights", "redirects", "keeps", "trust"];

const USER: &[&str] = &["username", "password", "password_env"];
const CLIENTS: &[&str] = &["username", "password", "password_env", "method"];
const TRUST: &[&str] = &["ca", "insecure", "cert", "key", "server_name"];
const KEEPS: &[&str] = &["stop", "kill"];
const ANY: &[&str] = &["*"];

const TABLES: &[Table] = &[
    (
        "",
        &[
            "about", "untried", "address", "values", "start", "variant", KNOWN[0], KNOWN[1],
            KNOWN[2], KNOWN[3], KNOWN[4], KNOWN[5], KNOWN[6], KNOWN[7],
        ],
    ),
    ("address", &["mqtt", "mqtts", "ws", "wss"]),
    ("values", ANY),
    ("credentials", CLIENTS),
    ("other_user", USER),
    ("scram", USER),
    ("trust", TRUST),
    ("keeps", KEEPS),
    (
        "start",
        &[
            "command",
            "image",
            "ports",
            "mounts",
            "copies",
            "env",
            "files",
            "prepare",
            "ready_within",
            "stop_signal",
            "stop_within",
            "log",
        ],
    ),
    ("start.env", ANY),
    ("start.copies", ANY),
    ("start.files", ANY),
    ("variant", ANY),
    (
        "variant.*",
        &[
            "about", "values", KNOWN[0], KNOWN[1], KNOWN[2], KNOWN[3], KNOWN[4], KNOWN[5],
            KNOWN[6], KNOWN[7],
        ],
    ),
    ("variant.*.values", ANY),
    ("variant.*.credentials", CLIENTS),
    ("variant.*.other_user", USER),
    ("variant.*.scram", USER),
    ("variant.*.trust", TRUST),
    ("variant.*.keeps", KEEPS),
];

/// Looks for a word that there is not.
///
/// # Errors
///
/// For the first one: where it is, and which is nearest. What is no TOML is left to the reader.
pub(super) fn check(text: &str) -> Result<(), String> {
    match DeTable::parse(text) {
        Ok(table) => check_table(text, "", table.get_ref()),
        Err(_) => Ok(()),
    }
}

fn check_table(text: &str, path: &str, table: &DeTable<'_>) -> Result<(), String> {
    let Some((_, keys)) = TABLES.iter().find(|(name, _)| *name == path) else { return Ok(()) };
    for (word, value) in table {
        let name: &str = word.get_ref();
        let step = match keys.contains(&"*") {
            true => "*",
            false if keys.contains(&name) => name,
            false => {
                let line = 1 + text[..word.span().start].matches('\n').count();
                return Err(format!("line {line}: {}", unknown(name, path, keys)));
            }
        };
        // The words of these are free.
        if let (DeValue::Table(inner), true) = (value.get_ref(), step != "*" || path == "variant") {
            let inner_path =
                if path.is_empty() { step.to_owned() } else { format!("{path}.{step}") };
            check_table(text, &inner_path, inner)?;
        }
    }
    Ok(())
}

fn unknown(name: &str, path: &str, keys: &[&str]) -> String {
    let place = if path.is_empty() { "at the top".to_owned() } else { format!("in [{path}]") };
    let nearest = nearest(name, keys.iter().copied());
    match nearest {
        Some(near) => format!("there is no key '{name}' {place}: did you mean '{near}'?"),
        None => format!("there is no key '{name}' {place}, only {}", keys.join(", ")),
    }
}

/// The word that is a slip away from this one.
pub(super) fn nearest<'a>(word: &str, words: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let far = |it: &&str| strsim::osa_distance(word, it);
    words.min_by_key(far).filter(|it| far(it) <= word.len().div_ceil(2).min(3))
}
