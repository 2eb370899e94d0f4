//! A certificate authority of a test's own, and clients that speak TLS.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, PublicKeyData};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, HandshakeKind, RootCertStore, ServerConfig};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::client::{self, Connection};
use crate::deadline::within;

/// An authority that clients trust when they are told to.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key.
#[derive(Debug, Clone)]
pub struct Pair {
    /// The certificate, as PEM.
    pub chain: String,
    /// The key, as PEM.
    pub key: String,
    /// The certificate, as a client sees it.
    pub der: Vec<u8>,
}

impl Pair {
    /// Writes it as a node's folder of certificates has it, the key first.
    ///
    /// # Panics
    ///
    /// When the folder can't be written to.
    pub fn write(&self, folder: &Path, name: &str) {
        let write = |extension: &str, text: &str| {
            let path = folder.join(format!("{name}.{extension}"));
            fs::write(&path, text).expect("the folder can be written to");
            let private = fs::Permissions::from_mode(0o600);
            fs::set_permissions(&path, private).expect("the file is the test's own");
        };
        write("key", &self.key);
        write("crt", &self.chain);
    }
}

impl Authority {
    /// A new one.
    ///
    /// # Panics
    ///
    /// When the system has no randomness.
    #[allow(clippy::new_without_default, reason = "each is another one")]
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key can be made");
        Self(CertifiedIssuer::self_signed(params, key).expect("an authority vouches for itself"))
    }

    /// Its own certificate, as PEM.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for these names, or addresses.
    ///
    /// # Panics
    ///
    /// When they are no names.
    pub fn issue(&self, names: &[&str]) -> Pair {
        let key = KeyPair::generate().expect("a key can be made");
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let params = CertificateParams::new(names).expect("the names are ones");
        let der = self.sign(&params, &key);
        Pair {
            chain: der.pem(),
            key: key.serialize_pem(),
            der: der.der().to_vec(),
        }
    }

    /// A certificate with these contents for somebody's key.
    ///
    /// # Panics
    ///
    /// When they can't be written as a certificate.
    pub fn sign(&self, params: &CertificateParams, key: &impl PublicKeyData) -> rcgen::Certificate {
        let signed = params.signed_by(key, &self.0);
        signed.expect("an authority can sign")
    }

    /// A client that trusts nobody else, and offers these protocols.
    ///
    /// # Panics
    ///
    /// Never: the authority's certificate is one.
    pub fn client(&self, alpn: &[&str]) -> TlsClient {
        let mut roots = RootCertStore::empty();
        let added = roots.add(self.0.der().clone());
        added.expect("the authority's certificate is one");
        let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider has what TLS needs")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        TlsClient(Arc::new(config))
    }
}

/// How a server of a test's own speaks TLS with a certificate.
///
/// # Panics
///
/// When the certificate and its key don't belong together.
pub(crate) fn server_config(pair: &Pair) -> Arc<ServerConfig> {
    let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).expect("the key is one");
    let chain = vec![CertificateDer::from(pair.der.clone())];
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider has what TLS needs")
        .with_no_client_auth()
        .with_single_cert(chain, key);
    Arc::new(config.expect("the key is the certificate's"))
}

/// A client. Its connections resume each other's sessions.
#[derive(Debug, Clone)]
pub struct TlsClient(Arc<ClientConfig>);

/// A connection whose handshake is done.
#[derive(Debug)]
pub struct Secured {
    stream: TlsStream<tokio::net::TcpStream>,
    address: SocketAddr,
}

impl TlsClient {
    /// Shakes hands with a server that calls itself `name`. With an address as name, none is asked for.
    ///
    /// # Errors
    ///
    /// When the server refuses, or isn't trusted.
    ///
    /// # Panics
    ///
    /// When `name` is no name.
    pub async fn try_connect(&self, address: SocketAddr, name: &str) -> io::Result<Secured> {
        let name = ServerName::try_from(name.to_owned()).expect("the name is one");
        let stream = client::connect(address).await;
        let connector = TlsConnector::from(Arc::clone(&self.0));
        let shaken = within("a TLS handshake", connector.connect(name, stream));
        let stream = shaken.await?;
        Ok(Secured { stream, address })
    }

    /// As [`Self::try_connect`].
    ///
    /// # Panics
    ///
    /// When the handshake fails.
    pub async fn connect(&self, address: SocketAddr, name: &str) -> Secured {
        let connected = self.try_connect(address, name).await;
        connected.unwrap_or_else(|error| panic!("a handshake with {name}: {error}"))
    }
}

impl Secured {
    /// The certificate that the server showed.
    ///
    /// # Panics
    ///
    /// Never: servers show one.
    pub fn certificate(&self) -> Vec<u8> {
        let (_, session) = self.stream.get_ref();
        let chain = session.peer_certificates();
        let own: Option<&CertificateDer<'_>> = chain.and_then(<[_]>::first);
        own.expect("a server shows a certificate").to_vec()
    }

    /// The protocol that both agreed on.
    pub fn protocol(&self) -> Option<String> {
        let (_, session) = self.stream.get_ref();
        let name = session.alpn_protocol()?;
        Some(String::from_utf8_lossy(name).into_owned())
    }

    /// Whether an earlier session goes on.
    pub fn is_resumed(&self) -> bool {
        self.stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// A client of the protocol that both agreed on; HTTP/1.1 where there was no word of it.
    pub async fn http(self) -> Connection {
        if self.protocol().as_deref() == Some("h2") {
            Connection::http2_over(self.stream, self.address).await
        } else {
            Connection::http1_over(self.stream, self.address).await
        }
    }
}
