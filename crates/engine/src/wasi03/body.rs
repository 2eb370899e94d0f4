//! Bodies of WASI 0.3: component-model streams and futures, tied to the engine's pipe and reader.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame};
use parking_lot::Mutex;
use wasmtime::component::{
    Destination, FutureConsumer, FutureProducer, FutureReader, Resource as Handle, Source,
    StreamConsumer, StreamProducer, StreamReader, StreamResult,
};
use wasmtime::{AsContextMut, StoreContextMut};

use super::bindings::wasi::http::types::{ErrorCode, Trailers as TrailersHandle};
use crate::fault::Fault;
use crate::fields::Fields;
use crate::outbound::BreakOff;
use crate::pipe::{Chunk, End, Pipe};
use crate::request::{BodyError, BodyReader, ReadEnd, RequestBody, SharedReader};
use crate::sandbox::Sandbox;

/// Bytes that one read of a request's body hands to the guest at most.
const READ_BYTES_MAX: usize = 64 << 10;

/// The readable end of a body that a guest writes.
pub(crate) type Contents = StreamReader<u8>;
/// The readable end of the trailers that a guest writes.
pub(crate) type Trailers = FutureReader<TrailersResult>;
pub(crate) type TrailersResult = Result<Option<Handle<TrailersHandle>>, ErrorCode>;

/// Lets the guest's body flow into `pipe`, which ends when both the contents and the trailers have.
/// `break_off` is dropped with the last that writes to it.
pub(crate) fn flow(
    mut store: impl AsContextMut<Data = Sandbox>,
    contents: Option<Contents>,
    trailers: Trailers,
    pipe: &Arc<Pipe>,
    break_off: Option<BreakOff>,
) -> wasmtime::Result<()> {
    let parts = Arc::new(Parts {
        pipe: Arc::clone(pipe),
        state: Mutex::new(PartsState {
            contents_ended: contents.is_none(),
            trailers: None,
        }),
        _break_off: break_off,
    });
    if let Some(contents) = contents {
        contents.pipe(&mut store, IntoPipe(Arc::clone(&parts)))?;
    }
    trailers.pipe(&mut store, IntoTrailers(parts))
}

/// Gives up a body that flows nowhere.
pub(crate) fn close(
    mut store: impl AsContextMut<Data = Sandbox>,
    contents: Option<Contents>,
    mut trailers: Trailers,
) -> wasmtime::Result<()> {
    if let Some(mut contents) = contents {
        contents.close(&mut store)?;
    }
    trailers.close(&mut store)
}

/// A body's two parts, which may end in either order.
struct Parts {
    pipe: Arc<Pipe>,
    state: Mutex<PartsState>,
    _break_off: Option<BreakOff>,
}

struct PartsState {
    contents_ended: bool,
    trailers: Option<Result<Option<HeaderMap>, Fault>>,
}

impl Parts {
    fn end_contents(&self) {
        let mut state = self.state.lock();
        state.contents_ended = true;
        self.end_if_both(state.trailers.take());
    }

    fn end_trailers(&self, trailers: Result<Option<HeaderMap>, Fault>) {
        let mut state = self.state.lock();
        if state.contents_ended || trailers.is_err() {
            self.end_if_both(Some(trailers));
        } else {
            state.trailers = Some(trailers);
        }
    }

    fn end_if_both(&self, trailers: Option<Result<Option<HeaderMap>, Fault>>) {
        // A body shorter than declared breaks the pipe, which its reader hears of.
        let _ = match trailers {
            Some(Ok(trailers)) => self.pipe.end(End::Complete(trailers)),
            Some(Err(fault)) => self.pipe.end(End::Broken(fault)),
            None => Ok(()),
        };
    }
}

struct IntoPipe(Arc<Parts>);

impl Drop for IntoPipe {
    fn drop(&mut self) {
        self.0.end_contents();
    }
}

impl StreamConsumer<Sandbox> for IntoPipe {
    type Item = u8;

    fn poll_consume(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        store: StoreContextMut<'_, Sandbox>,
        source: Source<'_, u8>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        let pipe = &self.0.pipe;
        if pipe.poll_writable(cx).is_pending() {
            return if finish {
                Poll::Ready(Ok(StreamResult::Cancelled))
            } else {
                Poll::Pending
            };
        }
        let Ok(room) = pipe.room() else {
            return Poll::Ready(Ok(StreamResult::Dropped));
        };
        let mut source = source.as_direct(store);
        let waiting = source.remaining();
        let len = waiting.len().min(room);
        let bytes = Bytes::copy_from_slice(&waiting[..len]);
        if pipe.write(bytes).is_err() {
            return Poll::Ready(Ok(StreamResult::Dropped));
        }
        source.mark_read(len);
        Poll::Ready(Ok(StreamResult::Completed))
    }
}

