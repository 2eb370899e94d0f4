//! The host's resources: each owns one handle and gives it back when it is dropped.

use std::mem::ManuallyDrop;

#[allow(
    clippy::wildcard_imports,
    reason = "the calls, one of which each method is"
)]
use super::*;

macro_rules! resource {
    ($(#[$doc:meta])* $name:ident, $drop:ident) => {
        $(#[$doc])*
        pub(in super::super) struct $name(pub(super) u32);

        impl Drop for $name {
            fn drop(&mut self) {
                // SAFETY: the handle is owned, and this is its end.
                unsafe { $drop(self.0) };
            }
        }
    };
}
pub(super) use resource;

resource!(
    /// `wasi:io/error.error`
    IoError, error_drop
);
resource!(
    /// `wasi:io/poll.pollable`
    Pollable, pollable_drop
);
resource!(
    /// `wasi:io/streams.input-stream`
    InputStream, input_drop
);
resource!(
    /// `wasi:io/streams.output-stream`
    OutputStream, output_drop
);
resource!(
    /// `wasi:http/types.fields`
    Fields, fields_drop
);
resource!(
    /// `wasi:http/types.incoming-request`
    Request, request_drop
);
resource!(
    /// `wasi:http/types.incoming-body`
    IncomingBody, body_drop
);
resource!(
    /// `wasi:http/types.future-trailers`
    FutureTrailers, trailers_drop
);
resource!(
    /// `wasi:http/types.outgoing-body`
    OutgoingBody, outgoing_drop
);

/// `wasi:http/types.outgoing-response`, which is always given away.
pub(in super::super) struct OutgoingResponse(u32);

/// `wasi:http/types.response-outparam`, which is used once at most.
pub(in super::super) struct Outparam(u32);

/// Whether a call without a result was accepted.
pub(super) fn accepted(case: u32) -> bool {
    case == 0
}

impl IoError {
    /// Takes over a handle.
    pub(super) fn of(handle: u32) -> Self {
        Self(handle)
    }
}

impl Pollable {
    /// Is ready after this many nanoseconds.
    pub(in super::super) fn after(nanoseconds: u64) -> Self {
        // SAFETY: the call takes a number and returns a handle that is ours.
        Self(unsafe { subscribe_duration(nanoseconds) })
    }

    /// Blocks until at least one is ready. Returns the indices of those that are.
    pub(in super::super) fn wait(pollables: &[&Self]) -> Vec<u32> {
        // The usual case: one wait, and one call that returns no list.
        if let [only] = pollables {
            // SAFETY: the handle is alive.
            unsafe { pollable_block(only.0) };
            return vec![0];
        }
        let handles: Vec<u32> = pollables.iter().map(|pollable| pollable.0).collect();
        let mut ready = List::default();
        // SAFETY: the handles are alive, the area is a list's, and the list is ours.
        unsafe {
            poll_list(handles.as_ptr(), handles.len(), &raw mut ready);
            owned(ready.start, ready.len)
        }
    }
}

impl InputStream {
    /// What is there now, up to `len_max` bytes; empty when that is nothing yet.
    pub(in super::super) fn read(&self, len_max: u64) -> Result<Vec<u8>, StreamEnd> {
        // SAFETY: the handle is alive, and the area is this result's.
        let read = Tagged::fill(|area| unsafe { input_read(self.0, len_max, area) });
        stream(read).map(|data| data.bytes())
    }

    pub(in super::super) fn subscribe(&self) -> Pollable {
        // SAFETY: the handle is alive, and the new one is ours.
        Pollable(unsafe { input_subscribe(self.0) })
    }
}

impl OutputStream {
    /// How many bytes may be written now.
    pub(in super::super) fn room(&self) -> Result<usize, StreamEnd> {
        let mut room = Room::default();
        // SAFETY: the handle is alive, and the area is this result's.
        unsafe { output_check(self.0, &raw mut room) };
        if room.case == 0 {
            return Ok(usize::try_from(room.value).unwrap_or(usize::MAX));
        }
        // The error's case is in the first byte of the value, its handle in the second word.
        let [case, .., a, b, c, d] = room.value.to_le_bytes();
        Err(StreamEnd::of(case, u32::from_le_bytes([a, b, c, d])))
    }

    /// Writes no more than there is room for: more would be a trap.
    pub(in super::super) fn write(&self, bytes: &[u8]) -> Result<(), StreamEnd> {
        let written =
            // SAFETY: the handle is alive, the bytes are borrowed for the call, the area is its.
            Tagged::fill(|area| unsafe { output_write(self.0, bytes.as_ptr(), bytes.len(), area) });
        stream(written).map(drop)
    }

    /// Asks the host to send what it has, and doesn't wait for that.
    pub(in super::super) fn flush(&self) -> Result<(), StreamEnd> {
        // SAFETY: the handle is alive, and the area is this result's.
        let flushed = Tagged::fill(|area| unsafe { output_flush(self.0, area) });
        stream(flushed).map(drop)
    }

    pub(in super::super) fn subscribe(&self) -> Pollable {
        // SAFETY: the handle is alive, and the new one is ours.
        Pollable(unsafe { output_subscribe(self.0) })
    }
}

impl Fields {
    /// `None` when the host refuses one of them.
    pub(in super::super) fn from_list(entries: &[Entry<'_>]) -> Option<Self> {
        let made = Tagged::fill(|area| {
            // SAFETY: the entries are borrowed for the call, the area is its.
            unsafe { fields_from_list(entries.as_ptr(), entries.len(), area) };
        });
        handle(&made).map(Self)
    }

    pub(in super::super) fn entries(&self) -> Vec<(String, Vec<u8>)> {
        let mut list = List::default();
        // SAFETY: the handle is alive, the area is a list's, and the list is one of entries.
        unsafe {
            fields_entries(self.0, &raw mut list);
            list.entries()
        }
    }
}

impl Request {
    /// Takes over the handle that the export was called with.
    pub(in super::super) fn from_export(handle: u32) -> Self {
        Self(handle)
    }

    /// The case of `method`, with the name that the last case carries.
    pub(in super::super) fn method(&self) -> (u8, Option<String>) {
        // SAFETY: the handle is alive, and the area is this result's.
        Tagged::fill(|area| unsafe { request_method(self.0, area) }).method()
    }

    pub(in super::super) fn path_with_query(&self) -> Option<String> {
        // SAFETY: the handle is alive, and the area is this result's.
        Tagged::fill(|area| unsafe { request_path(self.0, area) }).option()
    }

    pub(in super::super) fn authority(&self) -> Option<String> {
        // SAFETY: the handle is alive, and the area is this result's.
        Tagged::fill(|area| unsafe { request_authority(self.0, area) }).option()
    }

    pub(in super::super) fn headers(&self) -> Fields {
        // SAFETY: the handle is alive, and the new one is ours.
        Fields(unsafe { request_headers(self.0) })
    }

    /// The body, which can be taken once.
    pub(in super::super) fn consume(&self) -> Option<IncomingBody> {
        // SAFETY: the handle is alive, and the area is this result's.
        let body = Tagged::fill(|area| unsafe { request_consume(self.0, area) });
        handle(&body).map(IncomingBody)
    }
}

impl IncomingBody {
    /// The bytes, which can be taken once.
    pub(in super::super) fn stream(&self) -> Option<InputStream> {
        // SAFETY: the handle is alive, and the area is this result's.
        let stream = Tagged::fill(|area| unsafe { body_stream(self.0, area) });
        handle(&stream).map(InputStream)
    }

    /// Ends the body. Its stream must be gone by then.
    pub(in super::super) fn finish(self) -> FutureTrailers {
        // SAFETY: the handle is given away, and the new one is ours.
        FutureTrailers(unsafe { body_finish(ManuallyDrop::new(self).0) })
    }
}

impl FutureTrailers {
    pub(in super::super) fn subscribe(&self) -> Pollable {
        // SAFETY: the handle is alive, and the new one is ours.
        Pollable(unsafe { trailers_subscribe(self.0) })
    }

    /// `None` before they are there; an error when the body was cut short.
    pub(in super::super) fn get(&self) -> Option<Result<Option<Fields>, HostCode>> {
        let mut area = FutureArea([0; layout::FUTURE_RESULT]);
        // SAFETY: the handle is alive, and the area is this result's, which nobody else takes.
        let value = unsafe {
            trailers_get(self.0, &raw mut area);
            area.value()?
        };
        // Of those that were taken before nothing is left.
        let fields = |value: &[u8]| (value[0] == 1).then(|| Fields(word(value, 4)));
        Some(value.map(|value| value.and_then(fields)))
    }
}

impl FutureArea {
    /// The value of a future's result: none before it is there, and none within when it was taken before.
    ///
    /// # Safety
    /// The host wrote the result, and its `error-code` is taken once.
    pub(super) unsafe fn value(&self) -> Option<Result<Option<&[u8]>, HostCode>> {
        let area = &self.0;
        if area[0] == 0 {
            return None;
        }
        if area[layout::FUTURE_TAKEN] != 0 {
            return Some(Ok(None));
        }
        let value = &area[layout::FUTURE_VALUE..];
        Some(if area[layout::FUTURE_CASE] == 0 {
            Ok(Some(value))
        } else {
            // SAFETY: as the caller says.
            Err(unsafe { HostCode::take(value) })
        })
    }
}

impl OutgoingResponse {
    pub(in super::super) fn new(fields: Fields) -> Self {
        // SAFETY: the fields are given away, and the new handle is ours.
        Self(unsafe { response_new(ManuallyDrop::new(fields).0) })
    }

    pub(in super::super) fn set_status(&self, status: u16) -> bool {
        // SAFETY: the handle is alive.
        accepted(unsafe { response_set_status(self.0, u32::from(status)) })
    }

    /// The body, which can be taken once.
    pub(in super::super) fn body(&self) -> Option<OutgoingBody> {
        // SAFETY: the handle is alive, and the area is this result's.
        let body = Tagged::fill(|area| unsafe { response_body(self.0, area) });
        handle(&body).map(OutgoingBody)
    }
}

impl Outparam {
    /// Takes over the handle that the export was called with.
    pub(in super::super) fn from_export(handle: u32) -> Self {
        Self(handle)
    }

    #[allow(clippy::needless_pass_by_value, reason = "its handle is given away")]
    pub(in super::super) fn set(self, response: OutgoingResponse) {
        // SAFETY: both handles are given away; the words after them belong to the error's cases.
        unsafe { outparam_set(self.0, 0, response.0, 0, 0, 0, 0, 0, 0) };
    }
}

impl OutgoingBody {
    /// The stream to write to, which can be taken once.
    pub(in super::super) fn write(&self) -> Option<OutputStream> {
        // SAFETY: the handle is alive, and the area is this result's.
        let stream = Tagged::fill(|area| unsafe { outgoing_write(self.0, area) });
        handle(&stream).map(OutputStream)
    }

    /// Ends the body as a whole one. Its stream must be gone by then.
    pub(in super::super) fn finish(self, trailers: Option<Fields>) -> Result<(), HostCode> {
        let mut area = CodeArea([0; layout::CODE_RESULT]);
        let (some, trailers) = match trailers {
            Some(fields) => (1, ManuallyDrop::new(fields).0),
            None => (0, 0),
        };
        // SAFETY: both handles are given away, and the area is this result's.
        unsafe { outgoing_finish(ManuallyDrop::new(self).0, some, trailers, &raw mut area) };
        if area.0[0] == 0 {
            return Ok(());
        }
        // SAFETY: the host wrote it, and it is taken once.
        Err(unsafe { HostCode::take(&area.0[layout::CODE_VALUE..]) })
    }
}
