//! The admin API's socket with TLS: handshakes are made beside each other, within a time limit, so that a client that
//! never finishes its own holds nobody up.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use everwarm_edge::ingress::{Listener, refuse_plain};
use everwarm_tls::source::{Files, SourceError};
use everwarm_tls::{Certificates, Source, server};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Handshakes that are made at once; more wait in the kernel's queue.
const HANDSHAKES_MAX: usize = 256;
/// How long a client may take for its part of the handshake.
const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(10);
/// How long accepting rests when the process has no file descriptor to spare.
const REST: Duration = Duration::from_millis(50);
/// TLS can't be spoken.
#[derive(Debug, thiserror::Error)]
pub enum AdminTlsError {
    /// The certificate can't be used.
    #[error(transparent)]
    Certificate(#[from] SourceError),
    /// TLS can't be set up.
    #[error(transparent)]
    Tls(#[from] server::TlsError),
}

impl AdminTlsError {
    /// The stable code, with a page in `docs/errors/`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Certificate(error) => error.code(),
            Self::Tls(_) => "EW4003",
        }
    }
}

/// How the admin API speaks TLS. The certificate is read again when it changes, until this is dropped.
pub struct AdminTls {
    acceptor: TlsAcceptor,
    watcher: JoinHandle<()>,
}

impl AdminTls {
    /// Reads the certificate, and looks after it from now on.
    ///
    /// # Errors
    /// When it can't be used.
    pub fn open(source: Source) -> Result<Self, AdminTlsError> {
        let certificates = Arc::new(Certificates::default());
        let files = Files::open(source, &certificates)?;
        let config = server::config(Arc::clone(&certificates) as _)?;
        let nobody_waits = Arc::new(Notify::new());
        Ok(Self {
            acceptor: TlsAcceptor::from(config),
            watcher: tokio::spawn(files.watch(certificates, nobody_waits)),
        })
    }
}

impl Drop for AdminTls {
    fn drop(&mut self) {
        self.watcher.abort();
    }
}

/// See the module's documentation. Dropping it ends the handshakes that are made.
pub(super) struct TlsListener {
    listener: TcpListener,
    address: SocketAddr,
    tls: AdminTls,
    handshakes: JoinSet<Option<(TlsStream<TcpStream>, SocketAddr)>>,
}

impl TlsListener {
    pub(super) fn new(listener: Listener, tls: AdminTls) -> Self {
        Self {
            address: listener.address(),
            listener: listener.into_socket(),
            tls,
            handshakes: JoinSet::new(),
        }
    }
}

impl axum::serve::Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            tokio::select! {
                Some(shaken) = self.handshakes.join_next() => {
                    // None, or a panic, is a client without a connection.
                    if let Ok(Some(accepted)) = shaken {
                        return accepted;
                    }
                }
                accepted = self.listener.accept(), if self.handshakes.len() < HANDSHAKES_MAX => {
                    match accepted {
                        Ok((stream, client)) => {
                            let acceptor = self.tls.acceptor.clone();
                            self.handshakes.spawn(shake_hands(acceptor, stream, client));
                        }
                        Err(error) => {
                            tracing::warn!(%error, "a connection to the admin API could not be accepted");
                            tokio::time::sleep(REST).await;
                        }
                    }
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        Ok(self.address)
    }
}

async fn shake_hands(
    acceptor: TlsAcceptor,
    stream: TcpStream,
    client: SocketAddr,
) -> Option<(TlsStream<TcpStream>, SocketAddr)> {
    let shaken = async {
        let mut stream = stream;
        stream.set_nodelay(true)?;
        if refuse_plain(&mut stream).await? {
            return Err(io::ErrorKind::InvalidData.into());
        }
        acceptor.accept(stream).await
    };
    let shaken = tokio::time::timeout(HANDSHAKE_TIME_MAX, shaken);
    let shaken = shaken
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    match shaken {
        Ok(stream) => Some((stream, client)),
        Err(error) => {
            tracing::debug!(%error, %client, "a TLS handshake with the admin API failed");
            None
        }
    }
}
