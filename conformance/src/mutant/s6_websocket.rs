//! WebSocket as a network transport.

use reference_broker::codec::FixedHeader;

use super::Mutant;
use crate::websocket::{Frame, Listener, Opcode};

/// Changes single frames of a client.
struct Reads<F>(F);

impl<F: FnMut(Frame) -> Vec<Frame> + Send> Listener for Reads<F> {
    fn reads(&mut self, frame: Frame) -> Vec<Frame> {
        (self.0)(frame)
    }
}

/// Changes single frames to a client.
struct Writes<F>(F);

impl<F: FnMut(Frame) -> Vec<Frame> + Send> Listener for Writes<F> {
    fn writes(&mut self, frame: Frame) -> Vec<Frame> {
        (self.0)(frame)
    }
}

fn reads(rule: impl FnMut(Frame) -> Vec<Frame> + Send + 'static) -> Box<dyn Listener> {
    Box::new(Reads(rule))
}

/// The bytes of a whole number of packets at the front of some.
fn whole_packets(bytes: &[u8], most: usize) -> usize {
    let mut end = 0;
    for _ in 0..most {
        let Ok(Some(header)) = FixedHeader::decode(&bytes[end..]) else { break };
        let next = end + header.len + header.remaining_length as usize;
        if next > bytes.len() {
            break;
        }
        end = next;
    }
    end
}

/// Lets only so much of what is in a frame through.
fn cut(frame: Frame, length: usize) -> Vec<Frame> {
    let payload = frame.payload.slice(..length.min(frame.payload.len()));
    vec![Frame { payload, ..frame }]
}

/// A frame of a client with these bytes.
fn client_frame(bytes: &'static [u8]) -> Frame {
    Frame { mask: Some([1, 2, 3, 4]), ..Frame::whole(Opcode::Binary, bytes) }
}

/// Names a sub-protocol in the answer, or none, whatever the whole listener makes of the offer.
struct Selects {
    select: fn(&[String]) -> Option<String>,
    offers: Vec<String>,
}

const PROTOCOL: &str = "sec-websocket-protocol:";

fn is_protocol(line: &str) -> bool {
    line.get(..PROTOCOL.len()).is_some_and(|start| start.eq_ignore_ascii_case(PROTOCOL))
}

impl Listener for Selects {
    fn asked(&mut self, head: String) -> String {
        let offers = head.split("\r\n").filter(|line| is_protocol(line));
        self.offers = offers.map(|line| line[PROTOCOL.len()..].trim().to_owned()).collect();
        head
    }

    fn answered(&mut self, head: String) -> String {
        let selected = (self.select)(&self.offers);
        let lines = head.trim_end().split("\r\n").filter(|line| !is_protocol(line));
        let mut lines: Vec<_> = lines.map(str::to_owned).collect();
        lines.extend(selected.map(|protocol| format!("Sec-WebSocket-Protocol: {protocol}")));
        lines.join("\r\n") + "\r\n\r\n"
    }
}

fn selects(select: fn(&[String]) -> Option<String>) -> Box<dyn Listener> {
    Box::new(Selects { select, offers: Vec::new() })
}

/// Takes a Ping frame for a PINGREQ, whose answer nobody sees.
#[derive(Default)]
struct CountsPings {
    hidden: u32,
}

impl Listener for CountsPings {
    fn reads(&mut self, frame: Frame) -> Vec<Frame> {
        match frame.opcode {
            Opcode::Ping => {
                self.hidden += 1;
                vec![frame, client_frame(&[0xC0, 0])]
            }
            _ => vec![frame],
        }
    }

    fn writes(&mut self, frame: Frame) -> Vec<Frame> {
        match frame.payload[..] == [0xD0, 0] && self.hidden > 0 {
            true => {
                self.hidden -= 1;
                Vec::new()
            }
            false => vec![frame],
        }
    }
}

/// Closes for a frame.
fn closing(frame: Frame, is_bad: bool) -> Vec<Frame> {
    match is_bad {
        true => vec![Frame { opcode: Opcode::Close, is_last: true, payload: "".into(), ..frame }],
        false => vec![frame],
    }
}

pub(super) fn mutants() -> Vec<Mutant> {
    [text(), alignment(), handshake(), ends()].into_iter().flatten().collect()
}

fn text() -> Vec<Mutant> {
    const TEXT: &[&str] = &["MQTT-6.0.0-1"];
    fn as_binary(frame: Frame) -> Frame {
        match frame.opcode {
            Opcode::Text => Frame { opcode: Opcode::Binary, ..frame },
            _ => frame,
        }
    }
    vec![
        Mutant::listening(
            "6/text-frames-taken",
            "Packets in text frames are taken as others",
            TEXT,
            || reads(|frame| vec![as_binary(frame)]),
        ),
        Mutant::listening(
            "6/text-fragments-taken",
            "Packets in the fragments of a text message are taken as others",
            TEXT,
            || {
                reads(|frame| match frame.is_last {
                    true => vec![frame],
                    false => vec![as_binary(frame)],
                })
            },
        ),
        Mutant::listening(
            "6/first-text-frame-taken",
            "A text frame is taken if the connection begins with it",
            TEXT,
            || {
                let mut is_first = true;
                reads(move |frame| match std::mem::take(&mut is_first) {
                    true => vec![as_binary(frame)],
                    false => vec![frame],
                })
            },
        ),
        Mutant::listening(
            "6/text-frames-overlooked",
            "Text frames are thrown away, and the connection stays open",
            TEXT,
            || {
                reads(|frame| match frame.opcode {
                    Opcode::Text => Vec::new(),
                    _ => vec![frame],
                })
            },
        ),
        Mutant::listening(
            "6/text-frames-taken-before-the-close",
            "A packet in a text frame is processed, and the connection closed then",
            TEXT,
            || {
                reads(|frame| match frame.opcode {
                    Opcode::Text => vec![as_binary(frame.clone()), frame],
                    _ => vec![frame],
                })
            },
        ),
        Mutant::listening("6/sends-text-frames", "Packets are sent in text frames", TEXT, || {
            Box::new(Writes(|frame: Frame| {
                vec![match frame.opcode {
                    Opcode::Binary => Frame { opcode: Opcode::Text, ..frame },
                    _ => frame,
                }]
            }))
        }),
        Mutant::listening(
            "6/publishes-in-text-frames",
            "Messages are sent in text frames if they are text",
            TEXT,
            || {
                Box::new(Writes(|frame: Frame| {
                    let is_publish = matches!(frame.payload.first(), Some(0x30..=0x3F));
                    vec![match is_publish {
                        true => Frame { opcode: Opcode::Text, ..frame },
                        false => frame,
                    }]
                }))
            },
        ),
    ]
}

