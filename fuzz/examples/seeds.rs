//! Writes the inputs that fuzzing begins with: `DIR/TARGET/...`, a file an input. They are packet
//! vectors, what targets have of their own, and what once broke a property.

use std::path::Path;
use std::{env, fs, io};

use fuzz::{PROPERTIES, seed};

fn main() -> io::Result<()> {
    let Some(folder) = env::args_os().nth(1) else {
        return Err(io::Error::other("the folder to write to is missing"));
    };
    for property in PROPERTIES {
        let folder = Path::new(&folder).join(property.name);
        fs::create_dir_all(&folder)?;
        let seeds = seed::all(&property)?;
        let known = seed::regressions(property.name)?.into_iter();
        let inputs = seeds.into_iter().chain(known.map(|regression| regression.input));
        for (number, input) in inputs.enumerate() {
            fs::write(folder.join(format!("seed{number:04}")), input)?;
        }
    }
    Ok(())
}
