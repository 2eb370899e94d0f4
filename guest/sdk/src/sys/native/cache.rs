//! The cache of values as unit tests have it: in memory, for each thread its own, empty at first, and granted. The bounds are
//! a host's.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::cache::CacheError;

const KEY_BYTES_MAX: usize = 512;
const VALUE_BYTES_MAX: usize = 1 << 20;
/// Longer than any test.
const TTL_MAX: Duration = Duration::from_hours(365 * 24);

thread_local! {
    static VALUES: RefCell<BTreeMap<String, (Vec<u8>, Instant)>> = const { RefCell::new(BTreeMap::new()) };
}

fn check(key: &str) -> Result<(), CacheError> {
    if (1..=KEY_BYTES_MAX).contains(&key.len()) {
        return Ok(());
    }
    let told = format!("a key has 1 to {KEY_BYTES_MAX} bytes");
    Err(CacheError::Invalid(told))
}

pub(crate) fn get(key: &str) -> Result<Option<Vec<u8>>, CacheError> {
    check(key)?;
    let now = Instant::now();
    Ok(VALUES.with_borrow(|values| {
        let kept = values.get(key).filter(|(_, ends)| *ends > now);
        kept.map(|(value, _)| value.clone())
    }))
}

pub(crate) fn set(key: &str, value: &[u8], ttl_ms: u64) -> Result<(), CacheError> {
    check(key)?;
    if value.len() > VALUE_BYTES_MAX {
        let told = format!("a value has at most {VALUE_BYTES_MAX} bytes");
        return Err(CacheError::Invalid(told));
    }
    if ttl_ms == 0 {
        let told = "a value is kept for 1 millisecond at least".to_owned();
        return Err(CacheError::Invalid(told));
    }
    let ends = Instant::now() + Duration::from_millis(ttl_ms).min(TTL_MAX);
    VALUES.with_borrow_mut(|values| values.insert(key.to_owned(), (value.to_vec(), ends)));
    Ok(())
}

pub(crate) fn delete(key: &str) -> Result<(), CacheError> {
    check(key)?;
    VALUES.with_borrow_mut(|values| values.remove(key));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_kept_for_their_time_and_bounds_are_told() {
        set("k", b"v", 60_000).expect("it is kept");
        assert_eq!(get("k").expect("a key").as_deref(), Some(b"v".as_slice()));
        delete("k").expect("a key");
        assert_eq!(get("k").expect("a key"), None);
        for wrong in [get(""), get(&"k".repeat(513))] {
            assert!(matches!(wrong, Err(CacheError::Invalid(_))));
        }
        for wrong in [set("k", &vec![0; VALUE_BYTES_MAX + 1], 1), set("k", b"", 0)] {
            assert!(matches!(wrong, Err(CacheError::Invalid(_))));
        }
    }
}
