//! The broker under attack: a process of its own, so that what it takes up can be read.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use reference_broker::transport::tls::Authority;

/// How long to wait for the broker to start, or to end.
const PATIENCE: Duration = Duration::from_secs(20);

/// Files that all brokers of a run share, and their command.
pub(crate) struct Workshop {
    directory: tempfile::TempDir,
    command: PathBuf,
    tls: (PathBuf, PathBuf),
    /// Settings that are given to every broker last.
    overrides: Vec<String>,
}

impl Workshop {
    pub(crate) fn new(command: PathBuf, overrides: Vec<String>) -> Result<Workshop, String> {
        let directory = tempfile::tempdir().map_err(told)?;
        let authority = Authority::new("hostile").map_err(told)?;
        let pair = authority.server(&["localhost", "127.0.0.1"]).map_err(told)?;
        let tls = pair.write(directory.path(), "server").map_err(told)?;
        Ok(Workshop { directory, command, tls, overrides })
    }

    /// Starts a broker with these settings, listening on free ports.
    pub(crate) fn start(&self, name: &str, settings: &[&str]) -> Result<Broker, String> {
        let log = self.directory.path().join(format!("{name}.log"));
        let mut command = Command::new(&self.command);
        for listen in ["mqtt", "mqtts", "ws", "wss"] {
            command.args(["--listen", &format!("{listen}://127.0.0.1:0")]);
        }
        let (certificate, key) = &self.tls;
        command.args([
            "--http",
            "0",
            "--set",
            &format!("tls.certificate={}", certificate.display()),
        ]);
        command.args(["--set", &format!("tls.key={}", key.display())]);
        for setting in settings.iter().copied().chain(self.overrides.iter().map(String::as_str)) {
            command.args(["--set", setting]);
        }
        let stderr = File::create(&log).map_err(told)?;
        command.env("MQTTSPEC_LOG", "warn").stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(stderr);
        let started = command.spawn();
        let mut child = started.map_err(|error| format!("{}: {error}", self.command.display()))?;
        let out = child.stdout.take().ok_or("no output of the broker")?;
        let mut broker = Broker { child, log, urls: Vec::new(), http: None };
        for line in BufReader::new(out).lines() {
            let line = line.map_err(told)?;
            if let Some(url) = line.strip_prefix("listening at ") {
                broker.urls.push(url.to_owned());
            }
            if let Some(url) = line.strip_prefix("status at http://") {
                broker.http = url.trim_end_matches('/').parse().ok();
                return Ok(broker);
            }
        }
        Err(format!("the broker does not start: {}", broker.log_text()))
    }
}

/// A running broker; killed when this is dropped.
pub(crate) struct Broker {
    child: Child,
    log: PathBuf,
    /// Where it listens.
    pub(crate) urls: Vec<String>,
    http: Option<SocketAddr>,
}

/// What the system says of the process, in KiB.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Memory {
    pub(crate) resident: u64,
    pub(crate) peak: u64,
}

impl Broker {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn memory(&self) -> Memory {
        memory(self.pid()).unwrap_or_default()
    }

    /// How many file descriptors it has.
    pub(crate) fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid())).map_or(0, Iterator::count)
    }

    pub(crate) fn log_text(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Whether it still runs.
    pub(crate) fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// A metric by its name as it stands in the text, labels included.
    pub(crate) fn metric(&self, name: &str) -> Result<u64, String> {
        let text = self.metrics()?;
        let mut values = text.lines().filter_map(|line| line.strip_prefix(name));
        let value = values.find_map(|rest| rest.strip_prefix(' ')?.trim().parse().ok());
        value.ok_or_else(|| format!("no metric {name}"))
    }

    fn metrics(&self) -> Result<String, String> {
        let address = self.http.ok_or("no status")?;
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE).map_err(told)?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(told)?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").map_err(told)?;
        let mut text = String::new();
        stream.read_to_string(&mut text).map_err(told)?;
        Ok(text)
    }

    /// Tells it to end, and waits for that; says what is wrong with how it ends.
    pub(crate) fn stop(mut self) -> Result<(), String> {
        let pid = self.pid().to_string();
        let signalled = Command::new("kill").args(["-TERM", &pid]).status().map_err(told)?;
        if !signalled.success() {
            return Err("the broker had ended before it was told to".to_owned());
        }
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            match self.child.try_wait().map_err(told)? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => return Err(format!("the broker ended with {status}")),
                None => std::thread::park_timeout(Duration::from_millis(10)),
            }
        }
        Err(format!("the broker does not end within {PATIENCE:?} of SIGTERM"))
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill(); // It may have ended.
        let _ = self.child.wait();
    }
}

/// What a process has in memory.
pub(crate) fn memory(pid: u32) -> Option<Memory> {
    let status =
        fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status")).ok()?;
    let value = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key))?;
        line.trim().trim_end_matches("kB").trim().parse().ok()
    };
    Some(Memory { resident: value("VmRSS:")?, peak: value("VmHWM:")? })
}

fn told(error: impl std::fmt::Display) -> String {
    error.to_string()
}
