use std::future::Future;
use std::io;

/// Done at the first SIGINT (Ctrl-C), SIGTERM or SIGHUP (the terminal was closed).
///
/// # Errors
///
/// When the system does not let the process hear of them.
pub fn interrupt() -> io::Result<impl Future<Output = ()>> {
    let mut signals = Signals::new()?;
    Ok(async move { signals.next().await })
}

/// As [`interrupt`], for one who is to hear of every such signal.
#[derive(Debug)]
pub struct Interruptions(Signals);

impl Interruptions {
    /// Hears them from now on.
    ///
    /// # Errors
    ///
    /// As [`interrupt`].
    pub fn new() -> io::Result<Interruptions> {
        Signals::new().map(Interruptions)
    }

    /// Waits for the next one.
    pub async fn next(&mut self) {
        self.0.next().await;
    }
}

/// SIGINT (Ctrl-C), SIGTERM and SIGHUP, from when this is made.
#[cfg(unix)]
#[derive(Debug)]
pub(super) struct Signals {
    interrupted: tokio::signal::unix::Signal,
    ended: tokio::signal::unix::Signal,
    /// None for who was started to outlive its terminal.
    hung_up: Option<tokio::signal::unix::Signal>,
}

#[cfg(unix)]
impl Signals {
    pub(super) fn new() -> io::Result<Signals> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Signals {
            interrupted: signal(SignalKind::interrupt())?,
            ended: signal(SignalKind::terminate())?,
            hung_up: match ignores_hangup() {
                true => None,
                false => Some(signal(SignalKind::hangup())?),
            },
        })
    }

    pub(super) async fn next(&mut self) {
        let hung_up = async {
            match &mut self.hung_up {
                Some(hung_up) => hung_up.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupted.recv() => {}
            _ = self.ended.recv() => {}
            _ = hung_up => {}
        }
    }
}

/// Whether the process was started with SIGHUP ignored, as `nohup` does, as far as the system tells.
#[cfg(unix)]
fn ignores_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|signals| u64::from_str_radix(signals.trim(), 16).ok());
    ignored.is_some_and(|signals| signals & 1 != 0) // SIGHUP is number 1.
}

/// Ctrl-C.
#[cfg(not(unix))]
#[derive(Debug)]
pub(super) struct Signals;

#[cfg(not(unix))]
impl Signals {
    pub(super) fn new() -> io::Result<Signals> {
        Ok(Signals)
    }

    pub(super) async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            // No such signal here: nothing ever interrupts.
            std::future::pending::<()>().await;
        }
    }
}
