//! What scripts leave behind on a broker that runs, and its end.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::Duration;

use reference_broker::codec::{Connect, Disconnect, Packet, Publish, Text};
use reference_broker::core::Config;

use crate::target::{Connector, Variant};

use super::{Act, Script, Step, play, play_live};

/// How long is waited for what comes of clearing up, where it matters to nobody.
const PATIENCE: Duration = Duration::from_millis(200);

/// Ends the sessions of a script that was played in its place, and takes back what it had retained.
///
/// # Errors
///
/// When no connection can be opened.
pub async fn clear(placed: &Script, connector: &Connector) -> io::Result<()> {
    let clearing = clearing(placed);
    let expected = play(&clearing, &Variant::default(), &Config::default());
    play_live(&clearing, None, &expected, connector, PATIENCE).await.map(drop)
}

/// What ends the sessions of a script, and takes back the messages that it had retained.
fn clearing(script: &Script) -> Script {
    let mut ids = BTreeMap::<Text, String>::new();
    let mut topics = BTreeSet::<Text>::new();
    for step in &script.steps {
        match &step.act {
            Act::Send(Packet::Connect(connect)) => {
                ids.insert(connect.client_id.clone(), format!("{}.end", step.client()));
                let wills = connect.will.iter().filter(|it| it.retain);
                topics.extend(wills.map(|it| it.topic.clone()));
            }
            Act::Send(Packet::Publish(publish)) if publish.retain => {
                topics.insert(publish.topic.clone());
            }
            _ => {}
        }
    }
    // What has no name, or has wildcards in it, has nothing.
    topics.retain(|topic| !topic.is_empty() && !topic.contains(['+', '#']));
    let mut steps = Vec::new();
    for (id, name) in ids.into_iter().filter(|(id, _)| !id.is_empty()) {
        steps.push(Step::new(&name, Act::Open));
        steps.push(Step::new(&name, Act::Send(Connect::new(id).into())));
        for topic in std::mem::take(&mut topics) {
            let nothing = Publish::new(topic, "").retain();
            steps.push(Step::new(&name, Act::Send(nothing.into())));
        }
        steps.push(Step::new(&name, Act::Send(Packet::Disconnect(Disconnect::default()))));
    }
    Script { steps }
}

#[cfg(test)]
mod tests {
    use super::super::{parse, to_text};
    use super::*;

    #[test]
    fn sessions_are_ended_and_retained_messages_taken_back() {
        let script = r#"a || opened
a -> CONNECT client_id="x" session_expiry_interval=60
a -> PUBLISH "t" retain payload="m"
a -> PUBLISH "t/+" retain payload="m"
"#;
        let expected = r#"a.end || opened
a.end -> CONNECT     client_id="x" clean_start
a.end -> PUBLISH     "t" retain
a.end -> DISCONNECT
"#;
        assert_eq!(to_text(&clearing(&parse(script).unwrap())), expected);
    }
}
