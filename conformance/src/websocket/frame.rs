use bytes::{Buf, BufMut, Bytes, BytesMut};

/// The longest payload that is taken, in bytes: no packet of the suite has as many.
const LONGEST: u64 = 64 * 1024 * 1024;

/// What a frame is (RFC 6455, section 5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    /// Goes on with the message before.
    Continuation,
    /// Begins a message of text.
    Text,
    /// Begins a message of bytes.
    Binary,
    /// Closes the connection.
    Close,
    /// Wants a Pong.
    Ping,
    /// Answers a Ping.
    Pong,
    /// One that is not laid down.
    Reserved(u8),
}

impl Opcode {
    fn value(self) -> u8 {
        match self {
            Opcode::Continuation => 0x0,
            Opcode::Text => 0x1,
            Opcode::Binary => 0x2,
            Opcode::Close => 0x8,
            Opcode::Ping => 0x9,
            Opcode::Pong => 0xA,
            Opcode::Reserved(value) => value & 0x0F,
        }
    }

    fn of(value: u8) -> Opcode {
        match value & 0x0F {
            0x0 => Opcode::Continuation,
            0x1 => Opcode::Text,
            0x2 => Opcode::Binary,
            0x8 => Opcode::Close,
            0x9 => Opcode::Ping,
            0xA => Opcode::Pong,
            value => Opcode::Reserved(value),
        }
    }

    /// Whether frames like this are part of messages.
    pub fn is_data(self) -> bool {
        self.value() < 0x8
    }

    /// How it is called in traces and findings.
    pub fn name(self) -> &'static str {
        match self {
            Opcode::Continuation => "continuation frame",
            Opcode::Text => "text frame",
            Opcode::Binary => "binary frame",
            Opcode::Close => "Close frame",
            Opcode::Ping => "Ping frame",
            Opcode::Pong => "Pong frame",
            Opcode::Reserved(_) => "frame with a reserved opcode",
        }
    }
}

/// A frame (RFC 6455, section 5.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What it is.
    pub opcode: Opcode,
    /// Whether its message ends with it.
    pub is_last: bool,
    /// What it is masked with on its way: clients have to, servers must not.
    pub mask: Option<[u8; 4]>,
    /// What it carries, unmasked.
    pub payload: Bytes,
}

impl Frame {
    /// A frame that is a whole message, or a control frame, without a mask.
    pub fn whole(opcode: Opcode, payload: impl Into<Bytes>) -> Frame {
        Frame { opcode, is_last: true, mask: None, payload: payload.into() }
    }

    /// Appends it.
    pub fn write(&self, out: &mut BytesMut) {
        out.put_u8(u8::from(self.is_last) << 7 | self.opcode.value());
        let masked = u8::from(self.mask.is_some()) << 7;
        match self.payload.len() {
            len @ 0..=125 => out.put_u8(masked | len as u8),
            len @ 126..=0xFFFF => {
                out.put_u8(masked | 126);
                out.put_u16(len as u16);
            }
            len => {
                out.put_u8(masked | 127);
                out.put_u64(len as u64);
            }
        }
        let Some(mask) = self.mask else { return out.put_slice(&self.payload) };
        out.put_slice(&mask);
        out.extend(self.payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    }

    /// Takes the first frame off bytes, if it is whole.
    ///
    /// # Errors
    ///
    /// When it is announced to be longer than anything that is taken.
    pub fn take(bytes: &mut BytesMut) -> Result<Option<Frame>, String> {
        let [first, second, rest @ ..] = &bytes[..] else { return Ok(None) };
        let mut rest = rest;
        let wide = match second & 0x7F {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let masked = second & 0x80 != 0;
        if rest.remaining() < wide + if masked { 4 } else { 0 } {
            return Ok(None);
        }
        let length = match wide {
            2 => u64::from(rest.get_u16()),
            8 => rest.get_u64(),
            _ => u64::from(second & 0x7F),
        };
        if length > LONGEST {
            return Err(format!("a frame of {length} bytes"));
        }
        let mask = masked.then(|| rest.get_u32().to_be_bytes());
        let Some(length) = usize::try_from(length).ok().filter(|length| rest.len() >= *length)
        else {
            return Ok(None);
        };
        let (opcode, is_last) = (Opcode::of(*first), first & 0x80 != 0);
        let header = bytes.len() - rest.len();
        bytes.advance(header);
        let mut payload = bytes.split_to(length);
        if let Some(mask) = mask {
            payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
        }
        Ok(Some(Frame { opcode, is_last, mask, payload: payload.freeze() }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The examples of RFC 6455, section 5.7.
    #[test]
    fn frames_are_as_laid_down() {
        let mut out = BytesMut::new();
        Frame::whole(Opcode::Text, "Hello").write(&mut out);
        assert_eq!(out[..], [0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]);
        out.clear();
        let mask = Some([0x37, 0xfa, 0x21, 0x3d]);
        Frame { mask, ..Frame::whole(Opcode::Text, "Hello") }.write(&mut out);
        let masked = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
        assert_eq!(out[..], masked);
        out.clear();
        Frame { is_last: false, ..Frame::whole(Opcode::Text, "Hel") }.write(&mut out);
        assert_eq!(out[..], [0x01, 0x03, 0x48, 0x65, 0x6c]);
        out.clear();
        Frame::whole(Opcode::Binary, vec![0; 256]).write(&mut out);
        assert_eq!(out[..4], [0x82, 0x7E, 0x01, 0x00]);
        out.clear();
        Frame::whole(Opcode::Binary, vec![0; 65_536]).write(&mut out);
        assert_eq!(out[..10], [0x82, 0x7F, 0, 0, 0, 0, 0, 1, 0, 0]);
    }

    #[test]
    fn a_frame_without_end_is_not_waited_for() {
        let mut bytes = BytesMut::from(&[0x82, 0x7F, 0x80, 0, 0, 0, 0, 0, 0, 0][..]);
        assert!(Frame::take(&mut bytes).is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_is_taken_whole_and_not_before(
            opcode in any::<u8>(),
            is_last in any::<bool>(),
            payload in prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..300),
                (65_530_usize..65_540).prop_map(|length| vec![7; length]),
            ],
            mask in any::<Option<[u8; 4]>>(),
        ) {
            let opcode = Opcode::of(opcode);
            let frame = Frame { opcode, is_last, mask, payload: payload.into() };
            let mut out = BytesMut::new();
            frame.write(&mut out);
            let mut half = out.clone();
            half.truncate(out.len() - 1);
            prop_assert_eq!(Frame::take(&mut half), Ok(None));
            out.put_u8(0x55);
            prop_assert_eq!(Frame::take(&mut out), Ok(Some(frame)));
            prop_assert_eq!(&out[..], &[0x55]);
        }
    }
}
