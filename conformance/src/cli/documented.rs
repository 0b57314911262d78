//! Every command line that the documentation shows is one that `mqttspec` accepts, and selects something.

use clap::CommandFactory;
use clap::error::ErrorKind;
use conformance::runner::Selection;
use conformance::target::{Choice, Target, TargetFile};
use conformance::{chameleon, flaw, mutant, oracle, requirement, scenario};
use reference_broker::codec::{PropertyId, ReasonCode};

use super::Arguments;

// Tests of links and names have use for the rest of it.
#[allow(dead_code)]
#[path = "../../tests/docs/page.rs"]
mod page;

/// What a word in capitals stands for, by what comes right before it, if that tells.
const PLACEHOLDERS: &[(&str, &str, &str)] = &[
    ("mutants", "ID", "3.12/pingresp-lost"),
    ("--mutant", "ID", "3.12/pingresp-lost"),
    ("mutant", "ID", "3.12/pingresp-lost"),
    ("--flaw", "NAME", "leak/will"),
    ("--switch", "NAME", "hides-reasons"),
    ("", "N", "3"),
    ("", "ID", "3.1/second-connect-closes"),
    ("", "SECTION", "3.1"),
    ("", "SWITCH", "hides-reasons"),
    ("", "TARGET", "embedded:"),
    ("", "URL", "mqtt://localhost:1883"),
    ("", "A", "embedded:"),
    ("", "B", "embedded:"),
];

/// Options of other programs that pages name.
const OTHERS_OPTIONS: &[&str] = &["--no-default-features", "--sanitizer", "--target-dir"];

/// What ends a command in a shell.
const ENDS: &[&str] = &["|", "||", "&&", ";", "&", ">", ">>", "2>&1", "2>", "<"];

#[test]
fn command_lines_are_accepted() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for page in page::pages() {
        for (line, words) in commands(&page) {
            count += 1;
            if let Err(why) = accept(&page, &words) {
                wrong.push(format!("{}: mqttspec {}\n  {why}", page.at(line), words.join(" ")));
            }
        }
    }
    assert!(count > 100, "only {count} command lines: are they read?");
    assert!(wrong.is_empty(), "command lines that are not accepted:\n{}", wrong.join("\n"));
}

#[test]
fn options_that_pages_name_are_there() {
    let command = Arguments::command();
    let of = |command: &clap::Command| -> Vec<String> {
        command.get_arguments().filter_map(|it| Some(format!("--{}", it.get_long()?))).collect()
    };
    let mut known: Vec<_> = command.get_subcommands().flat_map(of).collect();
    known.extend(["--help", "--version"].map(str::to_owned));
    let mut wrong = Vec::new();
    let mut others = Vec::new();
    for page in page::pages() {
        for span in page.spans().into_iter().filter(|span| span.text.starts_with("--")) {
            let name = span.text.split([' ', '=']).next().unwrap_or_default();
            if OTHERS_OPTIONS.contains(&name) {
                others.push(name.to_owned());
            } else if !known.iter().any(|it| it == name) {
                wrong.push(format!("{}: `{}`", page.at(span.line), span.text));
            }
        }
    }
    assert!(wrong.is_empty(), "options that do not exist:\n{}", wrong.join("\n"));
    let in_vain: Vec<_> =
        OTHERS_OPTIONS.iter().filter(|it| !others.iter().any(|o| o == *it)).collect();
    assert!(in_vain.is_empty(), "listed in vain: {in_vain:?}");
}

/// The command lines of a page, without the name of the program, and where they are.
fn commands(page: &page::Page) -> Vec<(usize, Vec<String>)> {
    let mut commands = Vec::new();
    for block in page.blocks() {
        // What is printed, and what programs are written in, is no shell's.
        if matches!(&*block.language, "text" | "toml" | "json" | "rust" | "console") {
            continue;
        }
        let text = block.text.replace("\\\n", " ");
        for (line, text) in text.lines().enumerate() {
            commands.extend(command_line(text).map(|words| (block.line + line, words)));
        }
    }
    for span in page.spans() {
        commands.extend(command_line(&span.text).map(|words| (span.line, words)));
    }
    commands
}

/// The words of a line that calls the program, be it in a shell, in YAML or in a pipeline of Jenkins.
fn command_line(line: &str) -> Option<Vec<String>> {
    let mut line = line.trim();
    for before in ["$ ", "- ", "run: ", "script: ", "- run: "] {
        line = line.strip_prefix(before).unwrap_or(line);
    }
    // A variable for the program alone.
    if let Some((name, rest)) = line.split_once(' ').filter(|(name, _)| name.contains('=')) {
        let is_variable =
            name.split('=').next().is_some_and(|it| it.bytes().all(|b| b.is_ascii_uppercase()));
        line = if is_variable { rest } else { line };
    }
    for quote in ["'", "\""] {
        let quoted = line.strip_prefix("sh ").and_then(|it| it.strip_prefix(quote));
        line = quoted.and_then(|it| it.strip_suffix(quote)).unwrap_or(line);
    }
    let programs = ["mqttspec ", "cargo run --release -- ", "target/release/mqttspec "];
    let rest = programs.iter().find_map(|program| line.strip_prefix(program))?;
    let mut lexer = shlex::Shlex::new(rest);
    let words: Vec<_> = lexer.by_ref().take_while(|word| !ENDS.contains(&&**word)).collect();
    assert!(!lexer.had_error, "{line}: quotes that do not end");
    // A sentence about it, such as `mqttspec ...`.
    (words.first().is_some_and(|word| word != "...")).then_some(words)
}

