//! The configuration: a TOML file and flags, one table of keys for both ([`Settings`]).
//!
//! Each key has its default and its reason in `keys`; what the file may say, what `--set` takes and
//! what `--print-config` shows all come from there.

mod access;
mod key;
mod keys;
#[cfg(test)]
mod tests;
mod value;

use std::path::PathBuf;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::actor::ServerSettings;
use crate::authentication::{Anonymous, Authenticator};
use crate::codec::Text;
use crate::core::{Config, Redirection, ResponseInformation, Rule};
use crate::transport::browser::Browsers;
use crate::transport::tls::{ClientCertificates, TlsFiles};

use access::{RULE_KEYS, RuleEntry, USER_KEYS, UserEntry};
use key::Place;
use keys::KEYS;

/// What a broker is started with.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Where to listen, as URLs.
    pub listen: Vec<String>,
    /// Where to serve HTTP.
    pub http: Option<String>,
    /// Which web pages may come.
    pub browsers: Browsers,
    /// Patterns of topics whose messages are printed.
    pub taps: Vec<String>,
    /// PEM file of the certificate.
    pub tls_certificate: Option<PathBuf>,
    /// PEM file of its key.
    pub tls_key: Option<PathBuf>,
    /// PEM file of the authority of client certificates.
    pub tls_client_authority: Option<PathBuf>,
    /// Whether clients need a certificate.
    pub tls_client_certificate_required: bool,
    /// The shell's part.
    pub shell: ServerSettings,
    /// The core's part, but for what [`Settings::config`] adds.
    pub core: Config,
    /// Who may enter without a User Name.
    anonymous: Anonymous,
    users: Vec<UserEntry>,
    rules: Vec<RuleEntry>,
    response_information: Option<Text>,
    response_information_for_each_client: bool,
    redirection_on: bool,
    redirection_permanent: bool,
    redirection_server_reference: Option<Text>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            listen: vec!["mqtt://127.0.0.1:1883".into()],
            http: None,
            browsers: Browsers::default(),
            taps: Vec::new(),
            tls_certificate: None,
            tls_key: None,
            tls_client_authority: None,
            tls_client_certificate_required: false,
            shell: ServerSettings::default(),
            core: Config::default(),
            anonymous: Anonymous::Local,
            users: Vec::new(),
            rules: Vec::new(),
            response_information: None,
            response_information_for_each_client: false,
            redirection_on: false,
            redirection_permanent: false,
            redirection_server_reference: None,
        }
    }
}

/// What is wrong with a configuration: where, what, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingsError(String);

impl std::fmt::Display for SettingsError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SettingsError {}

