//! Choices made by the bytes of an input.

use arbitrary::Unstructured;
use bytes::Bytes;

/// Reads an input as a row of choices. Whoever asks after its end gets the first choice each time,
/// so that a shorter input is a plainer case: what makes shrinking work.
///
/// Bytes are taken from the front only, so that seeds can be written by hand.
#[derive(Debug)]
pub struct Choices<'a> {
    input: Unstructured<'a>,
    longest: usize,
}

impl<'a> Choices<'a> {
    /// The choices of this input.
    pub fn new(input: &'a [u8]) -> Choices<'a> {
        Choices { input: Unstructured::new(input), longest: usize::MAX }
    }

    /// The same choices, but for fields: none is longer than this.
    #[must_use]
    pub fn with_fields_up_to(self, longest: usize) -> Choices<'a> {
        Choices { longest, ..self }
    }

    /// Whether nothing is left that could make a choice.
    pub fn is_empty(&self) -> bool {
        self.input.is_empty()
    }

    /// All that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        self.take(usize::MAX)
    }

    /// The next byte; 0 after the end.
    pub fn byte(&mut self) -> u8 {
        self.input.arbitrary().unwrap_or(0)
    }

    /// The next two bytes as a number, in network order.
    pub fn two(&mut self) -> u16 {
        self.input.arbitrary::<u16>().unwrap_or(0).swap_bytes()
    }

    /// The next four bytes as a number, in network order.
    pub fn four(&mut self) -> u32 {
        self.input.arbitrary::<u32>().unwrap_or(0).swap_bytes()
    }

    /// A number below `count`, by one byte, be it the only one. 0 if there is none.
    pub fn below(&mut self, count: usize) -> usize {
        usize::from(self.byte()).checked_rem(count).unwrap_or(0)
    }

    /// One of two, the plain one first.
    pub fn flag(&mut self) -> bool {
        self.below(2) == 1
    }

    /// True in one of `times` cases: for what is to be rare.
    pub fn rarely(&mut self, times: u8) -> bool {
        self.byte() >= u8::MAX - u8::MAX / times
    }

    /// True in one of `times` cases, spread over all bytes: for what is to be rare where high bytes are not to
    /// be had.
    pub fn one_in(&mut self, times: u8) -> bool {
        self.byte().checked_rem(times) == times.checked_sub(1)
    }

    /// One of a list, or nothing if the list is empty.
    pub fn of<T: Copy>(&mut self, list: &[T]) -> Option<T> {
        list.get(self.below(list.len())).copied()
    }

    /// As many of the next bytes as there are, up to `len`.
    pub fn take(&mut self, len: usize) -> &'a [u8] {
        self.input.bytes(len.min(self.input.len())).unwrap_or_default()
    }

    /// Bytes of a chosen length: short ones from the input, and now and then a long row of one byte
    /// around the length that a two-byte prefix can say.
    pub fn bytes(&mut self) -> Bytes {
        let len = match self.byte() {
            len @ 0..32 => return Bytes::copy_from_slice(self.take(usize::from(len))),
            len @ 32..255 => return Bytes::copy_from_slice(self.take(usize::from(len % 8))),
            255 => self.of(&[127, 128, 16_383, 65_535, 65_536]).unwrap_or_default(),
        };
        vec![b'x'; len.min(self.longest)].into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_the_input_makes_the_first_choice() {
        let mut choices = Choices::new(&[5]);
        assert_eq!((choices.below(3), choices.below(3), choices.four()), (2, 0, 0));
        assert!(!choices.rarely(16) && !choices.flag() && choices.is_empty());
        assert_eq!(
            (choices.bytes(), choices.of(&[7, 8]), choices.of::<u8>(&[])),
            (Bytes::new(), Some(7), None)
        );
    }

    #[test]
    fn rare_is_as_rare_as_asked() {
        let hits =
            |times| (0..=u8::MAX).filter(|byte| Choices::new(&[*byte]).rarely(times)).count();
        assert_eq!((hits(16), hits(2)), (16, 128));
        let hits = |times| (0..0xC0).filter(|byte| Choices::new(&[*byte]).one_in(times)).count();
        assert_eq!((hits(16), hits(2)), (12, 96));
    }
}
