//! A request on its way, as a guest of WASI 0.2 holds it: `future-incoming-response`.
//!
//! Such a guest may block while it writes the request's body, and nothing polls its other resources meanwhile:
//! so the request is a task of its own, which ends with the resource.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::{SendError, SendFuture};
use crate::request::RequestBody;

/// What came of a request.
pub(crate) type Response = Result<http::Response<RequestBody>, SendError>;

/// What taking the response gives.
pub(crate) enum Taken {
    /// It isn't there.
    NotYet,
    /// This.
    Now(Response),
    /// It was taken before.
    Before,
}

/// See the module's documentation. Dropping it gives the request up.
pub(crate) struct Sending {
    outcome: Arc<Outcome>,
    /// `None` when something came of it at once.
    task: Option<AbortHandle>,
}

/// Where the task leaves what came of the request.
#[derive(Default)]
pub(crate) struct Outcome(Mutex<State>);

#[derive(Default)]
struct State {
    response: Option<Response>,
    taken: bool,
    waiter: Option<Waker>,
}

impl Sending {
    /// Begins at once, and goes on in a task of the runtime that polls the guest.
    pub(crate) fn start(mut future: SendFuture) -> Result<Self, SendError> {
        let runtime = Handle::try_current()
            .map_err(|_| SendError::Internal("no runtime to send a request in".into()))?;
        let outcome = Arc::<Outcome>::default();
        // Whom this wakes comes that much sooner. The task polls once more, and says whom to wake.
        let mut nobody = Context::from_waker(Waker::noop());
        let task = match future.as_mut().poll(&mut nobody) {
            Poll::Ready(response) => {
                outcome.put(response);
                None
            }
            Poll::Pending => {
                let left = Arc::clone(&outcome);
                let task = runtime.spawn(async move { left.put(future.await) });
                Some(task.abort_handle())
            }
        };
        Ok(Self { outcome, task })
    }

    pub(crate) fn outcome(&self) -> &Arc<Outcome> {
        &self.outcome
    }

    /// What came of the request, once.
    pub(crate) fn take(&self) -> Taken {
        let mut state = self.outcome.0.lock();
        if state.taken {
            return Taken::Before;
        }
        let Some(response) = state.response.take() else {
            return Taken::NotYet;
        };
        state.taken = true;
        Taken::Now(response)
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

impl Outcome {
    fn put(&self, response: Response) {
        let mut state = self.0.lock();
        state.response = Some(response);
        let waiter = state.waiter.take();
        drop(state);
        if let Some(waiter) = waiter {
            waiter.wake();
        }
    }

    /// Ready once something came of the request.
    pub(crate) fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.0.lock();
        if state.taken || state.response.is_some() {
            return Poll::Ready(());
        }
        state.waiter = Some(cx.waker().clone());
        Poll::Pending
    }
}
