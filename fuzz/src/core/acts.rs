//! An input as a row of acts.
//!
//! A byte from [`FIRST`] on begins an act; the lower bytes behind it are what the act chooses, as many as there
//! are. What is chosen beyond them is the plainest, what an act has no use for is passed over. So a byte more or
//! less changes one act, and not what all that come after it mean. [`ESCAPE`] makes the byte behind it a choice
//! that could not be one otherwise.

use crate::choices::Choices;

/// The lowest byte that begins an act.
pub(super) const FIRST: u8 = 0xC0;

/// Stands before a choice of this byte or a higher one, which is written as so much more than this.
const ESCAPE: u8 = 0xBF;

/// The acts of an input.
#[derive(Clone, Debug)]
pub(super) struct Acts<'a> {
    rest: &'a [u8],
}

impl<'a> Acts<'a> {
    /// What stands before the first act, and the acts.
    pub(super) fn new(input: &'a [u8]) -> (Vec<u8>, Acts<'a>) {
        let (head, rest) = input.split_at(end(input));
        (unescaped(head), Acts { rest })
    }

    /// The next act, without what all begin with, and what it chooses; none at the end.
    pub(super) fn next(&mut self) -> Option<(u8, Vec<u8>)> {
        let (act, rest) = self.rest.split_first()?;
        let (chosen, rest) = rest.split_at(end(rest));
        self.rest = rest;
        Some((act - FIRST, unescaped(chosen)))
    }
}

/// Where the next act begins.
fn end(bytes: &[u8]) -> usize {
    bytes.iter().position(|byte| *byte >= FIRST).unwrap_or(bytes.len())
}

fn unescaped(bytes: &[u8]) -> Vec<u8> {
    let mut meant = Vec::with_capacity(bytes.len());
    let mut bytes = bytes.iter();
    while let Some(byte) = bytes.next() {
        match *byte {
            ESCAPE => meant.extend(bytes.next().map(|byte| byte.wrapping_add(ESCAPE))),
            byte => meant.push(byte),
        }
    }
    meant
}

/// Appends an act that chooses this.
pub(super) fn write(input: &mut Vec<u8>, act: u8, chosen: &[u8]) {
    input.push(FIRST + act);
    for byte in chosen {
        match *byte {
            byte @ ESCAPE.. => input.extend([ESCAPE, byte - ESCAPE]),
            byte => input.push(byte),
        }
    }
}

/// The choices of an act.
pub(super) fn choices(chosen: &[u8], longest: usize) -> Choices<'_> {
    Choices::new(chosen).with_fields_up_to(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acts_are_read_as_they_are_written() {
        let all: Vec<u8> = (0..=u8::MAX).collect();
        let mut input = vec![7];
        write(&mut input, 3, &all);
        write(&mut input, 0, &[]);
        write(&mut input, 63, &[1]);
        let (head, mut acts) = Acts::new(&input);
        assert_eq!((head, acts.next()), (vec![7], Some((3, all))));
        assert_eq!((acts.next(), acts.next()), (Some((0, vec![])), Some((63, vec![1]))));
        assert_eq!(acts.next(), None);
    }
}
