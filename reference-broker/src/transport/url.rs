//! Where to listen or to connect to, as a person writes it.
//!
//! `mqtt://HOST[:PORT]`, `mqtts://...` (TLS), `ws://HOST[:PORT][/PATH]`, `wss://...`; without a
//! scheme it is `mqtt`. HOST is a name, an IPv4 address or an IPv6 address in brackets. A port left
//! out is the one registered for the scheme (1883, 8883, 80, 443); 0 lets the system choose.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// The path of WebSocket where none is given. It has no meaning to MQTT; clients expect this one.
// U-6-1
pub const DEFAULT_PATH: &str = "/mqtt";

/// What carries MQTT, as named in front of `://`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scheme {
    /// TCP.
    Mqtt,
    /// TLS over TCP.
    Mqtts,
    /// WebSocket over TCP.
    Ws,
    /// WebSocket over TLS.
    Wss,
}

impl Scheme {
    /// Every scheme.
    pub const ALL: [Scheme; 4] = [Scheme::Mqtt, Scheme::Mqtts, Scheme::Ws, Scheme::Wss];

    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Scheme::Mqtt => "mqtt",
            Scheme::Mqtts => "mqtts",
            Scheme::Ws => "ws",
            Scheme::Wss => "wss",
        }
    }

    /// The port registered for it.
    pub fn default_port(self) -> u16 {
        match self {
            Scheme::Mqtt => 1883,
            Scheme::Mqtts => 8883,
            Scheme::Ws => 80,
            Scheme::Wss => 443,
        }
    }

    /// Whether it is carried by TLS.
    pub fn is_tls(self) -> bool {
        matches!(self, Scheme::Mqtts | Scheme::Wss)
    }

    /// Whether it is carried by WebSocket.
    pub fn is_websocket(self) -> bool {
        matches!(self, Scheme::Ws | Scheme::Wss)
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A host, before it is resolved.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Host {
    /// A name such as `localhost`, in lower case.
    Name(String),
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// An IPv6 address; it is written in brackets.
    V6(Ipv6Addr),
}

impl Host {
    /// Whether only this machine can reach it, as far as that can be told without resolving it: of
    /// names only `localhost` is taken for one. What was bound tells for sure
    /// ([`Listener::is_loopback`](super::listener::Listener::is_loopback)).
    pub fn is_loopback(&self) -> bool {
        match self {
            Host::Name(name) => name == "localhost",
            Host::V4(address) => address.is_loopback(),
            Host::V6(address) => address.to_canonical().is_loopback(),
        }
    }
}

/// Without brackets, as resolvers and certificates know it.
impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Name(name) => f.write_str(name),
            Host::V4(address) => address.fmt(f),
            Host::V6(address) => address.fmt(f),
        }
    }
}

/// Where to listen or to connect to. What it displays parses back to an equal one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// What carries MQTT.
    pub scheme: Scheme,
    /// The host.
    pub host: Host,
    /// The port; to listen on 0 means on any that is free.
    pub port: u16,
    /// The path, with its slash; empty without WebSocket.
    pub path: String,
}

impl Endpoint {
    /// Host and port, as an HTTP request names them.
    pub fn authority(&self) -> String {
        match &self.host {
            Host::V6(address) => format!("[{address}]:{}", self.port),
            host => format!("{host}:{}", self.port),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme, self.authority(), self.path)
    }
}

/// Why a text is no [`Endpoint`]: what is wrong where, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointError(String);

impl fmt::Display for EndpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for EndpointError {}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        parse(text).map_err(|why| EndpointError(format!("`{text}`: {why}")))
    }
}

