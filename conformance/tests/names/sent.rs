//! The names in what a client sends, read as a broker might that looks over every fault.

use conformance::trace::What;
use reference_broker::codec::Packet;

/// What a name is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    ClientId,
    /// A Topic Name, that of a Will included.
    Topic,
    /// A Topic Filter, without the ShareName before it.
    Filter,
    ShareName,
}

/// A name; what is no UTF-8 in it is replaced.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name {
    pub(crate) kind: Kind,
    pub(crate) text: String,
}

/// The names in what was sent, but for empty ones, which stand for no name.
pub(crate) fn names(what: &What) -> Vec<Name> {
    let mut names = Vec::new();
    match what {
        What::Sent(packet) => of_packet(packet, &mut names),
        What::SentBytes(bytes) => of_bytes(bytes, &mut names),
        _ => {}
    }
    names.retain(|name| !name.text.is_empty());
    names
}

fn of_packet(packet: &Packet, names: &mut Vec<Name>) {
    match packet {
        Packet::Connect(connect) => {
            add(Kind::ClientId, &connect.client_id, names);
            connect.will.iter().for_each(|will| add(Kind::Topic, &will.topic, names));
        }
        Packet::Publish(publish) => add(Kind::Topic, &publish.topic, names),
        Packet::Subscribe(subscribe) => {
            subscribe.subscriptions.iter().for_each(|one| add_filter(&one.filter, names));
        }
        Packet::Unsubscribe(it) => it.filters.iter().for_each(|filter| add_filter(filter, names)),
        _ => {}
    }
}

fn add(kind: Kind, text: &str, names: &mut Vec<Name>) {
    names.push(Name { kind, text: text.to_owned() });
}

fn add_filter(filter: &str, names: &mut Vec<Name>) {
    let Some(shared) = filter.strip_prefix("$share/") else {
        return add(Kind::Filter, filter, names);
    };
    let (share_name, filter) = shared.split_once('/').unwrap_or((shared, ""));
    add(Kind::ShareName, share_name, names);
    add(Kind::Filter, filter, names);
}

/// The names in bytes of any number of packets, well-formed or not.
fn of_bytes(bytes: &[u8], names: &mut Vec<Name>) {
    let mut rest = Lenient(bytes);
    while let Some(first) = rest.byte() {
        let length = rest.number();
        let mut body = Lenient(rest.take(length));
        // A reader that fails has read all that there is.
        let _ = match first >> 4 {
            1 => connect(&mut body, names),
            3 => publish(&mut body, names),
            8 => filters(&mut body, true, names),
            10 => filters(&mut body, false, names),
            _ => Some(()),
        };
    }
}

fn connect(body: &mut Lenient<'_>, names: &mut Vec<Name>) -> Option<()> {
    body.string()?;
    let [_version, flags, _, _] = [body.byte()?, body.byte()?, body.byte()?, body.byte()?];
    body.properties(Kind::ClientId, names)?;
    add(Kind::ClientId, &body.string()?, names);
    if flags & 4 != 0 {
        body.properties(Kind::Topic, names)?;
        add(Kind::Topic, &body.string()?, names);
    }
    Some(())
}

fn publish(body: &mut Lenient<'_>, names: &mut Vec<Name>) -> Option<()> {
    add(Kind::Topic, &body.string()?, names);
    Some(())
}

fn filters(body: &mut Lenient<'_>, with_options: bool, names: &mut Vec<Name>) -> Option<()> {
    body.take(2);
    body.properties(Kind::Filter, names)?;
    loop {
        add_filter(&body.string()?, names);
        if with_options {
            body.byte();
        }
    }
}

/// Reads what is announced, or as much of it as there is.
struct Lenient<'a>(&'a [u8]);

impl<'a> Lenient<'a> {
    fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        taken
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).first().copied()
    }

    /// A Variable Byte Integer of any number of bytes.
    fn number(&mut self) -> usize {
        let (mut number, mut shift) = (0_usize, 0);
        while let Some(byte) = self.byte() {
            number = number.saturating_add((byte as usize & 0x7F).checked_shl(shift).unwrap_or(0));
            shift += 7;
            if byte < 0x80 {
                break;
            }
        }
        number
    }

    /// A string; none at the end.
    fn string(&mut self) -> Option<String> {
        let length = usize::from(self.byte()?) << 8 | usize::from(self.byte().unwrap_or(0));
        Some(String::from_utf8_lossy(self.take(length)).into_owned())
    }

    /// Passes over properties. Where their length is wrong, the first text behind it counts as a name.
    fn properties(&mut self, kind: Kind, names: &mut Vec<Name>) -> Option<()> {
        let length = self.number();
        if length <= self.0.len() {
            self.take(length);
            return Some(());
        }
        let is_text = |byte: &u8| matches!(byte, b'!'..=b'~');
        let mut texts = self.0.split(|byte| !is_text(byte));
        texts
            .find(|text| text.len() > 2)
            .into_iter()
            .for_each(|text| add(kind, &String::from_utf8_lossy(text), names));
        None
    }
}
