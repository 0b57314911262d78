//! Which broker is meant: named by an address or the like, by a target file, or as a command to start.

use clap::Args;
use conformance::exit::Exit;
use conformance::report::quoted;
use conformance::repro::usual_endpoint;
use conformance::runner::TOPIC_PREFIX;
use conformance::target::{Choice, Chosen, Launch, Started, Target, TargetFile, started};
use reference_broker::command::interrupt;
use reference_broker::transport::url::Endpoint;

use super::Failure;
use super::reach::ReachArguments;

/// Where a command serves if nothing else is said.
const STARTED_AT: &str = "mqtt://127.0.0.1:{port}";

#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Starting a broker")]
pub(super) struct TargetArguments {
    /// The broker of a target file: the path of one, or the name of one that is provided (`mqttspec list
    /// --targets`)
    #[arg(id = "target", long = "target", value_name = "FILE | NAME", conflicts_with = "start")]
    targets: Vec<String>,
    /// A variant of its configuration; may be repeated
    #[arg(long = "variant", value_name = "NAME", requires = "target")]
    variants: Vec<String>,
    /// What a value of the target file is to be instead; may be repeated
    #[arg(long = "value", value_name = "NAME=VALUE", requires = "target", value_parser = value)]
    values: Vec<(String, String)>,
    /// By which of its transports to reach it: mqtt, mqtts, ws or wss
    #[arg(long, value_name = "NAME", requires = "target")]
    transport: Option<String>,
    /// Start this command first, wait until the broker answers, and end it afterwards; {port} in it, and
    /// in the URL, is a free port [URL: mqtt://127.0.0.1:{port}]
    #[arg(long, value_name = "COMMAND")]
    start: Option<String>,
}

/// A broker to be tested.
#[derive(Debug)]
pub(super) struct Tested {
    pub(super) target: Target,
    /// What it is called in reports.
    pub(super) name: String,
    /// The words that name it again on a command line.
    pub(super) rerun: String,
    /// How it is started.
    pub(super) launch: Option<Launch>,
    /// What its topics are to begin with, if the target file says so.
    topic_prefix: Option<String>,
}

impl Tested {
    /// What topics begin with: as asked for, or as the target file says, or as usual.
    pub(super) fn topic_prefix(&self, asked: Option<&str>) -> String {
        asked.or(self.topic_prefix.as_deref()).unwrap_or(TOPIC_PREFIX).to_owned()
    }

    /// Where a program is to look for the broker: where it is, or where one usually is.
    pub(super) fn endpoint(&self) -> Endpoint {
        match &self.target {
            Target::Address(address) if self.launch.is_none() => address.endpoint().clone(),
            _ => usual_endpoint(),
        }
    }

    /// Starts what has to be started, unless interrupted.
    pub(super) async fn start(
        self,
        interrupt: impl Future<Output = ()>,
    ) -> Result<Started, Failure> {
        let Tested { target, launch, name, .. } = self;
        let starting = async {
            match (launch, target) {
                (Some(launch), Target::Address(address)) => launch.start(*address).await,
                (_, target) => target.start().await,
            }
        };
        tokio::select! {
            biased;
            () = interrupt => {
                Err((Exit::Trouble, format!("{name} was interrupted before it had started")))
            }
            started = starting => started.map_err(|error| (Exit::Trouble, error)),
        }
    }

    /// Starts what has to be started, does something with it, and ends it, be that interrupted or not.
    pub(super) async fn with_started<T>(
        self,
        work: impl AsyncFnOnce(&Target) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let trouble = |what: String| (Exit::Trouble, what);
        let interrupt = || interrupt().map_err(|error| trouble(error.to_string()));
        let started = self.start(interrupt()?).await?;
        let done = tokio::select! {
            // Work that heeds interruptions itself has something to tell still.
            biased;
            done = work(started.target()) => done,
            () = interrupt()? => Err(trouble("interrupted".to_owned())),
        };
        let stopped = started.stop().await.map_err(trouble);
        done.and_then(|done| stopped.map(|()| done))
    }
}

impl TargetArguments {
    /// Whether they name a broker.
    pub(super) fn names_one(&self) -> bool {
        !self.targets.is_empty() || self.start.is_some()
    }

    /// The target files.
    pub(super) fn files(&self) -> &[String] {
        &self.targets
    }

    /// With this target file only.
    pub(super) fn only(&self, file: &str) -> TargetArguments {
        TargetArguments { targets: vec![file.to_owned()], ..self.clone() }
    }

    /// The broker that is meant by these, by how it is to be reached, and by what stands first among the
    /// other arguments.
    pub(super) fn tested(
        &self,
        first: Option<&str>,
        reach: &ReachArguments,
    ) -> Result<Tested, Failure> {
        match (self.targets.as_slice(), &self.start) {
            ([file], _) => self.of_file(file, first, reach),
            ([_, other, ..], _) => {
                Err(usage(format!("--target {other}: only `mqttspec run` takes more than one")))
            }
            ([], Some(command)) => of_command(command, first.unwrap_or(STARTED_AT), reach),
            ([], None) => {
                let target = first.map(str::parse).transpose().map_err(usage)?.unwrap_or_default();
                let (target, rerun) = reach.apply(target)?;
                let name = target.to_string();
                Ok(Tested { target, name, rerun, launch: None, topic_prefix: None })
            }
        }
    }

    fn of_file(
        &self,
        file: &str,
        first: Option<&str>,
        reach: &ReachArguments,
    ) -> Result<Tested, Failure> {
        if let Some(first) = first {
            return Err(usage(format!(
                "{first} and --target {file} both name a broker: leave one out"
            )));
        }
        let choice = Choice {
            variants: self.variants.clone(),
            values: self.values.clone(),
            transport: self.transport.clone(),
        };
        let wrong = |error: String| usage(format!("--target {file}: {error}"));
        let Chosen { address, topic_prefix, launch } =
            TargetFile::open(file).map_err(usage)?.choose(&choice).map_err(wrong)?;
        let name = match self.variants.is_empty() {
            true => file.to_owned(),
            false => format!("{file} ({})", self.variants.join(", ")),
        };
        let (target, words) = reach.apply(Target::Address(Box::new(address)))?;
        let mut rerun = vec!["--target".to_owned(), quoted(file)];
        for variant in &self.variants {
            rerun.extend(["--variant".to_owned(), quoted(variant)]);
        }
        for (name, value) in &self.values {
            rerun.extend(["--value".to_owned(), quoted(&format!("{name}={value}"))]);
        }
        if let Some(transport) = &self.transport {
            rerun.extend(["--transport".to_owned(), quoted(transport)]);
        }
        // The address itself is the file's.
        rerun.extend(words.split_once(' ').map(|(_, options)| options.to_owned()));
        let rerun = rerun.join(" ");
        Ok(Tested { name: format!("{name} at {target}"), target, rerun, launch, topic_prefix })
    }
}

fn of_command(command: &str, address: &str, reach: &ReachArguments) -> Result<Tested, Failure> {
    let (at, launch) = started(command, address).map_err(usage)?;
    let (target, words) = reach.apply(Target::Address(Box::new(at)))?;
    let options = words.split_once(' ').map(|(_, options)| format!(" {options}"));
    let rerun =
        format!("{} --start {}{}", quoted(address), quoted(command), options.unwrap_or_default());
    let name = format!("`{command}` at {target}");
    Ok(Tested { target, name, rerun, launch: Some(launch), topic_prefix: None })
}

fn value(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("not NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn usage(error: String) -> Failure {
    (Exit::Usage, error)
}
