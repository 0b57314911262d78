//! The log, on standard error, which may be a pipe that nobody reads: nobody ever waits for it.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

/// How many lines wait to be written; more are dropped, and their number is told.
const WAITING: usize = 1024;

/// How long it is waited for the last lines at the end.
const LAST_LINES: Duration = Duration::from_millis(500);

/// Writes the log for as long as this is there.
#[derive(Debug)]
pub(super) struct Log {
    lines: Option<Lines>,
    /// Closed when all is written.
    written: Receiver<()>,
}

impl Log {
    /// Writes warnings, or what the variable `MQTTSPEC_LOG` says (`error`, `warn`, `info`, `debug`, `trace`, `off`). It
    /// has no payload and nothing by which clients show who they are.
    pub(super) fn start() -> io::Result<Log> {
        let (lines, log) = Log::to(io::stderr())?;
        let asked = std::env::var("MQTTSPEC_LOG").ok();
        let level = asked.as_ref().and_then(|level| level.parse().ok());
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(level.unwrap_or(tracing::level_filters::LevelFilter::WARN))
            .with_writer(lines)
            .with_ansi(io::stderr().is_terminal())
            .finish();
        // Whoever has set another one up wants that.
        let _ = tracing::subscriber::set_global_default(subscriber);
        if let (Some(asked), None) = (asked, level) {
            tracing::warn!(asked, "MQTTSPEC_LOG is to be error, warn, info, debug, trace or off");
        }
        Ok(log)
    }

    fn to(out: impl Write + Send + 'static) -> io::Result<(Lines, Log)> {
        let (sender, waiting) = sync_channel(WAITING);
        let (done, written) = sync_channel(0);
        let lines = Lines { sender, dropped: Arc::default() };
        std::thread::Builder::new().name("log".into()).spawn(move || {
            write_all(&waiting, out);
            drop(done);
        })?;
        Ok((lines.clone(), Log { lines: Some(lines), written }))
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        if let Some(lines) = self.lines.take() {
            // The subscriber keeps its own way there: an empty line says that this is all.
            let _ = lines.sender.try_send(Vec::new());
        }
        // Whoever does not read by then does not hold the end up.
        let _ = self.written.recv_timeout(LAST_LINES);
    }
}

/// Writes lines until an empty one.
fn write_all(lines: &Receiver<Vec<u8>>, mut out: impl Write) {
    for line in lines {
        // Who does not read it does not want it.
        let _ = out.write_all(&line).and_then(|()| out.flush());
        if line.is_empty() {
            return;
        }
    }
}

/// The way to the log.
#[derive(Clone, Debug)]
struct Lines {
    sender: SyncSender<Vec<u8>>,
    dropped: Arc<AtomicU64>,
}

/// A line that is being made.
struct Line {
    bytes: Vec<u8>,
    lines: Lines,
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line { bytes: Vec::new(), lines: self.clone() }
    }
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if self.bytes.is_empty() {
            return;
        }
        let mut line = Vec::new();
        let lost = self.lines.dropped.swap(0, Ordering::Relaxed);
        if lost > 0 {
            let told = format!("{lost} lines of the log were dropped here: nobody read them\n");
            line.extend_from_slice(told.as_bytes());
        }
        line.append(&mut self.bytes);
        if self.lines.sender.try_send(line).is_err() {
            self.lines.dropped.fetch_add(lost + 1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// What was written, where writing waits as long as somebody has it.
    #[derive(Clone, Default)]
    struct Pipe(Arc<Mutex<Vec<u8>>>);

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn nobody_waits_for_a_log_that_nobody_reads_and_what_is_dropped_is_told() {
        let pipe = Pipe::default();
        let (lines, log) = Log::to(pipe.clone()).unwrap();
        let nobody_reads = pipe.0.lock().unwrap();
        for number in 0..WAITING + 500 {
            writeln!(lines.make_writer(), "{number}").unwrap();
        }
        drop(nobody_reads);
        while lines.dropped.load(Ordering::Relaxed) > 0 {
            // Once there is room again, one more line tells of those that are missing.
            writeln!(lines.make_writer(), "more").unwrap();
            std::thread::yield_now();
        }
        drop(log);
        let written = String::from_utf8(pipe.0.lock().unwrap().clone()).unwrap();
        let whole: Vec<_> = written.lines().take(WAITING).collect();
        let expected: Vec<_> = (0..WAITING).map(|number| number.to_string()).collect();
        assert!(whole == expected, "none of those that wait is lost");
        let told = written.lines().find(|line| line.contains("lines of the log were dropped"));
        assert!(told.is_some(), "{:?}", written.lines().last());
    }

    #[test]
    fn the_last_lines_are_written() {
        let pipe = Pipe::default();
        let (lines, log) = Log::to(pipe.clone()).unwrap();
        for _ in 0..100 {
            writeln!(lines.make_writer(), "a line").unwrap();
        }
        drop(log);
        assert_eq!(pipe.0.lock().unwrap().len(), 700);
    }
}
