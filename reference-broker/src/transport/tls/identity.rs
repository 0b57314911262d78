//! Who a verified client certificate says its holder is.

use tokio_rustls::rustls::pki_types::CertificateDer;

/// The object identifier of a common name (2.5.4.3) in DER.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OBJECT_IDENTIFIER: u8 = 0x06;
const UTF8_STRING: u8 = 0x0C;
const PRINTABLE_STRING: u8 = 0x13;
const IA5_STRING: u8 = 0x16;

/// What a client certificate says, after it was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientIdentity {
    /// The common name of its subject, if it has one.
    pub common_name: Option<String>,
    /// Its subject alternative names that are DNS names.
    pub dns_names: Vec<String>,
    /// The whole certificate, DER.
    pub certificate: Vec<u8>,
}

impl ClientIdentity {
    /// Reads a certificate that was verified; one that cannot be read has no names.
    pub(super) fn read(certificate: &CertificateDer<'_>) -> ClientIdentity {
        let parsed = webpki::EndEntityCert::try_from(certificate).ok();
        let common_name = parsed.as_ref().and_then(|parsed| common_name(parsed.subject()));
        let dns_names = parsed.iter().flat_map(|parsed| parsed.valid_dns_names());
        ClientIdentity {
            common_name,
            dns_names: dns_names.map(str::to_owned).collect(),
            certificate: certificate.to_vec(),
        }
    }

    /// One name to know the client by: the common name, else the first DNS name.
    pub fn name(&self) -> Option<&str> {
        self.common_name.as_deref().or(self.dns_names.first().map(String::as_str))
    }
}

/// The last common name of a subject, given without the header of its outer sequence. The last is
/// the most particular one.
fn common_name(mut subject: &[u8]) -> Option<String> {
    let mut found = None;
    while !subject.is_empty() {
        let (mut set, rest) = element(subject, SET)?;
        subject = rest;
        while !set.is_empty() {
            let (attribute, rest) = element(set, SEQUENCE)?;
            set = rest;
            let (kind, value) = element(attribute, OBJECT_IDENTIFIER)?;
            if kind == COMMON_NAME {
                found = text(value).or(found);
            }
        }
    }
    found
}

fn text(value: &[u8]) -> Option<String> {
    let kinds = [UTF8_STRING, PRINTABLE_STRING, IA5_STRING];
    let (bytes, _) = kinds.iter().find_map(|kind| element(value, *kind))?;
    std::str::from_utf8(bytes).ok().map(str::to_owned)
}

/// The content of a DER element of this kind, and what follows it.
fn element(bytes: &[u8], kind: u8) -> Option<(&[u8], &[u8])> {
    let [first, len, rest @ ..] = bytes else { return None };
    if *first != kind {
        return None;
    }
    let (len, rest) = match *len {
        len @ 0..=0x7F => (usize::from(len), rest),
        0x81 => rest.split_first().map(|(len, rest)| (usize::from(*len), rest))?,
        0x82 => {
            let (len, rest) = rest.split_first_chunk::<2>()?;
            (usize::from(u16::from_be_bytes(*len)), rest)
        }
        _ => return None,
    };
    rest.split_at_checked(len)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(id: u8, value: &[u8]) -> Vec<u8> {
        let len = |extra: usize| u8::try_from(value.len() + extra).unwrap();
        let mut bytes = vec![SET, len(9), SEQUENCE, len(7), OBJECT_IDENTIFIER, 3, 0x55, 0x04, id];
        bytes.extend([UTF8_STRING, len(0)]);
        bytes.extend(value);
        bytes
    }

    #[test]
    fn the_last_common_name_counts() {
        let subject = [attribute(3, b"a"), attribute(10, b"org"), attribute(3, b"b")].concat();
        assert_eq!(common_name(&subject).as_deref(), Some("b"));
        assert_eq!(common_name(&attribute(10, b"org")), None);
        assert_eq!(common_name(&attribute(3, &[0xFF])), None);
    }

    #[test]
    fn a_subject_cut_off_has_no_name() {
        let subject = attribute(3, b"name");
        for cut in 0..subject.len() {
            assert_eq!(common_name(&subject[..cut]), None);
        }
    }
}