fn parse(text: &str) -> Result<Endpoint, String> {
    let (scheme, rest) = match text.split_once("://") {
        Some((name, rest)) => (scheme(name)?, rest),
        None => (Scheme::Mqtt, text),
    };
    let (authority, path) = match rest.find(['/', '?', '#']) {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    let (host, port) = authority_parts(authority)?;
    let port = match port {
        Some(digits) => port_number(digits)?,
        None => scheme.default_port(),
    };
    Ok(Endpoint { scheme, host: parse_host(host)?, port, path: parse_path(scheme, path)? })
}

fn scheme(name: &str) -> Result<Scheme, String> {
    let found = Scheme::ALL.into_iter().find(|scheme| scheme.name().eq_ignore_ascii_case(name));
    found.ok_or_else(|| {
        let all = "the schemes are mqtt (TCP), mqtts (TLS), ws (WebSocket) and wss (both)";
        match nearest_scheme(name) {
            Some(near) => format!("no scheme `{name}`; did you mean `{near}://`? {all}"),
            None => format!("no scheme `{name}`; {all}"),
        }
    })
}

/// What was probably meant: other names in use for the same, else what a slip or two away is.
fn nearest_scheme(name: &str) -> Option<Scheme> {
    let name = name.to_ascii_lowercase();
    match name.as_str() {
        "tcp" => Some(Scheme::Mqtt),
        "ssl" | "tls" | "mqtt+ssl" | "mqtt+tls" => Some(Scheme::Mqtts),
        "http" | "websocket" => Some(Scheme::Ws),
        "https" | "websockets" => Some(Scheme::Wss),
        // No slip makes a name of this length out of one of ours.
        _ if name.len() > 8 => None,
        _ => {
            let near = Scheme::ALL.into_iter().map(|scheme| (slips(&name, scheme.name()), scheme));
            near.filter(|(slips, _)| *slips <= 2).min().map(|(_, scheme)| scheme)
        }
    }
}

/// How many letters to put in, take out or replace to make one word of the other.
fn slips(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.bytes().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, b) in other.bytes().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

fn authority_parts(authority: &str) -> Result<(&str, Option<&str>), String> {
    if authority.contains('@') {
        return Err("no user name or password belongs here: MQTT has them in CONNECT".into());
    }
    if authority.starts_with('[') {
        let end = authority.find(']').ok_or("`]` is missing behind the IPv6 address")? + 1;
        let (host, rest) = authority.split_at(end);
        return match rest.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if rest.is_empty() => Ok((host, None)),
            None => Err(format!("`{rest}` behind the IPv6 address; write `:` and a port")),
        };
    }
    match authority.split_once(':') {
        Some((_, rest)) if rest.contains(':') => {
            Err("an IPv6 address is written in brackets, such as `[::1]`".into())
        }
        Some((host, port)) => Ok((host, Some(port))),
        None => Ok((authority, None)),
    }
}

fn port_number(digits: &str) -> Result<u16, String> {
    let number = digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse());
    match number {
        Some(Ok(number)) => Ok(number),
        _ => Err(format!(
            "port `{digits}` is no number from 0 to 65535; leave `:` out for the registered one"
        )),
    }
}

fn parse_host(text: &str) -> Result<Host, String> {
    if let Some(inner) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        if inner.contains('%') {
            return Err(format!("`{inner}`: an address with a zone is not for here; try `[::]`"));
        }
        let address = inner.parse().map(Host::V6);
        return address.map_err(|_| format!("`{inner}` is no IPv6 address; such as `[::1]`"));
    }
    if text.is_empty() {
        return Err("the host is missing; write 127.0.0.1 for this machine only, \
                    0.0.0.0 or [::] for every interface"
            .into());
    }
    if let Ok(address) = text.parse() {
        return Ok(Host::V4(address));
    }
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    if !text.bytes().all(is_name) {
        return Err(format!("`{text}` is no host name: letters, digits, `-`, `.` and `_`"));
    }
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!(
            "`{text}` is no host; for a port of this machine write 127.0.0.1:{text}"
        ));
    }
    // A last label of digits makes it an IPv4 address to every resolver, and this one is none.
    let last = text.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
    if last.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("`{text}` is no IPv4 address; such as 127.0.0.1"));
    }
    Ok(Host::Name(text.to_ascii_lowercase()))
}

