//! The resources of requests that the guest sends, and of what comes back.

use std::mem::ManuallyDrop;

use super::super::super::error_code::INTERNAL_ERROR;
use super::super::super::sending::{Head, Options};
use super::resources::{accepted, resource};
use super::{
    CodeArea, Fields, FutureArea, HostCode, IncomingBody, IoError, OutgoingBody, Pollable, Tagged,
    handle, host, layout, word,
};

host! {
    #[module = "wasi:http/outgoing-handler@0.2.0"] {
        #[name = "handle"] unsafe fn send(u32, u32, u32, *mut CodeArea);
    }
    #[module = "wasi:http/types@0.2.0"] {
        #[name = "[constructor]outgoing-request"] unsafe fn request_new(u32) -> u32;
        #[name = "[method]outgoing-request.set-method"] unsafe fn request_set_method(u32, u32, *const u8, usize) -> u32;
        #[name = "[method]outgoing-request.set-path-with-query"] unsafe fn request_set_path(u32, u32, *const u8, usize) -> u32;
        #[name = "[method]outgoing-request.set-scheme"] unsafe fn request_set_scheme(u32, u32, u32, *const u8, usize) -> u32;
        #[name = "[method]outgoing-request.set-authority"] unsafe fn request_set_authority(u32, u32, *const u8, usize) -> u32;
        #[name = "[method]outgoing-request.body"] unsafe fn request_body(u32, *mut Tagged);
        #[name = "[resource-drop]outgoing-request"] unsafe fn request_drop(u32);
        #[name = "[constructor]request-options"] unsafe fn options_new() -> u32;
        #[name = "[method]request-options.set-connect-timeout"] unsafe fn options_set_connect(u32, u32, u64) -> u32;
        #[name = "[method]request-options.set-first-byte-timeout"] unsafe fn options_set_first_byte(u32, u32, u64) -> u32;
        #[name = "[method]request-options.set-between-bytes-timeout"] unsafe fn options_set_between_bytes(u32, u32, u64) -> u32;
        #[name = "[resource-drop]request-options"] unsafe fn options_drop(u32);
        #[name = "[method]future-incoming-response.subscribe"] unsafe fn future_subscribe(u32) -> u32;
        #[name = "[method]future-incoming-response.get"] unsafe fn future_get(u32, *mut FutureArea);
        #[name = "[resource-drop]future-incoming-response"] unsafe fn future_drop(u32);
        #[name = "[method]incoming-response.status"] unsafe fn response_status(u32) -> u32;
        #[name = "[method]incoming-response.headers"] unsafe fn response_headers(u32) -> u32;
        #[name = "[method]incoming-response.consume"] unsafe fn response_consume(u32, *mut Tagged);
        #[name = "[resource-drop]incoming-response"] unsafe fn response_drop(u32);
        #[name = "http-error-code"] unsafe fn error_code(u32, *mut CodeArea);
    }
}

resource!(
    /// `wasi:http/types.outgoing-request`
    OutgoingRequest, request_drop
);
resource!(
    /// `wasi:http/types.request-options`
    RequestOptions, options_drop
);
resource!(
    /// `wasi:http/types.future-incoming-response`
    FutureResponse, future_drop
);
resource!(
    /// `wasi:http/types.incoming-response`
    IncomingResponse, response_drop
);

impl OutgoingRequest {
    pub(in super::super) fn new(fields: Fields) -> Self {
        // SAFETY: the fields are given away, and the new handle is ours.
        Self(unsafe { request_new(ManuallyDrop::new(fields).0) })
    }

    /// The body, which can be taken once. Without it, the request has none.
    pub(in super::super) fn body(&self) -> Option<OutgoingBody> {
        // SAFETY: the handle is alive, and the area is this result's.
        let body = Tagged::fill(|area| unsafe { request_body(self.0, area) });
        handle(&body).map(OutgoingBody)
    }

    /// Sends it, with the handle of options, which is given away.
    pub(in super::super) fn send(self, options: Option<u32>) -> Result<FutureResponse, HostCode> {
        let (some, options) = options.map_or((0, 0), |options| (1, options));
        let mut area = CodeArea([0; layout::CODE_RESULT]);
        // SAFETY: both handles are given away, and the area is this result's.
        unsafe { send(ManuallyDrop::new(self).0, some, options, &raw mut area) };
        if area.0[0] == 0 {
            return Ok(FutureResponse(word(&area.0, layout::CODE_VALUE)));
        }
        // SAFETY: the host wrote it, and it is taken once.
        Err(unsafe { HostCode::take(&area.0[layout::CODE_VALUE..]) })
    }
}

