//! From a TCP connection to a stream that carries MQTT: TLS and WebSocket, and what to do where they do
//! not come about.

use std::fmt;
use std::io;
use std::time::Duration;

use reference_broker::transport::tls::{self, ClientTls};
use reference_broker::transport::url::{Endpoint, Scheme};
use reference_broker::transport::{BoxStream, websocket};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::address::{Address, Trust};

/// Why no MQTT can be spoken at an address, said so that it follows the address in a sentence.
#[derive(Debug)]
pub(super) struct NoCarrier {
    told: String,
    /// Whether it will be the same the next time.
    pub(super) is_final: bool,
}

impl fmt::Display for NoCarrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.told)
    }
}

impl std::error::Error for NoCarrier {}

impl NoCarrier {
    /// What an error has inside, if it is one of these.
    pub(super) fn of(error: &io::Error) -> Option<&NoCarrier> {
        error.get_ref()?.downcast_ref()
    }
}

/// How to speak TLS with whom an address trusts.
///
/// # Errors
///
/// Which file is of no use, and why; or that the system knows no authorities.
pub(super) fn client_tls(trust: &Trust) -> io::Result<ClientTls> {
    let whom = match &trust.authorities {
        _ if trust.is_blind => tls::Trust::InsecureAnybody,
        Some(file) => tls::Trust::File(file.clone()),
        None => {
            let roots = rustls_native_certs::load_native_certs().certs;
            if roots.is_empty() {
                let what = "this system has no list of authorities to trust: name one with --ca FILE, \
                            or take any certificate with --insecure";
                return Err(io::Error::new(io::ErrorKind::NotFound, what));
            }
            tls::Trust::Roots(roots)
        }
    };
    ClientTls::new(&whom, trust.own.as_ref().map(|(certificate, key)| (certificate, key)))
}

/// Makes a stream that carries MQTT of a connection to an address.
///
/// # Errors
///
/// A [`NoCarrier`].
pub(super) async fn carry(
    stream: TcpStream,
    address: &Address,
    tls: Option<&ClientTls>,
    deadline: Instant,
) -> io::Result<BoxStream> {
    let stream = secure(stream, address, tls, deadline).await?;
    match address.endpoint.scheme.is_websocket() {
        true => wrap(stream, &address.endpoint, deadline).await,
        false => Ok(stream),
    }
}

/// Shakes hands over TLS, where that is asked for.
///
/// # Errors
///
/// A [`NoCarrier`].
pub(super) async fn secure(
    stream: TcpStream,
    address: &Address,
    tls: Option<&ClientTls>,
    deadline: Instant,
) -> io::Result<BoxStream> {
    let Some(tls) = tls else { return Ok(Box::new(stream)) };
    let host = address.endpoint.host.to_string();
    let name = address.trust.server_name.as_deref().unwrap_or(&host);
    let shaken = tls.connect(stream, name, left(deadline)).await;
    let stream = shaken.map_err(|error| {
        no_tls(&error, address).unwrap_or_else(|| {
            let plain = below(address.endpoint.scheme).0;
            let told = format!(
                "does not finish the TLS handshake ({error}): if it speaks no TLS, name it as {plain}://"
            );
            failed(told, false)
        })
    })?;
    Ok(Box::new(stream))
}

async fn wrap(stream: BoxStream, endpoint: &Endpoint, deadline: Instant) -> io::Result<BoxStream> {
    let host = endpoint.authority();
    let opened = websocket::connect(stream, &host, &endpoint.path, left(deadline)).await;
    match opened {
        Ok(stream) => Ok(Box::new(stream)),
        Err(error) => Err(no_websocket(&error, endpoint)),
    }
}

fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

fn failed(told: String, is_final: bool) -> io::Error {
    io::Error::other(NoCarrier { told, is_final })
}

/// What carries the same without TLS, and without WebSocket.
fn below(scheme: Scheme) -> (Scheme, Scheme) {
    match scheme {
        Scheme::Mqtt | Scheme::Mqtts => (Scheme::Mqtt, scheme),
        Scheme::Ws => (Scheme::Ws, Scheme::Mqtt),
        Scheme::Wss => (Scheme::Ws, Scheme::Mqtts),
    }
}

/// What an error says of TLS, with what to do; nothing if it was not TLS that went wrong.
pub(super) fn no_tls(error: &io::Error, address: &Address) -> Option<io::Error> {
    use tls::ConnectError as E;
    let trust = &address.trust;
    let plain = below(address.endpoint.scheme).0;
    let told = match E::of(error)? {
        E::Untrusted => {
            let whom = match &trust.authorities {
                Some(file) => format!("that is not in {}", file.display()),
                None => "that this system does not trust".to_owned(),
            };
            format!(
                "has a certificate of an authority {whom}: name its authority with --ca FILE, or take any \
                 certificate with --insecure"
            )
        }
        E::Expired => "has a certificate that has expired: renew it, or take any certificate \
                             with --insecure"
            .to_owned(),
        E::OtherName(names) => {
            let host = address.endpoint.host.to_string();
            let name = trust.server_name.as_ref().unwrap_or(&host);
            let names = match names.is_empty() {
                true => String::new(),
                false => format!(" (it is for {})", names.join(", ")),
            };
            format!(
                "has a certificate that is not for '{name}'{names}: say whom it is for with \
                 --server-name NAME, or take any certificate with --insecure"
            )
        }
        E::BadCertificate(why) => format!(
            "has a certificate that is of no use ({why}): mend it, or take any certificate with \
             --insecure"
        ),
        E::WantsCertificate => {
            "wants a certificate of its clients: give one with --cert FILE --key FILE".to_owned()
        }
        E::Refused(alert) => match &trust.own {
            Some((file, _)) => format!(
                "refuses the TLS handshake (alert {alert}): it may not trust {}",
                file.display()
            ),
            None => format!(
                "refuses the TLS handshake (alert {alert}): it may want a certificate of its clients, \
                 which --cert FILE --key FILE give"
            ),
        },
        E::NotTls => format!("does not speak TLS: name it as {plain}://"),
        E::Other(why) => format!("does not come to terms over TLS: {why}"),
    };
    Some(failed(told, true))
}

fn no_websocket(error: &io::Error, endpoint: &Endpoint) -> io::Error {
    use websocket::ConnectError as E;
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<E>());
    let path = &endpoint.path;
    let bare = below(endpoint.scheme).1;
    let told = match inner {
        Some(E::NotHttp) => format!("does not speak WebSocket: name it as {bare}://"),
        Some(E::Status(status)) => format!(
            "refuses WebSocket at the path {path} ({status}): name the path at which it serves MQTT, as \
             in {}://HOST:PORT/PATH",
            endpoint.scheme
        ),
        Some(E::NotWebSocket(what)) => format!("does not shake hands as WebSocket does: {what}"),
        Some(E::NoSubprotocol) => format!(
            "opens WebSocket at the path {path}, but does not agree to the sub-protocol 'mqtt' that \
             MQTT-6.0.0-4 asks for: let it serve MQTT there, or name another path"
        ),
        None => {
            let told = format!(
                "does not finish the WebSocket handshake ({error}): if it speaks no WebSocket, name it as {bare}://"
            );
            return failed(told, false);
        }
    };
    failed(told, true)
}
