//! The keys that a node has, and what they open: from sealed rows of the store to the values that functions see.
//!
//! Owns that a rotation loses nothing, whenever it is broken off: a new key is on the disk before anything is sealed
//! with it, each row is sealed anew in one transaction, and no key that still seals something is let go.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use bytes::Bytes;
use everwarm_host::{Secret, SecretBook, SecretMap};
use everwarm_secrets::{KEYS_MAX, Key, KeyId, KeyRing, Place, UnsealError, key_of};
use everwarm_store::secrets::{RowKey, SealedRow, Secrets, SecretsOf};
use secrecy::SecretString;

use super::keys::{self, KeySource, KeySourceError};
use super::{SecretsError, UNREADABLE_CODE};

/// Rows that are read at once: each may have 64 KiB.
const ROWS_A_PAGE: u32 = 32;
/// Secrets that can't be read whose names are logged.
const UNREADABLE_LOGGED_MAX: usize = 50;

/// See the module's documentation.
pub(crate) struct Vault {
    source: KeySource,
    /// Where the keys are that the node makes itself.
    in_data_folder: PathBuf,
    ring: ArcSwap<KeyRing>,
    book: Arc<SecretBook>,
    /// Held for reading from when something is sealed until it is stored, for writing while the key that seals
    /// changes: what was sealed with the old one is in the store then, and is found there.
    sealing: tokio::sync::RwLock<()>,
    /// Held while everything is sealed anew.
    pub(super) rotating: tokio::sync::Mutex<()>,
    /// Whether something was sealed with another key than the first when it was looked at last.
    has_old: AtomicBool,
}

/// What came of sealing everything anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotation {
    /// The key that seals from now on.
    pub key: KeyId,
    /// Versions of secrets that were sealed anew.
    pub resealed: u64,
    /// Versions that can't be opened with any key that is there.
    pub unreadable: u64,
    /// Keys that are there and seal nothing any more.
    pub unused: Vec<KeyId>,
}

impl Vault {
    /// Reads the keys. Blocks on the disk.
    pub(crate) fn open(
        source: KeySource,
        in_data_folder: PathBuf,
        book: Arc<SecretBook>,
    ) -> Result<Self, KeySourceError> {
        let ring = source.read(&in_data_folder)?;
        Ok(Self {
            source,
            in_data_folder,
            ring: ArcSwap::from_pointee(ring),
            book,
            sealing: tokio::sync::RwLock::default(),
            rotating: tokio::sync::Mutex::default(),
            has_old: AtomicBool::new(false),
        })
    }

    /// Reads the keys again: another process may have had the data folder meanwhile.
    pub(crate) async fn read_again(&self) -> Result<(), KeySourceError> {
        let ring = self.ring_of_source().await?;
        let _alone = self.sealing.write().await;
        self.ring.store(Arc::new(ring));
        Ok(())
    }

    async fn ring_of_source(&self) -> Result<KeyRing, KeySourceError> {
        let (source, path) = (self.source.clone(), self.in_data_folder.clone());
        let read = tokio::task::spawn_blocking(move || source.read(&path)).await;
        read.unwrap_or_else(|error| {
            Err(KeySourceError::File {
                path: self.in_data_folder.clone(),
                fault: keys::FileFault::Io {
                    doing: "read it",
                    source: error.into(),
                },
            })
        })
    }

    /// Opens one row.
    pub(crate) fn open_row(&self, row: &SealedRow) -> Result<SecretString, UnsealError> {
        self.ring.load().open(place(&row.key), &row.sealed)
    }

