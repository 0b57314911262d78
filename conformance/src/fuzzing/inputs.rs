//! What is sent: scripts by chance, the same for the same seed.

use std::time::Duration;

use bytes::Bytes;
use reference_broker::codec::{Connect, Packet, PacketType, PublishAck};
use reference_broker::core::Config;

use crate::chance::Chance;
use crate::differential::{Generator, Worlds};
use crate::script::{Act, Script, Step};

use super::altering::altering;

/// A script does not wait for longer in all: while it does, nothing is tried.
const LONGEST: Duration = Duration::from_secs(3);

/// What an input is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A session in which one field of one packet is altered.
    Field,
    /// Raw bytes.
    Raw,
    /// A session of several clients as it is.
    Session,
}

impl Kind {
    /// A word for it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Field => "field",
            Kind::Raw => "raw",
            Kind::Session => "session",
        }
    }
}

/// What is sent together.
#[derive(Clone, Debug)]
pub struct Input {
    /// Its number, from 1.
    pub number: usize,
    /// What it is.
    pub kind: Kind,
    /// What clients do. At the end all that are connected send PINGREQ.
    pub script: Script,
}

/// All inputs of a seed.
#[derive(Debug)]
pub struct Inputs {
    generator: Generator,
    chance: Chance,
    kept: Vec<Script>,
    number: usize,
}

impl Inputs {
    /// The inputs of a seed, for a broker that announces what this configuration does. Scripts that are kept are
    /// altered as generated ones are.
    pub fn new(seed: u64, config: Config, worlds: Worlds, kept: Vec<Script>) -> Inputs {
        let generator = Generator::new(seed, config, worlds);
        Inputs { generator, chance: Chance::new(seed), kept, number: 0 }
    }

    fn base(&mut self) -> Script {
        let script = match self.kept.len() {
            0 => self.generator.session(),
            count => match self.chance.below(3) {
                0 => self.kept[self.chance.below(count)].clone(),
                _ => self.generator.session(),
            },
        };
        hurried(script)
    }

    /// A session with an alteration, and what is left of it after that.
    fn field(&mut self) -> Script {
        let mut script = self.base();
        let packets: Vec<_> = script
            .steps
            .iter()
            .enumerate()
            .filter_map(|(at, step)| Some((at, sent(step)?)))
            .collect();
        // Each type as often as any other, however often it is sent.
        let mut types: Vec<_> = packets.iter().map(|(_, it)| it.packet_type()).collect();
        types.sort_unstable_by_key(|it| it.value());
        types.dedup();
        let Some(chosen) = types.get(self.chance.below(types.len())) else { return script };
        let of_type: Vec<_> =
            packets.iter().filter(|(_, it)| it.packet_type() == *chosen).collect();
        let (at, packet) = of_type[self.chance.below(of_type.len())];
        if let Some(alteration) = altering(&mut self.chance, packet) {
            let connection = script.steps[*at].connection.clone();
            script.steps.insert(*at, Step::new(&connection, Act::Alters(alteration)));
        }
        script
    }

    /// One client who sends bytes, before or after its CONNECT.
    fn raw(&mut self) -> Script {
        let mut steps = vec![Step::new("raw", Act::Open)];
        if self.chance.below(3) > 0 {
            let connect = Connect::new("~raw").keep_alive(60);
            steps.push(Step::new("raw", Act::Send(connect.into())));
        }
        for _ in 0..=self.chance.below(3) {
            steps.push(Step::new("raw", Act::SendBytes(self.bytes())));
        }
        match self.chance.below(4) {
            0 => steps.push(Step::new("raw", Act::Close)),
            1 => steps.push(Step::new("raw", Act::HalfClose)),
            _ => {}
        }
        Script { steps }
    }

    fn bytes(&mut self) -> Bytes {
        let chance = &mut self.chance;
        let any = |chance: &mut Chance| u8::try_from(chance.below(256)).unwrap_or(0);
        let row = |chance: &mut Chance, len: usize| -> Vec<u8> {
            (0..len).map(|_| any(chance)).collect()
        };
        let first = any(chance);
        let len = [0, 1, 2, 5, 20, 100, 127][chance.below(7)];
        match chance.below(5) {
            // Anything.
            0 => row(chance, 1 + 8 * len).into(),
            // As long as it says.
            1 | 2 => {
                let body = row(chance, len);
                let len = u8::try_from(len).unwrap_or(0);
                [vec![first, len], body].concat().into()
            }
            // As a packet begins that is far longer.
            3 => [vec![first, 0xFF, 0xFF, 0xFF, 0x7F], row(chance, len)].concat().into(),
            // Many small packets together.
            _ => {
                let one = [vec![0xC0, 0], vec![first & 0xF0, 0], vec![0x30, 3, 0, 0, 0]];
                one[chance.below(3)].repeat(1 + 20 * len).into()
            }
        }
    }
}

impl Iterator for Inputs {
    type Item = Input;

    fn next(&mut self) -> Option<Input> {
        self.number += 1;
        let (kind, mut script) = match self.chance.below(10) {
            0..=5 => (Kind::Field, self.field()),
            6 => (Kind::Raw, self.raw()),
            _ => (Kind::Session, self.base()),
        };
        ask_all(&mut script);
        Some(Input { number: self.number, kind, script })
    }
}

/// The packet that a step sends, if an alteration before it changes it.
fn sent(step: &Step) -> Option<Packet> {
    match &step.act {
        Act::Send(packet) => Some(packet.clone()),
        Act::Acknowledge(meant) => {
            let ack = PublishAck {
                packet_id: 1,
                reason: meant.reason,
                properties: meant.properties.clone(),
            };
            Some(match meant.packet {
                PacketType::PubAck => Packet::PubAck(ack),
                PacketType::PubRec => Packet::PubRec(ack),
                _ => Packet::PubComp(ack),
            })
        }
        _ => None,
    }
}

/// Without waits, if there are too many.
fn hurried(mut script: Script) -> Script {
    if script.waits() > LONGEST {
        script.steps.retain(|step| !matches!(step.act, Act::Wait(_)));
    }
    script
}

/// At the end each connection asks whether it is served.
fn ask_all(script: &mut Script) {
    let mut connections: Vec<_> = script.steps.iter().map(|step| step.connection.clone()).collect();
    connections.sort_unstable();
    connections.dedup();
    let ask = |connection: String| Step { connection, act: Act::Send(Packet::PingReq) };
    script.steps.extend(connections.into_iter().map(ask));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::{parse, play, to_text};
    use crate::target::Variant;

    #[test]
    fn the_same_seed_gives_the_same_inputs_and_all_of_them_can_be_replayed() {
        let inputs = |seed| Inputs::new(seed, Config::default(), Worlds::all(), Vec::new());
        let scripts = |seed| inputs(seed).take(60).map(|it| it.script).collect::<Vec<_>>();
        assert_eq!(scripts(7), scripts(7));
        assert_ne!(scripts(7), scripts(8));
        let mut kinds = Vec::new();
        for Input { kind, script, .. } in inputs(9).take(100) {
            assert_eq!(parse(&to_text(&script)).unwrap(), script);
            play(&script, &Variant::default(), &Config::default());
            assert!(script.waits() <= LONGEST);
            kinds.push(kind);
        }
        kinds.sort_unstable();
        kinds.dedup();
        assert_eq!(kinds, [Kind::Field, Kind::Raw, Kind::Session]);
    }
}
