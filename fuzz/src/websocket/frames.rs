//! Frames to send.

use bytes::BytesMut;
use conformance::websocket::{Frame, Opcode};

use crate::choices::Choices;

/// Which side reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Server,
    Client,
}

/// How many frames an input makes at the most.
const FRAMES: usize = 40;

/// Frames by choice: mostly messages as they are to be, in parts and with control frames between, and now
/// and then whatever breaks a rule.
pub(super) fn made(role: Role, choices: &mut Choices<'_>) -> Vec<u8> {
    let mut out = BytesMut::new();
    let mut is_in_message = false;
    for _ in 0..FRAMES {
        if choices.is_empty() {
            break;
        }
        let what = choices.byte();
        let data = if is_in_message { Opcode::Continuation } else { Opcode::Binary };
        let mut frame = Frame::whole(data, choices.bytes());
        match what % 8 {
            0 => {}
            1 | 2 => frame.is_last = false,
            3 => frame.opcode = Opcode::Ping,
            4 => frame.opcode = Opcode::Pong,
            5 if what > 128 => frame.opcode = Opcode::Close,
            6 if what > 192 => frame.opcode = Opcode::Reserved(what),
            7 if what > 224 => (frame.opcode, frame.is_last) = (Opcode::Text, choices.flag()),
            _ => frame.opcode = Opcode::Ping,
        }
        if !frame.opcode.is_data() && !choices.rarely(32) {
            frame.payload.truncate(125);
        }
        if frame.opcode.is_data() {
            is_in_message = !frame.is_last;
        }
        let is_masked = (role == Role::Server) != choices.rarely(64);
        frame.mask = is_masked.then(|| choices.four().to_be_bytes());
        let start = out.len();
        frame.write(&mut out);
        if choices.rarely(32) {
            // A header that says something else.
            out[start + choices.below(2)] ^= choices.byte();
        }
    }
    out.to_vec()
}

/// A frame of every kind, and of every form of length.
pub(super) fn examples(role: Role) -> Vec<Vec<u8>> {
    let frame = |opcode, payload: &[u8]| Frame::whole(opcode, payload.to_vec());
    let part = |frame: Frame| Frame { is_last: false, ..frame };
    let written = |frames: &[Frame]| {
        let mut out = BytesMut::new();
        for frame in frames {
            let mask = (role == Role::Server).then_some([1, 2, 3, 4]);
            Frame { mask, ..frame.clone() }.write(&mut out);
        }
        out.to_vec()
    };
    let data = frame(Opcode::Binary, b"\xC0\x00");
    vec![
        written(&[data.clone(), frame(Opcode::Binary, b"")]),
        written(&[
            part(data.clone()),
            frame(Opcode::Ping, b"p"),
            frame(Opcode::Continuation, b"x"),
        ]),
        written(&[frame(Opcode::Binary, &[7; 126]), frame(Opcode::Pong, b""), data.clone()]),
        written(&[frame(Opcode::Binary, &[7; 3000])]),
        written(&[data.clone(), frame(Opcode::Close, b"\x03\xE8bye"), data.clone()]),
        written(&[frame(Opcode::Close, b"")]),
        written(&[frame(Opcode::Close, b"\x03\xE8\xFF")]),
        written(&[frame(Opcode::Text, b"text")]),
        written(&[part(data.clone()), data.clone()]),
        written(&[frame(Opcode::Reserved(3), b"")]),
        // A length of eight bytes that nothing has, and one that needs only two.
        [&written(&[data])[..], &[0x82, 0xFF, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, b'x']]
            .concat(),
        vec![0x82, 0xFF, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0],
        vec![0x82, 0x7E | u8::from(role == Role::Server) << 7, 0, 5, 0, 0, 0, 0, b'x'],
    ]
}
