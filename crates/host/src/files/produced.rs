//! What a guest of WASI 0.3 reads as a stream: the bytes of a file, the names in a folder. Each is made when the guest takes it,
//! and how it ended is told beside it.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use everwarm_engine::Sandbox;
use tokio::sync::oneshot;
use wasmtime::component::{Destination, StreamProducer, StreamResult, VecBuffer};
use wasmtime::{Result, StoreContextMut};

use super::contents::Piece;
use super::descriptor::{Descriptor, Listing};
use super::stream::Reading;
use super::tree::FileError;
use super::wasi03::types::{DirectoryEntry, ErrorCode};

/// Bytes of a file that are handed over at once.
const READ_BYTES_MAX: usize = 64 << 10;
/// Names of a folder that are handed over at once.
const NAMES_MAX: usize = 64;

/// How a stream ended.
type Outcome = std::result::Result<(), ErrorCode>;

/// Says how a stream ended; that it went well, if the guest reads no further.
pub(super) struct End(Option<oneshot::Sender<Outcome>>);

impl End {
    /// One, and who hears it.
    pub(super) fn new() -> (Self, oneshot::Receiver<Outcome>) {
        let (tell, told) = oneshot::channel();
        (Self(Some(tell)), told)
    }

    pub(super) fn say(&mut self, outcome: std::result::Result<(), FileError>) {
        if let Some(tell) = self.0.take() {
            // Nobody has to listen.
            let _ = tell.send(outcome.map_err(Into::into));
        }
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.say(Ok(()));
    }
}

type Bringing = Pin<Box<dyn Future<Output = std::result::Result<Option<Piece>, FileError>> + Send>>;

/// A file's bytes as a stream that the guest reads.
pub(super) struct FileBytes {
    reading: Reading,
    /// While the guest reads, and waits.
    bringing: Option<Bringing>,
    end: End,
}

impl FileBytes {
    pub(super) fn new(reading: Reading, end: End) -> Self {
        Self {
            reading,
            bringing: None,
            end,
        }
    }

    /// Ready with what comes next; none at the end.
    fn poll_piece(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<std::result::Result<Option<Piece>, FileError>> {
        if self.bringing.is_none() {
            if self.reading.is_at_end() {
                return Poll::Ready(Ok(None));
            }
            if let Some(piece) = self.reading.at_hand() {
                return Poll::Ready(Ok(Some(piece)));
            }
        }
        let reading = &self.reading;
        let bringing = self
            .bringing
            .get_or_insert_with(|| Box::pin(reading.bring()));
        let brought = ready!(bringing.as_mut().poll(cx));
        self.bringing = None;
        Poll::Ready(brought)
    }
}

fn not_yet(finish: bool) -> Poll<Result<StreamResult>> {
    if finish {
        Poll::Ready(Ok(StreamResult::Cancelled))
    } else {
        Poll::Pending
    }
}

impl StreamProducer<Sandbox> for FileBytes {
    type Item = u8;
    type Buffer = Bytes;

    fn poll_produce<'a>(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut store: StoreContextMut<'a, Sandbox>,
        mut destination: Destination<'a, u8, Bytes>,
        finish: bool,
    ) -> Poll<Result<StreamResult>> {
        let wanted = destination.remaining(&mut store).unwrap_or(READ_BYTES_MAX);
        if wanted == 0 && !self.reading.is_at_end() {
            return Poll::Ready(Ok(StreamResult::Completed));
        }
        Poll::Ready(Ok(match self.poll_piece(cx) {
            Poll::Pending => {
                if finish {
                    // The guest reads no more: what comes isn't held for it.
                    self.bringing = None;
                }
                return not_yet(finish);
            }
            Poll::Ready(Ok(Some(piece))) => {
                let bytes = self.reading.take(&piece, wanted.min(READ_BYTES_MAX));
                destination.set_buffer(bytes);
                StreamResult::Completed
            }
            Poll::Ready(Ok(None)) => {
                self.end.say(Ok(()));
                StreamResult::Dropped
            }
            Poll::Ready(Err(error)) => {
                self.end.say(Err(error));
                StreamResult::Dropped
            }
        }))
    }
}

type Asked = Pin<Box<dyn Future<Output = std::result::Result<Listing, FileError>> + Send>>;

enum Listed {
    Asked(Asked),
    There(Listing),
}

/// The names in a folder as a stream that the guest reads.
pub(super) struct FolderNames {
    listing: Listed,
    end: End,
}

impl FolderNames {
    pub(super) fn new(folder: Descriptor, end: End) -> Self {
        let asked = Box::pin(async move { folder.list().await });
        Self {
            listing: Listed::Asked(asked),
            end,
        }
    }
}

impl StreamProducer<Sandbox> for FolderNames {
    type Item = DirectoryEntry;
    type Buffer = VecBuffer<DirectoryEntry>;

    fn poll_produce<'a>(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut store: StoreContextMut<'a, Sandbox>,
        mut destination: Destination<'a, DirectoryEntry, Self::Buffer>,
        finish: bool,
    ) -> Poll<Result<StreamResult>> {
        let this = &mut *self;
        if let Listed::Asked(asked) = &mut this.listing {
            match asked.as_mut().poll(cx) {
                Poll::Pending => return not_yet(finish),
                Poll::Ready(Ok(listing)) => this.listing = Listed::There(listing),
                Poll::Ready(Err(error)) => {
                    this.end.say(Err(error));
                    return Poll::Ready(Ok(StreamResult::Dropped));
                }
            }
        }
        let Listed::There(listing) = &mut this.listing else {
            return not_yet(finish);
        };
        let wanted = destination.remaining(&mut store).unwrap_or(NAMES_MAX);
        if wanted == 0 {
            return Poll::Ready(Ok(StreamResult::Completed));
        }
        let names = std::iter::from_fn(|| listing.next_name()).take(wanted.min(NAMES_MAX));
        let names: Vec<_> = names
            .map(|(kind, name)| DirectoryEntry {
                type_: kind.into(),
                name,
            })
            .collect();
        if names.is_empty() {
            this.end.say(Ok(()));
            return Poll::Ready(Ok(StreamResult::Dropped));
        }
        destination.set_buffer(names.into());
        Poll::Ready(Ok(StreamResult::Completed))
    }
}
