//! `everwarm:blobs`, by the canonical ABI of the component model, as `wit/` has it. Both versions of WASI call it alike.
//! What leaves this module is safe.

use std::mem::ManuallyDrop;

use super::abi::{self, host, owned, text};
use crate::blobs::{BlobError, BlobInfo, Condition, Page};

host! {
    #[module = "everwarm:blobs/store@0.1.0"] {
        #[name = "[static]container.open"] unsafe fn open(*const u8, usize, *mut Area);
        #[name = "[method]container.head"] unsafe fn head(u32, *const u8, usize, *mut Area);
        #[name = "[method]container.get"] unsafe fn get(u32, *const u8, usize, u64, u32, u64, *mut Area);
        #[name = "[method]container.put"] unsafe fn put(u32, *const u8, usize, u32, *const u8, usize, *mut Area);
        #[name = "[method]container.list"] unsafe fn list(u32, *const u8, usize, u32, *const u8, usize, u32, *mut Area);
        #[name = "[method]container.delete"] unsafe fn delete(u32, *const u8, usize, u32, *const u8, usize, *mut Area);
        #[name = "[method]container.copy"] unsafe fn copy(u32, *const u8, usize, u32, *const u8, usize, *mut Area);
        #[name = "[method]container.rename"] unsafe fn rename(u32, *const u8, usize, u32, *const u8, usize, *mut Area);
        #[name = "[resource-drop]container"] safe fn container_drop(u32);
        #[name = "[method]upload.write"] unsafe fn write(u32, *const u8, usize, *mut Area);
        #[name = "[static]upload.finish"] unsafe fn finish(u32, u32, *const u8, usize, *mut Area);
        #[name = "[resource-drop]upload"] safe fn upload_drop(u32);
        #[name = "[method]download.info"] unsafe fn info(u32, *mut Area);
        #[name = "[method]download.left"] safe fn left(u32) -> u64;
        #[name = "[method]download.read"] unsafe fn read(u32, *mut Area);
        #[name = "[resource-drop]download"] safe fn download_drop(u32);
    }
}

/// What the calls return. The largest is `result<option<blob>, error>`, with 64 bytes; where a `blob` is in it, what is
/// behind the case begins at 8, and at 4 elsewhere.
type Area = abi::Area<64>;

/// `blob` in a list.
#[repr(C)]
struct Listed {
    name: [usize; 2],
    size: u64,
    etag: [usize; 2],
    has_type: u8,
    content_type: [usize; 2],
    created_ms: u64,
}

/// The error at that place.
///
/// # Safety
/// The host wrote one there, and it is taken once.
unsafe fn error(area: &Area, place: usize) -> BlobError {
    // SAFETY: the cases from the fourth on carry a string.
    let text = || unsafe { area.string(place + 4) };
    match area.case(place) {
        0 => BlobError::NoSuchContainer,
        1 => BlobError::AccessDenied,
        2 => BlobError::Changed,
        3 => BlobError::Invalid(text()),
        4 => BlobError::TooLarge(text()),
        5 => BlobError::Full(text()),
        _ => BlobError::Unavailable(text()),
    }
}

/// Whether the call went well, for those whose error begins at `place`.
///
/// # Safety
/// The host wrote `result<_, error>` there, whatever is in its first case, and its error is taken once.
unsafe fn check(area: Area, place: usize) -> Result<Area, BlobError> {
    if area.case(0) == 0 {
        return Ok(area);
    }
    // SAFETY: as above.
    Err(unsafe { error(&area, place) })
}

/// The `blob` at that place.
///
/// # Safety
/// The host wrote one there, and it is taken once.
unsafe fn blob(area: &Area, place: usize) -> BlobInfo {
    // SAFETY: as above; a string follows the option's case if it is the second.
    unsafe {
        BlobInfo::new(
            area.string(place),
            area.double_word(place + 8),
            area.string(place + 16),
            (area.case(place + 24) == 1).then(|| area.string(place + 28)),
            area.double_word(place + 40),
        )
    }
}

/// `option<string>` as two words and its case.
fn optional(text: Option<&str>) -> (u32, *const u8, usize) {
    match text {
        None => (0, std::ptr::null(), 0),
        Some(text) => (1, text.as_ptr(), text.len()),
    }
}

/// `condition` as two words and its case.
fn flat(condition: &Condition) -> (u32, *const u8, usize) {
    match condition {
        Condition::Any => (0, std::ptr::null(), 0),
        Condition::Absent => (1, std::ptr::null(), 0),
        Condition::Matches(etag) => (2, etag.as_ptr(), etag.len()),
    }
}

/// An open container.
#[derive(Debug)]
pub(crate) struct Container(u32);

impl Drop for Container {
    fn drop(&mut self) {
        container_drop(self.0);
    }
}

impl Container {
    pub(crate) fn open(name: &str) -> Result<Self, BlobError> {
        // SAFETY: the name is read during the call, and the area is large enough for what is written.
        let area = Area::fill(|area| unsafe { open(name.as_ptr(), name.len(), area) });
        // SAFETY: the host wrote `result<container, error>`.
        let area = unsafe { check(area, 4) }?;
        Ok(Self(area.word(4)))
    }

    pub(crate) fn head(&self, name: &str) -> Result<Option<BlobInfo>, BlobError> {
        // SAFETY: as in `open`; the host writes `result<option<blob>, error>`, whose cases begin at 8.
        unsafe {
            let area = Area::fill(|area| head(self.0, name.as_ptr(), name.len(), area));
            let area = check(area, 8)?;
            Ok((area.case(8) == 1).then(|| blob(&area, 16)))
        }
    }

