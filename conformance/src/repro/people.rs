//! Who the clients of a trace are: users, whom neither a trace nor a program names, and who has the identifier
//! that the broker gave.

use std::collections::BTreeMap;

use bytes::Bytes;
use reference_broker::codec::{Connect, Packet, Properties, PropertyId, Text, Value};

use crate::script::{ANSWER, Act, FIRST, NOBODY, OTHER, OWN, Script, UNKNOWN, WRONG};
use crate::target::{
    ANN, BOB, HIDDEN, HIDDEN_SECOND, Login, Need, SCRAM_SHA_256, Scram, WITHOUT_FIRST, WITHOUT_LAST,
};
use crate::trace::{Event, What, hex_row};

/// What the clients of a trace are.
#[derive(Clone, Debug, Default)]
pub(super) struct People {
    /// Whether nobody is let in who is no user.
    are_users: bool,
    /// The identifiers that the broker gave, in their order, and on which connections.
    assigned: Vec<(Text, String)>,
    /// What clients say with SCRAM, in its order.
    talk: Vec<Talk>,
}

/// A message of a client in an exchange of SCRAM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Talk {
    /// The first one.
    First,
    /// That of somebody whom nobody knows.
    Unknown,
    /// The proof.
    Right,
    /// That of another password.
    Wrong,
    /// A proof that is wrong in a way that no program knows.
    Odd,
}

impl Talk {
    fn word(self) -> &'static str {
        match self {
            Talk::First => FIRST,
            Talk::Unknown => UNKNOWN,
            Talk::Right => ANSWER,
            Talk::Wrong | Talk::Odd => WRONG,
        }
    }

    fn variable(self) -> Option<&'static str> {
        match self {
            Talk::First => Some("scram-first"),
            Talk::Unknown => Some("scram-unknown"),
            Talk::Right => Some("scram-answer"),
            Talk::Wrong => Some("scram-wrong"),
            Talk::Odd => None,
        }
    }
}

/// One of the users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Own,
    Second,
}

impl People {
    /// Those of a trace, in which this is said with SCRAM.
    pub(super) fn of(trace: &[Event], needs: &[Need], talk: Vec<Talk>) -> People {
        // Who came with an identifier has it of his own.
        let mut own: Vec<&Text> = Vec::new();
        let assigned = trace.iter().filter_map(|event| match &event.what {
            What::Sent(Packet::Connect(connect)) => {
                own.push(&connect.client_id);
                None
            }
            What::Received(Packet::ConnAck(connack)) => {
                let id = connack.properties.text(PropertyId::AssignedClientIdentifier)?;
                (!own.contains(&id)).then(|| (id.clone(), event.probe.clone()))
            }
            _ => None,
        });
        let are_users =
            [Need::Users, Need::Rights, Need::Scram].iter().any(|need| needs.contains(need));
        People { are_users, assigned: assigned.collect(), talk }
    }

    /// The script of their trace with the words of scripts for them.
    pub(super) fn put_into(&self, script: &mut Script) {
        let mut talk = self.talk.iter();
        for step in &mut script.steps {
            match &mut step.act {
                Act::Send(Packet::Connect(connect)) => {
                    self.name(connect);
                    speak(&mut connect.properties, &mut talk);
                }
                Act::Send(Packet::Auth(auth)) => speak(&mut auth.properties, &mut talk),
                _ => {}
            }
        }
    }

    fn name(&self, connect: &mut Connect) {
        let is_scram = connect.properties.text(PropertyId::AuthenticationMethod);
        let is_scram = is_scram.is_some_and(|method| &**method == SCRAM_SHA_256);
        let is_nobody = self.are_users && !is_scram;
        match connect.user_name.as_deref().map(|name| meant(name.as_bytes(), Part::Name)) {
            None if is_nobody && connect.password.is_none() => {
                connect.user_name = Some(NOBODY.into());
            }
            Some(Some(meant)) => {
                let name = meant.in_script(Part::Name);
                connect.user_name = Some(String::from_utf8_lossy(&name).into_owned().into());
            }
            _ => {}
        }
        if let Some(password) = &mut connect.password
            && let Some(meant) = meant(password, Part::Password)
        {
            *password = meant.in_script(Part::Password).into();
        }
        let place = self.assigned.iter().position(|(id, _)| *id == connect.client_id);
        if let Some(place) = place {
            connect.client_id = format!("assigned{}", place + 1).into();
        }
    }

