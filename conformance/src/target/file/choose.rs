//! What is chosen of a target file: variants, and a transport.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use super::fill::Filler;
use super::keys::nearest;
use super::{Keeps, Known, Start, TargetFile, TrustEntry, UserEntry};
use crate::target::scram::SCRAM_SHA_256;
use crate::target::start::{
    How, Image, Launch, READY_WITHIN, Restarts, STOP_WITHIN, Survivor, Survivors, words,
};
use crate::target::{Address, Credentials, Login, Setup, Trust};

/// What of a target file is wanted.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    /// Variants of its configuration, all at once.
    pub variants: Vec<String>,
    /// Values in the place of those of the file, by their names.
    pub values: Vec<(String, String)>,
    /// `mqtt`, `mqtts`, `ws` or `wss`; the first of these that it has if nothing is said.
    pub transport: Option<String>,
}

/// What comes of a target file and a [`Choice`].
#[derive(Debug)]
pub struct Chosen {
    /// Where the target is, and all that is known of it.
    pub address: Address,
    /// What all topics are to begin with, if the file says so.
    pub topic_prefix: Option<String>,
    /// How it is started; none if that is for others to do.
    pub launch: Option<Launch>,
}

impl TargetFile {
    /// Fills in what was chosen.
    ///
    /// # Errors
    ///
    /// In one sentence, what there is not, or what makes no sense.
    pub fn choose(&self, choice: &Choice) -> Result<Chosen, String> {
        let (known, mut values) = self.with_variants(&choice.variants)?;
        for (name, value) in &choice.values {
            if values.insert(name.clone(), value.clone()).is_none() {
                return Err(self.no_value(name));
            }
        }
        let dir = folder()?;
        let mut filler = Filler::new(values, dir.path());
        let address = self.address(choice.transport.as_deref(), &known, &mut filler)?;
        let topic_prefix = known.topic_prefix.map(|text| filler.fill(&text)).transpose()?;
        let launch = match &self.start {
            Some(start) => Some(self.launch(start, &mut filler, dir)?),
            None => None,
        };
        Ok(Chosen { address, topic_prefix, launch })
    }

    /// What is known of the target, and what its values are, with these variants.
    fn with_variants(&self, names: &[String]) -> Result<(Known, BTreeMap<String, String>), String> {
        let (mut known, mut values) = (self.known.clone(), self.values.clone());
        let mut said: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for name in names {
            let variant = self.variant.get(name).ok_or_else(|| self.no_variant(name))?;
            known = variant.known.clone().over(known);
            for (value, text) in &variant.values {
                said.entry(value).or_default().push(text);
            }
        }
        // Those of several variants stand below each other, as lines of a configuration do.
        let joined = said.into_iter().map(|(value, texts)| (value.to_owned(), texts.join("\n")));
        values.extend(joined);
        Ok((known, values))
    }

    fn no_value(&self, name: &str) -> String {
        match nearest(name, self.values.keys().map(String::as_str)) {
            Some(near) => format!("[values] has no '{name}': did you mean '{near}'?"),
            None => format!("[values] has no '{name}'"),
        }
    }

    fn no_variant(&self, name: &str) -> String {
        let names: Vec<_> = self.variant.keys().map(String::as_str).collect();
        match nearest(name, names.iter().copied()) {
            Some(near) => format!("there is no variant '{name}': did you mean '{near}'?"),
            None if names.is_empty() => format!("there is no variant '{name}', nor any other"),
            None => format!("there is no variant '{name}', only {}", names.join(", ")),
        }
    }

    fn address(
        &self,
        transport: Option<&str>,
        known: &Known,
        filler: &mut Filler,
    ) -> Result<Address, String> {
        // In the order of the names, mqtt is first.
        let chosen = match transport {
            Some(transport) => self.address.get(transport).ok_or_else(|| {
                let others: Vec<_> = self.transports().collect();
                format!("there is no address for {transport}, only for {}", others.join(", "))
            })?,
            None => self.address.values().next().ok_or("there is no address")?,
        };
        let mut address: Address = filler.fill(chosen)?.parse()?;
        if let Some(user) = &known.credentials {
            address = address.with_credentials(user.credentials("credentials", filler)?);
        }
        if let Some(trust) = known.trust.as_ref().filter(|_| address.endpoint().scheme.is_tls()) {
            address = address.trusting(self.trust(trust, filler)?);
        }
        Ok(address.set_up(known.setup(filler)?))
    }

