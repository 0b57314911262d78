//! Streams over TLS 1.2 and 1.3.
//!
//! The cryptography is always named (`ring`), so nothing depends on a default of the process. No
//! ALPN protocol is asked for or insisted on: MQTT's is in use nowhere, and browsers offer HTTP's.

mod client;
mod error;
mod identity;
mod pem;
mod self_signed;
mod server;

use std::sync::Arc;

use tokio_rustls::rustls::crypto::{CryptoProvider, ring};

pub use client::{ClientTls, Trust};
pub use error::ConnectError;
pub use identity::ClientIdentity;
pub use self_signed::{Authority, KeyPair};
pub use server::{ClientCertificates, ServerTls, TlsFiles};

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}
