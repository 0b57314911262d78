//! Plays scripts on a broker that runs.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reference_broker::codec::{DecodeError, Framer, Packet};
use reference_broker::transport::{BoxStream, write_out};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use crate::probe::next_packet;
use crate::target::Connector;
use crate::trace::{Ending, What};

use super::clients::{Clients, Doing, parts};
use super::strangers::{Strangers, Whose};
use super::{Act, Conditions, Place, Played, Script};

/// Packets above this size are not read.
const PACKET_LIMIT: u32 = 1 << 28;

/// How long a connection may take to come about, be the rest of the script hurried or not.
const OPENING: Duration = Duration::from_secs(10);

/// How long is waited for something that has not come in time once: the brokers have parted ways.
const IMPATIENCE: Duration = Duration::from_millis(50);

/// What has come over a connection.
#[derive(Debug)]
enum Came {
    Packet(Packet),
    Broken(Bytes, DecodeError),
    Ended(Ending),
}

/// Plays a script, step by step. What comes of a step is waited for: as much as came in `expected`, the
/// same script played in memory, and no longer than `patience`. A script that gets what is published
/// elsewhere too is given its `place`, and messages from elsewhere are left out.
///
/// # Errors
///
/// When the broker is not set up as the script needs it, or no connection can be opened.
pub async fn play_live(
    script: &Script,
    place: Option<&Place>,
    expected: &Played,
    connector: &Connector,
    patience: Duration,
) -> io::Result<Played> {
    let needs = Conditions::of(&script.steps).needs;
    if let Some(need) = needs.into_iter().find(|need| !connector.is_set_up_for(*need)) {
        return Err(io::Error::other(format!("the script needs {need}")));
    }
    let (sender, arrivals) = unbounded_channel();
    let mut live = Live {
        connector,
        clients: Clients::of(connector.logins()),
        lines: BTreeMap::new(),
        sender,
        arrivals,
        begun: Instant::now(),
        patience,
        full_patience: patience,
        came: BTreeMap::new(),
        pings: BTreeMap::new(),
        strangers: place.map(|place| Strangers::beside(&place.topics)),
    };
    let mut awaited = Awaited::of(expected);
    for (number, step) in (1..).zip(&script.steps) {
        let doing = live.clients.begin(step, live.at());
        live.perform(&step.connection, doing).await?;
        awaited.until(number);
        // Whoever leaves is let go by any broker, so that is waited for whatever was missing before.
        let is_leaving = matches!(&step.act, Act::Send(Packet::Disconnect(_)));
        live.settle(&awaited, if is_leaving { patience } else { live.patience }).await;
    }
    Ok(live.clients.into_played())
}

/// What is to come by a step, by connection: how many packets, and whether it ends.
struct Awaited<'a> {
    expected: &'a Played,
    next: usize,
    packets: BTreeMap<String, usize>,
}

impl<'a> Awaited<'a> {
    fn of(expected: &'a Played) -> Awaited<'a> {
        Awaited { expected, next: 0, packets: BTreeMap::new() }
    }

    fn until(&mut self, step: usize) {
        let all = self.expected.trace.iter().zip(&self.expected.steps).skip(self.next);
        for (event, _) in all.take_while(|(_, at)| **at <= step) {
            self.next += 1;
            if matches!(event.what, What::Received(_) | What::ClosedByBroker(_)) {
                *self.packets.entry(event.probe.clone()).or_default() += 1;
            }
        }
    }
}

struct Live<'a> {
    connector: &'a Connector,
    clients: Clients,
    lines: BTreeMap<String, Line>,
    sender: UnboundedSender<(String, Came)>,
    arrivals: UnboundedReceiver<(String, Came)>,
    begun: Instant,
    patience: Duration,
    /// The patience at first.
    full_patience: Duration,
    /// How much has come, or is waited for no more, by connection.
    came: BTreeMap<String, usize>,
    /// How many PINGREQ are without an answer, by connection: whoever serves it answers, whatever is
    /// expected.
    pings: BTreeMap<String, usize>,
    strangers: Option<Strangers>,
}

/// The sending half of a connection, and who reads the other one.
struct Line {
    writer: WriteHalf<BoxStream>,
    reader: Reader,
}

/// Reads as long as it is wanted.
struct Reader(JoinHandle<()>);

