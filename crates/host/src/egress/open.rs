//! New connections: within the node's and the tenant's bounds, at a permitted address, with HTTP spoken on them by
//! a task of the thread that asked.

use std::sync::{Arc, Weak};
use std::time::Duration;

use everwarm_engine::outbound::SendError;
use everwarm_manifest::HttpTarget;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use ipnet::IpNet;
use rustls::ClientConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Ways;
use super::failure;
use super::pool::{Connection, Pool, Sender};
use crate::network::{Network, Stream, Unopened};

/// Bytes of a response's head. More is refused.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// Fields of a response's head.
const FIELDS_MAX: usize = 256;
/// Bytes of a response's body that wait for the guest, a stream of HTTP/2.
const WINDOW_BYTES: u32 = 256 << 10;
/// Bytes of a request's body that wait for the network, a stream of HTTP/2.
const SEND_BUFFER_BYTES_MAX: usize = 64 << 10;
/// How long a connection of HTTP/2 is silent before it is asked whether it is there.
const PING_INTERVAL: Duration = Duration::from_secs(20);
/// How long it has for its answer.
const PING_TIME_MAX: Duration = Duration::from_secs(10);

/// Makes the connections of one pool.
pub(super) struct Opener {
    pub(super) network: Arc<Network>,
    pub(super) tls: Arc<ClientConfig>,
    /// Networks that the manifest lists, besides public addresses.
    pub(super) listed: Vec<IpNet>,
    /// What the tenant may have open.
    pub(super) tenant: Arc<Semaphore>,
    /// All pools of the node: what waits in one makes room for what another needs.
    pub(super) pools: Weak<Ways>,
}

impl Opener {
    /// Opens a connection. Where there are too many, one that waits in `pool` is closed first.
    pub(super) async fn open(
        &self,
        target: &HttpTarget,
        pool: &Pool,
    ) -> Result<Connection, Unopened> {
        let permits = self.permits(pool).await?;
        let stream = self
            .network
            .connect(target, &self.tls, &self.listed)
            .await?;
        let is_h2 = stream.speaks_h2();
        let connection = match stream {
            Stream::Plain(stream) => speak(TokioIo::new(stream), is_h2, permits).await,
            Stream::Tls(stream) => speak(TokioIo::new(*stream), is_h2, permits).await,
        };
        Ok(connection.map_err(|error| failure::of_hyper(&error))?)
    }

    async fn permits(&self, pool: &Pool) -> Result<[OwnedSemaphorePermit; 2], SendError> {
        let tenant = permit(&self.tenant, || pool.close_one()).await?;
        let any = || self.pools.upgrade().is_some_and(|all| all.close_one());
        let node = permit(self.network.connections(), || pool.close_one() || any()).await?;
        Ok([node, tenant])
    }
}

/// A place among the connections. Where there is none, `make_room` closes one that waits; whoever waits for its end has
/// a time-out.
async fn permit(
    budget: &Arc<Semaphore>,
    make_room: impl FnOnce() -> bool,
) -> Result<OwnedSemaphorePermit, SendError> {
    if let Ok(permit) = Arc::clone(budget).try_acquire_owned() {
        return Ok(permit);
    }
    if !make_room() {
        return Err(SendError::ConnectionLimit);
    }
    let permit = Arc::clone(budget).acquire_owned().await;
    permit.map_err(|_| SendError::ConnectionLimit)
}

/// Starts HTTP on a connection. The task that speaks it ends with the connection, which ends when nobody can send
/// on it any more; then there is room for another.
async fn speak<T>(
    io: TokioIo<T>,
    is_h2: bool,
    permits: [OwnedSemaphorePermit; 2],
) -> hyper::Result<Connection>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    if is_h2 {
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(WINDOW_BYTES)
            .max_header_list_size(u32::try_from(HEAD_BYTES_MAX).unwrap_or(u32::MAX))
            .max_send_buf_size(SEND_BUFFER_BYTES_MAX)
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIME_MAX)
            .handshake(io)
            .await?;
        tokio::spawn(async move {
            let _permits = permits;
            note_end(connection.await);
        });
        return Ok(Connection::new(Sender::H2(sender)));
    }
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(FIELDS_MAX)
        .handshake(io)
        .await?;
    tokio::spawn(async move {
        let _permits = permits;
        note_end(connection.await);
    });
    Ok(Connection::new(Sender::H1(sender)))
}

/// Whoever had a request on the connection hears of its failure; between requests it is nobody's.
fn note_end(end: hyper::Result<()>) {
    if let Err(error) = end {
        tracing::debug!(%error, "an outgoing connection ended with an error");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn connection_that_waits_makes_room_and_without_one_there_is_none() {
        let budget = Arc::new(Semaphore::new(1));
        let mut open = Some(permit(&budget, || false).await.unwrap());
        let refused = permit(&budget, || false).await;
        assert_eq!(refused.err(), Some(SendError::ConnectionLimit));
        // Closing the one that waits gives its place back.
        let next = permit(&budget, || open.take().is_some()).await;
        assert!(next.is_ok());
    }
}
