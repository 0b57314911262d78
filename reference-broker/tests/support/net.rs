//! Clients and servers over streams of any transport.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use reference_broker::actor::Server;
use reference_broker::codec::{
    Connect, Framer, Packet, PublishAck, QoS, ReasonCode, Side, Subscribe,
};
use reference_broker::core::Config;
use reference_broker::transport::listener::{Handshake, Listener};
use reference_broker::transport::memory;
use reference_broker::transport::tls::{
    Authority, ClientCertificates, ClientTls, ServerTls, TlsFiles, Trust,
};
use reference_broker::transport::url::Endpoint;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How long to wait before a test has failed; never waited for otherwise.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// An authority and a server it vouches for, as files.
pub(crate) struct Pki {
    directory: TempDir,
    issuer: Authority,
    pub(crate) authority: PathBuf,
    pub(crate) server_files: (PathBuf, PathBuf),
}

impl Pki {
    pub(crate) fn new() -> Pki {
        let directory = tempfile::tempdir().unwrap();
        let issuer = Authority::new("test authority").unwrap();
        let authority = directory.path().join("ca.pem");
        std::fs::write(&authority, issuer.certificate()).unwrap();
        let names = ["localhost", "127.0.0.1", "::1"];
        let pair = issuer.server(&names).unwrap();
        let server_files = pair.write(directory.path(), "server").unwrap();
        Pki { directory, issuer, authority, server_files }
    }

    pub(crate) fn server(&self, clients: ClientCertificates) -> ServerTls {
        let (certificate, key) = self.server_files.clone();
        ServerTls::from_files(&TlsFiles { certificate, key, clients }).unwrap()
    }

    pub(crate) fn client_files(&self, name: &str) -> (PathBuf, PathBuf) {
        self.issuer.client(name).unwrap().write(self.directory.path(), name).unwrap()
    }

    /// A client that trusts the authority and has no certificate.
    pub(crate) fn trusting(&self) -> ClientTls {
        ClientTls::new(&Trust::File(self.authority.clone()), None).unwrap()
    }

    /// A client that trusts the authority and has these.
    pub(crate) fn client_with(&self, own: &(PathBuf, PathBuf)) -> ClientTls {
        ClientTls::new(&Trust::File(self.authority.clone()), Some((&own.0, &own.1))).unwrap()
    }
}

/// A broker that listens on one endpoint.
pub(crate) struct Site {
    pub(crate) endpoint: Endpoint,
    pub(crate) address: SocketAddr,
    _tasks: JoinSet<()>,
}

impl Site {
    pub(crate) async fn listen(url: &str, tls: Option<ServerTls>) -> Site {
        let listener = Listener::bind(&url.parse().unwrap(), tls.as_ref()).await.unwrap();
        let (endpoint, address) = (listener.endpoint().clone(), listener.local_addr());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let server = Arc::new(Server::start(Config::default()));
            let mut connections = JoinSet::new();
            loop {
                let raw = listener.accept().await.unwrap();
                let (handshake, server) = (listener.handshake(), server.clone());
                connections.spawn(async move {
                    if let Ok(accepted) = handshake.run(raw, PATIENCE).await {
                        server.serve(accepted.stream).await.unwrap();
                    }
                });
            }
        });
        Site { endpoint, address, _tasks: tasks }
    }
}

/// The client's end of a stream within the process that is served after a handshake.
pub(crate) async fn in_memory(server: &Arc<Server>, handshake: &Handshake) -> DuplexStream {
    let (ours, theirs) = memory::pair();
    let (handshake, server) = (handshake.clone(), Arc::clone(server));
    tokio::spawn(async move {
        if let Ok((stream, _)) = handshake.over(theirs, PATIENCE).await {
            server.serve(stream).await.unwrap();
        }
    });
    ours
}

/// A client that writes what it is told and reads packet by packet.
pub(crate) struct Client<S> {
    stream: S,
    framer: Framer,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub(crate) fn over(stream: S) -> Self {
        Client { stream, framer: Framer::new(u32::MAX) }
    }

    pub(crate) async fn send(&mut self, packet: impl Into<Packet>) {
        let bytes = packet.into().to_bytes().unwrap();
        let sending = async {
            self.stream.write_all(&bytes).await?;
            self.stream.flush().await
        };
        timeout(PATIENCE, sending).await.unwrap().unwrap();
    }

