//! Requests that guests send: the port behind which they are carried out.
//!
//! Owns what a request is on its way out of a guest and what may come of it. Who may reach what, and how, is
//! decided behind [`Sender`]; `wasi02` and `wasi03` only convert.

mod body;
mod chain;
mod error;
mod head;
mod sending;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use body::{BreakOff, passed_on, written};
pub use chain::Chain;
pub(crate) use chain::Chains;
pub use error::SendError;
pub(crate) use head::{forwarded, made};
pub(crate) use sending::{Outcome, Sending, Taken};

use everwarm_manifest::{FunctionName, Isolation};
use http::HeaderValue;

use crate::RequestId;
use crate::function::FunctionSpec;
use crate::hurry;
use crate::invoke::hub::REQUESTS_PER_INSTANCE_MAX;
use crate::request::{BodyReader, Request, RequestBody};
use crate::resource::Received;
use crate::sandbox::Sandbox;
use crate::span::{Kind, Ongoing};
use crate::trace::{Context, TRACEPARENT, TRACESTATE};

/// What comes of a request in the end.
pub type SendFuture =
    Pin<Box<dyn Future<Output = Result<http::Response<RequestBody>, SendError>> + Send>>;

/// Carries out the requests of one function.
pub trait Sender: Send + Sync {
    /// Takes a request, whose URI has a scheme and an authority. Called on a thread of the data plane or the
    /// pool for heavy guests, within its runtime; dropping the future gives the request up.
    ///
    /// # Errors
    ///
    /// When the request may not be sent at all, which is known at once.
    fn send(&self, subrequest: Subrequest) -> Result<SendFuture, SendError>;
}

/// A request that a function sends.
pub struct Subrequest {
    /// With a scheme and an authority in its URI.
    pub request: Request,
    /// What the guest says of its patience.
    pub timeouts: Timeouts,
    /// Where the request that it is sent for stands.
    pub chain: Chain,
    /// Its place in the trace.
    pub sent_from: SentFrom,
    /// Its span, if that is recorded. It is over when there is a response, or there will be none.
    pub span: Option<Ongoing>,
}

/// The place of a request that a guest sends in a trace.
#[derive(Debug, Clone, Default)]
pub struct SentFrom {
    /// The span that stands for it; `None` where the guest says one of its own, or nobody knows what it is sent for.
    pub span: Option<Context>,
    /// What tracing systems keep with the trace.
    pub state: Option<HeaderValue>,
    /// Whether what comes of it is recorded.
    pub sampled: bool,
}

impl Subrequest {
    /// Says its place in the trace to whoever receives it.
    pub fn say_trace(&mut self) {
        let Some(span) = &self.sent_from.span else {
            return;
        };
        let headers = self.request.headers_mut();
        headers.insert(TRACEPARENT, span.field());
        if let Some(state) = self.sent_from.state.take() {
            headers.entry(TRACESTATE).or_insert(state);
        }
    }
}

/// Carries requests from one function of an app to another one of the same version, without a socket.
pub trait Services: Send + Sync {
    /// Calls the function called `name`; `None` when the version of `caller` has none of that name. Called as
    /// [`Sender::send`] is.
    fn call(
        &self,
        caller: &FunctionSpec,
        name: &FunctionName,
        subrequest: Subrequest,
    ) -> Option<SendFuture>;
}

/// How long the parts of a request may take, where the guest says so.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timeouts {
    /// Until there is a connection.
    pub connect: Option<Duration>,
    /// From then to the response's head.
    pub first_byte: Option<Duration>,
    /// Between two pieces of the response's body.
    pub between_bytes: Option<Duration>,
}

impl Sandbox {
    /// Begins to send a request, if the function may and has any left.
    pub(crate) fn send(
        &mut self,
        request: Request,
        timeouts: Timeouts,
    ) -> Result<SendFuture, SendError> {
        let Some(sender) = self.function.configured.sender() else {
            return Err(SendError::Denied);
        };
        let Some(left) = self.subrequests_left.checked_sub(1) else {
            let limit = self.function.spec.limits.subrequests;
            return Err(SendError::TooMany(limit));
        };
        let sender = Arc::clone(sender);
        let sent_from = self.sent_from(&request);
        let span = sent_from
            .span
            .and_then(|span| self.ongoing("request", Kind::Client, span));
        let future = sender.send(Subrequest {
            request,
            timeouts,
            chain: Chain {
                depth: self.chains.depth(),
                deadline: self.chains.deadline(),
                id: RequestId::default(),
            },
            sent_from,
            span,
        })?;
        self.subrequests_left = left;
        hurry::ask();
        Ok(future)
    }

    /// The span that a request is sent from. A guest that says nothing, or passes on what it was told, has one made; one
    /// that traces by itself is left to it.
    fn sent_from(&mut self, request: &Request) -> SentFrom {
        let said = Context::of(request.headers());
        let nth = self.children;
        let Some(id) = self.chains.request_of(said) else {
            return SentFrom::default();
        };
        let own = id.context();
        // The trace isn't looked at: a function whose answers are kept is told another one.
        let is_told = |said: Context| said.span == own.span;
        if !said.is_none_or(is_told) {
            return SentFrom {
                sampled: own.sampled,
                ..SentFrom::default()
            };
        }
        let sent_from = SentFrom {
            span: Some(id.child(nth)),
            state: id.state().cloned(),
            sampled: own.sampled,
        };
        self.children = nth.wrapping_add(1);
        sent_from
    }

    /// Takes a response that came from elsewhere into the guest's reach.
    pub(crate) fn receive(&self, response: http::Response<RequestBody>) -> Received {
        let (parts, body) = response.into_parts();
        let reader = BodyReader::received(body, self.subrequest_body()).shared();
        Received::new(parts.status, parts.headers, reader)
    }

    /// The most bytes of the body of a request that the guest sends, and of its response.
    pub(crate) fn subrequest_body(&self) -> u64 {
        self.function.spec.limits.subrequest_body.as_u64()
    }

    /// A request has come to the instance: it may send as many as the manifest says. Requests that share an
    /// instance share what they may send.
    pub(crate) fn begin_request(&mut self, chain: Chain) {
        let spec = &self.function.spec;
        self.chains.begin(chain, spec.isolation);
        let limit = spec.limits.subrequests;
        self.subrequests_left = match spec.isolation {
            Isolation::Request | Isolation::Serial => limit,
            Isolation::Concurrent => self
                .subrequests_left
                .saturating_add(limit)
                .min(limit.saturating_mul(REQUESTS_PER_INSTANCE_MAX)),
        };
        self.requests_changed();
    }

    /// A request of a shared instance has been answered.
    pub(crate) fn end_request(&mut self, chain: &Chain) {
        self.chains.end(chain);
        self.requests_changed();
    }
}
