//! The calls to the host, by the canonical ABI of the component model, as `wit/wasi-0.2.wit` has
//! them. Written by hand so that a component imports only what it calls: each import costs a fresh
//! instance time. Here is all the crate's unsafe code; what leaves this module is safe.

mod resources;

use std::alloc::{Layout, alloc, realloc};

pub(super) use self::resources::{
    Fields, FutureTrailers, IncomingBody, InputStream, OutgoingBody, OutgoingResponse, Outparam,
    OutputStream, Pollable, Request,
};

macro_rules! host {
    ($(#[module = $module:literal] { $(#[name = $name:literal] fn $function:ident($($argument:ty),*) $(-> $result:ty)?;)* })*) => {$(
        #[link(wasm_import_module = $module)]
        unsafe extern "C" {$(
            #[link_name = $name]
            fn $function($(_: $argument),*) $(-> $result)?;
        )*}
    )*};
}

host! {
    #[module = "wasi:io/error@0.2.0"] {
        #[name = "[resource-drop]error"] fn error_drop(u32);
    }
    #[module = "wasi:io/poll@0.2.0"] {
        #[name = "poll"] fn poll_list(*const u32, usize, *mut List);
        #[name = "[method]pollable.block"] fn pollable_block(u32);
        #[name = "[resource-drop]pollable"] fn pollable_drop(u32);
    }
    #[module = "wasi:clocks/monotonic-clock@0.2.0"] {
        #[name = "subscribe-duration"] fn subscribe_duration(u64) -> u32;
    }
    #[module = "wasi:io/streams@0.2.0"] {
        #[name = "[method]input-stream.read"] fn input_read(u32, u64, *mut Tagged);
        #[name = "[method]input-stream.subscribe"] fn input_subscribe(u32) -> u32;
        #[name = "[resource-drop]input-stream"] fn input_drop(u32);
        #[name = "[method]output-stream.check-write"] fn output_check(u32, *mut Room);
        #[name = "[method]output-stream.write"] fn output_write(u32, *const u8, usize, *mut Tagged);
        #[name = "[method]output-stream.flush"] fn output_flush(u32, *mut Tagged);
        #[name = "[method]output-stream.subscribe"] fn output_subscribe(u32) -> u32;
        #[name = "[resource-drop]output-stream"] fn output_drop(u32);
    }
    #[module = "wasi:http/types@0.2.0"] {
        #[name = "[static]fields.from-list"] fn fields_from_list(*const RawEntry, usize, *mut Tagged);
        #[name = "[method]fields.entries"] fn fields_entries(u32, *mut List);
        #[name = "[resource-drop]fields"] fn fields_drop(u32);
        #[name = "[method]incoming-request.method"] fn request_method(u32, *mut Tagged);
        #[name = "[method]incoming-request.path-with-query"] fn request_path(u32, *mut Tagged);
        #[name = "[method]incoming-request.authority"] fn request_authority(u32, *mut Tagged);
        #[name = "[method]incoming-request.headers"] fn request_headers(u32) -> u32;
        #[name = "[method]incoming-request.consume"] fn request_consume(u32, *mut Tagged);
        #[name = "[resource-drop]incoming-request"] fn request_drop(u32);
        #[name = "[method]incoming-body.stream"] fn body_stream(u32, *mut Tagged);
        #[name = "[static]incoming-body.finish"] fn body_finish(u32) -> u32;
        #[name = "[resource-drop]incoming-body"] fn body_drop(u32);
        #[name = "[method]future-trailers.subscribe"] fn trailers_subscribe(u32) -> u32;
        #[name = "[method]future-trailers.get"] fn trailers_get(u32, *mut TrailersResult);
        #[name = "[resource-drop]future-trailers"] fn trailers_drop(u32);
        #[name = "[constructor]outgoing-response"] fn response_new(u32) -> u32;
        #[name = "[method]outgoing-response.set-status-code"] fn response_set_status(u32, u32) -> u32;
        #[name = "[method]outgoing-response.body"] fn response_body(u32, *mut Tagged);
        #[name = "[static]response-outparam.set"] fn outparam_set(u32, u32, u32, u32, u64, u32, u32, u32, u32);
        #[name = "[method]outgoing-body.write"] fn outgoing_write(u32, *mut Tagged);
        #[name = "[static]outgoing-body.finish"] fn outgoing_finish(u32, u32, u32, *mut FinishResult);
        #[name = "[resource-drop]outgoing-body"] fn outgoing_drop(u32);
    }
}

