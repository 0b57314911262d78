use tokio::sync::watch;

/// How often a run was asked to end: once to end in order, twice to end at once.
#[derive(Clone, Debug)]
pub struct Interrupts(watch::Receiver<u32>);

impl Interrupts {
    /// Counted by whoever has the other end.
    pub fn counted() -> (watch::Sender<u32>, Interrupts) {
        let (count, counted) = watch::channel(0);
        (count, Interrupts(counted))
    }

    /// Resolves when there have been so many.
    pub async fn reach(&self, count: u32) {
        let mut counted = self.0.clone();
        if counted.wait_for(|seen| *seen >= count).await.is_err() {
            // Nobody is there who could ask.
            std::future::pending::<()>().await;
        }
    }

    /// Whether there has been one.
    pub fn any(&self) -> bool {
        *self.0.borrow() > 0
    }
}
