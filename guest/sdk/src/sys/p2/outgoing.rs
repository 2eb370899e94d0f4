//! A response as WASI 0.2 takes it. The head is set first, then the body is written and finished
//! without blocking where there is room, so that a host can send a short answer in one piece.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;

use ::http::HeaderMap;
use http_body::Body as _;

use super::super::head;
use super::abi::{Fields, OutgoingBody, OutgoingResponse, Outparam, OutputStream, StreamEnd};
use crate::response::declare_length;
use crate::{Body, Response};

pub(super) async fn send(mut response: Response, out: Outparam) {
    declare_length(&mut response);
    let (parts, body) = response.into_parts();
    // Without fields there is nothing to answer with: the host says so to the client.
    let Some(fields) = fields(&parts.headers) else {
        return;
    };
    let outgoing = OutgoingResponse::new(fields);
    let status = parts.status.as_u16();
    if status != 200 && !outgoing.set_status(status) {
        eprintln!("the host refused the status {status}: it is sent as 200");
    }
    // A response that was just made still has its body.
    let Some(outgoing_body) = outgoing.body() else {
        return;
    };
    out.set(outgoing);
    write(outgoing_body, body).await;
}

fn fields(headers: &HeaderMap) -> Option<Fields> {
    head::fields(headers, Fields::from_list)
}

/// Writes the body to its end. A client that has gone ends it early, and is no error of ours.
async fn write(outgoing: OutgoingBody, body: Body) {
    let mut trailers = None;
    if !body.is_end_stream() {
        let Some(stream) = outgoing.write() else {
            return;
        };
        let copied = copy(&stream, body, &mut trailers).await;
        drop(stream);
        match copied {
            Ok(()) => {}
            Err(Broken::ByClient) => return,
            Err(Broken::BySource(error)) => {
                // Dropped without being finished, the body ends as one that was cut short.
                eprintln!("the response's body broke off: {error}");
                return;
            }
        }
    }
    let trailers = trailers.as_ref().and_then(fields);
    if !outgoing.finish(trailers) {
        eprintln!("the host refused the end of the response's body");
    }
}

enum Broken {
    ByClient,
    BySource(crate::BodyError),
}

impl From<StreamEnd> for Broken {
    fn from(_: StreamEnd) -> Self {
        Self::ByClient
    }
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
                // What is there now is all for a while: the client should see it.
                if let Err(error) = stream.flush() {
                    return Poll::Ready(Err(Broken::from(error)));
                }
            }
            polled.map(Ok)
        });
        match next.await?.transpose().map_err(Broken::BySource)? {
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
