//! What runs: a process, or a container.

use std::time::Duration;

#[cfg(feature = "containers")]
use super::boxed::Boxed;
use super::process::Process;
use super::{How, Launch};

/// A broker that was started, whatever it runs in.
#[derive(Debug)]
pub(super) enum Body {
    Process(Box<Process>),
    #[cfg(feature = "containers")]
    Container(Boxed),
}

impl Body {
    /// Starts it; gives the host at which it then is, if that is not for others to say.
    pub(super) async fn start(launch: &Launch) -> Result<(Body, Option<String>), String> {
        match &launch.how {
            How::Command(words) => {
                let process = Process::start(words, &launch.env, launch.dir.path())?;
                Ok((Body::Process(Box::new(process)), None))
            }
            #[cfg(feature = "containers")]
            How::Image(image) => {
                let boxed = Boxed::start(image, launch).await?;
                let host = boxed.host().to_owned();
                Ok((Body::Container(boxed), Some(host)))
            }
            #[cfg(not(feature = "containers"))]
            How::Image(image) => Err(format!(
                "the container of {} cannot be started: this mqttspec was built without containers",
                image.name
            )),
        }
    }

    /// How it ended; none while it runs, as far as anybody knows.
    pub(super) async fn ended(&mut self) -> Option<String> {
        match self {
            Body::Process(process) => process.ended().await.map(|status| status.to_string()),
            #[cfg(feature = "containers")]
            Body::Container(boxed) => boxed.ended().await,
        }
    }

    pub(super) async fn last_lines(&self, count: usize) -> Vec<String> {
        match self {
            Body::Process(process) => process.last_lines(count),
            #[cfg(feature = "containers")]
            Body::Container(boxed) => boxed.last_lines(count).await,
        }
    }

    /// Asks it to end, and kills it if it has not by then. Gives whether it ended by itself.
    pub(super) async fn stop(
        &mut self,
        signal: Option<&str>,
        within: Duration,
    ) -> Result<bool, String> {
        match self {
            Body::Process(process) => {
                process.stop(signal, within).await.map_err(|error| error.to_string())
            }
            #[cfg(feature = "containers")]
            Body::Container(boxed) => boxed.stop(within).await.map(|()| true),
        }
    }

    pub(super) async fn kill(&mut self) -> Result<(), String> {
        match self {
            Body::Process(process) => process.kill().await.map_err(|error| error.to_string()),
            #[cfg(feature = "containers")]
            Body::Container(boxed) => boxed.kill().await,
        }
    }

    /// Starts it again after its end.
    pub(super) async fn begin_again(&mut self, launch: &Launch) -> Result<(), String> {
        match self {
            Body::Process(_) => *self = Body::start(launch).await?.0,
            #[cfg(feature = "containers")]
            Body::Container(boxed) => boxed.begin_again().await?,
        }
        Ok(())
    }

    /// Leaves nothing of it.
    pub(super) async fn remove(self) -> Result<(), String> {
        match self {
            Body::Process(mut process) => process.kill().await.map_err(|error| error.to_string()),
            #[cfg(feature = "containers")]
            Body::Container(boxed) => boxed.remove().await,
        }
    }

    /// The memory that it has, in bytes, as far as that is to be known.
    pub(super) async fn memory(&self) -> Option<u64> {
        match self {
            Body::Process(process) => process.memory(),
            #[cfg(feature = "containers")]
            Body::Container(boxed) => boxed.memory().await,
        }
    }
}