    /// The variable of a program for a Client Identifier that the broker gave.
    pub(super) fn identifier(&self, client_id: &Text) -> Option<String> {
        let (_, connection) = self.assigned.iter().find(|(id, _)| id == client_id)?;
        Some(format!("assigned:{connection}"))
    }

    /// The variables of a program for what is said with SCRAM, by its place in the trace.
    pub(super) fn said(&self, trace: &[Event]) -> BTreeMap<usize, Option<&'static str>> {
        let sent = trace.iter().enumerate().filter(|(_, event)| message(event).is_some());
        sent.zip(&self.talk).map(|((at, _), talk)| (at, talk.variable())).collect()
    }
}

/// A name or a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Name,
    Password,
}

/// What is made of a name or a password.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Made {
    /// It is that itself, with this behind it.
    With(Vec<u8>),
    WithoutFirst,
    WithoutLast,
}

/// Whose name or password is meant, and what is made of it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Meant(Who, Made);

/// What a User Name or a Password means, be it hidden or that of the embedded broker.
fn meant(text: &[u8], part: Part) -> Option<Meant> {
    let all = [
        (Who::Second, HIDDEN_SECOND),
        (Who::Own, HIDDEN),
        (Who::Own, embedded(Who::Own, part)),
        (Who::Second, embedded(Who::Second, part)),
    ];
    all.into_iter().find_map(|(who, whole)| {
        let is_hidden = [HIDDEN, HIDDEN_SECOND].contains(&whole);
        let bytes = whole.as_bytes();
        let made = match text.strip_prefix(bytes) {
            Some(rest) if is_hidden && rest == WITHOUT_FIRST.as_bytes() => Made::WithoutFirst,
            Some(rest) if is_hidden && rest == WITHOUT_LAST.as_bytes() => Made::WithoutLast,
            Some(rest) => Made::With(rest.to_vec()),
            None if is_hidden || part == Part::Name => return None,
            None if bytes[1..] == *text => Made::WithoutFirst,
            None if bytes[..bytes.len() - 1] == *text => Made::WithoutLast,
            None => return None,
        };
        Some(Meant(who, made))
    })
}

/// The name or the password on the embedded broker.
fn embedded(who: Who, part: Part) -> &'static str {
    let (name, password) = if who == Who::Own { ANN } else { BOB };
    if part == Part::Name { name } else { password }
}

impl Meant {
    /// As it is in a script.
    fn in_script(&self, part: Part) -> Vec<u8> {
        let Meant(who, made) = self;
        let word = if *who == Who::Own { OWN } else { OTHER };
        let whole = embedded(*who, part).as_bytes();
        match made {
            Made::With(rest) if rest.is_empty() => word.into(),
            Made::With(rest) => [whole, rest].concat(),
            Made::WithoutFirst => whole[1..].to_vec(),
            Made::WithoutLast => whole[..whole.len() - 1].to_vec(),
        }
    }

    /// The variable of a program for it.
    fn variable(&self, part: Part) -> String {
        let Meant(who, made) = self;
        let name = match (who, part) {
            (Who::Own, Part::Name) => "user",
            (Who::Own, Part::Password) => "password",
            (Who::Second, Part::Name) => "second-user",
            (Who::Second, Part::Password) => "second-password",
        };
        match made {
            Made::With(rest) if rest.is_empty() => name.to_owned(),
            Made::With(rest) => format!("{name}+{}", hex_row(rest).replace(' ', "")),
            Made::WithoutFirst => format!("{name}>1"),
            Made::WithoutLast => format!("{name}<1"),
        }
    }
}

/// The variable of a program for a User Name.
pub(super) fn user(name: &str) -> Option<String> {
    meant(name.as_bytes(), Part::Name).map(|meant| meant.variable(Part::Name))
}

/// The variable of a program for a Password.
pub(super) fn password(password: &[u8]) -> Option<String> {
    meant(password, Part::Password).map(|meant| meant.variable(Part::Password))
}

