//! Test vectors: packets as annotated hex, kept in `fixtures/packets`.
//!
//! A file holds any number of vectors. `#` begins a comment. A vector is a heading `== name`,
//! `key: value` lines, and then lines of bytes: two hex digits a byte, `"text"` for its UTF-8
//! bytes, and `*n` after either to repeat it, as in `61*65535` or `"abc"*3`. A backslash in a text
//! escapes a quote or a backslash.
//!
//! ```text
//! == connect/reserved-flag
//! shows: the lowest bit of the Connect Flags is set
//! from: client
//! error: ReservedConnectFlag
//! at: 9
//! requirement: MQTT-3.1.2-3
//! 10 0E              # CONNECT
//! 00 04 "MQTT" 05
//! 01                 # reserved bit
//! 00 3C 00 00 01 "a"
//! ```

use std::collections::BTreeMap;
use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

use super::Side;

/// The most bytes a vector may have: repetition must not be a way to fill the memory.
const MAX_LEN: usize = 1 << 22;

/// One vector of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vector {
    /// Its heading: lower-case words, `/` between groups.
    pub name: String,
    /// The `key: value` lines between heading and bytes.
    pub fields: BTreeMap<String, String>,
    /// Its bytes.
    pub bytes: Bytes,
    /// The line of its heading, counted from 1.
    pub line: usize,
}

/// What is wrong with a file of vectors, and in which line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VectorError {
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong there.
    pub problem: String,
}

impl fmt::Display for VectorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.problem)
    }
}

impl std::error::Error for VectorError {}

impl Vector {
    /// The value of a field, or an error that names the vector.
    ///
    /// # Errors
    ///
    /// When there is no such field.
    pub fn field(&self, key: &str) -> Result<&str, VectorError> {
        self.fields.get(key).map(String::as_str).ok_or_else(|| VectorError {
            line: self.line,
            problem: format!("{} has no field '{key}'", self.name),
        })
    }

    /// Who sends it: the field `from`.
    ///
    /// # Errors
    ///
    /// When the field is missing or is neither `client` nor `server`.
    pub fn from(&self) -> Result<Side, VectorError> {
        match self.field("from")? {
            "client" => Ok(Side::Client),
            "server" => Ok(Side::Server),
            other => Err(VectorError {
                line: self.line,
                problem: format!("'{other}' is neither client nor server"),
            }),
        }
    }
}

/// Reads all vectors of a file.
///
/// # Errors
///
/// The first line that is not of the form above, a name or field that stands twice, or a vector
/// without bytes.
pub fn parse(text: &str) -> Result<Vec<Vector>, VectorError> {
    let mut vectors: Vec<(Vector, BytesMut)> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        let fail = |problem: String| VectorError { line: number, problem };
        let line = line.trim();
        if let Some(name) = line.strip_prefix("== ") {
            let name = name.trim().to_owned();
            if vectors.iter().any(|(vector, _)| vector.name == name) {
                return Err(fail(format!("'{name}' stands twice")));
            }
            let fields = BTreeMap::new();
            let vector = Vector { name, fields, bytes: Bytes::new(), line: number };
            vectors.push((vector, BytesMut::new()));
            continue;
        }
        let code = without_comment(line);
        if code.is_empty() {
            continue;
        }
        let Some((vector, bytes)) = vectors.last_mut() else {
            return Err(fail("bytes or field before the first '== name'".to_owned()));
        };
        match as_field(line) {
            Some((key, value)) if bytes.is_empty() => {
                if vector.fields.insert(key.to_owned(), value.to_owned()).is_some() {
                    return Err(fail(format!("field '{key}' stands twice")));
                }
            }
            _ => append_bytes(code, bytes).map_err(fail)?,
        }
    }
    let mut finished = Vec::with_capacity(vectors.len());
    for (mut vector, bytes) in vectors {
        if bytes.is_empty() {
            let problem = format!("'{}' has no bytes", vector.name);
            return Err(VectorError { line: vector.line, problem });
        }
        vector.bytes = bytes.freeze();
        finished.push(vector);
    }
    Ok(finished)
}

