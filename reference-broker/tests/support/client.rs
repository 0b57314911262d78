//! A client of a running broker, for tests of the shell.

#![allow(dead_code)] // Each file of tests uses a part of it.

use std::net::SocketAddr;
use std::time::Duration;

use reference_broker::actor::Server;
use reference_broker::codec::{
    ConnAck, Connect, Framer, Packet, Publish, QoS, ReasonCode, Side, Subscribe,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// How long to wait before a test has failed; never waited for otherwise.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Waits for a number that nothing tells of to become right.
pub(crate) async fn until(is_so: impl Fn() -> bool) {
    let waiting = async {
        while !is_so() {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(PATIENCE, waiting).await.expect("what was waited for");
}

/// A client that writes what it is told and reads packet by packet.
pub(crate) struct Client<S> {
    pub(crate) stream: S,
    framer: Framer,
}

impl Client<TcpStream> {
    pub(crate) async fn tcp(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Client::over(stream)
    }
}

impl Client<DuplexStream> {
    pub(crate) async fn memory(server: &Server) -> Self {
        Client::over(server.connect().await.unwrap())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub(crate) fn over(stream: S) -> Self {
        Client { stream, framer: Framer::new(u32::MAX) }
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        timeout(PATIENCE, self.stream.write_all(bytes)).await.unwrap().unwrap();
    }

    pub(crate) async fn send(&mut self, packet: impl Into<Packet>) {
        self.write(&packet.into().to_bytes().unwrap()).await;
    }

    /// The next packet, or `None` at the end of the stream.
    pub(crate) async fn next(&mut self) -> Option<Packet> {
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

    pub(crate) async fn connect(&mut self, connect: Connect) {
        self.send(connect).await;
        self.expect_connack().await;
    }

    /// A CONNACK that accepts.
    pub(crate) async fn expect_connack(&mut self) -> ConnAck {
        self.expect_connack_with(ReasonCode::Success).await
    }

    /// A CONNACK that does not, and the end.
    pub(crate) async fn expect_refusal(&mut self, reason: ReasonCode) {
        self.expect_connack_with(reason).await;
        self.expect_end().await;
    }

    async fn expect_connack_with(&mut self, reason: ReasonCode) -> ConnAck {
        match self.expect().await {
            Packet::ConnAck(connack) => {
                assert_eq!(connack.reason, reason);
                connack
            }
            other => panic!("no CONNACK: {other:?}"),
        }
    }

    pub(crate) async fn subscribe(&mut self, filter: &str, qos: QoS) {
        self.send(Subscribe::new(1, filter, qos)).await;
        assert!(matches!(self.expect().await, Packet::SubAck(_)));
    }

    pub(crate) async fn expect_publish(&mut self) -> Publish {
        match self.expect().await {
            Packet::Publish(publish) => publish,
            other => panic!("no PUBLISH: {other:?}"),
        }
    }

    pub(crate) async fn expect_disconnect(&mut self, reason: ReasonCode) {
        match self.expect().await {
            Packet::Disconnect(disconnect) => assert_eq!(disconnect.reason, reason),
            other => panic!("no DISCONNECT: {other:?}"),
        }
    }

    pub(crate) async fn expect_alive(&mut self) {
        self.send(Packet::PingReq).await;
        assert_eq!(self.expect().await, Packet::PingResp);
    }
}
