//! What shows that something did not happen, and that a client is served at all: messages that come in
//! an order which is known.

use std::future::poll_fn;
use std::task::Poll;

use reference_broker::codec::{Publish, QoS, Will};

use crate::probe::Probe;
use crate::trace::packet_text;
use crate::verdict::Outcome;

use super::Stage;

impl Stage {
    /// Shows that nothing went from `from` to `to` on this topic: a marker sent now is the next
    /// message that comes.
    ///
    /// # Errors
    ///
    /// A failure when something else comes first, or the marker does not come.
    pub async fn nothing_on(&mut self, topic: &str, from: &mut Probe, to: &mut Probe) -> Outcome {
        self.nothing_on_at(topic, QoS::AtLeastOnce, from, to).await
    }

    /// As [`Stage::nothing_on`], for messages at another QoS: only messages at the same QoS keep
    /// their order (section 4.6).
    ///
    /// # Errors
    ///
    /// As [`Stage::nothing_on`].
    pub async fn nothing_on_at(
        &mut self,
        topic: &str,
        qos: QoS,
        from: &mut Probe,
        to: &mut Probe,
    ) -> Outcome {
        self.markers += 1;
        let marker = format!("marker {}", self.markers);
        let context = self.context.clone();
        context.as_means(from.publish(topic, &marker, qos)).await?;
        to.receives_marker(topic, &marker).await
    }

    /// Whether `to` has a subscription for this topic: if so, a message that reaches `witness` is
    /// there before one that was sent after `to` subscribed (anew). It is subscribed then.
    ///
    /// # Errors
    ///
    /// A failure when a message does not reach who is subscribed, or another one comes.
    pub async fn subscribed(
        &mut self,
        topic: &str,
        from: &mut Probe,
        to: &mut Probe,
        witness: &mut Probe,
    ) -> Outcome<bool> {
        self.markers += 1;
        let before = format!("before {}", self.markers);
        let after = format!("after {}", self.markers);
        let context = self.context.clone();
        let first = context.as_means(async {
            from.publish(topic, &before, QoS::AtLeastOnce).await?;
            witness.receives(topic, &before).await?;
            to.subscribe(topic, QoS::AtLeastOnce).await?;
            from.publish(topic, &after, QoS::AtLeastOnce).await?;
            witness.receives(topic, &after).await?;
            let first = to.message(&format!("PUBLISH \"{topic}\" payload=\"{after}\"")).await?;
            to.acknowledge(&first).await?;
            Ok(first)
        });
        let first = first.await?;
        match *first.payload == *after.as_bytes() && *first.topic == *topic {
            true => Ok(false),
            false if *first.payload == *before.as_bytes() => {
                to.receives(topic, &after).await.map(|_| true)
            }
            false => self.fail("no other message", packet_text(&first.into())),
        }
    }

    /// Shows that `to` has no subscription for this topic, as [`Stage::subscribed`] does.
    ///
    /// # Errors
    ///
    /// As [`Stage::subscribed`], and a failure when it has one.
    pub async fn not_subscribed(
        &mut self,
        topic: &str,
        from: &mut Probe,
        to: &mut Probe,
        witness: &mut Probe,
    ) -> Outcome {
        let is_subscribed = self.subscribed(topic, from, to, witness).await?;
        self.check(!is_subscribed, "no message for want of a subscription", "one")
    }

    /// Shows that a client is served, which takes more than to be answered: a message that it sends
    /// to itself arrives.
    ///
    /// # Errors
    ///
    /// A failure when it does not.
    pub async fn serves(&mut self, probe: &mut Probe) -> Outcome {
        self.serves_at(QoS::AtMostOnce, probe).await
    }

    /// As [`Stage::serves`], with a message at another QoS.
    ///
    /// # Errors
    ///
    /// As [`Stage::serves`].
    pub async fn serves_at(&mut self, qos: QoS, probe: &mut Probe) -> Outcome {
        self.markers += 1;
        let topic = self.topic(&format!("to myself {}", self.markers));
        let context = self.context.clone();
        let served = async {
            probe.subscribe(&topic, qos).await?;
            probe.publish(&topic, "hello", qos).await?;
            probe.receives(&topic, "hello").await.map(drop)
        };
        context.as_means(served).await
    }

    /// Shows that no Will came on this topic until now: the Will, at QoS 1, of a client that is
    /// lost now is the next message.
    ///
    /// # Errors
    ///
    /// A failure when another message comes first, or the Will of that client does not come.
    pub async fn no_will_on(&mut self, topic: &str, to: &mut Probe) -> Outcome {
        self.markers += 1;
        let marker = format!("will of witness {}", self.markers);
        let will = Will::new(topic, marker.clone()).qos(QoS::AtLeastOnce);
        let context = self.context.clone();
        let lost = async {
            self.connected_with("witness", |connect| connect.will(will)).await?.vanish().await
        };
        context.as_means(lost).await?;
        to.receives_will_marker(topic, &marker).await
    }

    /// Waits until these probes together have this many messages, and goes through the exchanges of
    /// all that come: what each has got, which may be more. For messages that one of several is to
    /// get; less than asked for is for the scenario to judge.
    ///
    /// # Errors
    ///
    /// A failure when an exchange is not completed, or a connection is not open.
    pub async fn gather<const N: usize>(
        &mut self,
        probes: [&mut Probe; N],
        count: usize,
    ) -> Outcome<[Vec<Publish>; N]> {
        let mut probes = probes;
        let mut shares = [const { Vec::new() }; N];
        for _ in 0..count {
            let Some((place, publish)) = first_message(&mut probes).await? else { break };
            probes[place].acknowledge(&publish).await?;
            shares[place].push(publish);
        }
        // A copy too many is to be seen.
        for (probe, share) in probes.iter_mut().zip(&mut shares) {
            for publish in probe.messages_now().await? {
                probe.acknowledge(&publish).await?;
                share.push(publish);
            }
        }
        Ok(shares)
    }
}

/// The next message that comes to any of these probes, and to which; none if all are silent.
async fn first_message(probes: &mut [&mut Probe]) -> Outcome<Option<(usize, Publish)>> {
    let mut waiting: Vec<_> =
        probes.iter_mut().map(|probe| Box::pin(probe.message_or_silence())).collect();
    let (place, first) = poll_fn(|context| {
        let ready = waiting.iter_mut().enumerate().find_map(|(place, waiting)| {
            match waiting.as_mut().poll(context) {
                Poll::Ready(first) => Some((place, first)),
                Poll::Pending => None,
            }
        });
        ready.map_or(Poll::Pending, Poll::Ready)
    })
    .await;
    Ok(first?.map(|publish| (place, publish)))
}
