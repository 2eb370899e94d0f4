//! The listening socket: binds it, accepts, and hands connections to lanes.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;

use super::DataPlane;

/// How long the acceptor rests when the process has no file descriptor or connection to spare.
const REST: Duration = Duration::from_millis(50);

/// A bound socket.
#[derive(Debug)]
pub struct Listener {
    listener: TcpListener,
    address: SocketAddr,
}

/// A socket could not be bound.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Somebody else listens there.
    #[error("{0} is in use by another program: stop it, or choose another port with `--listen`")]
    InUse(SocketAddr),
    /// Anything else.
    #[error("can't listen on {address}: {source}")]
    Io {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
}

impl BindError {
    /// The stable code, with a page in `docs/errors/`.
    pub fn code(&self) -> &'static str {
        "EW4001"
    }
}

impl Listener {
    /// Binds a socket; nothing is accepted yet.
    ///
    /// # Errors
    ///
    /// When the address is in use or can't be bound.
    pub async fn bind(address: SocketAddr) -> Result<Self, BindError> {
        let bound = async {
            let listener = TcpListener::bind(address).await?;
            let address = listener.local_addr()?;
            Ok(Self { listener, address })
        };
        bound
            .await
            .map_err(|source: io::Error| match source.kind() {
                io::ErrorKind::AddrInUse => BindError::InUse(address),
                _ => BindError::Io { address, source },
            })
    }

    /// The socket, for whoever accepts by other rules than [`Listener::accept`].
    pub fn into_socket(self) -> TcpListener {
        self.listener
    }

    /// The address that was bound, with its port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts connections until the data plane takes no more. Dropping the future closes the
    /// socket.
    pub async fn accept(self, plane: Arc<DataPlane>) {
        loop {
            if !plane.has_room() {
                tokio::time::sleep(REST).await;
                continue;
            }
            match self.listener.accept().await {
                Ok((stream, client)) => {
                    // Without it a small response waits for the client's delayed acknowledgement.
                    let _ = stream.set_nodelay(true);
                    let Ok(stream) = stream.into_std() else {
                        continue;
                    };
                    if !plane.hand_over(stream, client).await {
                        return;
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(REST).await;
                }
            }
        }
    }
}
