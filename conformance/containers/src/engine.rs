//! The life of one container, from its image to its removal.

use std::env;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use testcontainers::bollard::Docker;
use testcontainers::bollard::errors::Error as EngineError;
use testcontainers::bollard::models::{HostConfig, PortBinding};
use testcontainers::bollard::query_parameters::RemoveContainerOptionsBuilder;
use testcontainers::core::IntoContainerPort;
use testcontainers::core::client::docker_client_instance;
use testcontainers::runners::AsyncRunner;
use testcontainers::{ContainerAsync, ContainerRequest, GenericImage, ImageExt};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};

use crate::error::{engine_reason, reason};
use crate::{Error, LABEL, ready};

/// The port of MQTT, in the container.
const PORT: u16 = 1883;
/// How long an engine may take to say that it is there.
const ANSWER: Duration = Duration::from_secs(10);
/// How long a container may take to start, and then to serve.
const STARTUP: Duration = Duration::from_secs(30);
/// The time between two looks at a broker that does not serve yet.
const LOOK: Duration = Duration::from_millis(50);

/// Where eclipse-mosquitto reads its configuration, and so does the image of `ci/mosquitto-image`.
const CONFIG_PATH: &str = "/mosquitto/config/mosquitto.conf";
const CONFIG: &[u8] = b"listener 1883\nallow_anonymous true\nlog_dest stderr\n";

/// Starts a container of the image, says where it serves, and removes it as soon as the other end
/// of `unwanted` is gone.
pub(crate) fn keep(
    image: String,
    tell: oneshot::Sender<Result<(String, u16), Error>>,
    mut unwanted: oneshot::Receiver<()>,
) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Error::Lost(error.to_string()))?;
    runtime.block_on(async {
        let prepared = tokio::select! {
            biased;
            _ = &mut unwanted => Err(Error::Unwanted),
            prepared = prepare(&image) => prepared,
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
        let started = run(&image, &name, &mut container, &mut unwanted).await;
        let is_up = started.is_ok();
        // The container goes before its failure is told, so that nothing is left when it is.
        if !is_up {
            remove(&docker, &name, container.take()).await?;
        }
        if tell.send(started).is_ok() && is_up {
            let _ = unwanted.await;
        }
        match is_up {
            true => remove(&docker, &name, container).await,
            false => Ok(()),
        }
    })
}

/// Finds the engine and sees to it that it has the image.
async fn prepare(image: &str) -> Result<Docker, Error> {
    let no_engine = |why| Error::NoEngine { host: engine_host(), why };
    let docker =
        docker_client_instance().await.map_err(|error| no_engine(reason(&error.into())))?;
    match timeout(ANSWER, docker.ping()).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => return Err(no_engine(engine_reason(&error))),
        Err(_) => return Err(no_engine(format!("no answer in {ANSWER:?}"))),
    }
    // To start it without a look would pull it too, but say less when that fails.
    let no_image = |why| Error::NoImage { image: image.to_owned(), why };
    match docker.inspect_image(image).await {
        Ok(_) => {}
        Err(EngineError::DockerResponseServerError { status_code: 404, .. }) => {
            let pulled = request(image, "").pull_image().await;
            pulled.map(drop).map_err(|error| no_image(reason(&error)))?;
        }
        Err(error) => return Err(no_image(engine_reason(&error))),
    }
    Ok(docker)
}

/// Starts the container and waits until it serves. It is in `container` as soon as there is one.
async fn run(
    image: &str,
    name: &str,
    container: &mut Option<ContainerAsync<GenericImage>>,
    unwanted: &mut oneshot::Receiver<()>,
) -> Result<(String, u16), Error> {
    let not_started = |error| Error::NotStarted { image: image.to_owned(), why: reason(&error) };
    // Never given up half-way: a container whose creation is not waited for may come to be after
    // its removal.
    let started = request(image, name).start().await.map_err(not_started)?;
    let started = container.insert(started);
    let host = started.get_host().await.map_err(not_started)?.to_string();
    // A name may stand for addresses on which the port is not published.
    let host = if host == "localhost" { "127.0.0.1".to_owned() } else { host };
    let port = match started.get_host_port_ipv4(PORT.tcp()).await {
        Ok(port) => port,
        // What has ended has no ports any more.
        Err(_) if !is_running(started).await => return Err(ended(image, started).await),
        Err(error) => return Err(not_started(error)),
    };
    tokio::select! {
        biased;
        _ = unwanted => Err(Error::Unwanted),
        served = served(image, started, &host, port) => served.map(|()| (host.clone(), port)),
    }
}

/// Waits until the broker serves, and no longer than it may take.
async fn served(
    image: &str,
    container: &ContainerAsync<GenericImage>,
    host: &str,
    port: u16,
) -> Result<(), Error> {
    let deadline = Instant::now() + STARTUP;
    loop {
        let Err(error) = ready::serves_mqtt(host, port).await else { return Ok(()) };
        if !is_running(container).await {
            return Err(ended(image, container).await);
        }
        if Instant::now() >= deadline {
            let (image, why) = (image.to_owned(), error.to_string());
            return Err(Error::NotServing { image, patience: STARTUP, why });
        }
        sleep(LOOK).await;
    }
}

async fn is_running(container: &ContainerAsync<GenericImage>) -> bool {
    container.is_running().await.unwrap_or(true)
}

async fn ended(image: &str, container: &ContainerAsync<GenericImage>) -> Error {
    let wrote = timeout(ANSWER, container.stderr_to_vec()).await;
    let wrote = wrote.ok().and_then(Result::ok).unwrap_or_default();
    let wrote = String::from_utf8_lossy(&wrote);
    let last = wrote.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("nothing");
    Error::Ended { image: image.to_owned(), last: last.trim().to_owned() }
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

fn request(image: &str, name: &str) -> ContainerRequest<GenericImage> {
    let (image_name, tag) = match image.rsplit_once(':') {
        Some((image_name, tag)) if !tag.contains('/') => (image_name, tag),
        _ => (image, "latest"),
    };
    GenericImage::new(image_name, tag)
        .with_exposed_port(PORT.tcp())
        .with_container_name(name)
        .with_label(LABEL, image)
        .with_copy_to(CONFIG_PATH, CONFIG.to_vec())
        .with_startup_timeout(STARTUP)
        .with_host_config_modifier(publish)
}

/// A name that tells the container from those of other processes and of earlier ones.
fn name() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let now = std::time::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_millis());
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("mqttspec-{}-{now}-{count}", std::process::id())
}

/// Publishes the port to this machine only, if that is where the engine and we are: the broker lets
/// everybody in.
fn publish(host: &mut HostConfig) {
    let is_remote = ["tcp:", "http:", "https:"].iter().any(|kind| engine_host().starts_with(kind));
    if is_remote || Path::new("/.dockerenv").exists() {
        return;
    }
    let binding = PortBinding { host_ip: Some("127.0.0.1".to_owned()), host_port: None };
    host.publish_all_ports = Some(false);
    host.port_bindings = Some([(PORT.tcp().to_string(), Some(vec![binding]))].into());
}

fn engine_host() -> String {
    env::var("DOCKER_HOST").unwrap_or_else(|_| "unix:///var/run/docker.sock".to_owned())
}
