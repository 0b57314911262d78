use std::sync::Arc;

use super::{Keeper, Launch};
use crate::target::{Address, Target};

/// A target that can be run against, with what was started for it.
#[derive(Debug)]
pub struct Started {
    target: Target,
    keeper: Option<Arc<Keeper>>,
}

impl Started {
    /// A target that somebody keeps running.
    pub(in crate::target) fn kept(target: Target, keeper: Keeper) -> Started {
        Started { target, keeper: Some(Arc::new(keeper)) }
    }

    /// The target.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Who keeps it running, if it was started.
    pub fn keeper(&self) -> Option<Arc<Keeper>> {
        self.keeper.clone()
    }

    /// Ends what was started. A drop does so too, but does not tell whether it worked.
    ///
    /// # Errors
    ///
    /// In one sentence, what is left and why.
    pub async fn stop(self) -> Result<(), String> {
        match &self.keeper {
            Some(keeper) => keeper.stop().await,
            None => Ok(()),
        }
    }
}

impl Launch {
    /// Starts it, and waits until it answers at this address. Given up before its end, it leaves nothing
    /// behind.
    ///
    /// # Errors
    ///
    /// In one sentence, why it cannot be started.
    pub async fn start(self, address: Address) -> Result<Started, String> {
        let keeper = Keeper::start(self, address).await?;
        Ok(Started::kept(Target::Address(Box::new(keeper.address().clone())), keeper))
    }
}

impl Target {
    /// Starts what serves all runs against the target; of most targets there is nothing of the kind.
    /// Given up before its end, it leaves nothing behind.
    ///
    /// # Errors
    ///
    /// In one sentence, why it cannot be started.
    pub async fn start(self) -> Result<Started, String> {
        match self {
            Target::Container(container) => container.start().await,
            target => Ok(Started { target, keeper: None }),
        }
    }
}
