//! A broker in a container.

use std::time::Duration;

use containers::{Container, Request, State};

use super::process::memory_of_group;
use super::{Image, Launch};

/// A container that was started.
#[derive(Debug)]
pub(super) struct Boxed(Container);

impl Boxed {
    pub(super) async fn start(image: &Image, launch: &Launch) -> Result<Boxed, String> {
        let Image { name, ports, mounts, copies } = image.clone();
        let request = Request { image: name, ports, mounts, copies, env: launch.env.clone() };
        Container::start(request).await.map(Boxed).map_err(|error| error.to_string())
    }

    pub(super) fn host(&self) -> &str {
        self.0.host()
    }

    pub(super) async fn ended(&self) -> Option<String> {
        match self.0.state().await {
            Ok(State::Ended(how)) => Some(how),
            Ok(State::Running(_)) | Err(_) => None,
        }
    }

    pub(super) async fn last_lines(&self, count: usize) -> Vec<String> {
        self.0.last_lines(count).await.unwrap_or_default()
    }

    pub(super) async fn stop(&self, within: Duration) -> Result<(), String> {
        self.0.stop(within).await.map_err(|error| error.to_string())
    }

    pub(super) async fn kill(&self) -> Result<(), String> {
        self.0.kill().await.map_err(|error| error.to_string())
    }

    pub(super) async fn begin_again(&self) -> Result<(), String> {
        self.0.begin_again().await.map_err(|error| error.to_string())
    }

    /// What its processes have, where they are those of this machine.
    pub(super) async fn memory(&self) -> Option<u64> {
        match self.0.state().await {
            Ok(State::Running(Some(first))) => memory_of_group(first),
            _ => None,
        }
    }

    pub(super) async fn remove(self) -> Result<(), String> {
        let removing = tokio::task::spawn_blocking(move || self.0.remove());
        match removing.await {
            Ok(removed) => removed.map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        }
    }
}
