//! A body on its way from a guest to whoever reads it, with back-pressure.
//!
//! One writer (the guest's output stream, or a body from elsewhere that the guest passes on), one reader (the
//! client's response, or the receiver of a request that the guest sends). Owns the bound on what
//! may wait in between, the check of a declared `Content-Length`, and the limit on the whole body.
//! Knows neither Wasmtime nor hyper.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::HeaderMap;
use parking_lot::Mutex;

use crate::fault::Fault;
use crate::request::{ReadEnd, SharedReader};

/// Bytes that may wait for the client before a guest that writes is told to wait.
pub(crate) const BUFFER_BYTES_MAX: usize = 64 << 10;
/// Bytes that a guest may write before it has given the response's head. Nobody can read them yet,
/// so waiting for room would never end.
pub(crate) const BUFFER_BEFORE_HEAD_BYTES_MAX: usize = 1 << 20;

/// How a body ended.
#[derive(Debug)]
pub(crate) enum End {
    /// All of it was given, with these trailers.
    Complete(Option<HeaderMap>),
    /// It stopped half-way.
    Broken(Fault),
}

/// Why a write was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WriteError {
    /// The reader has gone: the client left or the response was given up.
    ReaderGone,
    /// More than the declared `Content-Length`.
    MoreThanDeclared,
    /// More than the function's limit for response bodies.
    OverLimit,
    /// More than [`BUFFER_BEFORE_HEAD_BYTES_MAX`] before the head was given.
    TooMuchBeforeHead,
    /// The body was ended before.
    Ended,
}