    async fn next(&mut self) -> Option<Packet> {
        loop {
            if let Some(frame) = self.framer.next_frame().unwrap() {
                return Some(Packet::decode(&frame, Side::Server).unwrap());
            }
            let read = self.stream.read_buf(self.framer.buffer());
            match timeout(PATIENCE, read).await.expect("something, and be it the end") {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    pub(crate) async fn expect(&mut self) -> Packet {
        self.next().await.expect("a packet")
    }

    pub(crate) async fn expect_end(&mut self) {
        assert_eq!(self.next().await, None);
    }

    pub(crate) async fn connect(&mut self, client_id: &str) {
        self.send(Connect::new(client_id)).await;
        match self.expect().await {
            Packet::ConnAck(connack) => assert_eq!(connack.reason, ReasonCode::Success),
            other => panic!("no CONNACK: {other:?}"),
        }
    }

    pub(crate) async fn subscribe(&mut self, filter: &str) {
        self.send(Subscribe::new(1, filter, QoS::AtMostOnce)).await;
        assert!(matches!(self.expect().await, Packet::SubAck(_)));
    }

    pub(crate) async fn acknowledge(&mut self, packet_id: u16) {
        self.send(Packet::PubAck(PublishAck::new(packet_id))).await;
    }

    pub(crate) async fn expect_alive(&mut self) {
        self.send(Packet::PingReq).await;
        assert_eq!(self.expect().await, Packet::PingResp);
    }
}

pub(crate) fn bytes_of(packets: &[Packet]) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    packets.iter().for_each(|packet| packet.encode(&mut bytes).unwrap());
    bytes.to_vec()
}

/// A handshake with the key of RFC 6455's example.
pub(crate) fn request(target: &str, subprotocol: &str) -> Vec<u8> {
    format!(
        "GET {target} HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Protocol: {subprotocol}\r\n\r\n"
    )
    .into_bytes()
}

/// A client's frame with this first byte.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let key = [0x12, 0x34, 0x56, 0x78];
    let mut bytes = vec![first];
    match payload.len() {
        len @ 0..=125 => bytes.push(0x80 | len as u8),
        len => {
            bytes.push(0x80 | 126);
            bytes.extend(u16::try_from(len).unwrap().to_be_bytes());
        }
    }
    bytes.extend(key);
    bytes.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    bytes
}

/// Reads byte by byte to the end of an HTTP head.
pub(crate) async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(timeout(PATIENCE, stream.read_u8()).await.unwrap().unwrap());
    }
    String::from_utf8(head).unwrap()
}

/// What a server answers to a key.
pub(crate) fn accept_key(key: &str) -> String {
    tungstenite::handshake::derive_accept_key(key.as_bytes())
}

/// A WebSocket client that writes bytes and reads frames.
pub(crate) struct RawWebSocket {
    stream: DuplexStream,
    framer: Framer,
}

impl RawWebSocket {
    /// Before the handshake.
    pub(crate) async fn start(server: &Arc<Server>) -> Self {
        let handshake = Handshake::new(None, Some("/mqtt".into()));
        let ours = in_memory(server, &handshake).await;
        RawWebSocket { stream: ours, framer: Framer::new(u32::MAX) }
    }

    /// Behind the handshake.
    pub(crate) async fn open(server: &Arc<Server>) -> Self {
        let mut client = RawWebSocket::start(server).await;
        assert!(client.handshake(&request("/mqtt", "mqtt")).await.starts_with("HTTP/1.1 101 "));
        client
    }

    pub(crate) async fn handshake(&mut self, bytes: &[u8]) -> String {
        self.write(bytes).await;
        read_head(&mut self.stream).await
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        timeout(PATIENCE, self.stream.write_all(bytes)).await.unwrap().unwrap();
    }

    /// The next frame's first byte and payload, or `None` at the end of the stream.
    pub(crate) async fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let first = timeout(PATIENCE, self.stream.read_u8()).await.unwrap().ok()?;
        let len = match self.stream.read_u8().await.unwrap() {
            126 => usize::from(self.stream.read_u16().await.unwrap()),
            len @ 0..=125 => usize::from(len),
            other => panic!("length {other} or a mask from a server"),
        };
        let mut payload = vec![0; len];
        self.stream.read_exact(&mut payload).await.unwrap();
        Some((first, payload))
    }

    /// The next packet; all that comes before it is in binary frames.
    pub(crate) async fn packet(&mut self) -> Packet {
        loop {
            if let Some(frame) = self.framer.next_frame().unwrap() {
                return Packet::decode(&frame, Side::Server).unwrap();
            }
            let (first, payload) = self.frame().await.expect("a frame");
            if first & 0x0F != 0xA {
                assert_eq!(first, 0x82, "a binary frame");
            }
            if first == 0x82 {
                self.framer.buffer().extend_from_slice(&payload);
            }
        }
    }
}
