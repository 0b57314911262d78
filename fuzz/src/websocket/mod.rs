//! The transport over WebSocket of the reference broker: hostile frames, hostile handshakes, and
//! what two good sides say to each other (section 6, RFC 6455).
//!
//! `frames` makes frames and `naive` reads them, neither with anything of the broker; `handshake` is
//! about what comes before. The clock is a paused one: whoever waits for nothing is found at once.

mod frames;
mod handshake;
mod naive;

use std::time::Duration;

use reference_broker::transport::websocket::{WebSocketStream, accept, connect};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::timeout;

use crate::choices::Choices;
use crate::clock;
use frames::Role;

/// The path that the server answers at.
const PATH: &str = "/mqtt";

/// How long a handshake may take, on a clock that jumps.
const PATIENCE: Duration = Duration::from_secs(10);

/// More than anything takes: what is not done by then waits for what never comes.
const FOREVER: Duration = Duration::from_secs(86_400);

/// Room for all that one input sends, so that whoever sends it need not wait.
const ROOM: usize = 1 << 20;

/// Frames of the other side are read as RFC 6455 says, however they are split, handshakes are agreed to
/// when they are for MQTT and otherwise refused, and what one side writes is what the other reads.
///
/// # Panics
///
/// When they are not.
pub fn a_websocket_carries_what_was_sent(input: &[u8]) {
    let mut choices = Choices::new(input);
    let kind = choices.byte();
    let role = if kind & 8 == 0 { Role::Server } else { Role::Client };
    let done = async {
        match kind % 8 {
            0 => {
                let lengths = lengths(&mut choices);
                check_frames(role, choices.rest(), &lengths).await;
            }
            1 | 2 => {
                let lengths = lengths(&mut choices);
                check_frames(role, &frames::made(role, &mut choices), &lengths).await;
            }
            3 => handshake::check_made_request(&mut choices).await,
            4 => handshake::check_any_request(&mut choices).await,
            5 => handshake::check_any_response(&mut choices).await,
            6 => handshake::check_endless(&mut choices).await,
            _ => check_conversation(&mut choices).await,
        }
    };
    clock::run(async { timeout(FOREVER, done).await }).expect("it waits for what never comes");
}

/// The lengths of pieces that a stream comes in.
fn lengths(choices: &mut Choices<'_>) -> Vec<usize> {
    (0..1 + choices.below(3)).map(|_| 1 + usize::from(choices.byte())).collect()
}

/// Bytes cut into pieces that have these lengths in turn.
fn pieces<'a>(mut bytes: &'a [u8], lengths: &[usize]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    for length in lengths.iter().cycle() {
        if bytes.is_empty() {
            break;
        }
        let (piece, rest) = bytes.split_at((*length).min(bytes.len()));
        pieces.push(piece);
        bytes = rest;
    }
    pieces
}

/// What one side reads of bytes, and what it answers.
#[derive(Debug, PartialEq)]
struct Reading {
    payload: Vec<u8>,
    /// What is wrong, if anything is.
    error: Option<String>,
    answer: Vec<u8>,
}

/// Any bytes behind a good handshake, whole and in pieces, are what a naive reader makes of them.
async fn check_frames(role: Role, bytes: &[u8], lengths: &[usize]) {
    let expected = naive::read(role, bytes);
    let whole = read(role, &[bytes], ROOM).await;
    naive::check(role, &expected, &whole);
    let split = read(role, &pieces(bytes, lengths), lengths[0]).await;
    naive::check(role, &expected, &split);
    let bytewise = read(role, &pieces(bytes, &[1]), 1 + lengths[0]).await;
    naive::check(role, &expected, &bytewise);
    assert_eq!((&whole.error, &whole.error), (&split.error, &bytewise.error), "the same is wrong");
    if role == Role::Server {
        naive::check(role, &expected, &read_early(bytes, lengths[0]).await);
    }
}

/// Reads bytes that come in these pieces, `room` at a time at the most.
async fn read(role: Role, pieces: &[&[u8]], room: usize) -> Reading {
    let (stream, other) = open(role, ROOM).await;
    read_behind(stream, other, pieces, room).await
}

/// Reads bytes of a client that does not wait for the answer to its request.
async fn read_early(bytes: &[u8], room: usize) -> Reading {
    let (own, mut other) = duplex(ROOM);
    let all = [&handshake::good_request(), bytes].concat();
    other.write_all(&all).await.expect("there is room");
    let stream = accept(own, PATH, PATIENCE).await.expect("a good request");
    let mut reading = read_behind(stream, other, &[], room).await;
    let end = reading.answer.windows(4).position(|it| it == b"\r\n\r\n").expect("a response");
    reading.answer.drain(..end + 4);
    reading
}

