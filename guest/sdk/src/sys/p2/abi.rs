//! The calls to the host, by the canonical ABI of the component model, as `wit/wasi-0.2.wit` has
//! them. Written by hand so that a component imports only what it calls: each import costs a fresh
//! instance time. What leaves this module is safe.

mod client;
mod layout;
mod resources;

pub(super) use self::client::{FutureResponse, IncomingResponse, OutgoingRequest, RequestOptions};
pub(super) use self::resources::{
    Fields, FutureTrailers, IncomingBody, InputStream, IoError, OutgoingBody, OutgoingResponse,
    Outparam, OutputStream, Pollable, Request,
};
use super::super::abi::{Entry, HostCode, List, Tagged, host, owned, word};

host! {
    #[module = "wasi:io/error@0.2.0"] {
        #[name = "[resource-drop]error"] unsafe fn error_drop(u32);
    }
    #[module = "wasi:io/poll@0.2.0"] {
        #[name = "poll"] unsafe fn poll_list(*const u32, usize, *mut List);
        #[name = "[method]pollable.block"] unsafe fn pollable_block(u32);
        #[name = "[resource-drop]pollable"] unsafe fn pollable_drop(u32);
    }
    #[module = "wasi:clocks/monotonic-clock@0.2.0"] {
        #[name = "subscribe-duration"] unsafe fn subscribe_duration(u64) -> u32;
    }
    #[module = "wasi:io/streams@0.2.0"] {
        #[name = "[method]input-stream.read"] unsafe fn input_read(u32, u64, *mut Tagged);
        #[name = "[method]input-stream.subscribe"] unsafe fn input_subscribe(u32) -> u32;
        #[name = "[resource-drop]input-stream"] unsafe fn input_drop(u32);
        #[name = "[method]output-stream.check-write"] unsafe fn output_check(u32, *mut Room);
        #[name = "[method]output-stream.write"] unsafe fn output_write(u32, *const u8, usize, *mut Tagged);
        #[name = "[method]output-stream.flush"] unsafe fn output_flush(u32, *mut Tagged);
        #[name = "[method]output-stream.subscribe"] unsafe fn output_subscribe(u32) -> u32;
        #[name = "[resource-drop]output-stream"] unsafe fn output_drop(u32);
    }
    #[module = "wasi:http/types@0.2.0"] {
        #[name = "[static]fields.from-list"] unsafe fn fields_from_list(*const Entry<'_>, usize, *mut Tagged);
        #[name = "[method]fields.entries"] unsafe fn fields_entries(u32, *mut List);
        #[name = "[resource-drop]fields"] unsafe fn fields_drop(u32);
        #[name = "[method]incoming-request.method"] unsafe fn request_method(u32, *mut Tagged);
        #[name = "[method]incoming-request.path-with-query"] unsafe fn request_path(u32, *mut Tagged);
        #[name = "[method]incoming-request.authority"] unsafe fn request_authority(u32, *mut Tagged);
        #[name = "[method]incoming-request.headers"] unsafe fn request_headers(u32) -> u32;
        #[name = "[method]incoming-request.consume"] unsafe fn request_consume(u32, *mut Tagged);
        #[name = "[resource-drop]incoming-request"] unsafe fn request_drop(u32);
        #[name = "[method]incoming-body.stream"] unsafe fn body_stream(u32, *mut Tagged);
        #[name = "[static]incoming-body.finish"] unsafe fn body_finish(u32) -> u32;
        #[name = "[resource-drop]incoming-body"] unsafe fn body_drop(u32);
        #[name = "[method]future-trailers.subscribe"] unsafe fn trailers_subscribe(u32) -> u32;
        #[name = "[method]future-trailers.get"] unsafe fn trailers_get(u32, *mut FutureArea);
        #[name = "[resource-drop]future-trailers"] unsafe fn trailers_drop(u32);
        #[name = "[constructor]outgoing-response"] unsafe fn response_new(u32) -> u32;
        #[name = "[method]outgoing-response.set-status-code"] unsafe fn response_set_status(u32, u32) -> u32;
        #[name = "[method]outgoing-response.body"] unsafe fn response_body(u32, *mut Tagged);
        #[name = "[static]response-outparam.set"] unsafe fn outparam_set(u32, u32, u32, u32, u64, u32, u32, u32, u32);
        #[name = "[method]outgoing-body.write"] unsafe fn outgoing_write(u32, *mut Tagged);
        #[name = "[static]outgoing-body.finish"] unsafe fn outgoing_finish(u32, u32, u32, *mut CodeArea);
        #[name = "[resource-drop]outgoing-body"] unsafe fn outgoing_drop(u32);
    }
}

/// `result<u64, stream-error>`.
#[repr(C)]
#[derive(Default)]
struct Room {
    case: u8,
    value: u64,
}

/// `result<_, error-code>`, `result<future-incoming-response, error-code>` and `option<error-code>`, which
/// lie alike.
#[repr(C, align(8))]
struct CodeArea([u8; layout::CODE_RESULT]);

/// `option<result<result<option<trailers>, error-code>>>`, and that of `incoming-response`.
#[repr(C, align(8))]
struct FutureArea([u8; layout::FUTURE_RESULT]);

/// The handle of a result that is not an error.
fn handle(result: &Tagged) -> Option<u32> {
    (result.case == 0).then(|| result.first.value())
}

/// `Err` for either case of `stream-error`.
fn stream(result: Tagged) -> Result<Tagged, StreamEnd> {
    if result.case == 0 {
        return Ok(result);
    }
    Err(StreamEnd::of(result.first.0[0], result.second))
}

/// Why a stream goes no further.
pub(super) enum StreamEnd {
    /// It has ended, or the other side doesn't want more.
    Closed,
    /// It broke.
    Failed(IoError),
}

impl StreamEnd {
    /// Takes over the error that comes with the first case.
    fn of(case: u8, error: u32) -> Self {
        match case {
            0 => Self::Failed(IoError::of(error)),
            _ => Self::Closed,
        }
    }
}
