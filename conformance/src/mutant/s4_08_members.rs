//! Shared Subscriptions: who is in them.

use std::collections::{BTreeMap, BTreeSet};

use reference_broker::codec::{
    Packet, Publish, ReasonCode, SubscribeAck, Subscription, Text, Unsubscribe,
};
use reference_broker::core::Input;
use reference_broker::topic::{SubscriptionFilter, TopicName, is_shared};

use super::Mutant;
use super::s4_08_shared::parts;
use crate::boundary::Rules;
use crate::boundary::rules::subscriptions::{resubscribes, takes_filters_for};
use crate::boundary::rules::{At, FORGED, forges, inward, through};
use crate::boundary::subscriptions::Subscriptions;

pub(super) fn mutants() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "4.8/unsubscribe-without-effect",
            "UNSUBSCRIBE of a shared filter is answered and has no effect",
            &["U-4.8.2-5", "MQTT-3.10.4-1"],
            || unsubscribe_without_effect(|_| true),
        )
        .also(&["U-4.8.2-10"]),
        Mutant::new(
            "4.8/ends-with-its-creator",
            "A shared subscription ends when the first to join it leaves it",
            &["U-4.8.2-6"],
            ends_with_its_creator,
        ),
        Mutant::new(
            "4.8/left-as-often-as-joined",
            "Who subscribes to a shared filter twice has to unsubscribe twice",
            &["U-4.8.2-10"],
            || unsubscribe_without_effect(|joined| joined > 1),
        ),
        Mutant::new(
            "4.8/joined-twice-served-twice",
            "Who subscribes to a shared filter twice gets each message twice",
            &["U-4.8.2-10"],
            || {
                let mut joined: BTreeSet<(Text, Text)> = BTreeSet::new();
                vec![takes_filters_for(move |subscription: &Subscription, at| {
                    let (name, filter) = parts(&subscription.filter)?;
                    let is_new = joined.insert((at.id(), subscription.filter.clone()));
                    (!is_new).then(|| format!("$share/{name} again/{filter}"))
                })]
            },
        ),
        Mutant::new(
            "4.8/member-despite-clean-start",
            "A clean start does not end membership in shared subscriptions",
            &["U-4.8.2-5", "MQTT-3.1.2-4"],
            || {
                let cleans = |at: At<'_>, _: bool| at.is_clean_start();
                vec![resubscribes(cleans, |filter, held| is_shared(filter).then_some(held))]
            },
        ),
        Mutant::new(
            "4.8/membership-lost-on-resume",
            "A resumed session is no member of the shared subscriptions that it was in",
            &["U-4.1-4", "U-4.8.2-5"],
            || {
                vec![resubscribes(
                    |_, present| present,
                    |filter, held| (!is_shared(filter)).then_some(held),
                )]
            },
        ),
        Mutant::new(
            "4.8/undelivered-for-next-member",
            "What comes while a shared subscription has no member goes to the next one to join",
            &["U-4.8.2-6"],
            undelivered_for_next_member,
        ),
        Mutant::new(
            "4.8/plain-unsubscribe-leaves-group",
            "UNSUBSCRIBE of a plain filter ends membership in shared subscriptions with it",
            &["U-3.10.4-2", "MQTT-3.10.4-1"],
            || {
                also_unsubscribes(|gone, other| {
                    parts(other).is_some_and(|(_, filter)| filter == gone)
                })
            },
        ),
        Mutant::new(
            "4.8/leaving-group-ends-plain",
            "UNSUBSCRIBE of a shared filter ends the client's own subscription with that filter",
            &["U-3.10.4-2", "MQTT-3.10.4-1"],
            || {
                also_unsubscribes(|gone, other| {
                    parts(gone).is_some_and(|(_, filter)| filter == other)
                })
            },
        ),
    ]
}

