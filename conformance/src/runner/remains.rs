//! What a run may have left on its target, sessions and retained messages, and how that is removed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reference_broker::codec::{Disconnect, Packet, Publish, PublishAck, QoS, Subscribe};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::probe::Context;
use crate::target::{Capabilities, Connector, KEEP_ALIVE, Need, Unusable, Visitor};

/// How many sessions are ended at once.
const AT_ONCE: usize = 8;

/// How often it is tried.
const VISITS: usize = 4;

/// How long a connection that was dropped may take to be noticed, and a Will of it to be published.
const SETTLING: Duration = Duration::from_millis(200);

/// How often what is there is looked for.
const SWEEPS: usize = 3;

/// How long a sweep waits for a further retained message.
const LAST: Duration = Duration::from_millis(300);

/// What is named where not all can be.
const SHOWN: usize = 5;

/// Sessions by Client Identifier, and retained messages by topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Leftovers {
    pub(super) sessions: BTreeSet<String>,
    pub(super) retained: BTreeSet<String>,
}

impl Leftovers {
    pub(super) fn is_empty(&self) -> bool {
        self.sessions.is_empty() && self.retained.is_empty()
    }

    fn extend(&mut self, more: Leftovers) {
        self.sessions.extend(more.sessions);
        self.retained.extend(more.retained);
    }

    /// What to say of it in a report.
    pub(super) fn note(&self) -> Option<String> {
        let list = |name: &str, of: &BTreeSet<String>| {
            let shown: Vec<_> = of.iter().take(SHOWN).map(|it| format!("'{it}'")).collect();
            let more = match of.len().saturating_sub(SHOWN) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            (!of.is_empty()).then(|| format!("{} {name}: {}{more}", of.len(), shown.join(", ")))
        };
        let sessions = list("sessions", &self.sessions);
        let told: Vec<_> =
            sessions.into_iter().chain(list("retained messages", &self.retained)).collect();
        (!told.is_empty()).then(|| format!("may be left on the target: {}", told.join("; ")))
    }
}

/// Everything that the scenarios of a run may have left.
#[derive(Debug, Default)]
pub(super) struct Remains(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    next: u64,
    /// Those of scenarios under way.
    open: BTreeMap<u64, Context>,
    /// Those that could not be removed.
    left: Leftovers,
    /// What their topics begin with.
    spaces: BTreeSet<String>,
}

impl Remains {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic elsewhere leaves it as it was: nothing here is done by halves.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A scenario begins whose topics are below `space`; gives the number to end it by.
    pub(super) fn begin(&self, context: &Context, space: &str) -> u64 {
        let mut inner = self.lock();
        inner.next += 1;
        let number = inner.next;
        inner.open.insert(number, context.clone());
        inner.spaces.insert(space.to_owned());
        number
    }

    /// It has ended and left this, after all that could be done.
    pub(super) fn end(&self, number: u64, left: Leftovers) {
        let mut inner = self.lock();
        inner.open.remove(&number);
        inner.left.extend(left);
    }

    /// A client of our own has a session.
    pub(super) fn add_session(&self, client: &str) {
        self.lock().left.sessions.insert(client.to_owned());
    }

    /// All that may be there, scenarios under way included.
    pub(super) fn all(&self) -> Leftovers {
        let inner = self.lock();
        let mut all = inner.left.clone();
        inner.open.values().for_each(|context| all.extend(of(context)));
        all
    }

    /// Removes all of it; gives what is still there by the deadline.
    pub(super) async fn clear(
        &self,
        connector: &Connector,
        capabilities: &Capabilities,
        client: &str,
        within: Duration,
    ) -> Leftovers {
        let deadline = Instant::now() + within;
        let was_cut_off = !self.lock().open.is_empty();
        let mut left = self.all();
        if left.is_empty() && !was_cut_off {
            return left;
        }
        if was_cut_off {
            sleep(SETTLING).await;
        }
        let step = (within / 4).max(Duration::from_millis(500));
        let tidier = Tidier { connector, capabilities, client, patience: step, deadline };
        left = tidier.remove(left).await;
        let can_look = capabilities.meet(Need::Wildcards) && capabilities.meet(Need::Retain);
        let spaces = self.lock().spaces.clone();
        for _ in 0..SWEEPS {
            if !was_cut_off || !can_look {
                break;
            }
            // A Will of a client that we lost may have come after all.
            let Some(found) = tidier.sweep(&spaces).await else { break };
            if found.is_empty() {
                break;
            }
            left.extend(tidier.remove(Leftovers { retained: found, ..Leftovers::default() }).await);
        }
        left
    }
}

/// What a scenario may have left.
pub(super) fn of(context: &Context) -> Leftovers {
    let (sessions, retained) = context.leftovers();
    Leftovers { sessions: sessions.into_iter().collect(), retained: retained.into_iter().collect() }
}

/// Who removes what is left. What cannot be removed in time stays.
pub(super) struct Tidier<'a> {
    pub(super) connector: &'a Connector,
    pub(super) capabilities: &'a Capabilities,
    /// Its Client Identifier.
    pub(super) client: &'a str,
    /// For a step.
    pub(super) patience: Duration,
    /// For everything.
    pub(super) deadline: Instant,
}