    pub(crate) fn get(
        &self,
        name: &str,
        start: u64,
        len: Option<u64>,
    ) -> Result<Option<Download>, BlobError> {
        let (case, len) = len.map_or((0, 0), |len| (1, len));
        // SAFETY: as in `open`; the host writes `result<option<download>, error>`.
        unsafe {
            let area = Area::fill(|area| {
                get(self.0, name.as_ptr(), name.len(), start, case, len, area);
            });
            let area = check(area, 4)?;
            Ok((area.case(4) == 1).then(|| Download(area.word(8))))
        }
    }

    pub(crate) fn put(&self, name: &str, content_type: Option<&str>) -> Result<Upload, BlobError> {
        let (case, start, len) = optional(content_type);
        // SAFETY: as in `open`; the host writes `result<upload, error>`.
        unsafe {
            let area = Area::fill(|area| {
                put(self.0, name.as_ptr(), name.len(), case, start, len, area);
            });
            Ok(Upload(check(area, 4)?.word(4)))
        }
    }

    pub(crate) fn list(
        &self,
        prefix: &str,
        cursor: Option<&str>,
        count_max: u32,
    ) -> Result<Page, BlobError> {
        let (case, start, len) = optional(cursor);
        let (prefix, prefix_len) = (prefix.as_ptr(), prefix.len());
        // SAFETY: as in `open`; the host writes `result<page, error>`. The list of the blobs is ours, and so is each string
        // in it.
        unsafe {
            let area = Area::fill(|area| {
                list(
                    self.0, prefix, prefix_len, case, start, len, count_max, area,
                );
            });
            let area = check(area, 4)?;
            let blobs: Vec<Listed> = area.list(4);
            let string = |[start, len]: [usize; 2]| text(owned(start, len));
            let blobs = blobs.into_iter().map(|listed| {
                BlobInfo::new(
                    string(listed.name),
                    listed.size,
                    string(listed.etag),
                    (listed.has_type == 1).then(|| string(listed.content_type)),
                    listed.created_ms,
                )
            });
            Ok(Page {
                blobs: blobs.collect(),
                cursor: (area.case(12) == 1).then(|| area.string(16)),
            })
        }
    }

    pub(crate) fn delete(&self, name: &str, condition: &Condition) -> Result<bool, BlobError> {
        let (case, start, len) = flat(condition);
        // SAFETY: as in `open`; the host writes `result<bool, error>`.
        unsafe {
            let area = Area::fill(|area| {
                delete(self.0, name.as_ptr(), name.len(), case, start, len, area);
            });
            Ok(check(area, 4)?.case(4) == 1)
        }
    }

    pub(crate) fn copy(
        &self,
        name: &str,
        to: &Self,
        to_name: &str,
    ) -> Result<Option<BlobInfo>, BlobError> {
        let (start, len) = (to_name.as_ptr(), to_name.len());
        // SAFETY: as in `head`.
        unsafe {
            let area = Area::fill(|area| {
                copy(self.0, name.as_ptr(), name.len(), to.0, start, len, area);
            });
            let area = check(area, 8)?;
            Ok((area.case(8) == 1).then(|| blob(&area, 16)))
        }
    }

    pub(crate) fn rename(&self, name: &str, to: &Self, to_name: &str) -> Result<bool, BlobError> {
        let (start, len) = (to_name.as_ptr(), to_name.len());
        // SAFETY: as in `delete`.
        unsafe {
            let area = Area::fill(|area| {
                rename(self.0, name.as_ptr(), name.len(), to.0, start, len, area);
            });
            Ok(check(area, 4)?.case(4) == 1)
        }
    }
}

/// A blob that is being written.
#[derive(Debug)]
pub(crate) struct Upload(u32);

impl Drop for Upload {
    fn drop(&mut self) {
        upload_drop(self.0);
    }
}

impl Upload {
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), BlobError> {
        // SAFETY: as in `Container::open`; the host writes `result<_, error>`.
        unsafe {
            let area = Area::fill(|area| write(self.0, bytes.as_ptr(), bytes.len(), area));
            check(area, 4).map(drop)
        }
    }

    pub(crate) fn finish(self, condition: &Condition) -> Result<BlobInfo, BlobError> {
        // The host takes the handle.
        let handle = ManuallyDrop::new(self).0;
        let (case, start, len) = flat(condition);
        // SAFETY: as in `Container::open`; the host writes `result<blob, error>`, whose cases begin at 8.
        unsafe {
            let area = Area::fill(|area| finish(handle, case, start, len, area));
            Ok(blob(&check(area, 8)?, 8))
        }
    }
}

/// A blob that is being read.
#[derive(Debug)]
pub(crate) struct Download(u32);

impl Drop for Download {
    fn drop(&mut self) {
        download_drop(self.0);
    }
}

impl Download {
    pub(crate) fn info(&self) -> BlobInfo {
        // SAFETY: as in `Container::open`; the host writes a `blob`.
        unsafe {
            let area = Area::fill(|area| info(self.0, area));
            blob(&area, 0)
        }
    }

    pub(crate) fn left(&self) -> u64 {
        left(self.0)
    }

    pub(crate) fn read(&mut self) -> Result<Option<Vec<u8>>, BlobError> {
        // SAFETY: as in `Container::open`; the host writes `result<option<list<u8>>, error>`.
        unsafe {
            let area = Area::fill(|area| read(self.0, area));
            let area = check(area, 4)?;
            Ok((area.case(4) == 1).then(|| area.list(8)))
        }
    }
}
