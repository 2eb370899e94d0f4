//! The body of a response that is read from the disk while it is sent: a piece at a time, the next when the one before was
//! taken. A piece that isn't what was written, or can't be read, ends it.

use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use everwarm_cache::disk::{Damage, Opened, PIECE_BYTES};
use everwarm_engine::fault::Fault;
use everwarm_engine::invoke::OtherBody;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;

use super::disk::{DiskReads, Large};

/// How long a response may take besides what its bytes take.
const TIME_MIN: Duration = Duration::from_secs(30);
/// Bytes a second that a client has to take, all in all.
const BYTES_PER_SECOND_MIN: u64 = 32 << 10;

/// Called once, with the bytes that were handed over and what went wrong.
type OnEnd = Box<dyn FnOnce(u64, Option<Fault>)>;
/// Called when the content isn't what was written, and not when a read of it failed that may pass.
type OnDamage = Box<dyn FnOnce()>;

type Reading = Pin<Box<dyn Future<Output = Result<Bytes, Damage>>>>;

/// See the module's documentation.
pub(crate) struct Streamed {
    content: Arc<Opened>,
    reads: DiskReads,
    _stream: OwnedSemaphorePermit,
    at: u64,
    end: u64,
    sent: u64,
    deadline: Instant,
    reading: Option<Reading>,
    on_end: Option<OnEnd>,
    on_damage: Option<OnDamage>,
}

impl Streamed {
    /// These bytes of a content.
    pub(crate) fn new(large: Large, bytes: Range<u64>, on_end: OnEnd, on_damage: OnDamage) -> Self {
        let seconds = (bytes.end - bytes.start) / BYTES_PER_SECOND_MIN;
        Self {
            content: large.content,
            reads: large.reads,
            _stream: large.stream,
            at: bytes.start,
            end: bytes.end,
            sent: 0,
            deadline: Instant::now() + TIME_MIN + Duration::from_secs(seconds),
            reading: None,
            on_end: Some(on_end),
            on_damage: Some(on_damage),
        }
    }

    fn close(&mut self, fault: Option<Fault>) {
        if let Some(on_end) = self.on_end.take() {
            on_end(self.sent, fault);
        }
    }

    fn damaged(&mut self, damage: &Damage) {
        if !damage.is_lasting() {
            self.reads.warn(damage);
        } else if let Some(on_damage) = self.on_damage.take() {
            on_damage();
        }
    }

    fn read(&self, piece: u64) -> Reading {
        let (content, reads) = (Arc::clone(&self.content), self.reads.clone());
        let piece = usize::try_from(piece).unwrap_or(usize::MAX);
        Box::pin(async move {
            let turn = reads.turn().await;
            let read = tokio::task::spawn_blocking(move || {
                let _turn = turn;
                content.piece(piece)
            });
            read.await.map_err(std::io::Error::from)?
        })
    }
}

impl OtherBody for Streamed {
    fn deadline(&self) -> Instant {
        self.deadline
    }
}

impl Body for Streamed {
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
        let piece = this.at / PIECE_BYTES as u64;
        let mut reading = match this.reading.take() {
            Some(reading) => reading,
            None => this.read(piece),
        };
        let Poll::Ready(read) = reading.as_mut().poll(cx) else {
            this.reading = Some(reading);
            return Poll::Pending;
        };
        let begins = piece * PIECE_BYTES as u64;
        let within = |byte: u64| usize::try_from(byte - begins).unwrap_or(usize::MAX);
        let bytes = read.and_then(|bytes| {
            let end = within(this.end).min(bytes.len());
            let start = within(this.at);
            let slice = (start < end).then(|| bytes.slice(start..end));
            slice.ok_or(Damage::Torn)
        });
        let bytes = match bytes {
            Ok(bytes) => bytes,
            Err(damage) => {
                this.at = this.end;
                this.damaged(&damage);
                this.close(Some(Fault::BodyDropped));
                return Poll::Ready(Some(Err(Fault::BodyDropped)));
            }
        };
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

impl Drop for Streamed {
    fn drop(&mut self) {
        self.close(Some(Fault::ClientGone));
    }
}
