//! The body of a request or a response. It doesn't know how bytes reach the host: that is `sys`.

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use http_body::{Body as HttpBody, Frame, SizeHint};
use serde::de::DeserializeOwned;

use crate::adapter::{Chunks, Mapped};
use crate::channel::{self, Sender};
use crate::client::SendError;
use crate::local::Local;

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type LocalBody = Pin<Box<dyn HttpBody<Data = Bytes, Error = BodyError>>>;

/// The body of a request or a response: empty, whole in memory, or a stream.
///
/// Read it with [`Body::bytes`], [`Body::text`] or [`Body::json`], chunk by chunk with
/// [`Body::chunk`], as a [`Stream`], or as an [`http_body::Body`].
pub struct Body(Inner);

enum Inner {
    Empty,
    Full(Bytes),
    Stream {
        body: Local<LocalBody>,
        /// It is the body of a response to a request that the function sent. What is wrong with it is no fault
        /// of the function's own client.
        is_of_response: bool,
    },
}

/// Why a body could not be read or produced.
///
/// With `?` in a handler it is the client's fault, a 400, unless the body is that of a response to a
/// request that the function sent: then it is a 500.
#[derive(Debug)]
pub struct BodyError {
    error: BoxError,
    is_of_response: bool,
}

impl Body {
    /// A body without bytes.
    pub const fn empty() -> Self {
        Self(Inner::Empty)
    }

    /// A body from any `http_body::Body`, trailers included.
    pub fn new<B>(body: B) -> Self
    where
        B: HttpBody<Data = Bytes> + 'static,
        B::Error: Into<BoxError>,
    {
        Self::stream(Mapped { body }, false)
    }

    /// A body from a stream of chunks. The host asks for the next chunk when the client has taken
    /// the last one; an error ends the response half-way, so that the client sees it broken.
    pub fn from_stream<S, T, E>(stream: S) -> Self
    where
        S: Stream<Item = Result<T, E>> + 'static,
        T: Into<Bytes>,
        E: Into<BoxError>,
    {
        Self::stream(Chunks { stream }, false)
    }

    /// A body that is written from elsewhere: [`Sender::send`] waits while the client is slower.
    ///
    /// ```
    /// use everwarm_sdk::{Body, Response, spawn};
    ///
    /// async fn count() -> Response {
    ///     let (mut sender, body) = Body::channel();
    ///     spawn(async move {
    ///         for n in 0..10 {
    ///             if sender.send(format!("{n}\n")).await.is_err() {
    ///                 return; // the client has gone
    ///             }
    ///         }
    ///     });
    ///     Response::new(body)
    /// }
    /// ```
    pub fn channel() -> (Sender, Self) {
        let (sender, receiver) = channel::channel();
        (sender, Self::new(receiver))
    }

    /// A body whose errors are ours already. Only what makes one links the code that polls it: a
    /// function that never reads a request imports nothing to read one with.
    #[cfg(target_family = "wasm")]
    pub(crate) fn local(body: impl HttpBody<Data = Bytes, Error = BodyError> + 'static) -> Self {
        Self::stream(body, false)
    }

    /// The body of a response to a request of the function's own.
    pub(crate) fn received(body: impl HttpBody<Data = Bytes, Error = BodyError> + 'static) -> Self {
        Self::stream(body, true)
    }

    fn stream(
        body: impl HttpBody<Data = Bytes, Error = BodyError> + 'static,
        is_of_response: bool,
    ) -> Self {
        let body: LocalBody = Box::pin(body);
        Self(Inner::Stream {
            body: Local::new(body),
            is_of_response,
        })
    }

    /// The next chunk, or `None` at the end. Trailers are skipped.
    ///
    /// # Errors
    /// When the other side broke off, or the stream that makes this body failed.
    pub async fn chunk(&mut self) -> Option<Result<Bytes, BodyError>> {
        std::future::poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }

    /// Reads all of it. The host's limit for request bodies bounds how much that can be.
    ///
    /// # Errors
    /// When the other side broke off before the end.
    pub async fn bytes(mut self) -> Result<Bytes, BodyError> {
        if let Inner::Full(bytes) = self.0 {
            return Ok(bytes);
        }
        let Some(first) = self.chunk().await.transpose()? else {
            return Ok(Bytes::new());
        };
        let Some(second) = self.chunk().await.transpose()? else {
            return Ok(first);
        };
        let mut all = BytesMut::from(first);
        all.extend_from_slice(&second);
        while let Some(chunk) = self.chunk().await.transpose()? {
            all.extend_from_slice(&chunk);
        }
        Ok(all.freeze())
    }

    /// Reads all of it as UTF-8.
    ///
    /// # Errors
    /// When the other side broke off, or the bytes are not UTF-8.
    pub async fn text(self) -> Result<String, BodyError> {
        let unreadable = self.unreadable();
        String::from_utf8(self.bytes().await?.into()).map_err(|error| unreadable(error.into()))
    }

