//! A response as WASI 0.2 takes it. The head is set first, then the body is written and finished
//! without blocking where there is room, so that a host can send a short answer in one piece.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;

use ::http::HeaderMap;
use http_body::Body as _;
use wasip2::http::types::{Fields, OutgoingBody, OutgoingResponse, ResponseOutparam};
use wasip2::io::streams::{OutputStream, StreamError};

use super::super::head;
use crate::response::declare_length;
use crate::{Body, Response};

pub(super) async fn send(mut response: Response, out: ResponseOutparam) {
    declare_length(&mut response);
    let (parts, body) = response.into_parts();
    let outgoing = OutgoingResponse::new(fields(&parts.headers));
    let status = parts.status.as_u16();
    if status != 200 && outgoing.set_status_code(status).is_err() {
        eprintln!("the host refused the status {status}: it is sent as 200");
    }
    // A response that was just made still has its body.
    let Ok(outgoing_body) = outgoing.body() else {
        return;
    };
    ResponseOutparam::set(out, Ok(outgoing));
    write(outgoing_body, body).await;
}

fn fields(headers: &HeaderMap) -> Fields {
    let entries = head::entries(headers);
    Fields::from_list(&entries).unwrap_or_else(|_| {
        // The host takes all or nothing: find out which one it doesn't want.
        let fields = Fields::new();
        for (name, value) in &entries {
            if fields.append(name, value).is_err() {
                head::header_refused(name);
            }
        }
        fields
    })
}

/// Writes the body to its end. A client that has gone ends it early, and is no error of ours.
async fn write(outgoing: OutgoingBody, body: Body) {
    let mut trailers = None;
    if !body.is_end_stream() {
        let Ok(stream) = outgoing.write() else {
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
    let trailers = trailers.as_ref().map(fields);
    let _ = OutgoingBody::finish(outgoing, trailers);
}

enum Broken {
    ByClient,
    BySource(crate::BodyError),
}

impl From<StreamError> for Broken {
    fn from(_: StreamError) -> Self {
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
        let room = usize::try_from(stream.check_write()?).unwrap_or(usize::MAX);
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