#[derive(Debug)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "four independent facts about two ends, none of which excludes another"
)]
struct State {
    chunks: VecDeque<Bytes>,
    buffered: usize,
    written: u64,
    declared: Option<u64>,
    limit: u64,
    has_reader: bool,
    reader_gone: bool,
    end: Option<End>,
    ended: bool,
    delivered: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
    delivery_waiter: Option<Waker>,
    end_waiter: Option<Waker>,
    /// What comes from elsewhere, instead of from a guest's writes.
    source: Option<SharedReader>,
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Pipe(Mutex<State>);

/// One step of reading.
#[derive(Debug)]
pub(crate) enum Chunk {
    Data(Bytes),
    End(Option<HeaderMap>),
    Broken(Fault),
}

impl Pipe {
    pub(crate) fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State {
            chunks: VecDeque::new(),
            buffered: 0,
            written: 0,
            declared: None,
            limit,
            has_reader: false,
            reader_gone: false,
            end: None,
            ended: false,
            delivered: false,
            reader: None,
            writer: None,
            delivery_waiter: None,
            end_waiter: None,
            source: None,
        })))
    }

    /// A body that comes from elsewhere and that the guest passes on as it is.
    pub(crate) fn relay(source: SharedReader, limit: u64) -> Arc<Self> {
        let pipe = Self::new(limit);
        pipe.0.lock().source = Some(source);
        pipe
    }

    /// The head was given: from now on there is a reader, and `declared` bytes are expected. What
    /// was written before has to fit that too.
    pub(crate) fn attach(&self, declared: Option<u64>) {
        let mut state = self.0.lock();
        state.has_reader = true;
        state.declared = declared;
        state.hold_to_declared();
        let writer = state.writer.take();
        drop(state);
        if let Some(writer) = writer {
            writer.wake();
        }
    }

    /// Bytes that may be written now; nothing means wait.
    pub(crate) fn room(&self) -> Result<usize, WriteError> {
        let state = self.0.lock();
        if state.reader_gone {
            return Err(WriteError::ReaderGone);
        }
        if state.ended {
            return Err(WriteError::Ended);
        }
        Ok(state.room())
    }

    /// Ready once there is room, or no reason to wait for it.
    pub(crate) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.0.lock();
        if state.reader_gone || state.ended || state.room() > 0 || !state.has_reader {
            return Poll::Ready(());
        }
        state.writer = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Ready once bytes can be written, or none ever again. Unlike [`Self::poll_room`] it lets a
    /// writer wait for its reader: before there is one, the first write is taken, which is all of
    /// most bodies, and the second waits, so that a guest that goes on writing gives its head first.
    pub(crate) fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.0.lock();
        let may_write = if state.has_reader {
            state.room() > 0
        } else {
            state.written == 0
        };
        if state.reader_gone || state.ended || may_write {
            return Poll::Ready(());
        }
        state.writer = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Ready once everything written was taken by the reader, or there is none.
    pub(crate) fn poll_flushed(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.0.lock();
        if state.reader_gone
            || state.ended
            || !state.has_reader
            || state.buffered < BUFFER_BYTES_MAX
        {
            return Poll::Ready(());
        }
        state.writer = Some(cx.waker().clone());
        Poll::Pending
    }

    pub(crate) fn write(&self, bytes: Bytes) -> Result<(), WriteError> {
        if bytes.is_empty() {
            return Ok(());
        }
        let mut state = self.0.lock();
        if let Err(error) = state.admit(bytes.len()) {
            drop(state);
            if let Some(fault) = error.breaks_the_body() {
                // The first end counts; what is missing doesn't matter to a broken body.
                let _ = self.end(End::Broken(fault));
            }
            return Err(error);
        }
        state.written += bytes.len() as u64;
        state.buffered += bytes.len();
        state.chunks.push_back(bytes);
        let reader = state.reader.take();
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
        Ok(())
    }

    /// Ends the body. The first end counts. Says how many bytes are missing when fewer were
    /// written than declared; the body is broken then.
    pub(crate) fn end(&self, end: End) -> Result<(), u64> {
        let mut state = self.0.lock();
        let missing = match (&end, state.declared) {
            (End::Complete(_), Some(declared)) if state.written < declared => {
                Some(declared - state.written)
            }
            _ => None,
        };
        let end = if missing.is_some() {
            End::Broken(Fault::BodyDropped)
        } else {
            end
        };
        state.finish(end);
        let reader = state.reader.take();
        let waiter = state.end_waiter.take();
        drop(state);
        reader.into_iter().chain(waiter).for_each(Waker::wake);
        missing.map_or(Ok(()), Err)
    }

    /// The next part of the body.
    pub(crate) fn poll_read(&self, cx: &mut Context<'_>) -> Poll<Chunk> {
        let source = self.0.lock().source.take();
        match source {
            Some(source) => self.poll_source(source, cx),
            None => self.poll_written(cx),
        }
    }

    fn poll_written(&self, cx: &mut Context<'_>) -> Poll<Chunk> {
        let mut state = self.0.lock();
        if let Some(bytes) = state.chunks.pop_front() {
            state.buffered -= bytes.len();
            let writer = state.writer.take();
            drop(state);
            if let Some(writer) = writer {
                writer.wake();
            }
            return Poll::Ready(Chunk::Data(bytes));
        }
        match state.end.take() {
            Some(End::Complete(trailers)) => {
                state.deliver();
                Poll::Ready(Chunk::End(trailers))
            }
            Some(End::Broken(fault)) => Poll::Ready(Chunk::Broken(fault)),
            None if state.ended => Poll::Ready(Chunk::End(None)),
            None => {
                state.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// The next part of a body that comes from elsewhere, by way of `write` and `end`, which hold it to what was
    /// declared and to the limit.
    fn poll_source(&self, source: SharedReader, cx: &mut Context<'_>) -> Poll<Chunk> {
        let mut reader = source.lock();
        if reader.poll_ready(cx).is_pending() {
            drop(reader);
            self.0.lock().source = Some(source);
            return Poll::Pending;
        }
        match reader.read(BUFFER_BYTES_MAX) {
            Ok(bytes) => {
                drop(reader);
                if self.write(bytes).is_ok() {
                    self.0.lock().source = Some(source);
                    return self.poll_written(cx);
                }
            }
            Err(ReadEnd::Complete) => {
                let trailers = reader.trailers().and_then(Result::ok).flatten();
                // A body shorter than declared is broken, which its reader hears of.
                let _ = self.end(End::Complete(trailers));
            }
            Err(ReadEnd::Broken(broken)) => {
                let fault = Fault::BadAnswer(broken.reason);
                let _ = self.end(End::Broken(fault));
            }
        }
        self.poll_written(cx)
    }

    /// Ready with true once the reader has taken everything to a complete end, with false once it
    /// won't.
    pub(crate) fn poll_delivered(&self, cx: &mut Context<'_>) -> Poll<bool> {
        let mut state = self.0.lock();
        if state.delivered || state.reader_gone {
            return Poll::Ready(state.delivered);
        }
        state.delivery_waiter = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Ready once the writer has ended the body, or the reader is gone.
    pub(crate) fn poll_ended(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.0.lock();
        if state.ended || state.reader_gone {
            return Poll::Ready(());
        }
        state.end_waiter = Some(cx.waker().clone());
        Poll::Pending
    }

    /// The reader is gone: writes fail from now on.
    pub(crate) fn close_reader(&self) {
        let mut state = self.0.lock();
        state.reader_gone = true;
        state.chunks.clear();
        state.buffered = 0;
        let source = state.source.take();
        let writer = state.writer.take();
        let delivery = state.delivery_waiter.take();
        let end = state.end_waiter.take();
        drop(state);
        drop(source);
        writer
            .into_iter()
            .chain(delivery)
            .chain(end)
            .for_each(Waker::wake);
    }

    /// Whether the guest has ended the body, and the bytes if that left one chunk or none and no
    /// trailers: such a body goes out in one write with its head.
    pub(crate) fn take_if_short(&self) -> Option<Bytes> {
        let mut state = self.0.lock();
        if state.chunks.len() > 1 || !matches!(state.end, Some(End::Complete(None))) {
            return None;
        }
        state.end = None;
        state.buffered = 0;
        state.deliver();
        Some(state.chunks.pop_front().unwrap_or_default())
    }

    /// Why the body broke, if it did before anything of the response was sent: the client can
    /// still be told in so many words.
    pub(crate) fn take_broken(&self) -> Option<Fault> {
        let mut state = self.0.lock();
        match state.end.take() {
            Some(End::Broken(fault)) => Some(fault),
            end => {
                state.end = end;
                None
            }
        }
    }

    /// The reader has all it wants: the guest hears that its body was delivered, and what else it has or
    /// will write is nobody's.
    pub(crate) fn throw_away(&self) {
        self.0.lock().deliver();
        self.close_reader();
    }

    /// How many bytes are still to be read, if that is known: the body was declared, or has ended.
    pub(crate) fn known_len(&self) -> Option<u64> {
        let state = self.0.lock();
        match (&state.end, state.declared) {
            (Some(End::Complete(None)), _) => Some(state.buffered as u64),
            (None | Some(End::Complete(Some(_))), Some(declared)) if !state.ended => {
                Some(declared - (state.written - state.buffered as u64))
            }
            _ => None,
        }
    }

    /// The declared length, if any.
    pub(crate) fn declared(&self) -> Option<u64> {
        self.0.lock().declared
    }

    /// Bytes written so far.
    pub(crate) fn written(&self) -> u64 {
        self.0.lock().written
    }
}

impl State {
    fn room(&self) -> usize {
        let bound = if self.has_reader {
            BUFFER_BYTES_MAX
        } else {
            BUFFER_BEFORE_HEAD_BYTES_MAX
        };
        bound.saturating_sub(self.buffered)
    }

    fn admit(&self, len: usize) -> Result<(), WriteError> {
        let written = self.written.saturating_add(len as u64);
        if self.reader_gone {
            Err(WriteError::ReaderGone)
        } else if self.ended {
            Err(WriteError::Ended)
        } else if self.declared.is_some_and(|declared| written > declared) {
            Err(WriteError::MoreThanDeclared)
        } else if written > self.limit {
            Err(WriteError::OverLimit)
        } else if !self.has_reader && len > self.room() {
            Err(WriteError::TooMuchBeforeHead)
        } else {
            Ok(())
        }
    }

    /// Breaks the body if what was written is too much for its declared length, or all of it is
    /// too little.
    fn hold_to_declared(&mut self) {
        let Some(declared) = self.declared else {
            return;
        };
        if self.written > declared {
            self.ended = true;
            self.end = WriteError::MoreThanDeclared
                .breaks_the_body()
                .map(End::Broken);
        } else if self.written < declared && matches!(self.end, Some(End::Complete(_))) {
            self.end = Some(End::Broken(Fault::BodyDropped));
        }
    }

    fn deliver(&mut self) {
        self.delivered = true;
        if let Some(waiter) = self.delivery_waiter.take() {
            waiter.wake();
        }
    }

    fn finish(&mut self, end: End) {
        if !self.ended {
            self.ended = true;
            self.end = Some(end);
        }
    }
}

impl WriteError {
    /// What the client's side is told, when the body can't go on after this.
    fn breaks_the_body(self) -> Option<Fault> {
        match self {
            Self::OverLimit => Some(Fault::ResponseBodyTooLarge),
            Self::MoreThanDeclared => Some(Fault::BadAnswer(
                "the response body is longer than its Content-Length".into(),
            )),
            Self::ReaderGone | Self::TooMuchBeforeHead | Self::Ended => None,
        }
    }
}

impl std::fmt::Display for WriteError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::ReaderGone => "nobody reads the body any more",
            Self::MoreThanDeclared => "more bytes than the Content-Length declares",
            Self::OverLimit => "more bytes than the function's limit allows (`response_body`, or `subrequest_body` of a request that it sends)",
            Self::TooMuchBeforeHead => {
                "more than 1 MiB written before the response was set or the request sent: do that first"
            }
            Self::Ended => "the body has ended already",
        })
    }
}
