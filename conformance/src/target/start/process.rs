//! A broker that is a process of this machine.

use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::reaper::Reaper;
use super::tail::Tail;
use crate::target::SECRETS_VARIABLE;

/// How long the rest of what it wrote is waited for when it has ended.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// How long a command that prepares may take.
const PREPARATION: Duration = Duration::from_secs(60);

/// A running process, and those that it starts itself.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    /// Its number.
    id: Option<u32>,
    tail: Tail,
    following: JoinSet<()>,
    /// Leads the group that it is in.
    #[cfg(unix)]
    reaper: Reaper,
}

impl Process {
    /// Starts it where we are; `dir` is the folder that it has for itself.
    pub(super) fn start(
        words: &[String],
        env: &[(String, String)],
        dir: &Path,
    ) -> Result<Process, String> {
        let (program, arguments) = words.split_first().ok_or("the command is empty")?;
        let mut command = command(program, arguments, env);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        #[cfg(unix)]
        let mut reaper = Reaper::of_group(dir).map_err(|error| {
            format!("nothing can be started to end `{program}` after us: {error}")
        })?;
        #[cfg(unix)]
        command.process_group(reaper.group().cast_signed());
        let mut child = command.spawn().map_err(|error| not_started(program, &error))?;
        let tail = Tail::default();
        let mut following = JoinSet::new();
        if let Some(out) = child.stdout.take() {
            following.spawn(tail.clone().follow(out));
        }
        if let Some(errors) = child.stderr.take() {
            following.spawn(tail.clone().follow(errors));
        }
        let id = child.id();
        #[cfg(unix)]
        if let Some(id) = id {
            reaper.waits_for(id);
        }
        Ok(Process {
            child,
            id,
            tail,
            following,
            #[cfg(unix)]
            reaper,
        })
    }

    /// How it ended; none while it runs.
    pub(super) async fn ended(&mut self) -> Option<ExitStatus> {
        let status = self.child.try_wait().ok().flatten()?;
        // What others of its group hold open does not end.
        let _ = timeout(LAST_WORDS, async { while self.following.join_next().await.is_some() {} })
            .await;
        Some(status)
    }

    pub(super) fn last_lines(&self, count: usize) -> Vec<String> {
        self.tail.lines(count)
    }

    /// Asks it to end, and kills it if it has not by then. Gives whether it ended by itself.
    pub(super) async fn stop(
        &mut self,
        signal: Option<&str>,
        within: Duration,
    ) -> io::Result<bool> {
        if self.child.try_wait()?.is_some() {
            self.kill().await?;
            return Ok(true);
        }
        self.signal(signal)?;
        let ended = timeout(within, self.child.wait()).await.is_ok();
        // Whatever it has left of its group goes too.
        self.kill().await?;
        Ok(ended)
    }

    /// Kills it, and all that it started.
    pub(super) async fn kill(&mut self) -> io::Result<()> {
        self.kill_group();
        // An error says that it has ended.
        let _ = self.child.start_kill();
        self.child.wait().await.map(drop)
    }

    /// The memory that its group has without the one who leads it, in bytes, as far as that is to be known.
    #[cfg(unix)]
    pub(super) fn memory(&self) -> Option<u64> {
        let group = self.reaper.group();
        memory_of(|process, its_group| its_group == group && process != group)
    }

    #[cfg(not(unix))]
    pub(super) fn memory(&self) -> Option<u64> {
        None
    }

    #[cfg(unix)]
    fn signal(&mut self, name: Option<&str>) -> io::Result<()> {
        use rustix::process::{Pid, Signal, kill_process};
        let signal = match name {
            None | Some("SIGTERM") => Signal::TERM,
            Some("SIGINT") => Signal::INT,
            Some("SIGQUIT") => Signal::QUIT,
            Some("SIGHUP") => Signal::HUP,
            Some(other) => {
                let known = "SIGTERM, SIGINT, SIGQUIT or SIGHUP";
                return Err(io::Error::other(format!("stop_signal is '{other}', not {known}")));
            }
        };
        let pid = self.id.and_then(|id| Pid::from_raw(id.cast_signed()));
        pid.map_or(Ok(()), |pid| Ok(kill_process(pid, signal)?))
    }

