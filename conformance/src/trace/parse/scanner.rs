//! A cursor over one line: words, numbers, literals.

use bytes::Bytes;

use super::{Budget, RUN_LIMIT, excerpt};

/// What is wrong with a line.
#[derive(Debug)]
pub(super) struct Problem {
    /// The byte of the line where it is wrong.
    pub(super) at: usize,
    /// What is wrong.
    pub(super) problem: String,
}

impl Problem {
    pub(super) fn new(at: usize, problem: impl Into<String>) -> Problem {
        Problem { at, problem: problem.into() }
    }
}

/// A line and how far it has been read. Whatever is read is read once, so that a line takes time
/// in proportion to its length.
pub(super) struct Scanner<'a> {
    line: &'a str,
    at: usize,
    budget: Budget,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(line: &'a str, budget: Budget) -> Scanner<'a> {
        Scanner { line, at: 0, budget }
    }

    /// What is left for the runs of the lines to come.
    pub(super) fn budget(&self) -> Budget {
        self.budget
    }

    pub(super) fn position(&self) -> usize {
        self.at
    }

    pub(super) fn rest(&self) -> &'a str {
        self.line.get(self.at..).unwrap_or_default()
    }

    /// What has been read from `start` on.
    pub(super) fn since(&self, start: usize) -> &'a str {
        self.line.get(start..self.at).unwrap_or_default()
    }

    /// Skips this many bytes, which the caller has seen.
    pub(super) fn skip(&mut self, len: usize) {
        self.at += len;
    }

    pub(super) fn take_rest(&mut self) {
        self.at = self.line.len();
    }

    /// A problem at the place that has been reached.
    pub(super) fn problem(&self, problem: impl Into<String>) -> Problem {
        Problem::new(self.at, problem)
    }

    pub(super) fn is_at(&self, c: char) -> bool {
        self.rest().starts_with(c)
    }

    /// Skips this character if it is the next one.
    pub(super) fn eat(&mut self, c: char) -> bool {
        let is_next = self.is_at(c);
        if is_next {
            self.at += c.len_utf8();
        }
        is_next
    }

    pub(super) fn expect(&mut self, c: char) -> Result<(), Problem> {
        match self.eat(c) {
            true => Ok(()),
            false => Err(self.problem(format!("'{c}' is missing"))),
        }
    }

    pub(super) fn blanks(&mut self) {
        self.take_while(|c| matches!(c, ' ' | '\t'));
    }

    /// Skips the blanks that have to stand between two parts of a line.
    pub(super) fn gap(&mut self) -> Result<(), Problem> {
        match self.more()? {
            true => Ok(()),
            false => Err(self.problem("the line ends too early")),
        }
    }

    /// As [`Scanner::gap`], where the line may also end: whether it goes on.
    pub(super) fn more(&mut self) -> Result<bool, Problem> {
        let rest = self.rest();
        if !rest.is_empty() && !rest.starts_with([' ', '\t']) {
            let problem = format!("a blank is missing before '{}'", excerpt(rest));
            return Err(self.problem(problem));
        }
        self.blanks();
        Ok(!self.rest().is_empty())
    }

    pub(super) fn until_blank(&mut self) -> &'a str {
        self.take_while(|c| !matches!(c, ' ' | '\t'))
    }

    /// What can be a key, a number or a name.
    pub(super) fn word(&mut self) -> &'a str {
        self.take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.'))
    }

    fn take_while(&mut self, belongs: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let end = rest.find(|c| !belongs(c)).unwrap_or(rest.len());
        self.at += end;
        rest.get(..end).unwrap_or_default()
    }

    /// A decimal number of at most `limit`.
    pub(super) fn number<T: TryFrom<u64>>(&mut self, limit: u64) -> Result<T, Problem> {
        let start = self.at;
        let word = self.word();
        let is_decimal = word.bytes().all(|byte| byte.is_ascii_digit());
        word.parse()
            .ok()
            .filter(|number| is_decimal && *number <= limit)
            .and_then(|number| T::try_from(number).ok())
            .ok_or_else(|| {
                Problem::new(start, format!("'{}' is no number up to {limit}", excerpt(word)))
            })
    }

    /// Quoted strings with `+` between them, each of which may be a run.
    pub(super) fn text(&mut self) -> Result<String, Problem> {
        let mut text = String::new();
        loop {
            let unit = self.quoted()?;
            match self.run(unit.len())? {
                Some(count) => text.push_str(&unit.repeat(count)),
                None => text.push_str(&unit),
            }
            if !self.eat('+') {
                return Ok(text);
            }
        }
    }

    /// Bytes, quoted or in hex, with `+` between parts, each of which may be a run.
    pub(super) fn bytes(&mut self) -> Result<Bytes, Problem> {
        let mut bytes = Vec::new();
        loop {
            let unit = match self.eat('x') {
                true => self.hex_digits()?,
                false => self.quoted()?.into_bytes(),
            };
            match self.run(unit.len())? {
                Some(count) => bytes.extend(unit.repeat(count)),
                None => bytes.extend(unit),
            }
            if !self.eat('+') {
                return Ok(Bytes::from(bytes));
            }
        }
    }

    /// Bytes in hex with blanks between them, up to a `!` or the end of the line.
    pub(super) fn hex_row(&mut self) -> Result<Bytes, Problem> {
        let mut bytes = Vec::new();
        while self.more()? && !self.is_at('!') {
            let start = self.at;
            let word = self.word();
            let byte = match word.as_bytes() {
                [high, low] => hex_byte(*high, *low),
                _ => None,
            };
            let byte = byte.ok_or_else(|| {
                Problem::new(start, format!("'{}' is no byte in hex", excerpt(word)))
            })?;
            let count = self.run(1)?.unwrap_or(1);
            bytes.resize(bytes.len() + count, byte);
        }
        Ok(Bytes::from(bytes))
    }

    fn hex_digits(&mut self) -> Result<Vec<u8>, Problem> {
        let start = self.at;
        let digits = self.take_while(|c| c.is_ascii_hexdigit()).as_bytes();
        let pairs = digits.chunks(2).map(|pair| match pair {
            [high, low] => hex_byte(*high, *low),
            _ => None,
        });
        pairs
            .collect::<Option<Vec<u8>>>()
            .filter(|bytes| !bytes.is_empty())
            .ok_or_else(|| Problem::new(start, "pairs of hex digits are missing"))
    }

    fn quoted(&mut self) -> Result<String, Problem> {
        let start = self.at;
        self.expect('"')?;
        let mut text = String::new();
        loop {
            text.push_str(self.take_while(|c| !matches!(c, '"' | '\\')));
            if self.eat('"') {
                return Ok(text);
            }
            if !self.eat('\\') {
                return Err(Problem::new(start, "no closing quote"));
            }
            text.push(self.escaped()?);
        }
    }

    /// The character that an escape stands for; its backslash has been read.
    fn escaped(&mut self) -> Result<char, Problem> {
        let start = self.at - 1;
        let stands_for = match self.rest().chars().next() {
            Some(c @ ('"' | '\\')) => {
                self.at += 1;
                Some(c)
            }
            Some('u') => {
                self.at += 1;
                self.expect('{')?;
                let digits = self.take_while(|c| c.is_ascii_hexdigit());
                self.expect('}')?;
                u32::from_str_radix(digits, 16).ok().and_then(char::from_u32)
            }
            _ => None,
        };
        let problem = "only \\\", \\\\ and \\u{..} with a character's number are escapes";
        stands_for.ok_or_else(|| Problem::new(start, problem))
    }

    /// How often a unit of `len` bytes is said to be repeated, if it is.
    fn run(&mut self, len: usize) -> Result<Option<usize>, Problem> {
        if !self.eat('*') {
            return Ok(None);
        }
        let count: usize = self.number(RUN_LIMIT as u64)?;
        let left = count.checked_mul(len).and_then(|size| self.budget.left.checked_sub(size));
        match left {
            Some(left) => {
                self.budget.left = left;
                Ok(Some(count))
            }
            None => {
                let limit = self.budget.limit;
                Err(self
                    .problem(format!("the runs of this text stand for more than {limit} bytes")))
            }
        }
    }
}

