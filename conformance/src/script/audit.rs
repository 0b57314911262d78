//! What a script ends with so that hidden state is seen.

use std::collections::{BTreeMap, BTreeSet};

use reference_broker::codec::{
    Connect, Disconnect, Packet, PropertyId, Publish, QoS, RetainHandling, Subscribe,
    SubscriptionOptions, Text,
};

use super::{Act, Script, Step, client_of};

/// Who looks at retained messages, and sends to see who is subscribed.
const AUDITOR: &str = "auditor";

/// For how many seconds the sessions of clients that come back are kept: longer than an audit takes.
const KEPT: u32 = 600;

/// No more topics are asked about than these.
const TOPICS: usize = 24;

/// The steps that show what a script has left behind: each client comes back to its session once and
/// takes what waits there, retained messages are read, and a message on each topic shows who is
/// subscribed to it. Then nothing is left.
pub fn audit(script: &Script) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut back = Vec::new();
    for (client, client_id) in client_ids(script) {
        let name = next_connection(script, &client);
        let connect = Connect::new(client_id).resume().session_expiry(KEPT);
        steps.extend([
            Step::new(&name, Act::Open),
            Step::new(&name, Act::Acknowledges),
            Step::new(&name, Act::Send(connect.into())),
        ]);
        back.push(name);
    }
    let mut add = |act: Act| steps.push(Step::new(AUDITOR, act));
    let options = SubscriptionOptions {
        retain_as_published: true,
        retain_handling: RetainHandling::Send,
        ..SubscriptionOptions::at(QoS::ExactlyOnce)
    };
    let all = Subscribe { subscriptions: Vec::new(), ..Subscribe::new(1, "", QoS::AtMostOnce) };
    add(Act::Open);
    add(Act::Acknowledges);
    add(Act::Send(Connect::new("~auditor").into()));
    add(Act::Send(all.and("~/#", options).into()));
    for (number, topic) in (2..).zip(topics(script).into_iter().take(TOPICS)) {
        let probe = Publish::new(topic.clone(), format!("probe {number}"));
        add(Act::Send(probe.qos(QoS::AtLeastOnce, number).into()));
    }
    for name in back {
        let packet = Disconnect::default();
        steps.push(Step::new(&name, Act::Send(end_session(packet).into())));
    }
    for topic in retained(script) {
        let nothing = Publish::new(topic, "").retain();
        steps.push(Step::new(AUDITOR, Act::Send(nothing.into())));
    }
    steps.push(Step::new(AUDITOR, Act::Send(Packet::Disconnect(Disconnect::default()))));
    steps
}

fn end_session(mut packet: Disconnect) -> Disconnect {
    packet.properties.push(PropertyId::SessionExpiryInterval, 0);
    packet
}

/// The Client Identifier that each client used last, where it had one.
fn client_ids(script: &Script) -> BTreeMap<String, Text> {
    let mut ids = BTreeMap::new();
    for step in &script.steps {
        if let Act::Send(Packet::Connect(connect)) = &step.act
            && !connect.client_id.is_empty()
        {
            ids.insert(step.client().to_owned(), connect.client_id.clone());
        }
    }
    ids
}

/// A name for one more connection of a client.
fn next_connection(script: &Script, client: &str) -> String {
    let names = script.steps.iter().map(|step| step.connection.as_str());
    let own = names.filter(|name| client_of(name) == client);
    let last = own.map(|name| {
        name.rsplit_once('.').and_then(|(_, number)| number.parse::<u32>().ok()).unwrap_or(1)
    });
    format!("{client}.{}", last.max().unwrap_or(0) + 1)
}

/// The topics that clients have sent to.
fn topics(script: &Script) -> BTreeSet<Text> {
    let mut topics = BTreeSet::new();
    for step in &script.steps {
        match &step.act {
            Act::Send(Packet::Publish(publish)) if is_name(&publish.topic) => {
                topics.insert(publish.topic.clone());
            }
            Act::Send(Packet::Connect(connect)) => {
                let wills = connect.will.iter().map(|will| &will.topic);
                topics.extend(wills.filter(|topic| is_name(topic)).cloned());
            }
            _ => {}
        }
    }
    topics
}

/// The topics that may hold a message.
fn retained(script: &Script) -> BTreeSet<Text> {
    let mut topics = BTreeSet::new();
    for step in &script.steps {
        match &step.act {
            Act::Send(Packet::Publish(publish)) if publish.retain => {
                topics.insert(publish.topic.clone());
            }
            Act::Send(Packet::Connect(connect)) => {
                let wills = connect.will.iter().filter(|will| will.retain);
                topics.extend(wills.map(|will| will.topic.clone()));
            }
            _ => {}
        }
    }
    topics.retain(|topic| is_name(topic));
    topics
}

fn is_name(topic: &str) -> bool {
    topic.starts_with('~') && !topic.contains(['+', '#'])
}
