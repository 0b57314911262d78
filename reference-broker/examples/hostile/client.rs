//! Clients: what the attackers and the innocent speak with.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::BytesMut;
use reference_broker::codec::{
    ConnAck, Connect, Framer, Packet, QoS, ReasonCode, Side, Subscribe, SubscribeAck,
};
use reference_broker::transport::BoxStream;
use reference_broker::transport::connector;
use reference_broker::transport::tls::{ClientTls, Trust};
use reference_broker::transport::url::Endpoint;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How long to wait for anything before it is not coming.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// How many clients do something at once, where nothing else is said.
pub(crate) const AT_ONCE: usize = 256;

/// Where the broker is, and what happens there.
pub(crate) struct Site {
    endpoints: Vec<Endpoint>,
    tls: ClientTls,
    /// How many connections the attack may hold.
    pub(crate) most: usize,
    /// Connections opened by the attack, and bytes sent over them.
    pub(crate) opened: AtomicU64,
    pub(crate) sent: AtomicU64,
    told: Mutex<BTreeMap<String, u64>>,
    /// Where randomness begins.
    pub(crate) seed: u64,
}

/// The transports, as the broker lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Over {
    Tcp = 0,
    Tls = 1,
    WebSocket = 2,
    SecureWebSocket = 3,
}

impl Site {
    pub(crate) fn new(urls: &[String], most: usize, seed: u64) -> Result<Arc<Site>, String> {
        let endpoints: Result<_, _> = urls.iter().map(|url| url.parse()).collect();
        Ok(Arc::new(Site {
            endpoints: endpoints.map_err(|error| format!("{error}"))?,
            tls: ClientTls::new(&Trust::InsecureAnybody, None).map_err(|e| e.to_string())?,
            most,
            opened: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            told: Mutex::default(),
            seed,
        }))
    }

    /// A bare TCP connection to the listener of a transport.
    pub(crate) async fn bare(&self, over: Over) -> Result<TcpStream, String> {
        self.opened.fetch_add(1, Ordering::Relaxed);
        let port = self.endpoints[over as usize].port;
        let opening = timeout(PATIENCE, TcpStream::connect(("127.0.0.1", port))).await;
        opening.map_err(|_| "no TCP connection in time".to_owned())?.map_err(|e| e.to_string())
    }

    /// A connection, after the handshakes of its transport.
    pub(crate) async fn open(self: &Arc<Self>, over: Over) -> Result<Client, String> {
        self.opened.fetch_add(1, Ordering::Relaxed);
        let opening = connector::connect(&self.endpoints[over as usize], Some(&self.tls), PATIENCE);
        let stream = opening.await.map_err(|error| format!("{over:?}: {error}"))?;
        Ok(Client { stream, framer: Framer::new(u32::MAX), site: Arc::clone(self) })
    }

    /// A client that is connected over TCP.
    pub(crate) async fn join(self: &Arc<Self>, connect: Connect) -> Result<Client, String> {
        let mut client = self.open(Over::Tcp).await?;
        client.connect(connect).await?;
        Ok(client)
    }

    /// Notes what a client was told.
    pub(crate) fn note(&self, what: impl Into<String>) {
        self.note_times(what, 1);
    }

    pub(crate) fn note_times(&self, what: impl Into<String>, times: u64) {
        if let Ok(mut told) = self.told.lock() {
            *told.entry(what.into()).or_default() += times;
        }
    }

    /// How often clients were told this.
    pub(crate) fn noted(&self, what: &str) -> u64 {
        self.told.lock().ok().and_then(|told| told.get(what).copied()).unwrap_or_default()
    }

    /// All that clients were told.
    pub(crate) fn told(&self) -> String {
        let Ok(told) = self.told.lock() else { return String::new() };
        let told = told.iter().map(|(what, times)| format!("{times} x {what}"));
        told.collect::<Vec<_>>().join(", ")
    }
}

/// One connection.
pub(crate) struct Client {
    stream: BoxStream,
    framer: Framer,
    site: Arc<Site>,
}

impl Client {
    pub(crate) async fn send(&mut self, packet: impl Into<Packet>) -> Result<(), String> {
        let bytes = packet.into().to_bytes().map_err(|error| error.to_string())?;
        self.send_bytes(&bytes).await
    }

    pub(crate) async fn send_bytes(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.site.sent.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        let sending = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        let sent = timeout(PATIENCE, sending).await;
        sent.map_err(|_| "the broker takes nothing".to_owned())?.map_err(|e| e.to_string())
    }

    /// The next packet; none at the end of the stream.
    pub(crate) async fn next(&mut self) -> Result<Option<Packet>, String> {
        loop {
            if let Some(frame) = self.framer.next_frame().map_err(|e| e.to_string())? {
                let packet = Packet::decode(&frame, Side::Server);
                return packet.map(Some).map_err(|error| format!("from the broker: {error}"));
            }
            let read = self.stream.read_buf(self.framer.buffer());
            match timeout(PATIENCE, read).await {
                Err(_) => return Err(format!("nothing from the broker for {PATIENCE:?}")),
                Ok(Ok(0) | Err(_)) => return Ok(None),
                Ok(Ok(_)) => {}
            }
        }
    }

    /// The next packet, and be it that there has to be one.
    pub(crate) async fn expect(&mut self) -> Result<Packet, String> {
        self.next().await?.ok_or_else(|| "closed instead of a packet".to_owned())
    }

