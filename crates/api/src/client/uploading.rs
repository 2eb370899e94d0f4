//! Requests whose bodies aren't there whole before they are sent.
//!
//! Owns that a node that refuses does so before it is sent what it doesn't want (RFC 9110, section 10.1.1), and that a body
//! that breaks off is never taken for the whole.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body_util::Either;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::sync::{Notify, mpsc};
use tokio::time::{sleep, timeout};

use super::{ANSWER_TIME_MAX, Client, ClientError};

/// How long a node is waited for that doesn't say that it wants the body. A proxy may not know how to.
const GO_TIME_MAX: Duration = Duration::from_secs(1);

/// Where the bytes of an upload come from.
pub trait Source: Send {
    /// How many there are, if that is known.
    fn size(&self) -> Option<u64>;

    /// The next of them; `None` when those were all.
    fn piece(&mut self) -> impl Future<Output = io::Result<Option<Bytes>>> + Send;
}

impl Source for Bytes {
    fn size(&self) -> Option<u64> {
        Some(self.len() as u64)
    }

    async fn piece(&mut self) -> io::Result<Option<Bytes>> {
        let piece = std::mem::take(self);
        Ok((!piece.is_empty()).then_some(piece))
    }
}

/// An upload that didn't succeed.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// There are no more bytes to be had, and these aren't all.
    #[error("what is to be sent can't be read")]
    Source(#[source] io::Error),
    /// The node didn't take it.
    #[error(transparent)]
    Client(#[from] ClientError),
}

/// What is sent: a piece, or that those were all.
type Piece = Option<Bytes>;

/// A body that comes piece by piece.
pub(super) struct Pieces {
    come: mpsc::Receiver<Piece>,
    left: Option<u64>,
    is_over: bool,
}

/// The sender of a body was dropped before its end, or it has other bytes than were said.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the upload was given up")]
pub(super) struct GivenUp;

impl Pieces {
    /// The same, if it is within what was said.
    fn check(&mut self, piece: Piece) -> Option<Piece> {
        if let Some(left) = &mut self.left {
            let bytes = piece.as_ref().map_or(*left, |piece| piece.len() as u64);
            let is_whole = piece.is_some() || *left == 0;
            *left = left.checked_sub(bytes).filter(|_| is_whole)?;
        }
        Some(piece)
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = GivenUp;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, GivenUp>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        let next = ready!(self.come.poll_recv(cx)).and_then(|piece| self.check(piece));
        let Some(piece) = next else {
            self.is_over = true;
            return Poll::Ready(Some(Err(GivenUp)));
        };
        self.is_over = piece.is_none();
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.is_over
    }

    fn size_hint(&self) -> SizeHint {
        self.left
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl Client {
    /// Sends a request with what a source gives as its body, and reads the answer.
    pub(super) async fn upload(
        &self,
        request: Request<()>,
        mut source: impl Source,
    ) -> Result<Response<Bytes>, UploadError> {
        let (send, come) = mpsc::channel(1);
        let mut request = request.map(|()| {
            Either::Right(Pieces {
                come,
                left: source.size(),
                is_over: false,
            })
        });
        let expect = HeaderValue::from_static("100-continue");
        request.headers_mut().insert(header::EXPECT, expect);
        let go = Arc::new(Notify::new());
        let told = Arc::clone(&go);
        hyper::ext::on_informational(&mut request, move |_| told.notify_one());

        let mut answer = std::pin::pin!(self.http.request(request));
        let feeding = async {
            let _ = timeout(GO_TIME_MAX, go.notified()).await;
            self.feed(&mut source, &send).await
        };
        let early = tokio::select! {
            answer = &mut answer => Some(answer),
            fed = feeding => { fed?; None }
        };
        let answer = match early {
            Some(answer) => answer,
            None => timeout(ANSWER_TIME_MAX, answer)
                .await
                .map_err(|_| self.no_answer(ANSWER_TIME_MAX))?,
        };
        let answer = answer.map_err(|error| self.unreached(&error))?;
        Ok(self.answered(answer).await?)
        // A sender that is dropped before the end of the body ends the connection.
    }

    async fn answered(&self, answer: Response<Incoming>) -> Result<Response<Bytes>, ClientError> {
        let whole = timeout(ANSWER_TIME_MAX, self.whole(answer)).await;
        whole.unwrap_or_else(|_| Err(self.no_answer(ANSWER_TIME_MAX)))
    }

    /// Hands over piece after piece, each when the node has taken those before. Once the connection takes no more it
    /// waits: the answer says why.
    async fn feed(
        &self,
        source: &mut impl Source,
        send: &mpsc::Sender<Piece>,
    ) -> Result<(), UploadError> {
        loop {
            let piece = source.piece().await.map_err(UploadError::Source)?;
            let is_last = piece.is_none();
            match timeout(ANSWER_TIME_MAX, send.send(piece)).await {
                Ok(Ok(())) if is_last => return Ok(()),
                Ok(Ok(())) => {}
                Ok(Err(_)) => {
                    sleep(ANSWER_TIME_MAX).await;
                    return Err(self.no_answer(ANSWER_TIME_MAX).into());
                }
                Err(_) => return Err(self.broke_off(&"the upload came to a halt").into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    /// What a body of so many bytes makes of these pieces; `None` when it breaks off.
    async fn sent(said: Option<u64>, pieces: &[&'static str], is_ended: bool) -> Option<Bytes> {
        let (send, receive) = mpsc::channel(pieces.len() + 1);
        for piece in pieces {
            send.try_send(Some(Bytes::from_static(piece.as_bytes())))
                .unwrap();
        }
        if is_ended {
            send.try_send(None).unwrap();
        }
        drop(send);
        let body = Pieces {
            come: receive,
            left: said,
            is_over: false,
        };
        body.collect()
            .await
            .ok()
            .map(http_body_util::Collected::to_bytes)
    }

    #[tokio::test]
    async fn body_is_what_was_said_or_breaks_off() {
        let whole = Some(Bytes::from_static(b"abc"));
        assert_eq!(sent(Some(3), &["ab", "c"], true).await, whole);
        assert_eq!(sent(None, &["ab", "c"], true).await, whole);
        assert_eq!(sent(Some(0), &[], true).await, Some(Bytes::new()));
        for (said, is_ended) in [
            (Some(2), true),
            (Some(4), true),
            (Some(3), false),
            (None, false),
        ] {
            assert_eq!(sent(said, &["ab", "c"], is_ended).await, None, "{said:?}");
        }
    }
}
