//! What a broker has to be for a script.

use reference_broker::codec::{Properties, PropertyId, QoS};
use reference_broker::core::Config;

use crate::target::Need;

use super::{Act, Step};

/// What a script may need, by its word.
const NEEDS: [(&str, Need); 3] =
    [("users", Need::Users), ("SCRAM", Need::Scram), ("redirection", Need::Redirection)];

/// What a broker has to be for a script: as a target is set up, and what it announces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    /// What it has to be set up with.
    pub needs: Vec<Need>,
    /// What its CONNACK announces.
    pub announced: Properties,
}

impl Conditions {
    /// Of a script with these steps.
    pub fn of(steps: &[Step]) -> Conditions {
        let mut conditions = Conditions::default();
        for step in steps {
            match &step.act {
                Act::Needs(need) => conditions.needs.push(*need),
                Act::Announces(properties) => conditions.announced = properties.clone(),
                _ => {}
            }
        }
        conditions
    }
}

/// The word for what is needed.
pub(super) fn word_of(need: Need) -> &'static str {
    NEEDS.iter().find(|(_, it)| *it == need).map_or("", |(word, _)| word)
}

/// What is needed by this word.
pub(super) fn need_of(word: &str) -> Result<Need, String> {
    let found = NEEDS.iter().find(|(it, _)| *it == word).map(|(_, need)| *need);
    found.ok_or_else(|| {
        let words: Vec<_> = NEEDS.iter().map(|(word, _)| *word).collect();
        format!("unknown need '{word}': expected one of {}", words.join(", "))
    })
}

/// Has the embedded broker announce this.
pub fn announce(announced: &Properties, config: &mut Config) {
    let number = |id| announced.number(id);
    let small = |id| number(id).and_then(|it| u16::try_from(it).ok());
    if let Some(maximum) = small(PropertyId::ReceiveMaximum) {
        config.receive_maximum = maximum;
    }
    if let Some(maximum) = small(PropertyId::TopicAliasMaximum) {
        config.topic_alias_maximum = maximum;
    }
    if let Some(maximum) = number(PropertyId::MaximumPacketSize) {
        config.maximum_packet_size = maximum;
    }
    if let Some(qos) = number(PropertyId::MaximumQoS).and_then(|it| u8::try_from(it).ok()) {
        config.maximum_qos = QoS::from_value(qos).unwrap_or(QoS::ExactlyOnce);
    }
    if let Some(seconds) = small(PropertyId::ServerKeepAlive) {
        config.server_keep_alive = Some(seconds);
    }
    let features = &mut config.features;
    for (id, feature) in [
        (PropertyId::RetainAvailable, &mut features.retain),
        (PropertyId::WildcardSubscriptionAvailable, &mut features.wildcards),
        (PropertyId::SubscriptionIdentifierAvailable, &mut features.subscription_identifiers),
        (PropertyId::SharedSubscriptionAvailable, &mut features.shared_subscriptions),
    ] {
        if let Some(has) = number(id) {
            *feature = has != 0;
        }
    }
}
