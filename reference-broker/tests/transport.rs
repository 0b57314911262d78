//! MQTT over TLS and WebSocket, in memory and over sockets: whole sessions, refusals, hostile bytes.

#![cfg(feature = "server")]

mod support {
    pub(crate) mod net;
}

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use reference_broker::actor::Server;
use reference_broker::codec::{Connect, Packet, Publish, QoS, ReasonCode, Subscribe};
use reference_broker::core::Config;
use reference_broker::transport::connector::connect;
use reference_broker::transport::listener::{Handshake, Listener};
use reference_broker::transport::tls::{
    Authority, ClientCertificates, ClientTls, ServerTls, TlsFiles, Trust,
};
use reference_broker::transport::{memory, websocket};
use support::net::{
    Client, PATIENCE, Pki, RawWebSocket, Site, bytes_of, frame, in_memory, request,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::TcpStream;
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// How long a handshake may take where a test waits for that.
const DEADLINE: Duration = Duration::from_secs(5);

fn start() -> Arc<Server> {
    Arc::new(Server::start(Config::default()))
}

/// A session with a message larger than a frame, a segment or a TLS record.
async fn expect_service<S>(client: &mut Client<S>)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    client.connect("c").await;
    client.send(Subscribe::new(1, "t", QoS::AtLeastOnce)).await;
    assert!(matches!(client.expect().await, Packet::SubAck(_)));
    for len in [1, 200_000] {
        let payload: Vec<u8> = (0..len).map(|n: u32| n.to_le_bytes()[0] ^ 0x5A).collect();
        client.send(Publish::new("t", payload.clone()).qos(QoS::AtLeastOnce, 2)).await;
        let mut received = Vec::new();
        for _ in 0..2 {
            received.push(client.expect().await);
        }
        assert!(received.iter().any(|packet| matches!(packet, Packet::PubAck(_))));
        let sent = |packet: &Packet| matches!(packet, Packet::Publish(p) if p.payload == payload);
        assert!(received.iter().any(sent));
        let ids = received.iter().filter_map(|packet| match packet {
            Packet::Publish(publish) => Some(publish.packet_id),
            _ => None,
        });
        for packet_id in ids.collect::<Vec<_>>() {
            client.acknowledge(packet_id).await;
        }
    }
    client.expect_alive().await;
    client.send(Packet::Disconnect(Default::default())).await;
    client.expect_end().await;
}