/// Reads what comes behind a handshake.
async fn read_behind(
    mut stream: WebSocketStream<DuplexStream>,
    mut other: DuplexStream,
    pieces: &[&[u8]],
    room: usize,
) -> Reading {
    let write = async {
        for piece in pieces {
            if other.write_all(piece).await.is_err() {
                break; // It has come to its end.
            }
            tokio::task::yield_now().await;
        }
        let _ = other.shutdown().await;
        let mut answer = Vec::new();
        other.read_to_end(&mut answer).await.expect("memory does not fail");
        answer
    };
    let read = async {
        let (mut payload, mut room) = (Vec::new(), vec![0; room.min(4096)]);
        let error = loop {
            match stream.read(&mut room).await {
                Ok(0) => break None,
                Ok(count) => payload.extend_from_slice(&room[..count]),
                Err(error) => break Some(error.to_string()),
            }
        };
        assert!(matches!(stream.read(&mut room).await, Ok(0)), "behind the end is nothing");
        drop(stream);
        (payload, error)
    };
    let (answer, (payload, error)) = tokio::join!(write, read);
    Reading { payload, error, answer }
}

/// A connection after its handshake: this side of it, and what is below the other side.
async fn open(role: Role, room: usize) -> (WebSocketStream<DuplexStream>, DuplexStream) {
    let (own, mut other) = duplex(room);
    let stream = match role {
        Role::Server => {
            let (stream, client) = tokio::join!(
                accept(own, PATH, PATIENCE),
                connect(&mut other, "localhost:1883", PATH, PATIENCE)
            );
            client.expect("a good server");
            stream
        }
        Role::Client => {
            let (stream, server) = tokio::join!(
                connect(own, "localhost:1883", PATH, PATIENCE),
                accept(&mut other, PATH, PATIENCE)
            );
            server.expect("a good client");
            stream
        }
    };
    (stream.expect("a good handshake"), other)
}

/// Two sides write to each other, at once and in any portions, over a connection with little room.
async fn check_conversation(choices: &mut Choices<'_>) {
    let room = 1 + usize::from(choices.byte());
    let parts = |choices: &mut Choices<'_>| -> Vec<Vec<u8>> {
        (0..choices.below(6)).map(|_| choices.bytes().to_vec()).collect()
    };
    let (said, answered) = (parts(choices), parts(choices));
    let (own, other) = duplex(room);
    let (client, server) =
        tokio::join!(connect(own, "h:1", PATH, PATIENCE), accept(other, PATH, PATIENCE));
    let (client, server) = (client.expect("a good server"), server.expect("a good client"));
    let (mut client, mut server) =
        tokio::join!(exchange(client, &said, &answered), exchange(server, &answered, &said));
    let mut rest = Vec::new();
    let (shut, end) = tokio::join!(client.shutdown(), server.read_to_end(&mut rest));
    shut.expect("a good server");
    assert!(matches!(end, Ok(0)), "the end is read as the end: {end:?} {rest:?}");
}

/// Writes all of `own` and reads all of `their`.
async fn exchange(
    stream: WebSocketStream<DuplexStream>,
    own: &[Vec<u8>],
    their: &[Vec<u8>],
) -> WebSocketStream<DuplexStream> {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let write = async {
        for part in own {
            writer.write_all(part).await.expect("the other side takes it");
            writer.flush().await.expect("the other side takes it");
        }
    };
    let expected = their.concat();
    let mut read = vec![0; expected.len()];
    let (_, count) = tokio::join!(write, reader.read_exact(&mut read));
    count.expect("all that was sent");
    assert!(read == expected, "what was read is not what was sent");
    reader.unsplit(writer)
}

/// Inputs to begin with: frames and requests of every kind.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (kind, role) in [(0, Role::Server), (8, Role::Client)] {
        for frames in frames::examples(role) {
            seeds.push([&[kind, 0, 3][..], &frames].concat());
            seeds.push([&[kind, 1, 0, 200][..], &frames, &frames].concat());
        }
        seeds.push(vec![kind + 1, 0, 9, 0, 3, b'a', b'b', b'c', 1, 2, b'd', b'e', 2, 0, 3, 0]);
    }
    seeds.extend(handshake::seeds());
    seeds.push([&[7, 9, 2, 3][..], b"abc", &[255, 3, 1, 5], b"hello"].concat());
    seeds
}
