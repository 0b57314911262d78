//! One message at each QoS from a client to itself: whether a target lets the suite do at all what it
//! is made of.

use std::fmt;
use std::time::Duration;

use reference_broker::codec::{
    Disconnect, Packet, Publish, PublishAck, QoS, ReasonCode, Subscribe,
};

use super::Connector;
use super::preflight::{KEEP_ALIVE, Lost, Unusable, Visitor};

/// How often it is tried. A QoS 0 message may be lost, and a broker be at a limit for a moment.
const ROUNDS: usize = 3;

/// How many packets are looked at in a round; who sends more floods.
const MOST: usize = 10_000;

/// One level and what it came to.
#[derive(Debug)]
pub(super) struct Trip {
    qos: QoS,
    topic: String,
    subscribed: bool,
    acknowledged: bool,
    arrived: bool,
    /// Why it went no further.
    trouble: Option<Trouble>,
}

#[derive(Clone, Debug)]
enum Trouble {
    /// The target said no.
    Refused(String),
    /// The target took it, and passed nothing on.
    Undelivered,
    /// Something that no right or limit explains.
    Broken(String),
    /// It answers nothing at all, be it PINGREQ.
    Mute,
}

impl Trip {
    fn new(qos: QoS, topics: &str) -> Trip {
        let topic = format!("{topics}/{}", qos.value());
        let (subscribed, acknowledged, arrived) = (false, false, false);
        Trip { qos, topic, subscribed, acknowledged, arrived, trouble: None }
    }

    pub(super) fn is_done(&self) -> bool {
        self.acknowledged && self.arrived
    }

    /// Whether the want of a right may be why it did not arrive.
    pub(super) fn is_barred(&self) -> bool {
        matches!(self.trouble, Some(Trouble::Refused(_) | Trouble::Undelivered))
    }

    /// Whether the target said nothing at all.
    pub(super) fn met_silence(&self) -> bool {
        matches!(self.trouble, Some(Trouble::Mute))
    }

    /// Whether nothing more is to be waited for.
    fn is_over(&self) -> bool {
        self.is_done() || self.trouble.is_some()
    }

    fn id(&self) -> u16 {
        1 + u16::from(self.qos.value())
    }

    /// Notes a refusal, if it is one.
    fn heed(&mut self, packet: &str, reason: ReasonCode) {
        if reason.is_error() {
            let (value, name) = (reason.value(), reason.row().name);
            self.trouble = Some(Trouble::Refused(format!("{packet} 0x{value:02X} ({name})")));
        }
    }

    /// Says why it is not done, if nothing was said yet.
    fn settle(&mut self, trouble: Option<&Trouble>) {
        if self.is_over() {
            return;
        }
        let no = |packet: &str| Trouble::Broken(format!("no {packet}"));
        self.trouble = Some(match trouble {
            Some(trouble) => trouble.clone(),
            None if !self.subscribed => no("SUBACK"),
            None if !self.acknowledged && self.qos == QoS::AtLeastOnce => no("PUBACK"),
            None if !self.acknowledged => no("PUBREC and PUBCOMP"),
            None => Trouble::Undelivered,
        });
    }
}

impl fmt::Display for Trip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "QoS {}: ", self.qos.value())?;
        match &self.trouble {
            None => f.write_str("delivered"),
            Some(Trouble::Refused(how)) => write!(f, "refused by {how}"),
            Some(Trouble::Undelivered) => f.write_str("accepted and not delivered"),
            Some(Trouble::Broken(how)) => f.write_str(how),
            Some(Trouble::Mute) => f.write_str("no SUBACK, and no PINGRESP"),
        }
    }
}

/// Makes a round trip at each of these levels, below this topic.
pub(super) async fn all(
    connector: &Connector,
    client_id: &str,
    topics: &str,
    levels: &[QoS],
    patience: Duration,
) -> Vec<Trip> {
    let mut trips: Vec<_> = levels.iter().map(|qos| Trip::new(*qos, topics)).collect();
    for _ in 0..ROUNDS {
        for trip in trips.iter_mut().filter(|trip| !trip.is_done()) {
            *trip = Trip::new(trip.qos, topics);
        }
        let connect = connector.connect_packet(client_id).keep_alive(KEEP_ALIVE);
        let ended = match Visitor::open(connector, connect, patience).await {
            Ok((visitor, _)) => round(visitor, &mut trips, patience).await,
            Err(why @ Unusable::Refused { .. }) => Some(Trouble::Refused(why.to_string())),
            Err(why) => Some(Trouble::Broken(format!("the target {why}"))),
        };
        trips.iter_mut().for_each(|trip| trip.settle(ended.as_ref()));
        let can_go_on = matches!(ended, Some(Trouble::Refused(_) | Trouble::Broken(_)));
        let is_hopeless =
            !can_go_on && !trips.iter().any(|trip| trip.is_done() || trip.is_barred());
        if is_hopeless || trips.iter().all(Trip::is_done) {
            break;
        }
    }
    trips
}

