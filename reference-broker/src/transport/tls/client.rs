use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::crypto::{
    CryptoProvider, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};

use super::{pem, provider};
use crate::transport::within;

/// Whom a client believes to be the server.
#[derive(Debug, Clone)]
pub enum Trust {
    /// Who one of the authorities in this PEM file vouches for.
    File(PathBuf),
    /// Who one of these authorities vouches for.
    Roots(Vec<CertificateDer<'static>>),
    /// Anybody: **the connection is private, but nobody knows with whom**. For servers under test.
    InsecureAnybody,
}

/// How a client speaks TLS; cheap to clone. Authorities of the system are not consulted.
#[derive(Clone)]
pub struct ClientTls {
    config: Arc<ClientConfig>,
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientTls").finish_non_exhaustive() // It may hold a key.
    }
}

impl ClientTls {
    /// Takes whom to trust, and the PEM files of its own certificate chain and key, if it has any.
    ///
    /// # Errors
    ///
    /// Which file is of no use, why, and what to do.
    pub fn new(trust: &Trust, own: Option<(&PathBuf, &PathBuf)>) -> io::Result<ClientTls> {
        let provider = provider();
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?;
        let roots = match trust {
            Trust::File(file) => pem::authorities(file)?,
            Trust::Roots(roots) => pem::roots(roots.clone()).map_err(io::Error::other)?,
            Trust::InsecureAnybody => RootCertStore::empty(),
        };
        let builder = builder.with_root_certificates(roots);
        let mut config = match own {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => builder
                .with_client_auth_cert(pem::certificates(certificate)?, pem::private_key(key)?)
                .map_err(|error| pem::unfit(certificate, "certificate", &error))?,
        };
        if matches!(trust, Trust::InsecureAnybody) {
            config.dangerous().set_certificate_verifier(Arc::new(Anybody(provider)));
        }
        Ok(ClientTls { config: Arc::new(config) })
    }

    /// Shakes hands with the server of this name (or address), within a time.
    ///
    /// # Errors
    ///
    /// What is wrong with the server's bytes, certificate or name, or that it was too slow.
    pub async fn connect<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        server: &str,
        patience: Duration,
    ) -> io::Result<TlsStream<S>> {
        let name = ServerName::try_from(server.to_owned()).map_err(|error| {
            io::Error::new(io::ErrorKind::InvalidInput, format!("server name `{server}`: {error}"))
        })?;
        let connector = TlsConnector::from(Arc::clone(&self.config));
        within(patience, "TLS handshake", connector.connect(name, stream)).await
    }
}

/// Takes every certificate; its holder still has to prove that it has the key.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _others: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