    /// The key that seals doesn't change as long as the caller has what this gives: until what was sealed is stored.
    pub(crate) async fn sealing(&self) -> Sealing<'_> {
        let no_rotation = self.sealing.read().await;
        Sealing {
            ring: self.ring.load_full(),
            _no_rotation: no_rotation,
        }
    }

    /// Has the functions of an app see what the store has.
    pub(crate) async fn show(
        &self,
        store: &dyn Secrets,
        of: &SecretsOf,
    ) -> Result<(), SecretsError> {
        let rows = store.current(of).await?;
        let shown = rows
            .iter()
            .map(|row| (row.key.name.clone(), self.secret(row)));
        self.book.set(&of.tenant, &of.app, shown.collect());
        Ok(())
    }

    /// Whether something is to be sealed anew.
    pub(super) fn has_old(&self) -> bool {
        self.has_old.load(Ordering::Relaxed)
    }

    /// Has all functions see what the store has.
    pub(crate) async fn show_all(&self, store: &dyn Secrets) -> Result<(), SecretsError> {
        let first = self.ring.load().first().id();
        let (mut is_old, mut unreadable) = (false, 0);
        let mut apps: BTreeMap<SecretsOf, SecretMap> = BTreeMap::new();
        let mut pages = Pages::of(store);
        while let Some(rows) = pages.next().await? {
            for row in rows {
                is_old |= key_of(&row.sealed) != Some(first);
                if !row.is_current {
                    continue;
                }
                let secret = self.secret(&row);
                if let Secret::Unreadable(why) = &secret {
                    tell_unreadable(&row.key, why, unreadable);
                    unreadable += 1;
                }
                let of_app = apps.entry(row.key.of).or_default();
                of_app.insert(row.key.name, secret);
            }
        }
        if unreadable > 0 {
            tracing::error!(
                code = UNREADABLE_CODE,
                secrets = unreadable,
                "secrets can't be read: put the key that they are sealed with among the keys of this node again, or set \
                 them anew; functions that ask for them get an error, all else is served"
            );
        }
        for (tenant, app) in self.book.apps() {
            let of = SecretsOf { tenant, app };
            if !apps.contains_key(&of) {
                self.book.set(&of.tenant, &of.app, SecretMap::new());
            }
        }
        for (of, secrets) in apps {
            self.book.set(&of.tenant, &of.app, secrets);
        }
        self.has_old.store(is_old, Ordering::Relaxed);
        Ok(())
    }

    fn secret(&self, row: &SealedRow) -> Secret {
        match self.open_row(row) {
            Ok(value) => Secret::Value(value),
            Err(error) => Secret::Unreadable(error.to_string()),
        }
    }

    /// Takes a new key first: one that is made where the node makes its keys, else what its source has by now.
    pub(crate) async fn rotate(&self, store: &dyn Secrets) -> Result<(), SecretsError> {
        let _alone = self.sealing.write().await;
        let needed = needed_keys(store).await?;
        let source = self.ring_of_source().await?;
        let next = match self.source {
            KeySource::DataFolder => {
                let key = Key::random().map_err(KeySourceError::Random)?;
                let is_full = source.ids().count() == KEYS_MAX;
                let kept = source.keeping(|id| !is_full || needed.contains_key(&id));
                let next = kept.with_first(key).map_err(SecretsError::Keys)?;
                self.write(next).await?
            }
            _ => source,
        };
        let before = self.ring.load();
        let mut lost = before.ids().filter(|id| !next.ids().any(|new| new == *id));
        if let Some(key) = lost.find(|id| needed.contains_key(id)) {
            let versions = needed[&key];
            return Err(SecretsError::KeyNeeded { key, versions });
        }
        self.ring.store(Arc::new(next));
        Ok(())
    }

    async fn write(&self, ring: KeyRing) -> Result<KeyRing, SecretsError> {
        let path = self.in_data_folder.clone();
        let written = tokio::task::spawn_blocking(move || {
            keys::write(&path, &ring)?;
            Ok::<_, KeySourceError>(ring)
        });
        let stopped = |error: tokio::task::JoinError| KeySourceError::File {
            path: self.in_data_folder.clone(),
            fault: keys::FileFault::Io {
                doing: "write it",
                source: error.into(),
            },
        };
        Ok(written.await.map_err(stopped)??)
    }

    /// Seals everything anew that isn't sealed with the first key. Broken off, it goes on where it was when it is asked
    /// for again.
    pub(crate) async fn seal_anew(&self, store: &dyn Secrets) -> Result<Rotation, SecretsError> {
        let ring = self.ring.load_full();
        let first = ring.first().id();
        let (mut resealed, mut unreadable) = (0, 0);
        let mut used = BTreeSet::from([first]);
        let mut pages = Pages::of(store);
        while let Some(rows) = pages.next().await? {
            for row in rows {
                let key = key_of(&row.sealed);
                if key == Some(first) {
                    continue;
                }
                let Ok(value) = ring.open(place(&row.key), &row.sealed) else {
                    used.extend(key);
                    unreadable += 1;
                    continue;
                };
                let sealed = ring.seal(place(&row.key), &value)?;
                // One that was removed or changed meanwhile is not there to be changed.
                if store.reseal(&row.key, row.sealed, sealed.into()).await? {
                    resealed += 1;
                }
            }
        }
        let unused = ring.ids().filter(|id| !used.contains(id)).collect();
        Ok(Rotation {
            key: first,
            resealed,
            unreadable,
            unused,
        })
    }
}

/// Holds a rotation off.
pub(crate) struct Sealing<'v> {
    ring: Arc<KeyRing>,
    _no_rotation: tokio::sync::RwLockReadGuard<'v, ()>,
}

impl Sealing<'_> {
    /// Seals a value.
    pub(crate) fn seal(&self, key: &RowKey, value: &SecretString) -> Result<Bytes, SecretsError> {
        Ok(self.ring.seal(place(key), value)?.into())
    }
}

/// All rows of a store, page by page.
struct Pages<'s> {
    store: &'s dyn Secrets,
    after: Option<RowKey>,
}

impl<'s> Pages<'s> {
    fn of(store: &'s dyn Secrets) -> Self {
        Self { store, after: None }
    }

    /// The next page; `None` behind the last.
    async fn next(&mut self) -> Result<Option<Vec<SealedRow>>, SecretsError> {
        let rows = self.store.rows(self.after.as_ref(), ROWS_A_PAGE).await?;
        self.after = rows.last().map(|row| row.key.clone());
        Ok((!rows.is_empty()).then_some(rows))
    }
}

/// How many versions each key seals.
async fn needed_keys(store: &dyn Secrets) -> Result<BTreeMap<KeyId, u64>, SecretsError> {
    let mut needed = BTreeMap::new();
    let mut pages = Pages::of(store);
    while let Some(rows) = pages.next().await? {
        for key in rows.iter().filter_map(|row| key_of(&row.sealed)) {
            *needed.entry(key).or_insert(0) += 1;
        }
    }
    Ok(needed)
}

fn tell_unreadable(key: &RowKey, why: &str, told: usize) {
    if told < UNREADABLE_LOGGED_MAX {
        tracing::error!(
            code = UNREADABLE_CODE,
            tenant = %key.of.tenant,
            app = %key.of.app,
            secret = %key.name,
            version = key.version,
            reason = why,
            "a secret can't be read"
        );
    }
}

fn place(key: &RowKey) -> Place<'_> {
    Place {
        tenant: &key.of.tenant,
        app: &key.of.app,
        name: &key.name,
        version: key.version,
    }
}