impl Head for OutgoingRequest {
    fn set_method(&self, (case, name): (u32, &str)) -> bool {
        // SAFETY: the handle is alive, and the name is borrowed for the call.
        accepted(unsafe { request_set_method(self.0, case, name.as_ptr(), name.len()) })
    }

    fn set_scheme(&self, (case, name): (u32, &str)) -> bool {
        // SAFETY: the handle is alive, and the name is borrowed for the call.
        accepted(unsafe { request_set_scheme(self.0, 1, case, name.as_ptr(), name.len()) })
    }

    fn set_authority(&self, text: &str) -> bool {
        // SAFETY: the handle is alive, and the text is borrowed for the call.
        accepted(unsafe { request_set_authority(self.0, 1, text.as_ptr(), text.len()) })
    }

    fn set_path_with_query(&self, text: &str) -> bool {
        // SAFETY: the handle is alive, and the text is borrowed for the call.
        accepted(unsafe { request_set_path(self.0, 1, text.as_ptr(), text.len()) })
    }
}

impl Options for RequestOptions {
    fn new() -> Self {
        // SAFETY: the new handle is ours.
        Self(unsafe { options_new() })
    }

    fn set_connect(&self, nanoseconds: u64) -> bool {
        // SAFETY: the handle is alive.
        accepted(unsafe { options_set_connect(self.0, 1, nanoseconds) })
    }

    fn set_first_byte(&self, nanoseconds: u64) -> bool {
        // SAFETY: the handle is alive.
        accepted(unsafe { options_set_first_byte(self.0, 1, nanoseconds) })
    }

    fn set_between_bytes(&self, nanoseconds: u64) -> bool {
        // SAFETY: the handle is alive.
        accepted(unsafe { options_set_between_bytes(self.0, 1, nanoseconds) })
    }

    fn into_handle(self) -> u32 {
        ManuallyDrop::new(self).0
    }
}

impl FutureResponse {
    pub(in super::super) fn subscribe(&self) -> Pollable {
        // SAFETY: the handle is alive, and the new one is ours.
        Pollable(unsafe { future_subscribe(self.0) })
    }

    /// `None` before it is there.
    pub(in super::super) fn get(&self) -> Option<Result<IncomingResponse, HostCode>> {
        let mut area = FutureArea([0; layout::FUTURE_RESULT]);
        // SAFETY: the handle is alive, and the area is this result's, which nobody else takes.
        let value = unsafe {
            future_get(self.0, &raw mut area);
            area.value()?
        };
        Some(value.and_then(|value| match value {
            Some(value) => Ok(IncomingResponse(word(value, 0))),
            // It is taken once: a host that says otherwise has failed.
            None => Err(HostCode::of(INTERNAL_ERROR)),
        }))
    }
}

impl IncomingResponse {
    pub(in super::super) fn status(&self) -> u32 {
        // SAFETY: the handle is alive.
        unsafe { response_status(self.0) }
    }

    pub(in super::super) fn headers(&self) -> Fields {
        // SAFETY: the handle is alive, and the new one is ours.
        Fields(unsafe { response_headers(self.0) })
    }

    /// The body, which can be taken once.
    pub(in super::super) fn consume(&self) -> Option<IncomingBody> {
        // SAFETY: the handle is alive, and the area is this result's.
        let body = Tagged::fill(|area| unsafe { response_consume(self.0, area) });
        handle(&body).map(IncomingBody)
    }
}

impl IoError {
    /// What it means for HTTP, if anything.
    pub(in super::super) fn code(&self) -> Option<HostCode> {
        let mut area = CodeArea([0; layout::CODE_RESULT]);
        // SAFETY: the handle is alive, and the area is this result's.
        unsafe { error_code(self.0, &raw mut area) };
        // SAFETY: the host wrote it, and it is taken once.
        (area.0[0] == 1).then(|| unsafe { HostCode::take(&area.0[layout::CODE_VALUE..]) })
    }
}
