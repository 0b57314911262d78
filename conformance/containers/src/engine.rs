//! The life of one container, from its image to its removal.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use testcontainers::bollard::Docker;
use testcontainers::bollard::errors::Error as EngineError;
use testcontainers::bollard::models::ContainerState;
use testcontainers::bollard::query_parameters::{
    RemoveContainerOptionsBuilder, StopContainerOptionsBuilder,
};
use testcontainers::core::client::docker_client_instance;
use testcontainers::runners::AsyncRunner;
use testcontainers::{ContainerAsync, GenericImage};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::error::{engine_reason, reason};
use crate::request::engine_host;
use crate::{Error, Request, State};

/// How long an engine may take to say that it is there, or to tell what was written.
const ANSWER: Duration = Duration::from_secs(10);

/// How long a container may take to start.
pub(crate) const STARTUP: Duration = Duration::from_secs(30);

/// What is asked of a container.
#[derive(Debug)]
pub(crate) enum Order {
    State(oneshot::Sender<Result<State, Error>>),
    LastLines(usize, oneshot::Sender<Result<Vec<String>, Error>>),
    Kill(oneshot::Sender<Result<(), Error>>),
    Stop(Duration, oneshot::Sender<Result<(), Error>>),
    BeginAgain(oneshot::Sender<Result<(), Error>>),
}

/// Starts a container, says at which host, does what is asked, and removes it as soon as nobody can
/// ask any more.
pub(crate) fn keep(
    request: &Request,
    mut tell: oneshot::Sender<Result<String, Error>>,
    mut orders: mpsc::Receiver<Order>,
) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Error::Lost(error.to_string()))?;
    runtime.block_on(async {
        let prepared = tokio::select! {
            biased;
            () = tell.closed() => return Ok(()),
            prepared = prepare(request) => prepared,
        };
        let docker = match prepared {
            Ok(docker) => docker,
            Err(error) => {
                // Whoever does not listen any more does not want to know.
                let _ = tell.send(Err(error));
                return Ok(());
            }
        };
        let name = name();
        let mut container = None;
        // Never given up half-way: a container whose creation is not waited for may come to be after
        // its removal.
        let host = match run(request, &name, &mut container).await {
            Ok(host) => host,
            Err(error) => {
                // The container goes before its failure is told, so that nothing is left when it is.
                remove(&docker, &name, container.take()).await?;
                let _ = tell.send(Err(error));
                return Ok(());
            }
        };
        if tell.send(Ok(host)).is_ok()
            && let Some(container) = &container
        {
            while let Some(order) = orders.recv().await {
                obey(order, request, &docker, &name, container).await;
            }
        }
        remove(&docker, &name, container).await
    })
}

/// Finds the engine and sees to it that it has the image.
async fn prepare(request: &Request) -> Result<Docker, Error> {
    let no_engine = |why| Error::NoEngine { host: engine_host(), why };
    let docker =
        docker_client_instance().await.map_err(|error| no_engine(reason(&error.into())))?;
    match timeout(ANSWER, docker.ping()).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => return Err(no_engine(engine_reason(&error))),
        Err(_) => return Err(no_engine(format!("no answer in {ANSWER:?}"))),
    }
    // To start it without a look would pull it too, but say less when that fails.
    let image = &request.image;
    let no_image = |why| Error::NoImage { image: image.clone(), why };
    match docker.inspect_image(image).await {
        Ok(_) => {}
        Err(EngineError::DockerResponseServerError { status_code: 404, .. }) => {
            let pulled = request.for_engine("").pull_image().await;
            pulled.map(drop).map_err(|error| no_image(reason(&error)))?;
        }
        Err(error) => return Err(no_image(engine_reason(&error))),
    }
    Ok(docker)
}

/// Starts the container and gives the host of its ports. It is in `container` as soon as there is one.
async fn run(
    request: &Request,
    name: &str,
    container: &mut Option<ContainerAsync<GenericImage>>,
) -> Result<String, Error> {
    let not_started =
        |error| Error::NotStarted { image: request.image.clone(), why: reason(&error) };
    let started = request.for_engine(name).start().await.map_err(not_started)?;
    let started = container.insert(started);
    let host = started.get_host().await.map_err(not_started)?.to_string();
    // A name may stand for addresses on which the ports are not published.
    Ok(if host == "localhost" { "127.0.0.1".to_owned() } else { host })
}

/// Whoever asked may have left.
async fn obey(
    order: Order,
    request: &Request,
    docker: &Docker,
    name: &str,
    container: &ContainerAsync<GenericImage>,
) {
    let told = |what| {
        let image = request.image.clone();
        move |error: EngineError| Error::Engine { image, what, why: engine_reason(&error) }
    };
    match order {
        Order::State(answer) => {
            let inspected = docker.inspect_container(name, None).await.map_err(told("looked at"));
            let state = inspected.map(|it| it.state.map_or(State::Running(None), state_of));
            let _ = answer.send(state);
        }
        Order::LastLines(count, answer) => {
            let _ = answer.send(Ok(last_lines(container, count).await));
        }
        Order::Kill(answer) => {
            let killed = docker.kill_container(name, None).await;
            let _ = answer.send(unless_done(killed).map_err(told("killed")));
        }
        Order::Stop(within, answer) => {
            let seconds = i32::try_from(within.as_secs()).unwrap_or(i32::MAX).max(1);
            let options = StopContainerOptionsBuilder::new().t(seconds).build();
            let stopped = docker.stop_container(name, Some(options)).await;
            let _ = answer.send(unless_done(stopped).map_err(told("stopped")));
        }
        Order::BeginAgain(answer) => {
            let begun = docker.start_container(name, None).await;
            let _ = answer.send(unless_done(begun).map_err(told("started again")));
        }
    }
}

/// To end what has ended, or start what runs, is no error.
fn unless_done(done: Result<(), EngineError>) -> Result<(), EngineError> {
    match done {
        Err(EngineError::DockerResponseServerError { status_code: 304 | 409, .. }) => Ok(()),
        done => done,
    }
}

fn state_of(state: ContainerState) -> State {
    if state.running == Some(true) {
        return State::Running(state.pid.and_then(|pid| u32::try_from(pid).ok()));
    }
    let code = state.exit_code.unwrap_or_default();
    let memory = if state.oom_killed == Some(true) { ", killed for want of memory" } else { "" };
    State::Ended(format!("exit code {code}{memory}"))
}

async fn last_lines(container: &ContainerAsync<GenericImage>, count: usize) -> Vec<String> {
    let mut wrote = Vec::new();
    for stream in [container.stdout_to_vec().await, container.stderr_to_vec().await] {
        wrote.extend(stream.unwrap_or_default());
    }
    let wrote = String::from_utf8_lossy(&wrote);
    let lines: Vec<_> = wrote.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(count)..].iter().map(|line| (*line).to_owned()).collect()
}

/// Removes the container, and also one that was begun and never handed over.
async fn remove(
    docker: &Docker,
    name: &str,
    container: Option<ContainerAsync<GenericImage>>,
) -> Result<(), Error> {
    if let Some(container) = container
        && container.rm().await.is_ok()
    {
        return Ok(());
    }
    let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
    match docker.remove_container(name, Some(options)).await {
        Ok(()) | Err(EngineError::DockerResponseServerError { status_code: 404, .. }) => Ok(()),
        Err(error) => Err(Error::NotRemoved { name: name.to_owned(), why: engine_reason(&error) }),
    }
}

/// A name that tells the container from those of other processes and of earlier ones.
fn name() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let now = std::time::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_millis());
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("mqttspec-{}-{now}-{count}", std::process::id())
}
