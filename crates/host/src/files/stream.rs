//! A file as an `input-stream` of `wasi:io`: read ahead by no byte.
//!
//! What a stream needs is brought into what the node keeps of files, and taken from there. So a stream itself has no bytes,
//! however many of them a guest opens, but for those that a guest was told are there: these stay until it takes them, for
//! so many streams of a function as may have some ([`File::hold`]).

use bytes::Bytes;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::{InputStream, Pollable, StreamError, StreamResult};

use super::contents::Piece;
use super::descriptor::{File, Ready};
use super::tree::FileError;

/// Reads a file from one byte to its end, piece by piece.
pub(super) struct Reading {
    file: File,
    at: u64,
}

impl Reading {
    /// From this byte on.
    pub(super) fn new(file: File, at: u64) -> Self {
        Self { file, at }
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.at >= self.file.contents().length()
    }

    /// What comes next, if it is in memory.
    pub(super) fn at_hand(&self) -> Option<Piece> {
        self.file.contents().at_hand(self.at)
    }

    /// What comes next; none at the end. Whoever waits may go, or be left half-way: it comes all the same.
    pub(super) fn bring(
        &self,
    ) -> impl Future<Output = Result<Option<Piece>, FileError>> + Send + use<> {
        let (file, at) = (self.file.clone(), self.at);
        async move { file.bring(at).await }
    }

    /// The first bytes of what comes next. They count as read.
    pub(super) fn take(&mut self, piece: &Piece, len_max: usize) -> Bytes {
        let bytes = piece.bytes(len_max);
        self.at += bytes.len() as u64;
        bytes
    }
}

/// See the module's documentation.
pub(super) struct ReadStream {
    reading: Reading,
    /// What the guest was told is there.
    ready: Option<Ready>,
    failed: Option<FileError>,
}

impl ReadStream {
    pub(super) fn new(reading: Reading) -> Self {
        Self {
            reading,
            ready: None,
            failed: None,
        }
    }

    /// At most as many bytes as one call gives a guest.
    fn len_max(size: usize) -> usize {
        size.min(everwarm_bundle::PIECE_BYTES)
    }

    /// What comes next, without a wait.
    fn next(&mut self) -> Option<Piece> {
        let ready = self.ready.take().map(Ready::into_piece);
        ready.or_else(|| self.reading.at_hand())
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
        if self.failed.is_some() || self.ready.is_some() {
            return;
        }
        match self.reading.bring().await {
            Ok(Some(piece)) => self.ready = self.reading.file.hold(piece),
            Ok(None) => {}
            Err(error) => self.failed = Some(error),
        }
    }
}

#[async_trait]
impl InputStream for ReadStream {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        if self.failed.is_some() || self.reading.is_at_end() {
            return Err(self.over());
        }
        if size == 0 {
            return Ok(Bytes::new());
        }
        let Some(piece) = self.next() else {
            // It wasn't held, and has gone again since the guest was told of it: it comes once more.
            return Ok(Bytes::new());
        };
        Ok(self.reading.take(&piece, Self::len_max(size)))
    }

    async fn blocking_read(&mut self, size: usize) -> StreamResult<Bytes> {
        if self.failed.is_some() || self.reading.is_at_end() {
            return Err(self.over());
        }
        if size == 0 {
            return Ok(Bytes::new());
        }
        let piece = match self.next() {
            Some(piece) => Ok(Some(piece)),
            None => self.reading.bring().await,
        };
        match piece {
            Ok(Some(piece)) => Ok(self.reading.take(&piece, Self::len_max(size))),
            Ok(None) => Err(StreamError::Closed),
            Err(error) => {
                self.failed = Some(error);
                Err(self.over())
            }
        }
    }
}
