//! The body of a response that is read from the disk while it is sent: a piece at a time, the next when the one before was
//! taken.
//!
//! Owns how long that may take, and that its end is heard of once. Where pieces come from, and whether they are what was
//! written, is the business of whoever reads them.

use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use everwarm_engine::fault::Fault;
use everwarm_engine::invoke::OtherBody;
use http_body::{Body, Frame, SizeHint};

use crate::respond::Failure;

/// How long a response may take besides what its bytes take.
const TIME_MIN: Duration = Duration::from_secs(30);
/// Bytes a second that a client has to take, all in all.
const BYTES_PER_SECOND_MIN: u64 = 32 << 10;

/// Called once, with the bytes that were handed over and what went wrong.
type OnEnd = Box<dyn FnOnce(u64, Option<Failure>)>;

/// A piece that is being read.
pub(crate) type Reading<E> = Pin<Box<dyn Future<Output = Result<Bytes, E>>>>;

/// Where pieces come from.
pub(crate) trait Source: Unpin + 'static {
    /// Bytes of each piece but the last.
    const PIECE_BYTES: u64;
    /// Why one can't be read, or isn't what was written.
    type Error;

    /// Reads one.
    fn read(&self, piece: usize) -> Reading<Self::Error>;

    /// What the failure is to the request. Called once at most: there are no pieces after it.
    fn failed(&mut self, error: Self::Error) -> Failure;
}

/// See the module's documentation.
pub(crate) struct Pieces<S: Source> {
    source: S,
    at: u64,
    end: u64,
    sent: u64,
    deadline: Instant,
    reading: Option<Reading<S::Error>>,
    on_end: Option<OnEnd>,
}

impl<S: Source> Pieces<S> {
    /// These bytes of a content.
    pub(crate) fn new(source: S, bytes: Range<u64>, on_end: OnEnd) -> Self {
        let seconds = (bytes.end - bytes.start) / BYTES_PER_SECOND_MIN;
        Self {
            source,
            at: bytes.start,
            end: bytes.end,
            sent: 0,
            deadline: Instant::now() + TIME_MIN + Duration::from_secs(seconds),
            reading: None,
            on_end: Some(on_end),
        }
    }

    fn close(&mut self, failure: Option<Failure>) {
        if let Some(on_end) = self.on_end.take() {
            on_end(self.sent, failure);
        }
    }

    fn break_off(&mut self, failure: Failure) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        self.at = self.end;
        self.close(Some(failure));
        Poll::Ready(Some(Err(Fault::BodyDropped)))
    }
}

impl<S: Source> OtherBody for Pieces<S> {
    fn deadline(&self) -> Instant {
        self.deadline
    }
}

impl<S: Source> Body for Pieces<S> {
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
        let piece = this.at / S::PIECE_BYTES;
        let source = &this.source;
        let reading = this
            .reading
            .get_or_insert_with(|| source.read(usize::try_from(piece).unwrap_or(usize::MAX)));
        let read = ready!(reading.as_mut().poll(cx));
        this.reading = None;
        let bytes = match read {
            Ok(bytes) => bytes,
            Err(error) => {
                let failure = this.source.failed(error);
                return this.break_off(failure);
            }
        };
        let begins = piece * S::PIECE_BYTES;
        let within = |byte: u64| {
            usize::try_from(byte - begins).map_or(bytes.len(), |at| at.min(bytes.len()))
        };
        let bytes = bytes.slice(within(this.at)..within(this.end));
        if bytes.is_empty() {
            // A piece that is too short: what is left would never end.
            return this.break_off(Fault::BodyDropped.into());
        }
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

impl<S: Source> Drop for Pieces<S> {
    fn drop(&mut self) {
        self.close(Some(Fault::ClientGone.into()));
    }
}
