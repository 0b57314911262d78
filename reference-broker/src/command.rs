//! The broker as a command: flags, configuration file, listeners, signals. `reference-broker` and
//! `mqttspec broker` are this.

mod log;
mod signals;

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::actor::{Engine, Server, TapMessage};
use crate::authentication::{Cost, HashedPassword, hash_password, system_random};
use crate::core::{Access, Broker, Config};
use crate::settings::Settings;
use crate::status;
use crate::transport::listener::{Listener, advice};
use crate::transport::tls::ServerTls;
use crate::transport::url::Endpoint;

use log::Log;
use signals::Signals;
pub use signals::{Interruptions, interrupt};

/// How long whoever reads what is printed may take to read the last of it.
const LAST_WORD: Duration = Duration::from_secs(1);

/// What may be said on the command line.
#[derive(Args, Clone, Debug, Default)]
pub struct BrokerArguments {
    /// Where to listen: mqtt://, mqtts://, ws:// or wss://HOST:PORT, port 0 for any free one; may be
    /// repeated [default: mqtt://127.0.0.1:1883]
    #[arg(long, value_name = "URL")]
    listen: Vec<String>,
    /// Where to tell of health, metrics and state over HTTP: HOST:PORT, or a port of this machine
    #[arg(long, value_name = "ADDRESS")]
    http: Option<String>,
    /// The configuration, as --print-config shows it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Set a key of the configuration; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Print messages whose topics match, such as 'sensors/{room}/temperature'; may be repeated
    #[arg(long = "tap", value_name = "FILTER")]
    taps: Vec<String>,
    /// Print the configuration in force, with every key and its reason, and end
    #[arg(long)]
    print_config: bool,
    /// Read a password from standard input, print what the configuration says of this user, and end
    #[arg(long, value_name = "USER")]
    hash_password: Option<String>,
}

/// Why the broker does not run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// What it was told cannot be used.
    Usage(String),
    /// It could not do what it was told.
    Trouble(String),
}

/// What stands in the place of the core: makes one of a configuration that it may change first.
pub struct Variation {
    /// Changes the configuration.
    pub configure: Box<dyn Fn(&mut Config)>,
    /// Makes an engine of it.
    pub engine: MakeEngine,
}

/// What makes an engine of a configuration, as often as one is needed.
pub type MakeEngine = Box<dyn Fn(&Config) -> Box<dyn Engine> + Send>;

impl Variation {
    /// The core itself.
    pub fn none() -> Variation {
        Variation {
            configure: Box::new(|_| {}),
            engine: Box::new(|config| Box::new(Broker::new(config.clone()))),
        }
    }
}

impl BrokerArguments {
    /// The settings of the file, with those of the flags over them.
    ///
    /// # Errors
    ///
    /// For a file that cannot be read, and what is wrong in it or in a flag.
    pub fn settings(&self) -> Result<Settings, Failure> {
        let mut settings = Settings::default();
        let usage = |error: &dyn std::error::Error| Failure::Usage(error.to_string());
        if let Some(path) = &self.config {
            let file = path.display().to_string();
            let text = std::fs::read_to_string(path)
                .map_err(|error| Failure::Usage(format!("{file}: {error}")))?;
            settings.read(&file, &text).map_err(|error| usage(&error))?;
        }
        for assignment in &self.set {
            settings.set(assignment).map_err(|error| usage(&error))?;
        }
        if !self.listen.is_empty() {
            settings.listen.clone_from(&self.listen);
        }
        if self.http.is_some() {
            settings.http.clone_from(&self.http);
        }
        settings.taps.extend(self.taps.iter().cloned());
        Ok(settings)
    }
}

/// Runs a broker on a runtime of its own until the process is told to end; see [`run`].
///
/// # Errors
///
/// As [`run`], and what keeps the process from starting.
pub fn start(arguments: &BrokerArguments, variation: Variation) -> Result<(), Failure> {
    let trouble = |error: io::Error| Failure::Trouble(format!("cannot start: {error}"));
    let _log = Log::start().map_err(trouble)?;
    let runtime = tokio::runtime::Runtime::new().map_err(trouble)?;
    let result = runtime.block_on(async {
        let signals = Signals::new().map_err(trouble)?;
        run(arguments, variation, signals).await
    });
    runtime.shutdown_background(); // What prints to nobody would never end.
    result
}

/// Runs a broker until the first signal, then takes leave of its clients, which a second one cuts short.
///
/// # Errors
///
/// For settings that cannot be used, and what the system refuses.
async fn run(
    arguments: &BrokerArguments,
    variation: Variation,
    mut signals: Signals,
) -> Result<(), Failure> {
    if let Some(user) = &arguments.hash_password {
        return print_user(user);
    }
    let settings = arguments.settings()?;
    if arguments.print_config {
        say(&settings.to_toml());
        return Ok(());
    }
    let listeners = bind(&settings).await?;
    let http = match &settings.http {
        Some(address) => Some(bind_http(address).await?),
        None => None,
    };
    let all_local = listeners.iter().all(Listener::is_loopback);
    let authenticator = settings.authenticator(all_local).map_err(Failure::Usage)?;
    let mut config = settings.config();
    if let Some(authenticator) = &authenticator {
        let Access { asks, methods, .. } = authenticator.access();
        config.access = Access { asks, methods, ..config.access };
    }
    config.access.rules = settings.rules().map_err(Failure::Usage)?;
    (variation.configure)(&mut config);
    let limit = config.maximum_packet_size;
    let engine = variation.engine;
    let server = Server::start_engines(
        move || engine(&config),
        limit,
        settings.shell.clone(),
        authenticator,
    );
    let server = Arc::new(server);
    tap(&server, &settings).await?;
    listen(&server, &settings, listeners).await?;
    let mut pages = JoinSet::new();
    if let Some(http) = http {
        let address = http.local_addr().map_err(|error| Failure::Trouble(error.to_string()))?;
        if !address.ip().to_canonical().is_loopback() {
            tracing::warn!(
                %address,
                "whoever can reach the status pages sees Client Identifiers and topics: they have no password"
            );
        }
        say(&format!("status at http://{address}/\n"));
        let mut browsers = settings.browsers.clone();
        let host = settings.http.as_ref().and_then(|http| http.rsplit_once(':'));
        browsers.names.extend(host.map(|(host, _)| host.to_owned()));
        pages.spawn(status::serve(http, Arc::clone(&server), Arc::new(browsers)));
    }
    signals.next().await;
    let telling = tokio::spawn(say_aside("stopping; once more ends it at once\n".into()));
    tokio::select! {
        () = server.stop() => {}
        () = signals.next() => {}
    }
    // Whoever has not read by now does not hold the end up.
    let _ = timeout(LAST_WORD, telling).await;
    Ok(())
}

