//! Accepts connections, for as long as the server lives: no death of a broker closes a listener.

use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::transport::{BoxStream, tcp};

use super::connection::Arrival;

/// How long to wait after the system refused to accept, for lack of file descriptors say.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Hands what is accepted to the supervisor, and waits while that takes nothing: then clients wait
/// in the system's own queue.
pub(super) async fn accept(listener: TcpListener, arrivals: mpsc::Sender<Arrival>) {
    loop {
        match tcp::accept(&listener).await {
            Ok(stream) => {
                let arrival: Arrival = Box::pin(async { Ok(Box::new(stream) as BoxStream) });
                if arrivals.send(arrival).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                tracing::warn!(%error, "no connection accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
