//! A body that is written from elsewhere: one chunk of room, so that the writer keeps the reader's
//! pace. It doesn't know who reads.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body::{Body, Frame};

use crate::body::BodyError;

/// The writing half of [`Body::channel`](crate::Body::channel). Dropping it ends the body.
#[derive(Debug)]
pub struct Sender(Arc<Mutex<State>>);

/// The reader has gone: the client left, or the response was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed;

/// The reading half, which is inside a `Body`.
pub(crate) struct Receiver(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    chunk: Option<Result<Bytes, BodyError>>,
    sender_gone: bool,
    receiver_gone: bool,
    sender: Option<Waker>,
    receiver: Option<Waker>,
}

pub(crate) fn channel() -> (Sender, Receiver) {
    let state = Arc::new(Mutex::new(State::default()));
    (Sender(Arc::clone(&state)), Receiver(state))
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    // No code of ours panics with the lock held, and the state is valid after every statement.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Sender {
    /// Sends a chunk, after the one before it was taken.
    ///
    /// # Errors
    /// [`Closed`] when nobody reads any more.
    pub async fn send(&mut self, chunk: impl Into<Bytes>) -> Result<(), Closed> {
        self.put(Ok(chunk.into())).await
    }

    /// Breaks the body off: the client sees a response that was cut short.
    ///
    /// # Errors
    /// [`Closed`] when nobody reads any more.
    pub async fn fail(
        mut self,
        error: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Result<(), Closed> {
        self.put(Err(BodyError::new(error))).await
    }

    async fn put(&mut self, chunk: Result<Bytes, BodyError>) -> Result<(), Closed> {
        let mut chunk = Some(chunk);
        std::future::poll_fn(move |context| {
            let mut state = lock(&self.0);
            if state.receiver_gone {
                return Poll::Ready(Err(Closed));
            }
            if state.chunk.is_some() {
                state.sender = Some(context.waker().clone());
                return Poll::Pending;
            }
            state.chunk = chunk.take();
            let reader = state.receiver.take();
            drop(state);
            if let Some(reader) = reader {
                reader.wake();
            }
            Poll::Ready(Ok(()))
        })
        .await
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        let mut state = lock(&self.0);
        state.sender_gone = true;
        let reader = state.receiver.take();
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let mut state = lock(&self.0);
        state.receiver_gone = true;
        let writer = state.sender.take();
        drop(state);
        if let Some(writer) = writer {
            writer.wake();
        }
    }
}

impl Body for Receiver {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut state = lock(&self.0);
        let Some(chunk) = state.chunk.take() else {
            if state.sender_gone {
                return Poll::Ready(None);
            }
            state.receiver = Some(context.waker().clone());
            return Poll::Pending;
        };
        let writer = state.sender.take();
        drop(state);
        if let Some(writer) = writer {
            writer.wake();
        }
        Poll::Ready(Some(chunk.map(Frame::data)))
    }
}

impl fmt::Display for Closed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("nobody reads this body any more")
    }
}

impl std::error::Error for Closed {}

#[cfg(test)]
mod tests {
    use std::future::Future as _;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::Closed;
    use crate::Body;
    use crate::testing::block_on;

    #[test]
    fn a_second_chunk_waits_until_the_first_is_taken() {
        let (mut sender, mut body) = Body::channel();
        block_on(sender.send("one")).expect("the reader is there");
        let mut context = Context::from_waker(Waker::noop());
        {
            let mut second = pin!(sender.send("two"));
            assert!(second.as_mut().poll(&mut context).is_pending());
            let first = block_on(body.chunk()).expect("a chunk").expect("no error");
            assert_eq!(first, "one");
            assert_eq!(second.poll(&mut context), Poll::Ready(Ok(())));
        }
        drop(sender);
        assert_eq!(block_on(body.text()).expect("no error"), "two");
    }

    #[test]
    fn a_dropped_reader_tells_the_sender() {
        let (mut sender, body) = Body::channel();
        drop(body);
        assert_eq!(block_on(sender.send("one")), Err(Closed));
    }

    #[test]
    fn a_failed_sender_breaks_the_body_off() {
        let (sender, body) = Body::channel();
        block_on(sender.fail("the source ran dry")).expect("the reader is there");
        let error = block_on(body.bytes()).expect_err("broken off");
        assert_eq!(error.to_string(), "the source ran dry");
    }
}