/// One attempt at all that are still to be done, over one connection; gives what ended it early.
async fn round(mut visitor: Visitor, trips: &mut [Trip], patience: Duration) -> Option<Trouble> {
    visitor.allow(patience);
    let ended = match exchange(&mut visitor, trips).await {
        Err(Stopped::Lost(Lost::Late)) if is_mute(&mut visitor, trips, patience).await => {
            Some(Trouble::Mute)
        }
        Ok(()) | Err(Stopped::Lost(Lost::Late)) => None,
        Err(Stopped::Lost(Lost::Closed)) => {
            Some(Trouble::Broken("the connection closed by the broker".to_owned()))
        }
        Err(Stopped::Lost(Lost::Broken(_, problem))) => {
            Some(Trouble::Broken(format!("bytes that are no valid packet: {problem}")))
        }
        Err(Stopped::Told(reason)) => {
            let (value, name) = (reason.value(), reason.row().name);
            Some(Trouble::Refused(format!("DISCONNECT 0x{value:02X} ({name})")))
        }
        Err(Stopped::Flooded) => {
            Some(Trouble::Broken("packets without end that nobody asked for".to_owned()))
        }
    };
    // It ends the session, and with it the subscriptions.
    let _ = visitor.send(Disconnect::default()).await;
    ended
}

/// Whether a target that did not even answer a SUBSCRIBE answers nothing else either.
async fn is_mute(visitor: &mut Visitor, trips: &[Trip], patience: Duration) -> bool {
    if trips.iter().any(|trip| trip.subscribed || trip.is_over()) {
        return false;
    }
    visitor.allow(patience);
    let _ = visitor.send(Packet::PingReq).await;
    matches!(visitor.next().await, Err(Lost::Late))
}

/// Why a round ended before its end.
enum Stopped {
    Lost(Lost),
    Told(ReasonCode),
    Flooded,
}

impl From<Lost> for Stopped {
    fn from(lost: Lost) -> Stopped {
        Stopped::Lost(lost)
    }
}

async fn exchange(visitor: &mut Visitor, trips: &mut [Trip]) -> Result<(), Stopped> {
    let mut seen = 0;
    for at in 0..trips.len() {
        let trip = &trips[at];
        if trip.is_over() {
            continue;
        }
        visitor.send(Subscribe::new(trip.id(), &*trip.topic, trip.qos)).await?;
        let subscribed = |trips: &[Trip]| trips[at].subscribed || trips[at].is_over();
        hear_until(visitor, trips, &mut seen, subscribed).await?;
        let trip = &mut trips[at];
        if trip.is_over() {
            continue;
        }
        trip.acknowledged = trip.qos == QoS::AtMostOnce;
        visitor.send(Publish::new(&*trip.topic, "hello").qos(trip.qos, trip.id())).await?;
        let acknowledged = |trips: &[Trip]| trips[at].acknowledged || trips[at].is_over();
        // One message at a time, for the sake of a window of one.
        hear_until(visitor, trips, &mut seen, acknowledged).await?;
    }
    hear_until(visitor, trips, &mut seen, |trips| trips.iter().all(Trip::is_over)).await
}

async fn hear_until(
    visitor: &mut Visitor,
    trips: &mut [Trip],
    seen: &mut usize,
    is_enough: impl Fn(&[Trip]) -> bool,
) -> Result<(), Stopped> {
    while !is_enough(trips) {
        *seen += 1;
        if *seen > MOST {
            return Err(Stopped::Flooded);
        }
        let packet = visitor.next().await?;
        if let Packet::Disconnect(disconnect) = &packet {
            return Err(Stopped::Told(disconnect.reason));
        }
        if let Some(answer) = hear(&packet, trips) {
            visitor.send(answer).await?;
        }
    }
    Ok(())
}

/// Notes what a packet says of the trips; gives what it is to be answered with.
fn hear(packet: &Packet, trips: &mut [Trip]) -> Option<Packet> {
    let by_id = |id: u16| move |trip: &&mut Trip| trip.id() == id;
    match packet {
        Packet::SubAck(ack) => {
            let trip = trips.iter_mut().find(by_id(ack.packet_id))?;
            trip.subscribed = true;
            ack.reasons.iter().for_each(|reason| trip.heed("SUBACK", *reason));
            None
        }
        Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubComp(ack) => {
            let trip = trips.iter_mut().find(by_id(ack.packet_id))?;
            let is_rec = matches!(packet, Packet::PubRec(_));
            trip.heed(if is_rec { "PUBREC" } else { "PUBACK" }, ack.reason);
            trip.acknowledged |= !is_rec && !ack.reason.is_error();
            let goes_on = is_rec && !ack.reason.is_error();
            goes_on.then(|| Packet::PubRel(PublishAck::new(ack.packet_id)))
        }
        Packet::Publish(publish) => {
            if let Some(trip) = trips.iter_mut().find(|trip| *trip.topic == *publish.topic) {
                trip.arrived = true;
            }
            let ack = PublishAck::new(publish.packet_id);
            match publish.qos {
                QoS::AtMostOnce => None,
                QoS::AtLeastOnce => Some(Packet::PubAck(ack)),
                QoS::ExactlyOnce => Some(Packet::PubRec(ack)),
            }
        }
        Packet::PubRel(ack) => Some(Packet::PubComp(PublishAck::new(ack.packet_id))),
        _ => None,
    }
}
