//! What CONNACK says, how clients are named, and how long their sessions are kept.

use std::collections::BTreeSet;

use reference_broker::codec::{ConnAck, Connect, Fault, Packet, PropertyId, ReasonCode, Value};
use reference_broker::core::{ConnectionId, Input, ResponseInformation};

use super::{Switch, fits};
use crate::boundary::rules::{self, At};
use crate::boundary::{Boundary, Rule, Rules};

/// What stands before an assigned Client Identifier.
const ASSIGNED: &str = "auto-7F3A9C52-0000-4e1b-8d6a-\u{e9}/";

/// The only Client Identifiers that a server must take have no more bytes than this.
const SHORT: usize = 23;

/// Scenarios about assigned Client Identifiers.
const ON_ASSIGNED: &[&str] = &[
    "3.1/empty-client-id-is-replaced",
    "3.1/assigned-ids-differ",
    "3.1/assigned-id-resumes",
    "3.1/assigned-id-taken-over",
];

pub(super) const SWITCHES: &[Switch] = &[
    Switch::new(
        "assigns-long-client-identifiers",
        "assigns Client Identifiers that are long and hold characters beyond ASCII",
        &["MQTT-3.1.3-6", "U-3.1.3.1-1", "U-3.1.3.1-2"],
    )
    .one_of(&["empty client identifiers"])
    .ruled(assigned),
    Switch::new(
        "refuses-empty-client-identifiers",
        "refuses a CONNECT without a Client Identifier",
        &["MQTT-3.1.3-6", "U-3.2.2.2-8"],
    )
    .one_of(&["empty client identifiers"])
    .leaves_out(ON_ASSIGNED)
    .configured(|config| config.assigns_client_ids = false),
    Switch::new(
        "refuses-long-client-identifiers",
        "refuses Client Identifiers of more than 23 bytes",
        &["MQTT-3.1.3-5", "U-3.1.3.1-1", "U-3.2.2.2-8"],
    )
    .one_of(&["empty client identifiers"])
    .configured(|config| config.bounds.client_id_bytes = SHORT),
    Switch::new(
        "refuses-unusual-client-identifiers",
        "refuses Client Identifiers of more than 23 bytes or of other than digits and letters",
        &["MQTT-3.1.3-5", "U-3.1.3.1-1", "U-3.1.3.1-2", "U-3.2.2.2-8"],
    )
    .one_of(&["empty client identifiers"])
    .leaves_out(&["1.5/byte-order-mark-in-client-id"])
    .ruled(|| vec![refuses_unusual()]),
    Switch::new(
        "keeps-no-session-under-assigned-identifiers",
        "ends a session under an assigned Client Identifier with its connection, and says so",
        &["U-3.2.2.3.2-2"],
    )
    .one_of(&["session expiry"])
    .leaves_out(&["3.1/assigned-id-resumes"])
    .ruled(forgets_assigned),
    Switch::new(
        "serves-other-versions",
        "accepts a CONNECT of any protocol version",
        &["MQTT-3.1.2-2", "U-4.13.1-1", "U-3.1.4-1"],
    )
    .forgoes(&["U-4.13.1-1"])
    .ruled(|| vec![any_version()]),
    Switch::new(
        "discards-large-connacks",
        "sends every property of CONNACK, and none to a client that does not take one as large",
        &["MQTT-3.1.2-24", "MQTT-3.1.2-25"],
    )
    .one_of(&["first packet", "keep alive"])
    .ruled(|| vec![spells_out_or_is_silent()]),
    Switch::new(
        "spells-defaults-out",
        "sends every property of CONNACK, those with the value that their absence means too",
        &["3.2.2.3"],
    )
    .ruled(|| vec![spells_out()]),
    Switch::new(
        "gives-response-information",
        "returns Response Information to every client that requests it",
        &["U-3.1.2.11.6-3", "U-3.2.2.3.15-2"],
    )
    .one_of(&["response information"])
    .configured(|config| config.response_information = Some(answers(false))),
    Switch::new(
        "gives-each-client-response-information",
        "returns Response Information with the Client Identifier to every client that requests it",
        &["U-3.1.2.11.6-3", "U-3.2.2.3.15-2"],
    )
    .one_of(&["response information"])
    .configured(|config| config.response_information = Some(answers(true))),
    Switch::new(
        "keeps-sessions-for-a-minute",
        "keeps no session for longer than a minute, and says so",
        &["U-3.2.2.3.2-2"],
    )
    .one_of(&["session expiry"])
    .limits()
    .configured(|config| config.session_expiry = (0, 60)),
    Switch::new(
        "keeps-sessions-for-ten-seconds",
        "keeps no session for longer than ten seconds, and says so",
        &["U-3.2.2.3.2-2"],
    )
    .one_of(&["session expiry"])
    .limits()
    .configured(|config| config.session_expiry = (0, 10)),
    Switch::new(
        "keeps-sessions-for-a-second",
        "keeps no session for longer than a second, and says so",
        &["U-3.2.2.3.2-2"],
    )
    .one_of(&["session expiry", "lag"])
    .limits()
    .configured(|config| config.session_expiry = (0, 1)),
    Switch::new(
        "keeps-sessions-for-five-seconds-at-least",
        "keeps every session for five seconds at least, and says so",
        &["U-3.2.2.3.2-2"],
    )
    .one_of(&["session expiry"])
    .limits()
    .configured(|config| config.session_expiry = (5, u32::MAX)),
    Switch::new(
        "keeps-sessions-for-half-a-minute-at-least",
        "keeps every session for half a minute at least, and says so",
        &["U-3.2.2.3.2-2"],
    )
    .one_of(&["session expiry"])
    .limits()
    .configured(|config| config.session_expiry = (30, u32::MAX)),
    Switch::new(
        "names-another-server",
        "gives every client that it accepts a Server Reference",
        &["3.2.2.3.16"],
    )
    .ruled(|| vec![names_another_server()]),
    Switch::new(
        "keeps-no-sessions",
        "ends every session with its connection, and says so",
        &["U-3.2.2.3.2-2"],
    )
    .one_of(&["session expiry"])
    .limits()
    .configured(|config| config.session_expiry = (0, 0)),
    Switch::new(
        "keeps-sessions-for-an-hour-at-least",
        "keeps every session for an hour at least, and says so",
        &["U-3.2.2.3.2-2"],
    )
    .one_of(&["session expiry"])
    .limits()
    .configured(|config| config.session_expiry = (3600, u32::MAX)),
    Switch::new(
        "keep-alive-of-a-minute",
        "has clients keep a Keep Alive of a minute, whatever they ask for",
        &["3.2.2.3.14", "MQTT-3.2.2-22"],
    )
    .one_of(&["keep alive"])
    .limits()
    .configured(|config| config.server_keep_alive = Some(60)),
    Switch::new(
        "keep-alive-of-5-seconds",
        "has clients keep a Keep Alive of 5 s, whatever they ask for",
        &["3.2.2.3.14", "MQTT-3.2.2-22"],
    )
    .one_of(&["keep alive"])
    .limits()
    .configured(|config| config.server_keep_alive = Some(5)),
    Switch::new(
        "keep-alive-of-3-seconds",
        "has clients keep a Keep Alive of 3 s, whatever they ask for",
        &["3.2.2.3.14", "MQTT-3.2.2-22"],
    )
    .one_of(&["keep alive"])
    .limits()
    .configured(|config| config.server_keep_alive = Some(3)),
    Switch::new(
        "keep-alive-of-a-second",
        "has clients keep a Keep Alive of a second, whatever they ask for",
        &["3.2.2.3.14", "MQTT-3.2.2-22"],
    )
    .one_of(&["keep alive", "lag"])
    .limits()
    .configured(|config| config.server_keep_alive = Some(1)),
    Switch::new(
        "keep-alive-off",
        "has no Keep Alive, whatever clients ask for",
        &["3.2.2.3.14", "U-3.1.2.10-5"],
    )
    .one_of(&["keep alive"])
    .limits()
    .configured(|config| config.server_keep_alive = Some(0)),
];

