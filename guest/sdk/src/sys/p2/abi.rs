//! The calls to the host, by the canonical ABI of the component model, as `wit/wasi-0.2.wit` has
//! them. Written by hand so that a component imports only what it calls: each import costs a fresh
//! instance time. What leaves this module is safe.

mod resources;

pub(super) use self::resources::{
    Fields, FutureTrailers, IncomingBody, InputStream, OutgoingBody, OutgoingResponse, Outparam,
    OutputStream, Pollable, Request,
};
use super::super::abi::{Entry, List, Tagged, host, owned};

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
        #[name = "[method]future-trailers.get"] unsafe fn trailers_get(u32, *mut TrailersResult);
        #[name = "[resource-drop]future-trailers"] unsafe fn trailers_drop(u32);
        #[name = "[constructor]outgoing-response"] unsafe fn response_new(u32) -> u32;
        #[name = "[method]outgoing-response.set-status-code"] unsafe fn response_set_status(u32, u32) -> u32;
        #[name = "[method]outgoing-response.body"] unsafe fn response_body(u32, *mut Tagged);
        #[name = "[static]response-outparam.set"] unsafe fn outparam_set(u32, u32, u32, u32, u64, u32, u32, u32, u32);
        #[name = "[method]outgoing-body.write"] unsafe fn outgoing_write(u32, *mut Tagged);
        #[name = "[static]outgoing-body.finish"] unsafe fn outgoing_finish(u32, u32, u32, *mut FinishResult);
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

/// `result<_, error-code>`, of which only the case is read.
#[repr(C, align(8))]
struct FinishResult([u8; 40]);

/// `option<result<result<option<trailers>, error-code>>>`.
#[repr(C, align(8))]
struct TrailersResult([u8; 56]);

/// The handle of a result that is not an error.
fn handle(result: &Tagged) -> Option<u32> {
    (result.case == 0).then(|| result.first.value())
}

/// `Err` for either case of `stream-error`. Its error, where there is one, says nothing that the caller
/// could use.
fn stream(result: Tagged) -> Result<Tagged, StreamEnd> {
    if result.case == 0 {
        return Ok(result);
    }
    Err(stream_end(result.first.0[0], result.second))
}

/// Why a stream goes no further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StreamEnd {
    /// It has ended, or the other side doesn't want more.
    Closed,
    /// It broke.
    Failed,
}

fn stream_end(case: u8, error: u32) -> StreamEnd {
    if case != 0 {
        return StreamEnd::Closed;
    }
    // SAFETY: the handle came with the case that owns it.
    unsafe { error_drop(error) };
    StreamEnd::Failed
}
