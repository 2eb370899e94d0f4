//! The kinds of resources that our own bindings hand to guests.

use std::any::Any;
use std::sync::Arc;

use http::uri::Scheme;
use http::{HeaderMap, Method, StatusCode};

use crate::exchange::Exchange;
use crate::fields::Fields;
use crate::outbound::{BreakOff, Outcome, Sending};
use crate::pipe::Pipe;
use crate::request::{Broken, Incoming, SharedReader};
use crate::wasi03::body::{Contents, Trailers};

/// One resource in an instance's [`crate::slots::Slots`].
pub(crate) enum Resource {
    /// `fields` of either world.
    Fields(Fields),
    /// `incoming-request` (0.2) or a `request` that the host made (0.3).
    Request(Box<Incoming>),
    /// `incoming-body` (0.2).
    RequestBody {
        reader: SharedReader,
        stream_taken: bool,
    },
    /// `input-stream` over a body that comes in (0.2).
    Input(SharedReader),
    /// `future-trailers` (0.2).
    Trailers { reader: SharedReader, taken: bool },
    /// `response-outparam` (0.2).
    Outparam(Arc<Exchange>),
    /// `outgoing-response` (0.2).
    Response02 {
        status: StatusCode,
        fields: Fields,
        body: Option<Arc<Pipe>>,
    },
    /// `outgoing-request` (0.2).
    Request02 {
        request: Box<Outgoing>,
        body: Option<Arc<Pipe>>,
    },
    /// `future-incoming-response` (0.2).
    Sending(Sending),
    /// `incoming-response` (0.2) or a `response` that came from elsewhere (0.3).
    Received(Box<Received>),
    /// `outgoing-body` (0.2).
    OutgoingBody {
        pipe: Arc<Pipe>,
        stream_taken: bool,
        /// Of a request: its receiver is told when the guest is gone.
        break_off: Option<BreakOff>,
    },
    /// `output-stream` over a body (0.2).
    Output(Arc<Pipe>),
    /// `pollable` (0.2).
    Pollable(Subscription),
    /// `error` of `wasi:io` (0.2): what went wrong.
    Error(Broken),
    /// `request-options` of either world.
    Options(RequestOptions),
    /// `response` (0.3). Its body flows into the pipe from the start.
    Response03 {
        status: StatusCode,
        fields: Fields,
        pipe: Arc<Pipe>,
    },
    /// `request` that the guest made (0.3). Its body flows when it is sent.
    Request03(Box<Request03>),
    /// A capability's own: `Sandbox::resource` knows its kind.
    OfCapability(Box<dyn Any + Send>),
}

/// See [`Resource::Request03`].
pub(crate) struct Request03 {
    pub(crate) head: Outgoing,
    pub(crate) contents: Option<Contents>,
    pub(crate) trailers: Trailers,
    /// What the body will flow into. Whoever waits for its transmission waits at this.
    pub(crate) pipe: Arc<Pipe>,
}

/// A response that came from elsewhere.
pub(crate) struct Received {
    pub(crate) status: StatusCode,
    pub(crate) fields: Fields,
    reader: Option<SharedReader>,
}

impl Received {
    pub(crate) fn new(status: StatusCode, headers: HeaderMap, reader: SharedReader) -> Self {
        Self {
            status,
            fields: Fields::received(headers),
            reader: Some(reader),
        }
    }

    /// The body, once.
    pub(crate) fn take_body(&mut self) -> Option<SharedReader> {
        self.reader.take()
    }
}

/// What a `pollable` of ours waits for.
#[derive(Clone)]
pub(crate) enum Subscription {
    /// Bytes of a body that comes in.
    Input(SharedReader),
    /// Room in a body that goes out.
    Output(Arc<Pipe>),
    /// The trailers of a request.
    Trailers(SharedReader),
    /// The response to a request that was sent.
    Response(Arc<Outcome>),
}

/// The head of a request that a guest makes.
#[derive(Debug, Clone)]
pub(crate) struct Outgoing {
    pub(crate) method: Method,
    pub(crate) scheme: Option<Scheme>,
    pub(crate) authority: Option<String>,
    pub(crate) path_with_query: Option<String>,
    pub(crate) fields: Fields,
    pub(crate) options: Option<RequestOptions>,
}

impl Outgoing {
    pub(crate) fn new(fields: Fields, options: Option<RequestOptions>) -> Self {
        Self {
            method: Method::GET,
            scheme: None,
            authority: None,
            path_with_query: None,
            fields: fields.frozen(),
            options,
        }
    }
}

/// Timeouts of an outgoing request, in nanoseconds.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct RequestOptions {
    pub(crate) connect: Option<u64>,
    pub(crate) first_byte: Option<u64>,
    pub(crate) between_bytes: Option<u64>,
}
