//! Blobs of the embedded engine: what is on the disk, faults injected into it, backups. What every engine does is in the
//! conformance suite.

// A test that can't go on has failed.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use everwarm_manifest::TenantId;
use everwarm_store::Store as _;
use everwarm_store::blobs::{
    BlobError, BlobId, BlobName, BlobQuota, Blobs, Condition, Container, PIECE_BYTES, Part, Upload,
};
use everwarm_store::catalog::UnixMillis;
use everwarm_store::embedded::Embedded;
use everwarm_store::embedded::backup::{check, restore};
use tokio::sync::mpsc;

fn id(app: &str, name: &str) -> BlobId {
    BlobId {
        container: Container {
            tenant: TenantId::default_tenant(),
            app: app.parse().unwrap(),
            name: "photos".parse().unwrap(),
        },
        name: BlobName::new(name).unwrap(),
    }
}

async fn begin(blobs: &dyn Blobs, blob: &BlobId, bytes: &[u8]) -> Box<dyn Upload> {
    let mut upload = blobs.put(blob, None, BlobQuota::NONE).await.unwrap();
    for piece in bytes.chunks(PIECE_BYTES) {
        upload.write(Bytes::copy_from_slice(piece)).await.unwrap();
    }
    upload
}

async fn put(blobs: &dyn Blobs, blob: &BlobId, bytes: &[u8]) {
    let upload = begin(blobs, blob, bytes).await;
    let finished = upload.finish(Condition::Any, UnixMillis(1)).await;
    assert_eq!(finished.unwrap().size, bytes.len() as u64);
}

async fn read(blobs: &dyn Blobs, blob: &BlobId) -> Result<Option<Vec<u8>>, BlobError> {
    let Some(mut download) = blobs.get(blob, Part::WHOLE).await? else {
        return Ok(None);
    };
    let mut all = Vec::new();
    while let Some(piece) = download.read().await? {
        all.extend_from_slice(&piece);
    }
    Ok(Some(all))
}

