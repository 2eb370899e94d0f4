//! Wasmtime's incremental cache: machine code of functions that didn't change since the last compile.
//!
//! Owns one append-only, bounded file a folder (`log`), and that an entry is used only when its MAC
//! holds under the key that the parent process gave. A cache entry is machine code: whoever could
//! forge one could run anything. Used by the compiler process of `up` only. Doesn't know what the
//! entries mean: the keys are hashes that Cranelift makes of a function and of all settings.
//!
//! What to expect of it: an edit that moves no data leaves most functions as they were; one that
//! changes the length of a text moves the addresses in all functions that use data behind it. And
//! Wasmtime 48 translates a `br_table` that passes values in an order that differs from run to run
//! (`translate/code_translator.rs`), so about one function in twenty of a Rust guest is never found.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use secrecy::SecretBox;
use wasmtime::CacheStore;

mod log;

use log::{Entry, EntryKey, Log};

/// The file's size at which entries that the current compile didn't use are left behind.
pub const CACHE_FILE_BYTES_MAX: u64 = 64 << 20;

/// A loaded cache. Reads and writes memory only, until [`IncrementalCache::save`].
#[derive(Debug)]
pub struct IncrementalCache {
    log: Log,
    found: HashMap<EntryKey, Entry>,
    /// What this compile used of `found`, and what it made.
    touched: Mutex<Touched>,
    looked_up: AtomicU64,
    hits: AtomicU64,
}

#[derive(Debug, Default)]
struct Touched {
    used: HashMap<EntryKey, Entry>,
    made: HashMap<EntryKey, Entry>,
}

/// How much of a compile was found in the cache, in functions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Reuse {
    /// Functions whose code was found.
    pub hits: u64,
    /// Functions that were looked up.
    pub looked_up: u64,
}

impl IncrementalCache {
    /// Loads the cache of a folder; an empty one when there is none, or none that can be read.
    ///
    /// # Errors
    ///
    /// When the folder can't be made or the file can't be read.
    pub fn load(dir: &Path, key: &SecretBox<[u8; 32]>) -> io::Result<Self> {
        Self::load_bounded(dir, key, CACHE_FILE_BYTES_MAX)
    }

    fn load_bounded(dir: &Path, key: &SecretBox<[u8; 32]>, bytes_max: u64) -> io::Result<Self> {
        let (log, found) = Log::load(dir, key, bytes_max)?;
        Ok(Self {
            log,
            found,
            touched: Mutex::default(),
            looked_up: AtomicU64::new(0),
            hits: AtomicU64::new(0),
        })
    }

    /// Appends what this compile made to the file. Other processes may do the same meanwhile.
    ///
    /// # Errors
    ///
    /// When the file can't be written; the cache then stays as it was.
    pub fn save(&self) -> io::Result<()> {
        let touched = self.touched.lock().unwrap_or_else(PoisonError::into_inner);
        if touched.made.is_empty() {
            return Ok(());
        }
        self.log.append(&touched.made, &touched.used)
    }

    /// How much was found so far.
    pub fn reuse(&self) -> Reuse {
        Reuse {
            hits: self.hits.load(Ordering::Relaxed),
            looked_up: self.looked_up.load(Ordering::Relaxed),
        }
    }
}

impl CacheStore for IncrementalCache {
    fn get(&self, key: &[u8]) -> Option<Cow<'_, [u8]>> {
        self.looked_up.fetch_add(1, Ordering::Relaxed);
        let key = EntryKey::try_from(key).ok()?;
        let entry = self.found.get(&key)?;
        // Checked at use, not at load: most of the file is for other components.
        let value = self.log.verified(&key, entry)?;
        self.hits.fetch_add(1, Ordering::Relaxed);
        let mut touched = self.touched.lock().unwrap_or_else(PoisonError::into_inner);
        touched.used.insert(key, entry.clone());
        Some(Cow::Borrowed(value))
    }

    fn insert(&self, key: &[u8], value: Vec<u8>) -> bool {
        let Ok(key) = EntryKey::try_from(key) else {
            return false;
        };
        let Some(entry) = self.log.seal(&key, value) else {
            return false;
        };
        let mut touched = self.touched.lock().unwrap_or_else(PoisonError::into_inner);
        touched.made.insert(key, entry);
        true
    }
}

#[cfg(test)]
mod tests;
