//! WebSocket's frames (RFC 6455, section 5), one byte after another.

use bytes::{BufMut, BytesMut};

use super::Role;

/// The most that a control frame carries.
pub(super) const MAX_CONTROL: usize = 125;

/// The longest header: two bytes, eight of length, four of mask.
const MAX_HEADER: usize = 14;

const FIN: u8 = 0x80;
const RESERVED: u8 = 0x70;
const MASKED: u8 = 0x80;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opcode {
    Binary = 0x2,
    Close = 0x8,
    Ping = 0x9,
    Pong = 0xA,
}

/// Why a connection is closed, as the close frame says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CloseCode {
    Normal = 1000,
    Protocol = 1002,
    Unsupported = 1003,
}

/// What breaks the rules, and the code to close with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Violation {
    pub(super) code: CloseCode,
    pub(super) what: &'static str,
}

/// What the other side wants besides giving bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Control {
    /// To have this back.
    Ping(Vec<u8>),
    /// To close; the reason to be given back.
    Close(Vec<u8>),
}

/// A masking key and how far it has been gone through.
#[derive(Debug, Clone, Copy, Default)]
struct Mask {
    key: [u8; 4],
    position: usize,
}

impl Mask {
    fn apply(&mut self, bytes: &mut [u8]) {
        if self.key == [0; 4] {
            return;
        }
        self.key.rotate_left(self.position);
        for chunk in bytes.chunks_mut(4) {
            chunk.iter_mut().zip(self.key).for_each(|(byte, key)| *byte ^= key);
        }
        self.key.rotate_right(self.position);
        self.position = (self.position + bytes.len()) % 4;
    }
}

/// Takes the frames of the other side apart. It keeps a header or the payload of a control frame
/// that is not whole yet, and nothing else.
#[derive(Debug)]
pub(super) struct Decoder {
    role: Role,
    state: State,
    /// Whether a message has begun whose last frame is still to come.
    in_message: bool,
}

#[derive(Debug)]
enum State {
    Header { bytes: [u8; MAX_HEADER], len: usize },
    Data { left: u64, mask: Mask },
    Control { opcode: Opcode, left: usize, mask: Mask, payload: Vec<u8> },
}

const START: State = State::Header { bytes: [0; MAX_HEADER], len: 0 };

/// What [`Decoder::decode`] made of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Decoded {
    /// How many bytes of payload are now at the front of them.
    pub(super) payload: usize,
    /// How many of them were taken in; the rest is to be given again.
    pub(super) taken: usize,
    /// What to answer before that.
    pub(super) control: Option<Control>,
}

impl Decoder {
    pub(super) fn new(role: Role) -> Self {
        Decoder { role, state: START, in_message: false }
    }

    /// Moves the payload in `bytes` to their front, up to the first control frame that wants an
    /// answer, or the first violation. That comes behind the payload before it.
    // MQTT-6.0.0-2
    pub(super) fn decode(&mut self, bytes: &mut [u8]) -> (Decoded, Option<Violation>) {
        let mut done = Decoded { payload: 0, taken: 0, control: None };
        while done.taken < bytes.len() && done.control.is_none() {
            if let Err(violation) = self.step(bytes, &mut done) {
                return (done, Some(violation));
            }
        }
        (done, None)
    }

    fn step(&mut self, bytes: &mut [u8], done: &mut Decoded) -> Result<(), Violation> {
        let available = bytes.len() - done.taken;
        match &mut self.state {
            State::Header { bytes: header, len } => {
                header[*len] = bytes[done.taken];
                *len += 1;
                done.taken += 1;
                if *len == header_len(&header[..*len]) {
                    let header = header_of(&header[..*len]);
                    self.state = self.begin(header)?;
                }
            }
            State::Data { left, mask } => {
                let count = usize::try_from(*left).unwrap_or(usize::MAX).min(available);
                bytes.copy_within(done.taken..done.taken + count, done.payload);
                mask.apply(&mut bytes[done.payload..done.payload + count]);
                done.payload += count;
                done.taken += count;
                *left -= count as u64;
            }
            State::Control { left, mask, payload, .. } => {
                let count = (*left).min(available);
                let part = &mut bytes[done.taken..done.taken + count];
                mask.apply(part);
                payload.extend_from_slice(part);
                done.taken += count;
                *left -= count;
            }
        }
        done.control = self.finish()?;
        Ok(())
    }

