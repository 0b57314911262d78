//! The names that a scenario uses on a broker: no other scenario's, and no other run's.

use bytes::{Bytes, BytesMut};

use crate::runner::TOPIC_PREFIX;

/// How many letters and digits set a run apart.
const TOKEN_DIGITS: u32 = 6;

/// How many letters and digits set a scenario apart within a run.
pub(super) const CODE_DIGITS: u32 = 5;

/// The names that one scenario has to itself.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    /// Begins every topic; without a slash at its end.
    pub(crate) topics: String,
    /// Begins every Client Identifier and ShareName; of letters and digits (section 3.1.3.1).
    pub(crate) clients: String,
    /// Begins every topic in a packet vector, where no length may change.
    in_vectors: String,
}

impl Names {
    /// The names of the scenario with this code in the run with this token.
    pub(crate) fn new(token: &str, code: &str) -> Names {
        Names::below(TOPIC_PREFIX, token, code)
    }

    /// As [`Names::new`], with topics that begin with this.
    pub(crate) fn below(prefix: &str, token: &str, code: &str) -> Names {
        let token = match token.len() == TOKEN_DIGITS as usize {
            true => token.to_owned(),
            false => digits(token, TOKEN_DIGITS),
        };
        let topics = |prefix: &str| format!("{prefix}/{token}/{code}");
        Names {
            topics: topics(prefix),
            clients: format!("{token}{code}"),
            in_vectors: topics(TOPIC_PREFIX),
        }
    }

    /// The names that packet vectors are written with: as long as all others, so that one can stand
    /// for another without any length or offset being changed.
    pub(super) fn in_vectors() -> Names {
        Names::new("therun", "scene")
    }

    /// A packet vector with these names for those that it is written with.
    pub(super) fn put_into(&self, vector: &[u8]) -> Bytes {
        let written = Names::in_vectors();
        let mut bytes = BytesMut::from(vector);
        replace(&mut bytes, written.in_vectors.as_bytes(), self.in_vectors.as_bytes());
        replace(&mut bytes, written.clients.as_bytes(), self.clients.as_bytes());
        bytes.freeze()
    }
}

/// Puts `new` wherever `old` stands, which is as long.
fn replace(bytes: &mut [u8], old: &[u8], new: &[u8]) {
    let mut rest = bytes;
    while rest.len() >= old.len() {
        let step = match rest.strip_prefix(old) {
            Some(_) => {
                rest.iter_mut().zip(new).for_each(|(byte, new)| *byte = *new);
                old.len()
            }
            None => 1,
        };
        rest = &mut rest[step..];
    }
}

/// So many letters and digits for a text: the same in every run and release, and for other texts all
/// but surely others.
pub(super) fn digits(text: &str, count: u32) -> String {
    // FNV-1a.
    let mix = |sum: u64, byte: u8| (sum ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    let sum = text.bytes().fold(0xcbf2_9ce4_8422_2325, mix);
    let digit = |place| char::from_digit((sum / 36_u64.pow(place) % 36) as u32, 36);
    (0..count).filter_map(digit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_all_runs_are_equally_long_and_differ() {
        let written = Names::in_vectors();
        let mut all = Vec::new();
        for token in ["m1b2c3", "run", "", "a longer one", "a longer ten"] {
            let names = Names::new(token, "wxexu");
            assert_eq!(names.topics.len(), written.topics.len(), "{names:?}");
            assert_eq!(names.clients.len(), written.clients.len(), "{names:?}");
            assert!(names.clients.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{names:?}");
            assert!(!all.contains(&names.clients), "{names:?}");
            all.push(names.clients);
        }
        assert_eq!(all[0], "m1b2c3wxexu");
    }

    #[test]
    fn names_are_put_in_everywhere_and_nothing_else_changes() {
        let names = Names::new("m1b2c3", "wxexu");
        let vector = b"\x82mqttspec/therun/scene/a\0therunscenetherunscene\xFFtherunscenmqttspec/";
        let expected =
            b"\x82mqttspec/m1b2c3/wxexu/a\0m1b2c3wxexum1b2c3wxexu\xFFtherunscenmqttspec/";
        assert_eq!(names.put_into(vector), &expected[..]);
    }
}
