use testcontainers::TestcontainersError;
use testcontainers::bollard::errors::Error as EngineError;
use testcontainers::core::error::ClientError;
use thiserror::Error;

/// Why there is no broker in a container. Each is one sentence.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Error {
    /// No engine answers.
    #[error(
        "no Docker engine can be reached at {host} ({why}): start one, or set DOCKER_HOST to one that runs"
    )]
    NoEngine {
        /// Where it was looked for.
        host: String,
        /// What happened there.
        why: String,
    },
    /// The engine does not have the image and cannot get it.
    #[error(
        "there is no image {image} here and it cannot be pulled ({why}): name one that is here, such as the one that ci/mosquitto-image makes"
    )]
    NoImage {
        /// The image.
        image: String,
        /// What became of the pull.
        why: String,
    },
    /// The engine does not start a container.
    #[error("no container of {image} can be started: {why}")]
    NotStarted {
        /// The image.
        image: String,
        /// What the engine says.
        why: String,
    },
    /// The engine does not do what is asked of it.
    #[error("the container of {image} could not be {what}: {why}")]
    Engine {
        /// The image.
        image: String,
        /// What was asked.
        what: &'static str,
        /// What the engine says.
        why: String,
    },
    /// The container is still there.
    #[error(
        "the container {name} could not be removed ({why}): `docker rm --force {name}` removes it"
    )]
    NotRemoved {
        /// Its name.
        name: String,
        /// What the engine says.
        why: String,
    },
    /// The thread that looks after it could not.
    #[error("a container could not be looked after: {0}")]
    Lost(String),
}

/// What an engine's client says, without its wrappings and in one line.
pub(crate) fn reason(error: &TestcontainersError) -> String {
    use ClientError::{CreateContainer, Init, PullImage, StartContainer};
    match error {
        TestcontainersError::Client(
            Init(error)
            | CreateContainer(error)
            | StartContainer(error)
            | PullImage { err: error, .. },
        ) => engine_reason(error),
        other => in_a_line(&other.to_string()),
    }
}

/// What the engine says, or why it says nothing.
pub(crate) fn engine_reason(error: &EngineError) -> String {
    match error {
        EngineError::DockerResponseServerError { message, .. } => in_a_line(message),
        EngineError::DockerStreamError { error } => in_a_line(error),
        other => {
            // The outer ones say where it happened, only the innermost what.
            let mut cause: &dyn std::error::Error = other;
            while let Some(inner) = cause.source() {
                cause = inner;
            }
            in_a_line(&cause.to_string())
        }
    }
}

fn in_a_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
