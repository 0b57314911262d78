//! Mosquitto in a container: started once, for as many runs as are made against it.

use std::fmt;

use super::{Address, Target};

/// The variable that names the image where the target does not.
pub const IMAGE_VARIABLE: &str = "MQTTSPEC_MOSQUITTO_IMAGE";

/// A container of an image of Mosquitto.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// The image; empty for the one that is set, or else the default.
    image: String,
    /// Where it serves, once it does.
    address: Option<Box<Address>>,
}

impl Container {
    /// A container of this image that is not started yet. An empty name is that of the image in
    /// [`IMAGE_VARIABLE`] or, if it is not set, `eclipse-mosquitto:2`.
    pub fn new(image: &str) -> Container {
        Container { image: image.to_owned(), address: None }
    }

    /// Where it serves; none if it is not started.
    pub fn address(&self) -> Option<&Address> {
        self.address.as_deref()
    }
}

impl fmt::Display for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "container:{}", self.image)
    }
}

/// A target that can be run against, with what was started for it.
#[derive(Debug)]
pub struct Started {
    target: Target,
    #[cfg(feature = "containers")]
    broker: Option<containers::Broker>,
}

impl Started {
    /// The target.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Ends what was started. A drop does so too, but does not tell whether it worked.
    ///
    /// # Errors
    ///
    /// In one sentence, what is left and why.
    pub fn stop(self) -> Result<(), String> {
        #[cfg(feature = "containers")]
        if let Some(broker) = self.broker {
            return broker.stop().map_err(|error| error.to_string());
        }
        Ok(())
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
            target => Ok(Started {
                target,
                #[cfg(feature = "containers")]
                broker: None,
            }),
        }
    }
}

#[cfg(feature = "containers")]
impl Container {
    async fn start(self) -> Result<Started, String> {
        let set = || std::env::var(IMAGE_VARIABLE).ok().filter(|image| !image.is_empty());
        let image = match self.image.is_empty() {
            true => set().unwrap_or_else(|| containers::DEFAULT_IMAGE.to_owned()),
            false => self.image,
        };
        let broker = containers::Broker::start(&image).await.map_err(|error| error.to_string())?;
        let address = format!("{}:{}", broker.host(), broker.port()).parse::<Address>()?;
        let target = Target::Container(Container { image, address: Some(Box::new(address)) });
        Ok(Started { target, broker: Some(broker) })
    }
}

#[cfg(not(feature = "containers"))]
impl Container {
    async fn start(self) -> Result<Started, String> {
        Err(format!(
            "{self} needs containers, which this mqttspec was built without: build it with \
             `cargo build --release --features containers`"
        ))
    }
}
