//! SCRAM-SHA-256: the client of `conformance` and the server of the reference broker, with each other
//! and with whatever else may come.

use std::sync::OnceLock;

use bytes::Bytes;
use conformance::target::Login;
use conformance::target::scram::{Scram, ScramError};
use reference_broker::authentication::{Authenticator, Exchange, SCRAM_SHA_256};
use reference_broker::codec::ReasonCode;
use reference_broker::core::Answer;

use super::{PASSWORD, ask, authenticator, edited, hashed, user};
use crate::choices::Choices;

const NONCE: &str = "fyko+d2lbbFgONRv9qkxdawL";

/// The names that clients use: two users, the second one with letters that are escaped, and nobody.
const NAMES: [&str; 3] = ["user", "a,b=c", "nobody"];

/// How often the password is hashed: the least that there may be.
const ITERATIONS: u32 = 4096;

/// Whoever is accepted has the password and what both sent has come unchanged; whoever has it is accepted
/// then; a client believes no server that does not prove it too; and whatever else comes is refused.
///
/// # Panics
///
/// When it does not hold.
pub fn an_exchange_proves_the_password(input: &[u8]) {
    let mut choices = Choices::new(input);
    match choices.byte() % 4 {
        0 => check_exchange(&mut choices),
        1 => check_server(&mut choices),
        2 => check_client(&mut choices),
        _ => check_keys(&mut choices),
    }
}

fn server() -> &'static Authenticator {
    static SERVER: OnceLock<Authenticator> = OnceLock::new();
    SERVER.get_or_init(|| {
        let scram = |name| user(name).scram(&hashed().scram).expect("keys that were just made");
        authenticator([scram(NAMES[0]), scram(NAMES[1]), user("without")])
    })
}

/// The exchange of two good sides, of which somebody may change what is on its way.
fn check_exchange(choices: &mut Choices<'_>) {
    let name = choices.of(&NAMES).unwrap_or_default();
    let is_right = !choices.rarely(8);
    let password = if is_right { PASSWORD } else { "pen" };
    let mut client = client(name, password);
    let mut exchange = Exchange::new(false);

    let first = client.first();
    let came = edited(&first, choices);
    let mut is_whole = came == first;
    let challenge = match ask(server(), &mut exchange, SCRAM_SHA_256, Some(came), true) {
        Answer::GoesOn(Some(challenge)) => challenge,
        answer => return assert!(!is_whole, "{answer:?} to a good first message"),
    };

    let came = edited(&challenge, choices);
    is_whole &= came == challenge;
    if takes_long(&came) {
        return;
    }
    let response = match client.respond(&came) {
        Ok(response) => response,
        Err(error) => return assert!(!is_whole, "{error}"),
    };

    let came = edited(&response, choices);
    is_whole &= came == response;
    let is_known = name != "nobody";
    match ask(server(), &mut exchange, SCRAM_SHA_256, Some(came), false) {
        Answer::Accepted { user, data: Some(proof) } => {
            assert!(is_known && is_right && is_whole, "accepted by what it did not send");
            assert_eq!(user.as_deref(), Some(name));
            let came = edited(&proof, choices);
            let is_text = str::from_utf8(&came).is_ok();
            let is_extended = is_text && came.starts_with(&[&proof[..], b","].concat());
            let is_believed = client.verify(&came).is_ok();
            assert_eq!(is_believed, came == proof || is_extended, "the server's proof");
        }
        Answer::Refused(reason) => {
            assert!(!(is_known && is_right && is_whole), "refused with {reason:?}");
            check_over(&mut exchange);
        }
        answer => panic!("{answer:?} to a final message"),
    }
}

fn client(name: &str, password: &str) -> Scram {
    Scram::new(Login { user_name: name.to_owned(), password: password.to_owned() }, NONCE)
}

/// Behind a refusal there is nothing to go on with.
fn check_over(exchange: &mut Exchange) {
    let answer = ask(server(), exchange, SCRAM_SHA_256, Some(Bytes::new()), false);
    assert_eq!(answer, Answer::Refused(ReasonCode::BadAuthenticationMethod));
}

/// Whether a server's first message asks for more work than is to be done here again and again. Beyond what
/// the client does at all it is refused, so that is let through.
fn takes_long(message: &[u8]) -> bool {
    String::from_utf8_lossy(message).split(',').any(|part| {
        let iterations = part.strip_prefix("i=").and_then(|count| count.parse::<u32>().ok());
        iterations.is_some_and(|count| count > ITERATIONS && count <= 1_000_000)
    })
}