fn alignment() -> Vec<Mutant> {
    const ALIGNED: &[&str] = &["MQTT-6.0.0-2"];
    vec![
        Mutant::listening(
            "6/half-packets-lost",
            "What is no whole packet at the end of a frame is lost",
            ALIGNED,
            || {
                reads(|frame| match frame.opcode.is_data() {
                    true => {
                        let length = whole_packets(&frame.payload, usize::MAX);
                        cut(frame, length)
                    }
                    false => vec![frame],
                })
            },
        ),
        Mutant::listening(
            "6/second-packet-lost",
            "Of the packets in a frame only the first is taken",
            ALIGNED,
            || {
                reads(|frame| match frame.opcode.is_data() {
                    true => match whole_packets(&frame.payload, 1) {
                        0 => vec![frame],
                        length => cut(frame, length),
                    },
                    false => vec![frame],
                })
            },
        ),
        Mutant::listening(
            "6/fragments-lost",
            "Of a message in fragments only the first is taken",
            ALIGNED,
            || {
                reads(|frame| match frame.opcode {
                    Opcode::Continuation => Vec::new(),
                    Opcode::Binary => vec![Frame { is_last: true, ..frame }],
                    _ => vec![frame],
                })
            },
        ),
        Mutant::listening(
            "6/empty-frames-refused",
            "A frame with nothing in it closes the connection",
            ALIGNED,
            || {
                reads(|frame| {
                    let is_bad = frame.opcode.is_data() && frame.payload.is_empty();
                    closing(frame, is_bad)
                })
            },
        ),
        Mutant::listening(
            "6/pings-between-fragments-refused",
            "A Ping frame between fragments closes the connection",
            ALIGNED,
            || {
                let mut is_within = false;
                reads(move |frame| {
                    if frame.opcode.is_data() {
                        is_within = !frame.is_last;
                    }
                    let is_bad = is_within && frame.opcode == Opcode::Ping;
                    closing(frame, is_bad)
                })
            },
        ),
        Mutant::listening(
            "6/large-frames-cut",
            "Of a frame only the first 128 kB are taken",
            ALIGNED,
            || reads(|frame| cut(frame, 128 * 1024)),
        ),
    ]
}

fn handshake() -> Vec<Mutant> {
    const SELECTED: &[&str] = &["MQTT-6.0.0-4"];
    vec![
        Mutant::listening(
            "6/no-protocol-selected",
            "The answer to the handshake names no sub-protocol",
            SELECTED,
            || selects(|_| None),
        ),
        Mutant::listening(
            "6/first-protocol-selected",
            "The first sub-protocol that is offered is selected",
            SELECTED,
            || {
                selects(|offers| {
                    let first = offers.first()?.split(',').next()?;
                    Some(first.trim().to_owned())
                })
            },
        ),
        Mutant::listening(
            "6/offers-given-back",
            "The whole offer is given back as what is selected",
            SELECTED,
            || selects(|offers| offers.first().cloned()),
        ),
        Mutant::listening(
            "6/second-offer-overlooked",
            "Of several headers that offer sub-protocols only the first is read",
            SELECTED,
            || {
                selects(|offers| {
                    let mut first = offers.first()?.split(',');
                    first.any(|offer| offer.trim() == "mqtt").then(|| "mqtt".to_owned())
                })
            },
        ),
    ]
}

fn ends() -> Vec<Mutant> {
    vec![
        Mutant::listening(
            "6/ping-frames-count",
            "Ping frames count for the Keep Alive",
            &["MQTT-3.1.2-22"],
            || Box::new(CountsPings::default()),
        ),
        Mutant::listening(
            "6/close-frame-taken-for-disconnect",
            "A Close frame is taken for a DISCONNECT, so no Will is published",
            &["MQTT-3.1.2-8"],
            || {
                reads(|frame| match frame.opcode {
                    Opcode::Close => vec![client_frame(&[0xE0, 0]), frame],
                    _ => vec![frame],
                })
            },
        ),
        Mutant::listening(
            "6/text-frame-discards-will",
            "The Will of a client that is closed for a text frame is not published",
            &["MQTT-3.1.2-8"],
            || {
                reads(|frame| match frame.opcode {
                    Opcode::Text => vec![client_frame(&[0xE0, 0]), frame],
                    _ => vec![frame],
                })
            },
        ),
        Mutant::listening(
            "6/disconnect-in-a-frame-lost",
            "A DISCONNECT is lost over WebSocket, so the Will is published",
            &["MQTT-3.14.4-3"],
            || {
                reads(|frame| match frame.payload.first() {
                    Some(0xE0) => Vec::new(),
                    _ => vec![frame],
                })
            },
        ),
    ]
}
