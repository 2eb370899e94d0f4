//! Which files there are, by what they answer: what is known of them without a read. Small, since there are many.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use sha2::{Digest as _, Sha256};

use super::form::{Digest, End};
use crate::key::{Id, UrlRef, Values};
use crate::shelf::Weighed;
use crate::store::AppCache;

/// What a file counts for at least: so there are never more of them than the bound's bytes by this.
const FILE_BYTES_MIN: u64 = 16 << 10;
/// Answers of one URL.
const VARIANTS_MAX: usize = crate::entry::VARIANTS_MAX;

/// Names a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct UrlName {
    pub(crate) app: Id,
    name: Digest,
}

impl UrlName {
    pub(crate) fn of(url: UrlRef<'_>) -> Self {
        let mut hash = Sha256::new();
        hash.update([u8::from(url.https)]);
        hash.update((url.host.len() as u64).to_le_bytes());
        hash.update(url.host.as_bytes());
        hash.update(url.target.as_bytes());
        Self {
            app: url.app,
            name: first_half(hash),
        }
    }
}

/// Names whose answer to what it is.
pub(crate) fn variant_name(function: Id, values: &Values) -> Digest {
    let mut hash = Sha256::new();
    hash.update(function.bytes());
    hash.update(values.as_bytes());
    first_half(hash)
}

/// Names a tag. Two tags that share it are purged together, which is once too often and never too rarely.
pub(crate) fn tag_name(tag: &str) -> u64 {
    let mut name = [0; 8];
    name.copy_from_slice(&Sha256::digest(tag.as_bytes())[..8]);
    u64::from_le_bytes(name)
}

fn first_half(hash: Sha256) -> Digest {
    let mut name = [0; 16];
    name.copy_from_slice(&hash.finalize()[..16]);
    name
}

/// Where a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    pub(crate) app: Id,
    pub(crate) number: u64,
}

impl Place {
    pub(crate) fn folder(root: &Path, app: Id) -> PathBuf {
        root.join(hex(&app.bytes()))
    }

    pub(crate) fn path(self, root: &Path) -> PathBuf {
        Self::folder(root, self.app).join(self.number.to_string())
    }
}

/// As digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The app that a folder is of.
pub(crate) fn app_of_folder(name: &str) -> Option<Id> {
    let mut bytes = [0; 16];
    if name.len() != 2 * bytes.len() || !name.is_ascii() {
        return None;
    }
    for (place, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&name[2 * place..2 * place + 2], 16).ok()?;
    }
    Some(Id::from_bytes(bytes))
}

/// What is known of a file.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) variant: Digest,
    pub(crate) number: u64,
    /// How long it is.
    pub(crate) bytes: u64,
    pub(crate) end: End,
    pub(crate) asked: Instant,
    pub(crate) tags: Box<[u64]>,
}

impl Known {
    /// How many bytes it counts for.
    pub(crate) fn weight(&self) -> u64 {
        self.bytes.max(FILE_BYTES_MIN)
    }
}

/// The files of a URL.
pub(crate) struct Files {
    app: Arc<AppCache>,
    known: Vec<Known>,
}

impl Files {
    pub(crate) fn new(app: &Arc<AppCache>) -> Self {
        Self {
            app: Arc::clone(app),
            known: Vec::new(),
        }
    }

    pub(crate) fn find(&self, variant: Digest) -> Option<&Known> {
        self.known.iter().find(|known| known.variant == variant)
    }

    /// Puts one in, unless there is one that was asked for later. The files that go.
    pub(crate) fn put(&mut self, file: Known) -> Vec<Place> {
        let later = |there: &Known| there.asked > file.asked;
        if self.find(file.variant).is_some_and(later) {
            return vec![self.place(file.number)];
        }
        let mut gone = self.take(|known| known.variant == file.variant);
        if self.known.len() >= VARIANTS_MAX {
            let oldest = self.known.remove(0);
            gone.push(self.place(oldest.number));
        }
        self.known.push(file);
        gone
    }

    /// Takes some out. Their files.
    pub(crate) fn take(&mut self, mut is_it: impl FnMut(&Known) -> bool) -> Vec<Place> {
        let mut gone = Vec::new();
        self.known.retain(|known| {
            let goes = is_it(known);
            if goes {
                gone.push(known.number);
            }
            !goes
        });
        gone.into_iter().map(|number| self.place(number)).collect()
    }

    /// All files.
    pub(crate) fn all(&self) -> Vec<Place> {
        let numbers = self.known.iter().map(|known| known.number);
        numbers.map(|number| self.place(number)).collect()
    }

    fn place(&self, number: u64) -> Place {
        Place {
            app: self.app.id(),
            number,
        }
    }
}

impl Weighed for Files {
    fn bytes(&self) -> usize {
        let of = |known: &Known| usize::try_from(known.weight());
        let each = self
            .known
            .iter()
            .map(|known| of(known).unwrap_or(usize::MAX));
        each.sum()
    }

    fn count(&self) -> usize {
        self.known.len()
    }

    fn moved(&self, bytes: i64, count: i64) {
        self.app.filed(bytes, count);
    }
}
