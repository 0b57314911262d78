//! Programs that need nothing but Python: what they have in common, and how data stands in them.

use std::fmt::Write as _;

use reference_broker::codec::{Kind, PropertyId};
use reference_broker::transport::url::Endpoint;

/// A connection over TCP, TLS or WebSocket, and bytes in hex.
const CONNECTION: &str = include_str!("connection.py");

/// The packets of a broker, read.
const PACKET: &str = include_str!("packet.py");

/// Longer rows of equal letters or bytes are written short.
const LONGEST_ROW: usize = 16;

/// How a program connects: with the names HOST, PORT, TLS and PATH.
pub(crate) fn connection(endpoint: &Endpoint) -> (String, &'static str) {
    let Endpoint { scheme, host, port, path } = endpoint;
    let host = text(host.to_string().trim_matches(['[', ']']));
    let tls = if scheme.is_tls() { "True" } else { "False" };
    let path = if scheme.is_websocket() { text(path) } else { "None".to_owned() };
    (format!("HOST, PORT, TLS, PATH = {host}, {port}, {tls}, {path}"), CONNECTION)
}

/// What reads packets.
pub(crate) fn packets() -> String {
    let mut rows = String::new();
    for id in PropertyId::ALL {
        let row = id.row();
        let kind = match row.kind {
            Kind::Byte => "1",
            Kind::TwoByte => "2",
            Kind::FourByte => "4",
            Kind::Variable => "\"variable\"",
            Kind::String => "\"text\"",
            Kind::Binary => "\"binary\"",
            Kind::Pair => "\"pair\"",
        };
        let _ = writeln!(rows, "    0x{:02X}: (\"{}\", {kind}),", id.value(), row.key);
    }
    PACKET.replace("@PROPERTIES@\n", &rows)
}

/// A text as Python has it.
pub(crate) fn text(text: &str) -> String {
    let letters: Vec<char> = text.chars().collect();
    in_parts(&letters, |part| {
        let part: String = part.iter().collect();
        let mut quoted = String::from("\"");
        for letter in part.chars() {
            match letter {
                '"' | '\\' => quoted.extend(['\\', letter]),
                ' '..='~' => quoted.push(letter),
                _ if !letter.is_ascii() && letter.escape_debug().len() == 1 => quoted.push(letter),
                _ => drop(write!(quoted, "\\U{:08x}", u32::from(letter))),
            }
        }
        quoted + "\""
    })
}

/// Bytes as Python has them.
pub(crate) fn bytes(bytes: &[u8]) -> String {
    in_parts(bytes, |part| {
        let mut quoted = String::from("b\"");
        for byte in part {
            match byte {
                b'"' | b'\\' => quoted.extend(['\\', char::from(*byte)]),
                b' '..=b'~' => quoted.push(char::from(*byte)),
                _ => drop(write!(quoted, "\\x{byte:02x}")),
            }
        }
        quoted + "\""
    })
}

/// Units with long rows of equal ones written short, and the parts added.
fn in_parts<T: PartialEq>(units: &[T], quote: impl Fn(&[T]) -> String) -> String {
    let mut parts = Vec::new();
    let mut plain = 0..0;
    let mut at = 0;
    for row in units.chunk_by(|one, next| one == next) {
        if row.len() > LONGEST_ROW {
            if !plain.is_empty() {
                parts.push(quote(&units[plain.clone()]));
            }
            parts.push(format!("{} * {}", quote(&row[..1]), row.len()));
            plain = at + row.len()..at + row.len();
        } else {
            plain.end = at + row.len();
        }
        at += row.len();
    }
    if !plain.is_empty() || parts.is_empty() {
        parts.push(quote(&units[plain]));
    }
    parts.join(" + ")
}

/// A line of a comment: whatever is said in it stays in it.
pub(crate) fn line(text: &str) -> String {
    let shown = |letter: char| match letter {
        '\\' => '/',
        '"' => '\'',
        letter if letter.is_control() => ' ',
        letter => letter,
    };
    text.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_are_those_of_python() {
        for (given, literal) in [
            ("", r#""""#),
            ("a\"\\b", r#""a\"\\b""#),
            ("é\n\u{feff}", r#""é\U0000000a\U0000feff""#),
            ("ab", r#""ab""#),
        ] {
            assert_eq!(text(given), literal);
        }
        assert_eq!(text(&format!("m{}n", "_".repeat(40))), r#""m" + "_" * 40 + "n""#);
        assert_eq!(bytes(b"m1\0\xff\""), r#"b"m1\x00\xff\"""#);
        assert_eq!(bytes(&[0; 20]), r#"b"\x00" * 20"#);
    }
}
