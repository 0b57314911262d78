//! Addresses of targets, as a person writes them.

use conformance::target::{Address, Target};
use reference_broker::transport::url::Endpoint;

use crate::choices::Choices;

/// A password that is in nothing else.
const SECRET: &str = "Kz7Qw9";

/// What is read as an address is written to one that is read as the same, and whatever is told about a
/// text with a password in it does not tell the password.
///
/// # Panics
///
/// When it is not.
pub fn an_address_is_written_as_it_is_read(input: &[u8]) {
    let mut choices = Choices::new(input);
    if choices.flag() {
        return check_secret(&mut choices);
    }
    let text = String::from_utf8_lossy(choices.rest());
    match text.parse::<Endpoint>() {
        Ok(endpoint) => {
            let written = endpoint.to_string();
            assert_eq!(written.parse(), Ok(endpoint.clone()), "{text:?} is {written}");
            assert!(written.contains(&endpoint.authority()) && written.is_ascii(), "{written}");
        }
        Err(error) => check_told(&error.to_string(), &text),
    }
    match text.parse::<Target>() {
        Ok(target) => {
            let written = target.to_string();
            let again = written.parse::<Target>();
            let is_plain = !matches!(&target, Target::Address(it) if it.holds_credentials());
            assert!(
                !is_plain || again.as_ref() == Ok(&target),
                "{text:?}: {target:?} is {again:?}"
            );
            assert!(again.is_ok_and(|again| again.to_string() == written), "{text:?} is {written}");
        }
        Err(error) => check_told(&error, &text),
    }
}

/// A password between any other letters, in any part of an address.
fn check_secret(choices: &mut Choices<'_>) {
    let mut part = || {
        let len = choices.below(12);
        String::from_utf8_lossy(choices.take(len)).into_owned()
    };
    let (user, before, after, host) = (part(), part(), part(), part());
    let scheme = choices.of(&["mqtt://", "ws://", "", "mqtts://", "wss://", "mqt://"]);
    let scheme = scheme.unwrap_or_default();
    let text = format!("{scheme}{user}:{before}{SECRET}{after}@{host}");
    match text.parse::<Address>() {
        // It is a part of the path, or of the host, if anybody is to see it.
        Ok(address) if address.holds_credentials() => {
            let shown = format!("{address} {address:?} {:?}", address.credentials());
            let path = address.endpoint().path.clone();
            assert!(path.contains(SECRET) || !shown.contains(SECRET), "{text:?}: {shown}");
        }
        Ok(_) => {}
        Err(error) => assert!(!error.contains(SECRET), "{text:?}: {error}"),
    }
    // Behind `embedded:` and its like stands what is no password, and an error quotes it.
    let kind = text.split(':').next().unwrap_or_default();
    if !["embedded", "embedded+tcp", "container", "null"].contains(&kind)
        && let Err(error) = text.parse::<Target>()
    {
        assert!(!error.contains(SECRET), "{text:?}: {error}");
    }
}

fn check_told(told: &str, text: &str) {
    assert!(
        !told.is_empty() && told.len() <= 6 * text.len() + 600,
        "{} bytes are told",
        told.len()
    );
}

/// Inputs to begin with.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let texts = [
        "mqtt://localhost",
        "MQTTS://Broker.example:8884/",
        "ws://127.0.0.1:8080/a/b",
        "wss://[::1]:9/x",
        "mqtt://ann:p%40w@[::ffff:1.2.3.4]",
        "localhost:1884",
        "0.0.0.0",
        "tcp://h",
        "mqtt:h",
        "embedded:?mutant=3.12/pingresp-lost",
        "embedded:?messages-lag&closes-late",
        "embedded+tcp:?sends-byte-by-byte",
        "container:localhost:5000/a/b:2",
        "null:yes",
    ];
    let plain = texts.iter().map(|text| [&[0], text.as_bytes()].concat());
    let secret = [
        &b"\x01\x01u\x00\x00\x01h\x00"[..],
        b"\x01\x02u/\x01?\x01#\x01h\x01",
        b"\x01\x00\x01@\x01%\x03h:x\x02",
    ];
    plain.chain(secret.map(<[u8]>::to_vec)).collect()
}