    /// Reads all of it as JSON.
    ///
    /// # Errors
    /// When the other side broke off, or the bytes are not the JSON of a `T`.
    pub async fn json<T: DeserializeOwned>(self) -> Result<T, BodyError> {
        let unreadable = self.unreadable();
        serde_json::from_slice(&self.bytes().await?).map_err(|error| unreadable(error.into()))
    }

    /// Makes the error of a body that is whole and is not what was expected.
    fn unreadable(&self) -> fn(BoxError) -> BodyError {
        match self.0 {
            Inner::Stream {
                is_of_response: true,
                ..
            } => BodyError::of_response,
            _ => BodyError::new,
        }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.0 {
            Inner::Empty => Poll::Ready(None),
            Inner::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                self.0 = Inner::Empty;
                Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
            }
            Inner::Stream {
                body,
                is_of_response,
            } => {
                let frame = body.as_mut().poll_frame(context);
                frame.map_err(|error| BodyError {
                    is_of_response: error.is_of_response || *is_of_response,
                    ..error
                })
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Inner::Empty => true,
            Inner::Full(bytes) => bytes.is_empty(),
            Inner::Stream { body, .. } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Inner::Empty => SizeHint::with_exact(0),
            Inner::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Inner::Stream { body, .. } => body.size_hint(),
        }
    }
}

impl Stream for Body {
    type Item = Result<Bytes, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match ready!(self.as_mut().poll_frame(context)) {
                None => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Poll::Ready(Some(Ok(data)));
                    }
                }
            }
        }
    }
}

impl BodyError {
    /// Wraps what went wrong.
    pub fn new(error: impl Into<BoxError>) -> Self {
        let error = error.into();
        match error.downcast::<Self>() {
            Ok(same) => *same,
            Err(error) => Self {
                error,
                is_of_response: false,
            },
        }
    }

    /// What is wrong with a response to a request of the function's own.
    pub(crate) fn of_response(error: impl Into<BoxError>) -> Self {
        Self {
            is_of_response: true,
            ..Self::new(error)
        }
    }

    pub(crate) fn is_of_response(&self) -> bool {
        self.is_of_response
    }

    /// What broke the body of a response off, when it is the body of one that [`send`](crate::send) returned.
    pub fn send_error(&self) -> Option<&SendError> {
        self.error.downcast_ref()
    }
}

impl fmt::Display for BodyError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(formatter)
    }
}

impl std::error::Error for BodyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.source()
    }
}

impl From<Infallible> for BodyError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

impl Default for Body {
    fn default() -> Self {
        Self::empty()
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Inner::Empty => formatter.write_str("Body(empty)"),
            Inner::Full(bytes) => write!(formatter, "Body({} bytes)", bytes.len()),
            Inner::Stream { .. } => formatter.write_str("Body(stream)"),
        }
    }
}

impl From<()> for Body {
    fn from((): ()) -> Self {
        Self::empty()
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self(Inner::Full(bytes))
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::from(bytes).into()
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Bytes::from(text).into()
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Bytes::from_static(text.as_bytes()).into()
    }
}

impl From<&'static [u8]> for Body {
    fn from(bytes: &'static [u8]) -> Self {
        Bytes::from_static(bytes).into()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use ::http::HeaderMap;
    use bytes::Bytes;
    use futures_util::stream;
    use http_body::Frame;

    use super::{Body, BodyError, HttpBody};
    use crate::Error;
    use crate::testing::block_on;

    /// Two chunks with trailers behind them.
    struct Trailed(Vec<Frame<Bytes>>);

    impl HttpBody for Trailed {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Ready(self.0.pop().map(Ok))
        }
    }

    #[test]
    fn chunks_are_joined_and_trailers_skipped() {
        let frames = vec![
            Frame::trailers(HeaderMap::new()),
            Frame::data("three".into()),
            Frame::data("two ".into()),
            Frame::data("one ".into()),
        ];
        let body = Body::new(Trailed(frames));
        assert_eq!(block_on(body.text()).expect("text"), "one two three");
    }

    #[test]
    fn an_error_in_the_stream_is_the_readers() {
        let parts = [Ok("one"), Err("the disk is gone")];
        let mut body = Body::from_stream(stream::iter(parts));
        let first = block_on(body.chunk()).expect("a chunk").expect("no error");
        assert_eq!(first, "one");
        let error = block_on(body.chunk()).expect("an end").expect_err("broken");
        assert_eq!(error.to_string(), "the disk is gone");
    }

    #[test]
    fn a_body_that_could_not_be_read_is_the_clients_fault() {
        let broken = [Err::<Bytes, _>(BodyError::new("cut short"))];
        let body = Body::from_stream(stream::iter(broken));
        let error = Error::from(block_on(body.text()).expect_err("broken"));
        assert_eq!(error.status(), 400);
    }

    #[test]
    fn only_a_body_in_memory_knows_its_length() {
        assert_eq!(Body::from("hello").size_hint().exact(), Some(5));
        assert_eq!(Body::empty().size_hint().exact(), Some(0));
        assert!(Body::from("").is_end_stream());
        let streamed = Body::from_stream(stream::empty::<Result<Bytes, BodyError>>());
        assert_eq!(streamed.size_hint().exact(), None);
    }
}
