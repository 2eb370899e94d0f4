//! The bodies of requests that a guest sends: those that it writes, and those that it passes on.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::SendError;
use crate::exchange::declared_length;
use crate::fault::Fault;
use crate::fields::Fields;
use crate::pipe::{Chunk, End, Pipe};
use crate::request::{BodyError, ReadEnd, RequestBody, SharedReader};

/// Bytes of a passed-on body that go into one frame at most.
const FRAME_BYTES_MAX: usize = 64 << 10;

/// The body that a guest writes into `pipe`, if it writes one, held to the length that it declares. Without one
/// it can't declare any.
pub(crate) fn written(
    fields: &Fields,
    pipe: Option<Arc<Pipe>>,
    limit: u64,
) -> Result<RequestBody, SendError> {
    // Dropped with an error, it has the guest's writes fail.
    let body = pipe.map(|pipe| Written { pipe, limit });
    let declared = declared_length(fields.map())
        .map_err(|()| SendError::Internal("its Content-Length is no length".into()))?;
    let Some(body) = body else {
        return match declared {
            None | Some(0) => Ok(RequestBody::Empty),
            Some(_) => Err(SendError::BodyBroken),
        };
    };
    body.pipe.attach(declared);
    Ok(RequestBody::Stream(Box::pin(body)))
}

/// A body that came from elsewhere and that goes on unread, if there is any.
pub(crate) fn passed_on(reader: Option<SharedReader>) -> RequestBody {
    match reader {
        Some(reader) if !reader.lock().has_ended() => {
            RequestBody::Stream(Box::pin(Forwarded(reader)))
        }
        _ => RequestBody::Empty,
    }
}

/// A body that a guest writes, as its reader sees it. Dropped, the guest's writes fail.
struct Written {
    pipe: Arc<Pipe>,
    /// What the reader is told when the guest writes more than it may, in bytes.
    limit: u64,
}

impl Written {
    fn error(&self, fault: Fault) -> BodyError {
        match fault {
            Fault::ResponseBodyTooLarge => SendError::RequestBodyTooLarge(self.limit).into(),
            Fault::BodyDropped => SendError::BodyBroken.into(),
            other => other.into(),
        }
    }
}

impl Body for Written {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.pipe.poll_read(cx).map(|chunk| match chunk {
            Chunk::Data(bytes) => Some(Ok(Frame::data(bytes))),
            Chunk::End(trailers) => trailers.map(|trailers| Ok(Frame::trailers(trailers))),
            Chunk::Broken(fault) => Some(Err(self.error(fault))),
        })
    }

    fn size_hint(&self) -> SizeHint {
        self.pipe
            .known_len()
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }

    fn is_end_stream(&self) -> bool {
        self.pipe.known_len() == Some(0)
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        // Who knows the length doesn't ask once more for the end.
        if self.is_end_stream() {
            self.pipe.throw_away();
        } else {
            self.pipe.close_reader();
        }
    }
}

/// See [`passed_on`].
struct Forwarded(SharedReader);

impl Body for Forwarded {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut reader = self.0.lock();
        std::task::ready!(reader.poll_ready(cx));
        Poll::Ready(match reader.read(FRAME_BYTES_MAX) {
            Ok(bytes) => Some(Ok(Frame::data(bytes))),
            Err(ReadEnd::Complete) => match reader.trailers() {
                Some(Ok(Some(trailers))) => Some(Ok(Frame::trailers(trailers))),
                _ => None,
            },
            Err(ReadEnd::Broken(broken)) => Some(Err(match broken.code {
                Some(code) => code.into(),
                None => SendError::BodyBroken.into(),
            })),
        })
    }
}

/// Breaks a body off when whoever writes it is gone, with an instance that ended for instance. One that has
/// ended stays as it ended.
pub(crate) struct BreakOff(pub(crate) Arc<Pipe>);

impl Drop for BreakOff {
    fn drop(&mut self) {
        let _ = self.0.end(End::Broken(Fault::BodyDropped));
    }
}
