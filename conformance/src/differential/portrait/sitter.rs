//! The broker whose portrait is made.

use std::io;
use std::time::Duration;

use reference_broker::codec::{ConnAck, Connect, Packet};
use reference_broker::core::Config;

use crate::script::{Act, Conditions, Played, Script, Step, clear, play, play_live};
use crate::target::{Connector, Need, Target, Variant, announced};
use crate::trace::What;

/// How long a broker may take to answer at first.
const FIRST: Duration = Duration::from_secs(5);

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

    /// What a script needs and this broker is not set up for.
    pub(super) fn lacks(&self, script: &Script) -> Option<Need> {
        match self {
            Sitter::Embedded(_) => None,
            Sitter::Live(connector, _) => {
                let needs = Conditions::of(&script.steps).needs;
                needs.into_iter().find(|need| !connector.is_set_up_for(*need))
            }
        }
    }

    /// Plays a script that is placed, and leaves nothing behind. As much is waited for as is expected.
    pub(super) async fn plays(&self, placed: &Script, expected: &Played) -> io::Result<Played> {
        match self {
            Sitter::Embedded(variant) => Ok(play(placed, variant, &Config::default())),
            Sitter::Live(connector, patience) => {
                let played = play_live(placed, None, expected, connector, *patience).await?;
                clear(placed, connector).await?;
                Ok(played)
            }
        }
    }
}
