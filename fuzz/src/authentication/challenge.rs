//! The method `CHALLENGE` of the reference broker, in any order of messages.

use bytes::Bytes;
use reference_broker::authentication::{CHALLENGE, Exchange};
use reference_broker::codec::ReasonCode;
use reference_broker::core::Answer;
use sha2::{Digest, Sha256};

use super::{ask, authenticator, edited, user};
use crate::choices::Choices;

/// How many messages a client sends at the most.
const MESSAGES: usize = 24;

/// The names that clients use: two users with a secret, one without, and nobody.
const NAMES: [&str; 4] = ["ann", "bob", "without", "nobody"];

/// Where an exchange is.
#[derive(Clone, Debug, PartialEq)]
enum State {
    Idle,
    Asked,
    Challenged { name: Bytes, challenge: Bytes },
}

/// Whoever is accepted has the secret of the user that it named, and has answered the challenge that it
/// got; whoever has and did is accepted; nothing else goes on than what has begun.
///
/// # Panics
///
/// When it does not hold.
pub fn a_challenge_is_met_by_who_has_the_secret(input: &[u8]) {
    let mut choices = Choices::new(input);
    let secrets = [choices.bytes(), choices.bytes()];
    let users = [("ann", &secrets[0]), ("bob", &secrets[1])];
    let with_secrets = users.map(|(name, secret)| user(name).challenge(secret.clone()));
    let authenticator = authenticator(with_secrets.into_iter().chain([user("without")]));
    let secret_of =
        |name: &[u8]| users.iter().find(|(of, _)| of.as_bytes() == name).map(|(_, secret)| *secret);
    let (mut exchange, mut state) = (Exchange::new(true), State::Idle);
    for _ in 0..MESSAGES {
        if choices.is_empty() {
            return;
        }
        let begins = choices.rarely(3) || state == State::Idle && choices.flag();
        let data = message(&state, &secrets, &mut choices);
        let before = if begins { State::Asked } else { state };
        let answer = ask(&authenticator, &mut exchange, CHALLENGE, data.clone(), begins);
        let refused = |answer, reason| assert_eq!(answer, Answer::Refused(reason));
        state = match (before, data) {
            (State::Idle, _) => {
                refused(answer, ReasonCode::BadAuthenticationMethod);
                State::Idle
            }
            (State::Asked, None) => {
                assert_eq!(answer, Answer::GoesOn(None));
                State::Asked
            }
            (State::Asked, Some(name)) => match answer {
                Answer::GoesOn(Some(challenge)) if challenge.len() == 32 => {
                    State::Challenged { name, challenge }
                }
                answer => panic!("{answer:?} is no challenge"),
            },
            (State::Challenged { name, challenge }, data) => {
                let right = secret_of(&name).map(|secret| keyed(secret, &challenge));
                match right.is_some_and(|right| data.as_deref() == Some(&right[..])) {
                    true => {
                        let user = str::from_utf8(&name).ok().map(Into::into);
                        assert_eq!(answer, Answer::Accepted { user, data: None });
                    }
                    false => refused(answer, ReasonCode::NotAuthorized),
                }
                State::Idle
            }
        };
    }
}

/// What a client sends: mostly what brings it on.
fn message(state: &State, secrets: &[Bytes; 2], choices: &mut Choices<'_>) -> Option<Bytes> {
    match choices.byte() {
        0..16 => None,
        16..32 => Some(choices.bytes()),
        which => Some(match state {
            State::Challenged { challenge, .. } => {
                edited(&keyed(&secrets[usize::from(which) % 2], challenge), choices)
            }
            _ => edited(NAMES[usize::from(which) % NAMES.len()].as_bytes(), choices),
        }),
    }
}

/// HMAC-SHA-256, as RFC 2104 has it.
fn keyed(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut block = [0; 64];
    match key.len() {
        0..=64 => block[..key.len()].copy_from_slice(key),
        _ => block[..32].copy_from_slice(&Sha256::digest(key)),
    }
    let inner = Sha256::new().chain_update(block.map(|byte| byte ^ 0x36)).chain_update(message);
    let outer = Sha256::new().chain_update(block.map(|byte| byte ^ 0x5C));
    outer.chain_update(inner.finalize()).finalize().to_vec()
}

/// Inputs to begin with.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let secrets = [1, b's', 2, b't', b'u'];
    // Whether it begins, if that is asked which of both ways, what is sent, and what is changed in it.
    let messages: [&[u8]; 6] = [
        &[255, 40, 0, 0, 40, 0],
        &[255, 41, 0, 0, 41, 0],
        &[255, 40, 0, 0, 41, 0, 0, 1, 40, 0],
        &[255, 42, 0, 0, 40, 0, 255, 43, 0, 0, 40, 0],
        &[255, 0, 0, 40, 0, 0, 40, 201, 3, 0, 1, b'x'],
        &[0, 0, 40, 0, 255, 16, 3, 0xFF, b'a', b'b', 0, 40, 0],
    ];
    messages.map(|rest| [&secrets[..], rest].concat()).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use reference_broker::authentication::challenge_response;

    #[test]
    fn both_know_the_same_code() {
        for length in [0, 1, 64, 65, 200] {
            let key = vec![3; length];
            assert_eq!(keyed(&key, b"message"), challenge_response(&key, b"message"), "{length}");
        }
    }
}
