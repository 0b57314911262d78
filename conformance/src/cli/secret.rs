//! A password in an address is not left among the arguments, which everybody on the machine can list.

use std::ffi::OsString;

use conformance::target::{Address, PLACEHOLDER, SECRETS_VARIABLE};

/// The arguments of this process. Where addresses among them have credentials, the process begins anew
/// with placeholders in their place; it takes a few milliseconds.
pub(super) fn arguments() -> Vec<OsString> {
    let arguments: Vec<_> = std::env::args_os().collect();
    if let Ok(handed_on) = std::env::var(SECRETS_VARIABLE) {
        return filled(arguments, &handed_on);
    }
    let (hidden, secrets) = hidden(&arguments);
    if !secrets.is_empty() {
        begin_anew(&hidden, &secrets.join("\n"));
    }
    arguments
}

/// Does not return, unless the system cannot do it: then all is as it was.
#[cfg(unix)]
fn begin_anew(arguments: &[OsString], secrets: &str) {
    use std::os::unix::process::CommandExt;
    let Ok(program) = std::env::current_exe() else { return };
    let (name, rest) = match arguments.split_first() {
        Some((name, rest)) => (name.clone(), rest),
        None => return,
    };
    let _ = std::process::Command::new(program)
        .arg0(name)
        .args(rest)
        .env(SECRETS_VARIABLE, secrets)
        .exec();
}

#[cfg(not(unix))]
fn begin_anew(_arguments: &[OsString], _secrets: &str) {}

/// Arguments with placeholders for credentials, and those.
fn hidden(arguments: &[OsString]) -> (Vec<OsString>, Vec<String>) {
    let mut secrets = Vec::new();
    let mut hide = |argument: &OsString| {
        let text = argument.to_str()?;
        text.parse::<Address>().ok().filter(Address::holds_credentials)?;
        let start = text.find("://").map_or(0, |at| at + "://".len());
        let (scheme, rest) = text.split_at(start);
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (secret, host) = rest[..end].rsplit_once('@')?;
        secrets.push(secret.to_owned());
        Some(OsString::from(format!("{scheme}{PLACEHOLDER}{host}{}", &rest[end..])))
    };
    let hidden =
        arguments.iter().map(|argument| hide(argument).unwrap_or_else(|| argument.clone()));
    (hidden.collect(), secrets)
}

/// Arguments with these credentials in the place of placeholders.
fn filled(arguments: Vec<OsString>, secrets: &str) -> Vec<OsString> {
    let mut secrets = secrets.lines();
    let fill = |argument: OsString| match argument.to_str() {
        Some(text) if text.contains(PLACEHOLDER) => match secrets.next() {
            Some(secret) => text.replacen(PLACEHOLDER, &format!("{secret}@"), 1).into(),
            None => argument,
        },
        _ => argument,
    };
    arguments.into_iter().map(fill).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_hidden_comes_back() {
        let given = ["mqttspec", "run", "ann:pw@h", "wss://ann:p%40w@h:1/x@y", "3.1", "mqtt://h"];
        let arguments: Vec<OsString> = given.iter().map(Into::into).collect();
        let (hidden, secrets) = hidden(&arguments);
        assert_eq!(hidden[3], *"wss://USER:PASSWORD@h:1/x@y");
        assert_eq!(hidden[2], *"USER:PASSWORD@h");
        assert_eq!(secrets, ["ann:pw", "ann:p%40w"]);
        assert_eq!(filled(hidden, &secrets.join("\n")), arguments);
    }
}
