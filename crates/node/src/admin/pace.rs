//! How slowly a client of the admin API may send and read: a body that stalls or drips ends, and so does a connection
//! whose client doesn't take what it asked for.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes};
use http_body::{Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// How long a body may stall, and how far it may be behind its pace. One frame of it never needs as much.
pub(super) const BODY_TIME_MIN: Duration = Duration::from_secs(10);
/// Its pace: how many bytes earn another second.
const BODY_BYTES_PER_S_MIN: u64 = 64 << 10;
/// How long a client may take nothing of what is sent to it.
const STALL_TIME_MAX: Duration = Duration::from_secs(30);

/// A body that came too slowly.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error(
    "the body came too slowly: it has to come with {} KiB a second, and may be {} s behind that",
    BODY_BYTES_PER_S_MIN >> 10,
    BODY_TIME_MIN.as_secs()
)]
pub(super) struct TooSlow;

/// A request's body that fails with [`TooSlow`]. Its time counts while it is waited for: whoever waits for a turn isn't
/// slow, nor is one whose last piece is still being written.
pub(super) struct Paced {
    body: Body,
    deadline: Option<Pin<Box<Sleep>>>,
    /// What it has left, while nobody waits for it.
    left: Option<Duration>,
    is_read: bool,
}

impl Paced {
    pub(super) fn new(body: Body) -> Self {
        Self {
            body,
            deadline: None,
            left: None,
            is_read: false,
        }
    }

    /// Whether it was asked for: a client that waits for that sends it from then on.
    pub(super) fn is_begun(&self) -> bool {
        self.deadline.is_some()
    }
}

impl http_body::Body for Paced {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        let deadline = this
            .deadline
            .get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + BODY_TIME_MIN)));
        if let Some(left) = this.left.take() {
            deadline.as_mut().reset(Instant::now() + left);
        }
        // Before the body is looked at: one that drips is ready again and again.
        if deadline.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Some(Err(axum::Error::new(TooSlow))));
        }
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            let left = deadline
                .deadline()
                .saturating_duration_since(Instant::now());
            // Nobody saves time up: whoever sent much may stall no longer than others.
            this.left = Some((left + earned(data.len() as u64)).min(BODY_TIME_MIN));
        }
        this.is_read |= frame.is_none();
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.is_read || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The time that so many bytes may take.
pub(super) fn earned(bytes: u64) -> Duration {
    Duration::from_micros(bytes.saturating_mul(1_000_000) / BODY_BYTES_PER_S_MIN)
}

/// A connection that breaks when its client takes nothing for too long.
pub(super) struct Impatient<S> {
    stream: S,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S> Impatient<S> {
    pub(super) fn new(stream: S) -> Self {
        Self {
            stream,
            stalled: None,
        }
    }

    fn bounded<T>(
        &mut self,
        cx: &mut Context<'_>,
        polled: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.stalled = None;
            return polled;
        }
        let stalled = self
            .stalled
            .get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + STALL_TIME_MAX)));
        ready!(stalled.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Impatient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Impatient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.bounded(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.bounded(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.bounded(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.bounded(cx, shut)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt as _, StreamBody};

    use super::*;

    /// A body that sends so many bytes each second for ever.
    fn steady(bytes: usize) -> Body {
        let frames = futures_util::stream::unfold((), move |()| async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let frame = Frame::data(Bytes::from(vec![0; bytes]));
            Some((Ok::<_, std::convert::Infallible>(frame), ()))
        });
        Body::new(StreamBody::new(frames))
    }

    /// For how many seconds it is read, at most a thousand.
    async fn lasts(body: Body) -> u64 {
        let start = Instant::now();
        let mut paced = Paced::new(body);
        for _ in 0..1_000 {
            match paced.frame().await {
                Some(Ok(_)) => {}
                Some(Err(error)) => {
                    let cause = std::error::Error::source(&error).unwrap();
                    assert!(cause.is::<TooSlow>(), "{error}");
                    break;
                }
                None => break,
            }
        }
        start.elapsed().as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn body_that_stalls_or_drips_ends_and_one_that_flows_goes_on() {
        let stalled = Body::new(StreamBody::new(futures_util::stream::pending::<
            Result<Frame<Bytes>, std::convert::Infallible>,
        >()));
        assert_eq!(lasts(stalled).await, 10);
        assert_eq!(lasts(steady(1)).await, 10);
        assert_eq!(lasts(steady(32 << 10)).await, 19);
        assert_eq!(lasts(steady(64 << 10)).await, 1_000);
    }

    #[tokio::test(start_paused = true)]
    async fn body_that_flows_and_then_stalls_ends_as_soon_as_one_that_stalls_at_once() {
        use futures_util::StreamExt as _;

        let flows = steady(1 << 20).into_data_stream().take(10);
        let frames = flows.map(|piece| piece.map(Frame::data));
        let stalls = futures_util::stream::pending();
        let body = Body::new(StreamBody::new(frames.chain(stalls)));
        assert_eq!(lasts(body).await, 20);
    }

    #[tokio::test(start_paused = true)]
    async fn body_is_over_once_it_was_read_to_its_end() {
        // Of one without a length, what is inside doesn't know.
        let frames = futures_util::stream::iter([Ok::<_, std::convert::Infallible>(Frame::data(
            Bytes::from_static(b"x"),
        ))]);
        let mut paced = Paced::new(Body::new(StreamBody::new(frames)));
        assert!(paced.frame().await.unwrap().is_ok());
        assert!(!http_body::Body::is_end_stream(&paced));
        assert!(paced.frame().await.is_none());
        assert!(http_body::Body::is_end_stream(&paced));
    }

    #[tokio::test(start_paused = true)]
    async fn time_in_which_nobody_waits_for_the_body_is_not_its_own() {
        let mut paced = Paced::new(steady(1));
        let mut frames = 0;
        while paced.frame().await.unwrap().is_ok() {
            frames += 1;
            tokio::time::sleep(BODY_TIME_MIN).await;
        }
        // Each was waited for a second.
        assert!((9..=10).contains(&frames), "{frames}");
    }

    #[tokio::test(start_paused = true)]
    async fn client_that_takes_nothing_is_given_up() {
        let (near, _far) = tokio::io::duplex(16);
        let mut near = Impatient::new(near);
        let written = tokio::io::AsyncWriteExt::write_all(&mut near, &[0; 64]).await;
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
