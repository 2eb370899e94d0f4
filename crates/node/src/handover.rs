//! A restart that no client notices: the process that serves gives its sockets, its store and at last its place to
//! the one that was started after it.
//!
//! Both talk over a Unix socket in the data folder, one line of JSON a word:
//!
//! ```text
//! new: connects
//! old: its listening sockets (the sockets themselves, so that no connection in their queues is lost)
//! new: sets up its engine, asks for the store
//! old: stores usage, closes the store, goes on serving what it has; says that the store is free
//! new: opens the store, makes what code is missing, accepts; says that it is ready
//! old: accepts no more, drains, tells what its last requests used, ends
//! ```
//!
//! One that is gone before it was ready has changed nothing: the old one takes its store back. Owns the words and how
//! long each may take. What happens between them is the binary's.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::TcpListener;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Interest};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};

use crate::metering::UsageRow;
use crate::sockets::{SocketName, Sockets};

/// The socket's name in the data folder.
const SOCKET: &str = "handover.sock";
/// How long either side may take to answer what takes no time.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);
/// How long the new process may take to get ready: it may have machine code to make.
const READY_TIME_MAX: Duration = Duration::from_mins(15);
/// Bytes of one word.
const WORD_BYTES_MAX: u64 = 64 << 10;
/// Sockets that are passed on at once.
const SOCKETS_MAX: usize = 8;
/// Rows of usage in one word.
const ROWS_A_WORD: usize = 64;

/// Why a hand-over didn't come about.
#[derive(Debug, thiserror::Error)]
pub enum HandoverError {
    /// The operating system refused.
    #[error("couldn't {doing}: {source}")]
    Io {
        /// What was attempted.
        doing: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// The other process is another user's.
    #[error("the other process belongs to user {0}")]
    Stranger(u32),
    /// The other process ended, or doesn't answer.
    #[error("the other process is gone, or doesn't answer")]
    Gone,
    /// The other process said something else than its part.
    #[error("the other process said something that doesn't belong here: is it of another release?")]
    Unexpected,
}

impl HandoverError {
    /// The stable code, with a page in `docs/errors/`.
    pub fn code(&self) -> &'static str {
        "EW4042"
    }
}

fn failed(doing: &'static str) -> impl Fn(io::Error) -> HandoverError {
    move |source| HandoverError::Io { doing, source }
}

/// What is said, one a line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Word {
    Sockets(Vec<SocketName>),
    WantStore,
    StoreIsFree,
    Ready,
    Usage(Vec<UsageRow>),
}

/// Where the process that serves waits for the next one.
#[derive(Debug)]
pub struct Post(UnixListener);

