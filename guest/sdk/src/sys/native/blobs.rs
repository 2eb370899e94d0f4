//! Blobs as unit tests have them: in memory, for each thread its own, empty at first. Every name is granted. The bounds on
//! names are a host's.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use std::time::SystemTime;

use crate::blobs::{BlobError, BlobInfo, Condition, Page};

const NAME_BYTES_MAX: usize = 1_024;
const PAGE_MAX: u32 = 1_000;
/// What one read answers at most.
const PIECE_BYTES: usize = 256 << 10;

#[derive(Debug, Clone)]
struct Kept {
    info: BlobInfo,
    bytes: Vec<u8>,
}

/// By container and name.
type All = BTreeMap<(String, String), Kept>;

thread_local! {
    static BLOBS: RefCell<All> = const { RefCell::new(BTreeMap::new()) };
}

#[derive(Debug)]
pub(crate) struct Container(String);

#[derive(Debug)]
pub(crate) struct Upload {
    key: (String, String),
    content_type: Option<String>,
    bytes: Vec<u8>,
}

#[derive(Debug)]
pub(crate) struct Download {
    info: BlobInfo,
    left: Vec<u8>,
}

fn check(name: &str) -> Result<(), BlobError> {
    if (1..=NAME_BYTES_MAX).contains(&name.len()) && !name.chars().any(char::is_control) {
        return Ok(());
    }
    let text = "a blob's name has 1 to 1024 bytes of UTF-8 and no control characters";
    Err(BlobError::Invalid(text.to_owned()))
}

fn holds(condition: &Condition, current: Option<&Kept>) -> Result<(), BlobError> {
    let holds = match condition {
        Condition::Any => true,
        Condition::Absent => current.is_none(),
        Condition::Matches(etag) => current.is_some_and(|kept| kept.info.etag == *etag),
    };
    if holds {
        Ok(())
    } else {
        Err(BlobError::Changed)
    }
}

impl Container {
    fn key(&self, name: &str) -> Result<(String, String), BlobError> {
        check(name)?;
        Ok((self.0.clone(), name.to_owned()))
    }

    pub(crate) fn open(name: &str) -> Result<Self, BlobError> {
        let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if name.is_empty() || !name.bytes().all(is_name) {
            return Err(BlobError::NoSuchContainer);
        }
        Ok(Self(name.to_owned()))
    }

    pub(crate) fn head(&self, name: &str) -> Result<Option<BlobInfo>, BlobError> {
        let key = self.key(name)?;
        Ok(BLOBS.with_borrow(|all| all.get(&key).map(|kept| kept.info.clone())))
    }

    pub(crate) fn get(
        &self,
        name: &str,
        start: u64,
        len: Option<u64>,
    ) -> Result<Option<Download>, BlobError> {
        let key = self.key(name)?;
        let Some(Kept { info, bytes }) = BLOBS.with_borrow(|all| all.get(&key).cloned()) else {
            return Ok(None);
        };
        let from = usize::try_from(start)
            .ok()
            .and_then(|start| bytes.get(start..));
        let Some(from) = from else {
            let text = format!(
                "the blob has {} bytes, and the part begins at {start}",
                info.size
            );
            return Err(BlobError::Invalid(text));
        };
        let len = len
            .and_then(|len| usize::try_from(len).ok())
            .unwrap_or(usize::MAX);
        let left = from[..len.min(from.len())].to_vec();
        Ok(Some(Download { info, left }))
    }

    pub(crate) fn put(&self, name: &str, content_type: Option<&str>) -> Result<Upload, BlobError> {
        Ok(Upload {
            key: self.key(name)?,
            content_type: content_type.map(ToOwned::to_owned),
            bytes: Vec::new(),
        })
    }

    #[expect(clippy::unnecessary_wraps, reason = "a host may fail")]
    pub(crate) fn list(
        &self,
        prefix: &str,
        cursor: Option<&str>,
        count_max: u32,
    ) -> Result<Page, BlobError> {
        let count = count_max.clamp(1, PAGE_MAX) as usize;
        let mut found: Vec<BlobInfo> = BLOBS.with_borrow(|all| {
            let ours = all.iter().filter(|((container, name), _)| {
                *container == self.0
                    && name.starts_with(prefix)
                    && cursor.is_none_or(|cursor| name.as_str() > cursor)
            });
            ours.take(count + 1)
                .map(|(_, kept)| kept.info.clone())
                .collect()
        });
        let has_more = found.len() > count;
        found.truncate(count);
        let last = found.last().map(|info| info.name.clone());
        Ok(Page {
            cursor: last.filter(|_| has_more),
            blobs: found,
        })
    }

    pub(crate) fn delete(&self, name: &str, condition: &Condition) -> Result<bool, BlobError> {
        let key = self.key(name)?;
        BLOBS.with_borrow_mut(|all| {
            holds(condition, all.get(&key))?;
            Ok(all.remove(&key).is_some())
        })
    }

    pub(crate) fn copy(
        &self,
        name: &str,
        to: &Self,
        to_name: &str,
    ) -> Result<Option<BlobInfo>, BlobError> {
        let key = self.key(name)?;
        let mut upload = to.put(to_name, None)?;
        let Some(kept) = BLOBS.with_borrow(|all| all.get(&key).cloned()) else {
            return Ok(None);
        };
        upload.bytes = kept.bytes;
        upload.content_type = kept.info.content_type;
        upload.finish(&Condition::Any).map(Some)
    }

    pub(crate) fn rename(&self, name: &str, to: &Self, to_name: &str) -> Result<bool, BlobError> {
        let (from, to) = (self.key(name)?, to.key(to_name)?);
        BLOBS.with_borrow_mut(|all| {
            let Some(mut kept) = all.remove(&from) else {
                return Ok(false);
            };
            kept.info.name.clone_from(&to.1);
            all.insert(to, kept);
            Ok(true)
        })
    }
}

impl Upload {
    #[expect(clippy::unnecessary_wraps, reason = "a host may refuse")]
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), BlobError> {
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    pub(crate) fn finish(self, condition: &Condition) -> Result<BlobInfo, BlobError> {
        let mut hasher = DefaultHasher::new();
        self.bytes.hash(&mut hasher);
        let since = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        let info = BlobInfo::new(
            self.key.1.clone(),
            self.bytes.len() as u64,
            format!("{:016x}", hasher.finish()),
            self.content_type,
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
        );
        BLOBS.with_borrow_mut(|all| {
            holds(condition, all.get(&self.key))?;
            let kept = Kept {
                info: info.clone(),
                bytes: self.bytes,
            };
            all.insert(self.key, kept);
            Ok(info)
        })
    }
}

impl Download {
    pub(crate) fn info(&self) -> BlobInfo {
        self.info.clone()
    }

    pub(crate) fn left(&self) -> u64 {
        self.left.len() as u64
    }

    #[expect(clippy::unnecessary_wraps, reason = "a host may fail")]
    pub(crate) fn read(&mut self) -> Result<Option<Vec<u8>>, BlobError> {
        if self.left.is_empty() {
            return Ok(None);
        }
        let rest = self.left.split_off(self.left.len().min(PIECE_BYTES));
        Ok(Some(std::mem::replace(&mut self.left, rest)))
    }
}
