//! Hostile input against the broker as it ships: the real command, in a process of its own, over real
//! sockets. While each attack lasts, innocent clients have to be served, and what the broker takes
//! up in memory has to stay below a stated bound; afterwards no connection and no file descriptor
//! may be left, and somebody new has to be served. `ci/hostile` runs it.
//!
//! An attack has a fresh broker with the default configuration, but for timeouts that would only be
//! waited for, and stores that would only take longer to fill; the table names them.

mod attacks;
mod broker;
mod client;
mod innocent;
mod report;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use clap::Parser;
use tokio::time::sleep;

use attacks::{ATTACKS, Attack};
use broker::{Broker, Memory, Workshop};
use client::Site;
use innocent::{DEADLINE, Innocents};
use report::Row;

/// How often the broker is looked at while it is attacked.
const LOOK: Duration = Duration::from_millis(20);

/// How long an attack may take, and how long afterwards all of it may take to be gone.
const LONGEST: Duration = Duration::from_secs(60);
const AFTERMATH: Duration = Duration::from_secs(30);

/// Attacks a broker, and says whether it serves the innocent within its bounds
#[derive(Parser)]
struct Arguments {
    /// Attacks by the beginnings of their names; all without any
    attacks: Vec<String>,
    /// The broker's command [default: the reference-broker built beside this]
    #[arg(long)]
    broker: Option<PathBuf>,
    /// Set a key of the broker's configuration, whatever the attack sets; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Where randomness begins
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// List the attacks, with the bounds they are held to
    #[arg(long)]
    list: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.list {
        report::list(ATTACKS);
        return ExitCode::SUCCESS;
    }
    match run(&arguments) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(failed) => {
            println!("hostile: {failed} of the attacks above got through");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("hostile: {error}");
            ExitCode::from(3)
        }
    }
}

fn run(arguments: &Arguments) -> Result<usize, String> {
    let wanted = |attack: &&Attack| {
        let names = &arguments.attacks;
        names.is_empty() || names.iter().any(|name| attack.name.starts_with(name.as_str()))
    };
    let chosen: Vec<&Attack> = ATTACKS.iter().filter(wanted).collect();
    if chosen.is_empty() {
        return Err("no attack has such a name; --list shows them".to_owned());
    }
    let command = match &arguments.broker {
        Some(command) => command.clone(),
        None => beside()?,
    };
    let workshop = Workshop::new(command, arguments.set.clone())?;
    let most = descriptors()?.saturating_sub(500);
    let started = Instant::now();
    println!("seed {}, {most} connections at the most", arguments.seed);
    let mut rows = Vec::new();
    for attack in chosen {
        let row = attempt(attack, &workshop, most, arguments.seed);
        row.print();
        rows.push(row);
    }
    report::table(&rows);
    println!("{} attacks in {:.1} s", rows.len(), started.elapsed().as_secs_f64());
    Ok(rows.iter().filter(|row| row.failure.is_some()).count())
}

/// The broker's command, built beside this example.
fn beside() -> Result<PathBuf, String> {
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let directory = own.parent().and_then(std::path::Path::parent);
    let broker = directory.map(|directory| directory.join("reference-broker"));
    broker.filter(|broker| broker.is_file()).ok_or_else(|| "build reference-broker first".into())
}

/// How many file descriptors a process may have here; the broker may have as many.
fn descriptors() -> Result<usize, String> {
    let limits = fs::read_to_string("/proc/self/limits").map_err(|error| error.to_string())?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().next());
    soft.and_then(|soft| soft.parse().ok()).ok_or_else(|| "no limit of open files".to_owned())
}

/// One attack on a fresh broker.
fn attempt(attack: &'static Attack, workshop: &Workshop, most: usize, seed: u64) -> Row {
    let mut row = Row::new(attack);
    let outcome = assault(attack, workshop, (most, seed), &mut row);
    row.failure = outcome.err();
    row
}