impl Post {
    /// Opens the socket in the folder, in place of one that an earlier process left. The folder has to be this
    /// process's own.
    ///
    /// # Errors
    ///
    /// When it can't be opened, as where the folder's path is too long for a socket.
    pub fn open(data_dir: &Path) -> Result<Self, HandoverError> {
        let path = data_dir.join(SOCKET);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed("remove the old socket for hand-overs")(error));
            }
            _ => {}
        }
        let listener = UnixListener::bind(&path).map_err(failed("open the socket for hand-overs"));
        Ok(Self(listener?))
    }

    /// Waits until another process of the same user wants to go on.
    pub async fn asked(&self) -> Heir {
        loop {
            let asked = async {
                let (stream, _) = self.0.accept().await.map_err(failed("be asked"))?;
                check_user(&stream)?;
                Ok::<_, HandoverError>(stream)
            };
            match asked.await {
                Ok(stream) => return Heir(Line::over(stream)),
                Err(error) => {
                    tracing::warn!(%error, "somebody asked for a hand-over and was refused");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
}

fn check_user(stream: &UnixStream) -> Result<(), HandoverError> {
    let other = stream.peer_cred().map_err(failed("see who asks"))?.uid();
    let own = rustix::process::geteuid();
    if other == own.as_raw() || other == 0 {
        Ok(())
    } else {
        Err(HandoverError::Stranger(other))
    }
}

/// The process that goes on, as the one before it sees it.
#[derive(Debug)]
pub struct Heir(Line);

impl Heir {
    /// Gives it the sockets, and waits until it wants the store.
    ///
    /// # Errors
    ///
    /// When it doesn't come to that. Nothing has changed then.
    pub async fn give(&mut self, sockets: &Sockets) -> Result<(), HandoverError> {
        let give = async {
            self.0.say_with(sockets).await?;
            match self.0.hear().await? {
                Word::WantStore => Ok(()),
                _ => Err(HandoverError::Unexpected),
            }
        };
        within(ANSWER_TIME_MAX, give).await
    }

    /// Tells it that the store is free, and waits until it serves.
    ///
    /// # Errors
    ///
    /// When it doesn't come to that. The store should be taken back then.
    pub async fn succeed(&mut self) -> Result<(), HandoverError> {
        within(ANSWER_TIME_MAX, self.0.say(&Word::StoreIsFree)).await?;
        match within(READY_TIME_MAX, self.0.hear()).await? {
            Word::Ready => Ok(()),
            _ => Err(HandoverError::Unexpected),
        }
    }

    /// Tells it what the last requests used.
    ///
    /// # Errors
    ///
    /// When it doesn't hear it any more.
    pub async fn leave(mut self, rows: Vec<UsageRow>) -> Result<(), HandoverError> {
        let leave = async {
            for rows in rows.chunks(ROWS_A_WORD) {
                self.0.say(&Word::Usage(rows.to_vec())).await?;
            }
            Ok(())
        };
        within(ANSWER_TIME_MAX, leave).await
    }
}

/// The process that served until now, as the one after it sees it.
#[derive(Debug)]
pub struct Predecessor(Line);

impl Predecessor {
    /// Asks the process that serves from this folder for its sockets. `None` when there is no such process.
    ///
    /// # Errors
    ///
    /// When there is one and it doesn't give them.
    pub async fn ask(data_dir: &Path) -> Result<Option<(Self, Sockets)>, HandoverError> {
        let ask = async {
            let stream = match UnixStream::connect(data_dir.join(SOCKET)).await {
                Ok(stream) => stream,
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
                    ) =>
                {
                    return Ok(None);
                }
                Err(error) => return Err(failed("ask for a hand-over")(error)),
            };
            check_user(&stream)?;
            let sockets = hear_sockets(&stream).await?;
            Ok(Some((Self(Line::over(stream)), sockets)))
        };
        within(ANSWER_TIME_MAX, ask).await
    }

    /// Asks for the store, and waits until it is free.
    ///
    /// # Errors
    ///
    /// When it isn't given.
    pub async fn want_store(&mut self) -> Result<(), HandoverError> {
        let want = async {
            self.0.say(&Word::WantStore).await?;
            match self.0.hear().await? {
                Word::StoreIsFree => Ok(()),
                _ => Err(HandoverError::Unexpected),
            }
        };
        within(ANSWER_TIME_MAX, want).await
    }

    /// Tells it that this process accepts connections from now on.
    ///
    /// # Errors
    ///
    /// When it doesn't hear it any more, which changes nothing.
    pub async fn say_ready(&mut self) -> Result<(), HandoverError> {
        within(ANSWER_TIME_MAX, self.0.say(&Word::Ready)).await
    }

    /// What its last requests used, piece by piece, until it ends.
    pub async fn last_usage(&mut self) -> Option<Vec<UsageRow>> {
        match self.0.hear().await {
            Ok(Word::Usage(rows)) => Some(rows),
            _ => None,
        }
    }
}

async fn within<T>(
    limit: Duration,
    word: impl Future<Output = Result<T, HandoverError>>,
) -> Result<T, HandoverError> {
    let said = tokio::time::timeout(limit, word).await;
    said.unwrap_or(Err(HandoverError::Gone))
}

/// A connection between the two.
#[derive(Debug)]
struct Line {
    read: BufReader<OwnedReadHalf>,
    write: OwnedWriteHalf,
}

impl Line {
    fn over(stream: UnixStream) -> Self {
        let (read, write) = stream.into_split();
        Self {
            read: BufReader::new(read),
            write,
        }
    }

    async fn say(&mut self, word: &Word) -> Result<(), HandoverError> {
        let line = encoded(word)?;
        self.write
            .write_all(&line)
            .await
            .map_err(|_| HandoverError::Gone)
    }

    /// Says which sockets there are, and sends them along (`SCM_RIGHTS`, unix(7)).
    async fn say_with(&mut self, sockets: &Sockets) -> Result<(), HandoverError> {
        let line = encoded(&Word::Sockets(sockets.keys().copied().collect()))?;
        let descriptors: Vec<_> = sockets.values().map(|socket| socket.as_fd()).collect();
        let stream: &UnixStream = self.write.as_ref();
        let pass_on = || {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SOCKETS_MAX))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            control.push(SendAncillaryMessage::ScmRights(&descriptors));
            let sent = sendmsg(
                stream,
                &[IoSlice::new(&line)],
                &mut control,
                SendFlags::NOSIGNAL,
            );
            sent.map_err(io::Error::from)
        };
        let sent = stream.async_io(Interest::WRITABLE, pass_on).await;
        // A socket's buffer holds far more than these few bytes: they go at once or not at all.
        match sent {
            Ok(sent) if sent == line.len() => Ok(()),
            Ok(_) => Err(HandoverError::Gone),
            Err(error) => Err(failed("hand the sockets over")(error)),
        }
    }

    async fn hear(&mut self) -> Result<Word, HandoverError> {
        let mut line = Vec::new();
        let mut bounded = (&mut self.read).take(WORD_BYTES_MAX);
        let read = bounded.read_until(b'\n', &mut line).await;
        match read {
            Ok(0) | Err(_) => Err(HandoverError::Gone),
            Ok(_) => decoded(&line),
        }
    }
}

async fn hear_sockets(stream: &UnixStream) -> Result<Sockets, HandoverError> {
    let mut bytes = [0; 1 << 10];
    let receive = || {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SOCKETS_MAX))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut parts = [IoSliceMut::new(&mut bytes)];
        let message = recvmsg(stream, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC)?;
        let descriptors: Vec<OwnedFd> = control
            .drain()
            .filter_map(|message| match message {
                RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
                _ => None,
            })
            .flatten()
            .collect();
        Ok((message.bytes, descriptors))
    };
    let came = stream.async_io(Interest::READABLE, receive).await;
    let (length, descriptors) = came.map_err(failed("receive the sockets"))?;
    // They came in one message, and nothing is said after it before this side has answered.
    let Word::Sockets(names) = decoded(&bytes[..length])? else {
        return Err(HandoverError::Unexpected);
    };
    if names.len() != descriptors.len() {
        return Err(HandoverError::Unexpected);
    }
    let sockets = descriptors.into_iter().map(TcpListener::from);
    Ok(names.into_iter().zip(sockets).collect())
}

fn encoded(word: &Word) -> Result<Vec<u8>, HandoverError> {
    let mut line = serde_json::to_vec(word).map_err(|_| HandoverError::Unexpected)?;
    line.push(b'\n');
    Ok(line)
}

fn decoded(line: &[u8]) -> Result<Word, HandoverError> {
    if line.is_empty() {
        return Err(HandoverError::Gone);
    }
    serde_json::from_slice(line).map_err(|_| HandoverError::Unexpected)
}