impl Tidier<'_> {
    /// Removes it, sessions first: the end of one may publish a Will. Gives what is left.
    pub(super) async fn remove(&self, what: Leftovers) -> Leftovers {
        let begun = Instant::now();
        let Leftovers { mut sessions, mut retained } = what;
        for _ in 0..VISITS {
            sessions = self.end_sessions(sessions).await;
            if !retained.is_empty() {
                let cleared = self.clear_retained(&mut retained);
                let _ = timeout_at(self.deadline, cleared).await;
            }
            // Who refuses now may not do so later; who does not answer is left alone.
            if sessions.is_empty() && retained.is_empty() || begun.elapsed() > self.patience {
                break;
            }
        }
        Leftovers { sessions, retained }
    }

    async fn end_sessions(&self, clients: BTreeSet<String>) -> BTreeSet<String> {
        let mut left = clients.clone();
        let mut clients = clients.into_iter();
        let mut under_way = JoinSet::new();
        loop {
            while under_way.len() < AT_ONCE
                && let Some(client) = clients.next()
            {
                let (connector, patience) = (self.connector.clone(), self.patience);
                under_way.spawn(async move {
                    let ended = timeout(2 * patience, end_session(&connector, &client, patience));
                    (ended.await.unwrap_or(false), client)
                });
            }
            match timeout_at(self.deadline, under_way.join_next()).await {
                Ok(Some(Ok((true, client)))) => drop(left.remove(&client)),
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return left,
            }
        }
    }

    /// Publishes an empty message on each topic, and takes those away that are acknowledged.
    async fn clear_retained(&self, topics: &mut BTreeSet<String>) -> Option<()> {
        let connect = self.connector.connect_packet(self.client).keep_alive(KEEP_ALIVE);
        let opened = Visitor::open(self.connector, connect, self.patience).await;
        let (mut visitor, looked) = opened.ok()?;
        let qos = match self.capabilities.meet(Need::QoS(QoS::AtLeastOnce)) {
            true => QoS::AtLeastOnce,
            false => QoS::AtMostOnce,
        };
        let window = usize::from(looked.capabilities.receive_maximum()).min(AT_ONCE);
        for topics_at_once in topics.iter().cloned().collect::<Vec<_>>().chunks(window) {
            let mut sent: BTreeMap<u16, &String> = (1..).zip(topics_at_once).collect();
            visitor.allow(self.patience);
            for (id, topic) in &sent {
                visitor.send(Publish::new(*topic, "").qos(qos, *id).retain()).await.ok()?;
            }
            if qos == QoS::AtMostOnce {
                topics.retain(|topic| !sent.values().any(|sent| *sent == topic));
                continue;
            }
            while !sent.is_empty() {
                match visitor.next().await.ok()? {
                    Packet::PubAck(ack) => {
                        let topic = sent.remove(&ack.packet_id);
                        if let Some(topic) = topic.filter(|_| !ack.reason.is_error()) {
                            topics.remove(topic);
                        }
                    }
                    Packet::Disconnect(_) => return None,
                    _ => {}
                }
            }
        }
        visitor.send(Packet::PingReq).await.ok()?;
        while visitor.next().await.ok()? != Packet::PingResp {}
        visitor.send(Disconnect::default()).await.ok()
    }

    /// The topics below these that have retained messages; none if that cannot be seen.
    async fn sweep(&self, spaces: &BTreeSet<String>) -> Option<BTreeSet<String>> {
        let looking = async {
            let connect = self.connector.connect_packet(self.client).keep_alive(KEEP_ALIVE);
            let opened = Visitor::open(self.connector, connect, self.patience).await;
            let (mut visitor, _) = opened.ok()?;
            let mut found = BTreeSet::new();
            for (space, id) in spaces.iter().zip(1..) {
                visitor.allow(self.patience);
                let filter = format!("{space}/#");
                visitor.send(Subscribe::new(id, &filter, QoS::AtMostOnce)).await.ok()?;
                while !matches!(look(&mut visitor, &mut found).await?, Packet::SubAck(_)) {}
            }
            // They come with the subscription, but after its SUBACK as well as before it.
            visitor.allow(LAST);
            while look(&mut visitor, &mut found).await.is_some() {
                visitor.allow(LAST);
            }
            visitor.allow(self.patience);
            visitor.send(Disconnect::default()).await.ok()?;
            Some(found)
        };
        timeout_at(self.deadline, looking).await.ok().flatten()
    }
}

/// Takes the next packet, and its topic if it is a retained message.
async fn look(visitor: &mut Visitor, found: &mut BTreeSet<String>) -> Option<Packet> {
    let packet = visitor.next().await.ok()?;
    if let Packet::Publish(publish) = &packet {
        if publish.retain {
            found.insert(publish.topic.to_string());
        }
        if publish.qos == QoS::AtLeastOnce {
            visitor.send(Packet::PubAck(PublishAck::new(publish.packet_id))).await.ok()?;
        }
    }
    Some(packet)
}

/// Ends a session by a clean start that keeps none. Whether it is gone.
async fn end_session(connector: &Connector, client: &str, patience: Duration) -> bool {
    let connect = connector.connect_packet(client).keep_alive(KEEP_ALIVE);
    match Visitor::open(connector, connect, patience).await {
        Ok((mut visitor, _)) => visitor.send(Disconnect::default()).await.is_ok(),
        // Who may not have that name has no session under it.
        Err(Unusable::Refused { reason, .. }) => {
            reason == reference_broker::codec::ReasonCode::ClientIdentifierNotValid
        }
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_named_and_counted() {
        assert_eq!(Leftovers::default().note(), None);
        let left = Leftovers {
            sessions: (0..7).map(|number| format!("c{number}")).collect(),
            retained: BTreeSet::from(["a/b".to_owned()]),
        };
        assert_eq!(
            left.note().as_deref(),
            Some(
                "may be left on the target: 7 sessions: 'c0', 'c1', 'c2', 'c3', 'c4' and 2 more; \
                 1 retained messages: 'a/b'"
            )
        );
    }
}
