//! The host's resources: each owns one handle and gives it back when it is dropped.

use std::mem::ManuallyDrop;

#[allow(
    clippy::wildcard_imports,
    reason = "the calls, one of which each method is"
)]
use super::*;

/// `wasi:http/types.fields`
pub(in super::super) struct Fields(u32);

/// `wasi:http/types.request`
pub(in super::super) struct Request(u32);

/// `wasi:http/types.response`, which is always given away.
pub(in super::super) struct Response(u32);

impl Drop for Fields {
    fn drop(&mut self) {
        fields_drop(self.0);
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        request_drop(self.0);
    }
}

impl Fields {
    /// `None` when the host refuses one of them.
    pub(in super::super) fn from_list(entries: &[Entry<'_>]) -> Option<Self> {
        let mut area = FieldsResult([0; layout::FIELDS_RESULT]);
        // SAFETY: the entries are borrowed for the call, the area is its.
        unsafe { fields_from_list(entries.as_ptr(), entries.len(), &raw mut area) };
        if area.0[0] == 0 {
            return Some(Self(word(&area.0, layout::FIELDS_HANDLE)));
        }
        let (case, place) = layout::HEADER_TEXT;
        if area.0[layout::FIELDS_HANDLE] == case {
            // SAFETY: the host wrote this case, whose text nobody else takes.
            unsafe { drop_text(&area.0, place) };
        }
        None
    }

    /// Takes over a handle.
    pub(super) fn of(handle: u32) -> Self {
        Self(handle)
    }

    /// Gives the handle away.
    pub(super) fn into_handle(self) -> u32 {
        ManuallyDrop::new(self).0
    }

    pub(in super::super) fn entries(&self) -> Vec<(String, Vec<u8>)> {
        let mut list = List::default();
        // SAFETY: the area is a list's, and the list is one of entries.
        unsafe {
            fields_copy_all(self.0, &raw mut list);
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
        // SAFETY: the area is this result's.
        Tagged::fill(|area| unsafe { request_method(self.0, area) }).method()
    }

    pub(in super::super) fn path_with_query(&self) -> Option<String> {
        // SAFETY: the area is this result's.
        Tagged::fill(|area| unsafe { request_path(self.0, area) }).option()
    }

    pub(in super::super) fn authority(&self) -> Option<String> {
        // SAFETY: the area is this result's.
        Tagged::fill(|area| unsafe { request_authority(self.0, area) }).option()
    }

    pub(in super::super) fn headers(&self) -> Fields {
        Fields::of(request_headers(self.0))
    }

    /// The body and its trailers. What the handler makes of it is told to nobody but the host, who
    /// hears at once that all is well.
    pub(in super::super) fn consume(self) -> (StreamReader, TrailersReader) {
        // SAFETY: both handles are given away, and the area is the call's result's.
        let (stream, trailers, outcome) = consume(|outcome, parts| unsafe {
            request_consume(ManuallyDrop::new(self).0, outcome, parts);
        });
        drop(outcome);
        (stream, trailers)
    }
}

/// What a call of `consume-body` returns, and the other end of the future that it is given.
pub(super) fn consume(
    call: impl FnOnce(u32, *mut [u32; 2]),
) -> (StreamReader, TrailersReader, Outcome) {
    let (readable, writable) = ends(outcome_new());
    let mut parts = [0; 2];
    call(readable, &raw mut parts);
    let [stream, trailers] = parts;
    (
        StreamReader::of(stream),
        TrailersReader::of(trailers),
        Outcome(writable),
    )
}

/// What is to be said of a body that is read. Dropping it says that all is well, and that no more is wanted.
pub(in super::super) struct Outcome(u32);

impl Drop for Outcome {
    fn drop(&mut self) {
        static TAKEN: CodeArea = CodeArea::new();
        // SAFETY: what is written lives for ever.
        let code = unsafe { outcome_write(self.0, &raw const TAKEN) };
        if code != BLOCKED {
            outcome_drop_writable(self.0);
        }
        // Otherwise the host may read it whenever it likes, and the handle goes with the instance.
    }
}

impl Response {
    /// A response with a body or without one, whose trailers say how it ended.
    pub(in super::super) fn new(fields: Fields, contents: Option<Readable>, trailers: u32) -> Self {
        let (some, contents) = contents.map_or((0, 0), |contents| (1, contents.into_handle()));
        let fields = fields.into_handle();
        let mut parts = [0; 2];
        // SAFETY: the handles are given away, and the area is this result's.
        unsafe { response_new(fields, some, contents, trailers, &raw mut parts) };
        let [response, sent] = parts;
        // Nobody waits for the client.
        outcome_drop_readable(sent);
        Self(response)
    }

    pub(in super::super) fn set_status(&self, status: u16) -> bool {
        response_set_status(self.0, u32::from(status)) == 0
    }

    /// Gives the handle away.
    pub(super) fn into_handle(self) -> u32 {
        self.0
    }
}

/// Frees the text of an `option<string>` at this place.
///
/// # Safety
/// The host wrote the option there, and nobody else takes its text.
pub(super) unsafe fn drop_text(area: &[u8], place: usize) {
    if area[place] == 1 {
        let (start, len) = (word(area, place + 4), word(area, place + 8));
        // SAFETY: as the caller says.
        drop::<Vec<u8>>(unsafe { owned(start as usize, len as usize) });
    }
}
