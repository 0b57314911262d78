//! The chameleon: the embedded broker with a switch for each other choice that the standard leaves
//! open. A scenario that fails under a switch is wrong.

use reference_broker::core::Config;

use crate::boundary::Rules;

/// One other choice that the standard leaves open.
#[derive(Clone, Copy)]
pub struct Switch {
    /// Its name, such as `closes-without-disconnect`; never renamed.
    pub name: &'static str,
    /// What the broker does under it, in one line.
    pub does: &'static str,
    /// The sections or requirements that leave this open.
    pub allowed_by: &'static [&'static str],
    configure: fn(&mut Config),
    rules: fn() -> Rules,
}

impl Switch {
    /// Sets the core's own choices.
    pub fn configure(&self, config: &mut Config) {
        (self.configure)(config);
    }

    /// Makes its rules, for one broker.
    pub fn rules(&self) -> Rules {
        (self.rules)()
    }
}

impl std::fmt::Debug for Switch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Switch").field(&self.name).finish()
    }
}

impl PartialEq for Switch {
    fn eq(&self, other: &Switch) -> bool {
        self.name == other.name
    }
}

impl Eq for Switch {}

/// Every switch.
pub fn all() -> &'static [Switch] {
    ALL
}

/// The switch of this name.
pub fn find(name: &str) -> Option<&'static Switch> {
    all().iter().find(|switch| switch.name == name)
}

const ALL: &[Switch] = &[];
