//! The body of a response, and the guest that is still writing it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::Call;
use crate::fault::Fault;
use crate::pipe::{Chunk, Pipe};

/// A response's body. Dropping it before its end cancels the guest.
pub struct GuestBody(Kind);

/// Sees a body on its way. Dropped before it was told the end, it has seen one whose reader left.
pub trait Tap {
    /// Whether the next piece may come: whoever writes it waits until then.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let _ = cx;
        Poll::Ready(())
    }
    /// A piece of it goes by.
    fn take(&mut self, bytes: &Bytes);
    /// All of it has gone by, and there is nothing behind it.
    fn complete(self: Box<Self>);
    /// There is no more of it, and it isn't whole by itself: it broke off, or there are trailers.
    fn fail(self: Box<Self>);
}

/// A body that no guest writes, and that isn't there yet.
pub trait OtherBody: Body<Data = Bytes, Error = Fault> {
    /// When it ends, whoever hasn't taken all of it by then.
    fn deadline(&self) -> Instant;
}

enum Kind {
    Full(Option<Bytes>),
    Streaming(Box<Streaming>),
    Other(Pin<Box<dyn OtherBody>>),
}

struct Streaming {
    call: Option<Call>,
    pipe: Arc<Pipe>,
    /// Bytes of the declared length that were not handed out yet. A server stops asking once it
    /// has them all: that is no client that left.
    left: Option<u64>,
    tap: Option<Box<dyn Tap>>,
}

impl GuestBody {
    /// A body that is there already.
    pub fn full(bytes: Bytes) -> Self {
        Self(Kind::Full((!bytes.is_empty()).then_some(bytes)))
    }

    /// A body that comes from elsewhere.
    pub fn other(body: Pin<Box<dyn OtherBody>>) -> Self {
        Self(Kind::Other(body))
    }

    /// How long it is, if it is there already.
    pub fn whole_len(&self) -> Option<usize> {
        match &self.0 {
            Kind::Full(bytes) => Some(bytes.as_ref().map_or(0, Bytes::len)),
            Kind::Streaming(_) | Kind::Other(_) => None,
        }
    }

    /// All of it, if it is there already.
    ///
    /// # Errors
    ///
    /// The body as it was, when it is still to come.
    pub fn into_whole(self) -> Result<Bytes, Self> {
        match self.0 {
            Kind::Full(bytes) => Ok(bytes.unwrap_or_default()),
            other @ (Kind::Streaming(_) | Kind::Other(_)) => Err(Self(other)),
        }
    }

    /// Whether all of it was asked for: a server doesn't ask once more for an end that it knows.
    pub fn is_handed_over(&self) -> bool {
        match &self.0 {
            Kind::Full(bytes) => bytes.is_none(),
            Kind::Streaming(streaming) => streaming.call.is_none() || streaming.left == Some(0),
            Kind::Other(body) => body.is_end_stream(),
        }
    }

    /// When its request's wall time is over, if it is still to come.
    pub fn deadline(&self) -> Option<Instant> {
        match &self.0 {
            Kind::Full(_) => None,
            Kind::Streaming(streaming) => Some(streaming.call.as_ref()?.deadline.at),
            Kind::Other(body) => Some(body.deadline()),
        }
    }

    /// Ends the request, whose wall time is over, without anybody asking for the rest of its body: a client that
    /// takes nothing has a server ask for nothing.
    pub fn expire(mut self) {
        if let Kind::Streaming(streaming) = &mut self.0 {
            streaming.break_off(Fault::WallLimit);
        }
    }

    /// Has somebody see the rest of it go by. One that is there already goes by at once.
    #[must_use]
    pub fn tapped(mut self, mut tap: Box<dyn Tap>) -> Self {
        match &mut self.0 {
            Kind::Full(bytes) => {
                if let Some(bytes) = bytes {
                    tap.take(bytes);
                }
                tap.complete();
            }
            Kind::Streaming(streaming) => streaming.tap = Some(tap),
            // What is read from elsewhere isn't kept again.
            Kind::Other(_) => {}
        }
        self
    }

    pub(super) fn streaming(call: Call, pipe: Arc<Pipe>) -> Self {
        let left = pipe.declared();
        Self(Kind::Streaming(Box::new(Streaming {
            call: Some(call),
            pipe,
            left,
            tap: None,
        })))
    }
}

impl Body for GuestBody {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        match &mut self.get_mut().0 {
            Kind::Full(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Kind::Streaming(streaming) => streaming.poll_frame(cx),
            Kind::Other(body) => body.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Full(bytes) => bytes.is_none(),
            Kind::Streaming(_) => false,
            Kind::Other(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Full(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64)),
            Kind::Streaming(_) => SizeHint::default(),
            Kind::Other(body) => body.size_hint(),
        }
    }
}

impl Streaming {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        let Some(call) = &mut self.call else {
            return Poll::Ready(None);
        };
        call.guest.poll_on(cx);
        let tap = self.tap.as_mut();
        let read = match tap.map(|tap| tap.poll_ready(cx)) {
            Some(Poll::Pending) => Poll::Pending,
            Some(Poll::Ready(())) | None => self.pipe.poll_read(cx),
        };
        match read {
            Poll::Ready(Chunk::Data(bytes)) => {
                self.left = self
                    .left
                    .map(|left| left.saturating_sub(bytes.len() as u64));
                if let Some(mut tap) = self.tap.take() {
                    tap.take(&bytes);
                    // Whoever has all that was declared may ask again before anybody looks for an end.
                    if self.left == Some(0) {
                        tap.complete();
                    } else {
                        self.tap = Some(tap);
                    }
                }
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Poll::Ready(Chunk::End(trailers)) => {
                match self.tap.take() {
                    Some(tap) if trailers.is_none() => tap.complete(),
                    Some(tap) => tap.fail(),
                    None => {}
                }
                call.guest.complete(self.pipe.written());
                self.call = None;
                Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))))
            }
            Poll::Ready(Chunk::Broken(fault)) => Poll::Ready(Some(Err(self.break_off(fault)))),
            Poll::Pending => {
                std::task::ready!(call.deadline.poll(cx));
                Poll::Ready(Some(Err(self.break_off(Fault::WallLimit))))
            }
        }
    }

    fn break_off(&mut self, fault: Fault) -> Fault {
        if let Some(mut call) = self.call.take() {
            call.guest.break_off(self.pipe.written(), fault.clone());
        }
        if let Some(tap) = self.tap.take()
            && !matches!(fault, Fault::ClientGone)
        {
            tap.fail();
        }
        fault
    }
}

impl Drop for Streaming {
    fn drop(&mut self) {
        if self.left == Some(0)
            && let Some(mut call) = self.call.take()
        {
            self.pipe.throw_away();
            call.guest.complete(self.pipe.written());
        }
        self.pipe.close_reader();
        self.break_off(Fault::ClientGone);
    }
}
