//! What can go wrong with a request, as a value.
//!
//! Owns the list of faults and which Wasmtime error means which. A guest's fault is never a panic
//! of the host. How a fault is answered (status, headers, body) is decided elsewhere, in one map.

use std::sync::Arc;

/// Why a request failed. Every variant has a stable error code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The guest executed a trap; the text is for the log only.
    #[error("the function trapped")]
    Trap(Arc<str>),
    /// The guest used more CPU time than its limit.
    #[error("the function used up its CPU time")]
    CpuLimit,
    /// The request took longer than its limit.
    #[error("the function took longer than its wall time allows")]
    WallLimit,
    /// The guest asked for more memory than its limit, and then gave up.
    #[error("the function needs more memory than its limit")]
    MemoryLimit,
    /// The request's body is larger than the limit.
    #[error("the request body is larger than the function accepts")]
    RequestBodyTooLarge,
    /// The client stopped sending the request's body.
    #[error("nothing came of the rest of the request body for too long")]
    RequestBodyTooSlow,
    /// The response's body is larger than the limit.
    #[error("the response body is larger than the function's limit")]
    ResponseBodyTooLarge,
    /// The guest ended without a response.
    #[error("the function ended without a response")]
    NeverAnswered,
    /// The guest's response breaks the protocol, or is an error code.
    #[error("the function gave no valid response: {0}")]
    BadAnswer(Arc<str>),
    /// The guest stopped in the middle of the response body.
    #[error("the function dropped its response body half-way")]
    BodyDropped,
    /// Another request ended the instance that this one shared (`concurrent` only).
    #[error("another request ended the instance that this request shared")]
    InstanceEnded,
    /// All instances that the node or the function may have are in use.
    #[error("no instance is free")]
    Overloaded,
    /// The instance could not be made; the text is for the log only.
    #[error("the function could not be started")]
    Instantiation(Arc<str>),
    /// The client went away.
    #[error("the client went away")]
    ClientGone,
    /// The node is shutting down.
    #[error("the node is shutting down")]
    Draining,
}

impl Fault {
    /// The stable code, with a page in `docs/errors/`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Trap(_) => "EW3002",
            Self::CpuLimit => "EW3003",
            Self::WallLimit => "EW3004",
            Self::MemoryLimit => "EW3005",
            Self::RequestBodyTooLarge => "EW3006",
            Self::ResponseBodyTooLarge => "EW3007",
            Self::NeverAnswered => "EW3008",
            Self::BadAnswer(_) => "EW3009",
            Self::BodyDropped => "EW3010",
            Self::Overloaded => "EW3012",
            Self::InstanceEnded => "EW3013",
            Self::Draining => "EW3014",
            Self::Instantiation(_) => "EW3017",
            Self::ClientGone => "EW3018",
            Self::RequestBodyTooSlow => "EW3022",
        }
    }

    /// What the log may say and the client may not.
    pub fn detail_for_log(&self) -> Option<&str> {
        match self {
            Self::Trap(text) | Self::Instantiation(text) | Self::BadAnswer(text) => Some(text),
            _ => None,
        }
    }
}

/// The error that host code raises inside a guest to end it; carries the fault to blame.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Ended(pub(crate) Fault);

/// Which fault an error from Wasmtime means. `memory_denied` says that the guest had been refused
/// memory before: what follows then is the guest's way of giving up.
pub(crate) fn from_wasmtime(error: &wasmtime::Error, memory_denied: bool) -> Fault {
    if let Some(Ended(fault)) = error.downcast_ref::<Ended>() {
        return fault.clone();
    }
    if error
        .downcast_ref::<wasmtime::PoolConcurrencyLimitError>()
        .is_some()
    {
        return Fault::Overloaded;
    }
    if memory_denied {
        return Fault::MemoryLimit;
    }
    Fault::Trap(format!("{error:?}").into())
}
