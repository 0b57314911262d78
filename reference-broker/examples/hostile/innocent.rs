//! Clients that keep the standard, and are to be served whatever others do.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use reference_broker::codec::{Connect, Packet, Publish, PublishAck, QoS};
use tokio::time::{interval, timeout};

use crate::client::{Client, Over, Site};

/// How long a message of the innocent may take.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);

/// How far apart their messages are.
const PERIOD: Duration = Duration::from_millis(20);

/// What they saw.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    stop: AtomicBool,
    /// The worst time that a message or a PINGRESP took, in microseconds.
    worst: AtomicU64,
    /// How often they were served.
    pub(crate) served: AtomicU64,
    failed: Mutex<Option<String>>,
}

impl Seen {
    pub(crate) fn worst(&self) -> Duration {
        Duration::from_micros(self.worst.load(Ordering::Relaxed))
    }

    pub(crate) fn failure(&self) -> Option<String> {
        self.failed.lock().ok()?.clone()
    }

    fn fail(&self, what: String) {
        if let Ok(mut failed) = self.failed.lock() {
            failed.get_or_insert(what);
        }
    }

    fn served(&self, since: Instant) {
        let took = u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.worst.fetch_max(took, Ordering::Relaxed);
        self.served.fetch_add(1, Ordering::Relaxed);
    }

    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }
}

/// The innocent at work, in a thread of their own: what the attackers do with theirs is none of
/// their delay.
pub(crate) struct Innocents {
    pub(crate) seen: Arc<Seen>,
    thread: Option<JoinHandle<()>>,
}

impl Innocents {
    /// Starts them, and waits until all of them have been served once.
    pub(crate) fn start(site: &Arc<Site>) -> Result<Innocents, String> {
        let (seen, site) = (Arc::new(Seen::default()), Arc::clone(site));
        let (ready, is_ready) = std::sync::mpsc::channel();
        let watched = Arc::clone(&seen);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let Ok(runtime) = runtime else { return };
            runtime.block_on(serve(&site, &watched, &ready));
        });
        let innocents = Innocents { seen, thread: Some(thread) };
        match is_ready.recv_timeout(Duration::from_secs(30)) {
            Ok(Ok(())) => Ok(innocents),
            Ok(Err(error)) => Err(error),
            Err(_) => Err("the innocent are not served before the attack".to_owned()),
        }
    }

    /// Lets them leave.
    pub(crate) fn stop(mut self) {
        self.leave();
    }

    fn leave(&mut self) {
        self.seen.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // What went wrong there is in `seen`.
        }
    }
}

impl Drop for Innocents {
    fn drop(&mut self) {
        self.leave();
    }
}

/// How many connections the innocent have.
pub(crate) const CONNECTIONS: u64 = 5;

async fn serve(site: &Arc<Site>, seen: &Seen, ready: &std::sync::mpsc::Sender<Result<(), String>>) {
    let opening = async {
        let plain = Pair::open(site, "plain", (Over::Tcp, Over::Tcp)).await?;
        let wrapped = Pair::open(site, "wrapped", (Over::Tls, Over::WebSocket)).await?;
        let pinging = client(site, "innocent-pinging", Over::Tcp).await?;
        Ok::<_, String>((plain, wrapped, pinging))
    };
    let (plain, wrapped, pinging) = match opening.await {
        Ok(opened) => opened,
        Err(error) => return ready.send(Err(error)).unwrap_or_default(),
    };
    let _ = ready.send(Ok(())); // Whoever waits for it may have given up.
    let all = tokio::join!(plain.exchange(seen), wrapped.exchange(seen), ping(pinging, seen));
    for failed in [all.0, all.1, all.2] {
        if let Err(what) = failed {
            seen.fail(what);
        }
    }
}

async fn client(site: &Arc<Site>, name: &str, over: Over) -> Result<Client, String> {
    let mut client = site.open(over).await?;
    client.connect(Connect::new(name).keep_alive(60)).await?;
    Ok(client)
}

/// A publisher and its subscriber.
struct Pair {
    name: &'static str,
    publisher: Client,
    subscriber: Client,
}

impl Pair {
    async fn open(
        site: &Arc<Site>,
        name: &'static str,
        over: (Over, Over),
    ) -> Result<Pair, String> {
        let mut subscriber = client(site, &format!("innocent-{name}-subscriber"), over.1).await?;
        subscriber.subscribe_to(&format!("innocent/{name}"), QoS::AtLeastOnce).await?;
        let publisher = client(site, &format!("innocent-{name}-publisher"), over.0).await?;
        Ok(Pair { name, publisher, subscriber })
    }

    /// One message after another, each acknowledged and received before the next.
    async fn exchange(mut self, seen: &Seen) -> Result<(), String> {
        let mut ticks = interval(PERIOD);
        let mut number = 0_u16;
        while seen.goes_on() {
            ticks.tick().await;
            number = number % u16::MAX + 1;
            let (name, started) = (self.name, Instant::now());
            let fail = |what: String| format!("innocent pair {name}, message {number}: {what}");
            match timeout(DEADLINE, self.message(number)).await {
                Err(_) => return Err(fail(format!("not there within {DEADLINE:?}"))),
                Ok(Err(what)) => return Err(fail(what)),
                Ok(Ok(())) => seen.served(started),
            }
        }
        Ok(())
    }

    async fn message(&mut self, number: u16) -> Result<(), String> {
        let payload = Bytes::copy_from_slice(&number.to_be_bytes());
        let topic = format!("innocent/{}", self.name);
        let publish = Publish::new(topic, payload.clone()).qos(QoS::AtLeastOnce, number);
        self.publisher.send(publish).await?;
        let acknowledged = async {
            match self.publisher.expect().await? {
                Packet::PubAck(ack) if ack.packet_id == number && !ack.reason.is_error() => Ok(()),
                other => Err(format!("no PUBACK: {other:?}")),
            }
        };
        let received = async {
            match self.subscriber.expect().await? {
                Packet::Publish(it) if it.payload == payload => {
                    self.subscriber.send(Packet::PubAck(PublishAck::new(it.packet_id))).await
                }
                other => Err(format!("not the message: {other:?}")),
            }
        };
        tokio::try_join!(acknowledged, received).map(|_| ())
    }
}

async fn ping(mut client: Client, seen: &Seen) -> Result<(), String> {
    let mut ticks = interval(PERIOD);
    while seen.goes_on() {
        ticks.tick().await;
        let started = Instant::now();
        match timeout(DEADLINE, client.ping()).await {
            Err(_) => return Err(format!("innocent PINGREQ: no answer within {DEADLINE:?}")),
            Ok(Err(what)) => return Err(format!("innocent PINGREQ: {what}")),
            Ok(Ok(())) => seen.served(started),
        }
    }
    Ok(())
}

/// Somebody new comes over every transport, and is served.
pub(crate) async fn newcomers(site: &Arc<Site>) -> Result<(), String> {
    for over in [Over::Tcp, Over::Tls, Over::WebSocket, Over::SecureWebSocket] {
        let coming = async {
            let mut client = client(site, "newcomer", over).await?;
            client.ping().await
        };
        let came = timeout(DEADLINE, coming).await;
        let what = |what: String| format!("a newcomer over {over:?} after the attack: {what}");
        came.map_err(|_| what(format!("not served within {DEADLINE:?}")))?.map_err(what)?;
    }
    Ok(())
}
