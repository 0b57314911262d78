use std::env;
use std::path::Path;

use testcontainers::bollard::models::{HostConfig, PortBinding};
use testcontainers::core::{IntoContainerPort, Mount};
use testcontainers::{ContainerRequest, GenericImage, ImageExt};

use crate::LABEL;
use crate::engine::STARTUP;

/// A container that is wanted.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The image, with its tag.
    pub image: String,
    /// Ports of this machine, and those of the container that they lead to.
    pub ports: Vec<(u16, u16)>,
    /// Variables of its environment.
    pub env: Vec<(String, String)>,
    /// Folders and files of the engine's machine, and where they are in the container.
    pub mounts: Vec<(String, String)>,
    /// Files that are put into it: where, and what.
    pub copies: Vec<(String, Vec<u8>)>,
}

impl Request {
    pub(crate) fn for_engine(&self, name: &str) -> ContainerRequest<GenericImage> {
        let (image_name, tag) = match self.image.rsplit_once(':') {
            Some((image_name, tag)) if !tag.contains('/') => (image_name, tag),
            _ => (&*self.image, "latest"),
        };
        let image = GenericImage::new(image_name, tag);
        let image = self
            .ports
            .iter()
            .fold(image, |image, (_, inside)| image.with_exposed_port(inside.tcp()));
        let ports = self.ports.clone();
        let mut request = image
            .with_container_name(name)
            .with_label(LABEL, &self.image)
            .with_startup_timeout(STARTUP)
            .with_host_config_modifier(move |host| publish(host, &ports));
        for (name, value) in &self.env {
            request = request.with_env_var(name, value);
        }
        for (outside, inside) in &self.mounts {
            request = request.with_mount(Mount::bind_mount(outside, inside));
        }
        for (path, bytes) in &self.copies {
            request = request.with_copy_to(path.as_str(), bytes.clone());
        }
        request
    }
}

/// Publishes ports: to this machine only, if that is where the engine and we are, as brokers that are
/// tested let everybody in.
fn publish(host: &mut HostConfig, ports: &[(u16, u16)]) {
    let is_remote = ["tcp:", "http:", "https:"].iter().any(|kind| engine_host().starts_with(kind));
    let is_elsewhere = is_remote || Path::new("/.dockerenv").exists();
    let host_ip = (!is_elsewhere).then(|| "127.0.0.1".to_owned());
    let bindings = ports.iter().map(|(outside, inside)| {
        let binding =
            PortBinding { host_ip: host_ip.clone(), host_port: Some(outside.to_string()) };
        (inside.tcp().to_string(), Some(vec![binding]))
    });
    host.publish_all_ports = Some(false);
    host.port_bindings = Some(bindings.collect());
}

/// Where the engine is.
pub(crate) fn engine_host() -> String {
    env::var("DOCKER_HOST").unwrap_or_else(|_| "unix:///var/run/docker.sock".to_owned())
}