    #[cfg(not(unix))]
    fn signal(&mut self, _: Option<&str>) -> io::Result<()> {
        self.child.start_kill()
    }

    #[cfg(unix)]
    fn kill_group(&self) {
        use rustix::process::{Pid, Signal, kill_process_group};
        if let Some(group) = Pid::from_raw(self.reaper.group().cast_signed()) {
            // An error says that there is nobody in it any more.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }

    #[cfg(not(unix))]
    fn kill_group(&self) {}
}

impl Drop for Process {
    fn drop(&mut self) {
        // Its number is its own until it was waited for.
        if self.child.id().is_some() {
            self.kill_group();
        }
    }
}

/// Runs a command to its end.
///
/// # Errors
///
/// In one sentence, why it did not do what it is for.
pub(super) async fn run(
    words: &[String],
    env: &[(String, String)],
    dir: &Path,
) -> Result<(), String> {
    let (program, arguments) = words.split_first().ok_or("a command to prepare is empty")?;
    let mut command = command(program, arguments, env);
    let output = command.stdin(Stdio::null()).current_dir(dir).output();
    let output = match timeout(PREPARATION, output).await {
        Ok(output) => output.map_err(|error| not_started(program, &error))?,
        Err(_) => return Err(format!("`{}` had not ended after {PREPARATION:?}", words.join(" "))),
    };
    if output.status.success() {
        return Ok(());
    }
    let wrote = super::tail::lines(&[output.stdout, output.stderr].concat(), 1);
    Err(format!(
        "`{}` ended with {}; the last it wrote was: {}",
        words.join(" "),
        output.status,
        wrote.first().map_or("nothing", String::as_str)
    ))
}

fn command(program: &str, arguments: &[String], env: &[(String, String)]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).env_remove(SECRETS_VARIABLE).envs(env.iter().cloned());
    command.kill_on_drop(true);
    #[cfg(unix)]
    if !env.iter().any(|(name, _)| name == "PATH") {
        command.env("PATH", path_with_servers());
    }
    #[cfg(unix)]
    command.process_group(0);
    command
}

/// Where programs are looked for. Many brokers are where only administrators look.
#[cfg(unix)]
fn path_with_servers() -> std::ffi::OsString {
    let mut path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into());
    path.push(":/usr/local/sbin:/usr/sbin");
    path
}

fn not_started(program: &str, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => {
            format!("there is no program `{program}` here: install it, or name it with its path")
        }
        _ => format!("`{program}` cannot be started: {error}"),
    }
}

/// What all processes of a group have, in bytes.
#[cfg(feature = "containers")]
pub(super) fn memory_of_group(group: u32) -> Option<u64> {
    memory_of(|_, its_group| its_group == group)
}

/// What one process has, in bytes.
pub(crate) fn memory_of_process(id: u32) -> Option<u64> {
    memory_of(|process, _| process == id)
}

/// What the processes have that are meant by their number and that of their group, in bytes.
#[cfg(target_os = "linux")]
fn memory_of(meant: impl Fn(u32, u32) -> bool) -> Option<u64> {
    let page = u64::try_from(rustix::param::page_size()).ok()?;
    let of = |process: std::fs::DirEntry| {
        let number = process.file_name().to_str()?.parse().ok()?;
        let stat = std::fs::read_to_string(process.path().join("stat")).ok()?;
        // The name, in parentheses, may hold anything.
        let (_, rest) = stat.rsplit_once(')')?;
        let mut words = rest.split_whitespace();
        let group = words.nth(2)?.parse().ok()?;
        let pages: u64 = words.nth(18)?.parse().ok()?;
        meant(number, group).then_some(pages * page)
    };
    let all = std::fs::read_dir("/proc").ok()?.filter_map(|entry| of(entry.ok()?)).sum();
    Some(all).filter(|all| *all > 0)
}

#[cfg(not(target_os = "linux"))]
fn memory_of(_: impl Fn(u32, u32) -> bool) -> Option<u64> {
    None
}
