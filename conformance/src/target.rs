//! Brokers under test: how to name one, how to reach it, and what it says it can do.

mod address;
mod capabilities;
mod connector;
mod container;
mod credentials;
mod file;
mod handshake;
mod lines;
mod null;
mod preflight;
mod proving;
mod round_trip;
pub mod scram;
mod setup;
mod spoken;
mod start;
mod strain;
mod tempo;
mod variant;
mod wire;

use std::fmt;
use std::str::FromStr;

pub use address::{Address, PLACEHOLDER, SECRETS_VARIABLE, Trust};
pub(crate) use capabilities::declared;
pub use capabilities::{Capabilities, Need};
pub(crate) use connector::Below;
pub use connector::Connector;
pub use container::{Container, IMAGE_VARIABLE};
pub use credentials::Credentials;
pub(crate) use credentials::{HIDDEN, HIDDEN_SECOND, WITHOUT_FIRST, WITHOUT_LAST, hide_exchange};
pub use file::{Choice, Chosen, Provided, TargetFile, provided, started};
pub use null::Null;
pub(crate) use preflight::{KEEP_ALIVE, Lost, Visitor, look};
pub use preflight::{Looked, Unusable, announced, answers, preflight};
pub(crate) use scram::{SCRAM_SHA_256, Scram};
pub(crate) use setup::{ANN, BOB, Embedded};
pub use setup::{Login, Setup, UNREADABLE, UNWRITABLE};
pub use spoken::Spoken;
pub(crate) use start::memory_of_process;
pub use start::{Died, Keeper, Launch, Restart, Restarts, Started, Survivor, Survivors};
pub use strain::Strain;
pub use variant::Variant;
pub use wire::{Form, Wire};

/// A broker to be tested, as it is named on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The reference broker in this process, over memory, on a clock that jumps: `embedded:`.
    Embedded(Variant),
    /// The reference broker in this process, over TCP, in real time: `embedded+tcp:`.
    EmbeddedTcp(Variant),
    /// A broker at an address: `mqtt://host:port`, `wss://user:password@host/path` and the like.
    Address(Box<Address>),
    /// Mosquitto in a container: `container:image`. It has to be [started](Target::start).
    Container(Container),
    /// A server in this process that is no broker: `null:closes` and its like.
    Null(Null),
}

impl Default for Target {
    fn default() -> Target {
        Target::Embedded(Variant::default())
    }
}

impl Target {
    /// Whether each scenario has a server of its own, in memory, on a clock that jumps.
    pub fn is_in_memory(&self) -> bool {
        matches!(self, Target::Embedded(_) | Target::Null(_))
    }

    /// Who the suite's clients are to it.
    pub fn credentials(&self) -> Credentials {
        match self {
            Target::Address(address) => address.credentials.clone(),
            _ => Credentials::default(),
        }
    }

    /// As it is to be typed to name it again, with a placeholder for a password in it.
    pub fn retyped(&self) -> String {
        match self {
            Target::Address(address) => address.retyped(),
            target => target.to_string(),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Embedded(variant) => write!(f, "embedded:{variant}"),
            Target::EmbeddedTcp(variant) => write!(f, "embedded+tcp:{variant}"),
            Target::Address(address) => address.fmt(f),
            Target::Container(container) => container.fmt(f),
            Target::Null(null) => null.fmt(f),
        }
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Target, String> {
        const KINDS: &str =
            "use mqtt://host:port (or mqtts, ws, wss), embedded:, embedded+tcp: or container:";
        match text.split_once(':') {
            Some(("embedded", variant)) => variant.parse().map(Target::Embedded),
            Some(("embedded+tcp", variant)) => {
                let variant: Variant = variant.parse()?;
                variant.over_socket()?;
                Ok(Target::EmbeddedTcp(variant))
            }
            Some(("container", image)) => Ok(Target::Container(Container::new(image))),
            Some(("null", kind)) => kind.parse().map(Target::Null),
            Some((kind, rest)) => match text.parse() {
                Ok(address) => Ok(Target::Address(Box::new(address))),
                Err(error) => Err(match nearest(kind).filter(|_| !rest.starts_with("//")) {
                    Some(near) => {
                        format!("no target of the kind '{kind}:': did you mean '{near}:'?")
                    }
                    None => error,
                }),
            },
            None => Err(format!("'{text}' names no target: {KINDS}")),
        }
    }
}

/// The kind of target that is a slip away from this word.
fn nearest(word: &str) -> Option<&'static str> {
    let kinds = ["embedded", "embedded+tcp", "container", "null"];
    kinds.into_iter().find(|kind| strsim::damerau_levenshtein(kind, word) <= 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read_and_written_alike() {
        for (text, written) in [
            ("embedded:", "embedded:"),
            ("embedded+tcp:", "embedded+tcp:"),
            ("embedded:?mutant=3.12/pingresp-lost", "embedded:?mutant=3.12/pingresp-lost"),
            // What lies between broker and probe is in the probe's stream.
            ("embedded+tcp:?sends-byte-by-byte", "embedded+tcp:?sends-byte-by-byte"),
            // In the order of the list, each once.
            (
                "embedded+tcp:?messages-lag&closes-late&messages-lag",
                "embedded+tcp:?closes-late&messages-lag",
            ),
            ("null:yes", "null:yes"),
            ("mqtt://localhost", "mqtt://localhost:1883"),
            ("container:", "container:"),
            ("container:localhost:5000/a/b:2", "container:localhost:5000/a/b:2"),
            ("mqtt://10.0.0.1:99/", "mqtt://10.0.0.1:99"),
            ("mqtt://[::1]:1884", "mqtt://[::1]:1884"),
            ("localhost:1884", "mqtt://localhost:1884"),
            ("WSS://ann:secret@LocalHost", "wss://localhost:443/mqtt"),
        ] {
            assert_eq!(text.parse::<Target>().map(|target| target.to_string()), Ok(written.into()));
        }
    }

    #[test]
    fn what_is_no_target_is_told_so() {
        for (text, problem) in [
            ("http://a", "did you mean `ws://`"),
            ("localhost", "'localhost' names no target"),
            ("embedded:3.1", "'3.1' after embedded: does not begin with '?'"),
            ("embedded:?mutant=none", "no mutant 'none'"),
            ("embedded:?closes-lat", "no switch 'closes-lat': did you mean 'closes-late'?"),
            ("embedded:?zzz", "no switch 'zzz': `mqttspec list --switches` lists them"),
            (
                "embedded+tcp:?mutant=4.2/last-byte-alone-lost&closes-late",
                "so over a socket it would conform: use `mqttspec run \
                 'embedded:?mutant=4.2/last-byte-alone-lost&closes-late'`",
            ),
            (
                "embedded:?keep-alive-off&keep-alive-of-a-minute",
                "'keep-alive-of-a-minute' and 'keep-alive-off' exclude each other",
            ),
        ] {
            let error = text.parse::<Target>().unwrap_err();
            assert!(error.contains(problem), "{text}: {error}");
        }
    }
}