    /// Sends a CONNECT that has to be accepted.
    pub(crate) async fn connect(&mut self, connect: Connect) -> Result<ConnAck, String> {
        match self.try_connect(connect).await? {
            Some(connack) if connack.reason == ReasonCode::Success => Ok(connack),
            other => Err(format!("CONNECT not accepted: {other:?}")),
        }
    }

    /// Sends a CONNECT; gives what comes of it, nothing if the connection is closed.
    pub(crate) async fn try_connect(
        &mut self,
        connect: Connect,
    ) -> Result<Option<ConnAck>, String> {
        if self.send(connect).await.is_err() {
            return Ok(None);
        }
        match self.next().await? {
            Some(Packet::ConnAck(connack)) => Ok(Some(connack)),
            None => Ok(None),
            other => Err(format!("no CONNACK: {other:?}")),
        }
    }

    pub(crate) async fn subscribe(&mut self, subscribe: Subscribe) -> Result<SubscribeAck, String> {
        self.send(subscribe).await?;
        loop {
            match self.expect().await? {
                Packet::SubAck(ack) => return Ok(ack),
                Packet::Publish(_) => {}
                other => return Err(format!("no SUBACK: {other:?}")),
            }
        }
    }

    pub(crate) async fn subscribe_to(&mut self, filter: &str, qos: QoS) -> Result<(), String> {
        let ack = self.subscribe(Subscribe::new(1, filter, qos)).await?;
        match ack.reasons.first().is_some_and(|reason| !reason.is_error()) {
            true => Ok(()),
            false => Err(format!("not subscribed to {filter}: {:?}", ack.reasons)),
        }
    }

    /// Whether all that was sent before has been handled.
    pub(crate) async fn ping(&mut self) -> Result<(), String> {
        self.send(Packet::PingReq).await?;
        loop {
            match self.expect().await? {
                Packet::PingResp => return Ok(()),
                Packet::Disconnect(it) => return Err(format!("DISCONNECT {:?}", it.reason)),
                _ => {}
            }
        }
    }

    /// Waits for the end of the stream, and notes what was said before.
    pub(crate) async fn ends(&mut self) -> Result<(), String> {
        let mut last = "closed".to_owned();
        while let Some(packet) = self.next().await? {
            match packet {
                Packet::Disconnect(it) => last = format!("DISCONNECT {:#04x}", it.reason.value()),
                Packet::ConnAck(it) if it.reason.is_error() => {
                    last = format!("CONNACK {:#04x}", it.reason.value());
                }
                _ => {}
            }
        }
        self.site.note(last);
        Ok(())
    }

    /// Closes the own direction of the stream.
    pub(crate) async fn says_no_more(&mut self) {
        // It may be closed by the broker already.
        let _ = timeout(PATIENCE, self.stream.shutdown()).await;
    }

    /// The same, but leaves by itself after a time.
    pub(crate) async fn ends_or(&mut self, most: Duration) -> Result<(), String> {
        timeout(most, self.ends()).await.unwrap_or(Ok(()))
    }

    /// Splits off reading, so that answers do not pile up: they are counted by kind until the end.
    pub(crate) fn drain(self) -> (tokio::io::WriteHalf<BoxStream>, tokio::task::JoinHandle<()>) {
        let (mut source, sink) = tokio::io::split(self.stream);
        let site = self.site;
        let mut framer = self.framer;
        let reading = tokio::spawn(async move {
            loop {
                match framer.next_frame() {
                    Ok(Some(frame)) => {
                        note_packet(&site, Packet::decode(&frame, Side::Server).ok())
                    }
                    Ok(None) => match source.read_buf(framer.buffer()).await {
                        Ok(1..) => {}
                        _ => return,
                    },
                    Err(_) => return site.note("what is no packet"),
                }
            }
        });
        (sink, reading)
    }
}

fn note_packet(site: &Site, packet: Option<Packet>) {
    match packet {
        Some(Packet::Disconnect(it)) => {
            site.note(format!("DISCONNECT {:#04x}", it.reason.value()));
        }
        Some(Packet::PubAck(ack)) => site.note(format!("PUBACK {:#04x}", ack.reason.value())),
        Some(Packet::PubRec(ack)) => site.note(format!("PUBREC {:#04x}", ack.reason.value())),
        Some(packet) => site.note(packet.packet_type().name()),
        None => site.note("what is no packet"),
    }
}

/// The bytes of packets, one behind the other.
pub(crate) fn bytes_of(packets: impl IntoIterator<Item = Packet>) -> Result<BytesMut, String> {
    let mut bytes = BytesMut::new();
    for packet in packets {
        packet.encode(&mut bytes).map_err(|error| error.to_string())?;
    }
    Ok(bytes)
}

/// Lets so many do something, no more than `at_once` at once; the first error is the end of it.
pub(crate) async fn crowd<T: Send + 'static, F>(
    count: usize,
    at_once: usize,
    one: impl Fn(usize) -> F,
) -> Result<Vec<T>, String>
where
    F: Future<Output = Result<T, String>> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(at_once));
    let mut tasks = JoinSet::new();
    for number in 0..count {
        let (places, one) = (Arc::clone(&places), one(number));
        tasks.spawn(async move {
            let _place = places.acquire_owned().await.map_err(|error| error.to_string())?;
            one.await.map_err(|error| format!("attacker {number}: {error}"))
        });
    }
    let mut done = Vec::with_capacity(count);
    while let Some(ended) = tasks.join_next().await {
        done.push(ended.map_err(|error| error.to_string())??);
    }
    Ok(done)
}
