//! Connections under one Client Identifier that are opened at the same time, so that each takes over
//! from another.

use std::future::poll_fn;
use std::task::Poll;

use reference_broker::codec::{ConnAck, Connect};

use super::Stage;
use super::stage::KEEP_ALIVE;
use crate::probe::Probe;
use crate::verdict::Outcome;

/// What became of rivals.
#[derive(Debug)]
pub(super) struct Settled {
    /// The one that is left, and its place among them.
    pub(super) left: Option<(usize, Probe)>,
    /// What those got that were accepted, by their places; one that was closed before may have been
    /// taken over by then.
    pub(super) accepted: Vec<Option<ConnAck>>,
}

impl Stage {
    /// Opens so many connections of one client and sends a CONNECT over each before anything is read:
    /// what one sends may be read before, or while, that of another is answered.
    pub(super) async fn rivals(
        &mut self,
        name: &str,
        count: usize,
        make: impl Fn(usize, Connect) -> Connect,
    ) -> Outcome<Vec<Probe>> {
        let mut rivals = Vec::with_capacity(count);
        for _ in 0..count {
            rivals.push(self.open(name).await?);
        }
        for (place, rival) in rivals.iter_mut().enumerate() {
            let connect = rival.connect_packet().keep_alive(KEEP_ALIVE);
            rival.send(make(place, connect)).await?;
        }
        Ok(rivals)
    }

    /// Reads the answers of rivals, and shows that all their connections are closed but one, and that
    /// of the client's before them.
    ///
    /// # Errors
    ///
    /// A failure when a CONNECT is not answered, more than one connection is left, or none is though all
    /// were accepted.
    pub(super) async fn settled(
        &mut self,
        older: Option<Probe>,
        rivals: Vec<Probe>,
    ) -> Outcome<Settled> {
        self.claims();
        self.proving("MQTT-3.1.4-5");
        let (mut accepted, mut open) = (Vec::new(), Vec::new());
        open.extend(older.map(|probe| (None, probe)));
        for (place, mut rival) in rivals.into_iter().enumerate() {
            match rival.answer().await? {
                Some(connack) if !connack.reason.is_error() => {
                    accepted.push(Some(connack));
                    open.push((Some(place), rival));
                }
                Some(_) => {
                    rival.closes_after_refusal().await?;
                    accepted.push(None);
                }
                None => accepted.push(None),
            }
        }
        self.proving("MQTT-3.1.4-3");
        let mut left = open_in_the_end(open).await?;
        let expected = "all connections of the client closed but one";
        self.check(left.len() <= 1, expected, "more than one still open")?;
        let left = match left.pop() {
            Some((place, mut probe)) => {
                probe.is_open().await?.then_some(place).flatten().map(|place| (place, probe))
            }
            None => None,
        };
        let are_all_accepted = accepted.iter().all(Option::is_some);
        let holds = left.is_some() || !are_all_accepted;
        self.check_of("U-3.2.2.2-2", holds, "one that was accepted last left", "none")?;
        self.means();
        Ok(Settled { left, accepted })
    }

    /// As [`Stage::settled`], for rivals that resume a session: gives the client, which comes once more
    /// if none of its connections is left.
    ///
    /// # Errors
    ///
    /// As [`Stage::settled`], and a failure when one that was accepted did not find its session.
    pub(super) async fn settled_in_session(
        &mut self,
        name: &str,
        older: Probe,
        rivals: Vec<Probe>,
    ) -> Outcome<Probe> {
        let Settled { left, accepted } = self.settled(Some(older), rivals).await?;
        for connack in accepted.iter().flatten() {
            self.is_resumed("MQTT-3.1.2-5", name, connack).await?;
        }
        match left {
            Some((_, probe)) => Ok(probe),
            None => self.back(name, 60).await,
        }
    }
}

type Place = Option<usize>;

/// Waits until no more than one of these connections is open, or each has been as long as an end may
/// take; gives those that have not ended.
async fn open_in_the_end(mut probes: Vec<(Place, Probe)>) -> Outcome<Vec<(Place, Probe)>> {
    let mut waiting: Vec<_> =
        probes.iter_mut().map(|(_, probe)| Some(Box::pin(probe.ends_in_time()))).collect();
    let mut ended = vec![false; waiting.len()];
    let mut stay = 0;
    poll_fn(|context| {
        for (waiting, ended) in waiting.iter_mut().zip(&mut ended) {
            let Some(end) = waiting else { continue };
            match end.as_mut().poll(context) {
                Poll::Pending => {}
                Poll::Ready(Err(stop)) => return Poll::Ready(Err(stop)),
                Poll::Ready(Ok(has_ended)) => {
                    *ended = has_ended;
                    stay += usize::from(!has_ended);
                    *waiting = None;
                }
            }
        }
        match waiting.iter().flatten().count() {
            0 => Poll::Ready(Ok(())),
            1 if stay == 0 => Poll::Ready(Ok(())),
            _ => Poll::Pending,
        }
    })
    .await?;
    drop(waiting);
    Ok(probes.into_iter().zip(ended).filter(|(_, ended)| !ended).map(|(probe, _)| probe).collect())
}