    fn trust(&self, entry: &TrustEntry, filler: &mut Filler) -> Result<Trust, String> {
        let mut path = |text: &Option<String>| {
            let filled = text.as_ref().map(|text| filler.fill(text)).transpose()?;
            Ok::<_, String>(filled.map(|text| self.folder.join(text)))
        };
        let own = match (path(&entry.cert)?, path(&entry.key)?) {
            (None, None) => None,
            (Some(cert), Some(key)) => Some((cert, key)),
            _ => return Err("[trust] has one of cert and key without the other".to_owned()),
        };
        Ok(Trust {
            authorities: path(&entry.ca)?,
            is_blind: entry.insecure,
            own,
            server_name: entry.server_name.clone(),
        })
    }

    fn launch(&self, start: &Start, filler: &mut Filler, dir: TempDir) -> Result<Launch, String> {
        let how = match (&start.command, &start.image) {
            (Some(command), _) => How::Command(words(&filler.fill(command)?)?),
            (None, image) => {
                let image = filler.fill(image.as_deref().unwrap_or_default())?;
                How::Image(Image {
                    name: image,
                    ports: pairs("ports", &start.ports, filler)?
                        .into_iter()
                        .map(|(host, inside)| Ok((port(&host)?, port(&inside)?)))
                        .collect::<Result<_, String>>()?,
                    mounts: pairs("mounts", &start.mounts, filler)?,
                    copies: start.copied(filler)?,
                })
            }
        };
        let mut texts = Vec::new();
        for (name, text) in &start.files {
            let path = Path::new(name);
            if path.is_absolute() || path.components().any(|it| it.as_os_str() == "..") {
                return Err(format!("start.files.\"{name}\" is outside of {{dir}}"));
            }
            texts.push((dir.path().join(path), filler.fill(text)?));
        }
        let env = start.env.iter().map(|(name, value)| Ok((name.clone(), filler.fill(value)?)));
        let env = env.collect::<Result<_, String>>()?;
        let prepare = start.prepare.iter().map(|line| words(&filler.fill(line)?));
        let prepare = prepare.collect::<Result<_, String>>()?;
        let log = start.log.as_ref().map(|log| filler.fill(log)).transpose()?.map(PathBuf::from);
        Ok(Launch {
            how,
            env,
            texts,
            prepare,
            ready_within: time("ready_within", start.ready_within.as_deref(), READY_WITHIN)?,
            stop_signal: start.stop_signal.clone(),
            stop_within: time("stop_within", start.stop_within.as_deref(), STOP_WITHIN)?,
            log,
            ..Launch::in_folder(dir)
        })
    }
}

/// A broker that is only a command, at an address in which, as in the command, `{port}` stands for a free
/// port.
///
/// # Errors
///
/// In one sentence, what of the two makes no sense.
pub fn started(command: &str, address: &str) -> Result<(Address, Launch), String> {
    let launch = Launch::in_folder(folder()?);
    let mut filler = Filler::new(BTreeMap::new(), launch.dir.path());
    let how = How::Command(words(&filler.fill(command)?)?);
    let address = filler.fill(address)?.parse()?;
    Ok((address, Launch { how, ..launch }))
}

/// Mosquitto that lets everybody in, in a container of this image.
pub(in crate::target) fn mosquitto_in(image: &str) -> Result<(Address, Launch), String> {
    const CONFIG_PATH: &str = "/mosquitto/config/mosquitto.conf";
    const CONFIG: &str = "listener 1883\nallow_anonymous true\nlog_dest stderr\n";
    let launch = Launch::in_folder(folder()?);
    let mut filler = Filler::new(BTreeMap::new(), launch.dir.path());
    let outside = port(&filler.fill("{port}")?)?;
    let image = Image {
        name: image.to_owned(),
        ports: vec![(outside, 1883)],
        copies: vec![(CONFIG_PATH.to_owned(), CONFIG.into())],
        ..Image::default()
    };
    let address = format!("mqtt://127.0.0.1:{outside}").parse()?;
    Ok((address, Launch { how: How::Image(image), ..launch }))
}

impl Known {
    /// This, and what it does not say from elsewhere.
    fn over(self, other: Known) -> Known {
        Known {
            topic_prefix: self.topic_prefix.or(other.topic_prefix),
            credentials: self.credentials.or(other.credentials),
            other_user: self.other_user.or(other.other_user),
            scram: self.scram.or(other.scram),
            rights: self.rights.or(other.rights),
            redirects: self.redirects.or(other.redirects),
            keeps: self.keeps.or(other.keeps),
            trust: self.trust.or(other.trust),
        }
    }

