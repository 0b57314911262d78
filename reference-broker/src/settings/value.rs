use std::path::PathBuf;
use std::time::Duration;

use toml::de::DeValue;

use crate::authentication::Anonymous;
use crate::codec::{QoS, Text};
use crate::core::{Action, DollarTopics, Sharing};

/// What a key may be set to: how it is read from TOML, and how it is written.
pub(super) trait Value: Sized {
    /// What a value looks like, for errors.
    fn kind() -> String;

    /// The value, if it is one.
    fn read(value: &DeValue<'_>) -> Option<Self>;

    /// As TOML, if there is a value.
    fn write(&self) -> Option<String>;
}

impl Value for bool {
    fn kind() -> String {
        "true or false".into()
    }

    fn read(value: &DeValue<'_>) -> Option<bool> {
        value.as_bool()
    }

    fn write(&self) -> Option<String> {
        Some(self.to_string())
    }
}

macro_rules! whole_numbers {
    ($($number:ty),*) => {$(
        impl Value for $number {
            fn kind() -> String {
                format!("a whole number up to {}", <$number>::MAX)
            }

            fn read(value: &DeValue<'_>) -> Option<$number> {
                let integer = value.as_integer()?;
                <$number>::from_str_radix(integer.as_str(), integer.radix()).ok()
            }

            fn write(&self) -> Option<String> {
                Some(self.to_string())
            }
        }
    )*};
}

whole_numbers!(u16, u32, usize);

impl Value for Duration {
    fn kind() -> String {
        "a number of seconds, such as 30 or 0.5".into()
    }

    fn read(value: &DeValue<'_>) -> Option<Duration> {
        if let Some(float) = value.as_float() {
            let seconds = float.as_str().replace('_', "").parse().ok()?;
            return Duration::try_from_secs_f64(seconds).ok();
        }
        u32::read(value).map(|seconds| Duration::from_secs(seconds.into()))
    }

    fn write(&self) -> Option<String> {
        let text = self.as_secs_f64().to_string();
        // Whole numbers are read up to 32 bits, others up to all that there is.
        let is_readable = text.contains('.') || text.parse::<u32>().is_ok();
        Some(if is_readable { text } else { text + ".0" })
    }
}

impl Value for String {
    fn kind() -> String {
        "text in quotes".into()
    }

    fn read(value: &DeValue<'_>) -> Option<String> {
        value.as_str().map(str::to_owned)
    }

    fn write(&self) -> Option<String> {
        Some(toml::Value::from(self.as_str()).to_string())
    }
}

impl Value for Text {
    fn kind() -> String {
        "text in quotes of up to 65,535 bytes, without NUL".into()
    }

    fn read(value: &DeValue<'_>) -> Option<Text> {
        let text = value.as_str()?;
        let fits = text.len() <= usize::from(u16::MAX) && !text.contains('\0'); // MQTT-1.5.4-2
        fits.then(|| Text::from(text))
    }

    fn write(&self) -> Option<String> {
        self.to_string().write()
    }
}

impl Value for PathBuf {
    fn kind() -> String {
        "a path in quotes".into()
    }

    fn read(value: &DeValue<'_>) -> Option<PathBuf> {
        value.as_str().map(PathBuf::from)
    }

    fn write(&self) -> Option<String> {
        self.to_string_lossy().into_owned().write()
    }
}

impl Value for QoS {
    fn kind() -> String {
        "0, 1 or 2".into()
    }

    fn read(value: &DeValue<'_>) -> Option<QoS> {
        u16::read(value).and_then(|value| QoS::from_value(u8::try_from(value).ok()?))
    }

    fn write(&self) -> Option<String> {
        Some(self.value().to_string())
    }
}

/// What there is either of or nothing.
impl<T: Value> Value for Option<T> {
    fn kind() -> String {
        T::kind()
    }

    fn read(value: &DeValue<'_>) -> Option<Option<T>> {
        T::read(value).map(Some)
    }

    fn write(&self) -> Option<String> {
        self.as_ref()?.write()
    }
}

impl<T: Value> Value for Vec<T> {
    fn kind() -> String {
        format!("a list in brackets, each {}", T::kind())
    }

    fn read(value: &DeValue<'_>) -> Option<Vec<T>> {
        value.as_array()?.iter().map(|value| T::read(value.get_ref())).collect()
    }

    fn write(&self) -> Option<String> {
        let values: Option<Vec<_>> = self.iter().map(T::write).collect();
        Some(format!("[{}]", values?.join(", ")))
    }
}

/// Values with names.
macro_rules! named {
    ($($of:ty { $($name:literal = $value:path),* })*) => {$(
        impl Value for $of {
            fn kind() -> String {
                [$($name),*].map(|name| format!("\"{name}\"")).join(" or ")
            }

            fn read(value: &DeValue<'_>) -> Option<$of> {
                match value.as_str()? {
                    $($name => Some($value),)*
                    _ => None,
                }
            }

            fn write(&self) -> Option<String> {
                let name = match self {
                    $($value => $name,)*
                };
                Some(format!("\"{name}\""))
            }
        }
    )*};
}

named! {
    Anonymous {
        "nobody" = Anonymous::Nobody,
        "local" = Anonymous::Local,
        "everybody" = Anonymous::Everybody
    }
    Action {
        "publish" = Action::Publish,
        "subscribe" = Action::Subscribe,
        "both" = Action::Both
    }
    Sharing {
        "in-turn" = Sharing::InTurn,
        "in-turn-absent-too" = Sharing::InTurnAbsentToo,
        "the-same" = Sharing::TheSame
    }
    DollarTopics {
        "refused" = DollarTopics::Refused,
        "dropped" = DollarTopics::Dropped,
        "handed-on" = DollarTopics::HandedOn
    }
}
