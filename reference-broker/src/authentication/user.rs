use std::collections::BTreeMap;
use std::fmt;

use argon2::password_hash::phc::{Output, Salt};
use argon2::{Params, PasswordHash};
use bytes::Bytes;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};

use crate::codec::Text;

use super::hash::ScramKeys;

/// A user, and what is kept to know it by.
#[derive(Clone)]
pub struct User {
    pub(super) name: Text,
    pub(super) password: PasswordHash,
    pub(super) scram: Option<ScramKeys>,
    pub(super) challenge: Option<Bytes>,
}

/// Why there is no such user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserError {
    /// What stands for the password is no PHC string of Argon2id with salt and hash.
    Password,
    /// What stands for SCRAM is not of the form `SCRAM-SHA-256$iterations:salt$stored:server`.
    Scram,
    /// There is another user of the same name.
    Twice,
}

impl fmt::Display for UserError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            UserError::Password => "password is not an argon2id hash",
            UserError::Scram => "scram is not SCRAM-SHA-256$iterations:salt$stored:server",
            UserError::Twice => "two users of one name",
        })
    }
}

impl std::error::Error for UserError {}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "User {{ name: {:?}, .. }}", self.name)
    }
}

impl User {
    /// The user of this name, whose password has this hash: a PHC string of Argon2id. A name matches
    /// if it is the same byte by byte.
    ///
    /// # Errors
    ///
    /// If `password` is no such hash.
    pub fn new(name: impl Into<Text>, password: &str) -> Result<User, UserError> {
        let password = PasswordHash::new(password).map_err(|_| UserError::Password)?;
        let is_whole = password.algorithm.as_str() == "argon2id"
            && password.salt.is_some()
            && password.hash.is_some()
            && Params::try_from(&password).is_ok();
        match is_whole {
            true => Ok(User { name: name.into(), password, scram: None, challenge: None }),
            false => Err(UserError::Password),
        }
    }

    /// Adds what SCRAM takes: `SCRAM-SHA-256$iterations:salt$stored:server`.
    ///
    /// # Errors
    ///
    /// If `keys` is not of that form.
    pub fn scram(self, keys: &str) -> Result<User, UserError> {
        Ok(User { scram: Some(ScramKeys::parse(keys)?), ..self })
    }

    /// Adds the secret for [`CHALLENGE`](super::CHALLENGE). It is kept as it is: for tests.
    #[must_use]
    pub fn challenge(self, secret: impl Into<Bytes>) -> User {
        User { challenge: Some(secret.into()), ..self }
    }

    /// A hash that is as much work as this user's, and that of no known password.
    pub(super) fn decoy(&self, secret: &[u8]) -> PasswordHash {
        let bytes = keyed(secret, b"decoy");
        let mut decoy = self.password.clone();
        decoy.salt = Salt::new(&bytes[..16]).ok().or(decoy.salt);
        decoy.hash = Output::new(&bytes).ok().or(decoy.hash);
        decoy
    }
}

/// Bytes that nobody knows who does not know the users' keys: what is made up from them is the same
/// after a restart.
pub(super) fn table_secret(users: &BTreeMap<Text, User>) -> Vec<u8> {
    let mut digest = Sha256::new();
    for user in users.values() {
        let scram = user.scram.as_ref().map(ToString::to_string).unwrap_or_default();
        for part in [&*user.name, &user.password.to_string(), &scram] {
            digest.update(part);
            digest.update([0xFF]); // In no text.
        }
    }
    digest.finalize().to_vec()
}

/// HMAC-SHA-256.
pub(super) fn keyed(key: &[u8], text: &[u8]) -> Vec<u8> {
    // Keys of any length will do, so there always is one.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return Vec::new() };
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}
