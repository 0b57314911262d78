//! Ends what was started when the run itself could not: because it was killed.

use std::io;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

/// What the shell does once its input has ended, which it does with whoever holds the other end: it asks
/// the group of processes to end, kills what is left of it after five seconds, and removes its folder.
#[cfg(unix)]
const OF_GROUP: &str = "trap '' INT TERM HUP; read -r end || true; [ \"$end\" = done ] && exit; \
     kill -s TERM -- \"-$0\" 2>/dev/null; \
     for i in 1 2 3 4 5 6 7 8 9 10; do kill -s 0 -- \"-$0\" 2>/dev/null || break; sleep 0.5; done; \
     kill -s KILL -- \"-$0\" 2>/dev/null; rm -rf -- \"$1\"";

/// A process that waits for ours to end.
#[derive(Debug)]
pub(super) struct Reaper {
    child: Child,
    line: Option<ChildStdin>,
}

impl Reaper {
    /// One that ends a group of processes, and removes the folder that it has.
    #[cfg(unix)]
    pub(super) fn of_group(group: u32, folder: &Path) -> io::Result<Reaper> {
        use std::os::unix::process::CommandExt;
        let mut child = Command::new("sh")
            .args(["-c", OF_GROUP, &group.to_string()])
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        let line = child.stdin.take();
        Ok(Reaper { child, line })
    }
}

/// It is told that there is nothing to do.
impl Drop for Reaper {
    fn drop(&mut self) {
        use std::io::Write;
        if let Some(mut line) = self.line.take() {
            // One that has ended needs no word.
            let _ = line.write_all(b"done\n");
        }
        // It ends at once.
        let _ = self.child.wait();
    }
}