    /// Checks a header and says what follows it.
    fn begin(&mut self, header: Header) -> Result<State, Violation> {
        if header.first & RESERVED != 0 {
            return Err(protocol("a reserved bit is set: no extension was agreed"));
        }
        if header.mask.is_some() != (self.role == Role::Server) {
            return Err(protocol("clients mask their frames, servers do not"));
        }
        if header.is_padded {
            return Err(protocol("a payload length in more bytes than it needs"));
        }
        let mask = Mask { key: header.mask.unwrap_or_default(), position: 0 };
        let is_last = header.first & FIN != 0;
        let opcode = match header.first & 0x0F {
            0x0 if !self.in_message => return Err(protocol("a continuation of nothing")),
            0x1 | 0x2 if self.in_message => {
                return Err(protocol("a message within another"));
            }
            0x0 | 0x2 => {
                self.in_message = !is_last;
                return Ok(State::Data { left: header.payload, mask });
            }
            0x1 => {
                let what = "a text frame: MQTT is carried by binary ones";
                return Err(Violation { code: CloseCode::Unsupported, what }); // MQTT-6.0.0-1
            }
            0x8 => Opcode::Close,
            0x9 => Opcode::Ping,
            0xA => Opcode::Pong,
            _ => return Err(protocol("a reserved opcode")),
        };
        match usize::try_from(header.payload) {
            Ok(left) if left <= MAX_CONTROL && is_last => {
                Ok(State::Control { opcode, left, mask, payload: Vec::new() })
            }
            _ => Err(protocol("a control frame in parts or of more than 125 bytes")),
        }
    }

    /// Ends a frame whose payload is whole.
    fn finish(&mut self) -> Result<Option<Control>, Violation> {
        let whole = match &self.state {
            State::Header { .. } => false,
            State::Data { left, .. } => *left == 0,
            State::Control { left, .. } => *left == 0,
        };
        if !whole {
            return Ok(None);
        }
        match std::mem::replace(&mut self.state, START) {
            State::Control { opcode: Opcode::Ping, payload, .. } => {
                Ok(Some(Control::Ping(payload)))
            }
            State::Control { opcode: Opcode::Close, payload, .. } => close(payload).map(Some),
            _ => Ok(None),
        }
    }
}

/// A close frame is empty or begins with a code that may be sent; the rest of it is text.
fn close(payload: Vec<u8>) -> Result<Control, Violation> {
    let Some((code, text)) = payload.split_first_chunk::<2>() else {
        return match payload.len() {
            0 => Ok(Control::Close(payload)),
            _ => Err(protocol("half a close code")),
        };
    };
    let code = u16::from_be_bytes(*code);
    let is_code = matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
    if !is_code || std::str::from_utf8(text).is_err() {
        return Err(protocol("a close code that is none, or a reason that is no text"));
    }
    Ok(Control::Close(code.to_be_bytes().to_vec()))
}

fn protocol(what: &'static str) -> Violation {
    Violation { code: CloseCode::Protocol, what }
}

struct Header {
    first: u8,
    payload: u64,
    mask: Option<[u8; 4]>,
    /// Whether a shorter form would have held the length.
    is_padded: bool,
}

/// How long a header is, by as much of it as there is.
fn header_len(bytes: &[u8]) -> usize {
    let [_, second, ..] = bytes else { return 2 };
    2 + length_len(*second) + if second & MASKED != 0 { 4 } else { 0 }
}

fn length_len(second: u8) -> usize {
    match second & !MASKED {
        126 => 2,
        127 => 8,
        _ => 0,
    }
}

/// Reads a header that is whole.
fn header_of(bytes: &[u8]) -> Header {
    let second = bytes[1];
    let (length, key) = bytes[2..].split_at(length_len(second));
    let payload = match length.len() {
        0 => u64::from(second & !MASKED),
        _ => length.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)),
    };
    let is_padded = match length.len() {
        2 => payload < 126,
        8 => payload <= u64::from(u16::MAX) || payload > i64::MAX as u64,
        _ => false,
    };
    Header { first: bytes[0], payload, mask: key.first_chunk().copied(), is_padded }
}

