//! The choices that the standard leaves to a broker, as an input makes them.

use std::time::Duration;

use reference_broker::codec::QoS;
use reference_broker::core::{
    Access, Action, Bounds, Config, DollarTopics, Features, Handling, ResponseInformation, Rule,
    RuleFilter, Sharing, Users,
};

use super::ending::{AUDITOR, END};
use crate::choices::Choices;

/// Users that clients may be.
pub(super) const USERS: [&str; 2] = ["ann", "ben"];

/// The Authentication Method of brokers that have one.
pub(super) const METHOD: &str = "m";

/// A configuration: the default one, one that the model follows too, or one in which every choice is made anew. The
/// compiler holds the last one to be complete, so that no new choice is left unplayed.
pub(super) fn config(choices: &mut Choices<'_>) -> Config {
    let default = Config::default();
    match choices.below(8) {
        0 => default,
        1 => {
            let handling = Handling { lowest_packet_id_first: true, ..default.handling };
            Config { handling, ..default }
        }
        2 => narrow(choices),
        3 | 4 => followed(choices),
        5 => Config { access: access(choices), ..default },
        6 => Config { access: access(choices), ..followed(choices) },
        _ => any(choices),
    }
}

/// Limits that are met soon, by a bit each.
fn narrow(choices: &mut Choices<'_>) -> Config {
    let default = Config::default();
    let wide = choices.byte();
    let is_wide = |bit: u8| wide & 1 << bit != 0;
    Config {
        receive_maximum: if is_wide(0) { default.receive_maximum } else { 1 },
        send_window: if is_wide(1) { default.send_window } else { 1 },
        queue_limit: if is_wide(2) { default.queue_limit } else { 1 },
        session_expiry: if is_wide(3) { default.session_expiry } else { (0, 4) },
        topic_alias_maximum: if is_wide(4) { default.topic_alias_maximum } else { 1 },
        granted_qos: if is_wide(5) { default.granted_qos } else { QoS::AtLeastOnce },
        ..default
    }
}

/// Limits that are met soon, and choices that the model knows.
fn followed(choices: &mut Choices<'_>) -> Config {
    let mut config = Config {
        receive_maximum: choices.of(&[100, 1, 3]).unwrap_or(100),
        send_window: choices.of(&[256, 1, 2]).unwrap_or(256),
        queue_limit: choices.of(&[10_000, 2, 5, 0]).unwrap_or(10_000),
        session_expiry: (0, choices.of(&[u32::MAX, 4]).unwrap_or(u32::MAX)),
        granted_qos: choices
            .of(&[QoS::ExactlyOnce, QoS::AtLeastOnce, QoS::AtMostOnce])
            .unwrap_or(QoS::ExactlyOnce),
        topic_alias_maximum: choices.of(&[100, 1, 0]).unwrap_or(100),
        tells_no_subscribers: !choices.flag(),
        maximum_qos: seldom(choices, &[QoS::AtLeastOnce, QoS::AtMostOnce], QoS::ExactlyOnce),
        server_keep_alive: seldom(choices, &[Some(60), Some(0), Some(1)], None),
        features: features(choices),
        ..Config::default()
    };
    config.handling.lowest_packet_id_first = choices.flag();
    config.handling.retains_qos0 = !choices.one_in(4);
    let dollar_topics = [DollarTopics::Refused, DollarTopics::Dropped, DollarTopics::HandedOn];
    config.handling.dollar_topics = choices.of(&dollar_topics).unwrap_or(DollarTopics::Refused);
    config
}

/// Who may do what: rules about topics that scripts have, and for what comes at the end.
fn access(choices: &mut Choices<'_>) -> Access {
    let everything = |users, filter| rule(users, Action::Both, filter, true);
    let mut rules = vec![
        everything(Users::Named(AUDITOR.into()), "#"),
        everything(Users::Named(AUDITOR.into()), "$a/#"),
        everything(Users::Any, END),
    ];
    for _ in 0..choices.below(4) {
        let named = USERS.map(|user| Users::Named(user.into()));
        let users = match choices.below(4) {
            0 => Users::Any,
            1 => Users::Anonymous,
            number => named[number - 2].clone(),
        };
        let actions = [Action::Both, Action::Publish, Action::Subscribe];
        let action = choices.of(&actions).unwrap_or(Action::Both);
        let filter = choices.of(&["a/#", "b", "a/+", "{client}/#", "{user}", "#"]).unwrap_or("#");
        rules.push(rule(users, action, filter, choices.flag()));
    }
    Access {
        asks: !choices.flag(),
        methods: vec![METHOD.into()],
        rules,
        default_allow: !choices.flag(),
        disconnects_at_qos0: choices.flag(),
    }
}

