//! The resources of requests that the guest sends, and of what comes back.

use std::mem::ManuallyDrop;
use std::task::{Context, Poll, ready};

use super::super::super::error_code::INTERNAL_ERROR;
use super::super::super::sending::{Head, Options};
use super::resources::{Outcome, consume, drop_text};
use super::subtask::Subtask;
use super::{
    CodeArea, Fields, HostCode, Readable, StreamReader, TrailersReader, host, layout,
    outcome_drop_readable, request_drop, word,
};

host! {
    #[module = "wasi:http/client@0.3.0"] {
        #[name = "[async-lower]send"] unsafe fn send(u32, *mut CodeArea) -> u32;
    }
    #[module = "wasi:http/types@0.3.0"] {
        #[name = "[static]request.new"] unsafe fn request_new(u32, u32, u32, u32, u32, u32, *mut [u32; 2]);
        #[name = "[method]request.set-method"] unsafe fn request_set_method(u32, u32, *const u8, usize) -> u32;
        #[name = "[method]request.set-path-with-query"] unsafe fn request_set_path(u32, u32, *const u8, usize) -> u32;
        #[name = "[method]request.set-scheme"] unsafe fn request_set_scheme(u32, u32, u32, *const u8, usize) -> u32;
        #[name = "[method]request.set-authority"] unsafe fn request_set_authority(u32, u32, *const u8, usize) -> u32;
        #[name = "[constructor]request-options"] safe fn options_new() -> u32;
        #[name = "[method]request-options.set-connect-timeout"] unsafe fn options_set_connect(u32, u32, u64, *mut OptionsArea);
        #[name = "[method]request-options.set-first-byte-timeout"] unsafe fn options_set_first_byte(u32, u32, u64, *mut OptionsArea);
        #[name = "[method]request-options.set-between-bytes-timeout"] unsafe fn options_set_between_bytes(u32, u32, u64, *mut OptionsArea);
        #[name = "[resource-drop]request-options"] safe fn options_drop(u32);
        #[name = "[method]response.get-status-code"] safe fn response_status(u32) -> u32;
        #[name = "[method]response.get-headers"] safe fn response_headers(u32) -> u32;
        #[name = "[static]response.consume-body"] unsafe fn response_consume(u32, u32, *mut [u32; 2]);
        #[name = "[resource-drop]response"] safe fn response_drop(u32);
    }
}

/// `result<_, request-options-error>`.
#[repr(C, align(4))]
struct OptionsArea([u8; layout::OPTIONS_RESULT]);

/// `wasi:http/types.request`, of the guest's own.
pub(in super::super) struct OutgoingRequest(u32);

/// `wasi:http/types.request-options`
pub(in super::super) struct RequestOptions(u32);

/// `wasi:http/types.response`, of the host's.
pub(in super::super) struct IncomingResponse(u32);

/// The future of whether a request was sent. The response says as much, so that nobody reads it; but a host
/// may end the whole exchange when it is dropped.
pub(in super::super) struct Sent(u32);

impl Drop for Sent {
    fn drop(&mut self) {
        outcome_drop_readable(self.0);
    }
}

impl Drop for OutgoingRequest {
    fn drop(&mut self) {
        request_drop(self.0);
    }
}

impl Drop for RequestOptions {
    fn drop(&mut self) {
        options_drop(self.0);
    }
}

impl Drop for IncomingResponse {
    fn drop(&mut self) {
        response_drop(self.0);
    }
}

impl OutgoingRequest {
    /// A request with a body or without one, whose trailers say how it ended, and what stands for its being
    /// sent. The handle of options is given away.
    pub(in super::super) fn new(
        fields: Fields,
        contents: Option<Readable>,
        trailers: u32,
        options: Option<u32>,
    ) -> (Self, Sent) {
        let (some, contents) = contents.map_or((0, 0), |contents| (1, contents.into_handle()));
        let (are_some, options) = options.map_or((0, 0), |options| (1, options));
        let fields = fields.into_handle();
        let mut parts = [0; 2];
        let area = &raw mut parts;
        // SAFETY: the handles are given away, and the area is this result's.
        unsafe { request_new(fields, some, contents, trailers, are_some, options, area) };
        let [request, sent] = parts;
        (Self(request), Sent(sent))
    }
}

