use std::path::Path;

use super::TargetFile;
use super::keys::nearest;

/// A target file that comes with the program.
#[derive(Clone, Copy, Debug)]
pub struct Provided {
    /// Its name.
    pub name: &'static str,
    /// What is in it.
    pub text: &'static str,
}

impl Provided {
    /// What is in it, read.
    ///
    /// # Errors
    ///
    /// What is wrong with it; a test sees to it that there is nothing.
    pub fn file(&self) -> Result<TargetFile, String> {
        TargetFile::parse(self.text, Path::new("."))
            .map_err(|error| format!("{}: {error}", self.name))
    }

    /// All of them.
    pub fn all() -> impl Iterator<Item = Provided> {
        fixtures::TARGETS.iter().map(|&(name, text)| Provided { name, text })
    }
}

/// The provided file of this name.
///
/// # Errors
///
/// In one sentence, that there is none, and which name is nearest.
pub fn provided(name: &str) -> Result<Provided, String> {
    let names = || Provided::all().map(|it| it.name);
    Provided::all().find(|it| it.name == name).ok_or_else(|| match nearest(name, names()) {
        Some(near) => format!("there is no target '{name}': did you mean '{near}'?"),
        None => format!(
            "there is no target '{name}', only {}; write ./{name} for a file of that name",
            names().collect::<Vec<_>>().join(", ")
        ),
    })
}
