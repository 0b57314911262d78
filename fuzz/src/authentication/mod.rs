//! Enhanced authentication, both sides of it (section 4.12).

mod challenge;
mod scram;

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use reference_broker::authentication::{
    Anonymous, Authenticator, Cost, Exchange, HashedPassword, User, hash_password,
};
use reference_broker::codec::Text;
use reference_broker::core::{Answer, Question};

use crate::choices::Choices;
use crate::clock;

pub use challenge::a_challenge_is_met_by_who_has_the_secret;
pub(crate) use challenge::seeds as challenge_seeds;
pub use scram::an_exchange_proves_the_password;
pub(crate) use scram::seeds as scram_seeds;

/// The password of all users.
const PASSWORD: &str = "pencil";

/// What is kept of the password. To hash it takes a while, so it is done once.
fn hashed() -> &'static HashedPassword {
    static HASHED: OnceLock<HashedPassword> = OnceLock::new();
    HASHED.get_or_init(|| {
        let salt = Arc::new(|bytes: &mut [u8]| {
            bytes.fill(7);
            Ok(())
        });
        hash_password(PASSWORD, Cost::least(), &(salt as _)).expect("a password that can be hashed")
    })
}

/// A user of this name, without anything for enhanced authentication.
fn user(name: &str) -> User {
    User::new(name, &hashed().password).expect("a hash that was just made")
}

fn authenticator(users: impl IntoIterator<Item = User>) -> Authenticator {
    let fixed = Arc::new(|bytes: &mut [u8]| {
        bytes.iter_mut().zip(1..).for_each(|(byte, number)| *byte = number);
        Ok(())
    });
    Authenticator::with_random(users, Anonymous::Nobody, fixed).expect("users of different names")
}

/// What a client sends next, and what it is told. Nothing of it waits.
fn ask(
    authenticator: &Authenticator,
    exchange: &mut Exchange,
    method: &str,
    data: Option<Bytes>,
    begins: bool,
) -> Answer {
    let method: Text = method.into();
    clock::run(authenticator.answer(exchange, Question::Exchange { method, data, begins }))
}

/// A message as it goes, or, now and then, with some bytes changed, taken out or put in.
fn edited(message: &[u8], choices: &mut Choices<'_>) -> Bytes {
    let mut bytes = message.to_vec();
    for _ in 0..usize::from(choices.byte()).saturating_sub(200) % 4 {
        let at = choices.below(bytes.len() + 1);
        let until = (at + choices.below(4)).min(bytes.len());
        bytes.splice(at..until, choices.bytes().iter().take(40).copied());
    }
    bytes.into()
}