#[tokio::test(start_paused = true)]
async fn a_session_in_memory_over_each_transport() {
    let pki = Pki::new();
    let server = start();
    let path = Some("/mqtt".to_owned());
    for tls in [None, Some(pki.server(ClientCertificates::NotAsked))] {
        for path in [None, path.clone()] {
            let handshake = Handshake::new(tls.clone(), path.clone());
            let stream = in_memory(&server, &handshake).await;
            let client = pki.trusting();
            match (&tls, &path) {
                (None, None) => expect_service(&mut Client::over(stream)).await,
                (None, Some(path)) => {
                    let stream = websocket::connect(stream, "h", path, PATIENCE).await.unwrap();
                    expect_service(&mut Client::over(stream)).await;
                }
                (Some(_), None) => {
                    let stream = client.connect(stream, "localhost", PATIENCE).await.unwrap();
                    expect_service(&mut Client::over(stream)).await;
                }
                (Some(_), Some(path)) => {
                    let stream = client.connect(stream, "localhost", PATIENCE).await.unwrap();
                    let stream = websocket::connect(stream, "h", path, PATIENCE).await.unwrap();
                    expect_service(&mut Client::over(stream)).await;
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_over_sockets_of_each_transport_and_kind_of_address() {
    let pki = Pki::new();
    for host in ["127.0.0.1", "[::1]", "localhost"] {
        for scheme in ["mqtt", "mqtts", "ws", "wss"] {
            let tls = pki.server(ClientCertificates::NotAsked);
            let site = Site::listen(&format!("{scheme}://{host}:0"), Some(tls)).await;
            let trust = pki.trusting();
            let stream = connect(&site.endpoint, Some(&trust), PATIENCE).await.unwrap();
            expect_service(&mut Client::over(stream)).await;
        }
    }
}

// ---------------------------------------------------------------------------------------- TLS

#[tokio::test]
async fn a_client_meets_the_wrong_server() {
    let pki = Pki::new();
    let site = Site::listen("mqtts://127.0.0.1:0", Some(pki.server(Default::default()))).await;
    let reach = async |trust: Trust, name: &str| {
        let stream = TcpStream::connect(site.address).await.unwrap();
        let client = ClientTls::new(&trust, None).unwrap();
        client.connect(stream, name, PATIENCE).await.map(Client::over)
    };
    let right = Trust::File(pki.authority.clone());
    let error = reach(right.clone(), "example.org").await.err().expect("a refusal");
    assert!(error.to_string().contains("not valid for name"), "{error}");
    let stranger = Pki::new();
    let error =
        reach(Trust::File(stranger.authority.clone()), "localhost").await.err().expect("a refusal");
    assert!(error.to_string().contains("invalid peer certificate"), "{error}");
    expect_service(&mut reach(right, "localhost").await.unwrap()).await;
    expect_service(&mut reach(Trust::InsecureAnybody, "example.org").await.unwrap()).await;
}

#[tokio::test(start_paused = true)]
async fn client_certificates_none_right_and_wrong() {
    let (pki, stranger) = (Pki::new(), Pki::new());
    let none = pki.trusting();
    let right = pki.client_with(&pki.client_files("sensor-7"));
    let wrong = pki.client_with(&stranger.client_files("sensor-7"));
    let server_only = pki.client_with(&pki.server_files);
    let file = pki.authority.clone();
    for (clients, client, served) in [
        (ClientCertificates::Required(file.clone()), &none, None),
        (ClientCertificates::Required(file.clone()), &right, Some(Some("sensor-7"))),
        (ClientCertificates::Required(file.clone()), &wrong, None),
        (ClientCertificates::Required(file.clone()), &server_only, None),
        (ClientCertificates::Optional(file.clone()), &none, Some(None)),
        (ClientCertificates::Optional(file.clone()), &right, Some(Some("sensor-7"))),
        (ClientCertificates::Optional(file.clone()), &wrong, None),
        (ClientCertificates::NotAsked, &right, Some(None)),
    ] {
        let (ours, theirs) = memory::pair();
        let handshake = Handshake::new(Some(pki.server(clients.clone())), None);
        let accept = handshake.over(theirs, DEADLINE);
        let (accepted, _) = tokio::join!(accept, client.connect(ours, "localhost", DEADLINE));
        let found = accepted.map(|(_, identity)| identity);
        let name = found.as_ref().ok().map(|id| id.as_ref().and_then(|id| id.name()));
        assert_eq!(name, served, "{clients:?}: {found:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plaintext_on_a_tls_port_ends_and_harms_nobody() {
    let pki = Pki::new();
    for scheme in ["mqtts", "wss"] {
        let tls = pki.server(Default::default());
        let site = Site::listen(&format!("{scheme}://127.0.0.1:0"), Some(tls)).await;
        for bytes in [&bytes_of(&[Connect::new("c").into()])[..], b"GET / HTTP/1.1\r\n\r\n"] {
            let mut stream = TcpStream::connect(site.address).await.unwrap();
            stream.write_all(bytes).await.unwrap();
            let mut answer = Vec::new();
            let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap();
            // Nothing, or an alert.
            assert!(answer.is_empty() || answer[0] == 21, "{answer:?}");
        }
        let trust = pki.trusting();
        let stream = connect(&site.endpoint, Some(&trust), PATIENCE).await.unwrap();
        expect_service(&mut Client::over(stream)).await;
    }
}

#[tokio::test]
async fn files_of_no_use_are_named_with_what_to_do() {
    let (pki, other) = (Pki::new(), Pki::new());
    let (certificate, key) = pki.server_files.clone();
    let missing = certificate.with_file_name("missing.pem");
    let text = certificate.with_file_name("text.pem");
    std::fs::write(&text, "no PEM at all").unwrap();
    let half = certificate.with_file_name("half.pem");
    let whole = std::fs::read(&certificate).unwrap();
    std::fs::write(&half, &whole[..whole.len() / 2]).unwrap();
    let authority = |file| ClientCertificates::Required(file);
    let other_key = other.server_files.1.clone();
    for (files, named, told) in [
        ((&missing, &key, Default::default()), &missing, "check the name"),
        ((&text, &key, Default::default()), &text, "BEGIN CERTIFICATE"),
        ((&half, &key, Default::default()), &half, "is the file PEM, and whole"),
        ((&key, &key, Default::default()), &key, "BEGIN CERTIFICATE"),
        ((&certificate, &certificate, Default::default()), &certificate, "BEGIN PRIVATE KEY"),
        ((&certificate, &other_key, Default::default()), &other_key, "give the key"),
        ((&certificate, &key, authority(missing.clone())), &missing, "check the name"),
        ((&certificate, &key, authority(text.clone())), &text, "BEGIN CERTIFICATE"),
    ] {
        let (certificate, key, clients) = files;
        let files = TlsFiles { certificate: certificate.clone(), key: key.clone(), clients };
        let error = ServerTls::from_files(&files).unwrap_err().to_string();
        assert!(error.contains(&named.display().to_string()) && error.contains(told), "{error}");
    }
}

#[tokio::test]
async fn an_authority_of_ones_own_may_be_given_as_roots() {
    let authority = Authority::new("mine").unwrap();
    assert!(authority.certificate().starts_with("-----BEGIN CERTIFICATE-----"));
    assert!(authority.server(&["nöt ascii"]).is_err());
}

// -------------------------------------------------------------------------- slow handshakes

#[tokio::test(start_paused = true)]
async fn half_a_handshake_ends_at_the_deadline() {
    let pki = Pki::new();
    let tls = Some(pki.server(Default::default()));
    let path = Some("/mqtt".to_owned());
    let hello = &[0x16, 0x03, 0x01, 0x02, 0x00, 0x01][..];
    for (handshake, bytes) in [
        (Handshake::new(tls.clone(), None), &b""[..]),
        (Handshake::new(tls.clone(), None), hello),
        (Handshake::new(tls.clone(), path.clone()), hello),
        (Handshake::new(None, path.clone()), b""),
        (Handshake::new(None, path.clone()), b"GET /mqtt HTTP/1.1\r\nHost: h\r\n"),
        // Refused, but it neither reads nor closes.
        (Handshake::new(None, path.clone()), b"PUT"),
    ] {
        let (mut ours, theirs) = memory::pair();
        ours.write_all(bytes).await.unwrap();
        let started = Instant::now();
        let error = handshake.over(theirs, DEADLINE).await.err().expect("a failure");
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
        assert_eq!(started.elapsed().as_secs(), DEADLINE.as_secs());
    }
    // TLS is done in time, WebSocket is not: the deadline is for both.
    let (ours, theirs) = memory::pair();
    let handshake = Handshake::new(tls, path);
    let started = Instant::now();
    let client = async {
        tokio::time::sleep(DEADLINE / 2).await;
        let mut stream = pki.trusting().connect(ours, "localhost", DEADLINE).await.unwrap();
        let _ = stream.read(&mut [0]).await;
    };
    let (result, ()) = tokio::join!(handshake.over(theirs, DEADLINE), client);
    assert_eq!(result.err().expect("a failure").kind(), ErrorKind::TimedOut);
    assert_eq!(started.elapsed().as_secs(), DEADLINE.as_secs());
}

#[tokio::test]
async fn silent_clients_do_not_keep_others_waiting() {
    let pki = Pki::new();
    let site = Site::listen("wss://127.0.0.1:0", Some(pki.server(Default::default()))).await;
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(TcpStream::connect(site.address).await.unwrap());
    }
    let stream = connect(&site.endpoint, Some(&pki.trusting()), PATIENCE).await.unwrap();
    expect_service(&mut Client::over(stream)).await;
}

#[tokio::test]
async fn what_cannot_be_listened_on_is_told() {
    let first = Listener::bind(&"mqtt://127.0.0.1:0".parse().unwrap(), None).await.unwrap();
    assert!(first.is_loopback());
    let taken = Listener::bind(first.endpoint(), None).await.unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::AddrInUse);
    assert!(taken.to_string().contains(&first.endpoint().to_string()), "{taken}");
    let bare = Listener::bind(&"wss://127.0.0.1:0".parse().unwrap(), None).await.unwrap_err();
    assert!(bare.to_string().contains("certificate"), "{bare}");
    // IPv6 does not take IPv4's port as well.
    let six = Listener::bind(&"mqtt://[::]:0".parse().unwrap(), None).await.unwrap();
    assert!(!six.is_loopback());
    let four = format!("mqtt://0.0.0.0:{}", six.local_addr().port());
    Listener::bind(&four.parse().unwrap(), None).await.unwrap();
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
    let long = good.replace("\r\n\r\n", &format!("\r\nX: {}\r\n\r\n", "x".repeat(9_000)));
    for (request, status) in [
        (good.replace("Sec-WebSocket-Protocol: mqtt\r\n", ""), "400"),
        (good.replace("Protocol: mqtt", "Protocol: mqttv3.1"), "400"),
        (good.replace("Protocol: mqtt", "Protocol: MQTT"), "400"),
        (good.replace("GET /mqtt", "GET /"), "404"),
        (good.replace("GET /mqtt", "GET /mqtt/"), "404"),
        (good.replace("Version: 13", "Version: 8"), "400"),
        (good.replace("Upgrade: websocket", "Upgrade: h2c"), "400"),
        (good.replace("Key: dGhl", "Key: dGh"), "400"),
        (good.replace("GET", "POST"), "400"),
        (good.replace("HTTP/1.1", "HTTP/1.0"), "400"),
        (long, "431"),
        ("\u{10}\u{0}\u{4}MQTT".into(), "400"),
    ] {
        let answer = refused(request.as_bytes()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {answer}");
        assert!(answer.contains("\r\nConnection: close\r\n"), "{answer}");
    }
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
        (("HTTP/1.1", "SSH-2.0-"), "no request"),
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