fn rule(users: Users, action: Action, filter: &str, allow: bool) -> Rule {
    let filter = RuleFilter::parse(filter).expect("a filter");
    Rule { users, action, filter, allow }
}

fn any(choices: &mut Choices<'_>) -> Config {
    let seconds = |seconds: Option<u64>| Duration::from_secs(seconds.unwrap_or(30));
    Config {
        receive_maximum: choices.of(&[100, 1, 2, 65_535]).unwrap_or(100),
        maximum_packet_size: choices.of(&[1 << 24, 400, 100, u32::MAX]).unwrap_or(1 << 24),
        topic_alias_maximum: choices.of(&[100, 0, 1]).unwrap_or(100),
        maximum_qos: seldom(choices, &QoS::ALL, QoS::ExactlyOnce),
        granted_qos: seldom(choices, &QoS::ALL, QoS::ExactlyOnce),
        features: features(choices),
        session_expiry: (0, seldom(choices, &[60, 0], u32::MAX)),
        server_keep_alive: seldom(choices, &[Some(60), Some(0), Some(1)], None),
        send_window: choices.of(&[256, 1, 2]).unwrap_or(256),
        queue_limit: choices.of(&[10_000, 0, 1, 3]).unwrap_or(10_000),
        connect_timeout: seconds(choices.of(&[30, 1])),
        timer_grain: Duration::from_millis(choices.of(&[1, 250, 1_000]).unwrap_or(1)),
        handling: handling(choices),
        outbound_alias_maximum: choices.of(&[0, 1, 2]).unwrap_or(0),
        assigns_client_ids: true, // Or an empty identifier would be a refusal for no reason the world knows.
        tells_no_subscribers: !choices.flag(),
        response_information: choices.flag().then(|| ResponseInformation {
            prefix: "answers/".into(),
            for_each_client: choices.flag(),
        }),
        reason_strings: !choices.flag(),
        bounds: bounds(choices),
        // It may come later.
        redirection: None,
        access: if choices.one_in(4) { access(choices) } else { Access::default() },
        reports_published: false,
    }
}

/// Bounds of which some may be met: those that only drop messages. The others refuse what the script takes
/// for granted.
fn bounds(choices: &mut Choices<'_>) -> Bounds {
    let most = Bounds::default();
    Bounds {
        retained_messages: seldom(choices, &[0, 1], most.retained_messages),
        retained_per_subscribe: seldom(choices, &[1, 2], most.retained_per_subscribe),
        queued_bytes_per_session: seldom(choices, &[300], most.queued_bytes_per_session),
        unreleased_per_session: seldom(choices, &[1, 2], most.unreleased_per_session),
        ..most
    }
}

/// What is the same for most inputs, and for some one of a list.
fn seldom<T: Copy>(choices: &mut Choices<'_>, list: &[T], most: T) -> T {
    match choices.one_in(8) {
        true => choices.of(list).unwrap_or(most),
        false => most,
    }
}

fn features(choices: &mut Choices<'_>) -> Features {
    Features {
        retain: !choices.one_in(8),
        wildcards: !choices.one_in(8),
        subscription_identifiers: !choices.one_in(8),
        shared_subscriptions: !choices.one_in(8),
        refused_in_suback: choices.flag(),
    }
}

fn handling(choices: &mut Choices<'_>) -> Handling {
    let sharing = [Sharing::InTurn, Sharing::InTurnAbsentToo, Sharing::TheSame];
    let dollar_topics = [DollarTopics::Refused, DollarTopics::Dropped, DollarTopics::HandedOn];
    Handling {
        copy_for_each_subscription: choices.flag(),
        hands_on_at_release: choices.flag(),
        drops_unreleased: false,
        tells_full_queues: true,
        queues_qos0: choices.flag(),
        retains_qos0: !choices.flag(),
        retained_once_for_subscribe: choices.flag(),
        retain_if_all: choices.flag(),
        drops_lifetime_0: choices.flag(),
        repeats_publish_first: choices.flag(),
        shares_again_at_loss: choices.flag(),
        retained_despite_no_local: choices.flag(),
        clean_start_deletes_will: choices.flag(),
        takeover_deletes_will: choices.flag(),
        sharing: choices.of(&sharing).unwrap_or(Sharing::InTurn),
        dollar_topics: choices.of(&dollar_topics).unwrap_or(DollarTopics::Refused),
        lowest_packet_id_first: choices.flag(),
        counts_wrong_acknowledgements: choices.flag(),
    }
}
