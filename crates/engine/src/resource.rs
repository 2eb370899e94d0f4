//! The kinds of resources that our own bindings hand to guests.

use std::sync::Arc;

use http::uri::Scheme;
use http::{Method, StatusCode};

use crate::exchange::Exchange;
use crate::fields::Fields;
use crate::pipe::Pipe;
use crate::request::{Incoming, SharedReader};
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
    /// `input-stream` over a request's body (0.2).
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
    /// `outgoing-request` (0.2): may be built, can't be sent without a grant.
    Request02 {
        request: Box<Outgoing>,
        body_taken: bool,
    },
    /// `outgoing-body` (0.2).
    ResponseBody { pipe: Arc<Pipe>, stream_taken: bool },
    /// `output-stream` over a response's body (0.2).
    Output(Arc<Pipe>),
    /// `pollable` (0.2).
    Pollable(Subscription),
    /// `error` of `wasi:io` (0.2): what went wrong.
    Error(Arc<str>),
    /// `request-options` of either world; kept, and of no effect until requests can be sent.
    Options(RequestOptions),
    /// `response` (0.3). Its body flows into the pipe from the start.
    Response03 {
        status: StatusCode,
        fields: Fields,
        pipe: Arc<Pipe>,
    },
    /// `request` that the guest made (0.3): may be built, can't be sent without a grant.
    Request03 {
        request: Box<Outgoing>,
        contents: Option<Contents>,
        trailers: Option<Trailers>,
    },
}

/// What a `pollable` of ours waits for.
#[derive(Clone)]
pub(crate) enum Subscription {
    /// Bytes of a request's body.
    Input(SharedReader),
    /// Room in a response's body.
    Output(Arc<Pipe>),
    /// The trailers of a request.
    Trailers(SharedReader),
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