/// A client and any server: no proof is believed that does not come from the password.
fn check_server(choices: &mut Choices<'_>) {
    let mut client = client("user", PASSWORD);
    assert_eq!(client.verify(b"v=AAAA"), Err(ScramError::WrongSignature));
    let begin = choices.of(&["", "r=fyko+d2lbbFgONRv9qkxdawL", "r="]).unwrap_or_default();
    let first =
        [begin.as_bytes(), &choices.bytes(), choices.of(SALTS).unwrap_or_default()].concat();
    if takes_long(&first) {
        return;
    }
    if let Ok(response) = client.respond(&first) {
        let text = String::from_utf8_lossy(&first).into_owned();
        let nonce = text.split(',').next().unwrap_or_default();
        let begin = format!("c=biws,{nonce},p=");
        assert!(response.starts_with(begin.as_bytes()), "{response:?} to {text}");
    }
    let rest = choices.rest();
    assert!(client.verify(rest).is_err() && client.verify(&[b"v=", rest].concat()).is_err());
}

/// What a server's first message may end with.
const SALTS: &[&[u8]] = &[
    b",s=AAAA,i=1",
    b"",
    b",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,x=y",
    b",s=AAAA,i=1000001",
    b",s=,i=0",
];

/// A server and any client: nobody is accepted without a proof.
fn check_client(choices: &mut Choices<'_>) {
    let mut exchange = Exchange::new(false);
    let first = match choices.flag() {
        false => [&b"n,,n=user,r=x"[..], &choices.bytes()].concat(),
        true => choices.bytes().to_vec(),
    };
    let answer = ask(server(), &mut exchange, SCRAM_SHA_256, Some(first.into()), true);
    let Answer::GoesOn(Some(challenge)) = answer else {
        assert_eq!(answer, Answer::Refused(ReasonCode::NotAuthorized));
        return check_over(&mut exchange);
    };
    let challenge = String::from_utf8_lossy(&challenge).into_owned();
    let nonce = challenge.split(',').next().unwrap_or_default();
    let last = match choices.of(&[0, 1, 2]) {
        Some(0) => [format!("c=biws,{nonce},p=").as_bytes(), choices.rest()].concat(),
        Some(1) => {
            let binding = choices.bytes();
            let parts = [b"c=", &binding[..], b",", nonce.as_bytes(), b",p=", choices.rest()];
            parts.concat()
        }
        _ => choices.rest().to_vec(),
    };
    let answer = ask(server(), &mut exchange, SCRAM_SHA_256, Some(last.into()), false);
    assert_eq!(answer, Answer::Refused(ReasonCode::NotAuthorized));
    check_over(&mut exchange);
}

/// Any text as what is kept of a password: it is refused, or clients are told what stands in it.
fn check_keys(choices: &mut Choices<'_>) {
    let kept = edited(hashed().scram.as_bytes(), choices);
    let text = match choices.rarely(4) {
        true => String::from_utf8_lossy(choices.rest()).into_owned(),
        false => String::from_utf8_lossy(&kept).into_owned(),
    };
    let Ok(keyed) = user("user").scram(&text) else { return };
    let (_, rest) = text.split_once('$').expect("a method, and what is kept");
    let (first, _) = rest.split_once('$').expect("what is told, and the keys");
    let (iterations, salt) = first.split_once(':').expect("iterations and salt");
    let number: u32 = iterations.parse().expect("a number");
    assert!(number >= ITERATIONS, "less work than RFC 7677 wants");
    let mut exchange = Exchange::new(false);
    let first = Bytes::from_static(b"n,,n=user,r=x");
    match ask(&authenticator([keyed]), &mut exchange, SCRAM_SHA_256, Some(first), true) {
        Answer::GoesOn(Some(told)) => {
            let told = String::from_utf8_lossy(&told).into_owned();
            assert!(told.ends_with(&format!(",s={salt},i={number}")), "{told} of {text}");
        }
        answer => panic!("{answer:?} of {text}"),
    }
}

/// Inputs to begin with.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let seeds: [&[u8]; 14] = [
        &[0],
        &[0, 1],
        &[0, 2],
        &[0, 0, 255],
        &[0, 0, 0, 201, 0, 1, 1, b'y'],
        &[0, 0, 0, 201, 2, 0, 6, b'a', b'=', b'u', b's', b'e', b'r'],
        &[0, 0, 0, 0, 201, 30, 1, 1, b'x'],
        &[0, 0, 0, 0, 0, 201, 60, 1, 1, b'A'],
        &[0, 0, 0, 0, 0, 0, 201, 46, 0, 4, b',', b'x', b'=', b'y'],
        b"\x01\x01\x04%hvY\x00v=AAAA",
        b"\x02\x00\x02yz\x00v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
        b"\x02\x01\x09n,,n=u,r=\x02c=biws",
        &[3, 0],
        b"\x03\x00\xFFSCRAM-SHA-256$4096:AAAA$AAAA:AAAA",
    ];
    let finals =
        ["", ",", "c", "c=biws", "c=biws,r", "c=biws,,p=", "a,b,c", "c=biws,r=x,x=y", "c=,r=,p=,"];
    let finals = finals.iter().map(|last| [b"\x02\x00\x00\x02", last.as_bytes()].concat());
    seeds.into_iter().map(<[u8]>::to_vec).chain(finals).collect()
}
