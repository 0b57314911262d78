//! Connections that can be cut off all at once: what a restart of a broker in this process comes to.

use std::sync::{Arc, Mutex, PoisonError};

use reference_broker::transport::{BoxStream, memory};
use tokio::io::copy_bidirectional;
use tokio::task::AbortHandle;

/// The connections that were opened.
#[derive(Clone, Debug, Default)]
pub(super) struct Lines(Arc<Mutex<Vec<AbortHandle>>>);

impl Lines {
    /// The same connection, as long as it is not cut off.
    pub(super) fn through(&self, mut stream: BoxStream) -> BoxStream {
        let (ours, mut theirs) = memory::pair();
        let carrying = tokio::spawn(async move {
            // It ends with either side, and for the same reason.
            let _ = copy_bidirectional(&mut theirs, &mut stream).await;
        });
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.push(carrying.abort_handle());
        Box::new(ours)
    }

    /// Cuts off all of them, for both sides.
    pub(super) fn cut(&self) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.drain(..).for_each(|line| line.abort());
    }
}
