//! Target files: how a broker is started, reached and told apart, in TOML.
//!
//! `fixtures/targets/README.md` documents the format; `keys` knows its words, so that a slip is answered
//! with the nearest. A file is read, a [`Choice`] of variants and a transport is made, and what comes
//! of both is [`Chosen`]: an address with all that is known of the target, and how to start it.

mod choose;
mod fill;
mod keys;
mod provided;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Deserialize;

pub(super) use choose::mosquitto_in;
pub use choose::{Choice, Chosen, started};
pub use provided::{Provided, provided};

/// No target file has more bytes.
const LONGEST: u64 = 1 << 20;

/// A target as its file has it.
#[derive(Clone, Debug, Deserialize)]
pub struct TargetFile {
    /// Which broker it is, in one line.
    pub about: String,
    /// Whether nobody has seen it work: of images that could not be had.
    #[serde(default)]
    pub untried: bool,
    /// Where it is, by transport.
    #[serde(default)]
    address: BTreeMap<String, String>,
    /// What placeholders stand for that have no meaning of their own.
    #[serde(default)]
    values: BTreeMap<String, String>,
    #[serde(flatten)]
    known: Known,
    start: Option<Start>,
    #[serde(default)]
    variant: BTreeMap<String, VariantEntry>,
    /// What relative paths begin at.
    #[serde(skip)]
    folder: PathBuf,
}

/// What is known of a target besides where it is. A variant can say it too.
#[derive(Clone, Debug, Default, Deserialize)]
struct Known {
    topic_prefix: Option<String>,
    credentials: Option<UserEntry>,
    other_user: Option<UserEntry>,
    scram: Option<UserEntry>,
    rights: Option<bool>,
    redirects: Option<bool>,
    keeps: Option<Keeps>,
    trust: Option<TrustEntry>,
}

/// What a broker keeps when it is restarted.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Keeps {
    /// After it was told to stop.
    #[serde(default)]
    pub(super) stop: Vec<String>,
    /// After it was killed.
    #[serde(default)]
    pub(super) kill: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct UserEntry {
    username: Option<String>,
    password: Option<String>,
    password_env: Option<String>,
    /// How it is shown that the password is known, if not by sending it.
    method: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TrustEntry {
    ca: Option<String>,
    #[serde(default)]
    insecure: bool,
    cert: Option<String>,
    key: Option<String>,
    server_name: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
struct VariantEntry {
    about: String,
    #[serde(default)]
    values: BTreeMap<String, String>,
    #[serde(flatten)]
    known: Known,
}

/// How a target is started.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Start {
    /// The program and its arguments, as one line for the shell's rules of quoting.
    command: Option<String>,
    /// Or an image, in whose container it runs.
    image: Option<String>,
    /// Which ports of the container are reached by which of this machine: `HOST:CONTAINER`.
    #[serde(default)]
    ports: Vec<String>,
    /// What of this machine is in the container: `HOST:CONTAINER`.
    #[serde(default)]
    mounts: Vec<String>,
    /// Where in the container files are put, by their names.
    #[serde(default)]
    copies: BTreeMap<String, String>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    /// Files that are written first, by their names in `{dir}`.
    #[serde(default)]
    files: BTreeMap<String, String>,
    /// Commands that are run first, one after the other, in `{dir}`.
    #[serde(default)]
    prepare: Vec<String>,
    /// How long it may take until it answers a CONNECT, such as `30s`.
    ready_within: Option<String>,
    /// The signal that asks it to end; SIGTERM if nothing is said.
    stop_signal: Option<String>,
    /// How long it may take to end.
    stop_within: Option<String>,
    /// Where it writes what it has to say, if not to its standard output and error.
    log: Option<String>,
}

impl TargetFile {
    /// Reads the file at a path, or the provided one of a name.
    ///
    /// # Errors
    ///
    /// In one sentence, why there is none, or the first thing that is wrong with it, and where.
    pub fn open(name: &str) -> Result<TargetFile, String> {
        let is_path = name.contains(['/', '\\']) || name.ends_with(".toml");
        if !is_path {
            return provided(name)?.file();
        }
        let fail = |why: String| format!("{name}: {why}");
        let path = Path::new(name);
        let mut text = String::new();
        let open = File::open(path).map_err(|error| fail(error.to_string()))?;
        let read = open.take(LONGEST + 1).read_to_string(&mut text);
        match read.map(u64::try_from).map_err(|error| fail(error.to_string()))? {
            Ok(..=LONGEST) => {}
            _ => return Err(fail(format!("more than {LONGEST} bytes: no target file"))),
        }
        let folder = path.parent().unwrap_or(Path::new("."));
        TargetFile::parse(&text, folder).map_err(fail)
    }

    /// Takes a target from the text of a file in this folder.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong with it, and where.
    pub fn parse(text: &str, folder: &Path) -> Result<TargetFile, String> {
        keys::check(text)?;
        let file: TargetFile = toml::from_str(text).map_err(|error| {
            let line = error.span().map(|span| 1 + text[..span.start].matches('\n').count());
            let line = line.map(|line| format!("line {line}: ")).unwrap_or_default();
            format!("{line}{}", error.message().lines().next().unwrap_or_default())
        })?;
        if file.address.is_empty() {
            return Err(
                "[address] is missing: say where it is, as mqtt = \"mqtt://127.0.0.1:{port}\""
                    .to_owned(),
            );
        }
        if let Some(start) = &file.start
            && start.command.is_some() == start.image.is_some()
        {
            return Err("[start] is to have either a command or an image".to_owned());
        }
        Ok(TargetFile { folder: folder.to_owned(), ..file })
    }

    /// Its variants, by name, and what each is.
    pub fn variants(&self) -> impl Iterator<Item = (&str, &str)> {
        self.variant.iter().map(|(name, variant)| (name.as_str(), variant.about.as_str()))
    }

    /// The transports by which it can be reached.
    pub fn transports(&self) -> impl Iterator<Item = &str> {
        self.address.keys().map(String::as_str)
    }
}