fn as_field(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.split_once(':')?;
    let is_key = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_lowercase());
    is_key.then(|| (key, value.trim()))
}

/// The part of a line before a `#` that stands outside quotes.
fn without_comment(line: &str) -> &str {
    let mut quoted = false;
    let mut escaped = false;
    for (position, character) in line.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '#' if !quoted => return line[..position].trim_end(),
            _ => {}
        }
    }
    line
}

/// Appends the bytes that a line of hex and quoted text stands for.
///
/// # Errors
///
/// A sentence that says what cannot be read.
pub fn append_bytes(line: &str, out: &mut BytesMut) -> Result<(), String> {
    let mut rest = line.trim_start();
    while !rest.is_empty() {
        let (unit, after) = unit(rest)?;
        let (count, after) = repetition(after)?;
        if unit.len().saturating_mul(count).saturating_add(out.len()) > MAX_LEN {
            return Err(format!("more than {MAX_LEN} bytes"));
        }
        (0..count).for_each(|_| out.put_slice(&unit));
        rest = after.trim_start();
    }
    Ok(())
}

fn unit(text: &str) -> Result<(Vec<u8>, &str), String> {
    if let Some(quoted) = text.strip_prefix('"') {
        let mut bytes = String::new();
        let mut characters = quoted.char_indices();
        while let Some((position, character)) = characters.next() {
            match character {
                '"' => return Ok((bytes.into_bytes(), &quoted[position + 1..])),
                '\\' => bytes.extend(characters.next().map(|(_, escaped)| escaped)),
                _ => bytes.push(character),
            }
        }
        return Err(format!("no closing quote in '{text}'"));
    }
    let byte = text.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
    match (byte, text.get(2..)) {
        (Some(byte), Some(after)) if after.is_empty() || after.starts_with([' ', '\t', '*']) => {
            Ok((vec![byte], after))
        }
        _ => Err(format!("neither a byte nor quoted text: '{text}'")),
    }
}

fn repetition(text: &str) -> Result<(usize, &str), String> {
    let Some(after) = text.strip_prefix('*') else { return Ok((1, text)) };
    let end = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
    let count = after[..end].parse().map_err(|_| format!("no number after '*' in '{text}'"))?;
    Ok((count, &after[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_text_and_repetition_become_bytes() {
        let vectors = parse(
            "# a file\n== a/b\nfrom: client\nshows: it: works\n10 02 # note\n\"a#\\\"\" 61*3 \"xy\"*2\n",
        )
        .unwrap();
        assert_eq!(vectors.len(), 1);
        assert_eq!(vectors[0].bytes, &b"\x10\x02a#\"aaaxyxy"[..]);
        assert_eq!(vectors[0].field("shows"), Ok("it: works"));
        assert_eq!(vectors[0].from(), Ok(Side::Client));
    }

    #[test]
    fn mistakes_are_named_with_their_line() {
        for (text, line, problem) in [
            ("10 00", 1, "bytes or field before the first '== name'"),
            ("== a\n1", 2, "neither a byte nor quoted text: '1'"),
            ("== a\n100", 2, "neither a byte nor quoted text: '100'"),
            ("== a\n10\n== a\n10", 3, "'a' stands twice"),
            ("== a\nx: 1\nx: 2\n10", 3, "field 'x' stands twice"),
            ("== a\nx: 1\n", 1, "'a' has no bytes"),
            ("== a\n\"abc", 2, "no closing quote in '\"abc'"),
            ("== a\n61*x", 2, "no number after '*' in '*x'"),
            ("== a\n61*99999999", 2, "more than 4194304 bytes"),
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!((error.line, error.problem.as_str()), (line, problem), "{text}");
        }
    }
}
