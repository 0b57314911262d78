//! The broker whose portrait is made.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::Duration;

use reference_broker::codec::{ConnAck, Connect, Disconnect, Packet, Publish, Text};
use reference_broker::core::Config;

use crate::script::{Act, Played, Script, Step, play, play_live};
use crate::target::{Connector, Target, Variant, announced};
use crate::trace::What;

/// How long a broker may take to answer at first.
const FIRST: Duration = Duration::from_secs(5);

/// How long is waited for what comes of clearing up, where it matters to nobody.
const CLEARING: Duration = Duration::from_millis(200);

/// A broker that is asked.
#[derive(Clone, Debug)]
pub(super) enum Sitter {
    /// An embedded one, new for each script.
    Embedded(Variant),
    /// One that runs.
    Live(Box<Connector>, Duration),
}

impl Sitter {
    /// The broker of a target, and what it announces.
    ///
    /// # Errors
    ///
    /// Why it cannot be asked.
    pub(super) async fn of(
        target: &Target,
        patience: Duration,
    ) -> Result<(Sitter, ConnAck), String> {
        if let Target::Embedded(variant) = target {
            let steps = [Act::Open, Act::Send(Connect::new("look").into())];
            let steps = steps.into_iter().map(|act| Step::new("look", act)).collect();
            let played = play(&Script { steps }, variant, &Config::default());
            let connack = played.trace.into_iter().find_map(|event| match event.what {
                What::Received(Packet::ConnAck(connack)) => Some(connack),
                _ => None,
            });
            let connack = connack.ok_or_else(|| "answers no CONNECT".to_owned())?;
            return Ok((Sitter::Embedded(variant.clone()), connack));
        }
        let connector = Connector::new(target).await.map_err(|error| format!(": {error}"))?;
        let connack = announced(&connector, patience.max(FIRST)).await;
        let connack = connack.map_err(|why| why.to_string())?;
        Ok((Sitter::Live(Box::new(connector), patience), connack))
    }

    pub(super) fn is_live(&self) -> bool {
        matches!(self, Sitter::Live(..))
    }

    /// Plays a script that is placed, and leaves nothing behind. As much is waited for as is expected.
    pub(super) async fn plays(&self, placed: &Script, expected: &Played) -> io::Result<Played> {
        match self {
            Sitter::Embedded(variant) => Ok(play(placed, variant, &Config::default())),
            Sitter::Live(connector, patience) => {
                let played = play_live(placed, expected, connector, *patience).await?;
                let clearing = clearing(placed);
                let nothing = play(&clearing, &Variant::default(), &Config::default());
                play_live(&clearing, &nothing, connector, CLEARING).await?;
                Ok(played)
            }
        }
    }
}

/// What ends the sessions of a script, and takes back the messages that it had retained.
fn clearing(script: &Script) -> Script {
    let mut ids = BTreeMap::<Text, String>::new();
    let mut topics = BTreeSet::<Text>::new();
    for step in &script.steps {
        match &step.act {
            Act::Send(Packet::Connect(connect)) => {
                ids.insert(connect.client_id.clone(), format!("{}.end", step.client()));
                topics
                    .extend(connect.will.iter().filter(|it| it.retain).map(|it| it.topic.clone()));
            }
            Act::Send(Packet::Publish(publish)) if publish.retain && !publish.topic.is_empty() => {
                topics.insert(publish.topic.clone());
            }
            _ => {}
        }
    }
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
