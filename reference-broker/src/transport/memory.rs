//! Streams within the process: what runs on a paused clock.

use tokio::io::DuplexStream;

/// How many bytes one direction holds before its writer waits.
const CAPACITY: usize = 256 * 1024;

/// The two ends of a new stream.
pub fn pair() -> (DuplexStream, DuplexStream) {
    tokio::io::duplex(CAPACITY)
}