    fn setup(&self, filler: &mut Filler) -> Result<Setup, String> {
        let other = self.other_user.as_ref();
        let other = other.map(|user| user.credentials("other_user", filler)).transpose()?;
        if other.is_none() && self.rights == Some(true) {
            return Err("rights are those of the [other_user], who is missing".to_owned());
        }
        if other.is_some() && self.credentials.is_none() {
            return Err("there is an [other_user] and no [credentials] of the first".to_owned());
        }
        let scram = match &self.scram {
            Some(user) => {
                let (name, password) = user.name_and_password("scram", filler)?;
                let (Some(user_name), Some(password)) = (name, password) else {
                    return Err("[scram] needs both username and password".to_owned());
                };
                Some(Login { user_name, password })
            }
            None => None,
        };
        let restarts = self.keeps.as_ref().map(Keeps::restarts).transpose()?;
        let (has_rights, redirects) =
            (self.rights.unwrap_or_default(), self.redirects.unwrap_or_default());
        Ok(Setup { other, has_rights, scram, redirects, restarts: restarts.unwrap_or_default() })
    }
}

impl Start {
    /// The files that are put into a container, as `copies` says.
    fn copied(&self, filler: &mut Filler) -> Result<Vec<(String, Vec<u8>)>, String> {
        let copy = |(name, path): (&String, &String)| {
            let text = self.files.get(name).ok_or_else(|| {
                format!("start.copies has '{name}', which [start.files] does not have")
            })?;
            Ok((path.clone(), filler.fill(text)?.into_bytes()))
        };
        self.copies.iter().map(copy).collect()
    }
}

impl Keeps {
    fn restarts(&self) -> Result<Restarts, String> {
        Ok(Restarts { stop: survivors(&self.stop)?, kill: survivors(&self.kill)? })
    }
}

fn survivors(words: &[String]) -> Result<Survivors, String> {
    let survivor = |word: &String| {
        Survivor::ALL.into_iter().find(|it| it.name() == word).ok_or_else(|| {
            let names: Vec<_> = Survivor::ALL.into_iter().map(Survivor::name).collect();
            format!("'{word}' is nothing that [keeps] can name: {}", names.join(", "))
        })
    };
    words.iter().map(survivor).collect()
}

impl UserEntry {
    fn name_and_password(
        &self,
        table: &str,
        filler: &mut Filler,
    ) -> Result<(Option<String>, Option<String>), String> {
        let name = self.username.as_ref().map(|text| filler.fill(text)).transpose()?;
        let password = match (&self.password, &self.password_env) {
            (Some(_), Some(_)) => {
                return Err(format!("[{table}] has both password and password_env"));
            }
            (Some(password), None) => Some(filler.fill(password)?),
            (None, Some(variable)) => Some(std::env::var(variable).map_err(|_| {
                format!("[{table}] password_env: there is no environment variable {variable}")
            })?),
            (None, None) => None,
        };
        Ok((name, password))
    }

    fn credentials(&self, table: &str, filler: &mut Filler) -> Result<Credentials, String> {
        let (name, password) = self.name_and_password(table, filler)?;
        let credentials = Credentials::new(name, password.map(String::into_bytes));
        let credentials = match self.method.as_deref() {
            None => credentials,
            Some(SCRAM_SHA_256) => credentials.and_then(Credentials::proven),
            Some(other) => Err(format!("method is '{other}': there is only {SCRAM_SHA_256}")),
        };
        credentials.map_err(|error| format!("[{table}]: {error}"))
    }
}

fn pairs(
    key: &str,
    texts: &[String],
    filler: &mut Filler,
) -> Result<Vec<(String, String)>, String> {
    let pair = |text: &String| {
        let filled = filler.fill(text)?;
        let (host, inside) = filled
            .rsplit_once(':')
            .ok_or_else(|| format!("start.{key} has '{text}', which is no HOST:CONTAINER"))?;
        Ok((host.to_owned(), inside.to_owned()))
    };
    texts.iter().map(pair).collect()
}

fn port(text: &str) -> Result<u16, String> {
    text.parse().map_err(|_| format!("start.ports has '{text}', which is no port"))
}

fn time(key: &str, text: Option<&str>, default: Duration) -> Result<Duration, String> {
    let Some(text) = text else { return Ok(default) };
    humantime::parse_duration(text)
        .map_err(|_| format!("start.{key} has '{text}', which is no time such as 500ms, 30s or 2m"))
}

/// A folder for what is started. Others can read and write in it: some brokers give up their rights before
/// they read their configuration.
fn folder() -> Result<TempDir, String> {
    let make = || {
        let dir = TempDir::with_prefix("mqttspec-")?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o1777))?;
        }
        Ok(dir)
    };
    make().map_err(|error: io::Error| format!("no folder for what is started can be made: {error}"))
}
