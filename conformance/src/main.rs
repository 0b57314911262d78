//! mqttspec binary.
fn main() {}
