//! A body as WASI 0.2 takes it, of a response or of a request. It is written and finished without
//! blocking where there is room, so that a host can send a short one in one piece.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;

use ::http::HeaderMap;
use http_body::Body as _;

use super::super::abi::HostCode;
use super::super::head;
use super::abi::{Fields, OutgoingBody, OutputStream, StreamEnd};
use crate::{Body, BodyError};

/// Why a body was not written to its end.
pub(super) enum Broken {
    /// Nobody reads it any more.
    Unread,
    /// What makes it failed. The host's body, dropped without being finished, ends as one that was cut
    /// short.
    Failed(BodyError),
    /// The host refused its end.
    Refused(HostCode),
}

impl From<StreamEnd> for Broken {
    fn from(_: StreamEnd) -> Self {
        Self::Unread
    }
}

pub(super) fn fields(headers: &HeaderMap) -> Option<Fields> {
    head::fields(headers, Fields::from_list)
}

/// Writes the body to its end.
pub(super) async fn write(outgoing: OutgoingBody, body: Body) -> Result<(), Broken> {
    let mut trailers = None;
    if !body.is_end_stream() {
        let Some(stream) = outgoing.write() else {
            return Ok(());
        };
        copy(&stream, body, &mut trailers).await?;
    }
    let trailers = trailers.as_ref().and_then(fields);
    outgoing.finish(trailers).map_err(Broken::Refused)
}

async fn copy(
    stream: &OutputStream,
    body: Body,
    trailers: &mut Option<HeaderMap>,
) -> Result<(), Broken> {
    let mut body = pin!(body);
    let mut unflushed = false;
    loop {
        let next = poll_fn(|context| {
            let polled = body.as_mut().poll_frame(context);
            if polled.is_pending() && std::mem::take(&mut unflushed) {
                // What is there now is all for a while: the other side should see it.
                if let Err(error) = stream.flush() {
                    return Poll::Ready(Err(Broken::from(error)));
                }
            }
            polled.map(Ok)
        });
        match next.await?.transpose().map_err(Broken::Failed)? {
            None => return Ok(()),
            Some(frame) => match frame.into_data() {
                Ok(data) => {
                    write_all(stream, &data).await?;
                    unflushed = true;
                }
                Err(frame) => *trailers = frame.into_trailers().ok(),
            },
        }
    }
}

async fn write_all(stream: &OutputStream, mut bytes: &[u8]) -> Result<(), Broken> {
    while !bytes.is_empty() {
        let room = stream.room()?;
        if room == 0 {
            let mut wait = super::ready(stream.subscribe());
            Pin::new(&mut wait).await;
            continue;
        }
        let (now, later) = bytes.split_at(room.min(bytes.len()));
        stream.write(now)?;
        bytes = later;
    }
    Ok(())
}
