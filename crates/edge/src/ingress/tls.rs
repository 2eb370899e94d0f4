//! TLS on a lane: the handshake, within a time limit, and what a client that can't have one is told.
//!
//! Records leave through the lane's outbox as plain responses do: at the end of a turn, together. Knows a
//! `rustls::ServerConfig`, not where its certificates come from.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls::server::Acceptor;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::outbox::{Connection, Outbox};

/// How long a client may take for its part of the handshake.
const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(10);
/// Bytes that are read of a request that isn't TLS, so that its client sees the answer and not a reset.
const PLAIN_BYTES_MAX: usize = 16 << 10;
/// The fatal alert `unrecognized_name` in a record of its own (RFC 8446, sections 5.1 and 6.2).
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];
/// What a client gets that speaks HTTP where TLS is spoken.
const NOT_TLS: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\nconnection: close\r\ncontent-length: 46\r\n\r\n\
    This port speaks HTTPS: write https:// for it\n";

/// How a listener speaks TLS, and how its handshakes went wrong.
#[derive(Debug)]
pub struct Tls {
    config: Arc<ServerConfig>,
    failed: [AtomicU64; HandshakeFailure::ALL.len()],
}

/// Why a handshake failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandshakeFailure {
    /// The client didn't finish in time.
    Timeout,
    /// There is no certificate for the name that was asked for.
    UnknownName,
    /// The client spoke HTTP without TLS.
    NotTls,
    /// The client left, or the two had no version, cipher or protocol in common.
    Protocol,
}

impl HandshakeFailure {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Timeout,
        Self::UnknownName,
        Self::NotTls,
        Self::Protocol,
    ];

    /// The word that metrics have for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::UnknownName => "unknown_name",
            Self::NotTls => "not_tls",
            Self::Protocol => "protocol",
        }
    }
}

impl Tls {
    /// TLS as `config` has it.
    pub fn new(config: Arc<ServerConfig>) -> Self {
        Self {
            config,
            failed: Default::default(),
        }
    }

    /// How many handshakes failed, and why.
    pub fn failures(&self) -> [(HandshakeFailure, u64); HandshakeFailure::ALL.len()] {
        HandshakeFailure::ALL.map(|failure| {
            let count = self.failed[failure as usize].load(Ordering::Relaxed);
            (failure, count)
        })
    }

    /// Shakes hands. `None` when that failed: the client was told what there is to tell.
    pub(super) async fn accept(
        &self,
        stream: TcpStream,
        outbox: Outbox,
    ) -> Option<TokioIo<TlsStream<TokioIo<Connection>>>> {
        let shaken = tokio::time::timeout(HANDSHAKE_TIME_MAX, self.shake_hands(stream, outbox));
        // Here to the end: who sees the connection end finds the failure counted.
        let shaken = std::pin::pin!(shaken);
        let failure = match shaken.await {
            Ok(Ok(stream)) => return Some(TokioIo::new(stream)),
            Ok(Err(failure)) => failure,
            Err(_) => HandshakeFailure::Timeout,
        };
        self.failed[failure as usize].fetch_add(1, Ordering::Relaxed);
        tracing::debug!(reason = failure.as_str(), "a TLS handshake failed");
        None
    }

    async fn shake_hands(
        &self,
        mut stream: TcpStream,
        outbox: Outbox,
    ) -> Result<TlsStream<TokioIo<Connection>>, HandshakeFailure> {
        let protocol = |_: io::Error| HandshakeFailure::Protocol;
        if refuse_plain(&mut stream).await.map_err(protocol)? {
            return Err(HandshakeFailure::NotTls);
        }
        let io = TokioIo::new(Connection::new(stream, outbox));
        let mut start = LazyConfigAcceptor::new(Acceptor::default(), io)
            .await
            .map_err(protocol)?;
        // rustls has another alert for it than the standard's (RFC 6066, section 3).
        if self
            .config
            .cert_resolver
            .resolve(start.client_hello())
            .is_none()
        {
            // As above.
            let _ = start.io.write_all(&UNRECOGNIZED_NAME).await;
            let _ = start.io.shutdown().await;
            return Err(HandshakeFailure::UnknownName);
        }
        let stream = start.into_stream(Arc::clone(&self.config));
        stream.await.map_err(protocol)
    }
}

/// Waits for a client's first byte. One that speaks HTTP where TLS is spoken is told so, and `true` says that it was.
///
/// # Errors
/// When the client left.
pub async fn refuse_plain(stream: &mut TcpStream) -> io::Result<bool> {
    let mut first = [0];
    stream.peek(&mut first).await?;
    // A handshake begins with byte 22; methods are letters.
    if !first[0].is_ascii_uppercase() {
        return Ok(false);
    }
    // What stays unread when a socket is closed makes it a reset.
    let mut unread = vec![0; PLAIN_BYTES_MAX];
    stream.try_read(&mut unread)?;
    stream.write_all(NOT_TLS).await?;
    stream.shutdown().await?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answer_to_plain_requests_is_as_long_as_it_says() {
        let answer = std::str::from_utf8(NOT_TLS).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        assert_eq!(length.unwrap().parse(), Ok(body.len()));
    }
}
