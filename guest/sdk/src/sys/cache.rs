//! `everwarm:cache` by the canonical ABI of the component model, as `wit/` has it. Both versions of WASI call it alike.

use super::abi::{self, host};
use crate::cache::CacheError;

host! {
    #[module = "everwarm:cache/values@0.1.0"] {
        #[name = "get"] unsafe fn host_get(*const u8, usize, *mut Area);
        #[name = "set"] unsafe fn host_set(*const u8, usize, *const u8, usize, u64, *mut Area);
        #[name = "delete"] unsafe fn host_delete(*const u8, usize, *mut Area);
    }
}

/// `result<option<list<u8>>, error>` and `result<_, error>`: what is behind the case begins at 4.
type Area = abi::Area<16>;

/// Whether the call went well.
///
/// # Safety
/// The host wrote `result<_, error>` there, whatever is in its first case, and its error is taken once.
unsafe fn check(area: Area) -> Result<Area, CacheError> {
    if area.case(0) == 0 {
        return Ok(area);
    }
    Err(match area.case(4) {
        0 => CacheError::AccessDenied,
        // SAFETY: the second case carries a string.
        _ => CacheError::Invalid(unsafe { area.string(8) }),
    })
}

pub(crate) fn get(key: &str) -> Result<Option<Vec<u8>>, CacheError> {
    // SAFETY: the key is read during the call, the area is large enough for what is written, and that is taken once.
    unsafe {
        let area = check(Area::fill(|area| host_get(key.as_ptr(), key.len(), area)))?;
        Ok((area.case(4) == 1).then(|| area.list(8)))
    }
}

pub(crate) fn set(key: &str, value: &[u8], ttl_ms: u64) -> Result<(), CacheError> {
    let (start, len) = (value.as_ptr(), value.len());
    // SAFETY: as in `get`; the host writes `result<_, error>`.
    unsafe {
        let area = Area::fill(|area| host_set(key.as_ptr(), key.len(), start, len, ttl_ms, area));
        check(area).map(drop)
    }
}

pub(crate) fn delete(key: &str) -> Result<(), CacheError> {
    // SAFETY: as in `get`; the host writes `result<_, error>`.
    unsafe {
        let area = Area::fill(|area| host_delete(key.as_ptr(), key.len(), area));
        check(area).map(drop)
    }
}