/// Adds a Server Reference to a CONNACK that accepts, where the client can take that.
fn names_another_server() -> Box<dyn Rule> {
    rules::writes(|packet, at| {
        let Packet::ConnAck(connack) = &*packet else { return };
        if !connack.reason.is_error() {
            let more = connack.clone().with(PropertyId::ServerReference, "elsewhere.example:1883");
            let more = Packet::from(more);
            if fits(&more, at) {
                *packet = more;
            }
        }
    })
}

/// Topics for answers.
fn answers(for_each_client: bool) -> ResponseInformation {
    ResponseInformation { prefix: "mqttspec/answers/".into(), for_each_client }
}

/// Assigned Client Identifiers of another form; clients may come back under them.
fn assigned() -> Rules {
    let outward = rules::writes(|packet, _| {
        let Packet::ConnAck(connack) = packet else { return };
        let id = PropertyId::AssignedClientIdentifier;
        if let Some(assigned) = connack.properties.text(id) {
            let longer = format!("{ASSIGNED}{}", &**assigned);
            connack.properties.set(id, longer);
        }
    });
    let inward = rules::reads(|packet, _| {
        if let Packet::Connect(connect) = packet
            && let Some(own) = connect.client_id.strip_prefix(ASSIGNED)
        {
            connect.client_id = own.into();
        }
    });
    vec![outward, inward]
}

