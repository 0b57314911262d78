//! Which web pages may come here.
//!
//! A browser on a machine that reaches the broker runs pages of everywhere. A page of elsewhere may open a WebSocket
//! (the browser only says whose page it is, in `Origin`), and one that has its own name lead to this machine may read
//! what HTTP serves (the name is in `Host`).

use std::net::IpAddr;

/// By which names a broker is called, and which pages of elsewhere are welcome.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Browsers {
    /// Names of the broker, besides addresses and `localhost`.
    pub names: Vec<String>,
    /// Origins whose pages may come, such as `https://dashboard.example`; `*` for all.
    pub origins: Vec<String>,
}

impl Browsers {
    /// Whether a `Host` is one of the broker's own: an address, which nobody can have lead elsewhere, or a name that it
    /// has.
    pub fn knows(&self, host: &str) -> bool {
        let host = without_port(host);
        is_local(host)
            || address(host).is_some()
            || self.names.iter().any(|name| name.eq_ignore_ascii_case(host))
    }

    /// Whether a page of this `Origin` may come, which calls the broker by this `Host`.
    pub fn welcomes(&self, origin: &str, host: &str) -> bool {
        if self.origins.iter().any(|it| it == "*" || it.eq_ignore_ascii_case(origin)) {
            return true;
        }
        let Some((_, page)) = origin.split_once("://") else { return false };
        let (page, host_name) = (without_port(page), without_port(host));
        let is_same =
            page.eq_ignore_ascii_case(host_name) || (is_local(page) && is_local(host_name));
        is_same && self.knows(host)
    }
}

fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    }
}

fn address(host: &str) -> Option<IpAddr> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    bare.parse().ok()
}

fn is_local(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || address(host).is_some_and(|address| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn browsers() -> Browsers {
        Browsers {
            names: vec!["broker.example".into()],
            origins: vec!["https://dashboard.example".into()],
        }
    }

    #[test]
    fn the_broker_knows_its_names_and_every_address() {
        for host in [
            "localhost",
            "LOCALHOST:1",
            "127.0.0.1:8080",
            "[::1]:80",
            "[::1]",
            "192.0.2.1",
            "Broker.example:9",
        ] {
            assert!(browsers().knows(host), "{host}");
        }
        for host in
            ["", "evil.example", "evil.example:80", "localhost.evil.example", "127.0.0.1.evil"]
        {
            assert!(!browsers().knows(host), "{host}");
        }
    }

    #[test]
    fn pages_of_here_and_of_named_places_are_welcome() {
        for (origin, host, is_welcome) in [
            ("http://localhost:3000", "127.0.0.1:9001", true),
            ("http://192.0.2.1", "192.0.2.1:9001", true),
            ("https://broker.example", "broker.example:9001", true),
            ("https://dashboard.example", "broker.example:9001", true),
            ("https://dashboard.example", "192.0.2.1", true),
            ("https://dashboard.example:444", "192.0.2.1", false),
            ("https://evil.example", "127.0.0.1:9001", false),
            ("https://evil.example", "evil.example:9001", false),
            ("http://198.51.100.7", "127.0.0.1:9001", false),
            ("https://broker.example", "127.0.0.1", false),
            ("null", "127.0.0.1", false),
            ("", "", false),
        ] {
            assert_eq!(browsers().welcomes(origin, host), is_welcome, "{origin} at {host}");
        }
        let all = Browsers { origins: vec!["*".into()], ..Browsers::default() };
        assert!(all.welcomes("null", "evil.example"));
    }
}
