//! How strings and bytes are written down.

use std::fmt::{self, Display, Formatter, Write};

/// The longest row of equal units that is written in full.
const LONGEST_ROW: usize = 16;

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
        match row(self.0.chars()) {
            Some((unit, count)) => {
                quote(f, std::iter::once(unit))?;
                write!(f, "*{count}")
            }
            None => quote(f, self.0.chars()),
        }
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
        let whole_row = row(self.0.iter().copied());
        let shown = match whole_row {
            Some(_) => self.0.get(..1).unwrap_or_default(),
            None => self.0,
        };
        if shown.iter().all(|byte| matches!(byte, b' '..=b'~')) {
            quote(f, shown.iter().map(|byte| char::from(*byte)))?;
        } else {
            f.write_char('x')?;
            shown.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        }
        match whole_row {
            Some((_, count)) => write!(f, "*{count}"),
            None => Ok(()),
        }
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

/// The unit and the length of what is one unit many times over.
fn row<T: Copy + PartialEq>(mut units: impl Iterator<Item = T>) -> Option<(T, usize)> {
    let unit = units.next()?;
    let mut count = 1;
    for other in units {
        if other != unit {
            return None;
        }
        count += 1;
    }
    (count > LONGEST_ROW).then_some((unit, count))
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
}