/// Refuses first CONNECT packets with an unusual Client Identifier.
fn refuses_unusual() -> Box<dyn Rule> {
    let is_unusual =
        |id: &str| id.len() > SHORT || !id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    rules::inward(move |packet, at, act| match &packet {
        Packet::Connect(connect) if is_first(at) && is_unusual(&connect.client_id) => {
            act.send(ConnAck::new(false, ReasonCode::ClientIdentifierNotValid));
            act.close();
        }
        _ => act.receive(packet),
    })
}

/// Ends sessions under assigned Client Identifiers with their connections.
fn forgets_assigned() -> Rules {
    let expiry = PropertyId::SessionExpiryInterval;
    let forgets = rules::through(
        BTreeSet::new(),
        move |asked: &mut BTreeSet<ConnectionId>, mut packet, at, act| {
            if let Packet::Connect(connect) = &mut packet
                && connect.client_id.is_empty()
                && connect.properties.number(expiry).is_some_and(|seconds| seconds > 0)
            {
                connect.properties.set(expiry, 0);
                asked.insert(at.connection);
            }
            act.receive(packet);
        },
        move |asked, mut packet, at, act| {
            if let Packet::ConnAck(connack) = &mut packet
                && asked.remove(&at.connection)
                && !connack.reason.is_error()
            {
                connack.properties.set(expiry, 0);
            }
            act.send(packet);
        },
    );
    vec![forgets]
}

/// Takes a CONNECT of another protocol version for one of this.
fn any_version() -> Box<dyn Rule> {
    let inward = |(): &mut (), input, boundary: &mut Boundary<'_>| match input {
        Input::Malformed(id, _, error)
            if matches!(error.fault, Fault::UnsupportedProtocolVersion(_)) =>
        {
            let connect = Connect::new(format!("other{}", id.0));
            boundary.pass(Input::Received(id, connect.into()));
        }
        _ => boundary.pass(input),
    };
    rules::crossing((), inward, |(), output, boundary| boundary.emit(output))
}

/// Completes a CONNACK that accepts, and discards it where that is more than the client takes.
fn spells_out_or_is_silent() -> Box<dyn Rule> {
    rules::outward(|mut packet, at, act| {
        if let (Packet::ConnAck(connack), Some(client)) = (&mut packet, at.client())
            && !connack.reason.is_error()
        {
            spell_out(&client.connect, connack);
            if !fits(&packet, at) {
                return;
            }
        }
        act.send(packet);
    })
}

/// Whether nothing has been answered on the connection so far.
fn is_first(at: At<'_>) -> bool {
    at.client().is_some_and(|client| !client.accepted)
}

/// Completes a CONNACK that accepts, where the client can take what comes of it.
fn spells_out() -> Box<dyn Rule> {
    rules::writes(move |packet, at| {
        let (Packet::ConnAck(connack), Some(client)) = (&*packet, at.client()) else { return };
        if connack.reason.is_error() {
            return;
        }
        let mut more = connack.clone();
        spell_out(&client.connect, &mut more);
        let more = Packet::from(more);
        if fits(&more, at) {
            *packet = more;
        }
    })
}

fn spell_out(connect: &Connect, connack: &mut ConnAck) {
    let expiry = connect.properties.number(PropertyId::SessionExpiryInterval);
    for (id, value) in [
        (PropertyId::SessionExpiryInterval, expiry.unwrap_or(0)),
        (PropertyId::ServerKeepAlive, u32::from(connect.keep_alive)),
        (PropertyId::RetainAvailable, 1),
        (PropertyId::WildcardSubscriptionAvailable, 1),
        (PropertyId::SubscriptionIdentifierAvailable, 1),
        (PropertyId::SharedSubscriptionAvailable, 1),
        (PropertyId::ReceiveMaximum, u32::from(u16::MAX)),
        (PropertyId::TopicAliasMaximum, 0),
    ] {
        if !connack.properties.contains(id) {
            connack.properties.push(id, Value::Number(value));
        }
    }
}