impl Line {
    /// Closes the connection: it is closed when this returns, not only when the reader comes to know.
    async fn close(self) {
        let Line { writer, mut reader } = self;
        drop(writer);
        reader.0.abort();
        // It ends as it was told to.
        let _ = (&mut reader.0).await;
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Live<'_> {
    fn at(&self) -> Duration {
        self.begun.elapsed()
    }

    async fn perform(&mut self, name: &str, doing: Doing) -> io::Result<()> {
        match doing {
            Doing::Nothing => {}
            Doing::Open => self.open(name).await?,
            Doing::Send(packets) => self.send(name, &packets).await,
            Doing::SendCut(packet, cuts) => {
                for part in parts(&packet, &cuts) {
                    self.write(name, &part).await;
                }
            }
            Doing::SendBytes(bytes) => self.write(name, &bytes).await,
            Doing::HalfClose => {
                if let Some(line) = self.lines.get_mut(name) {
                    // A connection that is gone already cannot be shut down.
                    let _ = line.writer.shutdown().await;
                }
            }
            Doing::Close => {
                if let Some(line) = self.lines.remove(name) {
                    line.close().await;
                }
            }
            Doing::Wait(time) => {
                let until = Instant::now() + time;
                while self.take_next(until).await {}
            }
        }
        Ok(())
    }

    async fn open(&mut self, name: &str) -> io::Result<()> {
        let stream = self.connector.connect(OPENING).await?;
        let (reader, writer) = tokio::io::split(stream);
        let reader = Reader(tokio::spawn(read(reader, name.to_owned(), self.sender.clone())));
        self.lines.insert(name.to_owned(), Line { writer, reader });
        Ok(())
    }

    async fn send(&mut self, name: &str, packets: &[Packet]) {
        let mut bytes = BytesMut::new();
        for packet in packets {
            // What cannot be written is not sent.
            let _ = packet.encode(&mut bytes);
            if *packet == Packet::PingReq {
                *self.pings.entry(name.to_owned()).or_default() += 1;
            }
        }
        self.write(name, &bytes).await;
    }

    async fn write(&mut self, name: &str, bytes: &[u8]) {
        if let Some(line) = self.lines.get_mut(name) {
            let deadline = Instant::now() + self.patience;
            // The broker may have closed: its end is seen by who reads.
            let _ = timeout_at(deadline, write_out(&mut line.writer, bytes)).await;
        }
    }

    /// Waits for what is to come; less long once something was missing.
    async fn settle(&mut self, awaited: &Awaited<'_>, patience: Duration) {
        let begun = Instant::now();
        let deadline = begun + patience;
        while self.lacks(awaited) {
            if !self.take_next(deadline).await {
                self.patience = IMPATIENCE.min(self.patience);
                self.forgive(awaited);
                break;
            }
        }
        self.settle_pings(begun + self.full_patience).await;
        while let Ok((name, came)) = self.arrivals.try_recv() {
            self.take(&name, came).await;
        }
    }

    /// Waits for PINGRESP as long as at first, whatever was missing before: who is asked and open answers.
    async fn settle_pings(&mut self, deadline: Instant) {
        while self.lacks_pong() {
            if !self.take_next(deadline).await {
                self.pings.clear();
            }
        }
    }

    /// Waits no more for the packets that have not come.
    fn forgive(&mut self, awaited: &Awaited<'_>) {
        for (name, count) in &awaited.packets {
            let came = self.came.entry(name.clone()).or_default();
            *came = (*came).max(*count);
        }
    }

    fn lacks(&self, awaited: &Awaited<'_>) -> bool {
        let lacks = |(name, count): (&String, &usize)| {
            self.clients.is_open(name) && self.came.get(name).is_none_or(|came| came < count)
        };
        awaited.packets.iter().any(lacks) || self.lacks_pong()
    }

    fn lacks_pong(&self) -> bool {
        self.pings.iter().any(|(name, count)| *count > 0 && self.clients.is_open(name))
    }

    /// Takes what comes next, unless nothing does until then.
    async fn take_next(&mut self, until: Instant) -> bool {
        match timeout_at(until, self.arrivals.recv()).await {
            Ok(Some((name, came))) => {
                self.take(&name, came).await;
                true
            }
            _ => false,
        }
    }

    async fn take(&mut self, name: &str, came: Came) {
        let at = self.at();
        if let (Some(strangers), Came::Packet(packet)) = (&mut self.strangers, &came)
            && let Whose::Others(answer) = strangers.tell(name, packet)
        {
            self.send(name, answer.as_slice()).await;
            return;
        }
        *self.came.entry(name.to_owned()).or_default() += 1;
        match came {
            Came::Packet(packet) => {
                if packet == Packet::PingResp
                    && let Some(pings) = self.pings.get_mut(name)
                {
                    *pings = pings.saturating_sub(1);
                }
                let answers = self.clients.receive(name, at, packet);
                self.send(name, &answers).await;
            }
            Came::Broken(bytes, error) => self.clients.receive_broken(name, at, bytes, error),
            Came::Ended(ending) => {
                self.clients.end(name, at, ending);
                self.lines.remove(name);
            }
        }
    }
}

/// Reads a connection to its end.
async fn read(
    mut stream: ReadHalf<BoxStream>,
    name: String,
    sender: UnboundedSender<(String, Came)>,
) {
    let mut framer = Framer::new(PACKET_LIMIT);
    loop {
        while !framer.is_lost() {
            let came = match next_packet(&mut framer) {
                Ok(Some((packet, _))) => Came::Packet(packet),
                Ok(None) => break,
                Err((bytes, error)) => Came::Broken(bytes, error),
            };
            if sender.send((name.clone(), came)).is_err() {
                return;
            }
        }
        if framer.is_lost() {
            framer.buffer().clear();
        }
        let ending = match stream.read_buf(framer.buffer()).await {
            Ok(1..) => continue,
            Ok(0) => Ending::EndOfStream,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ending::EndOfStream,
            Err(_) => Ending::Reset,
        };
        let _ = sender.send((name, Came::Ended(ending)));
        return;
    }
}
