//! Flaws of another kind than [mutants](crate::mutant): brokers that crash, hang, leak or starve others when they meet
//! what no scenario sends. They show that `mqttspec fuzz` finds such things, and how it tells of them.

use std::collections::{BTreeMap, BTreeSet};
use std::process::abort;
use std::time::Duration;

use reference_broker::actor::Engine;
use reference_broker::codec::{Connect, Fault, Packet, PacketType, PropertyId, Publish, QoS, Text};
use reference_broker::core::{Broker, ConnectionId, Input, Moment, Output};

/// A way to be flawed.
#[derive(Debug)]
pub struct Flaw {
    /// Its name: the kind, and what it is about.
    pub name: &'static str,
    /// What it does, and when.
    pub does: &'static str,
    /// Whether it is met.
    when: fn(&Known, &Input) -> bool,
    then: Then,
}

/// What a flaw does.
#[derive(Clone, Copy, Debug)]
enum Then {
    /// The process ends.
    Abort,
    /// The broker within the process ends, and another one begins.
    Panic,
    /// Nothing is ever done again.
    Hang,
    /// Nothing is done for so long.
    Stall(Duration),
    /// So many bytes are never given back.
    Leak(usize),
    /// The connection gets nothing any more.
    Mute,
    /// The next message for another connection is not delivered.
    Lose,
    /// From now on payloads above this size are delivered with another first byte.
    Corrupt(usize),
}

/// A stall that innocent clients notice.
const LONG: Duration = Duration::from_secs(8);

/// The flaws.
pub const FLAWS: &[Flaw] = &[
    Flaw {
        name: "crash/topic-alias",
        does: "ends at a Topic Alias of 100 or more",
        when: |_, input| publish(input).is_some_and(|it| alias(it) >= 100),
        then: Then::Abort,
    },
    Flaw {
        name: "crash/ill-formed-client-id",
        does: "ends at a CONNECT with a string that is not UTF-8",
        when: |_, input| malformed(input, PacketType::Connect, Fault::IllFormedUtf8),
        then: Then::Abort,
    },
    Flaw {
        name: "crash/takeover-within-qos-2",
        does: "begins anew without any state when a client is taken over within a QoS 2 exchange",
        when: |known, input| connect(input).is_some_and(|it| known.is_within_qos2(&it.client_id)),
        then: Then::Panic,
    },
    Flaw {
        name: "hang/truncated-publish",
        does: "waits for ever for the rest of a PUBLISH whose Topic Name is longer than the packet",
        when: |_, input| malformed(input, PacketType::Publish, Fault::StringOverrun),
        then: Then::Hang,
    },
    Flaw {
        name: "hang/many-levels",
        does: "never gets to the end of a Topic Filter of UNSUBSCRIBE with more than 100 levels",
        when: |_, input| match input {
            Input::Received(_, Packet::Unsubscribe(it)) => {
                it.filters.iter().any(|filter| filter.matches('/').count() > 100)
            }
            _ => false,
        },
        then: Then::Hang,
    },
    Flaw {
        name: "hang/stray-pubrel",
        does: "serves a connection no more after a PUBREL that belongs to no message",
        when: |known, input| match input {
            Input::Received(id, Packet::PubRel(ack)) => !known.is_unreleased(*id, ack.packet_id),
            _ => false,
        },
        then: Then::Mute,
    },
    Flaw {
        name: "leak/malformed",
        does: "keeps 256 KiB for each connection that ends with a Malformed Packet",
        when: |_, input| matches!(input, Input::Malformed(..)),
        then: Then::Leak(256 << 10),
    },
    Flaw {
        name: "leak/will",
        does: "keeps 512 KiB for each Will",
        when: |_, input| connect(input).is_some_and(|it| it.will.is_some()),
        then: Then::Leak(512 << 10),
    },
    Flaw {
        name: "leak/unsubscribe",
        does: "keeps 512 KiB for each UNSUBSCRIBE",
        when: |_, input| matches!(input, Input::Received(_, Packet::Unsubscribe(_))),
        then: Then::Leak(512 << 10),
    },
    Flaw {
        name: "starve/user-properties",
        does: "serves nobody for 8 s when a packet has two equal User Properties",
        when: |_, input| match input {
            Input::Received(_, packet) => has_equal_users(packet),
            _ => false,
        },
        then: Then::Stall(LONG),
    },
    Flaw {
        name: "lose/retained-cleared",
        does: "forgets the next message for another client when a retained message is removed",
        when: |_, input| publish(input).is_some_and(|it| it.retain && it.payload.is_empty()),
        then: Then::Lose,
    },
    Flaw {
        name: "corrupt/large-payload",
        does: "alters the first byte of payloads above 1,000 bytes after one of more than 16,000",
        when: |_, input| publish(input).is_some_and(|it| it.payload.len() > 16_000),
        then: Then::Corrupt(1_000),
    },
];

/// The flaw of this name.
///
/// # Errors
///
/// In a few lines, that there is none, and all that there are.
pub fn find(name: &str) -> Result<&'static Flaw, String> {
    FLAWS.iter().find(|flaw| flaw.name == name).ok_or_else(|| {
        let all: Vec<_> =
            FLAWS.iter().map(|flaw| format!("\n  {:<28} {}", flaw.name, flaw.does)).collect();
        format!("no flaw '{name}': there are{}", all.concat())
    })
}

