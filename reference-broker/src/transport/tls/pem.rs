//! PEM files, and what to say about those that are none.

use std::io;
use std::path::Path;

use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::pki_types::pem::{Error, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// The certificates of a file, in its order; at least one.
pub(super) fn certificates(file: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let read = |error| told(file, "certificate", "-----BEGIN CERTIFICATE-----", error);
    let certificates: Vec<_> = CertificateDer::pem_file_iter(file)
        .map_err(read)?
        .collect::<Result<_, _>>()
        .map_err(read)?;
    if certificates.is_empty() {
        return Err(read(Error::NoItemsFound));
    }
    Ok(certificates)
}

/// The private key of a file.
pub(super) fn private_key(file: &Path) -> io::Result<PrivateKeyDer<'static>> {
    let read = |error| told(file, "private key", "-----BEGIN PRIVATE KEY-----", error);
    PrivateKeyDer::from_pem_file(file).map_err(read)
}

/// The certificates of a file as those of authorities to be trusted.
pub(super) fn authorities(file: &Path) -> io::Result<RootCertStore> {
    roots(certificates(file)?).map_err(|error| unfit(file, "certificate of an authority", &error))
}

/// Certificates as those of authorities to be trusted.
pub(super) fn roots(
    certificates: Vec<CertificateDer<'static>>,
) -> Result<RootCertStore, tokio_rustls::rustls::Error> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        roots.add(certificate)?;
    }
    Ok(roots)
}

/// The file was read, but what is in it is of no use.
pub(super) fn unfit(file: &Path, what: &str, why: &dyn std::fmt::Display) -> io::Error {
    let told = format!("{}: no usable {what}: {why}", file.display());
    io::Error::new(io::ErrorKind::InvalidData, told)
}

fn told(file: &Path, what: &str, header: &str, error: Error) -> io::Error {
    let name = file.display();
    match error {
        Error::Io(error) => {
            let advice = "check the name and that this user may read it";
            io::Error::new(
                error.kind(),
                format!("{name}: cannot read the {what}: {error}; {advice}"),
            )
        }
        Error::NoItemsFound => unfit(
            file,
            what,
            &format!("the file has no section `{header}`; give it in PEM form, unencrypted"),
        ),
        error => unfit(file, what, &format!("{error}; is the file PEM, and whole?")),
    }
}
