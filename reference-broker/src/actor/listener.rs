//! Accepts connections, for as long as the server lives: no death of a broker closes a listener.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::transport::listener::Listener;

use super::connection::Arrival;

/// How long to wait after the system refused to accept, for lack of file descriptors say.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Hands what is accepted to the supervisor, and waits while that takes nothing: then clients wait
/// in the system's own queue. Handshakes are made later, by each connection's own task.
pub(super) async fn accept(
    listener: Listener,
    patience: Duration,
    arrivals: mpsc::Sender<Arrival>,
) {
    loop {
        match listener.accept().await {
            Ok(raw) => {
                let handshake = listener.handshake();
                let arrival: Arrival = Box::pin(async move {
                    let accepted = handshake.run(raw, patience).await?;
                    Ok(accepted.stream)
                });
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
