//! What tests of blobs have in common: an app that has containers, blobs that come and go, and the files that a node keeps.

use std::path::{Path, PathBuf};
use std::{fs, io};

use bytes::Bytes;
use everwarm_api::client::{Blob, BlobIf, BlobList, BlobsOf, Client, Source};

use crate::server::NewApp;

/// The containers `photos` and `videos`, for a manifest.
pub const DECLARED: &str = "[[blobs]]\nname = \"photos\"\n[[blobs]]\nname = \"videos\"";

/// The guest `blobs` as an app whose function may open both containers.
pub fn app(name: &str) -> NewApp {
    NewApp::new(name, "blobs", &["/*"]).line(&format!(
        "[function.grants]\nblobs = [\"photos\", \"videos\"]\n{DECLARED}"
    ))
}

/// Deploys [`app`].
///
/// # Panics
///
/// When the node refuses it.
pub async fn deploy(client: &Client, name: &str) {
    let deployed = app(name).deploy(client).await;
    deployed.expect("the app can be deployed");
}

/// All files below a folder.
///
/// # Panics
///
/// When what is in it can't be listed.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let entries = entries.map(|entry| entry.expect("a folder can be listed").path());
    entries
        .flat_map(|path| {
            if path.is_dir() {
                files(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}

/// All bytes of a blob that is on its way.
///
/// # Panics
///
/// When it breaks off.
pub async fn all(blob: Option<Blob>) -> Option<Vec<u8>> {
    let mut blob = blob?;
    let mut bytes = Vec::new();
    while let Some(piece) = blob.piece().await.expect("the blob is whole") {
        bytes.extend_from_slice(&piece);
    }
    Some(bytes)
}

/// A blob that is a text; `None` when there is none.
///
/// # Panics
///
/// When the node refuses it, or it is no text.
pub async fn text(blobs: BlobsOf<'_>, name: &str) -> Option<String> {
    let bytes = all(blobs.get(name).await.expect("a blob can be read")).await?;
    Some(String::from_utf8(bytes).expect("the blob is a text"))
}

/// Writes a text.
///
/// # Panics
///
/// When the node refuses it.
pub async fn put(blobs: BlobsOf<'_>, name: &str, text: &'static str) {
    let put = blobs.put(name, text.into(), None, BlobIf::Any).await;
    assert_eq!(put.expect("a blob can be written").size, text.len() as u64);
}

/// The names of all blobs, of which a page has all.
///
/// # Panics
///
/// When there are more, or the node refuses to say.
pub async fn names(blobs: BlobsOf<'_>) -> Vec<String> {
    let page = blobs
        .list(BlobList::default())
        .await
        .expect("blobs can be listed");
    assert_eq!(page.next, None);
    page.items.into_iter().map(|blob| blob.name).collect()
}

/// Bytes of a [`mebibyte`].
pub const MIB: usize = 1 << 20;

/// So many mebibytes of which no two are the same, and then an end or a failure.
#[derive(Debug)]
pub struct Mebibytes {
    sent: usize,
    count: usize,
    fails: bool,
}

impl Mebibytes {
    /// That many.
    pub fn new(count: usize) -> Self {
        Self {
            sent: 0,
            count,
            fails: false,
        }
    }

    /// Has them break off after the last.
    #[must_use]
    pub fn failing(self) -> Self {
        Self {
            fails: true,
            ..self
        }
    }
}

/// The one of that number.
pub fn mebibyte(number: usize) -> Bytes {
    let word = (number as u64).to_le_bytes();
    word.repeat(MIB / word.len()).into()
}

impl Source for Mebibytes {
    fn size(&self) -> Option<u64> {
        None
    }

    async fn piece(&mut self) -> io::Result<Option<Bytes>> {
        if self.sent == self.count {
            let failure = io::Error::other("the source broke");
            return if self.fails { Err(failure) } else { Ok(None) };
        }
        self.sent += 1;
        Ok(Some(mebibyte(self.sent - 1)))
    }
}
