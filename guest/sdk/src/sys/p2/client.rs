//! A request of the guest's own, as WASI 0.2 takes it: `wasi:http/outgoing-handler`.

use std::task::{Context, Poll};

use ::http::{HeaderMap, Method, Uri};
use http_body::Body as _;

use super::super::ErrorCode;
use super::super::abi::HostCode;
use super::super::error_code::{INTERNAL_ERROR, RESPONSE_INCOMPLETE};
use super::super::exchange::{Failure, Upload, exchange};
use super::super::sending::{self, Timeouts};
use super::abi::{
    self, FutureResponse, IncomingResponse, IoError, OutgoingRequest, RequestOptions,
};
use super::incoming::{self, IncomingBody, Message};
use super::writer::{self, Broken, fields};
use crate::body::{Body, BodyError};
use crate::client::{SendError, SendErrorKind, SendOptions};
use crate::local::LocalFuture;
use crate::{Request, Response};

pub(crate) fn timeouts(options: SendOptions) -> Option<Timeouts> {
    Timeouts::new::<RequestOptions>(options)
}

/// Sends a request whose URI is absolute.
pub(crate) async fn send(
    request: Request,
    timeouts: Option<Timeouts>,
) -> Result<Response, SendError> {
    let (parts, body) = request.into_parts();
    let uri = parts.uri;
    let refused = |kind| SendError::new(kind).about(&uri);
    let outgoing = outgoing(&parts.method, &uri, &parts.headers).map_err(refused)?;
    let outgoing_body = if body.is_end_stream() {
        None
    } else {
        outgoing.body()
    };
    let options = timeouts.map(Timeouts::make);
    let options = options.transpose().map_err(refused)?;
    let response = outgoing.send(options);
    let response = response.map_err(|code| SendError::of_code(code.read()).about(&uri))?;
    let upload = outgoing_body.map(|outgoing| Writing(Some(Box::pin(write(outgoing, body)))));
    let response = exchange(upload, received(response)).await;
    let response = response.map_err(|failure| failure.about(&uri))?;
    let (status, headers) = (response.status(), response.headers().entries());
    let body = IncomingBody::new(Received {
        response: Some(response),
        uri: uri.clone(),
    });
    sending::response(status, headers, body).map_err(refused)
}

/// The host's request, or why there can't be one.
fn outgoing(
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<OutgoingRequest, SendErrorKind> {
    let fields = fields(headers).ok_or(SendErrorKind::InternalError)?;
    let outgoing = OutgoingRequest::new(fields);
    sending::set_head(&outgoing, method, uri)?;
    Ok(outgoing)
}

/// A body that is written, until it is.
struct Writing(Option<LocalFuture<Result<(), Failure>>>);

impl Upload for Writing {
    fn poll_written(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        let Some(writing) = &mut self.0 else {
            return Poll::Ready(Ok(()));
        };
        let polled = writing.as_mut().poll(context);
        if polled.is_ready() {
            self.0 = None;
        }
        polled
    }

    fn abandon(&mut self) {
        self.0 = None;
    }
}

async fn write(outgoing: abi::OutgoingBody, body: Body) -> Result<(), Failure> {
    match writer::write(outgoing, body).await {
        // What the host says of the response says why.
        Ok(()) | Err(Broken::Unread) => Ok(()),
        Err(Broken::Failed(error)) => Err(Failure::Body(error)),
        Err(Broken::Refused(code)) => Err(Failure::Code(code.read())),
    }
}

async fn received(response: FutureResponse) -> Result<IncomingResponse, ErrorCode> {
    loop {
        if let Some(received) = response.get() {
            return received.map_err(HostCode::read);
        }
        super::ready(response.subscribe()).await;
    }
}

/// A response whose body is read.
struct Received {
    response: Option<IncomingResponse>,
    uri: Uri,
}

impl Message for Received {
    fn consume(&mut self) -> Option<abi::IncomingBody> {
        self.response.take()?.consume()
    }

    fn code(error: IoError) -> Option<HostCode> {
        error.code()
    }

    fn error(&self, end: incoming::Broken) -> BodyError {
        let code = match end {
            incoming::Broken::Taken => HostCode::of(INTERNAL_ERROR),
            incoming::Broken::Stream(code) => {
                code.unwrap_or_else(|| HostCode::of(RESPONSE_INCOMPLETE))
            }
            incoming::Broken::Trailers(code) => code,
        };
        BodyError::new(SendError::of_code(code.read()).about(&self.uri))
    }
}
