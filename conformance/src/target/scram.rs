//! The client's side of SCRAM-SHA-256 (RFC 5802 and RFC 7677), without channel binding: three
//! messages in and out, and nothing of how they travel.
//!
//! User name and password are taken as they are: what SASLprep would make of letters beyond ASCII
//! is for who names them.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use hmac::{Hmac, Mac};
use reference_broker::codec::{Packet, PropertyId, Value};
use sha2::{Digest, Sha256};

use super::Login;
use crate::trace::What;

/// What it is called as an Authentication Method.
pub const SCRAM_SHA_256: &str = "SCRAM-SHA-256";

/// That there is no channel binding, and nobody else to act as.
const HEADER: &str = "n,,";

/// How often a server may have a password hashed: more would take us too long.
const MOST_ITERATIONS: u32 = 1_000_000;

type Key = [u8; 32];

/// A client that proves to know a password.
#[derive(Clone)]
pub struct Scram {
    login: Login,
    nonce: String,
    /// What the server is to prove in its turn, once we have proved ourselves.
    signature: Option<Key>,
}

/// What is wrong with a message of the server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScramError {
    /// It has not the form that it should.
    #[error("a message that is none of SCRAM")]
    Malformed,
    /// Its nonce does not begin with ours.
    #[error("a nonce that does not begin with the client's")]
    ForeignNonce,
    /// It asks for too much work.
    #[error("{0} iterations, which are too many")]
    TooManyIterations(u32),
    /// It says that the client is not accepted, and why.
    #[error("the error '{0}'")]
    Refused(String),
    /// It does not prove that the server knows the client.
    #[error("a signature that is not that of who knows the password")]
    WrongSignature,
}

impl std::fmt::Debug for Scram {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Scram")
    }
}

impl Scram {
    /// A client with a nonce, which may have any letters but commas.
    pub fn new(login: Login, nonce: impl Into<String>) -> Scram {
        Scram { login, nonce: nonce.into(), signature: None }
    }

    /// A nonce made of a text that no other client has.
    pub fn nonce_of(text: &str) -> String {
        STANDARD.encode(Sha256::digest(text)).chars().take(24).collect()
    }

    /// The first message.
    pub fn first(&self) -> Bytes {
        format!("{HEADER}{}", self.first_bare()).into()
    }

    fn first_bare(&self) -> String {
        let name = self.login.user_name.replace('=', "=3D").replace(',', "=2C");
        format!("n={name},r={}", self.nonce)
    }

    /// The answer to the server's first message: a proof that the password is known.
    ///
    /// # Errors
    ///
    /// What is wrong with that message.
    pub fn respond(&mut self, server_first: &[u8]) -> Result<Bytes, ScramError> {
        self.respond_under(server_first, str::to_owned)
    }

    /// As [`Scram::respond`], with a nonce made of the right one: the proof is one for that.
    ///
    /// # Errors
    ///
    /// As [`Scram::respond`].
    pub fn respond_under(
        &mut self,
        server_first: &[u8],
        nonce: impl FnOnce(&str) -> String,
    ) -> Result<Bytes, ScramError> {
        let server_first = text(server_first)?;
        let [right, salt, iterations] = attributes(server_first, ["r=", "s=", "i="])?;
        if !right.starts_with(&self.nonce) || right.len() == self.nonce.len() {
            return Err(ScramError::ForeignNonce);
        }
        let salt = STANDARD.decode(salt).map_err(|_| ScramError::Malformed)?;
        let iterations = match iterations.parse() {
            Ok(0) | Err(_) => return Err(ScramError::Malformed),
            Ok(many) if many > MOST_ITERATIONS => return Err(ScramError::TooManyIterations(many)),
            Ok(iterations) => iterations,
        };
        let without_proof = format!("c={},r={}", STANDARD.encode(HEADER), nonce(right));
        let signed = format!("{},{server_first},{without_proof}", self.first_bare());
        let salted = salted_password(self.login.password.as_bytes(), &salt, iterations);
        let client = keyed(&salted, b"Client Key");
        let mut proof = keyed(&Sha256::digest(client), signed.as_bytes());
        proof.iter_mut().zip(client).for_each(|(byte, other)| *byte ^= other);
        self.signature = Some(keyed(&keyed(&salted, b"Server Key"), signed.as_bytes()));
        Ok(format!("{without_proof},p={}", STANDARD.encode(proof)).into())
    }