fn ends_with_its_creator() -> Rules {
    let mut creators: BTreeMap<Text, Text> = BTreeMap::new();
    vec![forges(move |packet, at, act| {
        let mut ended = Vec::new();
        match &packet {
            Packet::Subscribe(subscribe) => {
                for subscription in &subscribe.subscriptions {
                    creators.entry(subscription.filter.clone()).or_insert(at.id());
                }
            }
            Packet::Unsubscribe(unsubscribe) => {
                let own = unsubscribe.filters.iter().filter(|it| is_shared(it));
                ended.extend(own.filter(|it| creators.get(*it) == Some(&at.id())).cloned());
            }
            _ => {}
        }
        act.receive(packet);
        for filter in ended {
            creators.remove(&filter);
            for (member, _) in at.clients.iter().filter(|(it, _)| *it != at.connection) {
                let leave = Unsubscribe::new(FORGED, filter.clone());
                act.boundary.pass(Input::Received(member, leave.into()));
            }
        }
    })]
}

fn unsubscribe_without_effect(when: fn(u32) -> bool) -> Rules {
    let mut joined: BTreeMap<(Text, Text), u32> = BTreeMap::new();
    vec![inward(move |packet, at, act| {
        match &packet {
            Packet::Subscribe(subscribe) => {
                for subscription in &subscribe.subscriptions {
                    *joined.entry((at.id(), subscription.filter.clone())).or_default() += 1;
                }
            }
            Packet::Unsubscribe(unsubscribe) => {
                let filter = unsubscribe.filters.first().cloned().unwrap_or_default();
                let is_shared = is_shared(&filter);
                let times = joined.entry((at.id(), filter)).or_default();
                if is_shared && when(*times) {
                    *times = times.saturating_sub(1);
                    let reasons = vec![ReasonCode::Success];
                    let ack = SubscribeAck::new(unsubscribe.packet_id, reasons);
                    return act.send(Packet::UnsubAck(ack));
                }
                *times = 0;
            }
            _ => {}
        }
        act.receive(packet);
    })]
}

fn undelivered_for_next_member() -> Rules {
    #[derive(Default)]
    struct State {
        known: Subscriptions,
        /// All shared filters that there ever were.
        filters: BTreeSet<Text>,
        undelivered: BTreeMap<Text, Publish>,
    }
    let nobody = |state: &State, text: &Text| state.known.members(text).next().is_none();
    vec![through(
        State::default(),
        move |state, packet, at, act| {
            if let Packet::Publish(publish) = &packet
                && let Ok(topic) = TopicName::parse(&publish.topic)
            {
                let matching = state.filters.iter().filter(|text| {
                    SubscriptionFilter::parse(text).is_ok_and(|it| it.filter().matches(&topic))
                });
                let left: Vec<_> = matching.filter(|text| nobody(state, text)).cloned().collect();
                let late = Publish::new(publish.topic.clone(), publish.payload.clone());
                state.undelivered.extend(left.into_iter().map(|text| (text, late.clone())));
            }
            let filter = match &packet {
                Packet::Subscribe(it) => it.subscriptions.first().map(|it| it.filter.clone()),
                _ => None,
            };
            state.known.note(&packet, at);
            act.receive(packet);
            if let Some(filter) = filter.filter(|text| is_shared(text)) {
                state.undelivered.remove(&filter).into_iter().for_each(|late| act.send(late));
                state.filters.insert(filter);
            }
        },
        |_, packet, _, act| act.send(packet),
    )]
}

/// Ends other subscriptions of the client with the one that it unsubscribes from.
fn also_unsubscribes(which: fn(&str, &str) -> bool) -> Rules {
    let mut known = Subscriptions::default();
    vec![forges(move |packet, at, act| {
        known.note(&packet, at);
        let gone = match &packet {
            Packet::Unsubscribe(unsubscribe) => unsubscribe.filters.clone(),
            _ => Vec::new(),
        };
        act.receive(packet);
        let others = known.of(at).keys().filter(|it| gone.iter().any(|gone| which(gone, it)));
        others.for_each(|other| act.receive(Unsubscribe::new(FORGED, other.clone())));
    })]
}
