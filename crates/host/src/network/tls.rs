//! How TLS is spoken to the outside: whom it trusts, which protocols it offers.
//!
//! Each tenant has a configuration of its own, so that nobody resumes a session of another.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use everwarm_engine::outbound::SendError;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

/// Whom the node trusts, shared by all.
pub(crate) struct Roots {
    told: Vec<CertificateDer<'static>>,
    /// Reading the system's takes longer than the rest of a start: the first function that sends anything has it
    /// done.
    all: OnceLock<Arc<RootCertStore>>,
}

/// An authority's certificate that the node is told to trust can't be.
#[derive(Debug, thiserror::Error)]
pub enum RootsError {
    /// The file can't be read, or is no PEM.
    #[error("can't read certificates from {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rustls::pki_types::pem::Error,
    },
    /// A certificate in it is none.
    #[error("a certificate in {path} can't be used: {source}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// There is no certificate in it.
    #[error("there is no certificate in {path}")]
    Empty {
        /// The file.
        path: PathBuf,
    },
}

impl Roots {
    /// The system's authorities or, on a system that has none, those that browsers know; and those in `files`.
    pub(crate) fn read(files: &[PathBuf]) -> Result<Self, RootsError> {
        let mut told = Vec::new();
        for path in files {
            told.extend(read_file(path)?);
        }
        Ok(Self {
            told,
            all: OnceLock::new(),
        })
    }

    fn all(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        let system = rustls_native_certs::load_native_certs();
        for error in &system.errors {
            tracing::debug!(%error, "a certificate of the system's authorities can't be read");
        }
        roots.add_parsable_certificates(system.certs);
        if roots.is_empty() {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        roots.add_parsable_certificates(self.told.iter().cloned());
        roots
    }

    /// A tenant's configuration, with these protocols to choose from.
    pub(crate) fn config(&self, protocols: &[&[u8]]) -> Arc<ClientConfig> {
        let roots = self.all.get_or_init(|| Arc::new(self.all()));
        let mut config = ClientConfig::builder()
            .with_root_certificates(Arc::clone(roots))
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|it| it.to_vec()).collect();
        Arc::new(config)
    }
}

/// The certificates in a file, each of which can be trusted.
fn read_file(path: &Path) -> Result<Vec<CertificateDer<'static>>, RootsError> {
    let read = |source| RootsError::Read {
        path: path.to_owned(),
        source,
    };
    let mut certificates = Vec::new();
    for certificate in CertificateDer::pem_file_iter(path).map_err(read)? {
        let certificate = certificate.map_err(read)?;
        let usable = RootCertStore::empty().add(certificate.clone());
        usable.map_err(|source| RootsError::Invalid {
            path: path.to_owned(),
            source,
        })?;
        certificates.push(certificate);
    }
    if certificates.is_empty() {
        return Err(RootsError::Empty {
            path: path.to_owned(),
        });
    }
    Ok(certificates)
}

/// What a failure of TLS means, if this error is one.
pub(crate) fn of_tls(error: &rustls::Error) -> SendError {
    match error {
        rustls::Error::InvalidCertificate(why) => {
            SendError::TlsCertificate(format!("{why:?}").into())
        }
        rustls::Error::AlertReceived(alert) => {
            SendError::TlsAlert((*alert).into(), format!("{alert:?}").into())
        }
        other => SendError::TlsProtocol(other.to_string().into()),
    }
}
