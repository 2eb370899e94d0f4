//! Calls from one function of an app to another of the same version, in process: on the lane of the caller where it
//! is on one, on any lane where it is in the pool for heavy guests. And calls of the node's own, by queues and schedules.
//!
//! Owns the way there and back. Who may call whom is decided before; which functions a version has is known behind
//! [`Siblings`].

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{self, Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use everwarm_engine::function::FunctionSpec;
use everwarm_engine::invoke::GuestBody;
use everwarm_engine::lane::Lane;
use everwarm_engine::outbound::{Chain, SendError, SendFuture, SentFrom, Services, Subrequest};
use everwarm_engine::own::Own;
use everwarm_engine::request::{BodyError, Request, RequestBody};
use everwarm_manifest::FunctionName;
use http::{HeaderMap, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt as _, Full};
use tokio::sync::{mpsc, oneshot};

use crate::dispatch::{Edge, Target, dispatch_call};

/// Pieces of a response's body that wait for the caller.
const PIECES_MAX: usize = 2;

/// Finds the functions of a version.
pub trait Siblings: Send + Sync {
    /// The function called `name` of the caller's own version.
    fn find(&self, caller: &FunctionSpec, name: &FunctionName) -> Option<Arc<Target>>;
}

/// See the module's documentation. Calls are refused until the data plane has started.
#[derive(Default)]
pub struct ServiceCalls {
    /// Weak: those who know the functions hold what holds this.
    siblings: OnceLock<sync::Weak<dyn Siblings>>,
    lanes: OnceLock<Box<[mpsc::Sender<ServiceCall>]>>,
    next: AtomicUsize,
}

/// A call on its way to a lane.
pub(crate) struct ServiceCall {
    target: Arc<Target>,
    request: Request,
    /// What the node itself says to the function besides.
    told: HeaderMap,
    chain: Chain,
    /// Its place in a trace, if a function makes it.
    sent_from: Option<SentFrom>,
    reply: oneshot::Sender<Response<RequestBody>>,
}

/// A function is asked by the node itself: a queue or a schedule calls it.
pub struct NodeCall {
    /// The function.
    pub target: Arc<Target>,
    /// What it is asked. Fields of `everwarm-*` don't reach it from here, as from nobody else.
    pub request: Request,
    /// Fields that only the node may say.
    pub told: HeaderMap,
    /// When the answer is of no use any more.
    pub deadline: Instant,
}

/// Stands in the extensions of a response when the function wasn't asked at all: there was no room for the request, or the
/// function's code isn't there yet.
#[derive(Debug, Clone, Copy)]
pub struct NotLetIn;

/// Where calls begin on a lane.
pub(crate) trait CallDesk {
    /// Starts a call as a task of the lane.
    fn begin_call(&self, call: ServiceCall);
}

thread_local! {
    /// The desk of the lane whose thread this is.
    static HERE: RefCell<Option<Weak<dyn CallDesk>>> = const { RefCell::new(None) };
}

/// From now on calls from this thread begin at its own lane's desk.
pub(crate) fn set_desk(desk: &Rc<impl CallDesk + 'static>) {
    let weak = Rc::downgrade(desk);
    HERE.with(|here| *here.borrow_mut() = Some(weak));
}

impl ServiceCalls {
    /// Says who knows the functions of versions. The first time counts.
    pub fn set_siblings(&self, siblings: &Arc<impl Siblings + 'static>) {
        let weak = Arc::downgrade(siblings);
        // A node sets it once, when it starts.
        let _ = self.siblings.set(weak as sync::Weak<dyn Siblings>);
    }

    pub(crate) fn set_lanes(&self, lanes: Vec<mpsc::Sender<ServiceCall>>) {
        // As above.
        let _ = self.lanes.set(lanes.into());
    }

    /// Asks a function, on whatever lane has room. Dropping the future gives the call up.
    ///
    /// # Errors
    ///
    /// [`SendError::ConnectionLimit`] when no lane has, [`SendError::ConnectionTerminated`] when the node ends.
    pub async fn ask(&self, call: NodeCall) -> Result<Response<RequestBody>, SendError> {
        let (reply, answered) = oneshot::channel();
        let chain = Chain {
            deadline: Some(call.deadline),
            ..Chain::default()
        };
        self.hand_over(ServiceCall {
            target: call.target,
            request: call.request,
            told: call.told,
            chain,
            sent_from: None,
            reply,
        })?;
        answered.await.map_err(|_| SendError::ConnectionTerminated)
    }

    /// Gives a call to the lane of this thread, or else to the next one that has room.
    fn hand_over(&self, call: ServiceCall) -> Result<(), SendError> {
        let desk = HERE.with(|here| here.borrow().as_ref().and_then(Weak::upgrade));
        if let Some(desk) = desk {
            desk.begin_call(call);
            return Ok(());
        }
        let lanes = self.lanes.get().map(|lanes| &**lanes).unwrap_or_default();
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        let mut call = call;
        for step in 0..lanes.len() {
            match lanes[(first + step) % lanes.len()].try_send(call) {
                Ok(()) => return Ok(()),
                Err(error) => call = error.into_inner(),
            }
        }
        Err(SendError::ConnectionLimit)
    }
}

impl std::fmt::Debug for ServiceCalls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServiceCalls").finish_non_exhaustive()
    }
}