impl Flaw {
    /// A broker with this flaw.
    pub fn engine(&'static self, inner: Box<dyn Engine>) -> Box<dyn Engine> {
        Box::new(Flawed {
            flaw: self,
            inner,
            known: Known::default(),
            leaked: Vec::new(),
            muted: BTreeSet::new(),
            loses: None,
            corrupts: None,
        })
    }
}

fn publish(input: &Input) -> Option<&Publish> {
    match input {
        Input::Received(_, Packet::Publish(publish)) => Some(publish),
        _ => None,
    }
}

fn connect(input: &Input) -> Option<&Connect> {
    match input {
        Input::Received(_, Packet::Connect(connect)) => Some(connect),
        _ => None,
    }
}

fn alias(publish: &Publish) -> u32 {
    publish.properties.number(PropertyId::TopicAlias).unwrap_or(0)
}

fn malformed(input: &Input, packet: PacketType, fault: Fault) -> bool {
    matches!(input, Input::Malformed(_, Some(it), error) if *it == packet && error.fault == fault)
}

fn has_equal_users(packet: &Packet) -> bool {
    let Some(properties) = packet.properties() else { return false };
    let users: Vec<_> = properties.iter().filter(|it| it.id == PropertyId::UserProperty).collect();
    users.iter().enumerate().any(|(at, one)| users[..at].contains(one))
}

/// What is known of connections.
#[derive(Debug, Default)]
struct Known {
    clients: BTreeMap<ConnectionId, Text>,
    /// Packet Identifiers of QoS 2 messages that a client has not released.
    unreleased: BTreeSet<(Text, u16)>,
}

impl Known {
    fn is_within_qos2(&self, client_id: &Text) -> bool {
        let is_connected = self.clients.values().any(|it| it == client_id);
        is_connected && self.unreleased.iter().any(|(it, _)| it == client_id)
    }

    fn is_unreleased(&self, id: ConnectionId, packet_id: u16) -> bool {
        let client_id = self.clients.get(&id);
        client_id.is_some_and(|it| self.unreleased.contains(&(it.clone(), packet_id)))
    }

    fn take(&mut self, input: &Input) {
        match input {
            Input::Received(id, Packet::Connect(connect)) => {
                self.clients.insert(*id, connect.client_id.clone());
                if connect.clean_start {
                    self.unreleased.retain(|(it, _)| *it != connect.client_id);
                }
            }
            Input::Received(id, Packet::Publish(publish)) if publish.qos == QoS::ExactlyOnce => {
                if let Some(client_id) = self.clients.get(id) {
                    self.unreleased.insert((client_id.clone(), publish.packet_id));
                }
            }
            Input::Received(id, Packet::PubRel(ack)) => {
                if let Some(client_id) = self.clients.get(id) {
                    self.unreleased.remove(&(client_id.clone(), ack.packet_id));
                }
            }
            Input::Closed(id) => drop(self.clients.remove(id)),
            _ => {}
        }
    }
}

struct Flawed {
    flaw: &'static Flaw,
    inner: Box<dyn Engine>,
    known: Known,
    leaked: Vec<Vec<u8>>,
    muted: BTreeSet<ConnectionId>,
    /// The connection for whose sake the next message of another one is lost.
    loses: Option<ConnectionId>,
    /// Larger payloads than this are altered.
    corrupts: Option<usize>,
}

impl Flawed {
    fn is_met(&mut self, input: &Input) {
        match self.flaw.then {
            Then::Abort => abort(),
            Then::Panic => panic!("{}", self.flaw.does),
            Then::Hang => loop {
                std::thread::sleep(LONG);
            },
            Then::Stall(time) => std::thread::sleep(time),
            // Not zeros: pages of zeros may not be there.
            Then::Leak(size) => self.leaked.push(vec![1; size]),
            Then::Mute => self.muted.extend(input.connection()),
            Then::Lose => self.loses = input.connection(),
            Then::Corrupt(size) => self.corrupts = Some(size),
        }
    }
}

impl Engine for Flawed {
    fn handle(&mut self, now: Moment, input: Input) {
        if (self.flaw.when)(&self.known, &input) {
            self.is_met(&input);
        }
        self.known.take(&input);
        if let Input::Received(id, _) = &input
            && self.muted.contains(id)
        {
            return;
        }
        self.inner.handle(now, input);
    }

    fn next_output(&mut self) -> Option<Output> {
        loop {
            let mut output = self.inner.next_output()?;
            if let Output::Send(id, packet) = &mut output {
                if self.muted.contains(id) {
                    continue;
                }
                if let Packet::Publish(publish) = packet {
                    if self.loses.is_some_and(|by| by != *id) {
                        self.loses = None;
                        continue;
                    }
                    if self.corrupts.is_some_and(|size| publish.payload.len() > size) {
                        let mut payload = publish.payload.to_vec();
                        payload[0] ^= 1;
                        publish.payload = payload.into();
                    }
                }
            }
            return Some(output);
        }
    }

    fn next_deadline(&self) -> Option<Moment> {
        self.inner.next_deadline()
    }

    fn broker(&self) -> Option<&Broker> {
        self.inner.broker()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_flaw_is_told_of_all_there_are() {
        assert_eq!(find("leak/will").unwrap().name, "leak/will");
        let told = find("leak").unwrap_err();
        assert!(FLAWS.iter().all(|flaw| told.contains(flaw.name)), "{told}");
    }
}
