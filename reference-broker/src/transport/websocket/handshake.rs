use std::fmt;
use std::io;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tungstenite::handshake::machine::TryParse;
use tungstenite::handshake::{client, derive_accept_key, server};
use tungstenite::http::header::{
    HOST, HeaderMap, ORIGIN, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_PROTOCOL, UPGRADE,
};
use tungstenite::http::{HeaderValue, StatusCode};

use super::{Role, SUBPROTOCOL, WebSocketStream};
use crate::transport::browser::Browsers;
use crate::transport::{within, write_out};

/// The longest head of a request or response.
const HEAD: usize = 8 * 1024;

/// How much of what a refused client still sends is read before the connection is closed, so that it
/// gets to see why.
const REFUSED: usize = 16 * 1024;

const END_OF_HEAD: &[u8] = b"\r\n\r\n";

/// An HTTP status, and in words what was wrong.
type Refusal = (StatusCode, String);

/// How a server answers that does not open a WebSocket connection for MQTT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConnectError {
    /// Not in HTTP/1.1.
    NotHttp,
    /// With another status than 101, as HTTP writes it.
    Status(String),
    /// With 101, but not to this handshake: what is wrong.
    NotWebSocket(String),
    /// Without agreeing to the sub-protocol.
    NoSubprotocol, // MQTT-6.0.0-4
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConnectError::NotHttp => f.write_str("the server does not answer in HTTP/1.1"),
            ConnectError::Status(status) => write!(f, "the server refuses WebSocket: {status}"),
            ConnectError::NotWebSocket(what) => {
                write!(f, "the server's answer is not to this WebSocket handshake: {what}")
            }
            ConnectError::NoSubprotocol => {
                write!(f, "the server does not agree to the sub-protocol `{SUBPROTOCOL}`")
            }
        }
    }
}

impl std::error::Error for ConnectError {}

/// Answers a client's handshake on this path, within a time. The query of the URI is ignored.
///
/// # Errors
///
/// When it was none, or on another path, or did not offer MQTT (which the client is told), or was
/// too slow.
pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    path: &str,
    patience: Duration,
) -> io::Result<WebSocketStream<S>> {
    accept_from(&Browsers::default(), stream, path, patience).await
}

/// As [`accept`], with a say in which web pages may come.
///
/// # Errors
///
/// As of [`accept`], or when it comes of a page that is not welcome.
pub async fn accept_from<S: AsyncRead + AsyncWrite + Unpin>(
    browsers: &Browsers,
    mut stream: S,
    path: &str,
    patience: Duration,
) -> io::Result<WebSocketStream<S>> {
    within(patience, "WebSocket handshake", async {
        let answer = match read_head(&mut stream, b"GET ").await? {
            Head::Whole(head, early) => {
                answer(&head, path, browsers).map(|response| (response, early))
            }
            Head::Refused(refusal) => Err(refusal),
        };
        match answer {
            Ok((response, early)) => {
                write_out(&mut stream, &response).await?;
                Ok(WebSocketStream::new(stream, Role::Server, early))
            }
            Err(refusal) => Err(refuse(&mut stream, refusal).await?),
        }
    })
    .await
}

/// Opens a WebSocket connection for MQTT over a stream, within a time. `host` is what the server is
/// told it was called by, with its port.
///
/// # Errors
///
/// When the server refuses or does not agree to MQTT (with a [`ConnectError`] inside), or is too slow.
pub async fn connect<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    host: &str,
    path: &str,
    patience: Duration,
) -> io::Result<WebSocketStream<S>> {
    within(patience, "answer to the WebSocket handshake", async {
        let key = client::generate_key();
        // MQTT-6.0.0-3
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\
             Sec-WebSocket-Protocol: {SUBPROTOCOL}\r\n\r\n"
        );
        write_out(&mut stream, request.as_bytes()).await?;
        match read_head(&mut stream, b"HTTP/1.1 ").await? {
            Head::Whole(head, early) => {
                check(&head, &key).map_err(invalid)?;
                Ok(WebSocketStream::new(stream, Role::Client, early))
            }
            Head::Refused((StatusCode::BAD_REQUEST, _)) => Err(invalid(ConnectError::NotHttp)),
            Head::Refused((_, what)) => Err(invalid(ConnectError::NotWebSocket(what))),
        }
    })
    .await
}

enum Head {
    /// With what followed it.
    Whole(BytesMut, BytesMut),
    Refused(Refusal),
}

