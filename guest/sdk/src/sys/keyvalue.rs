//! `wasi:keyvalue` 0.2.0-draft2 and `everwarm:keyvalue`, by the canonical ABI of the component model, as `wit/` has them.
//! Both versions of WASI call them alike. What leaves this module is safe.

use std::marker::PhantomData;

use super::abi::{self, host, owned, text};
use crate::kv::{KvError, Page};

host! {
    #[module = "wasi:keyvalue/store@0.2.0-draft2"] {
        #[name = "open"] unsafe fn open(*const u8, usize, *mut Area);
        #[name = "[method]bucket.get"] unsafe fn get(u32, *const u8, usize, *mut Area);
        #[name = "[method]bucket.set"] unsafe fn set(u32, *const u8, usize, *const u8, usize, *mut Area);
        #[name = "[method]bucket.delete"] unsafe fn delete(u32, *const u8, usize, *mut Area);
        #[name = "[method]bucket.exists"] unsafe fn exists(u32, *const u8, usize, *mut Area);
        #[name = "[method]bucket.list-keys"] unsafe fn list_keys(u32, u32, *const u8, usize, *mut Area);
        #[name = "[resource-drop]bucket"] safe fn bucket_drop(u32);
    }
    #[module = "wasi:keyvalue/atomics@0.2.0-draft2"] {
        #[name = "increment"] unsafe fn increment(u32, *const u8, usize, i64, *mut Area);
        #[name = "[static]cas.new"] unsafe fn cas_new(u32, *const u8, usize, *mut Area);
        #[name = "[method]cas.current"] unsafe fn cas_current(u32, *mut Area);
        #[name = "swap"] unsafe fn swap(u32, *const u8, usize, *mut Area);
        #[name = "[resource-drop]cas"] safe fn cas_drop(u32);
    }
    #[module = "wasi:keyvalue/batch@0.2.0-draft2"] {
        #[name = "get-many"] unsafe fn get_many(u32, *const Text<'_>, usize, *mut Area);
        #[name = "set-many"] unsafe fn set_many(u32, *const [Text<'_>; 2], usize, *mut Area);
        #[name = "delete-many"] unsafe fn delete_many(u32, *const Text<'_>, usize, *mut Area);
    }
    #[module = "everwarm:keyvalue/entries@0.1.0"] {
        #[name = "set-for"] unsafe fn set_for(u32, *const u8, usize, *const u8, usize, u64, *mut Area);
        #[name = "list-prefix"] unsafe fn list_prefix(u32, *const u8, usize, u32, *const u8, usize, u32, *mut Area);
    }
}

/// What the calls return. The largest is `result<key-response, error>`, with 24 bytes; where a number of 64 bits is in
/// it, what is behind the case begins at 8, and at 4 elsewhere.
type Area = abi::Area<24>;

/// A `string` or a `list<u8>` that is borrowed.
#[repr(C)]
struct Text<'a> {
    start: *const u8,
    len: usize,
    borrowed: PhantomData<&'a [u8]>,
}

impl<'a> From<&'a [u8]> for Text<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self {
            start: bytes.as_ptr(),
            len: bytes.len(),
            borrowed: PhantomData,
        }
    }
}

/// The error at that place.
///
/// # Safety
/// The host wrote one there, and it is taken once.
unsafe fn error(area: &Area, place: usize) -> KvError {
    match area.case(place) {
        0 => KvError::NoSuchStore,
        1 => KvError::AccessDenied,
        // SAFETY: the third case carries a string.
        _ => KvError::Other(unsafe { area.string(place + 4) }),
    }
}

/// Whether the call went well, for those whose error begins at 4.
///
/// # Safety
/// The host wrote `result<_, error>` there, whatever is in its first case, and its error is taken once.
unsafe fn check(area: Area) -> Result<Area, KvError> {
    if area.case(0) == 0 {
        return Ok(area);
    }
    // SAFETY: as above.
    Err(unsafe { error(&area, 4) })
}

/// The `option<list<u8>>` in the first case.
///
/// # Safety
/// The host wrote that case, and it is taken once.
unsafe fn option(area: &Area) -> Option<Vec<u8>> {
    // SAFETY: as above; a list follows the option's case if it is the second.
    (area.case(4) == 1).then(|| unsafe { area.list(8) })
}

