/// Bounds of what is kept, beyond those that a client is told of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bounds {}