    /// Checks the server's last message: it is to prove that it knows the client.
    ///
    /// # Errors
    ///
    /// What is wrong with that message.
    pub fn verify(&self, server_final: &[u8]) -> Result<(), ScramError> {
        let server_final = text(server_final)?;
        if let Some(error) = server_final.strip_prefix("e=") {
            return Err(ScramError::Refused(error.to_owned()));
        }
        let [signature] = attributes(server_final, ["v="])?;
        let signature = STANDARD.decode(signature).map_err(|_| ScramError::Malformed)?;
        match &self.signature {
            Some(right) if *signature == right[..] => Ok(()),
            _ => Err(ScramError::WrongSignature),
        }
    }
}

fn text(message: &[u8]) -> Result<&str, ScramError> {
    std::str::from_utf8(message).map_err(|_| ScramError::Malformed)
}

/// The values that a message begins with, in this order; extensions may follow.
fn attributes<'a, const N: usize>(
    message: &'a str,
    names: [&str; N],
) -> Result<[&'a str; N], ScramError> {
    let mut values = [""; N];
    let mut parts = message.split(',');
    for (value, name) in values.iter_mut().zip(names) {
        let part = parts.next().and_then(|part| part.strip_prefix(name));
        *value = part.filter(|value| !value.is_empty()).ok_or(ScramError::Malformed)?;
    }
    Ok(values)
}

/// HMAC-SHA-256.
fn keyed(key: &[u8], message: &[u8]) -> Key {
    // Keys of every length will do, so there is always one.
    let mac = Hmac::<Sha256>::new_from_slice(key).map(|mac| mac.chain_update(message));
    mac.map(|mac| mac.finalize().into_bytes().into()).unwrap_or_default()
}

/// So many salted passwords are remembered.
const REMEMBERED: usize = 64;

/// `Hi` of RFC 5802: PBKDF2 with HMAC-SHA-256, for one block. It is meant to take time, so what it came to is
/// remembered: a run connects thousands of times with one password.
fn salted_password(password: &[u8], salt: &[u8], iterations: u32) -> Key {
    type Known = BTreeMap<(Vec<u8>, Vec<u8>, u32), Key>;
    static KNOWN: Mutex<Known> = Mutex::new(BTreeMap::new());
    let known = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let of = (password.to_vec(), salt.to_vec(), iterations);
    if let Some(salted) = known().get(&of) {
        return *salted;
    }
    let mut last = keyed(password, &[salt, &[0, 0, 0, 1]].concat());
    let mut salted = last;
    for _ in 1..iterations {
        last = keyed(password, &last);
        salted.iter_mut().zip(last).for_each(|(byte, other)| *byte ^= other);
    }
    let mut known = known();
    if known.len() >= REMEMBERED {
        known.clear();
    }
    known.insert(of, salted);
    salted
}

/// What was sent or received, with the messages of SCRAM in it [`masked`].
pub(crate) fn masked_in(what: What, attributes: &[u8]) -> What {
    let in_packet = |mut packet: Packet| {
        if let Some(properties) = packet.properties_mut() {
            let masked = properties.iter().cloned().map(|mut property| {
                if let (PropertyId::AuthenticationData, Value::Binary(data)) =
                    (property.id, &mut property.value)
                    && let Some(masked) = masked(data, attributes)
                {
                    *data = masked;
                }
                property
            });
            *properties = masked.collect();
        }
        packet
    };
    let is_of_exchange = |packet: &Packet| {
        matches!(packet, Packet::Connect(_) | Packet::ConnAck(_) | Packet::Auth(_))
    };
    match what {
        What::Sent(packet) if is_of_exchange(&packet) => What::Sent(in_packet(packet)),
        What::Received(packet) if is_of_exchange(&packet) => What::Received(in_packet(packet)),
        // An AUTH or CONNECT, however it is made.
        What::SentBytes(bytes) if matches!(bytes.first(), Some(0x10..=0x1F | 0xF0..)) => {
            What::SentBytes(masked(&bytes, attributes).unwrap_or(bytes))
        }
        what => what,
    }
}

/// A message of SCRAM, or bytes that hold one, with stars in the place of what these attributes say:
/// as many, so that all lengths stay true. None where there is none of them.
fn masked(bytes: &[u8], attributes: &[u8]) -> Option<Bytes> {
    let mut masked = BytesMut::from(bytes);
    let mut is_masked = false;
    let mut at = 0;
    while at + 1 < bytes.len() {
        let begins = at == 0 || bytes[at - 1] == b',';
        if begins && attributes.contains(&bytes[at]) && bytes[at + 1] == b'=' {
            let value = at + 2;
            let end = value + value_length(bytes[at], &bytes[value..]);
            masked[value..end].fill(b'*');
            is_masked |= end > value;
            at = end.max(value);
        } else {
            at += 1;
        }
    }
    is_masked.then(|| masked.freeze())
}