impl Head for OutgoingRequest {
    fn set_method(&self, (case, name): (u32, &str)) -> bool {
        // SAFETY: the name is borrowed for the call.
        unsafe { request_set_method(self.0, case, name.as_ptr(), name.len()) == 0 }
    }

    fn set_scheme(&self, (case, name): (u32, &str)) -> bool {
        // SAFETY: the name is borrowed for the call.
        unsafe { request_set_scheme(self.0, 1, case, name.as_ptr(), name.len()) == 0 }
    }

    fn set_authority(&self, text: &str) -> bool {
        // SAFETY: the text is borrowed for the call.
        unsafe { request_set_authority(self.0, 1, text.as_ptr(), text.len()) == 0 }
    }

    fn set_path_with_query(&self, text: &str) -> bool {
        // SAFETY: the text is borrowed for the call.
        unsafe { request_set_path(self.0, 1, text.as_ptr(), text.len()) == 0 }
    }
}

/// Calls what sets a time-out. Says whether the host has such a one.
fn is_set(call: impl FnOnce(*mut OptionsArea)) -> bool {
    let mut area = OptionsArea([0; layout::OPTIONS_RESULT]);
    call(&raw mut area);
    if area.0[0] == 0 {
        return true;
    }
    let (case, place) = layout::OPTIONS_TEXT;
    if area.0[layout::OPTIONS_ERROR] == case {
        // SAFETY: the host wrote this case, whose text nobody else takes.
        unsafe { drop_text(&area.0, place) };
    }
    false
}

impl Options for RequestOptions {
    fn new() -> Self {
        Self(options_new())
    }

    fn set_connect(&self, nanoseconds: u64) -> bool {
        // SAFETY: the area is this result's.
        is_set(|area| unsafe { options_set_connect(self.0, 1, nanoseconds, area) })
    }

    fn set_first_byte(&self, nanoseconds: u64) -> bool {
        // SAFETY: the area is this result's.
        is_set(|area| unsafe { options_set_first_byte(self.0, 1, nanoseconds, area) })
    }

    fn set_between_bytes(&self, nanoseconds: u64) -> bool {
        // SAFETY: the area is this result's.
        is_set(|area| unsafe { options_set_between_bytes(self.0, 1, nanoseconds, area) })
    }

    fn into_handle(self) -> u32 {
        ManuallyDrop::new(self).0
    }
}

/// A request that was sent. Dropping it cancels the request.
pub(in super::super) struct Sending {
    /// The call, when it has not ended at once.
    subtask: Option<Subtask>,
    /// What the host writes its result to, until that is taken.
    area: Option<Box<CodeArea>>,
}

impl Sending {
    pub(in super::super) fn start(request: OutgoingRequest) -> Self {
        let mut area = Box::new(CodeArea::new());
        let request = ManuallyDrop::new(request).0;
        // SAFETY: the handle is given away, and the area is owned and left alone until the call has ended:
        // see `drop`.
        let packed = unsafe { send(request, &raw mut *area) };
        Self {
            subtask: Subtask::of(packed),
            area: Some(area),
        }
    }

    /// The response, once.
    pub(in super::super) fn poll(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<IncomingResponse, HostCode>> {
        if let Some(subtask) = &mut self.subtask {
            ready!(subtask.poll(context));
        }
        Poll::Ready(self.taken())
    }

    /// What a call that has ended has left in the area.
    fn taken(&mut self) -> Result<IncomingResponse, HostCode> {
        let nothing = || HostCode::of(INTERNAL_ERROR);
        let area = self.area.take().ok_or_else(nothing)?;
        // SAFETY: the host has written it, and nobody else takes it.
        let value = unsafe { area.value()? };
        Ok(IncomingResponse(word(value, 0)))
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        if self.area.is_some() && self.subtask.as_mut().is_none_or(Subtask::cancel) {
            drop(self.taken());
        }
    }
}

impl IncomingResponse {
    pub(in super::super) fn status(&self) -> u32 {
        response_status(self.0)
    }

    pub(in super::super) fn headers(&self) -> Fields {
        Fields::of(response_headers(self.0))
    }

    /// The body and its trailers, and what has to stay for as long as they are read: a host may end the
    /// response with it.
    pub(in super::super) fn consume(self) -> (StreamReader, TrailersReader, Outcome) {
        // SAFETY: both handles are given away, and the area is the call's result's.
        consume(|outcome, parts| unsafe {
            response_consume(ManuallyDrop::new(self).0, outcome, parts);
        })
    }
}
