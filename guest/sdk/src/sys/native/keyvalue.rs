//! Key-value stores as unit tests have them: in memory, for each thread its own, empty at first. Every name is granted.
//! The bounds are a host's.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::kv::{KvError, Page};

const KEY_BYTES_MAX: usize = 512;
const VALUE_BYTES_MAX: usize = 1 << 20;
const BATCH_MAX: usize = 100;
const PAGE_MAX: u32 = 1_000;

thread_local! {
    static ENTRIES: RefCell<Entries> = const { RefCell::new(Entries { all: BTreeMap::new(), revision: 0 }) };
}

struct Entries {
    all: BTreeMap<(String, String), Entry>,
    revision: u64,
}

#[derive(Clone)]
struct Entry {
    value: Vec<u8>,
    revision: u64,
    ends: Option<Instant>,
}

#[derive(Debug, Clone)]
pub(crate) struct Bucket(String);

pub(crate) struct Cas {
    bucket: Bucket,
    key: String,
    expected: Option<u64>,
}

pub(crate) enum Swap {
    Done,
    Changed(Cas),
}

fn other<T>(text: &str) -> Result<T, KvError> {
    Err(KvError::Other(text.to_owned()))
}

fn check(key: &str) -> Result<(), KvError> {
    if (1..=KEY_BYTES_MAX).contains(&key.len()) && !key.contains('\0') {
        return Ok(());
    }
    other("a key has 1 to 512 bytes of UTF-8 and no NUL")
}

fn check_batch(count: usize) -> Result<(), KvError> {
    if count <= BATCH_MAX {
        return Ok(());
    }
    other("a batch has 100 keys at most")
}

impl Bucket {
    pub(crate) fn open(name: &str) -> Result<Self, KvError> {
        if (1..=64).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Ok(Self(name.to_owned()));
        }
        Err(KvError::NoSuchStore)
    }

    fn entry(&self, key: &str) -> Result<Option<Entry>, KvError> {
        check(key)?;
        let place = (self.0.clone(), key.to_owned());
        let entry = ENTRIES.with_borrow(|entries| entries.all.get(&place).cloned());
        Ok(entry.filter(|entry| entry.ends.is_none_or(|ends| Instant::now() < ends)))
    }

    fn put(&self, key: &str, value: &[u8], ends: Option<Instant>) -> Result<(), KvError> {
        check(key)?;
        if value.len() > VALUE_BYTES_MAX {
            return other("a value has 1 MiB at most");
        }
        let place = (self.0.clone(), key.to_owned());
        ENTRIES.with_borrow_mut(|entries| {
            entries.revision += 1;
            let entry = Entry {
                value: value.to_vec(),
                revision: entries.revision,
                ends,
            };
            entries.all.insert(place, entry);
        });
        Ok(())
    }

    pub(crate) fn get(&self, key: &str) -> Result<Option<Vec<u8>>, KvError> {
        Ok(self.entry(key)?.map(|entry| entry.value))
    }

    pub(crate) fn set(&self, key: &str, value: &[u8]) -> Result<(), KvError> {
        self.put(key, value, None)
    }

    pub(crate) fn set_for(&self, key: &str, value: &[u8], ttl_ms: u64) -> Result<(), KvError> {
        if ttl_ms == 0 {
            return other("an entry's time to live is 1 ms at least: delete it instead");
        }
        let ends = Instant::now().checked_add(Duration::from_millis(ttl_ms));
        self.put(key, value, ends)
    }

    pub(crate) fn delete(&self, key: &str) -> Result<(), KvError> {
        check(key)?;
        let place = (self.0.clone(), key.to_owned());
        ENTRIES.with_borrow_mut(|entries| entries.all.remove(&place));
        Ok(())
    }

    pub(crate) fn exists(&self, key: &str) -> Result<bool, KvError> {
        Ok(self.entry(key)?.is_some())
    }

    pub(crate) fn increment(&self, key: &str, delta: i64) -> Result<i64, KvError> {
        let entry = self.entry(key)?;
        let ends = entry.as_ref().and_then(|entry| entry.ends);
        let number = entry.map_or(Some(0), |entry| {
            String::from_utf8(entry.value).ok()?.parse::<i64>().ok()
        });
        let Some(number) = number else {
            return other(
                "the value is no decimal number of 64 bits: only such a one can be incremented",
            );
        };
        let Some(sum) = number.checked_add(delta) else {
            return other("the sum is more than a signed number of 64 bits can be");
        };
        self.put(key, sum.to_string().as_bytes(), ends)?;
        Ok(sum)
    }

    pub(crate) fn get_many(&self, keys: &[&str]) -> Result<Vec<Option<Vec<u8>>>, KvError> {
        check_batch(keys.len())?;
        keys.iter().map(|key| self.get(key)).collect()
    }

    pub(crate) fn set_many(&self, values: &[(&str, &[u8])]) -> Result<(), KvError> {
        check_batch(values.len())?;
        for (key, value) in values {
            check(key)?;
            if value.len() > VALUE_BYTES_MAX {
                return other("a value has 1 MiB at most");
            }
        }
        values
            .iter()
            .try_for_each(|(key, value)| self.set(key, value))
    }

    pub(crate) fn delete_many(&self, keys: &[&str]) -> Result<(), KvError> {
        check_batch(keys.len())?;
        keys.iter().try_for_each(|key| check(key))?;
        keys.iter().try_for_each(|key| self.delete(key))
    }

    pub(crate) fn list(&self, cursor: Option<&str>) -> Result<Page, KvError> {
        self.list_prefix("", cursor, PAGE_MAX)
    }

    pub(crate) fn list_prefix(
        &self,
        prefix: &str,
        cursor: Option<&str>,
        count_max: u32,
    ) -> Result<Page, KvError> {
        if cursor.is_some_and(|cursor| check(cursor).is_err()) {
            return other("the cursor isn't one that a list has answered");
        }
        let now = Instant::now();
        let mut keys: Vec<String> = ENTRIES.with_borrow(|entries| {
            let all = entries.all.iter();
            let mine = all.filter(|((bucket, key), entry)| {
                *bucket == self.0
                    && key.starts_with(prefix)
                    && cursor.is_none_or(|cursor| key.as_str() > cursor)
                    && entry.ends.is_none_or(|ends| now < ends)
            });
            mine.map(|((_, key), _)| key.clone()).collect()
        });
        let count_max = count_max.clamp(1, PAGE_MAX) as usize;
        let more = keys.len() > count_max;
        keys.truncate(count_max);
        let cursor = more.then(|| keys.last().cloned()).flatten();
        Ok(Page { keys, cursor })
    }
}

impl Cas {
    pub(crate) fn new(bucket: &Bucket, key: &str) -> Result<Self, KvError> {
        Ok(Self {
            expected: bucket.entry(key)?.map(|entry| entry.revision),
            bucket: bucket.clone(),
            key: key.to_owned(),
        })
    }

    pub(crate) fn current(&self) -> Result<Option<Vec<u8>>, KvError> {
        self.bucket.get(&self.key)
    }

    pub(crate) fn swap(self, value: &[u8]) -> Result<Swap, KvError> {
        let current = Self::new(&self.bucket, &self.key)?;
        if current.expected != self.expected {
            return Ok(Swap::Changed(current));
        }
        self.bucket.set(&self.key, value)?;
        Ok(Swap::Done)
    }
}
