//! How strings and bytes are written down.

use std::fmt::{self, Display, Formatter, Write};

/// The longest row of equal units that is written in full.
const LONGEST_ROW: usize = 16;

/// Of so many units at most that come again a row is made.
const LONGEST_UNIT: usize = 4;

/// A string as a quoted literal.
pub(super) struct TextLiteral<'a>(pub(super) &'a str);

/// A name that goes without quotes if it can.
pub(super) struct NameLiteral<'a>(pub(super) &'a str);

/// Bytes as one value: quoted if they are text, else in hex.
pub(super) struct BytesLiteral<'a>(pub(super) &'a [u8]);

/// Bytes one by one, each after a blank.
pub(super) struct HexRow<'a>(pub(super) &'a [u8]);

impl Display for TextLiteral<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write_parts(f, &self.0.chars().collect::<Vec<_>>(), |f, part| {
            quote(f, part.iter().copied())
        })
    }
}

impl Display for NameLiteral<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let is_plain = |c: char| c != ' ' && c != '"' && is_printable(c);
        match !self.0.is_empty() && self.0.chars().all(is_plain) {
            true => f.write_str(self.0),
            false => quote(f, self.0.chars()),
        }
    }
}

impl Display for BytesLiteral<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let is_text = self.0.iter().all(|byte| matches!(byte, b' '..=b'~'));
        write_parts(f, self.0, |f, part| match is_text {
            true => quote(f, part.iter().map(|byte| char::from(*byte))),
            false => {
                f.write_char('x')?;
                part.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        })
    }
}

impl Display for HexRow<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for equal in self.0.chunk_by(|one, next| one == next) {
            match equal {
                [byte, ..] if equal.len() > LONGEST_ROW => {
                    write!(f, " {byte:02x}*{}", equal.len())?;
                }
                _ => equal.iter().try_for_each(|byte| write!(f, " {byte:02x}"))?,
            }
        }
        Ok(())
    }
}

/// Writes units with `+` between long rows in which a few of them come again and again, of which these are written
/// once, and the rest.
fn write_parts<T: PartialEq>(
    f: &mut Formatter<'_>,
    units: &[T],
    write: impl Fn(&mut Formatter<'_>, &[T]) -> fmt::Result,
) -> fmt::Result {
    let mut rest = units;
    loop {
        let row = (0..rest.len()).find_map(|start| Some((start, row(&rest[start..])?)));
        let Some((start, (unit, times))) = row else { return write(f, rest) };
        if start > 0 {
            write(f, &rest[..start])?;
            f.write_char('+')?;
        }
        write(f, unit)?;
        write!(f, "*{times}")?;
        rest = &rest[start + unit.len() * times..];
        if rest.is_empty() {
            return Ok(());
        }
        f.write_char('+')?;
    }
}

/// What these units begin with again and again, and how often, if that makes a long row.
fn row<T: PartialEq>(units: &[T]) -> Option<(&[T], usize)> {
    let of = |length: usize| {
        let unit = units.get(..length)?;
        let times = units.chunks(length).take_while(|chunk| *chunk == unit).count();
        (times * length > LONGEST_ROW).then_some((unit, times))
    };
    (1..=LONGEST_UNIT).find_map(of)
}

fn quote(f: &mut Formatter<'_>, text: impl Iterator<Item = char>) -> fmt::Result {
    f.write_char('"')?;
    for c in text {
        match c {
            '"' | '\\' => write!(f, "\\{c}")?,
            _ if is_printable(c) => f.write_char(c)?,
            _ => write!(f, "\\u{{{:x}}}", u32::from(c))?,
        }
    }
    f.write_char('"')
}

/// Whether a reader can see the character and tell it from its neighbours: neither controls and
/// odd blanks nor combining marks, for which the standard library's escapes are the judge.
fn is_printable(c: char) -> bool {
    matches!(c, ' '..='~') || (!c.is_ascii() && c.escape_debug().len() == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_quoted_and_escaped() {
        for (text, literal) in [
            ("", r#""""#),
            ("it's a/b", r#""it's a/b""#),
            ("say \"\\\"", r#""say \"\\\"""#),
            ("a\nb\0\u{7f}", r#""a\u{a}b\u{0}\u{7f}""#),
            ("é 日 e\u{301}\u{feff}\u{a0}", r#""é 日 e\u{301}\u{feff}\u{a0}""#),
            ("aaaaaaaaaaaaaaaa", r#""aaaaaaaaaaaaaaaa""#),
            ("aaaaaaaaaaaaaaaaa", r#""a"*17"#),
            ("ééééééééééééééééé", r#""é"*17"#),
            ("m1aaaaaaaaaaaaaaaaa\u{0}bbbbbbbbbbbbbbbbb", r#""m1"+"a"*17+"\u{0}"+"b"*17"#),
            ("aaaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbb1", r#""a"*17+"b"*17+"1""#),
        ] {
            assert_eq!(TextLiteral(text).to_string(), literal);
        }
    }

    #[test]
    fn bytes_are_quoted_only_if_all_of_them_print() {
        for (bytes, literal) in [
            (&b""[..], "\"\""),
            (b"a\\b", r#""a\\b""#),
            (b"a\n", "x610a"),
            ("é".as_bytes(), "xc3a9"),
            (&[b'"'; 17], r#""\""*17"#),
            (&[0; 17], "x00*17"),
            (b"m1_________________", r#""m1"+"_"*17"#),
            (b"\x00\x01_________________", "x0001+x5f*17"),
            (&[0; 2], "x0000"),
        ] {
            assert_eq!(BytesLiteral(bytes).to_string(), literal);
        }
    }

    #[test]
    fn only_rows_within_raw_bytes_are_shortened() {
        let bytes = [&[1][..], &[0x61; 17], &[2; 2]].concat();
        assert_eq!(HexRow(&bytes).to_string(), " 01 61*17 02 02");
    }

    #[test]
    fn names_are_quoted_if_they_must_be() {
        for (name, literal) in [("alice", "alice"), ("", "\"\""), ("a b", "\"a b\"")] {
            assert_eq!(NameLiteral(name).to_string(), literal);
        }
    }

    #[test]
    fn what_comes_again_and_again_is_written_once() {
        let text = |text: &str| TextLiteral(text).to_string();
        assert_eq!(text(""), "\"\"");
        assert_eq!(text("aaaaaaaaaaaaaaaa"), "\"aaaaaaaaaaaaaaaa\"");
        assert_eq!(text(&"a".repeat(17)), "\"a\"*17");
        assert_eq!(text(&format!("~{}", "/a".repeat(300))), "\"~\"+\"/a\"*300");
        assert_eq!(text(&format!("~/{}b", "+/".repeat(9))), "\"~\"+\"/+\"*9+\"/b\"");
        let bytes = |bytes: &[u8]| BytesLiteral(bytes).to_string();
        assert_eq!(bytes(&[0xc3, 0xa9].repeat(20)), "xc3a9*20");
    }
}