fn hex_byte(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(high)? << 4 | digit(low)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan<'a, T>(
        line: &'a str,
        read: impl Fn(&mut Scanner<'a>) -> Result<T, Problem>,
    ) -> Result<T, String> {
        let mut scanner = Scanner::new(line, Budget::new(100));
        let value =
            read(&mut scanner).map_err(|problem| format!("{}: {}", problem.at, problem.problem))?;
        assert_eq!(scanner.rest(), "", "{line}");
        Ok(value)
    }

    #[test]
    fn literals_are_read() {
        let text = |line| scan(line, Scanner::text);
        assert_eq!(text(r#""a \"b\" \\ \u{e9}\u{0}""#).as_deref(), Ok("a \"b\" \\ é\0"));
        assert_eq!(text(r#""ab"*3"#).as_deref(), Ok("ababab"));
        assert_eq!(text(r#""a"*0"#).as_deref(), Ok(""));
        assert_eq!(text(r#""m1"+"_"*3+"n""#).as_deref(), Ok("m1___n"));
        let bytes = |line| scan(line, Scanner::bytes);
        assert_eq!(bytes(r#""é""#), Ok(Bytes::from("é")));
        assert_eq!(bytes("x00fF"), Ok(Bytes::from_static(&[0, 0xFF])));
        assert_eq!(bytes("x0a0b*2"), Ok(Bytes::from_static(&[10, 11, 10, 11])));
        assert_eq!(bytes(r#"x00+"a"*2+xff"#), Ok(Bytes::from_static(b"\x00aa\xFF")));
        let row = scan(" 10  0e*3 00", Scanner::hex_row);
        assert_eq!(row, Ok(Bytes::from_static(&[0x10, 0x0E, 0x0E, 0x0E, 0])));
    }

    #[test]
    fn bad_literals_are_refused() {
        let escapes = "only \\\", \\\\ and \\u{..} with a character's number are escapes";
        for (line, problem) in [
            ("a", "0: '\"' is missing".to_owned()),
            (r#""a"#, "0: no closing quote".to_owned()),
            (r#""a\"#, format!("2: {escapes}")),
            (r#""a\n""#, format!("2: {escapes}")),
            (r#""a\é""#, format!("2: {escapes}")),
            (r#""\u{d800}""#, format!("1: {escapes}")),
            (r#""\u{}""#, format!("1: {escapes}")),
            (r#""\u0""#, "3: '{' is missing".to_owned()),
            (r#""\u{+1}""#, "4: '}' is missing".to_owned()),
            (r#""a"*"#, "4: '' is no number up to 1073741824".to_owned()),
            (r#""a"*+1"#, "4: '' is no number up to 1073741824".to_owned()),
            (r#""a"*101"#, "7: the runs of this text stand for more than 100 bytes".to_owned()),
        ] {
            assert_eq!(scan(line, Scanner::text), Err(problem), "{line}");
        }
        for line in ["x", "x0", "x000", "xg"] {
            let problem = "1: pairs of hex digits are missing".to_owned();
            assert_eq!(scan(line, Scanner::bytes), Err(problem), "{line}");
        }
    }
}