/// What most calls return: a case, and two words that depend on it. Hosts write the case's one byte
/// only, so the rest of that word is not read.
#[repr(C)]
#[derive(Default)]
struct Tagged {
    case: u8,
    first: Word,
    second: u32,
}

/// A word of which some cases use the first byte alone.
#[repr(C, align(4))]
#[derive(Default, Clone, Copy)]
struct Word([u8; 4]);

/// `list<T>`.
#[repr(C)]
#[derive(Default)]
struct List {
    start: usize,
    len: usize,
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

/// `tuple<field-key, field-value>`.
#[repr(C)]
struct RawEntry {
    name: *const u8,
    name_len: usize,
    value: *const u8,
    value_len: usize,
}

impl Word {
    fn value(self) -> u32 {
        u32::from_le_bytes(self.0)
    }
}

impl Tagged {
    fn fill(call: impl FnOnce(*mut Self)) -> Self {
        let mut area = Self::default();
        call(&raw mut area);
        area
    }

    fn handle(&self) -> Option<u32> {
        (self.case == 0).then(|| self.first.value())
    }

    /// The bytes of a string or list in this case, which are the caller's from now on.
    fn bytes(&self) -> Vec<u8> {
        // SAFETY: the host allocated them through `cabi_realloc`, and each result is taken once.
        unsafe { owned(self.first.value() as usize, self.second as usize) }
    }

    fn option(&self) -> Option<String> {
        (self.case == 1).then(|| text(self.bytes()))
    }

    /// `Err` for either case of `stream-error`. Its error, where there is one, says nothing that
    /// the caller could use.
    fn stream(self) -> Result<Self, StreamEnd> {
        if self.case == 0 {
            return Ok(self);
        }
        Err(stream_end(self.first.0[0], self.second))
    }
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

/// Takes over what the host wrote for `cabi_realloc`'s caller.
///
/// # Safety
/// `start` and `len` are of one list that the host returned, and nobody else takes it.
unsafe fn owned<T>(start: usize, len: usize) -> Vec<T> {
    if len == 0 {
        return Vec::new();
    }
    // SAFETY: the host allocated exactly `len` elements with the alignment of `T`.
    unsafe { Box::from_raw(std::ptr::slice_from_raw_parts_mut(start as *mut T, len)) }.into_vec()
}

/// Strings are UTF-8 by the canonical ABI; a host that breaks it costs characters, not memory.
fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// Lets the host allocate what it returns. The name is the component toolchain's.
///
/// # Safety
/// `old` is null, or was returned from here with `old_len` and `align`; `align` is a power of two.
#[unsafe(no_mangle)]
unsafe extern "C" fn cabi_realloc(
    old: *mut u8,
    old_len: usize,
    align: usize,
    new_len: usize,
) -> *mut u8 {
    if new_len == 0 {
        return std::ptr::without_provenance_mut(align);
    }
    // SAFETY: the caller keeps the promise above, and `new_len` is not zero.
    let new = unsafe {
        if old_len == 0 {
            alloc(Layout::from_size_align_unchecked(new_len, align))
        } else {
            let layout = Layout::from_size_align_unchecked(old_len, align);
            realloc(old, layout, new_len)
        }
    };
    if new.is_null() {
        // A host has no way to be told: end here, as all of Rust does without memory.
        std::process::abort();
    }
    new
}