fn parse_path(scheme: Scheme, text: &str) -> Result<String, String> {
    if !scheme.is_websocket() {
        return match text {
            "" | "/" => Ok(String::new()),
            _ => Err(format!("`{text}`: {scheme} has no path; leave it out, or use ws or wss")),
        };
    }
    if text.contains(['?', '#']) {
        return Err("a path has no `?` and no `#` here; leave them out".into());
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("a path is of printable ASCII; write others as %XX".into());
    }
    Ok(if text.is_empty() { DEFAULT_PATH } else { text }.into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_people_write() {
        for (text, shown) in [
            ("mqtt://localhost", "mqtt://localhost:1883"),
            ("mqtt://LocalHost/", "mqtt://localhost:1883"),
            ("MQTTS://broker.example", "mqtts://broker.example:8883"),
            ("ws://127.0.0.1", "ws://127.0.0.1:80/mqtt"),
            ("wss://127.0.0.1", "wss://127.0.0.1:443/mqtt"),
            ("ws://h:8080/", "ws://h:8080/"),
            ("ws://h:8080/a/b", "ws://h:8080/a/b"),
            ("mqtt://[::1]", "mqtt://[::1]:1883"),
            ("mqtt://[::]:0", "mqtt://[::]:0"),
            ("wss://[::1]:9/x", "wss://[::1]:9/x"),
            ("localhost:1884", "mqtt://localhost:1884"),
            ("0.0.0.0", "mqtt://0.0.0.0:1883"),
            ("[::1]:1", "mqtt://[::1]:1"),
        ] {
            let endpoint: Endpoint = text.parse().unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(endpoint.to_string(), shown);
        }
    }

    #[test]
    fn what_they_are_told_otherwise() {
        for (text, told) in [
            ("mqt://h", "did you mean `mqtt://`"),
            ("mqttss://h", "did you mean `mqtts://`"),
            ("tcp://h", "did you mean `mqtt://`"),
            ("ssl://h", "did you mean `mqtts://`"),
            ("http://h", "did you mean `ws://`"),
            ("https://h", "did you mean `wss://`"),
            ("gopher-over-avian-carriers://h", "no scheme `gopher-over-avian-carriers`; the"),
            ("", "the host is missing"),
            ("mqtt://:1883", "the host is missing"),
            ("mqtt://::1", "in brackets"),
            ("mqtt://[::1", "`]` is missing"),
            ("mqtt://[::1]1883", "write `:` and a port"),
            ("mqtt://[::g]", "no IPv6 address"),
            ("mqtt://[fe80::1%eth0]", "a zone is not for here"),
            ("18831", "write 127.0.0.1:18831"),
            ("mqtt://h:", "port ``"),
            ("mqtt://h:65536", "port `65536`"),
            ("mqtt://h:+1", "port `+1`"),
            ("mqtt://h:x", "port `x`"),
            ("mqtt://1.2.3", "no IPv4 address"),
            ("mqtt://256.0.0.1", "no IPv4 address"),
            ("mqtt://a b", "no host name"),
            ("mqtt://u:p@h", "in CONNECT"),
            ("mqtt://h/mqtt", "mqtt has no path"),
            ("ws://h/a?b", "no `?`"),
            ("ws://h?b", "no `?`"),
            ("ws://h/ä", "printable ASCII"),
        ] {
            let error = text.parse::<Endpoint>().expect_err(text).to_string();
            assert!(error.contains(told), "{error}");
            assert!(error.starts_with(&format!("`{text}`: ")), "{error}");
        }
    }

    #[test]
    fn loopback_is_known_by_sight() {
        for (text, loopback) in [
            ("localhost", true),
            ("127.9.9.9", true),
            ("[::1]", true),
            ("[::ffff:127.0.0.1]", true),
            ("0.0.0.0", false),
            ("[::]", false),
            ("example.org", false),
        ] {
            assert_eq!(text.parse::<Endpoint>().unwrap().host.is_loopback(), loopback, "{text}");
        }
    }

    fn endpoint() -> impl Strategy<Value = Endpoint> {
        let host = prop_oneof![
            any::<Ipv4Addr>().prop_map(Host::V4),
            any::<Ipv6Addr>().prop_map(Host::V6),
            "[a-z][a-z0-9-]{0,5}(\\.[a-z_]{1,5}){0,2}".prop_map(Host::Name),
        ];
        let scheme = proptest::sample::select(Scheme::ALL.to_vec());
        let path = "/[!\"$->@-~]{0,8}";
        (scheme, host, any::<u16>(), path).prop_map(|(scheme, host, port, path)| {
            let path = if scheme.is_websocket() { path } else { String::new() };
            Endpoint { scheme, host, port, path }
        })
    }

    proptest! {
        #[test]
        fn what_is_shown_parses_back(endpoint in endpoint()) {
            prop_assert_eq!(endpoint.to_string().parse::<Endpoint>(), Ok(endpoint));
        }

        #[test]
        fn anything_is_parsed_or_told_why(text in ".{0,24}|(wss?|mqtts?)://[\\[\\]:/0-9a-z@.]{0,20}") {
            match text.parse::<Endpoint>() {
                Ok(endpoint) => {
                    prop_assert_eq!(endpoint.to_string().parse::<Endpoint>(), Ok(endpoint));
                }
                Err(error) => prop_assert!(error.to_string().len() > text.len() + 4),
            }
        }
    }
}
