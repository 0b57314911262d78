//! Text made fit to be shown: without control characters, and no wider than it may be.

/// The text with everything escaped that would move a cursor, colour a terminal, reorder a line or
/// be no character of XML. The result is one line.
pub(super) fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_unsafe(c) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

fn is_unsafe(c: char) -> bool {
    let marks_direction = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}');
    let reorders = matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let breaks = matches!(c, '\u{2028}' | '\u{2029}');
    let is_no_character = matches!(c, '\u{feff}' | '\u{fffe}' | '\u{ffff}');
    c.is_control() || marks_direction || reorders || breaks || is_no_character
}

/// At most `width` characters of a line, `...` at its end where it was longer.
pub(super) fn clip(line: &str, width: usize) -> String {
    if line.chars().count() <= width {
        return line.to_owned();
    }
    line.chars().take(width.saturating_sub(3)).chain("...".chars()).collect()
}

/// The text in lines of at most `width` characters, broken between words where it can be; one line
/// at least.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut room = width;
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let letters: Vec<char> = word.chars().collect();
        if room < width && letters.len() + 1 > room {
            lines.push(String::new());
            room = width;
        }
        for (i, piece) in letters.chunks(width.max(1)).enumerate() {
            if i > 0 {
                lines.push(String::new());
                room = width;
            }
            if let Some(line) = lines.last_mut() {
                if room < width {
                    line.push(' ');
                    room -= 1;
                }
                line.extend(piece);
                room = room.saturating_sub(piece.len());
            }
        }
    }
    lines
}

/// A count with its noun: `1 thing`, `2 things`.
pub fn counted(count: usize, singular: &str, plural: &str) -> String {
    format!("{count} {}", if count == 1 { singular } else { plural })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_steers_a_terminal_is_left() {
        let shown = visible("a\0b\u{1b}[31mc\u{9b}d\ne\u{202e}f\u{ffff}<&\"é");
        assert_eq!(shown, "a\\u{0}b\\u{1b}[31mc\\u{9b}d\\ne\\u{202e}f\\u{ffff}<&\"é");
    }

    #[test]
    fn a_clipped_line_fits_and_says_so() {
        assert_eq!(clip("abcdef", 6), "abcdef");
        assert_eq!(clip("äbcdefg", 6), "äbc...");
    }

    #[test]
    fn words_are_kept_whole_where_they_fit() {
        assert_eq!(wrap("", 5), [""]);
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("a abcdefghij k", 4), ["a", "abcd", "efgh", "ij k"]);
        assert_eq!(wrap("abcd efgh", 4), ["abcd", "efgh"]);
    }

    #[test]
    fn wrapping_loses_no_letter_and_keeps_the_width() {
        let text = "the quick brown-fox-that-is-far-too-long-for-a-line jumps  over";
        for width in 1..70 {
            let lines = wrap(text, width);
            assert!(lines.iter().all(|line| line.chars().count() <= width), "{width}: {lines:?}");
            assert_eq!(lines.concat().replace(' ', ""), text.replace(' ', ""));
        }
    }
}