struct IntoTrailers(Arc<Parts>);

impl FutureConsumer<Sandbox> for IntoTrailers {
    type Item = TrailersResult;

    fn poll_consume(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        mut store: StoreContextMut<'_, Sandbox>,
        mut source: Source<'_, TrailersResult>,
        _finish: bool,
    ) -> Poll<wasmtime::Result<()>> {
        let mut value = None;
        source.read(&mut store, &mut value)?;
        let trailers = match value {
            Some(Ok(None)) | None => Ok(None),
            Some(Ok(Some(fields))) => {
                Ok(Some(store.data_mut().take_fields(fields.rep())?.into_map()))
            }
            Some(Err(code)) => Err(Fault::BadAnswer(
                format!("its body ended with {code:?}").into(),
            )),
        };
        self.0.end_trailers(trailers);
        Poll::Ready(Ok(()))
    }
}

/// The body of a response that its own guest reads, instead of giving it to a client.
pub(crate) fn read_back(pipe: Arc<Pipe>) -> SharedReader {
    pipe.attach(None);
    let body = RequestBody::Stream(Box::pin(ReadBack(pipe)));
    BodyReader::received(body, u64::MAX).shared()
}

struct ReadBack(Arc<Pipe>);

impl Body for ReadBack {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.0.poll_read(cx).map(|chunk| match chunk {
            Chunk::Data(bytes) => Some(Ok(Frame::data(bytes))),
            Chunk::End(trailers) => trailers.map(|trailers| Ok(Frame::trailers(trailers))),
            Chunk::Broken(fault) => Some(Err(fault.into())),
        })
    }
}

impl Drop for ReadBack {
    fn drop(&mut self) {
        self.0.close_reader();
    }
}

/// A request's body as a stream that the guest reads.
pub(crate) struct FromReader(pub(crate) SharedReader);

impl StreamProducer<Sandbox> for FromReader {
    type Item = u8;
    type Buffer = Bytes;

    fn poll_produce<'a>(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut store: StoreContextMut<'a, Sandbox>,
        mut destination: Destination<'a, u8, Bytes>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        let mut reader = self.0.lock();
        if reader.poll_ready(cx).is_pending() {
            return if finish {
                Poll::Ready(Ok(StreamResult::Cancelled))
            } else {
                Poll::Pending
            };
        }
        let wanted = destination.remaining(&mut store).unwrap_or(READ_BYTES_MAX);
        if wanted == 0 && !reader.has_ended() {
            return Poll::Ready(Ok(StreamResult::Completed));
        }
        match reader.read(wanted.min(READ_BYTES_MAX)) {
            Ok(bytes) => {
                destination.set_buffer(bytes);
                Poll::Ready(Ok(StreamResult::Completed))
            }
            // Why it ended is said by the trailers.
            Err(ReadEnd::Complete | ReadEnd::Broken(_)) => Poll::Ready(Ok(StreamResult::Dropped)),
        }
    }
}

/// A request's trailers as a future that the guest reads.
pub(crate) struct TrailersOf(pub(crate) SharedReader);

impl FutureProducer<Sandbox> for TrailersOf {
    type Item = TrailersResult;

    fn poll_produce(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut store: StoreContextMut<'_, Sandbox>,
        finish: bool,
    ) -> Poll<wasmtime::Result<Option<TrailersResult>>> {
        let mut reader = self.0.lock();
        // The stream is the one that reads; the trailers come when it has ended.
        if reader.poll_ended(cx).is_pending() {
            return if finish {
                Poll::Ready(Ok(None))
            } else {
                Poll::Pending
            };
        }
        let trailers = match reader.trailers() {
            Some(Ok(Some(map))) => Ok(Some(store.data_mut().push_fields(Fields::received(map))?)),
            Some(Ok(None)) | None => Ok(None),
            Some(Err(broken)) => Err(broken.into()),
        };
        Poll::Ready(Ok(Some(trailers)))
    }
}

/// Resolves once the client's side has taken the whole body, or has given up.
pub(crate) struct Delivered(pub(crate) Arc<Pipe>);

impl Future for Delivered {
    type Output = wasmtime::Result<Result<(), ErrorCode>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll_delivered(cx).map(|complete| {
            Ok(if complete {
                Ok(())
            } else {
                Err(ErrorCode::ConnectionTerminated)
            })
        })
    }
}
