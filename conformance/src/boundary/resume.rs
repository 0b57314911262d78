//! A rule for what a client is sent at once when its session is resumed.

use std::collections::{BTreeMap, BTreeSet};

use reference_broker::codec::{Packet, Text};
use reference_broker::core::ConnectionId;
use reference_broker::topic::is_shared;

use super::Rule;
use super::rules::{Act, At, through};

/// How a client has come back to its session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Back {
    /// For the how-manieth time, counted from 1.
    pub times: u32,
    /// Whether it took the place of its own open connection.
    pub took_over: bool,
    /// Whether it had sent DISCONNECT.
    pub had_left: bool,
    /// Whether it has asked for a Shared Subscription.
    pub is_member: bool,
}

#[derive(Debug, Default)]
struct Resumes {
    /// The connection that is being given what waits.
    current: Option<(ConnectionId, Back)>,
    times: BTreeMap<Text, u32>,
    left: BTreeSet<Text>,
    members: BTreeSet<Text>,
}

/// Goes through what a client is sent at once on the resume of its session, after CONNACK: what it
/// does not [`Act::send`] is lost.
pub fn on_resume(
    mut rule: impl FnMut(Packet, At<'_>, &mut Act<'_, '_>, Back) + Send + 'static,
) -> Box<dyn Rule> {
    let begins = |resumes: &mut Resumes, at: At<'_>| {
        let times = resumes.times.entry(at.id()).or_default();
        *times += 1;
        let had_left = resumes.left.remove(&at.id());
        let is_member = resumes.members.contains(&at.id());
        let back = Back { times: *times, took_over: at.is_takeover(), had_left, is_member };
        resumes.current = Some((at.connection, back));
    };
    through(
        Resumes::default(),
        |resumes, packet, at, act| {
            resumes.current = None;
            match &packet {
                Packet::Disconnect(_) => drop(resumes.left.insert(at.id())),
                Packet::Subscribe(it)
                    if it.subscriptions.iter().any(|it| is_shared(&it.filter)) =>
                {
                    resumes.members.insert(at.id());
                }
                _ => {}
            }
            act.receive(packet);
        },
        move |resumes, packet, at, act| match (&packet, resumes.current) {
            (Packet::ConnAck(connack), _) => {
                if connack.session_present {
                    begins(resumes, at);
                }
                act.send(packet);
            }
            (_, Some((connection, back))) if connection == at.connection => {
                rule(packet, at, act, back);
            }
            _ => act.send(packet),
        },
    )
}
