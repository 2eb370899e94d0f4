//! A blob on its way from a guest: as pieces that it hands over, or as a stream of `wasi:io`.
//!
//! Owns the back-pressure: one piece is being written while the guest fills the next one, and then it waits. Writing goes
//! on where the guest waits for it: no task has it, and it ends with the guest.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use everwarm_store::StoreFuture;
use everwarm_store::blobs::{Blob, BlobError, Condition, PIECE_BYTES, Upload};
use everwarm_store::catalog::UnixMillis;
use parking_lot::Mutex;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};

use super::container::{OpenContainer, Refused};

/// Bytes that may be written to a value before it is said where it goes.
const BEFORE_NAME_BYTES_MAX: usize = 1 << 20;

/// A blob that is being written piece by piece.
#[expect(
    unreachable_pub,
    reason = "the generated bindings name it as a public type"
)]
pub struct Writing {
    container: OpenContainer,
    upload: Box<dyn Upload>,
}

impl Writing {
    pub(super) fn new(container: OpenContainer, upload: Box<dyn Upload>) -> Self {
        Self { container, upload }
    }

    pub(super) async fn write(&mut self, bytes: Vec<u8>) -> Result<(), Refused> {
        let mut bytes = Bytes::from(bytes);
        while !bytes.is_empty() {
            let piece = bytes.split_to(bytes.len().min(PIECE_BYTES));
            let written = self.upload.write(piece).await;
            written.map_err(|error| self.container.refused(&error))?;
        }
        Ok(())
    }

    pub(super) async fn finish(self, condition: Condition) -> Result<Blob, Refused> {
        let finished = self.upload.finish(condition, UnixMillis::now()).await;
        finished.map_err(|error| self.container.refused(&error))
    }
}

/// An `outgoing-value`. Its stream has a share of it.
#[expect(
    unreachable_pub,
    reason = "the generated bindings name it as a public type"
)]
pub struct Outgoing(Arc<Mutex<Flow>>);

type Written = (Box<dyn Upload>, Result<(), BlobError>);

/// What was written and isn't kept yet.
#[derive(Default)]
struct Flow {
    buffer: BytesMut,
    /// Where it goes, once that was said.
    container: Option<OpenContainer>,
    /// Takes the next piece.
    upload: Option<Box<dyn Upload>>,
    /// A piece that is being written.
    writing: Option<StoreFuture<'static, Written>>,
    refused: Option<Refused>,
    stream_taken: bool,
    /// Whether the value was finished or dropped.
    ended: bool,
}

impl Flow {
    /// Writes on, and is ready once there is room for more, or no use in waiting for it.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_writing(cx);
        if self.refused.is_some() || self.ended || self.room() > 0 {
            return Poll::Ready(());
        }
        Poll::Pending
    }

    /// Writes full pieces as far as that goes.
    fn poll_writing(&mut self, cx: &mut Context<'_>) {
        while self.refused.is_none() {
            if let Some(writing) = &mut self.writing {
                let Poll::Ready((upload, written)) = Pin::new(writing).poll(cx) else {
                    return;
                };
                self.writing = None;
                self.upload = Some(upload);
                self.check(written);
            } else if self.buffer.len() >= PIECE_BYTES && self.upload.is_some() {
                self.begin_piece();
            } else if self.container.is_none() && self.buffer.len() >= BEFORE_NAME_BYTES_MAX {
                let text = "more than 1 MiB was written before `write-data` said where it goes: call that first";
                self.refused = Some(Refused::Invalid(text.to_owned()));
            } else {
                return;
            }
        }
    }

    fn begin_piece(&mut self) {
        let Some(mut upload) = self.upload.take() else {
            return;
        };
        let piece = self.buffer.split_to(self.buffer.len().min(PIECE_BYTES));
        let piece = piece.freeze();
        self.writing = Some(Box::pin(async move {
            let written = upload.write(piece).await;
            (upload, written)
        }));
    }

    fn check(&mut self, written: Result<(), BlobError>) {
        if let (Err(error), Some(container)) = (written, &self.container) {
            self.refused = Some(container.refused(&error));
        }
    }

    /// Bytes that may be written now.
    fn room(&self) -> usize {
        let max = match self.container {
            Some(_) => PIECE_BYTES,
            None => BEFORE_NAME_BYTES_MAX,
        };
        max.saturating_sub(self.buffer.len())
    }

    /// All that was written is with the store; ready with the upload.
    fn poll_all(&mut self, cx: &mut Context<'_>) -> Poll<Result<Box<dyn Upload>, Refused>> {
        loop {
            self.poll_writing(cx);
            if let Some(refused) = self.refused.clone() {
                return Poll::Ready(Err(refused));
            }
            if self.writing.is_some() {
                return Poll::Pending;
            }
            if self.buffer.is_empty() || self.upload.is_none() {
                let text = "nobody has said where it goes: call `write-data` first";
                let upload = self.upload.take();
                return Poll::Ready(upload.ok_or_else(|| Refused::Invalid(text.to_owned())));
            }
            self.begin_piece();
        }
    }

    /// Nothing of it will be kept.
    fn give_up(&mut self) {
        self.ended = true;
        self.writing = None;
        self.upload = None;
        self.buffer = BytesMut::new();
    }
}

