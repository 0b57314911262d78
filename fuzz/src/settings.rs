//! The configuration of the reference broker: a file, and assignments beside it.

use reference_broker::settings::Settings;

/// What separates the file from the assignments, a line each.
const BETWEEN: &str = "\n%%\n";

/// A configuration is taken over or refused with its place; what is in force is written to a text that
/// is read as the same, and an assignment that is refused changes nothing.
///
/// # Panics
///
/// When it is not.
pub fn a_configuration_is_written_as_it_is_read(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let (file, assignments) = text.split_once(BETWEEN).unwrap_or((&text, ""));
    let has_lists = file.contains("user") || file.contains("rule");
    let mut settings = Settings::default();
    if let Err(error) = settings.read("file", file) {
        let error = error.to_string();
        let rest = error.strip_prefix("file:").expect("the name of the file");
        let line = rest.split(':').next().and_then(|line| line.parse::<usize>().ok());
        let lines = file.matches('\n').count() + 1;
        assert!(line.is_some_and(|line| (1..=lines).contains(&line)), "{error}: of {lines} lines");
        assert!(error.len() <= 4 * file.len() + 500, "{} bytes are told", error.len());
        settings = Settings::default();
    }
    check(&settings, &Settings::default(), has_lists);
    for assignment in assignments.lines() {
        let before = settings.clone();
        match settings.set(assignment) {
            Ok(()) => check(&settings, &before, has_lists),
            Err(error) => {
                assert!(settings == before, "{assignment}: {error}, and yet something is changed");
                assert!(error.to_string().len() <= 4 * assignment.len() + 500, "too much is told");
            }
        }
    }
}

/// What is in force can be written and read, and asked for all that a broker is started with. What was
/// in force before has been looked at. Users and rules, which are lists, are not written.
fn check(settings: &Settings, before: &Settings, has_lists: bool) {
    if settings == before {
        return;
    }
    let written = settings.to_toml();
    let mut again = Settings::default();
    if let Err(error) = again.read("written", &written) {
        panic!("{error}\n{written}");
    }
    assert_eq!(again.to_toml(), written, "what is written is read as something else");
    assert!(has_lists || again == *settings, "{written} is read as {again:?}, not as {settings:?}");
    let _ = (settings.config(), settings.rules(), settings.tls());
    if settings.authenticator(true).is_ok_and(|someone| someone.is_none()) {
        assert!(settings.may_somebody_enter(true), "nobody is asked, and nobody may enter");
    }
}

/// Inputs to begin with: what is in force by default, in parts, and what is in no default.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let all = Settings::default().to_toml();
    let lines = all.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let plain: Vec<&str> = lines.collect();
    let mut parts: Vec<String> = Vec::new();
    for line in &plain {
        match parts.last_mut() {
            Some(part) if !line.starts_with('[') || part.is_empty() => {
                *part += &format!("{line}\n")
            }
            _ => parts.push(format!("{line}\n")),
        }
    }
    parts.push(
        "[[user]]\nname = \"a\"\npassword = \"$argon2id$v=19$m=8,t=1,p=1$AAAAAAAAAAA$AAAAAAAAAAAAAAAA\"\n\
         [[rule]]\nuser = \"a\"\naction = \"publish\"\nfilter = \"{user}/#\"\nallow = false\n"
            .to_owned(),
    );
    parts.push("[session]\nconnect_timeout = 1e10\ntimer_grain = 0.25\n".to_owned());
    parts.push(format!("http = 'h'{BETWEEN}announced.receive_maximum = 0x10\ntaps=['a/{{b}}']\n"));
    parts.push(format!("{BETWEEN}listen = ['mqtt://h', \"\\u00e9\"]\nlisten=\nuser.name = 'a'\n"));
    parts.into_iter().map(String::into_bytes).collect()
}