impl Settings {
    /// Takes over what a TOML text says; `file` is what it is called in errors.
    ///
    /// # Errors
    ///
    /// For text that is no TOML, a key that is not known, or a value that its key cannot have.
    pub fn read(&mut self, file: &str, text: &str) -> Result<(), SettingsError> {
        let place = Place { file, text, prefix: "" };
        let table = DeTable::parse(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            place.error(at, error.message().trim_end().replace('\n', ", "))
        })?;
        let (lists, table) = split_lists(table.into_inner());
        for (name, value) in lists {
            match &*name {
                "user" => self.users.extend(key::read_list(&value, place, "user", USER_KEYS)?),
                _ => self.rules.extend(key::read_list(&value, place, "rule", RULE_KEYS)?),
            }
        }
        key::read(&table, place, KEYS, self)
    }

    /// Takes over one `KEY=VALUE`. A value that is no TOML is taken for text.
    ///
    /// # Errors
    ///
    /// As [`Settings::read`].
    pub fn set(&mut self, assignment: &str) -> Result<(), SettingsError> {
        let (name, value) = assignment.split_once('=').ok_or_else(|| {
            SettingsError(format!(
                "'{assignment}' is no KEY=VALUE, such as message.queue_limit=100"
            ))
        })?;
        let (name, value) = (name.trim(), value.trim());
        if LISTS.contains(&name.split('.').next().unwrap_or_default()) {
            let told =
                "users and rules are lists: write [[user]] and [[rule]] in the file of --config";
            return Err(SettingsError(told.into()));
        }
        let key = KEYS
            .iter()
            .find(|key| key.name == name)
            .ok_or_else(|| SettingsError(key::unknown(name, KEYS)))?;
        let wrong = |kind: String| SettingsError(format!("'{name}' is to be {kind}, not {value}"));
        let parsed = DeValue::parse(value);
        let text = DeValue::String(value.into());
        let value = parsed.map_or(text, |value| value.into_inner());
        (key.set)(self, &value).map_err(wrong)
    }

    /// All keys with their values and what they are, as the file could say them.
    pub fn to_toml(&self) -> String {
        key::write(KEYS, self)
    }

    /// Who decides about clients; nobody, if all may enter from everywhere that is listened on. The
    /// core is to ask as [`Authenticator::access`] says.
    ///
    /// # Errors
    ///
    /// Which user cannot be.
    pub fn authenticator(&self, all_local: bool) -> Result<Option<Authenticator>, String> {
        if self.users.is_empty() && self.may_all_enter(all_local) {
            return Ok(None);
        }
        access::authenticator(&self.users, self.anonymous).map(Some)
    }

    /// Whether there is anybody who may enter, where only this machine can come or elsewhere.
    pub fn may_somebody_enter(&self, is_local: bool) -> bool {
        !self.users.is_empty() || self.may_all_enter(is_local)
    }

    fn may_all_enter(&self, is_local: bool) -> bool {
        match self.anonymous {
            Anonymous::Nobody => false,
            Anonymous::Local => is_local,
            Anonymous::Everybody => true,
        }
    }

    /// What clients may do.
    ///
    /// # Errors
    ///
    /// Which rule cannot be.
    pub fn rules(&self) -> Result<Vec<Rule>, String> {
        let is_user = |name: &Text| self.users.iter().any(|user| user.is_called(name));
        self.rules.iter().map(|rule| rule.rule(is_user)).collect()
    }

    /// The configuration of the core, but for what depends on users and rules.
    pub fn config(&self) -> Config {
        let mut config = self.core.clone();
        config.response_information =
            self.response_information.clone().map(|prefix| ResponseInformation {
                prefix,
                for_each_client: self.response_information_for_each_client,
            });
        config.redirection = self.redirection_on.then(|| Redirection {
            is_permanent: self.redirection_permanent,
            reference: self.redirection_server_reference.clone(),
        });
        config.reports_published |= !self.taps.is_empty();
        config
    }

    /// The files for TLS, if there are any.
    ///
    /// # Errors
    ///
    /// Which one is missing.
    pub fn tls(&self) -> Result<Option<TlsFiles>, String> {
        let clients = match (&self.tls_client_authority, self.tls_client_certificate_required) {
            (None, false) => ClientCertificates::NotAsked,
            (None, true) => return Err("client certificates need tls.client_authority".into()),
            (Some(authority), false) => ClientCertificates::Optional(authority.clone()),
            (Some(authority), true) => ClientCertificates::Required(authority.clone()),
        };
        match (self.tls_certificate.clone(), self.tls_key.clone()) {
            (Some(certificate), Some(key)) => Ok(Some(TlsFiles { certificate, key, clients })),
            (None, None) if clients == ClientCertificates::NotAsked => Ok(None),
            (None, _) => Err("tls.certificate is missing".into()),
            (_, None) => Err("tls.key is missing".into()),
        }
    }
}

/// What is written as a list of tables: `[[user]]` and `[[rule]]`.
const LISTS: [&str; 2] = ["user", "rule"];

/// Takes the lists out of a table.
fn split_lists<'a>(table: DeTable<'a>) -> (Vec<(String, Spanned<DeValue<'a>>)>, DeTable<'a>) {
    let is_list = |name: &str| LISTS.contains(&name);
    let (mut lists, mut rest) = (Vec::new(), DeTable::new());
    for (name, value) in table {
        match is_list(name.get_ref()) {
            true => lists.push((name.into_inner().into_owned(), value)),
            false => drop(rest.insert(name, value)),
        }
    }
    (lists, rest)
}
