//! The body of a response on its way to the client: as the guest gave it, compressed, or a file from the disk.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::{Buf as _, Bytes};
use everwarm_engine::fault::Fault;
use everwarm_engine::invoke::GuestBody;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use super::PIECE_BYTES;
use super::coding::Encoder;

/// See the module's documentation.
pub struct ResponseBody(Kind);

enum Kind {
    AsGiven(GuestBody),
    Compressed(Box<Compressed>),
}

struct Compressed {
    body: GuestBody,
    /// `None` once the body has ended.
    encoder: Option<Encoder>,
    /// Whether each piece goes out as it comes.
    at_once: bool,
    /// What the guest gave and wasn't compressed yet.
    given: Bytes,
    trailers: Option<HeaderMap>,
    /// Whether others come first: a piece was compressed in this turn.
    others_first: bool,
}

impl From<GuestBody> for ResponseBody {
    fn from(body: GuestBody) -> Self {
        Self(Kind::AsGiven(body))
    }
}

impl ResponseBody {
    /// Whether all of it was asked for.
    pub(crate) fn is_handed_over(&self) -> bool {
        match &self.0 {
            Kind::AsGiven(body) => body.is_handed_over(),
            Kind::Compressed(compressed) => compressed.encoder.is_none(),
        }
    }

    /// When its request's wall time is over, if it is still to come.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match &self.0 {
            Kind::AsGiven(body) => body.deadline(),
            Kind::Compressed(compressed) => compressed.body.deadline(),
        }
    }

    /// Ends the request, whose wall time is over.
    pub(crate) fn expire(self) {
        match self.0 {
            Kind::AsGiven(body) => body.expire(),
            Kind::Compressed(compressed) => compressed.body.expire(),
        }
    }

    pub(super) fn compressed(body: GuestBody, encoder: Encoder, at_once: bool) -> Self {
        Self(Kind::Compressed(Box::new(Compressed {
            body,
            encoder: Some(encoder),
            at_once,
            given: Bytes::new(),
            trailers: None,
            others_first: false,
        })))
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        match &mut self.get_mut().0 {
            Kind::AsGiven(body) => Pin::new(body).poll_frame(cx),
            Kind::Compressed(compressed) => compressed.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::AsGiven(body) => body.is_end_stream(),
            Kind::Compressed(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::AsGiven(body) => body.size_hint(),
            Kind::Compressed(_) => SizeHint::default(),
        }
    }
}

impl Compressed {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        loop {
            if self.encoder.is_none() {
                let trailers = self.trailers.take();
                return Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))));
            }
            if !self.given.is_empty() {
                if std::mem::take(&mut self.others_first) {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                match self.piece() {
                    Ok(output) if output.is_empty() => continue,
                    output => return Poll::Ready(Some(output.map(Frame::data))),
                }
            }
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.given = data,
                    Err(frame) => self.trailers = frame.into_trailers().ok(),
                },
                Some(Err(fault)) => return Poll::Ready(Some(Err(fault))),
                None => {
                    let output = self.end();
                    return Poll::Ready(Some(output.map(Frame::data)));
                }
            }
        }
    }

    fn piece(&mut self) -> Result<Bytes, Fault> {
        let Some(encoder) = &mut self.encoder else {
            return Ok(Bytes::new());
        };
        let piece = &self.given[..self.given.len().min(PIECE_BYTES)];
        encoder.take(piece).map_err(broken)?;
        self.given.advance(piece.len());
        if self.at_once && self.given.is_empty() {
            encoder.flush().map_err(broken)?;
        }
        self.others_first = true;
        Ok(encoder.output().into())
    }

    fn end(&mut self) -> Result<Bytes, Fault> {
        let mut output = Vec::new();
        if let Some(encoder) = self.encoder.take() {
            encoder.finish(&mut output).map_err(broken)?;
        }
        Ok(output.into())
    }
}

/// Writing to memory fails only when there is none.
#[expect(clippy::needless_pass_by_value, reason = "as `map_err` gives it")]
fn broken(error: std::io::Error) -> Fault {
    tracing::warn!(%error, "a response could not be compressed");
    Fault::BodyDropped
}
