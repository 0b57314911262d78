//! MQTT over TLS and WebSocket, in memory and over sockets: whole sessions, handshakes that fail.

#![cfg(feature = "server")]

#[allow(dead_code)] // What is about single frames is for other tests.
mod support {
    pub(crate) mod net;
}

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use reference_broker::actor::Server;
use reference_broker::codec::{Connect, Packet, Publish, QoS, Subscribe};
use reference_broker::core::Config;
use reference_broker::transport::connector::connect;
use reference_broker::transport::listener::{Handshake, Listener};
use reference_broker::transport::tls::{
    Authority, ClientCertificates, ClientTls, ServerTls, TlsFiles, Trust,
};
use reference_broker::transport::{memory, websocket};
use support::net::{Client, PATIENCE, Pki, Site, bytes_of, in_memory};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

/// How long a handshake may take where a test waits for that.
const DEADLINE: Duration = Duration::from_secs(5);

fn start() -> Arc<Server> {
    Arc::new(Server::start(Config::default()))
}

/// A session with a message larger than a a segment or a TLS record.
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
