//! Ends what was started when the run itself could not: because it was killed.

use std::io;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

/// What the shell does once its input has ended, which it does with whoever holds the other end: it asks
/// its group of processes to end, kills what is left of it after five seconds, and removes its folder.
/// Killing the group ends the shell as well, so that comes last.
#[cfg(unix)]
const OF_GROUP: &str = "trap '' INT TERM HUP; first=; \
     while read -r word; do [ \"$word\" = done ] && exit; first=$word; done; \
     kill -s TERM -- \"-$$\" 2>/dev/null; \
     for i in 1 2 3 4 5 6 7 8 9 10; do \
         [ -n \"$first\" ] && { kill -s 0 \"$first\" 2>/dev/null || break; }; sleep 0.5; \
     done; \
     [ -n \"$first\" ] && kill -s KILL \"$first\" 2>/dev/null; \
     rm -rf -- \"$0\"; kill -s KILL -- \"-$$\"";

/// A process that waits for ours to end.
#[derive(Debug)]
pub(super) struct Reaper {
    child: Child,
    line: Option<ChildStdin>,
}

impl Reaper {
    /// One that leads a group of its own, which others are started into, and ends it; it removes the
    /// folder too. It is there before them, so no moment is left in which nobody would end them.
    #[cfg(unix)]
    pub(super) fn of_group(folder: &Path) -> io::Result<Reaper> {
        use std::os::unix::process::CommandExt;
        let mut child = Command::new("sh")
            .args(["-c", OF_GROUP])
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        let line = child.stdin.take();
        Ok(Reaper { child, line })
    }

    /// The number of its group.
    pub(super) fn group(&self) -> u32 {
        self.child.id()
    }

    /// Tells it the number of the process that all is over with: it need not wait longer for the rest.
    pub(super) fn waits_for(&mut self, first: u32) {
        self.say(&first.to_string());
    }

    fn say(&mut self, word: &str) {
        use std::io::Write;
        if let Some(line) = &mut self.line {
            // One that has ended needs no word.
            let _ = writeln!(line, "{word}");
        }
    }
}

/// It is told that there is nothing to do.
impl Drop for Reaper {
    fn drop(&mut self) {
        self.say("done");
        drop(self.line.take());
        // It ends at once.
        let _ = self.child.wait();
    }
}