/// Prints the messages that are asked for.
async fn tap(server: &Server, settings: &Settings) -> Result<(), Failure> {
    for pattern in &settings.taps {
        let tap =
            server.tap(pattern, |message| async move { say_aside(told(&message)).await }).await;
        tap.map_err(|error| Failure::Usage(format!("--tap {pattern}: {error}")))?;
    }
    Ok(())
}

/// Listens, and says where, and where in vain.
async fn listen(
    server: &Server,
    settings: &Settings,
    listeners: Vec<Listener>,
) -> Result<(), Failure> {
    for listener in listeners {
        let (url, is_local) = (listener.endpoint().to_string(), listener.is_loopback());
        if !settings.may_somebody_enter(is_local) {
            tracing::warn!(
                url,
                "nobody may enter there: there is no [[user]], and access.anonymous is not \"everybody\""
            );
        }
        let listener = listener.for_browsers(settings.browsers.clone());
        server.listen_at(listener).await.map_err(|error| Failure::Trouble(error.to_string()))?;
        say(&format!("listening at {url}\n"));
    }
    Ok(())
}

/// Prints a user of the configuration, with the hashes of the password on standard input.
fn print_user(name: &str) -> Result<(), Failure> {
    let mut password = String::new();
    io::stdin()
        .read_line(&mut password)
        .map_err(|error| Failure::Usage(format!("standard input: {error}")))?;
    let password = password.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        return Err(Failure::Usage("standard input has no password".into()));
    }
    let hashed = hash_password(password, Cost::default(), &system_random())
        .map_err(|error| Failure::Trouble(error.to_string()))?;
    let name = toml::Value::from(name);
    let HashedPassword { password, scram } = hashed;
    say(&format!("[[user]]\nname = {name}\npassword = \"{password}\"\nscram = \"{scram}\"\n"));
    Ok(())
}

async fn bind(settings: &Settings) -> Result<Vec<Listener>, Failure> {
    let endpoints: Result<Vec<Endpoint>, _> =
        settings.listen.iter().map(|url| url.parse()).collect();
    let endpoints = endpoints.map_err(|error| Failure::Usage(format!("--listen {error}")))?;
    if endpoints.is_empty() {
        return Err(Failure::Usage("nowhere to listen: say --listen mqtt://127.0.0.1:1883".into()));
    }
    let tls = match settings.tls().map_err(Failure::Usage)? {
        Some(files) => {
            let tls = ServerTls::from_files(&files);
            Some(tls.map_err(|error| Failure::Usage(error.to_string()))?)
        }
        None => None,
    };
    let mut listeners = Vec::with_capacity(endpoints.len());
    for endpoint in &endpoints {
        let listener = Listener::bind(endpoint, tls.as_ref()).await.map_err(|error| {
            let what = error.to_string();
            match error.kind() {
                io::ErrorKind::InvalidInput => Failure::Usage(what),
                _ => Failure::Trouble(what),
            }
        })?;
        listeners.push(listener);
    }
    Ok(listeners)
}

async fn bind_http(address: &str) -> Result<TcpListener, Failure> {
    let (host, port) = match address.rsplit_once(':') {
        Some((host, port)) if !host.contains("//") => (host, port),
        Some(_) => ("", ""),
        None => ("127.0.0.1", address),
    };
    let port = port.parse::<u16>().ok().filter(|_| !host.is_empty()).ok_or_else(|| {
        let told = "write HOST:PORT, such as 127.0.0.1:8080, or only a port of this machine";
        Failure::Usage(format!("--http {address}: {told}"))
    })?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    TcpListener::bind((host, port)).await.map_err(|error| {
        Failure::Trouble(format!("--http {address}: {error}; {}", advice(error.kind())))
    })
}

/// A message on one line: topic, captures, QoS, payload.
fn told(message: &TapMessage) -> String {
    let captures: String =
        message.captures().map(|(name, value)| format!(" {name}={value:?}")).collect();
    let retain = if message.retain() { " retain" } else { "" };
    let payload = match str::from_utf8(message.payload()) {
        Ok(text) => format!("{text:?}"),
        Err(_) => format!("b\"{}\"", message.payload().escape_ascii()),
    };
    let (topic, qos) = (message.topic().as_str(), message.qos().value());
    format!("{topic:?}{captures} qos={qos}{retain} {payload}\n")
}

/// Prints at once. When nobody reads any more the broker goes on.
fn say(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Prints without keeping the broker waiting for whoever reads it.
async fn say_aside(text: String) {
    // It ends when it can: an error means that the process does first.
    let _ = tokio::task::spawn_blocking(move || say(&text)).await;
}
