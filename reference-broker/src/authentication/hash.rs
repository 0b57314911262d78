//! What is kept of a password.

use std::fmt;
use std::io;

use argon2::password_hash::PasswordHasher;
use argon2::{Algorithm, Argon2, Params, PasswordHash, Version};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use rsasl::mechanisms::scram::tools;
use sha2::digest::Output;
use sha2::{Digest, Sha256};

use super::{Random, SCRAM_SHA_256, UserError};

/// The least iterations that RFC 7677 allows.
const LEAST_ITERATIONS: u32 = 4096;

const SALT: usize = 16;

/// How much work it is to find out a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Memory for Argon2id, in KiB.
    pub memory: u32,
    /// Passes of Argon2id over it.
    pub passes: u32,
    /// Iterations for SCRAM, which its client does.
    pub iterations: u32,
}

impl Default for Cost {
    fn default() -> Self {
        Cost { memory: Params::DEFAULT_M_COST, passes: Params::DEFAULT_T_COST, iterations: 15_000 }
    }
}

impl Cost {
    /// As little as can be: for tests.
    pub fn least() -> Cost {
        Cost { memory: Params::MIN_M_COST, passes: 1, iterations: LEAST_ITERATIONS }
    }
}

/// What a configuration holds of a password.
#[derive(Clone, PartialEq, Eq)]
pub struct HashedPassword {
    /// A PHC string of Argon2id, to check a password that a client sends.
    pub password: String,
    /// The keys of SCRAM, as `SCRAM-SHA-256$iterations:salt$stored:server` with salt and keys in
    /// Base64.
    pub scram: String,
}

impl fmt::Debug for HashedPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HashedPassword { .. }")
    }
}

/// Turns a password into what a configuration holds of it.
///
/// # Errors
///
/// If the password has characters that SASLprep (RFC 4013) prohibits, the cost is out of range, or
/// there are no random bytes.
pub fn hash_password(password: &str, cost: Cost, random: &Random) -> io::Result<HashedPassword> {
    let mut salts = [[0; SALT]; 2];
    for salt in &mut salts {
        random(salt)?;
    }
    let invalid = |error: &dyn fmt::Display| io::Error::other(error.to_string());
    let params = Params::new(cost.memory, cost.passes, 1, None).map_err(|error| invalid(&error))?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let hash: PasswordHash = argon2
        .hash_password_with_salt(password.as_bytes(), &salts[0])
        .map_err(|error| invalid(&error))?;
    let keys = ScramKeys::new(password, cost.iterations, &salts[1])?;
    Ok(HashedPassword { password: hash.to_string(), scram: keys.to_string() })
}

/// What a server keeps for SCRAM-SHA-256 (RFC 5802, section 3): from it a password can be checked,
/// but neither the password nor a proof of it be made.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct ScramKeys {
    pub(super) iterations: u32,
    pub(super) salt: Vec<u8>,
    pub(super) stored: Vec<u8>,
    pub(super) server: Vec<u8>,
}

impl ScramKeys {
    pub(super) fn new(password: &str, iterations: u32, salt: &[u8]) -> io::Result<ScramKeys> {
        if iterations < LEAST_ITERATIONS {
            return Err(io::Error::other("fewer iterations than RFC 7677 allows"));
        }
        let password = stringprep::saslprep(password).map_err(io::Error::other)?;
        let mut salted = Output::<Sha256>::default();
        tools::hash_password::<Sha256>(password.as_bytes(), iterations, salt, &mut salted);
        let (client, server) = tools::derive_keys::<Sha256>(salted.as_slice());
        Ok(ScramKeys {
            iterations,
            salt: salt.to_vec(),
            stored: Sha256::digest(client).to_vec(),
            server: server.to_vec(),
        })
    }

    pub(super) fn parse(text: &str) -> Result<ScramKeys, UserError> {
        let decode = |text: &str| BASE64.decode(text).ok();
        let parse = || {
            let (method, rest) = text.split_once('$')?;
            let (first, keys) = rest.split_once('$')?;
            let (iterations, salt) = first.split_once(':')?;
            let (stored, server) = keys.split_once(':')?;
            let keys = ScramKeys {
                iterations: iterations.parse().ok()?,
                salt: decode(salt)?,
                stored: decode(stored)?,
                server: decode(server)?,
            };
            (method == SCRAM_SHA_256).then_some(keys)
        };
        let size = <Sha256 as Digest>::output_size();
        parse()
            .filter(|keys| keys.iterations >= LEAST_ITERATIONS && !keys.salt.is_empty())
            .filter(|keys| keys.stored.len() == size && keys.server.len() == size)
            .ok_or(UserError::Scram)
    }
}

impl fmt::Display for ScramKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [salt, stored, server] =
            [&self.salt, &self.stored, &self.server].map(|bytes| BASE64.encode(bytes));
        write!(f, "{SCRAM_SHA_256}${}:{salt}${stored}:{server}", self.iterations)
    }
}

#[cfg(test)]
mod tests {
    use hmac::{Mac, SimpleHmac};

    use super::*;

    fn hmac(key: &[u8], text: &str) -> Vec<u8> {
        let mut mac = SimpleHmac::<Sha256>::new_from_slice(key).unwrap();
        mac.update(text.as_bytes());
        mac.finalize().into_bytes().to_vec()
    }

    /// RFC 7677, section 3: user `user`, password `pencil`.
    #[test]
    fn the_keys_check_the_proof_of_rfc_7677_and_sign_as_it_says() {
        let salt = BASE64.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let keys = ScramKeys::new("pencil", 4096, &salt).unwrap();
        let nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let message = format!(
            "n=user,r=rOprNGfwEbeRWgbNEkqO,r={nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r={nonce}"
        );
        let proof = BASE64.decode("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=").unwrap();
        let signature = hmac(&keys.stored, &message);
        let client: Vec<u8> = proof.iter().zip(signature).map(|(one, other)| one ^ other).collect();
        assert_eq!(Sha256::digest(client).to_vec(), keys.stored);
        let server = "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";
        assert_eq!(BASE64.encode(hmac(&keys.server, &message)), server);
    }

    #[test]
    fn keys_are_written_so_that_they_can_be_read() {
        let keys = ScramKeys::new("pencil", 4096, b"salt").unwrap();
        let text = keys.to_string();
        assert!(text.starts_with("SCRAM-SHA-256$4096:c2FsdA==$"), "{text}");
        assert!(ScramKeys::parse(&text) == Ok(keys));
        for wrong in [
            "",
            "SCRAM-SHA-256",
            &text.replace("SHA-256", "SHA-1"),
            &text.replace("4096", "4095"),
            &text.replace("c2FsdA==", ""),
            &text[..text.len() - 4],
            &format!("{text}="),
        ] {
            assert!(ScramKeys::parse(wrong) == Err(UserError::Scram), "{wrong}");
        }
    }

    #[test]
    fn passwords_are_prepared_as_rfc_4013_says() {
        let one = ScramKeys::new("I\u{AD}X\u{A0}\u{2168}", 4096, b"salt").unwrap();
        assert!(one == ScramKeys::new("IX IX", 4096, b"salt").unwrap());
        assert!(ScramKeys::new("a\u{7}", 4096, b"salt").is_err());
        assert!(ScramKeys::new("a", 4095, b"salt").is_err());
    }
}
