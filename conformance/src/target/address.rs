//! Where a broker is, and how it is spoken to there.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use percent_encoding::percent_decode_str;
use reference_broker::transport::url::{Endpoint, Host, Scheme};

use super::{Credentials, Setup};

/// What stands in an address for credentials that are in it.
pub const PLACEHOLDER: &str = "USER:PASSWORD@";

/// What hands the credentials in addresses on to this process, a line each. Nobody else is to get it.
pub const SECRETS_VARIABLE: &str = "MQTTSPEC_ADDRESS_CREDENTIALS";

/// Where a broker is, who we are to it, and whom we take for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    pub(super) endpoint: Endpoint,
    pub(super) credentials: Credentials,
    /// Whether they were given in the address.
    are_inside: bool,
    pub(super) trust: Trust,
    pub(super) setup: Setup,
}

/// Whom to take for the broker, over TLS, and as whom to be known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    /// PEM file of the authorities that are trusted, in the place of those of the system.
    pub authorities: Option<PathBuf>,
    /// Whether any certificate will do.
    pub is_blind: bool,
    /// PEM files of our own certificate and its key.
    pub own: Option<(PathBuf, PathBuf)>,
    /// The name that the certificate is to be for, if not that of the host.
    pub server_name: Option<String>,
}

impl Address {
    /// An address that nothing more is known of.
    pub(super) fn plain(endpoint: Endpoint) -> Address {
        Address {
            endpoint,
            credentials: Credentials::default(),
            are_inside: false,
            trust: Trust::default(),
            setup: Setup::default(),
        }
    }

    /// Where it is, without credentials.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Whether the address itself holds credentials.
    pub fn holds_credentials(&self) -> bool {
        self.are_inside
    }

    /// The credentials of the suite's clients there.
    pub fn credentials(&self) -> Credentials {
        self.credentials.clone()
    }

    /// With credentials, in the place of those that it has.
    #[must_use]
    pub fn with_credentials(self, credentials: Credentials) -> Address {
        Address { credentials, ..self }
    }

    /// At another host, if this machine was meant.
    pub(super) fn at_host(mut self, host: &str) -> Address {
        if self.endpoint.host.is_loopback() && host != "127.0.0.1" {
            self.endpoint.host = match host.parse() {
                Ok(IpAddr::V4(address)) => Host::V4(address),
                Ok(IpAddr::V6(address)) => Host::V6(address),
                Err(_) => Host::Name(host.to_lowercase()),
            };
        }
        self
    }

    /// Of a target that was set up so.
    #[must_use]
    pub fn set_up(self, setup: Setup) -> Address {
        Address { setup, ..self }
    }

    /// With another trust.
    #[must_use]
    pub fn trusting(self, trust: Trust) -> Address {
        Address { trust, ..self }
    }

    /// As it is to be typed again, with a placeholder for what is not to be shown.
    pub(super) fn retyped(&self) -> String {
        let shown = self.endpoint.to_string();
        match shown.split_once("://") {
            Some((scheme, rest)) if self.are_inside => format!("{scheme}://{PLACEHOLDER}{rest}"),
            _ => shown,
        }
    }
}

