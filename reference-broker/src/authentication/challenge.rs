use std::collections::BTreeMap;
use std::io;

use bytes::Bytes;
use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::codec::{ReasonCode, Text};
use crate::core::Answer;

use super::user::keyed;
use super::{Random, User};

/// An Authentication Method to test with. The client begins with its name; the server sends 32
/// random bytes; the client returns their HMAC-SHA-256 under the secret that both know
/// ([`challenge_response`]).
pub const CHALLENGE: &str = "CHALLENGE";

/// What the client of [`CHALLENGE`] returns.
pub fn challenge_response(secret: &[u8], challenge: &[u8]) -> Bytes {
    keyed(secret, challenge).into()
}

/// A challenge that is to be answered.
pub(super) struct Challenge {
    /// The name as it came: perhaps no text, and perhaps of nobody.
    name: Bytes,
    bytes: [u8; 32],
}

impl Challenge {
    pub(super) fn new(name: &Bytes, random: &Random) -> io::Result<Challenge> {
        let mut bytes = [0; 32];
        random(&mut bytes)?;
        Ok(Challenge { name: Bytes::copy_from_slice(name), bytes })
    }

    pub(super) fn bytes(&self) -> Bytes {
        Bytes::copy_from_slice(&self.bytes)
    }

    pub(super) fn check(self, users: &BTreeMap<Text, User>, response: &[u8]) -> Answer {
        let name = std::str::from_utf8(&self.name).ok().map(Text::from);
        let user = name.and_then(|name| users.get(&name));
        let secret = user.and_then(|user| user.challenge.as_ref());
        // Without a secret the same work, for nothing.
        let key = secret.map_or(&self.bytes[..], |secret| secret);
        let mac = Hmac::<Sha256>::new_from_slice(key).map(|mac| mac.chain_update(self.bytes));
        let is_right = mac.is_ok_and(|mac| mac.verify_slice(response).is_ok());
        match (user, secret) {
            (Some(user), Some(_)) if is_right => {
                Answer::Accepted { user: Some(user.name.clone()), data: None }
            }
            _ => Answer::Refused(ReasonCode::NotAuthorized),
        }
    }
}
