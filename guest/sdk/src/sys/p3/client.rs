//! A request of the guest's own, as WASI 0.3 takes it: `wasi:http/client`.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use ::http::Uri;
use http_body::Body as _;

use super::super::abi::HostCode;
use super::super::exchange::{Failure, Upload, exchange};
use super::super::sending::{self, Timeouts};
use super::abi::{
    self, CutShort, IncomingResponse, Outcome, OutgoingRequest, RequestOptions, Sending, Sent,
    StreamReader, TrailersReader, TrailersWriter,
};
use super::incoming::{IncomingBody, Message};
use super::writer::{Copying, fields};
use crate::body::BodyError;
use crate::client::{SendError, SendErrorKind, SendOptions};
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
    let fields = fields(&parts.headers).ok_or_else(|| refused(SendErrorKind::InternalError))?;
    let options = timeouts.map(Timeouts::make);
    let options = options.transpose().map_err(refused)?;
    // Before the request, so that it is dropped after it: nobody waits for what it says by then.
    let (trailers, mut ended) = TrailersWriter::new();
    let has_body = !body.is_end_stream();
    let (contents, writer) = has_body.then(abi::stream).unzip();
    let (outgoing, sent) = OutgoingRequest::new(fields, contents, trailers, options);
    sending::set_head(&outgoing, &parts.method, &uri).map_err(refused)?;
    let mut response = Sending::start(outgoing);
    let copying = writer.map(|writer| Copying::new(writer, body));
    if copying.is_none() {
        ended.put(Ok(None));
    }
    let upload = Writing { copying, ended };
    let response = poll_fn(move |context| response.poll(context).map_err(HostCode::read));
    let response = exchange(Some(upload), response).await;
    let response = response.map_err(|failure| failure.about(&uri))?;
    let (status, headers) = (response.status(), response.headers().entries());
    let body = IncomingBody::new(Received {
        response: Some(response),
        outcome: None,
        sent: Some(sent),
        uri: uri.clone(),
    });
    sending::response(status, headers, body).map_err(refused)
}

/// A body that is written, and then what is behind it.
struct Writing {
    copying: Option<Copying>,
    ended: TrailersWriter,
}

impl Upload for Writing {
    fn poll_written(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        if let Some(copying) = &mut self.copying {
            let copied = ready!(copying.poll(context));
            // The stream ends here, and the host reads on behind it.
            self.copying = None;
            match copied {
                Ok(trailers) => self.ended.put(Ok(trailers.as_ref().and_then(fields))),
                Err(error) => {
                    self.ended.put(Err(CutShort));
                    return Poll::Ready(Err(Failure::Body(error)));
                }
            }
        }
        self.ended.poll_written(context).map(Ok)
    }

    fn abandon(&mut self) {
        if self.copying.take().is_some() {
            self.ended.put(Err(CutShort));
        }
    }
}

/// A response whose body is read.
struct Received {
    response: Option<IncomingResponse>,
    outcome: Option<Outcome>,
    sent: Option<Sent>,
    uri: Uri,
}

impl Message for Received {
    fn consume(&mut self) -> Option<(StreamReader, TrailersReader)> {
        let (stream, trailers, outcome) = self.response.take()?.consume();
        self.outcome = Some(outcome);
        Some((stream, trailers))
    }

    fn finish(&mut self) {
        self.outcome = None;
        self.sent = None;
    }

    fn error(&self, code: HostCode) -> BodyError {
        BodyError::new(SendError::of_code(code.read()).about(&self.uri))
    }
}
