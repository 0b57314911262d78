//! mqttspec.
