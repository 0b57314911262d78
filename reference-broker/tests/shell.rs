//! The broker behind real and in-process streams: bytes, tasks, time.

#![cfg(feature = "server")]

#[path = "support/client.rs"]
mod client;

use std::net::SocketAddr;

use bytes::BytesMut;
use client::Client;
use reference_broker::actor::Server;
use reference_broker::codec::{
    Connect, Disconnect, Packet, Publish, QoS, ReasonCode, Subscribe, Will,
};
use reference_broker::core::Config;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::Instant;

async fn tcp_server() -> (Server, SocketAddr) {
    let server = Server::start(Config::default());
    let address = server.listen(("127.0.0.1", 0)).await.unwrap();
    (server, address)
}

fn bytes_of(packets: &[Packet]) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    packets.iter().for_each(|packet| packet.encode(&mut bytes).unwrap());
    bytes.to_vec()
}

fn session() -> [Packet; 4] {
    [
        Connect::new("c").into(),
        Subscribe::new(1, "t", QoS::AtLeastOnce).into(),
        Publish::new("t", "x").qos(QoS::AtLeastOnce, 2).into(),
        Packet::PingReq,
    ]
}

async fn expect_session(client: &mut Client<impl AsyncRead + AsyncWrite + Unpin>) {
    client.expect_connack().await;
    assert!(matches!(client.expect().await, Packet::SubAck(_)));
    assert_eq!(client.expect_publish().await.payload, "x");
    assert!(matches!(client.expect().await, Packet::PubAck(_)));
    assert_eq!(client.expect().await, Packet::PingResp);
}

/// A client that gets all messages.
async fn watching<S: AsyncRead + AsyncWrite + Unpin>(mut client: Client<S>) -> Client<S> {
    client.connect(Connect::new("watcher")).await;
    client.subscribe("#", QoS::AtMostOnce).await;
    client
}

#[tokio::test]
async fn packets_may_come_byte_by_byte() {
    let (server, address) = tcp_server().await;
    let mut over_tcp = Client::tcp(address).await;
    let mut in_memory = Client::memory(&server).await;
    for byte in bytes_of(&session()) {
        over_tcp.write(&[byte]).await;
        tokio::task::yield_now().await;
    }
    expect_session(&mut over_tcp).await;
    for byte in bytes_of(&session()) {
        in_memory.write(&[byte]).await;
        tokio::task::yield_now().await;
    }
    expect_session(&mut in_memory).await;
    over_tcp.expect_disconnect(ReasonCode::SessionTakenOver).await;
    over_tcp.expect_end().await;
}

#[tokio::test]
async fn packets_may_come_all_at_once() {
    let (server, address) = tcp_server().await;
    let mut over_tcp = Client::tcp(address).await;
    over_tcp.write(&bytes_of(&session())).await;
    expect_session(&mut over_tcp).await;
    let mut in_memory = Client::memory(&server).await;
    in_memory.write(&bytes_of(&session())).await;
    expect_session(&mut in_memory).await;
}