fn accept(page: &page::Page, words: &[String]) -> Result<(), String> {
    let is_alone = words.len() == 1;
    let before = ["mqttspec"].into_iter().chain(words.iter().map(String::as_str));
    let words = before.zip(words).map(|(before, word)| filled(before, word));
    let words = ["mqttspec".to_owned()].into_iter().chain(words);
    let matches = match Arguments::command().try_get_matches_from(words) {
        Ok(matches) => matches,
        Err(error) => {
            return match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Ok(()),
                // It is named, not called.
                ErrorKind::MissingRequiredArgument if is_alone => Ok(()),
                _ => Err(error.to_string()),
            };
        }
    };
    let Some((command, matches)) = matches.subcommand() else { return Ok(()) };
    let all = |name: &str| -> Vec<String> {
        let values = matches.try_get_many::<String>(name).ok().flatten();
        values.into_iter().flatten().cloned().collect()
    };
    for started in all("start").iter().filter_map(|started| command_line(started)) {
        accept(page, &started)?;
    }
    match command {
        "run" => {
            let mut chosen = all("arguments");
            let names_target = chosen.first().is_some_and(|first| first.contains(':'));
            is_target(page, chosen.drain(..usize::from(names_target)))?;
            is_started(all)?;
            selects(page, chosen, all("exclude"))
        }
        "list" => selects(page, all("selection"), Vec::new()),
        "chameleon" => {
            are_known(all("switches"), |it| chameleon::find(it).is_some())?;
            selects(page, all("selection"), Vec::new())
        }
        "mutants" => {
            let is_one = |it: &str| mutant::all().iter().any(|mutant| matches_id(it, mutant.id));
            are_known(all("selection"), |it| is_one(it) || page.makes(it))?;
            selects(page, all("scenarios"), Vec::new())
        }
        "explain" => are_known(all("id"), is_explained),
        "broker" => {
            are_known(all("mutant"), |it| mutant::find(it).is_some())?;
            are_known(all("switches"), |it| chameleon::find(it).is_some())?;
            are_known(all("flaw"), |it| flaw::find(it).is_ok())
        }
        "wait" => is_target(page, all("url")),
        "diff" | "choices" | "fuzz" | "replay" => {
            is_target(page, all("targets").into_iter().chain(all("broker")))?;
            is_started(all)
        }
        _ => Ok(()),
    }
}

fn is_target(page: &page::Page, targets: impl IntoIterator<Item = String>) -> Result<(), String> {
    for target in targets {
        let is_made = target.split_once("mutant=").is_some_and(|(_, mutant)| page.makes(mutant));
        match target.parse::<Target>() {
            Err(error) if !is_made => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Whether the options that start a broker name one that is provided, if it is by a name, with variants of it.
fn is_started(all: impl Fn(&str) -> Vec<String>) -> Result<(), String> {
    let Some(target) = all("target").pop().filter(|it| !it.ends_with(".toml")) else {
        return Ok(());
    };
    let choice =
        Choice { variants: all("variants"), values: Vec::new(), transport: all("transport").pop() };
    TargetFile::open(&target)?.choose(&choice).map(|_| ())
}

fn selects(page: &page::Page, chosen: Vec<String>, excluded: Vec<String>) -> Result<(), String> {
    match Selection::new(chosen).without(excluded).scenarios() {
        Err(error) if !page.makes(&error.argument) => Err(error.to_string()),
        _ => Ok(()),
    }
}

fn are_known(names: Vec<String>, is_known: impl Fn(&str) -> bool) -> Result<(), String> {
    match names.iter().find(|name| !is_known(name)) {
        Some(name) => Err(format!("nothing is called '{name}'")),
        None => Ok(()),
    }
}

fn is_explained(id: &str) -> bool {
    let code = id.strip_prefix("0x").and_then(|digits| u8::from_str_radix(digits, 16).ok());
    requirement::find(id).is_some()
        || oracle::find(id).is_some()
        || scenario::find(id).is_some()
        || code.is_some_and(|code| ReasonCode::from_value(code).is_some())
        || PropertyId::ALL.iter().any(|property| property.row().key == id)
}

fn matches_id(pattern: &str, id: &str) -> bool {
    conformance::runner::matches(pattern, id, &[])
}

/// A word with what stands for another one in it filled in.
fn filled(before: &str, word: &str) -> String {
    let (start, name) = match word.rfind(['=', '?', '&']) {
        Some(at) => word.split_at(at + 1),
        None => ("", word),
    };
    // In `embedded:?mutant=ID` that is `mutant`.
    let before = start.rsplit(['=', '?', '&']).nth(1).unwrap_or(before);
    let fits = |it: &&(&str, &str, &str)| it.1 == name && (it.0.is_empty() || it.0 == before);
    match PLACEHOLDERS.iter().find(fits) {
        Some((_, _, value)) => format!("{start}{value}"),
        None => word.to_owned(),
    }
}
