//! Rules for subscriptions: SUBSCRIBE, UNSUBSCRIBE and SUBACK, and what clients are subscribed to.

use std::collections::BTreeMap;

use reference_broker::codec::{
    Packet, Publish, QoS, ReasonCode, Subscribe, Subscription, SubscriptionOptions, Text,
    Unsubscribe,
};
use reference_broker::core::ConnectionId;

use super::messages::remembers;
use super::{Act, At, FORGED, answers_forged, forges, reads, through};
use crate::boundary::Rule;
use crate::boundary::subscriptions::{Held, Subscriptions};

/// Alters each filter's options in SUBSCRIBE, given what the client has of this filter.
pub fn subscribes(
    mut alter: impl FnMut(&mut SubscriptionOptions, &Text, Option<&Held>, At<'_>) + Send + 'static,
) -> Box<dyn Rule> {
    reads_knowing(move |packet, known, at| {
        if let Packet::Subscribe(subscribe) = packet {
            for Subscription { filter, options } in &mut subscribe.subscriptions {
                alter(options, filter, known.of(at).get(filter), at);
            }
        }
        Vec::new()
    })
}

/// Alters packets from clients, given all subscriptions before them, and makes subscriptions of
/// the same client anew behind its back: those that it gives.
pub fn reads_knowing(
    mut rule: impl FnMut(&mut Packet, &Subscriptions, At<'_>) -> Vec<(Text, Held)> + Send + 'static,
) -> Box<dyn Rule> {
    let mut known = Subscriptions::default();
    forges(move |mut packet, at, act| {
        let heard = packet.clone();
        let anew = rule(&mut packet, &known, at);
        known.note(&heard, at);
        act.receive_with(packet, anew.into_iter().map(|(filter, held)| held.request(filter)));
    })
}

/// Goes through messages on their way to clients, given all subscriptions; what it does not
/// [`Act::send`] is lost.
pub fn delivers_knowing(
    mut rule: impl FnMut(&Subscriptions, Publish, At<'_>, &mut Act<'_, '_>) + Send + 'static,
) -> Box<dyn Rule> {
    remembers(
        Subscriptions::default(),
        |known, packet, at| known.note(packet, at),
        move |known, publish, _, at, act| rule(known, publish, at, act),
    )
}

/// Alters the subscriptions of a client when it gets a CONNACK: those that it has now, or had
/// before a clean start. Gives `None` for one that is to be dropped.
pub fn resubscribes(
    when: fn(At<'_>, bool) -> bool,
    alter: fn(&str, Held) -> Option<Held>,
) -> Box<dyn Rule> {
    resubscribes_noted(|_| true, when, alter)
}

/// As [`resubscribes`], for what was subscribed to where `noted` is true alone.
pub fn resubscribes_noted(
    noted: fn(At<'_>) -> bool,
    when: fn(At<'_>, bool) -> bool,
    alter: fn(&str, Held) -> Option<Held>,
) -> Box<dyn Rule> {
    through(
        Subscriptions::default(),
        move |known, packet, at, act| {
            // What a clean start ends is wanted at its CONNACK.
            if !matches!(packet, Packet::Connect(_)) && noted(at) {
                known.note(&packet, at);
            }
            act.receive(packet);
        },
        move |known, packet, at, act| match &packet {
            Packet::ConnAck(connack) => {
                let applies = !connack.reason.is_error() && when(at, connack.session_present);
                act.send(packet);
                for (filter, held) in known.of(at).iter().filter(|_| applies) {
                    match alter(filter, *held) {
                        Some(held) => act.receive(held.request(filter.clone())),
                        None => act.receive(Unsubscribe::new(FORGED, filter.clone())),
                    }
                }
            }
            _ if answers_forged(&packet) => {}
            _ => act.send(packet),
        },
    )
}

/// Takes each filter of SUBSCRIBE and UNSUBSCRIBE for another, where `rename` gives one.
pub fn takes_filters_for(
    mut rename: impl FnMut(&Subscription, At<'_>) -> Option<String> + Send + 'static,
) -> Box<dyn Rule> {
    let mut renamed: BTreeMap<(Text, Text), Text> = BTreeMap::new();
    reads(move |packet, at| match packet {
        Packet::Subscribe(subscribe) => {
            for subscription in &mut subscribe.subscriptions {
                if let Some(other) = rename(subscription, at) {
                    let was = std::mem::replace(&mut subscription.filter, other.into());
                    renamed.insert((at.id(), was), subscription.filter.clone());
                }
            }
        }
        Packet::Unsubscribe(unsubscribe) => {
            for filter in &mut unsubscribe.filters {
                if let Some(other) = renamed.get(&(at.id(), filter.clone())) {
                    *filter = other.clone();
                }
            }
        }
        _ => {}
    })
}

/// Takes filters for wider ones where `widen` gives one, and of the messages that these bring lets
/// only those through whose topics `matches`.
pub fn matches_by(
    widen: fn(&str) -> Option<String>,
    matches: impl Fn(&str, &str) -> bool + Send + 'static,
) -> Vec<Box<dyn Rule>> {
    let narrowed = delivers_knowing(move |known, publish, at, act| {
        let own = known.of(at);
        let concerned = !own.is_empty() && own.keys().all(|filter| widen(filter).is_some());
        if !concerned || own.keys().any(|filter| matches(filter, &publish.topic)) {
            act.send(publish);
        }
    });
    vec![narrowed, takes_filters_for(move |subscription, _| widen(&subscription.filter))]
}

/// The Reason Code with which this QoS is granted.
fn granted(qos: QoS) -> ReasonCode {
    match qos {
        QoS::AtMostOnce => ReasonCode::Success,
        QoS::AtLeastOnce => ReasonCode::GrantedQoS1,
        QoS::ExactlyOnce => ReasonCode::GrantedQoS2,
    }
}

/// Alters what a client asks for with a filter; what it is told was granted is what it asked for.
pub fn grants_secretly(
    mut alter: impl FnMut(&mut Subscription, At<'_>) + Send + 'static,
) -> Box<dyn Rule> {
    through(
        BTreeMap::<(ConnectionId, u16), Vec<ReasonCode>>::new(),
        move |asked, mut packet, at, act| {
            if let Packet::Subscribe(subscribe) = &mut packet {
                let reasons = subscribe.subscriptions.iter();
                let reasons = reasons.map(|it| granted(it.options.maximum_qos)).collect();
                asked.insert((at.connection, subscribe.packet_id), reasons);
                subscribe.subscriptions.iter_mut().for_each(|it| alter(it, at));
            }
            act.receive(packet);
        },
        |asked, mut packet, at, act| {
            if let Packet::SubAck(suback) = &mut packet
                && let Some(reasons) = asked.remove(&(at.connection, suback.packet_id))
            {
                let granted = suback.reasons.iter_mut().zip(reasons);
                granted.filter(|(now, _)| !now.is_error()).for_each(|(now, reason)| *now = reason);
            }
            act.send(packet);
        },
    )
}

/// Tells clients that it has granted a filter that it has refused, at the QoS they asked for.
pub fn claims_to_grant(which: fn(&str) -> bool) -> Box<dyn Rule> {
    through(
        BTreeMap::<(ConnectionId, u16), Vec<Option<ReasonCode>>>::new(),
        move |wrong, packet, at, act| {
            if let Packet::Subscribe(Subscribe { packet_id, subscriptions, .. }) = &packet {
                let claimed =
                    |it: &Subscription| which(&it.filter).then(|| granted(it.options.maximum_qos));
                let claimed = subscriptions.iter().map(claimed).collect();
                wrong.insert((at.connection, *packet_id), claimed);
            }
            act.receive(packet);
        },
        |wrong, mut packet, at, act| {
            if let Packet::SubAck(suback) = &mut packet
                && let Some(claimed) = wrong.remove(&(at.connection, suback.packet_id))
            {
                for (reason, claimed) in suback.reasons.iter_mut().zip(claimed) {
                    *reason = claimed.filter(|_| reason.is_error()).unwrap_or(*reason);
                }
            }
            act.send(packet);
        },
    )
}
