//! The file behind the incremental cache: entries one after another, each with its MAC.
//!
//! Owns the format, the locking between processes, and what a torn or forged file means: a torn
//! tail is cut off at the next append, an entry without a valid MAC isn't there. One file, because
//! a component has thousands of functions and a file for each would cost more than it saves.
//!
//! ```text
//! magic (8) | key (32) | value length (4, little endian) | MAC (32) | value | key | ...
//! ```

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hmac::{Hmac, Mac as _};
use secrecy::{ExposeSecret as _, SecretBox};
use sha2::Sha256;

/// Names the format: another version is another file to start over with.
const MAGIC: &[u8; 8] = b"EWINCR\x00\x01";
const MAC_LEN: usize = 32;
const HEADER_LEN: usize = size_of::<EntryKey>() + size_of::<u32>() + MAC_LEN;
/// The largest machine code of one function that is kept, in bytes.
const VALUE_BYTES_MAX: usize = 8 << 20;

/// Cranelift's name for a function with all settings: a SHA-256.
pub(super) type EntryKey = [u8; 32];

/// A value and its MAC. The MAC of a loaded entry isn't checked yet.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    mac: [u8; MAC_LEN],
    value: Value,
}

#[derive(Debug, Clone)]
enum Value {
    /// Part of the loaded file.
    Loaded(Range<usize>),
    Made(Arc<[u8]>),
}

/// The file, and its bytes as they were loaded.
pub(super) struct Log {
    dir: PathBuf,
    mac: Hmac<Sha256>,
    bytes_max: u64,
    bytes: Vec<u8>,
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log")
            .field("dir", &self.dir)
            .finish_non_exhaustive()
    }
}