/// How long a value is that may be the last of its message, with other bytes behind it.
fn value_length(attribute: u8, rest: &[u8]) -> usize {
    let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=".contains(byte);
    let is_graphic = |byte: &u8| byte.is_ascii_graphic() && *byte != b',';
    let length = |is_part: &dyn Fn(&u8) -> bool| rest.iter().take_while(|it| is_part(it)).count();
    let to_comma = length(&is_graphic);
    match attribute {
        // A nonce of the server's has any letters, and a comma behind it.
        b'r' | b'n' if rest.get(to_comma) == Some(&b',') || to_comma == rest.len() => to_comma,
        _ => length(&is_base64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7677, section 3.
    const SERVER_FIRST: &str =
        "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
    const SERVER_FINAL: &str = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

    fn client(password: &str) -> Scram {
        let login = Login { user_name: "user".into(), password: password.into() };
        Scram::new(login, "rOprNGfwEbeRWgbNEkqO")
    }

    #[test]
    fn the_example_of_the_rfc_is_gone_through() {
        let mut scram = client("pencil");
        assert_eq!(scram.first(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        assert_eq!(scram.verify(SERVER_FINAL.as_bytes()), Err(ScramError::WrongSignature));
        let response = scram.respond(SERVER_FIRST.as_bytes()).unwrap();
        let expected = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                        p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
        assert_eq!(response, expected);
        assert_eq!(scram.verify(SERVER_FINAL.as_bytes()), Ok(()));

        let mut other = client("pen");
        assert_ne!(other.respond(SERVER_FIRST.as_bytes()).unwrap(), expected);
        assert_eq!(other.verify(SERVER_FINAL.as_bytes()), Err(ScramError::WrongSignature));
        let under = scram.respond_under(SERVER_FIRST.as_bytes(), |right| format!("{right}x"));
        assert_ne!(under.unwrap(), expected);
    }

    #[test]
    fn what_a_server_must_not_say_is_told() {
        for (message, error) in [
            ("", ScramError::Malformed),
            ("r=rOprNGfwEbeRWgbNEkqOx", ScramError::Malformed),
            ("s=W22Z,r=rOprNGfwEbeRWgbNEkqOx,i=1", ScramError::Malformed),
            ("r=rOprNGfwEbeRWgbNEkqOx,s=?,i=1", ScramError::Malformed),
            ("r=rOprNGfwEbeRWgbNEkqOx,s=W22Z,i=0", ScramError::Malformed),
            ("r=rOprNGfwEbeRWgbNEkqOx,s=W22Z,i=1000001", ScramError::TooManyIterations(1_000_001)),
            ("r=rOprNGfwEbeRWgbNEkqO,s=W22Z,i=1", ScramError::ForeignNonce),
            ("r=other,s=W22Z,i=1", ScramError::ForeignNonce),
        ] {
            assert_eq!(client("pencil").respond(message.as_bytes()), Err(error), "{message}");
        }
        assert_eq!(client("pencil").respond(&[0xFF]), Err(ScramError::Malformed));
        let refused = Err(ScramError::Refused("other-error".into()));
        assert_eq!(client("pencil").verify(b"e=other-error"), refused);
        assert_eq!(client("pencil").verify(b"v=?"), Err(ScramError::Malformed));
    }

    #[test]
    fn names_are_escaped() {
        let login = Login { user_name: "a=b,c".into(), password: "p".into() };
        assert_eq!(Scram::new(login, "n").first(), "n,,n=a=3Db=2Cc,r=n");
    }

    #[test]
    fn what_tells_of_a_password_is_masked_and_lengths_stay() {
        for (message, expected) in [
            ("n,,n=ann,r=abc+", "n,,n=***,r=****"),
            ("r=a%&b$,s=QUJD,i=4096", "r=*****,s=****,i=4096"),
            ("c=biws,r=a%&b,p=QUI=", "c=biws,r=****,p=****"),
            ("v=QUI=", "v=****"),
            ("\u{f0}\u{7}\u{16}n,,n=ann,r=abc+&\u{1}", "\u{f0}\u{7}\u{16}n,,n=***,r=****&\u{1}"),
        ] {
            let masked = masked(message.as_bytes(), b"nrspv").unwrap();
            assert_eq!(masked, expected);
        }
        assert_eq!(masked(b"garbage", b"nrspv"), None);
        assert_eq!(masked(b"n,,n=ann", b"r"), None);
    }
}
