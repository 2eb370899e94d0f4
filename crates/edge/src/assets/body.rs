//! The body of a response that is read from the disk while it is sent: a piece at a time, the next when the one before was
//! taken.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use everwarm_bundle::{FilesError, PIECE_BYTES};
use everwarm_engine::fault::Fault;
use http_body::{Body, Frame, SizeHint};

use super::file::Content;
use crate::respond::Failure;

/// How long a response may take besides what its bytes take.
const TIME_MIN: Duration = Duration::from_secs(30);
/// Bytes a second that a client has to take, all in all.
const BYTES_PER_SECOND_MIN: u64 = 32 << 10;

/// Called once, with the bytes that were handed over and what went wrong.
type OnFileEnd = Box<dyn FnOnce(u64, Option<Failure>)>;

type Reading = Pin<Box<dyn Future<Output = Result<Bytes, FilesError>>>>;

/// See the module's documentation.
pub struct FileBody {
    content: Arc<Content>,
    at: u64,
    end: u64,
    sent: u64,
    deadline: Instant,
    reading: Option<Reading>,
    on_end: Option<OnFileEnd>,
}

impl FileBody {
    /// These bytes of a content.
    pub(crate) fn new(
        content: Arc<Content>,
        bytes: std::ops::Range<u64>,
        on_end: OnFileEnd,
    ) -> Self {
        let seconds = (bytes.end - bytes.start) / BYTES_PER_SECOND_MIN;
        Self {
            content,
            at: bytes.start,
            end: bytes.end,
            sent: 0,
            deadline: Instant::now() + TIME_MIN + Duration::from_secs(seconds),
            reading: None,
            on_end: Some(on_end),
        }
    }

    /// When it ends, whoever hasn't taken all of it by then.
    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }

    fn close(&mut self, failure: Option<Failure>) {
        if let Some(on_end) = self.on_end.take() {
            on_end(self.sent, failure);
        }
    }
}

/// The piece of a byte, and where it begins.
fn piece_of(byte: u64) -> (usize, u64) {
    let piece = byte / PIECE_BYTES as u64;
    (
        usize::try_from(piece).unwrap_or(usize::MAX),
        piece * PIECE_BYTES as u64,
    )
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        let this = self.get_mut();
        if this.at >= this.end {
            this.close(None);
            return Poll::Ready(None);
        }
        let (piece, begins) = piece_of(this.at);
        let reading = this.reading.get_or_insert_with(|| {
            let content = Arc::clone(&this.content);
            Box::pin(async move { content.read(piece).await })
        });
        let read = ready!(reading.as_mut().poll(cx));
        this.reading = None;
        let bytes = match read {
            Ok(bytes) => bytes,
            Err(error) => {
                this.at = this.end;
                this.close(Some(error.into()));
                return Poll::Ready(Some(Err(Fault::BodyDropped)));
            }
        };
        // Both are within the piece, which is checked to be as long as it says.
        let within = |byte: u64| usize::try_from(byte - begins).unwrap_or(0).min(bytes.len());
        let bytes = bytes.slice(within(this.at)..within(this.end));
        this.at += bytes.len() as u64;
        this.sent += bytes.len() as u64;
        if this.at >= this.end {
            // A server doesn't ask once more for an end that it knows.
            this.close(None);
        }
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.at >= self.end
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.end.saturating_sub(self.at))
    }
}

impl Drop for FileBody {
    fn drop(&mut self) {
        self.close(Some(Fault::ClientGone.into()));
    }
}