/// Reads as far as the empty line that ends a head. What cannot become one is told at once.
async fn read_head(stream: &mut (impl AsyncRead + Unpin), start: &[u8]) -> io::Result<Head> {
    let mut bytes = BytesMut::new();
    let mut searched = 0;
    loop {
        bytes.reserve(1024);
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if !bytes.iter().zip(start).all(|(byte, expected)| byte == expected) {
            let what = "this port speaks WebSocket; this is no request for it";
            return Ok(Head::Refused((StatusCode::BAD_REQUEST, what.into())));
        }
        let found = bytes[searched..].windows(END_OF_HEAD.len()).position(|w| w == END_OF_HEAD);
        let end = found.map(|at| searched + at + END_OF_HEAD.len());
        if end.unwrap_or(bytes.len()) > HEAD {
            let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
            return Ok(Head::Refused((status, format!("a head of more than {HEAD} bytes"))));
        }
        if let Some(end) = end {
            // Copied, so that the room for the head does not stay with the stream.
            let early = BytesMut::from(&bytes[end..]);
            bytes.truncate(end);
            return Ok(Head::Whole(bytes, early));
        }
        searched = bytes.len().saturating_sub(END_OF_HEAD.len() - 1);
    }
}

/// The response that agrees to a request.
fn answer(head: &[u8], path: &str, browsers: &Browsers) -> Result<Vec<u8>, Refusal> {
    let bad = |error: tungstenite::Error| (StatusCode::BAD_REQUEST, error.to_string());
    let parsed = server::Request::try_parse(head).map_err(bad)?;
    let (_, request) = parsed.ok_or_else(|| (StatusCode::BAD_REQUEST, "half a head".into()))?;
    if request.uri().path() != path {
        let what = format!("nothing at {}; MQTT is at {path}", request.uri().path());
        return Err((StatusCode::NOT_FOUND, what));
    }
    if let Some(origin) = request.headers().get(ORIGIN) {
        let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
        let origin = origin.to_str().unwrap_or("null");
        if !browsers.welcomes(origin, host.unwrap_or_default()) {
            let what =
                format!("pages of {origin} are not let in; the key origins lists those that are");
            return Err((StatusCode::FORBIDDEN, what));
        }
    }
    let mut response = server::create_response(&request).map_err(bad)?;
    if !offers_mqtt(request.headers()) {
        let what = format!("Sec-WebSocket-Protocol has to offer `{SUBPROTOCOL}`");
        return Err((StatusCode::BAD_REQUEST, what)); // MQTT-6.0.0-3
    }
    let agreed = HeaderValue::from_static(SUBPROTOCOL);
    response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, agreed); // MQTT-6.0.0-4
    let mut bytes = Vec::new();
    server::write_response(&mut bytes, &response).map_err(bad)?;
    Ok(bytes)
}

fn offers_mqtt(headers: &HeaderMap) -> bool {
    let lists = headers.get_all(SEC_WEBSOCKET_PROTOCOL).into_iter();
    let mut offers = lists.flat_map(|list| list.as_bytes().split(|byte| *byte == b','));
    offers.any(|offer| offer.trim_ascii() == SUBPROTOCOL.as_bytes())
}

/// Says why not, waits a little for the client to see it, and gives the same as an error.
async fn refuse(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    (status, what): Refusal,
) -> io::Result<io::Error> {
    let version =
        if status == StatusCode::BAD_REQUEST { "Sec-WebSocket-Version: 13\r\n" } else { "" };
    let response = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\
         {version}Connection: close\r\n\r\n{what}\n",
        what.len() + 1
    );
    write_out(stream, response.as_bytes()).await?;
    stream.shutdown().await?;
    let mut rest = BytesMut::with_capacity(1024);
    let mut total = 0;
    while total < REFUSED {
        match stream.read_buf(&mut rest).await {
            Ok(0) | Err(_) => break,
            Ok(count) => total += count,
        }
        rest.clear();
    }
    Ok(invalid(format!("WebSocket handshake refused ({status}): {what}")))
}

/// Whether a response agrees to the request with this key, and to MQTT.
fn check(head: &[u8], key: &str) -> Result<(), ConnectError> {
    let other = |what: String| ConnectError::NotWebSocket(what);
    let parsed = client::Response::try_parse(head).map_err(|error| other(error.to_string()))?;
    let (_, response) = parsed.ok_or_else(|| other("half a head".into()))?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(ConnectError::Status(response.status().to_string()));
    }
    let header = |name| response.headers().get(name).map(HeaderValue::as_bytes);
    if !header(UPGRADE).is_some_and(|value| value.eq_ignore_ascii_case(b"websocket")) {
        return Err(other("no header `Upgrade: websocket`".into()));
    }
    if header(SEC_WEBSOCKET_ACCEPT) != Some(derive_accept_key(key.as_bytes()).as_bytes()) {
        return Err(other("Sec-WebSocket-Accept is not of its key".into()));
    }
    match header(SEC_WEBSOCKET_PROTOCOL) {
        Some(agreed) if agreed == SUBPROTOCOL.as_bytes() => Ok(()), // MQTT-6.0.0-4
        _ => Err(ConnectError::NoSubprotocol),
    }
}

fn invalid(why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}
