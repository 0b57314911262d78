//! Who the clients of a script are: a target's users, of whom a script names none.

use std::collections::BTreeMap;

use bytes::Bytes;
use reference_broker::codec::{Connect, Packet, Properties, PropertyId, Value};

use crate::target::{Credentials, Login, Scram};

/// As a User Name: no User Name at all, and no Password.
pub(crate) const NOBODY: &str = "~nobody";
/// As a User Name or Password: those of the first user.
pub(crate) const OWN: &str = "~own";
/// As a User Name or Password: those of the second user.
pub(crate) const OTHER: &str = "~other";
/// As Authentication Data: the first message of a client that proves to be the user of SCRAM-SHA-256.
pub(crate) const FIRST: &str = "~first";
/// As Authentication Data: its answer to what the broker said last.
pub(crate) const ANSWER: &str = "~answer";
/// As Authentication Data: that of a client that takes another password for the right one.
pub(crate) const WRONG: &str = "~wrong";

/// As Authentication Data: the first message of a client whom nobody knows.
pub(crate) const UNKNOWN: &str = "~unknown";

/// The users of a target, and how far each connection has come with proving to be one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Logins {
    own: Credentials,
    other: Credentials,
    scram: Option<Login>,
    exchanges: BTreeMap<String, Exchange>,
}

/// An exchange of SCRAM, with the right password and with a wrong one.
#[derive(Clone, Debug)]
struct Exchange {
    right: Scram,
    wrong: Scram,
    /// What the broker said last.
    heard: Option<Bytes>,
}

impl Logins {
    /// Of a target: the first user, whom clients are that name none, the second one, and who is known by
    /// SCRAM.
    pub(crate) fn new(
        own: Credentials,
        other: Option<Credentials>,
        scram: Option<Login>,
    ) -> Logins {
        Logins { own, other: other.unwrap_or_default(), scram, exchanges: BTreeMap::new() }
    }

    /// A packet as it is sent to the target.
    pub(super) fn fill(&mut self, connection: &str, packet: &Packet) -> Packet {
        match packet {
            Packet::Connect(connect) => self.connect(connection, Connect::clone(connect)).into(),
            Packet::Auth(auth) => {
                let mut auth = auth.clone();
                self.prove(connection, &mut auth.properties);
                auth.into()
            }
            packet => packet.clone(),
        }
    }

    /// Takes in what the broker says in an exchange.
    pub(super) fn hear(&mut self, connection: &str, packet: &Packet) {
        if let (Packet::Auth(_), Some(exchange), Some(properties)) =
            (packet, self.exchanges.get_mut(connection), packet.properties())
        {
            exchange.heard = properties.binary(PropertyId::AuthenticationData).cloned();
        }
    }

    fn connect(&mut self, connection: &str, mut connect: Connect) -> Connect {
        let has_method = connect.properties.contains(PropertyId::AuthenticationMethod);
        match connect.user_name.as_deref() {
            None if has_method || connect.password.is_some() => {}
            None => connect = self.own.complete(connect),
            Some(NOBODY) => (connect.user_name, connect.password) = (None, None),
            Some(name) => {
                let user = if name == OTHER { &self.other } else { &self.own };
                let whole = user.complete(Connect::new(""));
                if [OWN, OTHER].contains(&name) {
                    connect.user_name = whole.user_name;
                }
                // What stands behind it in a script is sent behind it.
                let rest = connect.password.as_ref().and_then(|password| {
                    [OWN, OTHER].iter().find_map(|of| password.strip_prefix(of.as_bytes()))
                });
                if let Some(rest) = rest {
                    let password = whole.password.unwrap_or_default();
                    connect.password = Some([&password[..], rest].concat().into());
                }
            }
        }
        self.prove(connection, &mut connect.properties);
        connect
    }

    /// Puts what is right at the moment in the place of Authentication Data that says so.
    fn prove(&mut self, connection: &str, properties: &mut Properties) {
        let Some(meant) = properties.binary(PropertyId::AuthenticationData).cloned() else {
            return;
        };
        let Some(login) = self.scram.clone() else { return };
        let exchanges = &mut self.exchanges;
        let data = match std::str::from_utf8(&meant) {
            Ok(FIRST) => {
                let exchange = Exchange::of(login, connection);
                let first = exchange.right.first();
                exchanges.insert(connection.to_owned(), exchange);
                Some(first)
            }
            Ok(UNKNOWN) => {
                let stranger = Login { user_name: "unknown".to_owned(), ..login };
                let exchange = Exchange::of(stranger, connection);
                let first = exchange.right.first();
                exchanges.insert(connection.to_owned(), exchange);
                Some(first)
            }
            Ok(ANSWER) => exchanges.get_mut(connection).and_then(|it| it.answer(true)),
            Ok(WRONG) => exchanges.get_mut(connection).and_then(|it| it.answer(false)),
            _ => return,
        };
        // Nobody can answer what was not asked.
        let data = data.unwrap_or_else(|| Bytes::from_static(b"nothing"));
        properties.set(PropertyId::AuthenticationData, Value::Binary(data));
    }
}

impl Exchange {
    fn of(login: Login, connection: &str) -> Exchange {
        let nonce = Scram::nonce_of(connection);
        let other = Login { password: format!("not {}", login.password), ..login.clone() };
        let (right, wrong) = (Scram::new(login, nonce.clone()), Scram::new(other, nonce));
        Exchange { right, wrong, heard: None }
    }

    fn answer(&mut self, right: bool) -> Option<Bytes> {
        let heard = self.heard.clone()?;
        let scram = if right { &mut self.right } else { &mut self.wrong };
        scram.respond(&heard).ok()
    }
}
