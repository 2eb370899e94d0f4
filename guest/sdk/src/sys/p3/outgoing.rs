//! A response as WASI 0.3 takes it: the head is returned, the body follows on a stream.

use std::future::poll_fn;
use std::task::Poll;

use ::http::HeaderMap;
use http_body::Body as _;

use super::abi::{self, CutShort, Response as HostResponse, TrailersWriter};
use super::call;
use super::writer::{Copying, fields};
use crate::response::declare_length;
use crate::{BodyError, Response};

/// Answers with the head at once, and then writes the body to its end.
pub(super) async fn send(mut response: Response) {
    declare_length(&mut response);
    let (parts, body) = response.into_parts();
    let Some(fields) = fields(&parts.headers) else {
        return call::answer(None);
    };
    let (trailers, ended) = TrailersWriter::new();
    let has_body = !body.is_end_stream();
    let (contents, writer) = has_body.then(abi::stream).unzip();
    let outgoing = HostResponse::new(fields, contents, trailers);
    let status = parts.status.as_u16();
    if status != 200 && !outgoing.set_status(status) {
        eprintln!("the host refused the status {status}: it is sent as 200");
    }
    call::answer(Some(outgoing));
    if body.size_hint().exact().is_none() {
        // A body that is still to be made may take long to begin with, and its head needn't.
        give_way().await;
    }
    let copied = match writer {
        Some(writer) => copy(Copying::new(writer, body)).await,
        None => Ok(None),
    };
    let end = match copied {
        Ok(trailers) => Ok(trailers.as_ref().and_then(self::fields)),
        Err(error) => {
            eprintln!("the response's body broke off: {error}");
            Err(CutShort)
        }
    };
    ended.write(end).await;
}

/// Writes the body to its end, which it says by dropping the stream.
async fn copy(mut copying: Copying) -> Result<Option<HeaderMap>, BodyError> {
    poll_fn(|context| copying.poll(context)).await
}

/// Lets the host go on with what it was given.
async fn give_way() {
    let mut has_given_way = false;
    poll_fn(|context| {
        if std::mem::replace(&mut has_given_way, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
