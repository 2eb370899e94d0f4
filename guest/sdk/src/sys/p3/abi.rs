//! The calls to the host, by the canonical ABI of the component model, as `wit/wasi-0.3.wit` has
//! them. Written by hand so that a component imports only what it calls: each import costs a fresh
//! instance time. What leaves this module is safe.

#[cfg(feature = "wasip3")]
pub(super) mod bindgen;
mod bodies;
mod client;
mod layout;
mod resources;
mod streams;
mod subtask;
mod task;

pub(super) use self::bodies::{CutShort, TrailersReader, TrailersWriter};
pub(super) use self::client::{IncomingResponse, OutgoingRequest, RequestOptions, Sending, Sent};
pub(super) use self::resources::{Fields, Outcome, Request, Response};
pub(super) use self::streams::{Readable, StreamReader, StreamWriter, stream};
pub(super) use self::subtask::Timer;
pub(super) use self::task::{Set, answer, cancel, join_none, park, unpark};
use super::super::abi::{Entry, HostCode, List, Tagged, host, owned, word};

host! {
    #[module = "$root"] {
        #[name = "[waitable-set-new]"] safe fn set_new() -> u32;
        #[name = "[waitable-set-poll]"] unsafe fn set_poll(u32, *mut [u32; 2]) -> u32;
        #[name = "[waitable-set-drop]"] safe fn set_drop(u32);
        #[name = "[waitable-join]"] safe fn waitable_join(u32, u32);
        #[name = "[context-get-0]"] safe fn slot_get() -> usize;
        #[name = "[context-set-0]"] safe fn slot_set(usize);
        #[name = "[subtask-cancel]"] safe fn subtask_cancel(u32) -> u32;
        #[name = "[subtask-drop]"] safe fn subtask_drop(u32);
    }
    #[module = "[export]$root"] {
        #[name = "[task-cancel]"] safe fn task_cancel();
    }
    #[module = "[export]wasi:http/handler@0.3.0"] {
        #[name = "[task-return]handle"] unsafe fn task_return(u32, u32, u32, u64, u32, u32, u32, u32);
    }
    #[module = "wasi:clocks/monotonic-clock@0.3.0"] {
        #[name = "[async-lower]wait-for"] safe fn wait_for(u64) -> u32;
    }
    #[module = "wasi:http/types@0.3.0"] {
        #[name = "[static]fields.from-list"] unsafe fn fields_from_list(*const Entry<'_>, usize, *mut FieldsResult);
        #[name = "[method]fields.copy-all"] unsafe fn fields_copy_all(u32, *mut List);
        #[name = "[resource-drop]fields"] safe fn fields_drop(u32);
        #[name = "[method]request.get-method"] unsafe fn request_method(u32, *mut Tagged);
        #[name = "[method]request.get-path-with-query"] unsafe fn request_path(u32, *mut Tagged);
        #[name = "[method]request.get-authority"] unsafe fn request_authority(u32, *mut Tagged);
        #[name = "[method]request.get-headers"] safe fn request_headers(u32) -> u32;
        #[name = "[static]request.consume-body"] unsafe fn request_consume(u32, u32, *mut [u32; 2]);
        #[name = "[resource-drop]request"] safe fn request_drop(u32);
        #[name = "[static]response.new"] unsafe fn response_new(u32, u32, u32, u32, *mut [u32; 2]);
        #[name = "[method]response.set-status-code"] safe fn response_set_status(u32, u32) -> u32;
        // `stream<u8>`
        #[name = "[stream-new-0][static]response.new"] safe fn stream_new() -> u64;
        #[name = "[async-lower][stream-read-0][static]response.new"] unsafe fn stream_read(u32, *mut u8, usize) -> u32;
        #[name = "[async-lower][stream-write-0][static]response.new"] unsafe fn stream_write(u32, *const u8, usize) -> u32;
        #[name = "[stream-cancel-read-0][static]response.new"] safe fn stream_cancel_read(u32) -> u32;
        #[name = "[stream-cancel-write-0][static]response.new"] safe fn stream_cancel_write(u32) -> u32;
        #[name = "[stream-drop-readable-0][static]response.new"] safe fn stream_drop_readable(u32);
        #[name = "[stream-drop-writable-0][static]response.new"] safe fn stream_drop_writable(u32);
        // `future<result<option<trailers>, error-code>>`
        #[name = "[future-new-1][static]response.new"] safe fn trailers_new() -> u64;
        #[name = "[async-lower][future-read-1][static]response.new"] unsafe fn trailers_read(u32, *mut CodeArea) -> u32;
        #[name = "[async-lower][future-write-1][static]response.new"] unsafe fn trailers_write(u32, *const CodeArea) -> u32;
        #[name = "[future-cancel-read-1][static]response.new"] safe fn trailers_cancel_read(u32) -> u32;
        #[name = "[future-drop-readable-1][static]response.new"] safe fn trailers_drop_readable(u32);
        #[name = "[future-drop-writable-1][static]response.new"] safe fn trailers_drop_writable(u32);
        // `future<result<_, error-code>>`
        #[name = "[future-new-2][static]response.new"] safe fn outcome_new() -> u64;
        #[name = "[async-lower][future-write-2][static]response.new"] unsafe fn outcome_write(u32, *const CodeArea) -> u32;
        #[name = "[future-drop-readable-2][static]response.new"] safe fn outcome_drop_readable(u32);
        #[name = "[future-drop-writable-2][static]response.new"] safe fn outcome_drop_writable(u32);
    }
}

/// What a copy returns that goes on.
const BLOCKED: u32 = u32::MAX;

/// `result<fields, header-error>`.
#[repr(C, align(4))]
struct FieldsResult([u8; layout::FIELDS_RESULT]);

/// `result<option<trailers>, error-code>`, `result<_, error-code>` and `result<response, error-code>`, which
/// lie alike.
#[repr(C, align(8))]
struct CodeArea([u8; layout::CODE_RESULT]);

impl CodeArea {
    const fn new() -> Self {
        Self([0; layout::CODE_RESULT])
    }

    /// What the result holds.
    ///
    /// # Safety
    /// The host wrote the result, and its `error-code` is taken once.
    unsafe fn value(&self) -> Result<&[u8], HostCode> {
        let value = &self.0[layout::CODE_VALUE..];
        if self.0[0] == 0 {
            return Ok(value);
        }
        // SAFETY: as the caller says.
        Err(unsafe { HostCode::take(value) })
    }
}

/// How a copy between the two ends of a stream or future ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Copied {
    /// How many elements were copied.
    len: usize,
    /// Whether the other end was still there.
    end: End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Open,
    Dropped,
    Cancelled,
}

impl Copied {
    fn of(code: u32) -> Self {
        Self {
            len: (code >> 4) as usize,
            end: match code & 0xf {
                0 => End::Open,
                1 => End::Dropped,
                _ => End::Cancelled,
            },
        }
    }
}

/// The two ends of a new stream or future: the readable one, and the writable one.
#[allow(
    clippy::cast_possible_truncation,
    reason = "two handles are packed in one number"
)]
fn ends(packed: u64) -> (u32, u32) {
    (packed as u32, (packed >> 32) as u32)
}
