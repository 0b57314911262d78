//! Packet vectors and scripts as inputs.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use conformance::script::{self, Act, Script};
use reference_broker::codec::vector::Vector;
use reference_broker::codec::{Packet, PacketType, Side};

use super::act::{
    ACKNOWLEDGE, ANSWER, BYTES, CONNECT, DISCONNECT, DROP, OPEN, PASS, PING, REFUSE, SLOT,
};
use super::acts::write;
use crate::seed::{ROOT, files, invalid};

/// A vector of the client's side, sent by a client that is connected, or in place of its CONNECT.
pub(crate) fn for_core(vector: &Vector) -> Option<Vec<u8>> {
    if vector.from() != Ok(Side::Client) {
        return None;
    }
    let is_connect = vector.bytes.first().is_some_and(|first| first >> 4 == 1);
    let comes_first = match vector.fields.get("when") {
        Some(when) => when == "first",
        None => is_connect,
    };
    let mut input = Vec::new();
    write(&mut input, if comes_first { OPEN } else { CONNECT }, &[]);
    write(&mut input, BYTES, &[&[0], &vector.bytes[..]].concat());
    Some(input)
}

/// A script as an input, and how many of its steps that has: times to cut bytes at, and what a broker has to
/// be, it has not.
pub(crate) fn from_script(script: &Script) -> (Vec<u8>, usize) {
    let mut writer = Writer { input: Vec::new(), slots: BTreeMap::new() };
    let written = script.steps.iter().filter(|step| writer.step(&step.connection, &step.act));
    let count = written.count();
    (writer.input, count)
}

/// The scripts of all scenarios, as their kept traces have them.
///
/// # Errors
///
/// When a trace cannot be read.
pub(crate) fn scripts() -> io::Result<Vec<Vec<u8>>> {
    Ok(kept_scripts()?.iter().map(|script| from_script(script).0).collect())
}

fn kept_scripts() -> io::Result<Vec<Script>> {
    let folder = Path::new(ROOT).join("fixtures/traces/embedded");
    let mut scripts = Vec::new();
    let mut sections: Vec<_> = fs::read_dir(&folder)?.collect::<io::Result<_>>()?;
    sections.sort_by_key(fs::DirEntry::path);
    for section in sections {
        for file in files(&section.path())? {
            let text = fs::read_to_string(&file)?;
            // What stands above the trace is the snapshot's.
            let text = text.splitn(3, "---\n").last().unwrap_or_default();
            scripts.push(script::read(text).map_err(|error| invalid(&file, &format!("{error}")))?);
        }
    }
    Ok(scripts)
}

struct Writer {
    input: Vec<u8>,
    /// The connections, by the number that they were opened as.
    slots: BTreeMap<String, u8>,
}

impl Writer {
    fn step(&mut self, connection: &str, act: &Act) -> bool {
        if let Act::Wait(time) = act {
            return self.wait(*time);
        }
        if *act == Act::Open {
            let slot = SLOT.saturating_add(u8::try_from(self.slots.len()).unwrap_or(u8::MAX));
            self.slots.insert(connection.to_owned(), slot);
            write(&mut self.input, OPEN, &[]);
            return true;
        }
        let Some(slot) = self.slots.get(connection).copied() else { return false };
        match act {
            Act::Send(packet) => return self.send(slot, packet),
            Act::SendBytes(bytes) => self.bytes(slot, bytes),
            Act::Acknowledge(ack) => {
                let is_plain = ack.packet == PacketType::PubComp || !ack.reason.is_error();
                write(&mut self.input, if is_plain { ANSWER } else { REFUSE }, &[slot]);
            }
            Act::Acknowledges => write(&mut self.input, ACKNOWLEDGE, &[slot]),
            Act::Withholds => write(&mut self.input, ACKNOWLEDGE, &[slot, 1]),
            // The core is told no more of the one than of the other.
            Act::HalfClose | Act::Close => write(&mut self.input, DROP, &[slot]),
            _ => return false,
        }
        true
    }

    fn send(&mut self, slot: u8, packet: &Packet) -> bool {
        match packet {
            Packet::PingReq => write(&mut self.input, PING, &[slot]),
            Packet::Disconnect(disconnect) if *disconnect == Default::default() => {
                write(&mut self.input, DISCONNECT, &[slot]);
            }
            packet => match packet.to_bytes() {
                Ok(bytes) => self.bytes(slot, &bytes),
                Err(_) => return false,
            },
        }
        true
    }

    fn bytes(&mut self, slot: u8, bytes: &Bytes) {
        write(&mut self.input, BYTES, &[&[slot], &bytes[..]].concat());
    }

    fn wait(&mut self, time: Duration) -> bool {
        let milliseconds = u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
        let [high, chosen @ ..] = milliseconds.to_be_bytes();
        write(&mut self.input, PASS, &chosen);
        high == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_of_scenarios_are_inputs_but_for_a_few_steps() {
        let (mut whole, mut all, mut written, mut steps) = (0, 0, 0, 0);
        for script in kept_scripts().unwrap() {
            let (_, count) = from_script(&script);
            (all, steps, written) = (all + 1, steps + script.steps.len(), written + count);
            whole += usize::from(count == script.steps.len());
        }
        println!("{whole} of {all} scripts, {written} of {steps} steps");
        assert!(all > 900 && whole * 100 >= all * 95 && written * 100 >= steps * 99);
    }
}
