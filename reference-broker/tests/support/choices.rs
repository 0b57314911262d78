//! Any configuration that a broker may have: small limits, so that they are met, and any choices.

use std::time::Duration;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use reference_broker::codec::QoS;
use reference_broker::core::{
    Bounds, Config, DollarTopics, Features, Handling, Redirection, ResponseInformation, Sharing,
};

use super::{bench::Q1, qos};

/// Small limits, so that they are met, and any choices.
pub(crate) fn config() -> impl Strategy<Value = Config> {
    let limits = (select(vec![Q1, QoS::ExactlyOnce]), qos(), 0..3_u32, 0..3_u32);
    let times = (option::of(0..3_u16), select(vec![1_u64, 7, 1_000]));
    (limits, times, features(), handling(), bounds(), offers()).prop_map(
        |(limits, (keep_alive, grain), features, handling, bounds, offers)| {
            let (maximum_qos, granted_qos, least, more) = limits;
            Config {
                receive_maximum: 3,
                maximum_packet_size: 1_000,
                topic_alias_maximum: 2,
                maximum_qos,
                granted_qos,
                features,
                session_expiry: (least, if more == 0 { u32::MAX } else { least + more }),
                server_keep_alive: keep_alive,
                send_window: 4,
                queue_limit: 5,
                connect_timeout: Duration::from_secs(3),
                timer_grain: Duration::from_millis(grain),
                handling,
                bounds,
                outbound_alias_maximum: offers.0,
                assigns_client_ids: offers.1,
                tells_no_subscribers: offers.2,
                reason_strings: offers.3,
                response_information: offers.4,
                reports_published: true,
                ..Config::default()
            }
        },
    )
}

type Offers = (u16, bool, bool, bool, Option<ResponseInformation>);

fn offers() -> impl Strategy<Value = Offers> {
    let information = any::<bool>().prop_map(|for_each_client| ResponseInformation {
        prefix: "answers".into(),
        for_each_client,
    });
    (0..4_u16, any::<bool>(), any::<bool>(), any::<bool>(), option::of(information))
}

pub(crate) fn redirection() -> impl Strategy<Value = Redirection> {
    (any::<bool>(), option::of(Just("elsewhere".into())))
        .prop_map(|(is_permanent, reference)| Redirection { is_permanent, reference })
}

/// Bounds that are met, a few at a time.
fn bounds() -> impl Strategy<Value = Bounds> {
    (vec(option::weighted(0.2, 1..6_usize), 24), 0..8_usize).prop_map(|(few, scale)| {
        let most = Bounds::default();
        let bytes = |few: Option<usize>, most: usize| few.map_or(most, |few| few * 4 + scale);
        Bounds {
            unaccepted_connections: few[0].unwrap_or(most.unaccepted_connections),
            unaccepted_bytes: bytes(few[23], most.unaccepted_bytes),
            connections: few[1].unwrap_or(most.connections),
            sessions: few[2].unwrap_or(most.sessions),
            client_id_bytes: few[3].map_or(most.client_id_bytes, |few| few + 1),
            will_bytes: bytes(few[4], most.will_bytes),
            all_will_bytes: bytes(few[20], most.all_will_bytes),
            filters: few[5].unwrap_or(most.filters),
            subscriptions_per_session: few[6].unwrap_or(most.subscriptions_per_session),
            filter_bytes_per_session: bytes(few[7], most.filter_bytes_per_session),
            filter_bytes: bytes(few[21], most.filter_bytes),
            subscriptions: few[8].unwrap_or(most.subscriptions),
            topic_levels: few[9].unwrap_or(most.topic_levels),
            properties: few[10].unwrap_or(most.properties),
            retained_messages: few[11].unwrap_or(most.retained_messages),
            retained_bytes: bytes(few[12], most.retained_bytes),
            retained_per_subscribe: few[13].unwrap_or(most.retained_per_subscribe),
            retained_search_per_subscribe: bytes(few[19], most.retained_search_per_subscribe),
            queued_bytes_per_session: bytes(few[14], most.queued_bytes_per_session),
            queued_bytes: bytes(few[15], most.queued_bytes),
            unreleased_per_session: few[16].unwrap_or(most.unreleased_per_session),
            unreleased_bytes_per_session: bytes(few[17], most.unreleased_bytes_per_session),
            alias_bytes: bytes(few[18], most.alias_bytes),
            all_alias_bytes: bytes(few[22], most.all_alias_bytes),
        }
    })
}

fn features() -> impl Strategy<Value = Features> {
    vec(prop::bool::weighted(0.8), 5).prop_map(|has| Features {
        retain: has[0],
        wildcards: has[1],
        subscription_identifiers: has[2],
        shared_subscriptions: has[3],
        refused_in_suback: has[4],
    })
}

fn handling() -> impl Strategy<Value = Handling> {
    let sharing = select(vec![Sharing::InTurn, Sharing::InTurnAbsentToo, Sharing::TheSame]);
    let dollars =
        select(vec![DollarTopics::Refused, DollarTopics::Dropped, DollarTopics::HandedOn]);
    (vec(any::<bool>(), 16), sharing, dollars).prop_map(|(is, sharing, dollar_topics)| Handling {
        copy_for_each_subscription: is[0],
        hands_on_at_release: is[1],
        drops_unreleased: is[14],
        tells_full_queues: is[15],
        queues_qos0: is[2],
        retains_qos0: is[3],
        retained_despite_no_local: is[4],
        clean_start_deletes_will: is[5],
        sharing,
        dollar_topics,
        lowest_packet_id_first: is[6],
        retained_once_for_subscribe: is[7],
        retain_if_all: is[8],
        drops_lifetime_0: is[9],
        repeats_publish_first: is[10],
        shares_again_at_loss: is[11],
        counts_wrong_acknowledgements: is[12],
        takeover_deletes_will: is[13],
    })
}
