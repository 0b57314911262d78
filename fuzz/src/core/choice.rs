//! The choices that the standard leaves to a broker, as an input makes them.

use std::time::Duration;

use reference_broker::codec::QoS;
use reference_broker::core::{
    Access, Bounds, Config, DollarTopics, Features, Handling, ResponseInformation, Sharing,
};

use crate::choices::Choices;

/// A configuration: the default one, or one in which every choice is made anew. The compiler holds
/// it to be complete, so that no new choice is left unplayed.
pub(super) fn config(choices: &mut Choices<'_>) -> Config {
    if !choices.flag() {
        return Config::default();
    }
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
        // Nobody is asked about, sent elsewhere or told: the script has no words for that.
        redirection: None,
        access: Access::default(),
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
    match choices.rarely(8) {
        true => choices.of(list).unwrap_or(most),
        false => most,
    }
}

fn features(choices: &mut Choices<'_>) -> Features {
    Features {
        retain: !choices.rarely(8),
        wildcards: !choices.rarely(8),
        subscription_identifiers: !choices.rarely(8),
        shared_subscriptions: !choices.rarely(8),
        refused_in_suback: choices.flag(),
    }
}

fn handling(choices: &mut Choices<'_>) -> Handling {
    let sharing = [Sharing::InTurn, Sharing::InTurnAbsentToo, Sharing::TheSame];
    let dollar_topics = [DollarTopics::Refused, DollarTopics::Dropped, DollarTopics::HandedOn];
    Handling {
        copy_for_each_subscription: choices.flag(),
        hands_on_at_release: choices.flag(),
        queues_qos0: choices.flag(),
        retains_qos0: !choices.flag(),
        retained_once_for_subscribe: choices.flag(),
        retain_if_all: choices.flag(),
        drops_lifetime_0: choices.flag(),
        repeats_publish_first: choices.flag(),
        shares_again_at_loss: choices.flag(),
        retained_despite_no_local: choices.flag(),
        clean_start_deletes_will: choices.flag(),
        sharing: choices.of(&sharing).unwrap_or(Sharing::InTurn),
        dollar_topics: choices.of(&dollar_topics).unwrap_or(DollarTopics::Refused),
        lowest_packet_id_first: choices.flag(),
        counts_wrong_acknowledgements: choices.flag(),
    }
}
