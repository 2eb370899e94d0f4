//! What can go wrong with a request, as a value.
//!
//! Owns the list of faults and which Wasmtime error means which. A guest's fault is never a panic
//! of the host. How a fault is answered (status, headers, body) is decided elsewhere, in one map.

use std::io;
use std::sync::Arc;

use rustix::io::Errno;

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
    /// The operating system gave no memory or file that the request needs; the text is for the log only.
    #[error("the machine has no memory mapping or file left for this request")]
    Machine(Arc<str>),
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
            Self::Machine(_) => "EW4040",
        }
    }

    /// What the log may say and the client may not.
    pub fn detail_for_log(&self) -> Option<&str> {
        match self {
            Self::Trap(text)
            | Self::Instantiation(text)
            | Self::BadAnswer(text)
            | Self::Machine(text) => Some(text),
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
    if machine_limit(error).is_some() {
        return Fault::Machine(format!("{error:#}").into());
    }
    if memory_denied {
        return Fault::MemoryLimit;
    }
    Fault::Trap(format!("{error:?}").into())
}

/// The operating system's refusal behind an error, if it is about what a process may have.
pub(crate) fn machine_limit(error: &wasmtime::Error) -> Option<io::Error> {
    error.chain().find_map(|cause| {
        let code = match cause.downcast_ref::<io::Error>() {
            Some(error) => Errno::from_io_error(error),
            None => cause.downcast_ref::<Errno>().copied(),
        };
        code.map(io::Error::from).filter(is_limit)
    })
}

/// Whether it says that the process has as many files or mappings as it may.
pub fn is_limit(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::NOMEM | Errno::MFILE | Errno::NFILE)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusal_of_the_operating_system_is_found_below_what_was_attempted() {
        let deep = wasmtime::Error::from(Errno::NOMEM)
            .context("mmap failed")
            .context("no slot");
        assert!(matches!(from_wasmtime(&deep, false), Fault::Machine(_)));
        let deep = wasmtime::Error::from(io::Error::from(Errno::MFILE)).context("open");
        assert!(matches!(from_wasmtime(&deep, true), Fault::Machine(_)));
        let other = wasmtime::Error::from(Errno::NOENT).context("open");
        assert!(matches!(from_wasmtime(&other, false), Fault::Trap(_)));
    }
}