/// What a client says with SCRAM by this.
fn message(event: &Event) -> Option<&Bytes> {
    let What::Sent(packet) = &event.what else { return None };
    message_in(packet.properties()?)
}

fn message_in(properties: &Properties) -> Option<&Bytes> {
    let data = properties.binary(PropertyId::AuthenticationData)?;
    [&b"n,,"[..], b"c="].iter().any(|start| data.starts_with(start)).then_some(data)
}

/// Puts the words of scripts in the place of what is said with SCRAM.
fn speak<'a>(properties: &mut Properties, talk: &mut impl Iterator<Item = &'a Talk>) {
    if message_in(properties).is_some()
        && let Some(talk) = talk.next()
    {
        let data = Bytes::from_static(talk.word().as_bytes());
        properties.set(PropertyId::AuthenticationData, Value::Binary(data));
    }
}

/// Whether the broker and its clients speak SCRAM in a trace; and whether its secrets are left out there.
pub(super) fn exchange(trace: &[Event]) -> Option<bool> {
    let is_answer = |event: &Event| matches!(event.what, What::Received(Packet::Auth(_)));
    let messages: Vec<_> = trace.iter().filter_map(message).collect();
    let is_exchange = !messages.is_empty() && trace.iter().any(is_answer);
    let is_masked = |data: &&Bytes| data.windows(4).any(|part| part == b"****");
    is_exchange.then(|| messages.iter().any(is_masked))
}

/// What clients say with SCRAM in the trace of an embedded broker, which hides nothing.
pub(super) fn talk(trace: &[Event]) -> Vec<Talk> {
    let mut talk = Vec::new();
    // By connection: the nonce of the client, and what the broker said last.
    let mut nonces: BTreeMap<&str, String> = BTreeMap::new();
    let mut heard: BTreeMap<&str, Bytes> = BTreeMap::new();
    for event in trace {
        let on = event.probe.as_str();
        if let What::Received(packet) = &event.what
            && let Some(properties) = packet.properties()
            && let Some(data) = properties.binary(PropertyId::AuthenticationData)
        {
            heard.insert(on, data.clone());
        }
        let Some(data) = message(event) else { continue };
        let text = String::from_utf8_lossy(data);
        talk.push(match text.strip_prefix("n,,n=").and_then(|rest| rest.split_once(",r=")) {
            Some((name, nonce)) => {
                nonces.insert(on, nonce.to_owned());
                if name == ANN.0 { Talk::First } else { Talk::Unknown }
            }
            None => proof(
                nonces.get(on).map_or("", String::as_str),
                heard.get(on).map_or(&[], |heard| &heard[..]),
                data,
            ),
        });
    }
    talk
}

fn proof(nonce: &str, heard: &[u8], data: &Bytes) -> Talk {
    let is_of = |password: String| {
        let login = Login { user_name: ANN.0.to_owned(), password };
        Scram::new(login, nonce).respond(heard).is_ok_and(|answer| answer == data)
    };
    if is_of(ANN.1.to_owned()) {
        Talk::Right
    } else if is_of(format!("{}!", ANN.1)) {
        Talk::Wrong
    } else {
        Talk::Odd
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_meant_is_known_whether_hidden_or_embedded() {
        for (text, variable, script) in [
            ("(hidden)", "password", "~own"),
            ("(hidden)!", "password+21", "apple!"),
            ("apple", "password", "~own"),
            ("apple!", "password+21", "apple!"),
            ("pple", "password>1", "pple"),
            ("(hidden, second user)", "second-password", "~other"),
            ("(hidden, second user) without its last byte", "second-password<1", "banan"),
            ("banana", "second-password", "~other"),
        ] {
            assert_eq!(password(text.as_bytes()).as_deref(), Some(variable), "{text}");
            let meant = meant(text.as_bytes(), Part::Password).unwrap();
            assert_eq!(meant.in_script(Part::Password), script.as_bytes(), "{text}");
        }
        assert_eq!(password(b"nobody's"), None);
        assert_eq!(user("ann-7").as_deref(), Some("user+2d37"));
        assert_eq!(user("nn"), None);
    }
}
