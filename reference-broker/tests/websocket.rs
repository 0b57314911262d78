//! MQTT over WebSocket, byte by byte: the handshake, frames, and what is no WebSocket.

#![cfg(feature = "server")]

#[allow(dead_code)] // Its sockets and certificates are for other tests.
mod support {
    pub(crate) mod net;
}

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use reference_broker::actor::Server;
use reference_broker::codec::{Connect, Packet, Publish, QoS, ReasonCode, Subscribe};
use reference_broker::core::Config;
use reference_broker::transport::listener::Handshake;
use reference_broker::transport::{memory, websocket};
use support::net::{Client, PATIENCE, RawWebSocket, bytes_of, frame, request};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// How long a handshake may take where a test waits for that.
const DEADLINE: Duration = Duration::from_secs(5);

fn start() -> Arc<Server> {
    Arc::new(Server::start(Config::default()))
}

// ------------------------------------------------------------------------ WebSocket handshake

async fn refused(request: &[u8]) -> String {
    let (mut ours, theirs) = memory::pair();
    let handshake = Handshake::new(None, Some("/mqtt".into()));
    let client = async {
        ours.write_all(request).await.unwrap();
        let mut answer = String::new();
        ours.read_to_string(&mut answer).await.unwrap();
        ours.shutdown().await.unwrap();
        answer
    };
    let server = async {
        let result = handshake.over(theirs, DEADLINE).await;
        assert_eq!(result.err().expect("a refusal").kind(), ErrorKind::InvalidData);
    };
    tokio::join!(server, client).1
}

