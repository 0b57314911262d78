//! Innocent clients: they keep the standard, and are to be served whatever others do.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use reference_broker::codec::{
    Packet, Properties, PropertyId, Publish, PublishAck, QoS, Subscribe,
};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::sleep;

use crate::target::{Connector, KEEP_ALIVE, Looked, Lost, Need, Unusable, Visitor};

use super::Symptom;

/// How far apart their messages are.
const PERIOD: Duration = Duration::from_millis(20);

/// No more packets than these come before the one that is waited for.
const MOST: usize = 64;

/// The sizes of payloads, by turns, in bytes.
const SIZES: [usize; 4] = [16, 200, 3_000, 17];

/// What they have seen.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// How many messages were passed on.
    pub(super) messages: u64,
    /// The longest that one took.
    pub(super) worst: Duration,
    /// What is wrong, if anything is.
    pub(super) symptom: Option<Symptom>,
}

/// The innocent at work, as long as this lives.
#[derive(Debug)]
pub(super) struct Observer {
    seen: watch::Receiver<Seen>,
    task: AbortHandle,
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Observer {
    /// Connects them, and has the first message passed on.
    ///
    /// # Errors
    ///
    /// Why they are not served to begin with.
    pub(super) async fn post(
        connector: &Connector,
        name: &str,
        topics: &str,
        bound: Duration,
    ) -> Result<Observer, Unusable> {
        let (mut from, looked) = open(connector, &format!("{name}from"), bound).await?;
        let (mut to, _) = open(connector, &format!("{name}to"), bound).await?;
        let topic: Arc<str> = format!("{topics}/innocent").into();
        let level = |qos: &QoS| looked.capabilities.meet(Need::QoS(*qos));
        let qos = [QoS::AtLeastOnce, QoS::AtMostOnce].into_iter().find(level);
        let qos = qos.unwrap_or(QoS::AtMostOnce);
        to.allow(bound);
        from.allow(bound);
        let subscribed = async {
            to.send(Subscribe::new(1, &*topic, qos)).await?;
            answer(&mut to, |packet| matches!(packet, Packet::SubAck(_))).await
        };
        subscribed.await.map_err(|lost| match lost {
            Lost::Late => Unusable::Silent(bound),
            _ => Unusable::Closed,
        })?;
        let (tell, seen) = watch::channel(Seen::default());
        let pair = Pair { from, to, topic, qos, bound, number: 0 };
        let task = tokio::spawn(pair.exchange(tell)).abort_handle();
        Ok(Observer { seen, task })
    }

    /// What they have seen by now.
    pub(super) fn seen(&self) -> Seen {
        self.seen.borrow().clone()
    }

    /// Resolves when something is wrong.
    pub(super) async fn alarm(&self) -> Symptom {
        let mut seen = self.seen.clone();
        match seen.wait_for(|seen| seen.symptom.is_some()).await.map(|seen| seen.symptom.clone()) {
            Ok(Some(symptom)) => symptom,
            _ => std::future::pending().await,
        }
    }

    /// Waits until they were served once more, so that what was sent before has been dealt with.
    pub(super) async fn round(&self) -> Option<Symptom> {
        let mut seen = self.seen.clone();
        // Two: one may have been under way.
        let until = seen.borrow().messages + 2;
        let is_over = |seen: &Seen| seen.symptom.is_some() || seen.messages >= until;
        match seen.wait_for(is_over).await {
            Ok(seen) => seen.symptom.clone(),
            Err(_) => None,
        }
    }
}

async fn open(
    connector: &Connector,
    client_id: &str,
    bound: Duration,
) -> Result<(Visitor, Looked), Unusable> {
    let connect = connector.connect_packet(client_id).keep_alive(KEEP_ALIVE);
    Visitor::open(connector, connect, bound).await
}

/// The next packet that is meant; others are passed over.
async fn answer(visitor: &mut Visitor, is_meant: impl Fn(&Packet) -> bool) -> Result<Packet, Lost> {
    for _ in 0..MOST {
        match visitor.next().await? {
            Packet::Disconnect(disconnect) => {
                let code = disconnect.reason.value();
                return Err(Lost::Broken(Bytes::new(), format!("DISCONNECT 0x{code:02X}")));
            }
            packet if is_meant(&packet) => return Ok(packet),
            _ => {}
        }
    }
    Err(Lost::Late)
}

/// One who publishes, and one who is subscribed.
struct Pair {
    from: Visitor,
    to: Visitor,
    topic: Arc<str>,
    qos: QoS,
    /// How long a message may take.
    bound: Duration,
    number: u64,
}

impl Pair {
    async fn exchange(mut self, tell: watch::Sender<Seen>) {
        loop {
            match self.pass_on().await {
                Ok(took) => tell.send_modify(|seen| {
                    seen.messages += 1;
                    seen.worst = seen.worst.max(took);
                }),
                Err(symptom) => {
                    tell.send_modify(|seen| seen.symptom = Some(symptom));
                    return;
                }
            }
            sleep(PERIOD).await;
        }
    }

