//! What clients say, as an input chooses it.

use bytes::Bytes;
use reference_broker::codec::{
    Auth, Connect, PropertyId, Publish, QoS, ReasonCode, Side, Subscribe, SubscriptionOptions,
    Text, Unsubscribe, Will,
};
use reference_broker::core::ConnectionId;

use super::act;
use super::choice::{METHOD, USERS};
use super::client::{Identity, Verdict};
use super::script::{SECONDS, Script};
use crate::choices::Choices;
use crate::packet::{options, qos};

const TOPICS: [&str; 8] = ["a", "a/b", "b", "a/b/c", "a", "a/b", "b", "$a/b"];
const FILTERS: [&str; 16] = [
    "#",
    "a",
    "a/#",
    "+/b",
    "a/b",
    "+",
    "b",
    "$share/g/#",
    "$share/g/a/#",
    "$share/h/a/b",
    "a/+/c",
    "$share/g/+",
    "$a/#",
    "a#",
    "",
    "$share/g",
];
const SHARED: [&str; 4] = ["$share/g/#", "$share/g/a/#", "$share/h/a/b", "$share/h/a/#"];
/// Will Delay Intervals and Message Expiry Intervals.
const SOON: [u32; 7] = [1, 0, 2, 4, 10, 3_600, u32::MAX];