/// Appends a whole frame; a client gives a mask.
pub(super) fn encode(out: &mut BytesMut, opcode: Opcode, payload: &[u8], mask: Option<[u8; 4]>) {
    out.reserve(MAX_HEADER + payload.len());
    let masked = if mask.is_some() { MASKED } else { 0 };
    out.put_u8(FIN | opcode as u8);
    match (payload.len(), u16::try_from(payload.len())) {
        (len @ 0..=125, _) => out.put_u8(masked | len as u8),
        (_, Ok(len)) => {
            out.put_u8(masked | 126);
            out.put_u16(len);
        }
        (len, Err(_)) => {
            out.put_u8(masked | 127);
            out.put_u64(len as u64);
        }
    }
    out.put_slice(&mask.unwrap_or_default()[..if mask.is_some() { 4 } else { 0 }]);
    let start = out.len();
    out.put_slice(payload);
    Mask { key: mask.unwrap_or_default(), position: 0 }.apply(&mut out[start..]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: Option<[u8; 4]> = Some([0x37, 0xFA, 0x21, 0x3D]);

    /// All that comes out of bytes given in parts of this size.
    fn decode(bytes: &[u8], part: usize) -> (Vec<u8>, Vec<Control>, Option<Violation>) {
        let mut decoder = Decoder::new(Role::Server);
        let (mut payload, mut controls) = (Vec::new(), Vec::new());
        for chunk in bytes.chunks(part) {
            let mut chunk = chunk.to_vec();
            while !chunk.is_empty() {
                let (done, violation) = decoder.decode(&mut chunk);
                payload.extend_from_slice(&chunk[..done.payload]);
                controls.extend(done.control);
                if violation.is_some() {
                    return (payload, controls, violation);
                }
                chunk.drain(..done.taken);
            }
        }
        (payload, controls, None)
    }

    fn violation(bytes: &[u8]) -> CloseCode {
        let (_, _, violation) = decode(bytes, 1);
        assert_eq!(violation, decode(bytes, usize::MAX).2);
        violation.expect("a violation").code
    }

    #[test]
    fn what_breaks_the_rules() {
        for (bytes, code) in [
            (&[0x81, 0x80, 0, 0, 0, 0][..], CloseCode::Unsupported),
            (&[0x82, 0x00], CloseCode::Protocol),
            (&[0xC2, 0x80, 0, 0, 0, 0], CloseCode::Protocol),
            (&[0x83, 0x80, 0, 0, 0, 0], CloseCode::Protocol),
            (&[0x8B, 0x80, 0, 0, 0, 0], CloseCode::Protocol),
            (&[0x80, 0x80, 0, 0, 0, 0], CloseCode::Protocol),
            (&[0x02, 0x80, 0, 0, 0, 0, 0x82, 0x80, 0, 0, 0, 0], CloseCode::Protocol),
            (&[0x09, 0x80, 0, 0, 0, 0], CloseCode::Protocol),
            (&[0x89, 0xFE, 0, 126, 0, 0, 0, 0], CloseCode::Protocol),
            (&[0x82, 0xFE, 0, 125, 0, 0, 0, 0], CloseCode::Protocol),
            (&[0x82, 0xFF, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 0, 0, 0, 0], CloseCode::Protocol),
            (&[0x82, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], CloseCode::Protocol),
            (&[0x88, 0x81, 0, 0, 0, 0, 3], CloseCode::Protocol),
            (&[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xED], CloseCode::Protocol),
            (&[0x88, 0x83, 0, 0, 0, 0, 0x03, 0xE8, 0xFF], CloseCode::Protocol),
        ] {
            assert_eq!(violation(bytes), code, "{bytes:02X?}");
        }
    }

    #[test]
    fn an_announcement_costs_nothing() {
        let header = [0x82, 0xFF, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, b'x'];
        assert_eq!(decode(&header, 1), (b"x".to_vec(), vec![], None));
    }

    #[test]
    fn payload_before_a_violation_is_given() {
        let mut bytes = BytesMut::new();
        encode(&mut bytes, Opcode::Binary, b"good", KEY);
        bytes.extend_from_slice(&[0x81, 0x80, 0, 0, 0, 0]);
        let (payload, _, violation) = decode(&bytes, usize::MAX);
        assert_eq!((&*payload, violation.is_some()), (&b"good"[..], true));
    }

    #[test]
    fn a_client_takes_no_masked_frame() {
        let mut bytes = BytesMut::new();
        encode(&mut bytes, Opcode::Binary, b"x", KEY);
        assert!(Decoder::new(Role::Client).decode(&mut bytes).1.is_some());
        bytes.clear();
        encode(&mut bytes, Opcode::Binary, b"x", None);
        assert_eq!(Decoder::new(Role::Client).decode(&mut bytes).0.payload, 1);
    }

    #[derive(Debug, Clone)]
    enum Step {
        Message(Vec<Vec<u8>>),
        Ping(Vec<u8>),
        Pong(Vec<u8>),
    }

    fn step() -> impl Strategy<Value = Step> {
        let bytes = |most| proptest::collection::vec(any::<u8>(), 0..most);
        prop_oneof![
            proptest::collection::vec(bytes(300_usize), 1..4).prop_map(Step::Message),
            Just(Step::Message(vec![vec![7; 70_000]])),
            bytes(126).prop_map(Step::Ping),
            bytes(126).prop_map(Step::Pong),
        ]
    }

    proptest! {
        #[test]
        fn frames_may_be_cut_anywhere(
            steps in proptest::collection::vec(step(), 0..8),
            key in any::<[u8; 4]>(),
            part in 1..5_000_usize,
        ) {
            let mut bytes = BytesMut::new();
            let (mut payload, mut pings) = (Vec::new(), Vec::new());
            for step in steps {
                match step {
                    Step::Message(parts) => {
                        for (n, part) in parts.iter().enumerate() {
                            let start = bytes.len();
                            encode(&mut bytes, Opcode::Binary, part, Some(key));
                            if n > 0 {
                                bytes[start] &= !0x0F; // A continuation.
                            }
                            if n + 1 < parts.len() {
                                bytes[start] &= !FIN;
                            }
                            payload.extend_from_slice(part);
                        }
                    }
                    Step::Ping(data) => {
                        encode(&mut bytes, Opcode::Ping, &data, Some(key));
                        pings.push(Control::Ping(data));
                    }
                    Step::Pong(data) => encode(&mut bytes, Opcode::Pong, &data, Some(key)),
                }
            }
            prop_assert_eq!(decode(&bytes, part), (payload, pings, None));
        }
    }
}
