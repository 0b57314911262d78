//! Mosquitto in a container: started once, for as many runs as are made against it.

use std::fmt;

use super::file::mosquitto_in;
use super::{Address, Keeper, Started, Target};

/// The variable that names the image where the target does not.
pub const IMAGE_VARIABLE: &str = "MQTTSPEC_MOSQUITTO_IMAGE";

/// The image where nobody names another.
const DEFAULT_IMAGE: &str = "eclipse-mosquitto:2";

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

    pub(super) async fn start(self) -> Result<Started, String> {
        let set = || std::env::var(IMAGE_VARIABLE).ok().filter(|image| !image.is_empty());
        let image = match self.image.is_empty() {
            true => set().unwrap_or_else(|| DEFAULT_IMAGE.to_owned()),
            false => self.image,
        };
        let (address, launch) = mosquitto_in(&image)?;
        let keeper = Keeper::start(launch, address).await?;
        let address = Some(Box::new(keeper.address().clone()));
        Ok(Started::kept(Target::Container(Container { image, address }), keeper))
    }
}

impl fmt::Display for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "container:{}", self.image)
    }
}
