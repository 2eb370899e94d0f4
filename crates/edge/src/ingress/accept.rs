//! The listening socket: binds it or takes one that is there, accepts, and hands connections to lanes.
//!
//! Owns what happens to connections when accepting ends, and when the process has no file descriptor to spare.

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use super::{DataPlane, Ending, Front};
use crate::respond;

/// How long the acceptor rests when the process has no connection to spare.
const REST: Duration = Duration::from_millis(50);
/// How long a client that is refused may take to read why.
const LINGER: Duration = Duration::from_millis(100);
/// Bytes that such a client may send meanwhile.
const LINGER_BYTES_MAX: usize = 64 << 10;
/// The shortest time between two warnings that descriptors have run out.
const WARN_EVERY: Duration = Duration::from_secs(1);
/// What is opened so that there is a file descriptor to give back.
const SPARE: &str = "/dev/null";

/// A listening socket.
#[derive(Debug)]
pub struct Listener {
    listener: TcpListener,
    address: SocketAddr,
}

/// There is no socket to listen on.
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
    /// A socket that was handed over is none to listen on.
    #[error("the socket that was handed over can't be used: {0}")]
    HandedOver(io::Error),
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

    /// Takes a socket that somebody else bound and listens on.
    ///
    /// # Errors
    ///
    /// When it is none that can be waited for.
    pub fn take(socket: std::net::TcpListener) -> Result<Self, BindError> {
        let take = || {
            socket.set_nonblocking(true)?;
            let listener = TcpListener::from_std(socket)?;
            let address = listener.local_addr()?;
            Ok(Self { listener, address })
        };
        take().map_err(BindError::HandedOver)
    }

    /// The same socket once more. It stays open until both are closed, and connections wait in it meanwhile.
    ///
    /// # Errors
    ///
    /// When the process has no file descriptor to spare.
    pub fn share(&self) -> io::Result<std::net::TcpListener> {
        use std::os::fd::AsFd as _;
        let socket = self.listener.as_fd().try_clone_to_owned()?;
        Ok(socket.into())
    }

    /// The socket, for whoever accepts by other rules than [`Listener::accept`].
    pub fn into_socket(self) -> TcpListener {
        self.listener
    }

    /// The address that was bound, with its port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts connections until `end` says how it ends, or the data plane takes no more. What is accepted reaches a
    /// lane. Where nobody goes on with the socket, that includes what the kernel has accepted already.
    pub async fn accept(
        self,
        plane: Arc<DataPlane>,
        front: Front,
        mut end: oneshot::Receiver<Ending>,
    ) {
        let mut spare = Spare::new();
        let ending = loop {
            if !plane.has_room() {
                tokio::select! {
                    ending = &mut end => break ending,
                    () = tokio::time::sleep(REST) => continue,
                }
            }
            let accepted = tokio::select! {
                ending = &mut end => break ending,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, client)) => {
                    let Ok(stream) = stream.into_std() else {
                        continue;
                    };
                    if !plane.hand_over(stream, client, front.clone()).await {
                        return;
                    }
                }
                Err(error) if out_of_descriptors(&error) => {
                    spare
                        .refuse_one(&self.listener, &plane, &front, &error)
                        .await;
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(REST).await;
                }
            }
        };
        let Ok(Ending::Stopped) = ending else { return };
        let Ok(listener) = self.listener.into_std() else {
            return;
        };
        // It doesn't block: it is empty at some time, and closed at once then.
        while let Ok((stream, client)) = listener.accept() {
            if stream.set_nonblocking(true).is_err()
                || !plane.hand_over(stream, client, front.clone()).await
            {
                return;
            }
        }
    }
}

fn out_of_descriptors(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM)
    )
}

/// A file descriptor that is given back when there is no other, so that a client hears why it is refused.
struct Spare {
    file: Option<File>,
    warned: Option<Instant>,
}

impl Spare {
    fn new() -> Self {
        Self {
            file: File::open(SPARE).ok(),
            warned: None,
        }
    }

    /// Answers the next connection with 503 in place of a function.
    async fn refuse_one(
        &mut self,
        listener: &TcpListener,
        plane: &DataPlane,
        front: &Front,
        error: &io::Error,
    ) {
        if self
            .warned
            .is_none_or(|warned| warned.elapsed() >= WARN_EVERY)
        {
            tracing::warn!(%error, code = respond::MACHINE_LIMIT, "connections are refused: raise the limit on open files (ulimit -n, LimitNOFILE=)");
            self.warned = Some(Instant::now());
        }
        if self.file.take().is_some() {
            let accepted = tokio::time::timeout(REST, listener.accept()).await;
            if let Ok(Ok((stream, _))) = accepted {
                let why = plane.refusal();
                // Nothing that could be said before a handshake is more than the end of the connection.
                if matches!(front, Front::Tls(_)) {
                    drop(stream);
                    self.file = File::open(SPARE).ok();
                    return;
                }
                // A client that is gone needs no reason.
                let _ = tokio::time::timeout(LINGER, refuse(stream, &why)).await;
            }
        } else {
            tokio::time::sleep(REST).await;
        }
        self.file = File::open(SPARE).ok();
    }
}

/// Says why once the client has asked, and waits until it has had time to read it: a socket that is closed with bytes
/// unread takes back what it sent.
async fn refuse(mut stream: TcpStream, why: &str) -> io::Result<()> {
    let mut bytes = [0; 4 << 10];
    let mut read = stream.read(&mut bytes).await?;
    stream.write_all(why.as_bytes()).await?;
    stream.shutdown().await?;
    while read < LINGER_BYTES_MAX {
        match stream.read(&mut bytes).await? {
            0 => break,
            more => read += more,
        }
    }
    Ok(())
}