impl Outgoing {
    pub(super) fn new() -> Self {
        Self(Arc::default())
    }

    /// Its stream, once.
    pub(super) fn stream(&self) -> Option<WriteStream> {
        let is_taken = std::mem::replace(&mut self.0.lock().stream_taken, true);
        (!is_taken).then(|| WriteStream(Arc::clone(&self.0)))
    }

    /// What is needed to say where it goes.
    pub(super) fn share(&self) -> Self {
        Self(Arc::clone(&self.0))
    }

    /// Says where it goes.
    pub(super) async fn go_to(&self, container: OpenContainer, name: &str) -> Result<(), Refused> {
        let said = Refused::Invalid("the value goes somewhere already".to_owned());
        if self.0.lock().container.is_some() {
            return Err(said);
        }
        let upload = container.put(name, None).await?;
        let mut flow = self.0.lock();
        if flow.container.is_some() {
            return Err(said);
        }
        flow.container = Some(container);
        flow.upload = Some(upload);
        Ok(())
    }

    pub(super) async fn finish(self) -> Result<(), Refused> {
        let upload = poll_fn(|cx| self.0.lock().poll_all(cx)).await;
        let container = {
            let mut flow = self.0.lock();
            flow.give_up();
            flow.container.take()
        };
        let upload = upload?;
        let finished = upload.finish(Condition::Any, UnixMillis::now()).await;
        match (finished, container) {
            (Err(error), Some(container)) => Err(container.refused(&error)),
            _ => Ok(()),
        }
    }

    /// The guest has dropped it unfinished.
    pub(super) fn give_up(&self) {
        self.0.lock().give_up();
    }
}

/// The `output-stream` of an `outgoing-value`.
pub(super) struct WriteStream(Arc<Mutex<Flow>>);

#[async_trait]
impl Pollable for WriteStream {
    async fn ready(&mut self) {
        poll_fn(|cx| self.0.lock().poll_room(cx)).await;
    }
}

#[async_trait]
impl OutputStream for WriteStream {
    fn check_write(&mut self) -> StreamResult<usize> {
        let flow = self.0.lock();
        if let Some(refused) = &flow.refused {
            return Err(StreamError::LastOperationFailed(wasmtime::format_err!(
                "{refused}"
            )));
        }
        if flow.ended {
            return Err(StreamError::Closed);
        }
        Ok(flow.room())
    }

    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        if bytes.len() > self.check_write()? {
            return Err(StreamError::trap(
                "`write` of more bytes than `check-write` permitted",
            ));
        }
        self.0.lock().buffer.extend_from_slice(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        // It is on its way: `finish` waits for the end of it.
        self.check_write().map(drop)
    }
}
