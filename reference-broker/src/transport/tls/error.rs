use std::fmt;
use std::io;

use tokio_rustls::rustls::{AlertDescription, CertificateError, Error};

/// Why a TLS handshake came to nothing, as a client sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConnectError {
    /// No trusted authority vouches for the server's certificate.
    Untrusted,
    /// The certificate's time is over.
    Expired,
    /// The certificate is for other names: these, as far as they can be read.
    OtherName(Vec<String>),
    /// The certificate is of no use for another reason.
    BadCertificate(String),
    /// The server wants a certificate, and we have none.
    WantsCertificate,
    /// The server refuses, with this alert.
    Refused(String),
    /// What the server sent is no TLS.
    NotTls,
    /// Anything else.
    Other(String),
}

impl ConnectError {
    /// What it was, if TLS is what was wrong.
    pub fn of(error: &io::Error) -> Option<ConnectError> {
        error.get_ref()?.downcast_ref::<Error>().map(ConnectError::of_tls)
    }

    fn of_tls(error: &Error) -> ConnectError {
        match error {
            Error::InvalidCertificate(error) => match error {
                CertificateError::UnknownIssuer => ConnectError::Untrusted,
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                    ConnectError::Expired
                }
                CertificateError::NotValidForName => ConnectError::OtherName(Vec::new()),
                CertificateError::NotValidForNameContext { presented, .. } => {
                    ConnectError::OtherName(presented.clone())
                }
                error => ConnectError::BadCertificate(error.to_string()),
            },
            Error::AlertReceived(AlertDescription::CertificateRequired) => {
                ConnectError::WantsCertificate
            }
            Error::AlertReceived(alert) => ConnectError::Refused(format!("{alert:?}")),
            Error::InvalidMessage(_) => ConnectError::NotTls,
            error => ConnectError::Other(error.to_string()),
        }
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConnectError::Untrusted => {
                f.write_str("no trusted authority vouches for the server's certificate")
            }
            ConnectError::Expired => f.write_str("the server's certificate has expired"),
            ConnectError::OtherName(names) if names.is_empty() => {
                f.write_str("the server's certificate is for another name")
            }
            ConnectError::OtherName(names) => {
                write!(f, "the server's certificate is for {}", names.join(", "))
            }
            ConnectError::BadCertificate(why) => {
                write!(f, "the server's certificate is of no use: {why}")
            }
            ConnectError::WantsCertificate => {
                f.write_str("the server wants a certificate of its client")
            }
            ConnectError::Refused(alert) => write!(f, "the server refuses TLS: alert {alert}"),
            ConnectError::NotTls => f.write_str("the server does not speak TLS"),
            ConnectError::Other(why) => f.write_str(why),
        }
    }
}