/// The `key-response` in the first case.
///
/// # Safety
/// The host wrote that case, and it is taken once.
unsafe fn page(area: &Area) -> Page {
    // SAFETY: the list of the keys is ours, and so is each key in it. The cursor is behind it.
    unsafe {
        let keys: Vec<[usize; 2]> = area.list(4);
        let keys = keys.into_iter().map(|[start, len]| text(owned(start, len)));
        Page {
            keys: keys.collect(),
            cursor: (area.case(12) == 1).then(|| area.string(16)),
        }
    }
}

/// `option<string>` as two words and its case.
fn optional(text: Option<&str>) -> (u32, *const u8, usize) {
    match text {
        None => (0, std::ptr::null(), 0),
        Some(text) => (1, text.as_ptr(), text.len()),
    }
}

/// An open store.
#[derive(Debug)]
pub(crate) struct Bucket(u32);

impl Drop for Bucket {
    fn drop(&mut self) {
        bucket_drop(self.0);
    }
}

impl Bucket {
    pub(crate) fn open(name: &str) -> Result<Self, KvError> {
        // SAFETY: the name is read during the call, and the area is large enough for what is written.
        let area = Area::fill(|area| unsafe { open(name.as_ptr(), name.len(), area) });
        // SAFETY: the host wrote `result<bucket, error>`.
        let area = unsafe { check(area) }?;
        Ok(Self(area.word(4)))
    }

    pub(crate) fn get(&self, key: &str) -> Result<Option<Vec<u8>>, KvError> {
        // SAFETY: as in `open`; the host writes `result<option<list<u8>>, error>`.
        unsafe {
            let area = Area::fill(|area| get(self.0, key.as_ptr(), key.len(), area));
            Ok(option(&check(area)?))
        }
    }

    pub(crate) fn set(&self, key: &str, value: &[u8]) -> Result<(), KvError> {
        let (start, len) = (value.as_ptr(), value.len());
        // SAFETY: as in `open`; the host writes `result<_, error>`.
        unsafe {
            let area = Area::fill(|area| set(self.0, key.as_ptr(), key.len(), start, len, area));
            check(area).map(drop)
        }
    }

    pub(crate) fn set_for(&self, key: &str, value: &[u8], ttl_ms: u64) -> Result<(), KvError> {
        let (start, len) = (value.as_ptr(), value.len());
        // SAFETY: as in `open`; the host writes `result<_, error>`.
        unsafe {
            let area = Area::fill(|area| {
                set_for(self.0, key.as_ptr(), key.len(), start, len, ttl_ms, area);
            });
            check(area).map(drop)
        }
    }

    pub(crate) fn delete(&self, key: &str) -> Result<(), KvError> {
        // SAFETY: as in `open`; the host writes `result<_, error>`.
        unsafe {
            let area = Area::fill(|area| delete(self.0, key.as_ptr(), key.len(), area));
            check(area).map(drop)
        }
    }

    pub(crate) fn exists(&self, key: &str) -> Result<bool, KvError> {
        // SAFETY: as in `open`; the host writes `result<bool, error>`.
        unsafe {
            let area = Area::fill(|area| exists(self.0, key.as_ptr(), key.len(), area));
            Ok(check(area)?.case(4) == 1)
        }
    }

    pub(crate) fn increment(&self, key: &str, delta: i64) -> Result<i64, KvError> {
        // SAFETY: as in `open`; the host writes `result<s64, error>`, whose cases begin at 8.
        unsafe {
            let area = Area::fill(|area| increment(self.0, key.as_ptr(), key.len(), delta, area));
            if area.case(0) != 0 {
                return Err(error(&area, 8));
            }
            Ok(area.double_word(8).cast_signed())
        }
    }

