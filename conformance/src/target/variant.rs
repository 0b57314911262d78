use std::fmt;
use std::str::FromStr;

use reference_broker::actor::{Engine, Server};
use reference_broker::core::{Broker, Config};
use reference_broker::transport::BoxStream;

use crate::boundary::segments::Pieces;
use crate::boundary::{Layer, Rules};
use crate::chameleon::{self, Switch};
use crate::mutant::{self, Mutant};

use super::setup::Embedded;
use super::{Target, Wire};

/// How an embedded broker differs from the plain one: broken in one way, or taking other choices
/// that the standard leaves open. Written `?mutant=ID&SWITCH&SWITCH`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Variant {
    /// In which way it is broken.
    pub mutant: Option<&'static Mutant>,
    /// The choices it takes differently: in the order of the list, each once, and none that exclude
    /// each other.
    switches: Vec<&'static Switch>,
    /// In which ways it is broken besides.
    also_broken: Vec<&'static Mutant>,
}

impl Variant {
    /// Broken in this way and else plain.
    pub fn broken(mutant: &'static Mutant) -> Variant {
        Variant { mutant: Some(mutant), ..Variant::default() }
    }

    /// Taking these choices and not broken.
    ///
    /// # Errors
    ///
    /// When two of them exclude each other.
    pub fn choosing(
        switches: impl IntoIterator<Item = &'static Switch>,
    ) -> Result<Variant, String> {
        let mut switches: Vec<_> = switches.into_iter().collect();
        switches.sort_by_key(|switch| chameleon::place(switch));
        switches.dedup();
        for (at, one) in switches.iter().enumerate() {
            if let Some(other) = switches[at + 1..].iter().find(|other| one.excludes(other)) {
                return Err(format!("'{}' and '{}' exclude each other", one.name, other.name));
            }
        }
        Ok(Variant { switches, ..Variant::default() })
    }

    /// The same, taking this choice too.
    ///
    /// # Errors
    ///
    /// When one that it takes excludes it.
    pub fn and_choosing(&self, switch: &'static Switch) -> Result<Variant, String> {
        let switches = self.switches.iter().copied().chain([switch]);
        let Variant { switches, .. } = Variant::choosing(switches)?;
        Ok(Variant { switches, ..self.clone() })
    }

    /// The same without this choice.
    #[must_use]
    pub fn without(&self, switch: &'static Switch) -> Variant {
        let others = self.switches.iter().copied().filter(|it| *it != switch);
        Variant { switches: others.collect(), ..self.clone() }
    }

    /// The same, broken in this way.
    #[must_use]
    pub fn and_broken(self, mutant: &'static Mutant) -> Variant {
        Variant { mutant: Some(mutant), ..self }
    }

    /// The same, broken in these ways besides: as far as that lies at the boundary of its core.
    #[must_use]
    pub(crate) fn also_broken(self, mutants: &[&'static Mutant]) -> Variant {
        Variant { also_broken: mutants.to_vec(), ..self }
    }

    /// All ways in which it is broken.
    fn mutants(&self) -> impl Iterator<Item = &'static Mutant> {
        self.also_broken.iter().copied().chain(self.mutant)
    }

    /// The choices it takes differently.
    pub fn switches(&self) -> &[&'static Switch] {
        &self.switches
    }

    /// What lies between it and its clients.
    pub fn wire(&self) -> Wire {
        let mut wire = Wire::default();
        self.switches.iter().for_each(|switch| switch.lay(&mut wire));
        wire
    }

    /// Whether a probe of this process meets all of it over a socket: what lies between may lie in the
    /// probe's own stream, but not what the broker reads.
    ///
    /// # Errors
    ///
    /// In one sentence, what it would not meet, and what to do instead.
    pub fn over_socket(&self) -> Result<(), String> {
        match self.mutant {
            Some(mutant) if mutant.is_in_stream() => {
                Err(self.only_in_memory(&format!("mutant '{}'", mutant.id), "it would conform"))
            }
            _ => Ok(()),
        }
    }

    /// Whether clients of other processes meet all of it.
    ///
    /// # Errors
    ///
    /// In one sentence, what they would not meet, and what to do instead.
    pub fn served(&self) -> Result<(), String> {
        self.over_socket()?;
        match self.switches.iter().find(|switch| switch.is_in_stream()) {
            Some(switch) => Err(self.only_in_memory(
                &format!("switch '{}'", switch.name),
                "the broker would be as without it",
            )),
            None => Ok(()),
        }
    }

    fn only_in_memory(&self, what: &str, otherwise: &str) -> String {
        format!(
            "the {what} is made in the stream between probe and broker within one process, so over a \
             socket {otherwise}: use `mqttspec run '{}'`",
            Target::Embedded(self.clone())
        )
    }

    /// The same choices, and not broken.
    pub fn unbroken(&self) -> Variant {
        Variant { switches: self.switches.clone(), ..Variant::default() }
    }

