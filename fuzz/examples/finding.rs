//! What an input of a target stands for, to be read: `finding TARGET FILE`. One of `core` is a script that
//! `mqttspec replay` plays; texts are themselves; others are their bytes.

use std::fmt::Write;
use std::panic::catch_unwind;
use std::{env, fs, io};

use conformance::script;

const TEXTS: [&str; 4] = ["trace_parse", "script_parse", "register", "settings"];

fn main() -> io::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [target, file] = &arguments[..] else {
        return Err(io::Error::other("finding TARGET FILE"));
    };
    let input = fs::read(file)?;
    let told = match target.as_str() {
        "core" => as_script(&input),
        text if TEXTS.contains(&text) => String::from_utf8_lossy(&input).into_owned(),
        _ => as_bytes(&input),
    };
    println!("{}", told.trim_end());
    Ok(())
}

/// What clients do in an input of `core`; its bytes where the broker does what ends the playing early.
fn as_script(input: &[u8]) -> String {
    match catch_unwind(|| fuzz::play(input)) {
        Ok(trace) => script::to_text(&script::from_trace(&trace)),
        Err(_) => format!("# It ends early, with the panic above. The input:\n{}", as_bytes(input)),
    }
}

/// Bytes in hex, with their letters beside them.
fn as_bytes(input: &[u8]) -> String {
    let mut text = String::new();
    for (number, row) in input.chunks(16).enumerate() {
        let hex: Vec<String> = row.iter().map(|byte| format!("{byte:02x}")).collect();
        let letter = |byte: &u8| if byte.is_ascii_graphic() { char::from(*byte) } else { '.' };
        let letters: String = row.iter().map(letter).collect();
        let _ = writeln!(text, "# {:04x}  {:<47}  {letters}", number * 16, hex.join(" "));
    }
    text
}