impl Script<'_> {
    pub(super) fn connect_anyhow(&mut self, name: Text, choices: &mut Choices<'_>) -> Connect {
        let mut connect = Connect::new(name);
        connect.clean_start = choices.one_in(4);
        connect.keep_alive = choices.of(&[0, 1, 4, 60]).unwrap_or_default();
        let size = [1 << 20, 100, 60, 40, 30, 5];
        let lists: [(PropertyId, &[u32]); 6] = [
            (PropertyId::SessionExpiryInterval, &SECONDS),
            (PropertyId::ReceiveMaximum, &[1, 2, 3, 10, 65_535]),
            (PropertyId::MaximumPacketSize, &size),
            (PropertyId::TopicAliasMaximum, &[0, 1, 5]),
            (PropertyId::RequestProblemInformation, &[0, 1]),
            (PropertyId::RequestResponseInformation, &[1, 0]),
        ];
        for (id, list) in lists {
            let number = usize::from(choices.byte()) % (list.len() + 1);
            if let Some(number) = number.checked_sub(1).and_then(|number| list.get(number)) {
                connect.properties.push(id, *number);
            }
        }
        connect.will = choices.flag().then(|| self.will(choices));
        connect
    }

    /// Who a client says it is.
    pub(super) fn identity(&self, connect: &mut Connect, choices: &mut Choices<'_>) -> Identity {
        if self.world.broker.config().access.methods.is_empty() && !choices.one_in(16) {
            return Identity::default();
        }
        let user = choices.byte() % 3;
        let user = usize::from(user).checked_sub(1).map(|number| Text::from(USERS[number]));
        let verdicts = [
            Verdict::Accepted,
            Verdict::Accepted,
            Verdict::GoesOn,
            Verdict::Later,
            Verdict::Refused,
        ];
        let verdict = choices.of(&verdicts).unwrap_or_default();
        if choices.flag() {
            connect.properties.push(PropertyId::AuthenticationMethod, METHOD);
            connect.properties.push(PropertyId::AuthenticationData, &b"first"[..]);
        }
        connect.user_name.clone_from(&user);
        Identity { user, verdict }
    }

    /// AUTH: before CONNACK what comes next, later what begins anew, unless the input has it otherwise.
    pub(super) fn send_auth(&mut self, id: ConnectionId, choices: &mut Choices<'_>) {
        let Some(wire) = self.world.wires.get_mut(&id) else { return };
        let connected = wire.client.is_connected();
        let reason = match connected != choices.one_in(3) {
            true => ReasonCode::ReAuthenticate,
            false => ReasonCode::ContinueAuthentication,
        };
        let verdicts = [Verdict::Accepted, Verdict::GoesOn, Verdict::Refused, Verdict::Later];
        wire.client.identity.verdict = choices.of(&verdicts).unwrap_or_default();
        if choices.one_in(8) {
            wire.client.identity.user = Some(USERS[0].into());
        }
        let mut auth = Auth::new(reason);
        let method = if choices.one_in(8) { "n" } else { METHOD };
        auth.properties.push(PropertyId::AuthenticationMethod, method);
        auth.properties.push(PropertyId::AuthenticationData, &b"next"[..]);
        self.world.send(id, auth);
    }

    pub(super) fn will(&mut self, choices: &mut Choices<'_>) -> Will {
        let delay = choices.of(&SOON).unwrap_or_default();
        let mut will = Will::new(self.topic(choices), self.will_payload()).qos(qos(choices));
        will.retain = choices.flag();
        if delay > 0 {
            will.properties.push(PropertyId::WillDelayInterval, delay);
        }
        if choices.one_in(4) {
            let seconds = choices.of(&SOON).unwrap_or_default();
            will.properties.push(PropertyId::MessageExpiryInterval, seconds);
        }
        will
    }

    fn topic(&self, choices: &mut Choices<'_>) -> Text {
        Text::from(choices.of(&TOPICS).unwrap_or_default())
    }

    /// A payload that nobody else has, or none.
    fn payload(&mut self, choices: &mut Choices<'_>) -> String {
        self.messages += 1;
        let number = self.messages;
        match choices.byte() % 16 {
            14 => format!("m{number:0300}"),
            15 => String::new(),
            _ => format!("m{number}"),
        }
    }

    /// A payload that no other message has.
    pub(super) fn will_payload(&mut self) -> Bytes {
        self.messages += 1;
        format!("will {}", self.messages).into()
    }

    pub(super) fn publish(&mut self, id: ConnectionId, act: u8, choices: &mut Choices<'_>) {
        let mut publish = Publish::new(self.topic(choices), self.payload(choices));
        let qos = match act {
            act::PUBLISH_0 => QoS::AtMostOnce,
            act::PUBLISH_1 => QoS::AtLeastOnce,
            act::PUBLISH_2 => QoS::ExactlyOnce,
            // The plainest one is kept for who is not there.
            _ => {
                let levels = [QoS::AtLeastOnce, QoS::ExactlyOnce, QoS::AtMostOnce];
                choices.of(&levels).unwrap_or_default()
            }
        };
        let Some(wire) = self.world.wires.get_mut(&id) else { return };
        let packet_id = match qos {
            QoS::AtMostOnce => 0,
            _ => wire.client.fresh_id(),
        };
        publish = publish.qos(qos, packet_id);
        let is_any = act == act::PUBLISH_ANYHOW;
        publish.retain = act == act::PUBLISH_RETAINED || is_any && choices.flag();
        if act == act::PUBLISH_WITH_ALIAS || is_any && choices.one_in(4) {
            let alias = choices.of(&[1, 1, 2, 100, 101]).unwrap_or(1);
            publish.properties.push(PropertyId::TopicAlias, alias);
        }
        if act == act::PUBLISH_SHORT_LIVED || is_any && choices.flag() {
            let seconds = choices.of(&SOON).unwrap_or_default();
            publish.properties.push(PropertyId::MessageExpiryInterval, seconds);
        }
        if choices.one_in(8) {
            publish.properties.push(PropertyId::UserProperty, ("k", "v"));
            publish.properties.push(PropertyId::CorrelationData, &b"c"[..]);
        }
        self.world.send(id, publish);
    }

    pub(super) fn publish_by_alias(&mut self, id: ConnectionId, choices: &mut Choices<'_>) {
        let alias = choices.of(&[1, 2, 100]).unwrap_or(1);
        let qos = qos(choices);
        let mut publish = Publish::new("", self.payload(choices));
        let Some(wire) = self.world.wires.get_mut(&id) else { return };
        let packet_id = if qos == QoS::AtMostOnce { 0 } else { wire.client.fresh_id() };
        publish = publish.qos(qos, packet_id);
        publish.retain = choices.one_in(4);
        publish.properties.push(PropertyId::TopicAlias, alias);
        self.world.send(id, publish);
    }

    /// A PUBLISH as it should not be: its Packet Identifier, its flags, its properties.
    pub(super) fn publish_wildly(&mut self, id: ConnectionId, choices: &mut Choices<'_>) {
        let mut publish = crate::packet::publish(choices, Side::Client);
        publish.topic = self.topic(choices);
        if choices.flag() {
            publish.packet_id = 1 + publish.packet_id % 4;
        }
        self.world.send_wild(id, publish);
    }

    pub(super) fn subscribe(&mut self, id: ConnectionId, act: u8, choices: &mut Choices<'_>) {
        let Some(wire) = self.world.wires.get_mut(&id) else { return };
        let mut subscribe = Subscribe {
            packet_id: wire.client.fresh_id(),
            properties: Default::default(),
            subscriptions: Vec::new(),
        };
        let filters = if act == act::SUBSCRIBE_SHARED { &SHARED[..] } else { &FILTERS };
        let count = if act == act::SUBSCRIBE_ANYHOW { 1 + choices.below(3) } else { 1 };
        for _ in 0..count {
            let filter = choices.of(filters).unwrap_or("#");
            let mut options = match act {
                act::SUBSCRIBE_WITH | act::SUBSCRIBE_ANYHOW => options(choices),
                _ => SubscriptionOptions::at(QoS::ExactlyOnce),
            };
            options.no_local &= !filter.starts_with("$share/") || choices.one_in(16);
            subscribe = subscribe.and(filter, options);
        }
        let identifier = u32::from(choices.byte() % 4);
        if identifier > 0 {
            subscribe.properties.push(PropertyId::SubscriptionIdentifier, identifier);
        }
        self.world.send_wild(id, subscribe);
    }

    pub(super) fn unsubscribe(&mut self, id: ConnectionId, choices: &mut Choices<'_>) {
        let Some(wire) = self.world.wires.get_mut(&id) else { return };
        let packet_id = wire.client.fresh_id();
        let mut unsubscribe = Unsubscribe::new(packet_id, choices.of(&FILTERS).unwrap_or("#"));
        if choices.flag() {
            unsubscribe = unsubscribe.and(choices.of(&FILTERS).unwrap_or("#"));
        }
        self.world.send_wild(id, unsubscribe);
    }
}
