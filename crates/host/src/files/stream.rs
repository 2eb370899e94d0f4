//! A file as an `input-stream` of `wasi:io`: read ahead by no byte, held by none.
//!
//! What a stream needs is brought into what the node keeps of files, and taken from there. So a stream itself has no bytes,
//! however many of them a guest opens.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::{InputStream, Pollable, StreamError, StreamResult};

use super::contents::Piece;
use super::descriptor::File;
use super::tree::FileError;

type Bringing = Pin<Box<dyn Future<Output = Result<Option<Piece>, FileError>> + Send>>;

/// Reads a file from one byte to its end, piece by piece.
pub(super) struct Reading {
    file: File,
    at: u64,
    bringing: Option<Bringing>,
}

impl Reading {
    /// From this byte on.
    pub(super) fn new(file: File, at: u64) -> Self {
        Self {
            file,
            at,
            bringing: None,
        }
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.at >= self.file.contents().length()
    }

    /// The next bytes, if they are in memory. They count as read.
    pub(super) fn take(&mut self, len_max: usize) -> Option<Bytes> {
        let piece = self.file.contents().at_hand(self.at)?;
        Some(self.taken(&piece, len_max))
    }

    fn taken(&mut self, piece: &Piece, len_max: usize) -> Bytes {
        let bytes = piece.bytes(len_max);
        self.at += bytes.len() as u64;
        bytes
    }

    /// Ready with what comes next; none at the end.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Piece>, FileError>> {
        if self.is_at_end() {
            return Poll::Ready(Ok(None));
        }
        if self.bringing.is_none()
            && let Some(piece) = self.file.contents().at_hand(self.at)
        {
            return Poll::Ready(Ok(Some(piece)));
        }
        let bringing = self.bringing.get_or_insert_with(|| {
            let (file, at) = (self.file.clone(), self.at);
            Box::pin(async move { file.bring(at).await })
        });
        let brought = ready!(bringing.as_mut().poll(cx));
        self.bringing = None;
        Poll::Ready(brought)
    }

    /// Ready with the next bytes, which count as read; none at the end.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        len_max: usize,
    ) -> Poll<Result<Option<Bytes>, FileError>> {
        let piece = ready!(self.poll_piece(cx))?;
        Poll::Ready(Ok(piece.map(|piece| self.taken(&piece, len_max))))
    }
}

/// See the module's documentation.
pub(super) struct ReadStream {
    reading: Reading,
    failed: Option<FileError>,
}

impl ReadStream {
    pub(super) fn new(reading: Reading) -> Self {
        Self {
            reading,
            failed: None,
        }
    }

    /// At most as many bytes as one call gives a guest.
    fn len_max(size: usize) -> usize {
        size.min(everwarm_bundle::PIECE_BYTES)
    }

    fn over(&self) -> StreamError {
        match self.failed {
            None => StreamError::Closed,
            Some(error) => StreamError::LastOperationFailed(error.into()),
        }
    }
}

#[async_trait]
impl Pollable for ReadStream {
    async fn ready(&mut self) {
        if self.failed.is_none()
            && let Err(error) = poll_fn(|cx| self.reading.poll_piece(cx)).await
        {
            self.failed = Some(error);
        }
    }
}

#[async_trait]
impl InputStream for ReadStream {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        if self.failed.is_some() || self.reading.is_at_end() {
            return Err(self.over());
        }
        // What has gone again since the guest was told that it is there comes once more.
        Ok(self.reading.take(Self::len_max(size)).unwrap_or_default())
    }

    async fn blocking_read(&mut self, size: usize) -> StreamResult<Bytes> {
        if self.failed.is_some() {
            return Err(self.over());
        }
        match poll_fn(|cx| self.reading.poll_read(cx, Self::len_max(size))).await {
            Ok(Some(bytes)) => Ok(bytes),
            Ok(None) => Err(StreamError::Closed),
            Err(error) => {
                self.failed = Some(error);
                Err(self.over())
            }
        }
    }
}
