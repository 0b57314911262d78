//! Handshakes: requests and responses that are nearly right, and any bytes at all.

use std::time::Duration;

use reference_broker::transport::websocket::{accept, connect};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::time::timeout;

use super::{PATH, PATIENCE, ROOM, lengths, pieces};
use crate::choices::Choices;

/// The most that is read of a request that never ends: its head, what is read on after the refusal, and
/// as much again that waits to be read.
const MOST: usize = 2 * (8 + 16) * 1024;

/// The lines of a request: the right one, others that will do, and others that will not.
type Line = (&'static [&'static str], &'static [&'static str]);

const REQUEST: [Line; 7] = [
    (
        &["GET /mqtt HTTP/1.1", "GET /mqtt?a=b HTTP/1.1"],
        &["GET / HTTP/1.1", "GET /mqtt HTTP/1.0", "POST /mqtt HTTP/1.1", "GET /mqtt", "\u{0}"],
    ),
    (&["Host: a", "host: [::1]:80"], &[]),
    (&["Upgrade: websocket", "UPGRADE: WebSocket"], &["Upgrade: h2c", "X: websocket", "Upgrade:"]),
    (
        &["Connection: Upgrade", "connection: keep-alive, upgrade"],
        &["Connection: close", "Connection:", "Connection Upgrade"],
    ),
    (
        &["Sec-WebSocket-Version: 13"],
        &["Sec-WebSocket-Version: 8", "Sec-WebSocket-Version: 13x", "X: 13"],
    ),
    (&["Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="], &["X: AAAAAAAAAAAAAAAAAAAAAA=="]),
    (
        &["Sec-WebSocket-Protocol: mqtt", "Sec-WebSocket-Protocol: mqttv3.1 ,\tmqtt"],
        &[
            "Sec-WebSocket-Protocol: mqttv3.1",
            "Sec-WebSocket-Protocol: MQTT",
            "Sec-WebSocket-Protocol: ",
            "Sec-WebSocket-Protocol: mqtt mqtt",
            "X: mqtt",
        ],
    ),
];

/// A request made of lines of which it is known whether they will do is agreed to if all of them do.
pub(super) async fn check_made_request(choices: &mut Choices<'_>) {
    let lengths = lengths(choices);
    let (mut lines, mut is_good) = (Vec::new(), true);
    for (good, bad) in REQUEST {
        let (of, which) = match choices.rarely(16) && !bad.is_empty() {
            true => (bad, choices.byte()),
            false => (good, choices.byte()),
        };
        is_good &= of == good;
        lines.extend(of.get(usize::from(which) % of.len()).copied());
    }
    // The order of headers is free, and others may be among them.
    let by = choices.below(lines.len() - 1);
    lines[1..].rotate_left(by);
    if choices.flag() {
        lines.insert(1 + choices.below(lines.len()), "Cookie: a=b; c");
    }
    let request = lines.join("\r\n") + "\r\n\r\n";
    let accepted = ask(request.as_bytes(), &[ROOM]).await;
    assert_eq!(accepted.is_ok(), is_good, "{request:?}: {accepted:?}");
    assert_eq!(ask(request.as_bytes(), &lengths).await, accepted, "{request:?} in pieces");
}

/// Any bytes as a request, be they a good one with some bytes changed: the answer is the same however
/// they come.
pub(super) async fn check_any_request(choices: &mut Choices<'_>) {
    let lengths = lengths(choices);
    let request = changed(good_request(), choices);
    let whole = ask(&request, &[ROOM]).await;
    assert_eq!(ask(&request, &lengths).await, whole, "in pieces of {lengths:?}");
    assert_eq!(ask(&request, &[1]).await, whole, "byte by byte");
}

/// Any bytes as a response, likewise. None of them is one to this handshake: its key is a new one.
pub(super) async fn check_any_response(choices: &mut Choices<'_>) {
    let lengths = lengths(choices);
    let response =
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                     Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
                     Sec-WebSocket-Protocol: mqtt\r\n\r\n";
    let response = changed(response.to_vec(), choices);
    let whole = answer(&response, &[ROOM]).await;
    assert_eq!(answer(&response, &lengths).await, whole, "in pieces of {lengths:?}");
    assert_eq!(answer(&response, &[1]).await, whole, "byte by byte");
}

