//! How an ACME server is reached: over TLS, within bounds.

use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Limited;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use super::AcmeError;

/// How long an answer may take.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);
/// Bytes of an answer: the largest are chains.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// See the module's documentation.
#[derive(Clone)]
pub(super) struct AcmeHttp(Client<HttpsConnector<HttpConnector>, BodyWrapper<Bytes>>);

/// Trusts the authorities of the system, and that in the file if there is one.
pub(super) fn client(root: Option<&Path>) -> Result<AcmeHttp, AcmeError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = root {
        let failed = |reason: String| AcmeError::Root {
            path: path.to_owned(),
            reason,
        };
        let pem = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
        let before = roots.len();
        for der in CertificateDer::pem_slice_iter(&pem) {
            let der = der.map_err(|error| failed(error.to_string()))?;
            roots.add(der).map_err(|error| failed(error.to_string()))?;
        }
        if roots.len() == before {
            return Err(failed(
                "there is no certificate in PEM form in it".to_owned(),
            ));
        }
    }
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider has what TLS 1.2 and 1.3 need")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(config)
        .https_only()
        .enable_all_versions()
        .build();
    Ok(AcmeHttp(
        Client::builder(TokioExecutor::new()).build(connector),
    ))
}

impl HttpClient for AcmeHttp {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let answer = tokio::time::timeout(ANSWER_TIME_MAX, self.0.request(request));
        Box::pin(async move {
            let answer = answer
                .await
                .map_err(|error| Error::Other(Box::new(error)))?;
            let answer = answer.map_err(|error| Error::Other(innermost(&error)))?;
            let answer = answer.map(|body| Limited::new(body, ANSWER_BYTES_MAX));
            Ok(BytesResponse::from(answer))
        })
    }
}

/// What went wrong in the end, in words: the outer errors say "client error".
fn innermost(
    error: &hyper_util::client::legacy::Error,
) -> Box<dyn std::error::Error + Send + Sync> {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string().into()
}
