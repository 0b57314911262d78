use std::fmt::Write;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::SettingsError;

/// A key of the configuration that sets a part of `T`.
pub(super) struct Key<T> {
    /// Its name, with the tables it is in.
    pub(super) name: &'static str,
    /// What it is.
    pub(super) what: &'static str,
    /// Why it is what it is if nobody says anything.
    pub(super) why: &'static str,
    /// Takes over a value, or says what a value looks like.
    pub(super) set: fn(&mut T, &DeValue<'_>) -> Result<(), String>,
    /// The value in force, as TOML.
    pub(super) get: fn(&T) -> Option<String>,
}

/// A table of keys: `"name" => field.of.it, "what it is", "why its default is what it is";`.
macro_rules! keys {
    ($($name:literal => $($field:tt).+, $what:literal, $why:literal;)*) => {
        &[$($crate::settings::key::Key {
            name: $name,
            what: $what,
            why: $why,
            set: |settings, value| $crate::settings::key::assign(&mut settings.$($field).+, value),
            get: |settings| $crate::settings::value::Value::write(&settings.$($field).+),
        }),*]
    };
}
pub(super) use keys;

/// Puts a value in its place, or says what one looks like.
pub(super) fn assign<V: super::value::Value>(
    place: &mut V,
    value: &DeValue<'_>,
) -> Result<(), String> {
    *place = V::read(value).ok_or_else(V::kind)?;
    Ok(())
}

/// Where a table of the configuration is: for errors.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    /// What the text is called.
    pub(super) file: &'a str,
    /// The whole text.
    pub(super) text: &'a str,
    /// The names of the tables around, each followed by a dot.
    pub(super) prefix: &'a str,
}

impl Place<'_> {
    pub(super) fn error(&self, at: usize, what: String) -> SettingsError {
        let line = self.text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1;
        SettingsError(format!("{}:{line}: {what}", self.file))
    }
}

/// Takes over all that a table says.
///
/// # Errors
///
/// For the first key that is not known or has no value that it can have.
pub(super) fn read<T>(
    table: &DeTable<'_>,
    place: Place<'_>,
    keys: &[Key<T>],
    settings: &mut T,
) -> Result<(), SettingsError> {
    for (word, value) in table {
        let name = format!("{}{}", place.prefix, word.get_ref());
        let inner = format!("{name}.");
        if let Some(key) = keys.iter().find(|key| key.name == name) {
            (key.set)(settings, value.get_ref()).map_err(|kind| {
                place.error(value.span().start, format!("'{name}' is to be {kind}"))
            })?;
        } else if let (true, DeValue::Table(table)) =
            (keys.iter().any(|key| key.name.starts_with(&inner)), value.get_ref())
        {
            read(table, Place { prefix: &inner, ..place }, keys, settings)?;
        } else {
            return Err(place.error(word.span().start, unknown(&name, keys)));
        }
    }
    Ok(())
}

/// Takes over a list of tables, `[[name]]`.
///
/// # Errors
///
/// As [`read`], and for what is no list of tables.
pub(super) fn read_list<T: Default>(
    list: &Spanned<DeValue<'_>>,
    place: Place<'_>,
    name: &str,
    keys: &[Key<T>],
) -> Result<Vec<T>, SettingsError> {
    let wrong = |at: usize| place.error(at, format!("'{name}' is written as [[{name}]]"));
    let items = list.get_ref().as_array().ok_or_else(|| wrong(list.span().start))?;
    let read_item = |item: &Spanned<DeValue<'_>>| {
        let table = item.get_ref().as_table().ok_or_else(|| wrong(item.span().start))?;
        let mut entry = T::default();
        read(table, Place { prefix: &format!("{name}."), ..place }, keys, &mut entry)?;
        Ok(entry)
    };
    items.iter().map(read_item).collect()
}

/// So few keys can all be named.
const FEW: usize = 8;

/// Says that there is no such key, and which one is nearest.
pub(super) fn unknown<T>(name: &str, keys: &[Key<T>]) -> String {
    let is_within =
        |key: &&Key<T>| key.name.strip_prefix(name).is_some_and(|it| it.starts_with('.'));
    if let Some(key) = keys.iter().find(is_within) {
        return format!("'{name}' is a table; a key in it is '{}'", key.name);
    }
    let nearest = keys.iter().map(|key| (distance(name, key.name), key.name)).min();
    let guess = match nearest {
        Some((distance, nearest)) if distance <= name.len().div_ceil(2) => {
            format!("did you mean '{nearest}'?")
        }
        Some((_, nearest)) => format!("the nearest is '{nearest}'"),
        None => "there are none".to_owned(),
    };
    let all = match keys {
        [first, ..] if keys.len() <= FEW => {
            let words: Vec<_> = keys.iter().map(|key| last(key.name)).collect();
            let table = first.name.split('.').next().unwrap_or_default();
            format!(" (all that a [[{table}]] has: {})", words.join(", "))
        }
        _ => String::new(),
    };
    format!("there is no key '{name}'; {guess}{all}")
}

/// How far a name is from that of a key. One in the wrong table is nearest to itself in the right one.
fn distance(name: &str, key: &str) -> usize {
    match last(key) == last(name) {
        true => 0,
        false => strsim::osa_distance(name, key),
    }
}

fn last(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

/// The keys with their values and what they are, as TOML.
pub(super) fn write<T>(keys: &[Key<T>], settings: &T) -> String {
    let mut text = String::new();
    let mut table = "";
    for key in keys {
        let (of, word) = key.name.rsplit_once('.').unwrap_or(("", key.name));
        if of != table {
            table = of;
            let _ = write!(text, "[{table}]\n\n"); // A String takes all.
        }
        for line in textwrap(&format!("{} {}", key.what, key.why), 96) {
            let _ = writeln!(text, "# {line}");
        }
        let _ = match (key.get)(settings) {
            Some(value) => write!(text, "{word} = {value}\n\n"),
            None => write!(text, "# {word} is not set\n\n"),
        };
    }
    text
}

/// Lines of up to `width` characters, broken between words.
fn textwrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.len() + 1 + word.len() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
