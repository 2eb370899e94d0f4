//! A blob on its way to a client: a piece is read while the one before is taken.
//!
//! Owns how slowly a client may take it: over HTTP/2 a connection may be busy while one of its answers isn't read at all,
//! and such an answer keeps a turn from others.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Bytes;
use everwarm_store::blobs::{BlobError, Download};
use http_body::{Body, Frame, SizeHint};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::super::pace::earned;

/// How long a client may leave a piece, and how far it may be behind the pace of bodies.
const STALL_TIME_MAX: Duration = Duration::from_mins(1);

type Pieces = mpsc::Sender<Result<Bytes, BlobError>>;

/// An answer that isn't all of the blob, or of the part of it.
#[derive(Debug, thiserror::Error)]
#[error("the blob broke off")]
pub(super) struct BrokeOff(#[source] Option<BlobError>);

/// See the module's documentation.
pub(super) struct Outgoing {
    pieces: mpsc::Receiver<Result<Bytes, BlobError>>,
    left: u64,
    reading: JoinHandle<()>,
}

impl Outgoing {
    /// Reads a blob for a client, which has its `turn` for as long.
    pub(super) fn start(download: Box<dyn Download>, turn: impl Send + 'static) -> Self {
        let (given, pieces) = mpsc::channel(1);
        let range = download.range();
        let reading = tokio::spawn(async move {
            read(download, given).await;
            drop(turn);
        });
        Self {
            pieces,
            left: range.end - range.start,
            reading,
        }
    }
}

/// Until all is taken, or the client has left, or is too slow.
async fn read(mut download: Box<dyn Download>, given: Pieces) {
    let mut left = STALL_TIME_MAX;
    while let Some(piece) = download.read().await.transpose() {
        if let Err(error) = &piece {
            tracing::error!(error = error as &dyn std::error::Error, "a blob broke off");
        }
        let bytes = piece.as_ref().ok().map(|piece| piece.len() as u64);
        let start = Instant::now();
        let sent = timeout(left, given.send(piece)).await;
        let (Some(bytes), Ok(Ok(()))) = (bytes, sent) else {
            return;
        };
        // Only waiting for the client counts, and nobody saves time up.
        left = left.saturating_sub(start.elapsed()) + earned(bytes);
        left = left.min(STALL_TIME_MAX);
    }
    // The last piece is still on its way.
    let _ = timeout(left, given.closed()).await;
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = BrokeOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokeOff>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        Poll::Ready(Some(match ready!(self.pieces.poll_recv(cx)) {
            Some(Ok(piece)) => {
                self.left = self.left.saturating_sub(piece.len() as u64);
                Ok(Frame::data(piece))
            }
            Some(Err(error)) => Err(BrokeOff(Some(error))),
            None => Err(BrokeOff(None)),
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use everwarm_store::StoreFuture;
    use everwarm_store::blobs::{Blob, BlobName, Etag};
    use everwarm_store::catalog::UnixMillis;
    use http_body_util::BodyExt as _;
    use tokio::sync::oneshot;

    use super::*;

    /// A blob of so many pieces of a byte, of which the last can't be read.
    struct Bytewise {
        blob: Blob,
        left: u64,
        is_damaged: bool,
    }

    impl Bytewise {
        fn boxed(size: u64, is_damaged: bool) -> Box<dyn Download> {
            let blob = Blob {
                name: BlobName::new("a").unwrap(),
                size,
                etag: Etag::new("a"),
                content_type: None,
                created: UnixMillis(0),
            };
            Box::new(Self {
                blob,
                left: size,
                is_damaged,
            })
        }
    }

    impl Download for Bytewise {
        fn blob(&self) -> &Blob {
            &self.blob
        }

        fn range(&self) -> Range<u64> {
            0..self.blob.size
        }

        fn read(&mut self) -> StoreFuture<'_, Result<Option<Bytes>, BlobError>> {
            Box::pin(async move {
                if self.left == 0 {
                    return Ok(None);
                }
                self.left -= 1;
                if self.left == 0 && self.is_damaged {
                    return Err(BlobError::Damaged {
                        reason: "other bytes".to_owned(),
                    });
                }
                Ok(Some(Bytes::from_static(b"x")))
            })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn client_that_leaves_a_piece_for_too_long_is_given_up() {
        let (turn, returned) = oneshot::channel::<()>();
        let mut body = Outgoing::start(Bytewise::boxed(100, false), turn);
        assert!(body.frame().await.unwrap().is_ok());
        returned.await.unwrap_err();
        // What was read already comes, and then no end.
        assert!(body.frame().await.unwrap().is_ok());
        assert!(body.frame().await.unwrap().is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn client_that_takes_piece_after_piece_too_slowly_is_given_up() {
        let (turn, returned) = oneshot::channel::<()>();
        let mut body = Outgoing::start(Bytewise::boxed(100, false), turn);
        let mut taken = 0;
        while body.frame().await.unwrap().is_ok() {
            taken += 1;
            tokio::time::sleep(STALL_TIME_MAX / 6).await;
        }
        // Six in a minute, and those that were read already.
        assert!((7..=9).contains(&taken), "{taken}");
        returned.await.unwrap_err();
    }

    #[tokio::test(start_paused = true)]
    async fn turn_is_given_back_with_the_body() {
        let (turn, mut returned) = oneshot::channel::<()>();
        let body = Outgoing::start(Bytewise::boxed(2, false), turn);
        assert_eq!(body.size_hint().exact(), Some(2));
        let mut body = Box::pin(body);
        assert!(body.frame().await.unwrap().is_ok());
        tokio::time::sleep(STALL_TIME_MAX / 2).await;
        assert!(returned.try_recv() == Err(oneshot::error::TryRecvError::Empty));
        assert!(body.frame().await.unwrap().is_ok());
        assert!(body.frame().await.is_none());
        drop(body);
        returned.await.unwrap_err();
    }

    #[tokio::test]
    async fn blob_that_can_not_be_read_breaks_off() {
        let mut body = Outgoing::start(Bytewise::boxed(2, true), ());
        assert!(body.frame().await.unwrap().is_ok());
        assert!(body.frame().await.unwrap().is_err());
    }
}