/// Without credentials.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.endpoint.fmt(f)
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Address, String> {
        // What else stands before it is, or holds, a user name and a password, and is not to be shown.
        let is_scheme =
            |text: &str| text.bytes().all(|it| it.is_ascii_alphanumeric() || b"+-.".contains(&it));
        let (scheme, rest) = match text.split_once("://").filter(|(scheme, _)| is_scheme(scheme)) {
            Some((scheme, rest)) => (Some(scheme), rest),
            None => (None, text),
        };
        if let Some((scheme, _)) = rest.split_once(':').filter(|_| scheme.is_none())
            && Scheme::ALL.iter().any(|it| it.name().eq_ignore_ascii_case(scheme))
        {
            return Err(format!("`{scheme}:` lacks the slashes of {scheme}://HOST:PORT"));
        }
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let (inside, host) = match authority.rsplit_once('@') {
            Some((inside, host)) => (Some(inside), host),
            None => (None, authority),
        };
        let scheme = scheme.map(|scheme| format!("{scheme}://")).unwrap_or_default();
        let endpoint: Endpoint = match format!("{scheme}{host}{path}").parse() {
            Ok(endpoint) => endpoint,
            // What is no address may be, or have in it, a password.
            Err(_) if path.contains('@') => {
                return Err(
                    "the address (not shown, as it may hold a password) cannot be read: write \
                            '/', '?', '#', '@' and '%' in user names and passwords as %2F, %3F, \
                            %23, %40 and %25"
                        .to_owned(),
                );
            }
            Err(error) => return Err(error.to_string()),
        };
        let credentials = inside.map(credentials).transpose()?;
        Ok(Address {
            are_inside: credentials.is_some(),
            credentials: credentials.unwrap_or_default(),
            ..Address::plain(endpoint)
        })
    }
}

/// `USER`, `USER:PASSWORD` or `:PASSWORD`, each with what is no letter as `%XX`.
fn credentials(text: &str) -> Result<Credentials, String> {
    let (user_name, password) = match text.split_once(':') {
        Some((user_name, password)) => (user_name, Some(password)),
        None => (text, None),
    };
    let user_name = match percent_decode_str(user_name).decode_utf8() {
        Ok(name) => Some(name.into_owned()).filter(|name| !name.is_empty()),
        Err(_) => return Err("the user name in the address is not UTF-8".to_owned()),
    };
    Credentials::new(user_name, password.map(|password| percent_decode_str(password).collect()))
}

#[cfg(test)]
mod tests {
    use reference_broker::codec::Connect;

    use super::*;

    #[test]
    fn credentials_in_an_address_are_read_and_not_shown() {
        for (text, name, password, typed) in [
            ("mqtt://ann:pw@h", Some("ann"), Some("pw"), "mqtt://USER:PASSWORD@h:1883"),
            ("MQTTS://ann@H:1", Some("ann"), None, "mqtts://USER:PASSWORD@h:1"),
            ("ws://:pw@h/x", None, Some("pw"), "ws://USER:PASSWORD@h:80/x"),
            (
                "mqtt://a%40b:%3A%2F%25@[::1]",
                Some("a@b"),
                Some(":/%"),
                "mqtt://USER:PASSWORD@[::1]:1883",
            ),
            ("ann:p:w@h:9", Some("ann"), Some("p:w"), "mqtt://USER:PASSWORD@h:9"),
            ("wss://h/a@b", None, None, "wss://h:443/a@b"),
            ("h:1884", None, None, "mqtt://h:1884"),
        ] {
            let address: Address = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
            let connect = address.credentials.complete(Connect::new("a"));
            assert_eq!(connect.user_name.as_deref(), name, "{text}");
            assert_eq!(connect.password.as_deref(), password.map(str::as_bytes), "{text}");
            assert_eq!(address.retyped(), typed);
            let shown = format!("{address} {address:?}");
            assert!(!shown.contains("ann") && !shown.contains("pw"), "{shown}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_told_without_a_password() {
        for (text, told) in [
            ("mqtt://u:top/secret@h", "as %2F"),
            ("ws://u:top/secret@h", "as %2F"),
            ("mqtt://u:top?secret@h", "as %2F"),
            ("u:top://secret@h", "as %2F"),
            ("mqtt:u:top://secret@h", "lacks the slashes"),
            ("mqtt://u:topsecret@h:x", "port `x`"),
            ("mqtt://u:topsecret@", "host is missing"),
            ("mqt://u:topsecret@h", "did you mean `mqtt://`"),
            ("mqtt://%FF:topsecret@h", "not UTF-8"),
            ("mqtt:localhost", "lacks the slashes"),
            ("mqtt:u:topsecret@h", "lacks the slashes"),
        ] {
            let error = text.parse::<Address>().expect_err(text);
            assert!(error.contains(told), "{text}: {error}");
            assert!(!error.contains("secret") && !error.contains("top"), "{error}");
        }
    }
}
