//! How TLS is spoken: versions, ALPN, tickets.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring::{Ticketer, default_provider};
use rustls::server::ResolvesServerCert;

/// What is offered by ALPN, the best first (RFC 9113, section 3.2; RFC 7301, section 6).
const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// TLS can't be set up.
#[derive(Debug, thiserror::Error)]
#[error("TLS can't be set up: {0}")]
pub struct TlsError(#[from] rustls::Error);

/// TLS 1.2 and 1.3 with HTTP/2 and HTTP/1.1. Sessions are resumed by tickets, whose keys are the process's own and
/// are changed by rustls every few hours.
///
/// # Errors
/// When the system has no randomness.
pub fn config(certificates: Arc<dyn ResolvesServerCert>) -> Result<Arc<ServerConfig>, TlsError> {
    let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()));
    let mut config = builder
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(certificates);
    config.alpn_protocols = ALPN.map(Vec::from).to_vec();
    config.ticketer = Ticketer::new()?;
    Ok(Arc::new(config))
}
