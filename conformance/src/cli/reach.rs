//! How a broker at an address is reached: who we are to it, and whom we take for it.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use clap::Args;
use conformance::exit::Exit;
use conformance::report::quoted;
use conformance::target::{Credentials, Target, Trust};

use super::Failure;

/// No CONNECT has room for a longer password.
const LONGEST_PASSWORD: u64 = 65_535;

#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Reaching a broker")]
pub(super) struct ReachArguments {
    /// The user name of the suite's clients
    #[arg(long, value_name = "NAME")]
    username: Option<String>,
    /// Their password, as the value of this environment variable
    #[arg(long, value_name = "VARIABLE", conflicts_with = "password_file")]
    password_env: Option<String>,
    /// Their password, as the first line of this file
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Prove the password by SCRAM-SHA-256, and do not send it
    #[arg(long)]
    scram: bool,
    /// Trust the authorities in this PEM file, in the place of those of the system (mqtts, wss)
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Accept any certificate from the broker
    #[arg(long, conflicts_with_all = ["ca", "server_name"])]
    insecure: bool,
    /// A PEM file with our own certificate, for brokers that want one
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// A PEM file with its key
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// The name that the broker's certificate must carry, if not the host of the address
    #[arg(long, value_name = "NAME")]
    server_name: Option<String>,
}

impl ReachArguments {
    /// The target, reached so; and the words that name it again on a command line.
    pub(super) fn apply(&self, target: Target) -> Result<(Target, String), Failure> {
        let given = self.given();
        let wrong = |what: String| (Exit::Usage, what);
        let Target::Address(address) = target else {
            return match given.first() {
                Some((option, _)) => Err(wrong(format!("{option} is of no use with {target}"))),
                None => Ok((target.clone(), quoted(&target.retyped()))),
            };
        };
        let mut address = *address;
        if !address.endpoint().scheme.is_tls()
            && let Some((option, _)) = given.iter().find(|(option, _)| TLS.contains(option))
        {
            let secure = ["mqtts", "wss"][usize::from(address.endpoint().scheme.is_websocket())];
            return Err(wrong(format!(
                "{option} is of no use with {address}, which has no TLS: name it as {secure}://, or leave \
                 {option} out"
            )));
        }
        let password = self.password().map_err(wrong)?;
        if self.username.is_some() || password.is_some() {
            if address.holds_credentials() {
                let what = "a user name or password is given both in the address and beside it: leave \
                            one out";
                return Err(wrong(what.to_owned()));
            }
            let credentials = Credentials::new(self.username.clone(), password).map_err(wrong)?;
            address = address.with_credentials(credentials);
        }
        if self.scram {
            let proven = address.credentials().proven();
            address =
                address.with_credentials(proven.map_err(|why| wrong(format!("--scram: {why}")))?);
        }
        if given.iter().any(|(option, _)| TLS.contains(option)) {
            address = address.trusting(Trust {
                authorities: self.ca.clone(),
                is_blind: self.insecure,
                own: self.cert.clone().zip(self.key.clone()),
                server_name: self.server_name.clone(),
            });
        }
        let target = Target::Address(Box::new(address));
        let mut words = vec![quoted(&target.retyped())];
        for (option, value) in given {
            words.push(option.to_owned());
            words.extend(value.map(|value| quoted(&value)));
        }
        Ok((target, words.join(" ")))
    }

    /// The options that were given, with their values; none of those is secret.
    fn given(&self) -> Vec<(&'static str, Option<String>)> {
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        let mut given: Vec<_> = [
            ("--username", self.username.clone()),
            ("--password-env", self.password_env.clone()),
            ("--password-file", path(&self.password_file)),
            ("--ca", path(&self.ca)),
            ("--cert", path(&self.cert)),
            ("--key", path(&self.key)),
            ("--server-name", self.server_name.clone()),
        ]
        .into_iter()
        .filter_map(|(option, value)| Some((option, Some(value?))))
        .collect();
        given.extend(self.insecure.then_some(("--insecure", None)));
        given.extend(self.scram.then_some(("--scram", None)));
        given
    }

    fn password(&self) -> Result<Option<Vec<u8>>, String> {
        if let Some(variable) = &self.password_env {
            return match std::env::var_os(variable) {
                Some(password) => Ok(Some(password.into_encoded_bytes())),
                None => Err(format!("--password-env: there is no environment variable {variable}")),
            };
        }
        let Some(file) = &self.password_file else { return Ok(None) };
        let fail = |why: String| format!("--password-file {}: {why}", file.display());
        let mut text = Vec::new();
        let read = File::open(file)
            .and_then(|open| open.take(LONGEST_PASSWORD + 2).read_to_end(&mut text));
        read.map_err(|error| fail(error.to_string()))?;
        let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match line.is_empty() {
            true => Err(fail("its first line is empty".to_owned())),
            false => Ok(Some(line.to_vec())),
        }
    }
}

/// What only TLS has a use for.
const TLS: [&str; 5] = ["--ca", "--insecure", "--cert", "--key", "--server-name"];
