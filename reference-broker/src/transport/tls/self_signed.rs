//! An authority of one's own, for tests and for trying a broker out.

use std::io;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyUsagePurpose,
};

/// A certificate and its private key, both PEM.
#[derive(Clone)]
pub struct KeyPair {
    /// The certificate.
    pub certificate: String,
    /// Its private key.
    pub key: String,
}

impl std::fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyPair").finish_non_exhaustive()
    }
}

impl KeyPair {
    /// Writes `NAME.pem` and `NAME.key`, the key readable to this user alone, and gives their paths.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn write(&self, directory: &Path, name: &str) -> io::Result<(PathBuf, PathBuf)> {
        let certificate = directory.join(format!("{name}.pem"));
        let key = directory.join(format!("{name}.key"));
        std::fs::write(&certificate, &self.certificate)?;
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        io::Write::write_all(&mut options.open(&key)?, self.key.as_bytes())?;
        Ok((certificate, key))
    }
}

/// An authority that nobody knows but who is given its certificate.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, rcgen::KeyPair>,
    certificate: String,
}

impl Authority {
    /// Makes a new one of this name.
    ///
    /// # Errors
    ///
    /// When there is no randomness to be had.
    pub fn new(name: &str) -> io::Result<Authority> {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = rcgen::KeyPair::generate().map_err(io::Error::other)?;
        let certificate = params.self_signed(&key).map_err(io::Error::other)?.pem();
        Ok(Authority { issuer: Issuer::new(params, key), certificate })
    }

    /// Its certificate, PEM: what the other side has to trust.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// Vouches for a server of these names or addresses.
    ///
    /// # Errors
    ///
    /// When a name is none.
    pub fn server(&self, names: &[&str]) -> io::Result<KeyPair> {
        self.vouch_for_server(names, |_| {})
    }

    /// Has vouched for such a server in the year 2000 only, for clients that have to notice.
    ///
    /// # Errors
    ///
    /// When a name is none.
    pub fn expired_server(&self, names: &[&str]) -> io::Result<KeyPair> {
        self.vouch_for_server(names, |params| {
            params.not_before = rcgen::date_time_ymd(2000, 1, 1);
            params.not_after = rcgen::date_time_ymd(2001, 1, 1);
        })
    }

    fn vouch_for_server(
        &self,
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> io::Result<KeyPair> {
        let names = names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let common_name = names.first().cloned().unwrap_or_default();
        let mut params = CertificateParams::new(names).map_err(io::Error::other)?;
        change(&mut params);
        self.vouch(params, &common_name, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// Vouches for a client of this name.
    ///
    /// # Errors
    ///
    /// When there is no randomness to be had.
    pub fn client(&self, name: &str) -> io::Result<KeyPair> {
        let params = CertificateParams::default();
        self.vouch(params, name, ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn vouch(
        &self,
        mut params: CertificateParams,
        common_name: &str,
        usage: ExtendedKeyUsagePurpose,
    ) -> io::Result<KeyPair> {
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        params.use_authority_key_identifier_extension = true;
        let key = rcgen::KeyPair::generate().map_err(io::Error::other)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(io::Error::other)?;
        Ok(KeyPair { certificate: certificate.pem(), key: key.serialize_pem() })
    }
}