#[tokio::test]
async fn packets_may_be_cut_anywhere() {
    let bytes = bytes_of(&session());
    let server = Server::start(Config::default());
    for cut in 1..bytes.len() {
        let mut client = Client::memory(&server).await;
        client.write(&bytes[..cut]).await;
        tokio::task::yield_now().await;
        client.write(&bytes[cut..]).await;
        expect_session(&mut client).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_gets_its_disconnect_before_the_end() {
    let (_server, address) = tcp_server().await;
    for _ in 0..20 {
        let mut client = Client::tcp(address).await;
        client.connect(Connect::new("c")).await;
        // More than is ever read as packets, so that unread bytes are there when it closes.
        client.write(&[0x00; 10_000]).await;
        client.expect_disconnect(ReasonCode::MalformedPacket).await;
        client.expect_end().await;
    }
}

#[tokio::test]
async fn garbage_before_connect_gets_nothing_but_the_end() {
    let (server, address) = tcp_server().await;
    let mut over_tcp = Client::tcp(address).await;
    over_tcp.write(b"GET / HTTP/1.1\r\n\r\n").await;
    over_tcp.expect_end().await;
    let mut in_memory = Client::memory(&server).await;
    in_memory.write(&[0xFF; 100]).await;
    in_memory.expect_end().await;
}

#[tokio::test]
async fn a_packet_too_large_is_refused_by_its_header() {
    let server = Server::start(Config { maximum_packet_size: 1_000, ..Config::default() });
    let mut client = Client::memory(&server).await;
    client.connect(Connect::new("c")).await;
    client.write(&[0x30, 0xE9, 0x07]).await; // 1,001 bytes to follow.
    client.expect_disconnect(ReasonCode::PacketTooLarge).await;
    client.expect_end().await;
}

/// It has more to hand on than a connection may have waiting for the broker, so the CONNECT comes in between.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_client_did_counts_before_it_comes_back() {
    let (_server, address) = tcp_server().await;
    let mut watcher = watching(Client::tcp(address).await).await;
    for stays in [false, true].repeat(20) {
        let mut old = Client::tcp(address).await;
        old.connect(Connect::new("c").will(Will::new("will", ""))).await;
        let mut packets: Vec<Packet> =
            (0..100).map(|n| Publish::new(n.to_string(), "").into()).collect();
        packets.push(Disconnect::default().into());
        old.write(&bytes_of(&packets)).await;
        let _kept = stays.then_some(old);
        let mut new = Client::tcp(address).await;
        new.connect(Connect::new("c")).await;
        new.send(Publish::new("last", "")).await;
        for n in 0..100 {
            assert_eq!(&*watcher.expect_publish().await.topic, n.to_string());
        }
        assert_eq!(&*watcher.expect_publish().await.topic, "last", "and no Will");
        new.send(Disconnect::default()).await;
        new.expect_end().await;
    }
}

/// A connection that never falls silent keeps nobody waiting.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_back_does_not_wait_for_a_flood() {
    let (_server, address) = tcp_server().await;
    let mut old = Client::tcp(address).await;
    old.connect(Connect::new("c")).await;
    let flood = bytes_of(&[Publish::new("t", "x".repeat(10_000)).into()]);
    let (mut source, mut sink) = tokio::io::split(old.stream);
    let flooding = tokio::spawn(async move { while sink.write_all(&flood).await.is_ok() {} });
    let reading = tokio::spawn(async move {
        let mut bytes = BytesMut::new();
        while matches!(source.read_buf(&mut bytes).await, Ok(1..)) {}
    });
    let mut new = Client::tcp(address).await;
    new.connect(Connect::new("c")).await;
    new.expect_alive().await;
    flooding.await.unwrap();
    reading.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_sent_before_the_end_counts() {
    let (_server, address) = tcp_server().await;
    let mut watcher = watching(Client::tcp(address).await).await;
    for ends_well in [false, true].repeat(20) {
        let mut client = Client::tcp(address).await;
        let will = Will::new("will", "");
        let mut packets = vec![Connect::new("c").will(will).into()];
        packets.extend((0..50).map(|n| Publish::new(n.to_string(), "").into()));
        packets.extend(ends_well.then_some(Disconnect::default().into()));
        client.write(&bytes_of(&packets)).await;
        drop(client); // Without a look at the CONNACK.
        for n in 0..50 {
            assert_eq!(*watcher.expect_publish().await.topic, n.to_string());
        }
        if !ends_well {
            assert_eq!(&*watcher.expect_publish().await.topic, "will");
        }
    }
}

#[tokio::test]
async fn what_was_sent_before_the_end_counts_however_long_it_waits() {
    let server = Server::start(Config::default());
    let mut watcher = watching(Client::memory(&server).await).await;
    // More messages than the broker's inbox holds, so that writing fails before all is read.
    let mut packets = vec![Connect::new("c").will(Will::new("will", "")).into()];
    packets.extend(vec![Publish::new("t", "").into(); 5_000]);
    packets.extend([Publish::new("last", "").into(), Disconnect::default().into()]);
    let mut client = Client::memory(&server).await;
    client.write(&bytes_of(&packets)).await;
    drop(client);
    for _ in 0..5_000 {
        assert_eq!(&*watcher.expect_publish().await.topic, "t");
    }
    assert_eq!(&*watcher.expect_publish().await.topic, "last");
    watcher.expect_alive().await;
}

#[tokio::test]
async fn a_client_that_never_reads_stops_nobody() {
    let (_server, address) = tcp_server().await;
    let mut deaf = Client::tcp(address).await;
    let mut other = Client::tcp(address).await;
    let mut publisher = Client::tcp(address).await;
    deaf.connect(Connect::new("deaf")).await;
    deaf.subscribe("#", QoS::AtMostOnce).await;
    other.connect(Connect::new("other")).await;
    other.subscribe("#", QoS::AtMostOnce).await;
    publisher.connect(Connect::new("publisher")).await;
    // More than the buffers of a connection hold.
    let payload = vec![b'x'; 256 * 1024];
    for _ in 0..64 {
        publisher.send(Publish::new("t", payload.clone())).await;
        assert_eq!(other.expect_publish().await.payload.len(), payload.len());
    }
    publisher.expect_alive().await;
    // It is merely behind.
    assert_eq!(deaf.expect_publish().await.payload.len(), payload.len());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_is_cut_off_and_its_will_published() {
    let server = Server::start(Config::default());
    let mut deaf = Client::memory(&server).await;
    let mut watcher = Client::memory(&server).await;
    deaf.connect(Connect::new("deaf").will(Will::new("will", "gone"))).await;
    deaf.subscribe("t", QoS::AtMostOnce).await;
    watcher.connect(Connect::new("watcher")).await;
    watcher.subscribe("will", QoS::AtMostOnce).await;
    let started = Instant::now();
    watcher.send(Publish::new("t", vec![b'x'; 320 * 1024])).await;
    assert_eq!(watcher.expect_publish().await.payload, "gone");
    // Ten seconds, and one for each 16 KiB of the message.
    assert_eq!(started.elapsed().as_secs(), 30);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_only_sends_is_cut_off() {
    let server = Server::start(Config::default());
    let mut deaf = Client::memory(&server).await;
    deaf.connect(Connect::new("deaf")).await;
    let pings = bytes_of(&vec![Packet::PingReq; 10_000]);
    let mut sent = 0;
    while sent < 100 && deaf.stream.write_all(&pings).await.is_ok() {
        sent += 1;
    }
    assert!(sent < 100, "a million answers are kept for a client that reads none");
    let mut other = Client::memory(&server).await;
    other.connect(Connect::new("other")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_connections_are_served_at_once() {
    let (_server, address) = tcp_server().await;
    let mut clients = Vec::new();
    for n in 0..200 {
        let mut client = Client::tcp(address).await;
        client.send(Connect::new(format!("c{n}"))).await;
        client.send(Subscribe::new(1, "t", QoS::AtMostOnce)).await;
        clients.push(client);
    }
    for client in &mut clients {
        client.expect_connack().await;
        assert!(matches!(client.expect().await, Packet::SubAck(_)));
    }
    clients[77].send(Publish::new("t", "x")).await;
    for client in &mut clients {
        assert_eq!(client.expect_publish().await.payload, "x");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_broken_connections_do_no_harm() {
    let (_server, address) = tcp_server().await;
    let mut clients = Vec::new();
    for n in 0..200_u8 {
        let mut client = Client::tcp(address).await;
        client.write(&[n, n.wrapping_mul(31), 0x00, 0x04, b'M', n, 0xFF]).await;
        clients.push(client);
    }
    drop(clients);
    let mut client = Client::tcp(address).await;
    client.connect(Connect::new("c")).await;
    client.expect_alive().await;
}

#[tokio::test(start_paused = true)]
async fn a_half_open_connection_ends_at_the_connect_timeout() {
    let server = Server::start(Config::default());
    let mut silent = Client::memory(&server).await;
    let mut halting = Client::memory(&server).await;
    halting.write(&[0x10, 0x0D, 0x00]).await;
    let mut connected = Client::memory(&server).await;
    connected.connect(Connect::new("c")).await;
    let started = Instant::now();
    assert_eq!(silent.stream.read(&mut [0]).await.unwrap(), 0);
    assert_eq!(halting.stream.read(&mut [0]).await.unwrap(), 0);
    assert_eq!(started.elapsed().as_secs(), 30);
    connected.expect_alive().await;
}

#[tokio::test(start_paused = true)]
async fn keep_alive_ends_a_silent_connection() {
    let server = Server::start(Config::default());
    let mut client = Client::memory(&server).await;
    client.connect(Connect::new("c").keep_alive(4)).await;
    let started = Instant::now();
    client.expect_disconnect(ReasonCode::KeepAliveTimeout).await;
    client.expect_end().await;
    let waited = started.elapsed().as_millis();
    assert!((5_999..=6_010).contains(&waited), "{waited}");
}

#[tokio::test]
async fn dropping_the_server_closes_its_connections() {
    let (server, address) = tcp_server().await;
    let mut over_tcp = Client::tcp(address).await;
    let mut in_memory = Client::memory(&server).await;
    over_tcp.connect(Connect::new("a")).await;
    in_memory.connect(Connect::new("b")).await;
    drop(server);
    over_tcp.expect_end().await;
    in_memory.expect_end().await;
}

#[tokio::test]
async fn stopping_the_server_closes_its_connections_too() {
    let (server, address) = tcp_server().await;
    let mut client = Client::tcp(address).await;
    client.connect(Connect::new("c")).await;
    server.stop().await;
    client.expect_disconnect(ReasonCode::ServerShuttingDown).await;
    client.expect_end().await;
    assert!(server.connect().await.is_err());
    assert!(server.listen(("127.0.0.1", 0)).await.is_err());
}
