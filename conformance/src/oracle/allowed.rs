use std::collections::{BTreeMap, BTreeSet};

use reference_broker::codec::{
    ConnAck, Connect, Packet, Properties, PropertyId, Publish, QoS, SubscribeAck,
};

use super::connections::{Connection, Reading, Received};
use super::{Findings, Oracle};
use crate::trace::packet_text;

pub(super) const ORACLE: Oracle = Oracle {
    name: "allowed",
    holds: "The broker sends no property or code that the client's packets rule out",
    requirements: &[
        "MQTT-3.1.2-26",
        "MQTT-3.1.2-27",
        "MQTT-3.1.2-28",
        "MQTT-3.1.2-29",
        "MQTT-3.2.2-16",
        "MQTT-3.8.4-7",
        "MQTT-4.12.0-5",
        "MQTT-4.12.0-6",
        "U-3.3.4-8",
    ],
    judge,
};

fn judge(reading: &Reading<'_>, findings: &mut Findings) {
    for connection in &reading.connections {
        let Some((_, connect)) = connection.connect() else { continue };
        let mut against = Against { connect, findings, aliases: Some(BTreeSet::new()) };
        let asked = connection.unclear_from.is_none().then(|| levels_asked_for(connection));
        for (at, received) in &connection.received {
            match received {
                Received::Packet(packet) => against.packet(*at, packet, asked.as_ref()),
                // It may have set an alias.
                Received::Broken(..) => against.aliases = None,
            }
        }
    }
}

/// By Packet Identifier, the places of SUBSCRIBE packets with the levels that they ask for; an
/// identifier may be used again.
type Asked = BTreeMap<u16, Vec<(usize, Vec<QoS>)>>;

fn levels_asked_for(connection: &Connection<'_>) -> Asked {
    let mut asked = Asked::new();
    for (at, sent) in &connection.sent {
        if let Some(Packet::Subscribe(subscribe)) = sent.packet() {
            let levels = subscribe.subscriptions.iter().map(|one| one.options.maximum_qos);
            asked.entry(subscribe.packet_id).or_default().push((*at, levels.collect()));
        }
    }
    asked
}

/// What a connection's packets are held against.
struct Against<'a> {
    connect: &'a Connect,
    findings: &'a mut Findings,
    /// The aliases that the broker has set; none if that cannot be told.
    aliases: Option<BTreeSet<u32>>,
}

impl Against<'_> {
    fn packet(&mut self, at: usize, packet: &Packet, asked: Option<&Asked>) {
        let mut add = |requirement, expected: &str| {
            self.findings.add(requirement, at, expected, packet_text(packet));
        };
        match packet {
            Packet::ConnAck(connack) => judge_connack(self.connect, connack, add),
            Packet::Auth(auth) => judge_method(self.connect, &auth.properties, add),
            Packet::Publish(publish) => {
                judge_alias(self.connect, publish, &mut self.aliases, add);
            }
            Packet::SubAck(suback)
                if asked.is_some_and(|asked| grants_too_much(asked, at, suback)) =>
            {
                add("MQTT-3.8.4-7", "no QoS above the one asked for"); // MQTT-3.8.4-7
            }
            _ => {}
        }
        if says_too_much(self.connect, packet) {
            let expected =
                "no Reason String and no User Property, as Request Problem Information 0 asks";
            self.findings.add("MQTT-3.1.2-29", at, expected, packet_text(packet)); // MQTT-3.1.2-29
        }
    }
}

fn judge_connack(connect: &Connect, connack: &ConnAck, mut add: impl FnMut(&'static str, &str)) {
    let has = |id| connack.properties.contains(id);
    let requests = connect.properties.number(PropertyId::RequestResponseInformation);
    if has(PropertyId::ResponseInformation) && requests != Some(1) {
        add("MQTT-3.1.2-28", "no Response Information without a request"); // MQTT-3.1.2-28
    }
    let accepts = !connack.reason.is_error();
    let method = connect.properties.text(PropertyId::AuthenticationMethod);
    if method.is_none() && has(PropertyId::AuthenticationMethod) {
        add("MQTT-4.12.0-6", "no Authentication Method, as in CONNECT"); // MQTT-4.12.0-6
    } else if accepts {
        judge_method(connect, &connack.properties, &mut add);
    }
    let is_assigned = has(PropertyId::AssignedClientIdentifier);
    if connect.client_id.is_empty() && accepts && !is_assigned {
        add("MQTT-3.2.2-16", "an Assigned Client Identifier for one of no length"); // MQTT-3.2.2-16
    }
}

fn judge_method(
    connect: &Connect,
    properties: &Properties,
    mut add: impl FnMut(&'static str, &str),
) {
    let asked = connect.properties.text(PropertyId::AuthenticationMethod);
    if asked.is_some() && properties.text(PropertyId::AuthenticationMethod) != asked {
        add("MQTT-4.12.0-5", "the Authentication Method of CONNECT"); // MQTT-4.12.0-5
    }
}

fn judge_alias(
    connect: &Connect,
    publish: &Publish,
    aliases: &mut Option<BTreeSet<u32>>,
    mut add: impl FnMut(&'static str, &str),
) {
    let Some(alias) = publish.properties.number(PropertyId::TopicAlias) else { return };
    let maximum = connect.properties.number(PropertyId::TopicAliasMaximum).unwrap_or(0);
    if maximum == 0 {
        add("MQTT-3.1.2-27", "no Topic Alias, as the client takes none"); // MQTT-3.1.2-27
    } else if alias > maximum {
        add("MQTT-3.1.2-26", &format!("no Topic Alias above {maximum}")); // MQTT-3.1.2-26
    }
    let Some(known) = aliases else { return };
    if !publish.topic.is_empty() {
        known.insert(alias);
    } else if !known.contains(&alias) {
        add("U-3.3.4-8", "a Topic Name with a Topic Alias that has none yet"); // U-3.3.4-8
    }
}

/// Whether a SUBACK grants more than all requests that it may answer ask for.
fn grants_too_much(asked: &Asked, at: usize, suback: &SubscribeAck) -> bool {
    let requests = asked.get(&suback.packet_id).into_iter().flatten();
    let mut requests = requests.filter(|(sent, _)| *sent < at).peekable();
    requests.peek().is_some()
        && requests.all(|(_, levels)| {
            // With another number of codes than filters it cannot be told what is for what.
            levels.len() == suback.reasons.len()
                && suback
                    .reasons
                    .iter()
                    .zip(levels)
                    .any(|(reason, asked)| !reason.is_error() && reason.value() > asked.value())
        })
}

/// Whether a packet explains itself to a client that asked for no explanations.
fn says_too_much(connect: &Connect, packet: &Packet) -> bool {
    let may_explain =
        matches!(packet, Packet::Publish(_) | Packet::ConnAck(_) | Packet::Disconnect(_));
    let explains = packet.properties().is_some_and(|properties| {
        properties.contains(PropertyId::ReasonString)
            || properties.contains(PropertyId::UserProperty)
    });
    let asked = connect.properties.number(PropertyId::RequestProblemInformation);
    !may_explain && explains && asked == Some(0)
}
