//! One certificate with its key: read from PEM, checked, and ready to be presented.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_cert::der::Decode as _;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

/// Certificates of a chain that are looked at; chains have three.
const CHAIN_MAX: usize = 16;

/// A certificate with its chain and key.
pub struct Certificate {
    pub(crate) key: Arc<CertifiedKey>,
    names: Vec<String>,
    not_before: SystemTime,
    not_after: SystemTime,
}

/// A certificate or its key can't be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// There is no certificate in it.
    #[error("there is no certificate in PEM form in it")]
    NoCertificate,
    /// More certificates than any chain has.
    #[error(
        "it has more than {CHAIN_MAX} certificates: write one chain into it, the host's own certificate first"
    )]
    ChainTooLong,
    /// There is no key in it.
    #[error("there is no private key in PEM form in it: {0}")]
    NoKey(pem::Error),
    /// It isn't PEM.
    #[error("it isn't PEM: {0}")]
    Pem(pem::Error),
    /// It isn't a certificate.
    #[error("it is no X.509 certificate: {0}")]
    Malformed(x509_cert::der::Error),
    /// The key is of no kind that is known, or isn't the certificate's.
    #[error("the key isn't this certificate's, or is of no known kind: {0}")]
    Key(rustls::Error),
}

impl Certificate {
    /// Reads a chain, the host's own certificate first, and its key.
    ///
    /// # Errors
    /// When either isn't what it should be, or they don't belong together.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, CertificateError> {
        let mut ders = Vec::new();
        for der in CertificateDer::pem_slice_iter(chain) {
            if ders.len() == CHAIN_MAX {
                return Err(CertificateError::ChainTooLong);
            }
            ders.push(der.map_err(CertificateError::Pem)?);
        }
        let own = ders.first().ok_or(CertificateError::NoCertificate)?;
        let parsed = x509_cert::Certificate::from_der(own).map_err(CertificateError::Malformed)?;
        let tbs = parsed.tbs_certificate();
        let validity = tbs.validity();
        let at = |time: x509_cert::time::Time| UNIX_EPOCH + time.to_unix_duration();
        let (not_before, not_after) = (at(validity.not_before), at(validity.not_after));
        let names = tbs
            .get_extension::<SubjectAltName>()
            .map_err(CertificateError::Malformed)?;
        let names = names.into_iter().flat_map(|(_, names)| names.0);
        let names = names
            .filter_map(|name| match name {
                GeneralName::DnsName(name) => Some(name.as_str().to_ascii_lowercase()),
                _ => None,
            })
            .collect();
        let key = PrivateKeyDer::from_pem_slice(key).map_err(CertificateError::NoKey)?;
        let key = CertifiedKey::from_der(ders, key, &default_provider())
            .map_err(CertificateError::Key)?;
        Ok(Self {
            key: Arc::new(key),
            names,
            not_before,
            not_after,
        })
    }

    /// The host names that it is for; a wildcard begins with `*.`.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// When it expires.
    pub fn not_after(&self) -> SystemTime {
        self.not_after
    }

    /// How long it is good for in all.
    pub fn lifetime(&self) -> Duration {
        self.not_after
            .duration_since(self.not_before)
            .unwrap_or_default()
    }

    /// When two thirds of its life are over.
    pub fn two_thirds(&self) -> SystemTime {
        self.not_before + self.lifetime() * 2 / 3
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("names", &self.names)
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A certificate that vouches for itself, and its key, as PEM.
    pub(crate) fn pem(names: &[&str]) -> (String, String) {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    #[test]
    fn names_are_those_of_the_certificate_in_lower_case() {
        let (chain, key) = pem(&["Shop.example.com", "*.example.org"]);
        let certificate = Certificate::from_pem(chain.as_bytes(), key.as_bytes()).unwrap();
        assert_eq!(certificate.names(), ["shop.example.com", "*.example.org"]);
        assert!(certificate.not_after() > SystemTime::now());
        assert!(certificate.two_thirds() < certificate.not_after());
    }

    #[test]
    fn key_of_another_certificate_is_refused() {
        let ((chain, _), (_, key)) = (pem(&["a.example"]), pem(&["a.example"]));
        let error = Certificate::from_pem(chain.as_bytes(), key.as_bytes()).unwrap_err();
        assert!(matches!(error, CertificateError::Key(_)), "{error}");
    }

    #[test]
    fn what_is_no_certificate_is_told_as_what_it_is() {
        let (chain, key) = pem(&["a.example"]);
        let refused = |chain: &str, key: &str| {
            Certificate::from_pem(chain.as_bytes(), key.as_bytes()).unwrap_err()
        };
        assert!(matches!(refused("", &key), CertificateError::NoCertificate));
        assert!(matches!(
            refused(&key, &key),
            CertificateError::NoCertificate
        ));
        assert!(matches!(refused(&chain, ""), CertificateError::NoKey(_)));
        assert!(matches!(
            refused(&chain[..chain.len() / 2], &key),
            CertificateError::NoCertificate | CertificateError::Pem(_)
        ));
        assert!(matches!(
            refused(&chain.repeat(CHAIN_MAX + 1), &key),
            CertificateError::ChainTooLong
        ));
        let other = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(matches!(
            refused(other, &key),
            CertificateError::Malformed(_)
        ));
    }
}