    /// Has a message passed on; gives how long it took.
    async fn pass_on(&mut self) -> Result<Duration, Symptom> {
        self.number += 1;
        let begun = Instant::now();
        let publish = self.message();
        self.from.allow(self.bound);
        self.to.allow(self.bound);
        self.from.send(publish.clone()).await.map_err(|lost| self.lost("publishes", &lost))?;
        if self.qos > QoS::AtMostOnce {
            let is_ack = |it: &Packet| matches!(it, Packet::PubAck(_));
            let acknowledged = answer(&mut self.from, is_ack).await;
            match acknowledged.map_err(|lost| self.lost("waits for PUBACK", &lost))? {
                Packet::PubAck(ack) if ack.reason.is_error() => {
                    let code = ack.reason.value();
                    return Err(Symptom::Lost(format!(
                        "message {} of an innocent client is refused: PUBACK 0x{code:02X}",
                        self.number
                    )));
                }
                _ => {}
            }
        }
        let is_message = |it: &Packet| matches!(it, Packet::Publish(_));
        match answer(&mut self.to, is_message).await {
            Ok(Packet::Publish(came)) => self.take(&publish, &came).await?,
            Ok(_) => {}
            Err(Lost::Late) => match self.late(&publish).await {
                // What is delivered at most once may be delivered never.
                Symptom::Lost(_) if self.qos == QoS::AtMostOnce => {}
                symptom => return Err(symptom),
            },
            Err(lost) => return Err(self.lost("waits for a message", &lost)),
        }
        let took = begun.elapsed();
        match took > self.bound && self.qos > QoS::AtMostOnce {
            true => Err(self.took(took)),
            false => Ok(took),
        }
    }

    fn message(&self) -> Publish {
        let size = SIZES[usize::try_from(self.number).unwrap_or(0) % SIZES.len()];
        let begin = format!("{:08}", self.number);
        let fill = (0..size.saturating_sub(begin.len())).map(|at| {
            // No two messages are alike, nor is any place like its neighbours.
            (at as u64).wrapping_mul(31).wrapping_add(self.number).to_le_bytes()[0]
        });
        let payload: Vec<u8> = begin.bytes().chain(fill).collect();
        let mut properties = Properties::default();
        properties.push(PropertyId::UserProperty, ("number", &*self.number.to_string()));
        // One is under way at a time.
        let packet_id = if self.qos > QoS::AtMostOnce { 7 } else { 0 };
        Publish { properties, ..Publish::new(&*self.topic, payload).qos(self.qos, packet_id) }
    }

    /// Takes what came, and acknowledges it.
    async fn take(&mut self, sent: &Publish, came: &Publish) -> Result<(), Symptom> {
        let user = |it: &Publish| -> Vec<_> {
            let is = |id: PropertyId| id == PropertyId::UserProperty;
            it.properties.iter().filter(|it| is(it.id)).cloned().collect()
        };
        let differs = [
            (came.topic != sent.topic, "Topic Name"),
            (came.payload != sent.payload, "Payload"),
            (came.qos != sent.qos, "QoS"),
            (user(came) != user(sent), "User Properties"),
        ];
        if let Some((_, what)) = differs.into_iter().find(|(is, _)| *is) {
            let begin = |it: &Publish| {
                it.payload.iter().take(8).map(|byte| char::from(*byte)).collect::<String>()
            };
            return Err(Symptom::Corrupted(format!(
                "message {} of an innocent client has another {what} when it arrives (payload of {} bytes \
                 that begins with {:?}; sent {} bytes that begin with {:?})",
                self.number,
                came.payload.len(),
                begin(came),
                sent.payload.len(),
                begin(sent),
            )));
        }
        if came.qos > QoS::AtMostOnce {
            let ack = Packet::PubAck(PublishAck::new(came.packet_id));
            self.to.send(ack).await.map_err(|lost| self.lost("acknowledges", &lost))?;
        }
        Ok(())
    }

    /// What it means that a message has not come in time: it may come later.
    async fn late(&mut self, publish: &Publish) -> Symptom {
        let begun = Instant::now();
        self.to.allow(self.bound);
        let is_it =
            |it: &Packet| matches!(it, Packet::Publish(it) if it.payload == publish.payload);
        match answer(&mut self.to, is_it).await {
            Ok(_) => self.took(self.bound + begun.elapsed()),
            Err(Lost::Late) => {
                self.to.allow(self.bound);
                let asked = self.to.send(Packet::PingReq).await;
                let answered = answer(&mut self.to, |it| *it == Packet::PingResp).await;
                match (asked, answered) {
                    (Ok(()), Ok(_)) => Symptom::Lost(format!(
                        "message {} of an innocent client did not arrive within {:?}, though the \
                         subscriber is served",
                        self.number,
                        self.bound * 2
                    )),
                    _ => self.lost("waits for a message", &Lost::Late),
                }
            }
            Err(lost) => self.lost("waits for a message", &lost),
        }
    }

    fn took(&self, took: Duration) -> Symptom {
        Symptom::Late(format!(
            "message {} of an innocent client took {:.1} s, the bound is {:.1} s",
            self.number,
            took.as_secs_f64(),
            self.bound.as_secs_f64()
        ))
    }

    /// What it means that nothing more is heard by one who does this.
    fn lost(&self, does: &str, lost: &Lost) -> Symptom {
        let number = self.number;
        match lost {
            Lost::Late => Symptom::Hang(format!(
                "an innocent client that {does} (message {number}) hears nothing for {:.1} s",
                self.bound.as_secs_f64()
            )),
            Lost::Closed => Symptom::Cut(format!(
                "the connection of an innocent client that {does} (message {number}) is closed"
            )),
            Lost::Broken(_, why) => Symptom::Cut(format!(
                "an innocent client that {does} (message {number}) gets: {why}"
            )),
        }
    }
}