/// All files of blobs.
fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    entries
        .map(|entry| entry.unwrap().path())
        .flat_map(|path| {
            if path.is_dir() {
                files(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}

async fn sweep(store: &Embedded) {
    while store.blobs().sweep().await.unwrap() {}
}

async fn backed_up(store: &Embedded) -> Vec<u8> {
    let (pieces, mut received) = mpsc::channel::<Bytes>(4);
    let taking = async {
        let mut archive = Vec::new();
        while let Some(piece) = received.recv().await {
            archive.extend_from_slice(&piece);
        }
        archive
    };
    let (done, archive) = tokio::join!(store.back_up(pieces), taking);
    done.unwrap();
    archive
}

#[tokio::test]
async fn half_blobs_of_an_earlier_process_are_swept_and_whole_ones_are_there() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("blobs");
    let whole = vec![7; PIECE_BYTES + 1];
    {
        let store = Embedded::open(dir.path()).unwrap();
        put(store.blobs(), &id("shop", "a"), &whole).await;
        // As a process that is killed leaves it: nobody cleans up.
        std::mem::forget(begin(store.blobs(), &id("shop", "b"), &whole).await);
        assert_eq!(files(&folder).len(), 2);
    }
    let store = Embedded::open(dir.path()).unwrap();
    let half = begin(store.blobs(), &id("shop", "c"), &whole).await;
    fs::write(folder.join("default/shop/notes.txt"), "not ours").unwrap();
    sweep(&store).await;
    assert_eq!(
        files(&folder).len(),
        3,
        "the whole, the one under way, and what isn't ours"
    );
    half.finish(Condition::Any, UnixMillis(1)).await.unwrap();
    for (name, there) in [("a", true), ("b", false), ("c", true)] {
        let found = read(store.blobs(), &id("shop", name)).await.unwrap();
        assert_eq!(found.is_some(), there, "{name}");
    }
}

#[tokio::test]
async fn files_go_with_their_blobs() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("blobs");
    let store = Embedded::open(dir.path()).unwrap();
    let blobs = store.blobs();
    for name in ["a", "b", "c", "d"] {
        put(blobs, &id("shop", name), b"1").await;
        put(blobs, &id("shop", name), b"2").await;
    }
    blobs
        .delete(&id("shop", "a"), Condition::Any)
        .await
        .unwrap();
    blobs
        .rename(&id("shop", "b"), &id("shop", "c"))
        .await
        .unwrap();
    let upload = begin(blobs, &id("shop", "d"), b"3").await;
    let refused = upload.finish(Condition::Absent, UnixMillis(1)).await;
    assert!(matches!(refused, Err(BlobError::Changed { .. })));
    put(blobs, &id("blog", "a"), b"1").await;
    // What they leave is removed beside; a stop finishes it.
    store.let_go();
    assert_eq!(files(&folder).len(), 3);
    store.take_back().unwrap();
    blobs
        .remove_app(&TenantId::default_tenant(), &"shop".parse().unwrap())
        .await
        .unwrap();
    sweep(&store).await;
    assert_eq!(files(&folder).len(), 1);
    assert!(!folder.join("default/shop").exists());
}

#[tokio::test]
async fn blob_that_was_being_written_when_the_store_was_let_go_is_not_kept() {
    let dir = tempfile::tempdir().unwrap();
    let store = Embedded::open(dir.path()).unwrap();
    let blobs = store.blobs();
    let mut upload = begin(blobs, &id("shop", "a"), b"1").await;
    store.let_go();
    // Another process has it, and finds a file that no blob is in.
    let heir = Embedded::open(dir.path()).unwrap();
    sweep(&heir).await;
    assert!(files(&dir.path().join("blobs")).is_empty());
    drop(heir);
    store.take_back().unwrap();
    upload.write(b"2"[..].into()).await.unwrap();
    let refused = upload.finish(Condition::Any, UnixMillis(1)).await;
    assert!(matches!(refused, Err(BlobError::Refused(_))), "{refused:?}");
    assert_eq!(blobs.head(&id("shop", "a")).await.unwrap(), None);
    put(blobs, &id("shop", "a"), b"3").await;
    assert_eq!(read(blobs, &id("shop", "a")).await.unwrap().unwrap(), b"3");
}

#[tokio::test]
async fn damaged_files_are_found_when_they_are_read_whole() {
    let dir = tempfile::tempdir().unwrap();
    let store = Embedded::open(dir.path()).unwrap();
    let blobs = store.blobs();
    let whole = vec![7; 2 * PIECE_BYTES];
    put(blobs, &id("shop", "a"), &whole).await;
    let path = files(&dir.path().join("blobs")).remove(0);
    for (damage, said) in [
        ([&whole[..whole.len() - 1], b"x"].concat(), "other bytes"),
        (whole[1..].to_vec(), "ends early"),
    ] {
        fs::write(&path, damage).unwrap();
        let error = read(blobs, &id("shop", "a")).await.unwrap_err();
        assert!(matches!(error, BlobError::Damaged { .. }), "{error:?}");
        assert!(error.to_string().contains(said), "{error}");
    }
    fs::remove_file(&path).unwrap();
    let error = read(blobs, &id("shop", "a")).await.unwrap_err();
    assert!(error.to_string().contains("aren't there"), "{error}");
    let head = blobs.head(&id("shop", "a")).await.unwrap();
    assert_eq!(head.unwrap().size, whole.len() as u64);
}

#[tokio::test]
async fn restored_store_has_the_blobs_of_the_moment_whatever_happens_meanwhile() {
    let dir = tempfile::tempdir().unwrap();
    let store = Embedded::open(&dir.path().join("old")).unwrap();
    let blobs = store.blobs();
    let whole: Vec<u8> = (0..=250).cycle().take(3 * PIECE_BYTES).collect();
    for name in ["a", "b", "c"] {
        put(blobs, &id("shop", name), &whole).await;
    }
    put(blobs, &id("gone", "a"), &whole).await;
    blobs
        .remove_app(&TenantId::default_tenant(), &"gone".parse().unwrap())
        .await
        .unwrap();

    let (pieces, mut received) = mpsc::channel::<Bytes>(1);
    let taking = async {
        let mut archive = received.recv().await.unwrap().to_vec();
        // The archive has begun: what goes now is in it.
        blobs
            .delete(&id("shop", "a"), Condition::Any)
            .await
            .unwrap();
        put(blobs, &id("shop", "b"), b"new").await;
        put(blobs, &id("shop", "d"), b"new").await;
        sweep(&store).await;
        while let Some(piece) = received.recv().await {
            archive.extend_from_slice(&piece);
        }
        archive
    };
    let (done, archive) = tokio::join!(store.back_up(pieces), taking);
    done.unwrap();
    let new = dir.path().join("new");
    restore(Cursor::new(&archive), &new).unwrap();
    let restored = Embedded::open(&new).unwrap();
    for name in ["a", "b", "c"] {
        let found = read(restored.blobs(), &id("shop", name)).await.unwrap();
        assert!(found.as_ref() == Some(&whole), "{name}");
    }
    assert_eq!(
        read(restored.blobs(), &id("shop", "d")).await.unwrap(),
        None
    );
    sweep(&restored).await;
    assert_eq!(files(&new.join("blobs")).len(), 3);
    // And the old one gives back the room when the backup is over.
    sweep(&store).await;
    store.let_go();
    assert_eq!(files(&dir.path().join("old/blobs")).len(), 3);
}

#[tokio::test]
async fn flipped_byte_of_a_blob_is_found_by_a_backup_and_by_a_restore() {
    let dir = tempfile::tempdir().unwrap();
    let store = Embedded::open(&dir.path().join("old")).unwrap();
    let whole = b"a text that is nowhere else".repeat(1_000);
    put(store.blobs(), &id("shop", "a"), &whole).await;
    let mut archive = backed_up(&store).await;
    let place = archive.windows(whole.len()).position(|part| part == whole);
    archive[place.unwrap() + 5_000] ^= 1;
    let new = dir.path().join("new");
    let error = restore(Cursor::new(&archive), &new).unwrap_err();
    assert_eq!(error.code(), "EW4008", "{error}");
    assert!(Embedded::open(&new).is_err());
    let scratch = tempfile::tempdir().unwrap();
    assert!(check(Cursor::new(&archive), scratch.path()).is_err());

    let path = files(&dir.path().join("old/blobs")).remove(0);
    fs::write(&path, vec![0; whole.len()]).unwrap();
    let (pieces, mut received) = mpsc::channel::<Bytes>(1);
    let taking = async { while received.recv().await.is_some() {} };
    let (done, ()) = tokio::join!(store.back_up(pieces), taking);
    assert!(done.is_err());
}