impl Log {
    pub(super) fn load(
        dir: &Path,
        key: &SecretBox<[u8; 32]>,
        bytes_max: u64,
    ) -> io::Result<(Self, HashMap<EntryKey, Entry>)> {
        fs::create_dir_all(dir)?;
        let mut log = Self {
            dir: dir.to_owned(),
            mac: Hmac::new_from_slice(key.expose_secret()).expect("HMAC takes a key of any length"),
            bytes_max,
            bytes: Vec::new(),
        };
        match File::open(log.path()) {
            Ok(file) => {
                // A file that outgrew its bound isn't ours: what is beyond isn't read.
                file.take(bytes_max).read_to_end(&mut log.bytes)?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let entries = log.parse();
        Ok((log, entries))
    }

    fn path(&self) -> PathBuf {
        self.dir.join("incremental.cache")
    }

    /// Finds the entries; what follows the last whole one is ignored.
    fn parse(&self) -> HashMap<EntryKey, Entry> {
        let mut entries = HashMap::new();
        if !self.bytes.starts_with(MAGIC) {
            return entries;
        }
        let mut at = MAGIC.len();
        while let Some((key, mac, len)) = self.bytes.get(at..).and_then(parse_header) {
            let value = at + HEADER_LEN..at + HEADER_LEN + len;
            if value.end > self.bytes.len() {
                break;
            }
            at = value.end;
            let value = Value::Loaded(value);
            entries.insert(key, Entry { mac, value });
        }
        entries
    }

    fn value<'a>(&'a self, entry: &'a Entry) -> &'a [u8] {
        match &entry.value {
            Value::Loaded(range) => &self.bytes[range.clone()],
            Value::Made(bytes) => bytes,
        }
    }

    fn mac_of(&self, key: &EntryKey, value: &[u8]) -> Hmac<Sha256> {
        // The key has a fixed length, so key and value can't be told apart in another way.
        self.mac.clone().chain_update(key).chain_update(value)
    }

    /// The entry's value, when its MAC holds. The comparison takes the same time for any MAC.
    pub(super) fn verified<'a>(&'a self, key: &EntryKey, entry: &'a Entry) -> Option<&'a [u8]> {
        let value = self.value(entry);
        let mac = self.mac_of(key, value);
        mac.verify_slice(&entry.mac).is_ok().then_some(value)
    }

    /// Makes an entry; none when the value is too large to keep.
    pub(super) fn seal(&self, key: &EntryKey, value: Vec<u8>) -> Option<Entry> {
        if value.len() > VALUE_BYTES_MAX {
            return None;
        }
        let mac = self.mac_of(key, &value).finalize().into_bytes().into();
        let value = Value::Made(value.into());
        Some(Entry { mac, value })
    }

    /// Appends `made`. When that would make the file too large, it starts over with `used` and
    /// `made`, as far as they fit. Processes take turns.
    pub(super) fn append(
        &self,
        made: &HashMap<EntryKey, Entry>,
        used: &HashMap<EntryKey, Entry>,
    ) -> io::Result<()> {
        // The lock has a file of its own: the cache's file may be replaced.
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(self.dir.join("incremental.lock"))?;
        lock.lock()?;
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(self.path())?;
        let whole = end_of_last_whole_entry(&mut file)?;
        let mut new = Vec::new();
        if whole == 0 {
            new.extend_from_slice(MAGIC);
        }
        for (key, entry) in made {
            self.encode(key, entry, &mut new);
        }
        if whole + new.len() as u64 > self.bytes_max {
            return self.start_over(made, used);
        }
        file.set_len(whole)?;
        file.seek(SeekFrom::Start(whole))?;
        // Not synced: a cache that a power loss tears is a cache with a torn tail.
        file.write_all(&new)
    }

    fn start_over(
        &self,
        made: &HashMap<EntryKey, Entry>,
        used: &HashMap<EntryKey, Entry>,
    ) -> io::Result<()> {
        let mut bytes = MAGIC.to_vec();
        for (key, entry) in used.iter().chain(made) {
            let len = HEADER_LEN + self.value(entry).len();
            if (bytes.len() + len) as u64 <= self.bytes_max {
                self.encode(key, entry, &mut bytes);
            }
        }
        let mut temp = tempfile::NamedTempFile::new_in(&self.dir)?;
        temp.write_all(&bytes)?;
        temp.persist(self.path())?;
        Ok(())
    }

    fn encode(&self, key: &EntryKey, entry: &Entry, out: &mut Vec<u8>) {
        let value = self.value(entry);
        let len = u32::try_from(value.len()).expect("values are at most VALUE_BYTES_MAX long");
        out.extend_from_slice(key);
        out.extend_from_slice(&len.to_le_bytes());
        out.extend_from_slice(&entry.mac);
        out.extend_from_slice(value);
    }
}

/// Key, MAC and length of the value of the entry that these bytes start with.
fn parse_header(bytes: &[u8]) -> Option<(EntryKey, [u8; MAC_LEN], usize)> {
    let (key, rest) = bytes.split_first_chunk::<32>()?;
    let (len, rest) = rest.split_first_chunk::<4>()?;
    let mac = rest.first_chunk::<MAC_LEN>()?;
    let len = usize::try_from(u32::from_le_bytes(*len)).ok()?;
    (len <= VALUE_BYTES_MAX).then_some((*key, *mac, len))
}

/// Where to append: reads headers only, for another process may have appended since the load.
fn end_of_last_whole_entry(file: &mut File) -> io::Result<u64> {
    let len = file.metadata()?.len();
    let mut magic = [0; MAGIC.len()];
    if len < MAGIC.len() as u64 {
        return Ok(0);
    }
    file.seek(SeekFrom::Start(0))?;
    file.read_exact(&mut magic)?;
    if magic != *MAGIC {
        return Ok(0);
    }
    let mut end = MAGIC.len() as u64;
    while end + HEADER_LEN as u64 <= len {
        let mut header = [0; HEADER_LEN];
        file.seek(SeekFrom::Start(end))?;
        file.read_exact(&mut header)?;
        let Some((_, _, value_len)) = parse_header(&header) else {
            break;
        };
        let next = end + (HEADER_LEN + value_len) as u64;
        if next > len {
            break;
        }
        end = next;
    }
    Ok(end)
}
