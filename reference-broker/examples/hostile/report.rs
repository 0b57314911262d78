//! What is printed.

use std::time::Duration;

use crate::attacks::Attack;
use crate::broker::Memory;

/// One attack and what came of it.
pub(crate) struct Row {
    attack: &'static Attack,
    pub(crate) connections: u64,
    pub(crate) sent: u64,
    pub(crate) took: Duration,
    pub(crate) before: Memory,
    pub(crate) peak: Memory,
    pub(crate) after: Memory,
    pub(crate) worst: Duration,
    pub(crate) served: u64,
    pub(crate) told: String,
    pub(crate) log_bytes: usize,
    pub(crate) failure: Option<String>,
}

impl Row {
    pub(crate) fn new(attack: &'static Attack) -> Row {
        Row {
            attack,
            connections: 0,
            sent: 0,
            took: Duration::ZERO,
            before: Memory::default(),
            peak: Memory::default(),
            after: Memory::default(),
            worst: Duration::ZERO,
            served: 0,
            told: String::new(),
            log_bytes: 0,
            failure: None,
        }
    }

    pub(crate) fn print(&self) {
        let verdict = if self.failure.is_none() { "held" } else { "FAILED" };
        println!("{verdict} {} in {:.1} s", self.attack.name, self.took.as_secs_f64());
        if let Some(failure) = &self.failure {
            println!("  {failure}");
        }
    }
}

/// All attacks, with their bounds.
pub(crate) fn list(attacks: &[Attack]) {
    for attack in attacks {
        println!("{}: {}", attack.name, attack.shows);
        println!("  at most {} MiB, {} MiB more than before it", attack.bound, attack.left);
        if !attack.settings.is_empty() {
            println!("  {}", attack.settings.join(" "));
        }
    }
}

/// The table: memory in MiB, times in seconds and milliseconds.
pub(crate) fn table(rows: &[Row]) {
    println!();
    println!(
        "{:<22} {:>7} {:>9} {:>5} {:>7} {:>6} {:>6} {:>6} {:>7} {:>6} {:>7}  told",
        "attack",
        "conns",
        "KiB sent",
        "s",
        "before",
        "peak",
        "bound",
        "after",
        "worst",
        "served",
        "log KiB"
    );
    for row in rows {
        println!(
            "{:<22} {:>7} {:>9} {:>5.1} {:>7} {:>6} {:>6} {:>6} {:>4} ms {:>6} {:>7}  {}",
            row.attack.name,
            row.connections,
            row.sent / 1024,
            row.took.as_secs_f64(),
            row.before.resident / 1024,
            row.peak.peak / 1024,
            row.attack.bound,
            row.after.resident / 1024,
            row.worst.as_millis(),
            row.served,
            row.log_bytes / 1024,
            row.told
        );
    }
}

/// The last lines of a log.
pub(crate) fn tail(log: &str) -> String {
    let mut lines: Vec<&str> = log.lines().rev().take(5).collect();
    lines.reverse();
    lines.join(" | ")
}