impl Services for ServiceCalls {
    fn call(
        &self,
        caller: &FunctionSpec,
        name: &FunctionName,
        subrequest: Subrequest,
    ) -> Option<SendFuture> {
        let target = self.siblings.get()?.upgrade()?.find(caller, name)?;
        let (reply, answered) = oneshot::channel();
        let call = ServiceCall {
            target,
            request: subrequest.request,
            told: HeaderMap::new(),
            chain: subrequest.chain,
            sent_from: Some(subrequest.sent_from),
            reply,
        };
        let begun = self.hand_over(call);
        Some(Box::pin(async move {
            begun?;
            // The lane ends, and the call with it.
            answered.await.map_err(|_| SendError::ConnectionTerminated)
        }))
    }
}

/// Has a call answered. A caller that gives up has it end, and its function with it.
pub(crate) async fn answer(edge: Own<Edge>, lane: Lane, call: ServiceCall) {
    let ServiceCall {
        target,
        request,
        told,
        chain,
        sent_from,
        mut reply,
    } = call;
    let chain = (chain, sent_from);
    let response = tokio::select! {
        biased;
        () = reply.closed() => return,
        response = dispatch_call(&edge, &lane, target, (request, told), chain) => response,
    };
    let (head, body) = response.into_parts();
    match body.into_whole() {
        Ok(bytes) if bytes.is_empty() => {
            // A caller that has gone doesn't want the answer.
            let _ = reply.send(Response::from_parts(head, RequestBody::Empty));
        }
        Ok(bytes) => {
            let whole = Full::new(bytes).map_err(|never| match never {});
            let body = RequestBody::Stream(Box::pin(whole));
            let _ = reply.send(Response::from_parts(head, body));
        }
        Err(streaming) => {
            let (pieces, received) = mpsc::channel(PIECES_MAX);
            let body = RequestBody::Stream(Box::pin(Pieces(received)));
            if reply.send(Response::from_parts(head, body)).is_ok() {
                pass_on(streaming, pieces).await;
            }
        }
    }
}

type Piece = Result<Frame<Bytes>, BodyError>;

/// The body of a function belongs to its lane, and its reader may be elsewhere.
async fn pass_on(mut body: GuestBody, pieces: mpsc::Sender<Piece>) {
    loop {
        let frame = tokio::select! {
            biased;
            () = pieces.closed() => return,
            frame = body.frame() => frame,
        };
        let Some(frame) = frame else { return };
        let is_last = frame.is_err();
        let piece = frame.map_err(|_| SendError::ConnectionTerminated.into());
        if pieces.send(piece).await.is_err() || is_last {
            return;
        }
    }
}

struct Pieces(mpsc::Receiver<Piece>);

impl Body for Pieces {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Piece>> {
        self.0.poll_recv(cx)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}
