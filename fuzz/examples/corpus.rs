//! The kept inputs, between the files that they are kept in and the folders that a fuzzer works in:
//! `unpack FOLDER` writes `FOLDER/TARGET/...` for every target, `pack TARGET FOLDER` keeps what is in a folder,
//! and `replay TARGET FOLDER` runs the property of a target over it.

use std::path::Path;
use std::{env, fs, io};

use fuzz::{PROPERTIES, corpus};

const USAGE: &str = "unpack FOLDER | pack TARGET FOLDER | replay TARGET FOLDER";

fn main() -> io::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["unpack", folder] => unpack(Path::new(folder)),
        ["pack", target, folder] => corpus::keep(target, inputs(Path::new(folder))?),
        ["replay", target, folder] => replay(target, &inputs(Path::new(folder))?),
        _ => Err(io::Error::other(USAGE)),
    }
}

fn unpack(folder: &Path) -> io::Result<()> {
    for property in PROPERTIES {
        let folder = folder.join(property.name);
        fs::create_dir_all(&folder)?;
        // What is not kept yet is not there to begin with.
        let kept = corpus::kept(property.name).unwrap_or_default();
        for (number, input) in kept.iter().enumerate() {
            fs::write(folder.join(format!("kept{number:04}")), &input.input)?;
        }
    }
    Ok(())
}

fn replay(target: &str, inputs: &[Vec<u8>]) -> io::Result<()> {
    let property = PROPERTIES.iter().find(|property| property.name == target);
    let property = property.ok_or_else(|| io::Error::other(format!("no target '{target}'")))?;
    inputs.iter().for_each(|input| (property.check)(input));
    println!("{target}: {} inputs", inputs.len());
    Ok(())
}

fn inputs(folder: &Path) -> io::Result<Vec<Vec<u8>>> {
    fs::read_dir(folder)?.map(|entry| fs::read(entry?.path())).collect()
}