fn assault(
    attack: &Attack,
    workshop: &Workshop,
    (most, seed): (usize, u64),
    row: &mut Row,
) -> Result<(), String> {
    let mut broker = workshop.start(attack.name, attack.settings)?;
    let site = Site::new(&broker.urls, most, seed)?;
    let innocents = Innocents::start(&site)?;
    let descriptors = broker.descriptors();
    row.before = broker.memory();
    site.opened.store(0, Ordering::Relaxed);
    site.sent.store(0, Ordering::Relaxed);
    let started = Instant::now();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let outcome = runtime.block_on(async {
        tokio::select! {
            outcome = (attack.run)(Arc::clone(&site)) => outcome,
            wrong = watch(attack, &mut broker, &innocents) => Err(wrong),
        }
    });
    row.took = started.elapsed();
    row.connections = site.opened.load(Ordering::Relaxed);
    row.sent = site.sent.load(Ordering::Relaxed);
    runtime.shutdown_timeout(Duration::from_secs(5));
    let outcome = outcome.and_then(|()| settle(&broker, &site, descriptors));
    let (seen, metrics) = (Arc::clone(&innocents.seen), check_metrics(&broker));
    row.peak = broker.memory();
    row.worst = seen.worst();
    row.served = seen.served.load(Ordering::Relaxed);
    row.told = site.told();
    row.log_bytes = broker.log_text().len();
    innocents.stop();
    row.after = broker.memory();
    outcome?;
    seen.failure().map_or(Ok(()), Err)?;
    metrics?;
    check_memory(attack, row)?;
    check_log(&broker)?;
    broker.stop()
}

/// Ends with what is wrong, as soon as something is.
async fn watch(attack: &Attack, broker: &mut Broker, innocents: &Innocents) -> String {
    let started = Instant::now();
    loop {
        sleep(LOOK).await;
        let Memory { resident, .. } = broker.memory();
        if resident > attack.bound * 1024 {
            let (has, bound) = (resident / 1024, attack.bound);
            return format!("the broker has {has} MiB in memory; the bound is {bound} MiB");
        }
        if let Some(failure) = innocents.seen.failure() {
            return failure;
        }
        if !broker.is_running() {
            return format!("the broker has ended: {}", report::tail(&broker.log_text()));
        }
        if started.elapsed() > LONGEST {
            return format!("the attack is not over within {LONGEST:?}");
        }
    }
}

/// Waits until nothing is left of the attack, and lets somebody new come.
fn settle(broker: &Broker, site: &Arc<Site>, descriptors: usize) -> Result<(), String> {
    let deadline = Instant::now() + AFTERMATH;
    loop {
        let connections = broker.metric("mqtt_shell_connections")?;
        let sessions = broker.metric("mqtt_sessions{state=\"waiting\"}")?;
        let open = broker.descriptors();
        if connections <= innocent::CONNECTIONS && sessions == 0 && open <= descriptors {
            break;
        }
        if Instant::now() > deadline {
            return Err(format!(
                "{AFTERMATH:?} after the attack there are {connections} connections, {sessions} \
                 sessions that wait and {open} file descriptors; before it {} connections, no \
                 session and {descriptors} descriptors",
                innocent::CONNECTIONS
            ));
        }
        std::thread::park_timeout(Duration::from_millis(100));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    runtime.block_on(innocent::newcomers(site))
}

fn check_metrics(broker: &Broker) -> Result<(), String> {
    for name in ["mqtt_restarts_total", "mqtt_shell_ended_total{cause=\"panic\"}"] {
        let count = broker.metric(name)?;
        if count > 0 {
            let log = report::tail(&broker.log_text());
            return Err(format!("{name} is {count}, not 0: {log}"));
        }
    }
    Ok(())
}

fn check_memory(attack: &Attack, row: &Row) -> Result<(), String> {
    let (peak, bound) = (row.peak.peak / 1024, attack.bound);
    if peak > bound {
        return Err(format!("the broker had {peak} MiB in memory; the bound is {bound} MiB"));
    }
    let (before, after) = (row.before.resident / 1024, row.after.resident / 1024);
    if after > before + attack.left {
        return Err(format!(
            "{after} MiB stay in memory; {before} MiB before and {} MiB more are the bound",
            attack.left
        ));
    }
    match row.worst > DEADLINE {
        true => Err(format!("an innocent waited for {:?}; the bound is {DEADLINE:?}", row.worst)),
        false => Ok(()),
    }
}

fn check_log(broker: &Broker) -> Result<(), String> {
    let log = broker.log_text();
    match log.lines().find(|line| line.contains("panicked") || line.contains("died")) {
        Some(line) => Err(format!("the log says: {line}")),
        None => Ok(()),
    }
}
