//! How a client reaches a node: over TCP, or over TLS with those whom it trusts.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use super::ClientError;

/// How long a connection may take.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);

pub(super) type Connector = HttpsConnector<HttpConnector>;

/// Reaches nodes; over TLS they have to be vouched for by `authority` or, without one, by those of the system. They
/// are read only for a node that speaks TLS.
pub(super) fn connector(is_tls: bool, authority: Option<&[u8]>) -> Result<Connector, ClientError> {
    let roots = match (is_tls, authority) {
        (false, _) => RootCertStore::empty(),
        (true, Some(pem)) => of_pem(pem)?,
        (true, None) => of_system()?,
    };
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| ClientError::Authority(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_connect_timeout(Some(CONNECT_TIME_MAX));
    tcp.set_nodelay(true);
    Ok(HttpsConnectorBuilder::new()
        .with_tls_config(config)
        .https_or_http()
        .enable_http1()
        .wrap_connector(tcp))
}

fn of_pem(pem: &[u8]) -> Result<RootCertStore, ClientError> {
    let refused = |reason: String| ClientError::Authority(reason);
    let mut roots = RootCertStore::empty();
    for der in CertificateDer::pem_slice_iter(pem) {
        let der = der.map_err(|error| refused(error.to_string()))?;
        roots.add(der).map_err(|error| refused(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(refused(
            "there is no certificate in PEM form in it".to_owned(),
        ));
    }
    Ok(roots)
}

fn of_system() -> Result<RootCertStore, ClientError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let reasons = found.errors.iter().map(ToString::to_string);
        return Err(ClientError::Authority(format!(
            "this system has none: install its `ca-certificates`, or name one ({})",
            reasons.collect::<Vec<_>>().join(", ")
        )));
    }
    Ok(roots)
}

/// Why the node's certificate isn't trusted, if that is what an error is about.
pub(super) fn distrust(error: &(dyn Error + 'static)) -> Option<String> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(rustls::Error::InvalidCertificate(reason)) = of_tls(error) {
            return Some(reason.to_string());
        }
        cause = error.source();
    }
    None
}

/// rustls' own error, which others wrap as one of input or output.
fn of_tls<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    if let Some(error) = error.downcast_ref() {
        return Some(error);
    }
    let io: &std::io::Error = error.downcast_ref()?;
    of_tls(io.get_ref()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authority_that_is_none_is_told() {
        for pem in [
            "",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        ] {
            let error = connector(true, Some(pem.as_bytes())).unwrap_err();
            assert_eq!(error.code(), "EW4034", "{error}");
        }
        assert!(connector(false, None).is_ok());
    }

    #[test]
    fn distrust_is_found_under_what_wraps_it() {
        let tls = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        let io = std::io::Error::other(std::io::Error::other(tls));
        assert!(distrust(&io).is_some());
        assert!(distrust(&std::io::Error::other("x")).is_none());
        assert!(distrust(&std::io::Error::other(rustls::Error::DecryptError)).is_none());
    }
}
