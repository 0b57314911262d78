//! What goes on in a broker, over HTTP: `/healthz`, `/metrics` and `/state`.
//!
//! Off unless asked for. There is no password before it: whoever reaches it sees Client Identifiers,
//! topics and filters, though never a payload, a property or a password.

mod metrics;
mod state;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ALLOW, CONTENT_TYPE, HOST, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};

use crate::actor::Server;
use crate::transport::Stream;
use crate::transport::browser::Browsers;

/// How many connections are served at once; for one more, the oldest has to go.
const CONNECTIONS: usize = 32;

/// How many bytes of a request are kept: one whose head is not whole by then is refused.
const BUFFER: usize = 16 * 1024;

/// How long a request may take to come, and its answer to be taken.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long the broker may take to show what it has before it is taken for sick.
const HEALTHY: Duration = Duration::from_secs(2);

/// How many sessions, subscriptions, topics, groups and members `/state` shows if not asked otherwise,
/// and at the most.
const SHOWN: usize = 100;
const MOST_SHOWN: usize = 10_000;

/// What a page is told that calls the broker by a name that is none of its own.
const NOT_A_NAME: &str = "this broker is not called that; the key names lists what it is called\n";

/// How long to wait after the system refused to accept, for lack of file descriptors say.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves HTTP on a listener until it is dropped, to those who call the broker by a name of its own.
pub async fn serve(listener: TcpListener, server: Arc<Server>, browsers: Arc<Browsers>) {
    let mut connections = JoinSet::new();
    let mut oldest_first = VecDeque::<AbortHandle>::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                while connections.try_join_next().is_some() {}
                oldest_first.retain(|connection| !connection.is_finished());
                // Whoever asks properly was answered long ago.
                if oldest_first.len() >= CONNECTIONS
                    && let Some(oldest) = oldest_first.pop_front()
                {
                    oldest.abort();
                }
                let serving = connection(stream, Arc::clone(&server), Arc::clone(&browsers));
                oldest_first.push_back(connections.spawn(serving));
            }
            Err(error) => {
                tracing::warn!(%error, "no HTTP connection accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Answers one request; who has more to ask comes again, so that nobody keeps a place.
async fn connection(stream: impl Stream, server: Arc<Server>, browsers: Arc<Browsers>) {
    let service = service_fn(move |request: Request<_>| {
        let (server, browsers) = (Arc::clone(&server), Arc::clone(&browsers));
        async move {
            let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
            Ok::<_, Infallible>(match host.is_none_or(|host| browsers.knows(host)) {
                true => answer(&request, &server).await,
                false => plain(StatusCode::MISDIRECTED_REQUEST, NOT_A_NAME),
            })
        }
    });
    let mut http = http1::Builder::new();
    http.keep_alive(false)
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(BUFFER);
    // Errors are the other side's: it sent no request, or did not take the answer.
    let _ = timeout(2 * PATIENCE, http.serve_connection(TokioIo::new(stream), service)).await;
}

async fn answer<B>(request: &Request<B>, server: &Server) -> Response<Full<Bytes>> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut refusal = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET\n");
        refusal.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refusal;
    }
    let answer = match request.uri().path() {
        "/healthz" => healthz(server).await,
        "/metrics" => metrics(server).await,
        "/state" => state(server, request.uri().query().unwrap_or_default()).await,
        "/" => Ok(plain(StatusCode::OK, "/healthz\n/metrics\n/state?limit=100&after=CLIENT\n")),
        _ => Ok(plain(StatusCode::NOT_FOUND, "there are /healthz, /metrics and /state\n")),
    };
    answer.unwrap_or_else(|error| plain(StatusCode::SERVICE_UNAVAILABLE, &format!("{error}\n")))
}

async fn healthz(server: &Server) -> io::Result<Response<Full<Bytes>>> {
    look(server, |_| ()).await?;
    Ok(plain(StatusCode::OK, "ok\n"))
}

async fn metrics(server: &Server) -> io::Result<Response<Full<Bytes>>> {
    // Those of the shell are worth showing when there is no broker to ask.
    let core = look(server, |broker| broker.counts()).await.ok();
    let text = metrics::text(core, server.counts()).map_err(io::Error::other)?;
    Ok(with_type("application/openmetrics-text; version=1.0.0; charset=utf-8", text))
}

async fn state(server: &Server, query: &str) -> io::Result<Response<Full<Bytes>>> {
    let asked = match state::Asked::parse(query) {
        Ok(asked) => asked,
        Err(wrong) => return Ok(plain(StatusCode::BAD_REQUEST, &format!("{wrong}\n"))),
    };
    let seen = look(server, move |broker| asked.look(broker)).await?;
    Ok(with_type("application/json", seen.to_json()))
}

/// Looks at the core, if it shows itself in time.
async fn look<R: Send + 'static>(
    server: &Server,
    look: impl FnOnce(&crate::core::Broker) -> R + Send + 'static,
) -> io::Result<R> {
    let late = |_| io::Error::new(io::ErrorKind::TimedOut, "the broker does not answer");
    timeout(HEALTHY, server.inspect(look)).await.map_err(late)?
}

fn plain(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    let mut response = with_type("text/plain; charset=utf-8", text.to_owned());
    *response.status_mut() = status;
    response
}

fn with_type(kind: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