    pub(crate) fn get_many(&self, keys: &[&str]) -> Result<Vec<Option<Vec<u8>>>, KvError> {
        let keys: Vec<_> = keys.iter().map(|key| Text::from(key.as_bytes())).collect();
        // SAFETY: as in `open`; the host writes `result<list<tuple<string, option<list<u8>>>>, error>`.
        unsafe {
            let area = Area::fill(|area| get_many(self.0, keys.as_ptr(), keys.len(), area));
            let entries: Vec<[usize; 5]> = check(area)?.list(4);
            let values = entries.into_iter().map(|[key, key_len, case, start, len]| {
                drop::<Vec<u8>>(owned(key, key_len));
                // The case is one byte; what is behind it in its word isn't written.
                (case & 0xff == 1).then(|| owned(start, len))
            });
            Ok(values.collect())
        }
    }

    pub(crate) fn set_many(&self, values: &[(&str, &[u8])]) -> Result<(), KvError> {
        let values = values.iter();
        let values = values.map(|(key, value)| [Text::from(key.as_bytes()), Text::from(*value)]);
        let values: Vec<_> = values.collect();
        // SAFETY: as in `open`; the host writes `result<_, error>`.
        unsafe {
            let area = Area::fill(|area| set_many(self.0, values.as_ptr(), values.len(), area));
            check(area).map(drop)
        }
    }

    pub(crate) fn delete_many(&self, keys: &[&str]) -> Result<(), KvError> {
        let keys: Vec<_> = keys.iter().map(|key| Text::from(key.as_bytes())).collect();
        // SAFETY: as in `open`; the host writes `result<_, error>`.
        unsafe {
            let area = Area::fill(|area| delete_many(self.0, keys.as_ptr(), keys.len(), area));
            check(area).map(drop)
        }
    }

    pub(crate) fn list(&self, cursor: Option<&str>) -> Result<Page, KvError> {
        let (case, start, len) = optional(cursor);
        // SAFETY: as in `open`; the host writes `result<key-response, error>`.
        unsafe {
            let area = Area::fill(|area| list_keys(self.0, case, start, len, area));
            Ok(page(&check(area)?))
        }
    }

    pub(crate) fn list_prefix(
        &self,
        prefix: &str,
        cursor: Option<&str>,
        count_max: u32,
    ) -> Result<Page, KvError> {
        let (case, start, len) = optional(cursor);
        let (prefix, prefix_len) = (prefix.as_ptr(), prefix.len());
        // SAFETY: as in `open`; the host writes `result<key-response, error>`.
        unsafe {
            let area = Area::fill(|area| {
                list_prefix(
                    self.0, prefix, prefix_len, case, start, len, count_max, area,
                );
            });
            Ok(page(&check(area)?))
        }
    }
}

/// One key, and the state of its entry that a swap expects.
#[derive(Debug)]
pub(crate) struct Cas(u32);

/// What came of a swap.
pub(crate) enum Swap {
    Done,
    /// Somebody else wrote meanwhile. The next swap expects what they wrote.
    Changed(Cas),
}

impl Drop for Cas {
    fn drop(&mut self) {
        cas_drop(self.0);
    }
}

impl Cas {
    pub(crate) fn new(bucket: &Bucket, key: &str) -> Result<Self, KvError> {
        // SAFETY: as in `Bucket::open`; the host writes `result<cas, error>`.
        unsafe {
            let area = Area::fill(|area| cas_new(bucket.0, key.as_ptr(), key.len(), area));
            Ok(Self(check(area)?.word(4)))
        }
    }

    pub(crate) fn current(&self) -> Result<Option<Vec<u8>>, KvError> {
        // SAFETY: as in `Bucket::open`; the host writes `result<option<list<u8>>, error>`.
        unsafe {
            let area = Area::fill(|area| cas_current(self.0, area));
            Ok(option(&check(area)?))
        }
    }

    pub(crate) fn swap(self, value: &[u8]) -> Result<Swap, KvError> {
        // The host takes the handle.
        let handle = std::mem::ManuallyDrop::new(self).0;
        // SAFETY: as in `Bucket::open`; the host writes `result<_, cas-error>`.
        unsafe {
            let area = Area::fill(|area| swap(handle, value.as_ptr(), value.len(), area));
            match (area.case(0), area.case(4)) {
                (0, _) => Ok(Swap::Done),
                (_, 0) => Err(error(&area, 8)),
                _ => Ok(Swap::Changed(Self(area.word(8)))),
            }
        }
    }
}