    /// Makes the choices in a configuration.
    pub fn configure(&self, config: &mut Config) {
        self.switches.iter().for_each(|switch| switch.configure(config));
        self.mutants().for_each(|mutant| mutant.configure(config));
    }

    /// Such a broker, with a configuration in which the choices are [made](Variant::configure).
    pub fn engine(&self, config: &Config) -> Box<dyn Engine> {
        // What is broken meets what clients send before a choice does: that may refuse what is let through.
        let mut rules: Rules = self.mutants().flat_map(Mutant::rules).collect();
        self.switches.iter().for_each(|switch| rules.extend(switch.rules()));
        match rules.is_empty() {
            true => Box::new(Broker::new(config.clone())),
            false => Box::new(Layer::new(config.clone(), rules)),
        }
    }

    /// Starts such a broker on the current runtime.
    pub fn start(&self) -> Server {
        self.start_as(&Embedded::default())
    }

    /// The same, set up in this way.
    pub(super) fn start_as(&self, embedded: &Embedded) -> Server {
        let mut config = Config::default();
        self.configure(&mut config);
        embedded.configure(&mut config);
        let authenticator = embedded.authenticator.clone();
        Server::start_engine(self.engine(&config), config.maximum_packet_size, authenticator)
    }

    /// The stream over which clients reach its WebSocket listener.
    pub fn below_websocket(&self, stream: BoxStream) -> BoxStream {
        match self.mutant {
            Some(mutant) => mutant.below_websocket(stream),
            None => stream,
        }
    }

    /// What it reads of a connection, if not all of it.
    pub(crate) fn pieces(&self) -> Option<Pieces> {
        self.mutant.and_then(Mutant::pieces)
    }

    /// The stream over which clients reach it.
    pub fn stream(&self, stream: BoxStream) -> BoxStream {
        match self.mutant {
            Some(mutant) => mutant.stream(stream),
            None => stream,
        }
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mutant = self.mutants().map(|mutant| format!("mutant={}", mutant.id));
        let switches = self.switches.iter().map(|switch| switch.name.to_owned());
        let words: Vec<_> = mutant.chain(switches).collect();
        match words.is_empty() {
            true => Ok(()),
            false => write!(f, "?{}", words.join("&")),
        }
    }
}

impl FromStr for Variant {
    type Err = String;

    fn from_str(text: &str) -> Result<Variant, String> {
        let mut variant = Variant::default();
        if text.is_empty() {
            return Ok(variant);
        }
        let words = text
            .strip_prefix('?')
            .ok_or_else(|| format!("'{text}' after embedded: does not begin with '?'"))?;
        let mut switches = Vec::new();
        for word in words.split('&') {
            match word.strip_prefix("mutant=") {
                Some(id) => {
                    let mutant = mutant::find(id).ok_or_else(|| {
                        format!("no mutant '{id}': `mqttspec mutants --list` lists them")
                    })?;
                    variant.mutant = Some(mutant);
                }
                None => switches.push(chameleon::find(word).ok_or_else(|| unknown(word))?),
            }
        }
        Ok(Variant { switches: Variant::choosing(switches)?.switches, ..variant })
    }
}

fn unknown(word: &str) -> String {
    match chameleon::nearest(word) {
        Some(nearest) => format!("no switch '{word}': did you mean '{nearest}'?"),
        None => format!("no switch '{word}': `mqttspec list --switches` lists them"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_in_the_stream_is_not_served() {
        let broken = mutant::all().iter().map(Variant::broken);
        let choosing = chameleon::all().iter().map(|it| Variant::choosing([it]).unwrap());
        let refused: Vec<_> = broken.chain(choosing).filter(|it| it.served().is_err()).collect();
        let over_tcp = |it: &&Variant| it.over_socket().is_err();
        // All of the WebSocket listener are.
        let (listening, refused): (Vec<_>, Vec<_>) = refused
            .into_iter()
            .partition(|it| it.mutant.is_some_and(|mutant| mutant.section() == "6"));
        let of_section = mutant::all().iter().filter(|mutant| mutant.section() == "6").count();
        assert_eq!(listening.len(), of_section);
        let names = |variants: &[&Variant]| {
            variants.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        let (mutants, switches): (Vec<_>, Vec<_>) = refused.iter().partition(over_tcp);
        assert_eq!(
            names(&mutants),
            "?mutant=4.2/second-packet-of-a-segment-lost ?mutant=4.2/cut-within-fixed-header \
             ?mutant=4.2/last-byte-alone-lost ?mutant=4.2/ninth-byte-alone-lost"
        );
        assert_eq!(
            names(&switches),
            "?resets ?resets-lose-what-is-unread ?sends-byte-by-byte ?gathers-packets \
             ?writes-reason-codes-out ?writes-property-lengths-out"
        );
    }
}
