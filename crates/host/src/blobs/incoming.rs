//! A blob on its way to a guest: as pieces that it asks for, or as a stream of `wasi:io`.
//!
//! Owns that nothing is read before the guest wants it, but for the piece that it reads from.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use everwarm_store::StoreFuture;
use everwarm_store::blobs::{Blob, BlobError, Download};
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::{InputStream, Pollable, StreamError, StreamResult};

use super::container::{OpenContainer, Refused};

/// Bytes of a value that is read in one go: the host and the guest each have them whole.
pub(super) const WHOLE_BYTES_MAX: u64 = 32 << 20;

/// An `incoming-value`, which nothing was read of.
#[expect(
    unreachable_pub,
    reason = "the generated bindings name it as a public type"
)]
pub struct Value(pub(super) Reading);

/// A blob, or a part of it, that is being read.
#[expect(
    unreachable_pub,
    reason = "the generated bindings name it as a public type"
)]
pub struct Reading {
    container: OpenContainer,
    download: Box<dyn Download>,
    left: u64,
}

impl Reading {
    pub(super) fn new(container: OpenContainer, download: Box<dyn Download>) -> Self {
        let range = download.range();
        Self {
            container,
            left: range.end - range.start,
            download,
        }
    }

    pub(super) fn blob(&self) -> &Blob {
        self.download.blob()
    }

    /// Bytes that are still to be read.
    pub(super) fn left(&self) -> u64 {
        self.left
    }

    pub(super) async fn read(&mut self) -> Result<Option<Bytes>, Refused> {
        let piece = self.download.read().await;
        let piece = piece.map_err(|error| self.container.refused(&error))?;
        let len = piece.as_ref().map_or(0, Bytes::len) as u64;
        self.left = self.left.saturating_sub(len);
        Ok(piece)
    }

    /// All that is left, if it isn't too much.
    pub(super) async fn read_all(mut self) -> Result<Vec<u8>, Refused> {
        if self.left > WHOLE_BYTES_MAX {
            return Err(Refused::TooLarge(format!(
                "it has {} bytes, and {WHOLE_BYTES_MAX} are read in one go: read it as a stream",
                self.left
            )));
        }
        let mut all = Vec::new();
        while let Some(piece) = self.read().await? {
            all.extend_from_slice(&piece);
        }
        Ok(all)
    }

    /// The rest, as a stream.
    pub(super) fn stream(self) -> ReadStream {
        ReadStream {
            piece: Bytes::new(),
            state: State::Waits(self),
        }
    }
}

type Read = (Box<dyn Download>, Result<Option<Bytes>, BlobError>);

enum State {
    Waits(Reading),
    Reads {
        container: OpenContainer,
        reading: StoreFuture<'static, Read>,
    },
    Ended,
    Failed(Refused),
}

/// An `input-stream` over a blob.
pub(super) struct ReadStream {
    piece: Bytes,
    state: State,
}

impl ReadStream {
    /// Ready once there are bytes, or there won't be any.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.piece.is_empty() {
            match std::mem::replace(&mut self.state, State::Ended) {
                State::Waits(Reading {
                    container,
                    mut download,
                    ..
                }) => {
                    let reading = Box::pin(async move {
                        let piece = download.read().await;
                        (download, piece)
                    });
                    self.state = State::Reads { container, reading };
                }
                State::Reads {
                    container,
                    mut reading,
                } => match Pin::new(&mut reading).poll(cx) {
                    Poll::Pending => {
                        self.state = State::Reads { container, reading };
                        return Poll::Pending;
                    }
                    Poll::Ready((download, piece)) => match piece {
                        Ok(Some(piece)) => {
                            self.piece = piece;
                            self.state = State::Waits(Reading {
                                container,
                                download,
                                left: 0,
                            });
                        }
                        Ok(None) => {}
                        Err(error) => self.state = State::Failed(container.refused(&error)),
                    },
                },
                ended @ (State::Ended | State::Failed(_)) => {
                    self.state = ended;
                    return Poll::Ready(());
                }
            }
        }
        Poll::Ready(())
    }
}

#[async_trait]
impl Pollable for ReadStream {
    async fn ready(&mut self) {
        poll_fn(|cx| self.poll_piece(cx)).await;
    }
}

#[async_trait]
impl InputStream for ReadStream {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        if !self.piece.is_empty() {
            let len = size.min(self.piece.len());
            return Ok(self.piece.split_to(len));
        }
        match &self.state {
            State::Waits(_) | State::Reads { .. } => Ok(Bytes::new()),
            State::Ended => Err(StreamError::Closed),
            State::Failed(refused) => Err(StreamError::LastOperationFailed(wasmtime::format_err!(
                "{refused}"
            ))),
        }
    }
}
