//! The body of a request that has to go on coming: a client that stops in the middle is waited for only so long.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use everwarm_engine::request::{BodyError, TooSlow};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};

/// A body, and the wait for its next piece. It is only waited for while somebody asks for it: a function that
/// doesn't read costs its client nothing.
pub(super) struct Patient<B = Incoming> {
    body: B,
    limit: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    is_waiting: bool,
}

impl<B> Patient<B> {
    pub(super) fn new(body: B, limit: Duration) -> Self {
        Self {
            body,
            limit,
            timer: None,
            is_waiting: false,
        }
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let began = !std::mem::replace(&mut self.is_waiting, true);
        let limit = self.limit;
        let timer = match &mut self.timer {
            Some(timer) => {
                if began {
                    timer.as_mut().reset(Instant::now() + limit);
                }
                timer
            }
            none => none.insert(Box::pin(tokio::time::sleep(limit))),
        };
        timer.as_mut().poll(cx)
    }
}

impl<B> Body for Patient<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BodyError>,
{
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            self.is_waiting = false;
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        self.poll_timer(cx).map(|()| Some(Err(TooSlow.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http_body_util::{BodyExt as _, StreamBody};
    use tokio::sync::mpsc;

    use super::*;

    type Sender = mpsc::Sender<Bytes>;

    fn body() -> (Sender, impl Body<Data = Bytes, Error = BodyError> + Unpin) {
        let (client_side, mut receiver) = mpsc::channel::<Bytes>(8);
        let frames = futures_util::stream::poll_fn(move |cx| {
            let next = receiver.poll_recv(cx);
            next.map(|bytes| bytes.map(|bytes| Ok::<_, Infallible>(Frame::data(bytes))))
        });
        (
            client_side,
            Patient::new(StreamBody::new(frames), Duration::from_secs(20)),
        )
    }

    #[tokio::test(start_paused = true)]
    async fn each_piece_is_waited_for_anew() {
        let (client_side, mut body) = body();
        let client = async {
            for _ in 0..3 {
                tokio::time::sleep(Duration::from_secs(19)).await;
                client_side.send(Bytes::from_static(b"x")).await.unwrap();
            }
            client_side
        };
        let function = async {
            for _ in 0..3 {
                body.frame().await.unwrap().unwrap();
            }
            body
        };
        let (_sender, mut body) = tokio::join!(client, function);
        // Nobody asks meanwhile.
        tokio::time::sleep(Duration::from_mins(1)).await;
        let asked = Instant::now();
        let error = body.frame().await.unwrap().unwrap_err();
        assert!(error.is::<TooSlow>());
        assert_eq!(asked.elapsed().as_secs(), 20);
    }
}