#[tokio::test(start_paused = true)]
async fn a_handshake_without_mqtt_or_on_another_path_is_refused() {
    let good = String::from_utf8(request("/mqtt", "mqtt")).unwrap();
    for (request, status) in [
        (good.replace("Sec-WebSocket-Protocol: mqtt\r\n", ""), "400"),
        (good.replace("Protocol: mqtt", "Protocol: mqttv3.1"), "400"),
        (good.replace("Protocol: mqtt", "Protocol: MQTT"), "400"),
        (good.replace("GET /mqtt", "GET /"), "404"),
        (good.replace("GET /mqtt", "GET /mqtt/"), "404"),
        (good.replace("Version: 13", "Version: 8"), "400"),
        (good.replace("Upgrade: websocket", "Upgrade: h2c"), "400"),
        (good.replace("Key: dGhl", "Key: dGh"), "400"),
        (good.replace("Upgrade:", "Origin: https://evil.example\r\nUpgrade:"), "403"),
        (good.replace("GET", "POST"), "400"),
        (good.replace("HTTP/1.1", "HTTP/1.0"), "400"),
        (padded(HEAD + 1), "431"),
        // No need to wait for the end of one that is too long already.
        (padded(HEAD + 5).trim_end().into(), "431"),
        ("\u{10}\u{0}\u{4}MQTT".into(), "400"),
    ] {
        let answer = refused(request.as_bytes()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {answer}");
        assert!(answer.contains("\r\nConnection: close\r\n"), "{answer}");
    }
}

/// The longest head of a request, in bytes.
const HEAD: usize = 8_192;

/// A good request of so many bytes.
fn padded(size: usize) -> String {
    let good = String::from_utf8(request("/mqtt", "mqtt")).unwrap();
    let filler = "x".repeat(size - good.len() - "\r\nX: ".len());
    let padded = good.replace("\r\n\r\n", &format!("\r\nX: {filler}\r\n\r\n"));
    assert_eq!(padded.len(), size);
    padded
}

#[tokio::test(start_paused = true)]
async fn a_head_may_be_as_long_as_it_may_be() {
    let server = start();
    let mut client = RawWebSocket::start(&server).await;
    // What is behind it does not count.
    let early = [padded(HEAD).into_bytes(), frame(FIN_BINARY, &session())].concat();
    let answer = client.handshake(&early).await;
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    expect_session(&mut client).await;
}

// MQTT-6.0.0-3, MQTT-6.0.0-4
#[tokio::test(start_paused = true)]
async fn mqtt_is_picked_from_what_a_client_offers() {
    let server = start();
    for offer in ["mqtt", "mqttv3.1, mqtt", "x,mqtt,y", "x\r\nSec-WebSocket-Protocol: mqtt"] {
        let mut client = RawWebSocket::start(&server).await;
        let answer = client.handshake(&request("/mqtt?token=x", offer)).await;
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        let lower = answer.to_ascii_lowercase();
        assert!(lower.contains("\r\nsec-websocket-protocol: mqtt\r\n"), "{answer}");
        // The example of RFC 6455, section 1.3.
        assert!(answer.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_insists_on_mqtt_too() {
    for (change, told) in [
        (("Sec-WebSocket-Protocol: mqtt\r\n", ""), "does not agree"),
        (("Sec-WebSocket-Protocol: mqtt", "Sec-WebSocket-Protocol: x"), "does not agree"),
        (("101 Switching Protocols", "404 Not Found"), "404"),
        (("Accept: ", "Accept: x"), "not to this"),
        (("HTTP/1.1", "SSH-2.0-"), "does not answer in HTTP/1.1"),
    ] {
        let (ours, mut theirs) = memory::pair();
        let server = async {
            let head = support::net::read_head(&mut theirs).await;
            let key = head.split("Sec-WebSocket-Key: ").nth(1).unwrap();
            let accept = support::net::accept_key(key.lines().next().unwrap());
            let answer = format!(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"
            );
            assert!(answer.contains(change.0));
            theirs.write_all(answer.replace(change.0, change.1).as_bytes()).await.unwrap();
        };
        let (result, ()) = tokio::join!(websocket::connect(ours, "h", "/", DEADLINE), server);
        let error = result.unwrap_err().to_string();
        assert!(error.contains(told), "{error}");
    }
}

// ------------------------------------------------------------------------- WebSocket frames

const FIN_BINARY: u8 = 0x82;
const BINARY: u8 = 0x02;
const CONTINUATION: u8 = 0x00;
const FIN_CONTINUATION: u8 = 0x80;
const FIN_TEXT: u8 = 0x81;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8A;

fn session() -> Vec<u8> {
    bytes_of(&[
        Connect::new("c").into(),
        Subscribe::new(1, "t", QoS::AtMostOnce).into(),
        Publish::new("t", "x").into(),
        Packet::PingReq,
    ])
}

async fn expect_session(client: &mut RawWebSocket) {
    assert!(matches!(client.packet().await, Packet::ConnAck(_)));
    assert!(matches!(client.packet().await, Packet::SubAck(_)));
    assert!(matches!(client.packet().await, Packet::Publish(_)));
    assert_eq!(client.packet().await, Packet::PingResp);
}

// MQTT-6.0.0-2
#[tokio::test(start_paused = true)]
async fn packets_and_frames_are_unrelated() {
    let server = start();
    let whole = session();
    let in_one = frame(FIN_BINARY, &whole);
    let each: Vec<u8> = whole.iter().flat_map(|byte| frame(FIN_BINARY, &[*byte])).collect();
    let mut fragments = frame(BINARY, b"");
    for byte in &whole {
        fragments.extend(frame(CONTINUATION, &[*byte]));
        fragments.extend(frame(CONTINUATION, b""));
        fragments.extend(frame(PONG, b"unasked"));
    }
    fragments.extend(frame(FIN_CONTINUATION, b""));
    for bytes in [in_one, each, fragments] {
        for part in [1, 7, bytes.len()] {
            let mut client = RawWebSocket::open(&server).await;
            for part in bytes.chunks(part) {
                client.write(part).await;
                tokio::task::yield_now().await;
            }
            expect_session(&mut client).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn bytes_right_behind_the_handshake_count() {
    let server = start();
    let mut client = RawWebSocket::start(&server).await;
    let early = [request("/mqtt", "mqtt"), frame(FIN_BINARY, &session())].concat();
    client.handshake(&early).await;
    expect_session(&mut client).await;
}

#[tokio::test(start_paused = true)]
async fn pings_are_answered_within_a_message_and_a_packet() {
    let server = start();
    let mut client = RawWebSocket::open(&server).await;
    let whole = session();
    client.write(&frame(BINARY, &whole[..5])).await;
    client.write(&frame(PING, b"are you there")).await;
    assert_eq!(client.frame().await, Some((PONG, b"are you there".to_vec())));
    client.write(&frame(FIN_CONTINUATION, &whole[5..])).await;
    expect_session(&mut client).await;
    client.write(&frame(PING, b"")).await;
    assert_eq!(client.frame().await, Some((PONG, vec![])));
}

#[tokio::test(start_paused = true)]
async fn pings_without_end_are_not_kept() {
    let server = start();
    let mut client = RawWebSocket::open(&server).await;
    client.write(&frame(FIN_BINARY, &session())).await;
    // A hundred times what the stream between holds: it takes them all though nobody reads.
    let pings = frame(PING, &[7; 125]).repeat(2_000);
    for _ in 0..100 {
        client.write(&pings).await;
    }
    client.write(&frame(PING, b"last")).await;
    expect_session(&mut client).await;
    let mut pongs = 0;
    loop {
        match client.frame().await {
            Some((PONG, payload)) if payload == b"last" => break,
            other => assert_eq!(other, Some((PONG, vec![7; 125]))),
        }
        pongs += 1;
    }
    assert!(pongs < 3_000, "{pongs} of 200,000 were kept");
}

// MQTT-6.0.0-1
#[tokio::test(start_paused = true)]
async fn a_text_frame_closes_and_nothing_of_it_is_processed() {
    let server = start();
    let mut watcher = Client::over(server.connect().await.unwrap());
    watcher.connect("watcher").await;
    watcher.subscribe("#").await;
    for (before, breach) in [
        (FIN_BINARY, FIN_TEXT),
        (BINARY, FIN_TEXT),
        (BINARY, FIN_BINARY),
        (FIN_BINARY, FIN_CONTINUATION),
        (FIN_BINARY, 0x83),
        (FIN_BINARY, 0xC2),
    ] {
        let mut client = RawWebSocket::open(&server).await;
        client.write(&frame(before, &bytes_of(&[Connect::new("c").into()]))).await;
        assert!(matches!(client.packet().await, Packet::ConnAck(_)));
        client.write(&frame(breach, &bytes_of(&[Publish::new("text", "").into()]))).await;
        client.write(&frame(FIN_BINARY, &bytes_of(&[Publish::new("after", "").into()]))).await;
        let code: u16 = if breach == FIN_TEXT && before == FIN_BINARY { 1003 } else { 1002 };
        assert_eq!(client.frame().await, Some((CLOSE, code.to_be_bytes().to_vec())));
        assert_eq!(client.frame().await, None);
    }
    let mut marker = Client::over(server.connect().await.unwrap());
    marker.connect("marker").await;
    marker.send(Publish::new("marker", "")).await;
    match watcher.expect().await {
        Packet::Publish(publish) => assert_eq!(&*publish.topic, "marker"),
        other => panic!("{other:?}"),
    }
}

/// What the broker's side makes of these frames, and how long that takes; `client` has the rest.
async fn read_after<T>(
    frames: &[u8],
    client: impl AsyncFnOnce(DuplexStream) -> T,
) -> (std::io::Error, Duration, T) {
    let (mut ours, theirs) = tokio::io::duplex(1_000);
    let started = Instant::now();
    let server = async {
        let mut stream = websocket::accept(theirs, "/mqtt", DEADLINE).await.unwrap();
        let error = stream.read_to_end(&mut Vec::new()).await.unwrap_err();
        (error, started.elapsed())
    };
    let client = async {
        ours.write_all(&request("/mqtt", "mqtt")).await.unwrap();
        support::net::read_head(&mut ours).await;
        ours.write_all(frames).await.unwrap();
        client(ours).await
    };
    let ((error, elapsed), rest) = tokio::join!(server, client);
    (error, elapsed, rest)
}

#[tokio::test(start_paused = true)]
async fn what_follows_a_breach_is_thrown_away_for_a_while() {
    let frames = [frame(FIN_TEXT, b"x"), frame(FIN_BINARY, &[0; 50_000])].concat();
    let (error, elapsed, answer) = read_after(&frames, async |mut client| {
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        answer
    })
    .await;
    assert_eq!((error.kind(), elapsed), (ErrorKind::InvalidData, Duration::ZERO));
    assert_eq!(answer, [CLOSE, 2, 0x03, 0xEB]);
    // Whoever does not close then is not waited for.
    let (error, elapsed, _open) = read_after(&frames, async |client| client).await;
    assert_eq!((error.kind(), elapsed.as_secs()), (ErrorKind::InvalidData, 2));
    // Nor whoever goes on and on.
    let (error, elapsed, ()) = read_after(&frames, async |mut client| {
        let mut sent = 0;
        while client.write_all(&[0; 1_000]).await.is_ok() {
            sent += 1_000;
        }
        assert!((900_000..1_100_000).contains(&sent), "{sent}");
    })
    .await;
    assert_eq!((error.kind(), elapsed), (ErrorKind::InvalidData, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn an_enormous_announcement_is_served_as_far_as_it_comes() {
    let server = start();
    let mut client = RawWebSocket::open(&server).await;
    let mut bytes = vec![FIN_BINARY, 0xFF, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    bytes.extend(session());
    client.write(&bytes).await;
    expect_session(&mut client).await;
    // A packet without end is the codec's to refuse, by its header.
    let mut client = RawWebSocket::open(&server).await;
    client.write(&frame(BINARY, &bytes_of(&[Connect::new("c").into()]))).await;
    assert!(matches!(client.packet().await, Packet::ConnAck(_)));
    client.write(&frame(CONTINUATION, &[0x30, 0xFF, 0xFF, 0xFF, 0xFF])).await;
    match client.packet().await {
        Packet::Disconnect(disconnect) => {
            assert_eq!(disconnect.reason, ReasonCode::MalformedPacket);
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_close_is_answered_and_ends_the_connection() {
    let server = start();
    for payload in [&b""[..], b"\x03\xE8", b"\x03\xE9going away"] {
        let mut client = RawWebSocket::open(&server).await;
        client.write(&frame(FIN_BINARY, &session())).await;
        expect_session(&mut client).await;
        client.write(&frame(CLOSE, payload)).await;
        let code = payload[..payload.len().min(2)].to_vec();
        assert_eq!(client.frame().await, Some((CLOSE, code)));
        assert_eq!(client.frame().await, None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_close_of_the_brokers_is_a_frame_and_then_the_end() {
    let server = start();
    let mut client = RawWebSocket::open(&server).await;
    client.write(&frame(FIN_BINARY, &session())).await;
    expect_session(&mut client).await;
    client.write(&frame(FIN_BINARY, &[0xF0, 0x01, 0x00])).await; // AUTH cut short.
    assert!(matches!(client.packet().await, Packet::Disconnect(_)));
    assert_eq!(client.frame().await, Some((CLOSE, vec![0x03, 0xE8])));
    assert_eq!(client.frame().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_close_frame_reads_as_the_end_on_both_sides() {
    for client_closes in [true, false] {
        let (ours, theirs) = tokio::io::duplex(64);
        let opening = websocket::connect(ours, "h", "/", PATIENCE);
        let (client, server) = tokio::join!(opening, websocket::accept(theirs, "/", PATIENCE));
        let (client, server) = (client.unwrap(), server.unwrap());
        let (mut one, mut other) = if client_closes { (client, server) } else { (server, client) };
        one.write_all(b"last words").await.unwrap();
        let closing = async {
            one.shutdown().await.unwrap();
            assert_eq!(one.write(b"x").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
            assert_eq!(one.read(&mut [0]).await.unwrap(), 0);
        };
        let reading = async {
            let mut words = String::new();
            other.read_to_string(&mut words).await.unwrap();
            assert_eq!(words, "last words");
            assert_eq!(other.write(b"x").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
        };
        let started = Instant::now();
        tokio::join!(closing, reading);
        assert_eq!(started.elapsed(), Duration::ZERO, "somebody waited for nothing");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_directions_flow_through_a_narrow_pipe() {
    const LEN: usize = 300_000;
    let (ours, theirs) = tokio::io::duplex(97);
    let opening = websocket::connect(ours, "h", "/", PATIENCE);
    let (client, server) = tokio::join!(opening, websocket::accept(theirs, "/", PATIENCE));
    let (mut tasks, done) = (JoinSet::new(), Arc::new(Barrier::new(4)));
    for stream in [client.unwrap(), server.unwrap()] {
        let (mut source, mut sink) = tokio::io::split(stream);
        let (read, written) = (Arc::clone(&done), Arc::clone(&done));
        tasks.spawn(async move {
            for n in 0..LEN / 1000 {
                sink.write_all(&[n.to_le_bytes()[0]; 1000]).await.unwrap();
            }
            sink.flush().await.unwrap();
            written.wait().await; // Neither closes before the other has all.
        });
        tasks.spawn(async move {
            let mut bytes = vec![0; LEN];
            source.read_exact(&mut bytes).await.unwrap();
            for (n, part) in bytes.chunks(1000).enumerate() {
                assert!(part.iter().all(|byte| *byte == n.to_le_bytes()[0]));
            }
            read.wait().await;
        });
    }
    let all = async { while tasks.join_next().await.is_some_and(|task| task.is_ok()) {} };
    tokio::time::timeout(PATIENCE, all).await.expect("all of it");
    assert!(tasks.is_empty(), "a task failed");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_taken_in_that_cannot_be_sent() {
    let (ours, _theirs) = tokio::io::duplex(1000);
    let mut stream = {
        let (client, server) = (ours, _theirs);
        let opening = websocket::connect(client, "h", "/", PATIENCE);
        let (client, server) = tokio::join!(opening, websocket::accept(server, "/", PATIENCE));
        (client.unwrap(), server.unwrap())
    };
    let mut taken = 0;
    while let Ok(count) =
        tokio::time::timeout(Duration::from_secs(1), stream.1.write(&[0; 100_000])).await
    {
        taken += count.unwrap();
    }
    assert_eq!(taken, 64 * 1024, "one frame on its way, and no more");
}
