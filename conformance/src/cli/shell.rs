//! What shells and `man` need to know of the command line, made from it.

use std::path::PathBuf;

use clap::{Args, CommandFactory};
use clap_complete::Shell;
use conformance::exit::Exit;

use super::{Arguments, Failure, print};

/// What the program is called.
const NAME: &str = "mqttspec";

#[derive(Args, Debug)]
pub(super) struct CompletionsArguments {
    /// For which shell
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Args, Debug)]
pub(super) struct ManArguments {
    /// Write a page for each command too, into this folder
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
}

/// Prints a script by which a shell completes commands.
pub(super) fn completions(arguments: &CompletionsArguments) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Arguments::command(), NAME, &mut script);
    print(&String::from_utf8_lossy(&script))
}

/// Prints the manual page, or writes all of them.
pub(super) fn man(arguments: &ManArguments) -> Result<Exit, Failure> {
    let command = Arguments::command();
    match &arguments.folder {
        Some(folder) => std::fs::create_dir_all(folder)
            .and_then(|()| clap_mangen::generate_to(command, folder))
            .map_err(|error| (Exit::Trouble, format!("{}: {error}", folder.display())))
            .map(|()| Exit::AsExpected),
        None => {
            let mut page = Vec::new();
            let rendered = clap_mangen::Man::new(command).render(&mut page);
            rendered.map_err(|error| (Exit::Trouble, error.to_string()))?;
            print(&String::from_utf8_lossy(&page))
        }
    }
}
