use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::{self, RootCertStore, ServerConfig};
use tokio_rustls::server::TlsStream;

use super::identity::ClientIdentity;
use super::{pem, provider};
use crate::transport::within;

/// Where the PEM files of a server are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The server's certificate, behind it those between it and its authority.
    pub certificate: PathBuf,
    /// Its private key, unencrypted.
    pub key: PathBuf,
    /// Whether clients have to say who they are.
    pub clients: ClientCertificates,
}

/// Whether clients are asked for a certificate, and the file of the authorities that vouch for it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ClientCertificates {
    /// They are not asked.
    #[default]
    NotAsked,
    /// They may have none, but not a wrong one.
    Optional(PathBuf),
    /// Without a right one they are not served.
    Required(PathBuf),
}

/// How a server speaks TLS; cheap to clone.
#[derive(Clone)]
pub struct ServerTls {
    config: Arc<ServerConfig>,
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerTls").finish_non_exhaustive() // It holds the key.
    }
}

impl ServerTls {
    /// Reads the files.
    ///
    /// # Errors
    ///
    /// Which file is of no use, why, and what to do.
    pub fn from_files(files: &TlsFiles) -> io::Result<ServerTls> {
        let certificates = pem::certificates(&files.certificate)?;
        let key = pem::private_key(&files.key)?;
        let builder = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?;
        let builder = match &files.clients {
            ClientCertificates::NotAsked => builder.with_no_client_auth(),
            ClientCertificates::Optional(file) => {
                builder.with_client_cert_verifier(verifier(pem::authorities(file)?, false)?)
            }
            ClientCertificates::Required(file) => {
                builder.with_client_cert_verifier(verifier(pem::authorities(file)?, true)?)
            }
        };
        let config = builder.with_single_cert(certificates, key).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => pem::unfit(
                &files.key,
                "private key",
                &format!(
                    "it does not belong to the first certificate of {}; give the key that \
                          certificate was made for",
                    files.certificate.display()
                ),
            ),
            error => pem::unfit(&files.certificate, "certificate", &error),
        })?;
        Ok(ServerTls { config: Arc::new(config) })
    }

    /// Shakes hands with a client, within a time, and says who it is if it had a certificate.
    ///
    /// # Errors
    ///
    /// What is wrong with the client's bytes or certificate, or that it was too slow.
    pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        patience: Duration,
    ) -> io::Result<(TlsStream<S>, Option<ClientIdentity>)> {
        let acceptor = TlsAcceptor::from(Arc::clone(&self.config));
        let stream = within(patience, "TLS handshake", acceptor.accept(stream)).await?;
        let certificates = stream.get_ref().1.peer_certificates();
        let identity = certificates.and_then(<[_]>::first).map(ClientIdentity::read);
        Ok((stream, identity))
    }
}

fn verifier(roots: RootCertStore, required: bool) -> io::Result<Arc<dyn ClientCertVerifier>> {
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
    let builder = if required { builder } else { builder.allow_unauthenticated() };
    builder.build().map_err(io::Error::other)
}
