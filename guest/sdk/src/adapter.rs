//! Makes a `Body`'s stream of what users have: any `http_body::Body`, any `Stream` of chunks.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_core::Stream;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::body::BodyError;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

pin_project! {
    /// Any `http_body::Body`, with its error made ours.
    pub(crate) struct Mapped<B> {
        #[pin]
        pub(crate) body: B,
    }
}

impl<B> Body for Mapped<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.project()
            .body
            .poll_frame(context)
            .map_err(BodyError::new)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

pin_project! {
    /// A stream of chunks as a body of unknown length.
    pub(crate) struct Chunks<S> {
        #[pin]
        pub(crate) stream: S,
    }
}

impl<S, T, E> Body for Chunks<S>
where
    S: Stream<Item = Result<T, E>>,
    T: Into<Bytes>,
    E: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.project().stream.poll_next(context).map(|next| {
            next.map(|chunk| {
                chunk
                    .map(|data| Frame::data(data.into()))
                    .map_err(BodyError::new)
            })
        })
    }
}