/// Whoever never ends a request, or never sends one, is refused in time and after little.
pub(super) async fn check_endless(choices: &mut Choices<'_>) {
    let begin = changed(good_request(), choices);
    let begin = begin.strip_suffix(b"\r\n\r\n").unwrap_or(&begin).to_vec();
    let fill = [choices.byte().max(b' '); 1024];
    let is_slow = choices.flag();
    let (own, mut other) = duplex(4096);
    // A stream that is agreed to is dropped at once, because nobody reads it.
    let accept =
        async { timeout(PATIENCE * 3, accept(own, PATH, PATIENCE)).await.map(|it| it.map(drop)) };
    let mut sent = 0;
    let send = async {
        let mut result = other.write_all(&begin).await;
        while result.is_ok() && sent < 100 * MOST {
            if is_slow {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            result = other.write_all(&fill).await;
            sent += fill.len();
        }
    };
    let (accepted, ()) = tokio::join!(accept, send);
    match accepted.expect("within its patience") {
        Ok(()) => {} // The end was among what was changed.
        Err(_) => assert!(sent <= MOST + begin.len(), "{sent} bytes were read of what has no end"),
    }
}

pub(super) fn good_request() -> Vec<u8> {
    let lines: Vec<&str> = REQUEST.iter().filter_map(|(good, _)| good.first().copied()).collect();
    (lines.join("\r\n") + "\r\n\r\n").into_bytes()
}

/// These bytes with some of them changed, taken out or put in, or other ones.
fn changed(mut bytes: Vec<u8>, choices: &mut Choices<'_>) -> Vec<u8> {
    if choices.rarely(4) {
        return choices.rest().to_vec();
    }
    for _ in 0..choices.below(6) {
        let at = usize::from(choices.two()) % (bytes.len() + 1);
        let until = (at + choices.below(8)).min(bytes.len());
        bytes.splice(at..until, choices.bytes().to_vec());
    }
    bytes
}

/// What a server says to these bytes: its error, and what it sent. What comes after the request may be
/// frames and is not looked at.
async fn ask(request: &[u8], lengths: &[usize]) -> Result<Vec<u8>, (String, Vec<u8>)> {
    let (own, mut other) = duplex(ROOM);
    let send = async {
        for piece in pieces(request, lengths) {
            if other.write_all(piece).await.is_err() {
                break; // It had seen enough.
            }
            tokio::task::yield_now().await;
        }
        let _ = other.shutdown().await;
        let mut response = Vec::new();
        let _ = other.read_to_end(&mut response).await;
        response
    };
    let accept = async { accept(own, PATH, PATIENCE).await.map(drop).map_err(|it| it.to_string()) };
    let (response, accepted) = tokio::join!(send, accept);
    match accepted {
        Ok(()) => {
            assert!(response.starts_with(b"HTTP/1.1 101 "), "agreed, and said otherwise");
            Ok(response)
        }
        Err(error) => {
            assert!(!response.starts_with(b"HTTP/1.1 101 "), "{error}, and yet agreed");
            Err((error, response))
        }
    }
}

/// What a client says of these bytes.
async fn answer(response: &[u8], lengths: &[usize]) -> String {
    let (own, mut other) = duplex(ROOM);
    let send = async {
        for piece in pieces(response, lengths) {
            if other.write_all(piece).await.is_err() {
                break;
            }
            tokio::task::yield_now().await;
        }
        let _ = other.shutdown().await;
        other
    };
    let (_other, connected) = tokio::join!(send, connect(own, "h", PATH, PATIENCE));
    connected.map(drop).expect_err("an answer to another handshake").to_string()
}

/// Inputs to begin with.
pub(super) fn seeds() -> Vec<Vec<u8>> {
    let with = |kind: u8, changes: &[u8]| [&[kind, 0, 20][..], changes].concat();
    let any = |kind: u8, bytes: &[u8]| [&[kind, 0, 20, 255][..], bytes].concat();
    vec![
        with(3, &[0; 20]),
        with(3, &[0, 1, 0, 1, 0, 1, 0, 1, 0, 0, 0, 0, 0, 1, 3, 1, 2]),
        with(3, &[255, 0, 0, 0, 0, 0, 0, 0, 255, 0, 0, 0, 255, 2]),
        with(4, &[0, 1, 0, 10, 3, 2, b'x', b'y']),
        any(4, &good_request()),
        any(4, b"\x10\x0D\x00\x04MQTT\x05\x02\x00\x3C\x00\x00\x00"),
        with(5, &[0, 1, 0, 60, 3, 2, b'x', b'y']),
        any(5, b"HTTP/1.1 404 Not Found\r\n\r\n"),
        any(5, b"HTTP/1.1 101 a\r\nUpgrade: websocket\r\n\r\n"),
        vec![6, 0, 0, 0],
        vec![6, 0, 0, b'a', 1],
        [&[6, 255][..], b"GET /"].concat(),
    ]
}
