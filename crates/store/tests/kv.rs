//! The embedded engine's key-value data: restarts, hand-overs, and faults injected for real into its file.

// A test that can't go on has failed.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use everwarm_manifest::{AppName, TenantId};
use everwarm_store::Store as _;
use everwarm_store::accounts::Accounts as _;
use everwarm_store::catalog::UnixMillis;
use everwarm_store::embedded::{Embedded, OpenError};
use everwarm_store::kv::{Bucket, BucketName, Key, KvError, KvQuota, NewValue};
use futures_util::future::join_all;

const NOW: UnixMillis = UnixMillis(1_000);
const PAGE_BYTES: usize = 4_096;

fn open(dir: &Path) -> Embedded {
    Embedded::open(dir).unwrap()
}

fn bucket() -> Bucket {
    Bucket {
        tenant: TenantId::default_tenant(),
        app: AppName::new("shop").unwrap(),
        name: BucketName::new("default").unwrap(),
    }
}

fn key(number: u32) -> Key {
    Key::new(&format!("k{number:05}")).unwrap()
}

fn value(len: usize) -> NewValue {
    NewValue {
        bytes: vec![7; len].into(),
        expires: None,
    }
}

async fn set(store: &Embedded, number: u32, len: usize) -> Result<(), KvError> {
    let (bucket, key) = (bucket(), key(number));
    let set = store
        .kv()
        .set(&bucket, &key, value(len), KvQuota::NONE, NOW);
    set.await.map(|_| ())
}

async fn len(store: &Embedded, number: u32) -> Result<Option<usize>, KvError> {
    let entry = store.kv().get(&bucket(), &key(number), NOW).await?;
    Ok(entry.map(|entry| entry.value.len()))
}

async fn fill(store: &Embedded) {
    for first in (0..1_000).step_by(100) {
        let values = (first..first + 100).map(|number| (key(number), value(200)));
        let bucket = bucket();
        let set = store
            .kv()
            .set_many(&bucket, values.collect(), KvQuota::NONE, NOW);
        set.await.unwrap();
    }
}

/// What a process that is killed now leaves behind.
fn left_behind(dir: &Path) -> tempfile::TempDir {
    let copied = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            fs::copy(&path, copied.path().join(path.file_name().unwrap())).unwrap();
        }
    }
    copied
}

#[tokio::test]
async fn log_has_room_ahead_of_it_and_begins_anew_when_it_is_long() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("kv.sqlite-wal");
    let length = || fs::metadata(&log).unwrap().len();
    let store = open(dir.path());
    for number in 0..3 {
        set(&store, number, 10).await.unwrap();
    }
    let grown = async || {
        while length() < 1 << 20 {
            tokio::task::yield_now().await;
        }
    };
    let deadline = Duration::from_secs(30);
    tokio::time::timeout(deadline, grown()).await.unwrap();
    // What is ahead is no part of the log.
    let left = left_behind(dir.path());
    let other = open(left.path());
    assert_eq!(len(&other, 2).await.unwrap(), Some(10));
    set(&other, 3, 10).await.unwrap();
    drop(other);

    // More than it may have, two pages a write.
    for number in 0..3_000 {
        set(&store, number, 20).await.unwrap();
    }
    assert!(length() < 20 << 20, "{}", length());
    let left = left_behind(dir.path());
    let other = open(left.path());
    for number in 0..3_000 {
        assert_eq!(len(&other, number).await.unwrap(), Some(20), "{number}");
    }
}

#[tokio::test]
async fn values_are_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    set(&open(dir.path()), 1, 10).await.unwrap();
    let store = open(dir.path());
    assert_eq!(len(&store, 1).await.unwrap(), Some(10));
    // One file and nothing beside it: the log is written back at the end.
    drop(store);
    let names = fs::read_dir(dir.path()).unwrap();
    let names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
    let of_kv = names
        .iter()
        .filter(|name| name.to_string_lossy().starts_with("kv"));
    assert_eq!(of_kv.collect::<Vec<_>>(), ["kv.sqlite"]);
}

#[tokio::test]
async fn store_that_was_let_go_answers_that_and_goes_on_when_it_is_taken_back() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    set(&store, 1, 10).await.unwrap();
    store.let_go();
    let read = len(&store, 1).await;
    assert!(matches!(read, Err(KvError::Failed { .. })), "{read:?}");
    let written = set(&store, 2, 10).await;
    assert!(
        matches!(written, Err(KvError::Failed { .. })),
        "{written:?}"
    );
    {
        let other = open(dir.path());
        assert_eq!(len(&other, 1).await.unwrap(), Some(10));
        set(&other, 2, 20).await.unwrap();
    }
    store.take_back().unwrap();
    assert_eq!(len(&store, 2).await.unwrap(), Some(20));
    set(&store, 3, 10).await.unwrap();
}

#[tokio::test]
async fn other_processes_are_kept_out_of_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    set(&store, 1, 10).await.unwrap();
    // The lock is the process's, so a connection of this one would get in.
    let path = store.data_dir().kv();
    let script = "import sqlite3, sys\n\
                  connection = sqlite3.connect(sys.argv[1], timeout=0)\n\
                  connection.execute('SELECT count(*) FROM entry')\n";
    let Ok(output) = std::process::Command::new("python3")
        .args(["-c", script])
        .arg(&path)
        .output()
    else {
        return;
    };
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("locked") || said.contains("No module"),
        "{said}"
    );
    assert_eq!(len(&store, 1).await.unwrap(), Some(10));
}

#[test]
fn key_value_data_of_a_later_release_is_not_touched() {
    let dir = tempfile::tempdir().unwrap();
    let path = open(dir.path()).data_dir().kv();
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.pragma_update(None, "user_version", 2).unwrap();
    drop(connection);
    let error = Embedded::open(dir.path()).unwrap_err();
    assert_eq!(error.code(), "EW4004");
    let said = error.to_string();
    assert!(
        said.contains("version 2") && said.contains("kv.sqlite"),
        "{said}"
    );
    assert!(said.contains("knows up to 1"), "{said}");
}

#[test]
fn key_value_file_that_is_no_database_is_an_error_that_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = open(dir.path()).data_dir().kv();
    fs::write(&path, "this isn't a database any more".repeat(300)).unwrap();
    let error = Embedded::open(dir.path()).unwrap_err();
    assert_eq!(error.code(), "EW4003");
    assert!(matches!(error, OpenError::Sqlite { .. }));
    assert!(error.to_string().contains("kv.sqlite"), "{error}");
}

/// A store whose key-value file has garbage in the place of some pages, the first (which is page 1) never among them.
async fn damaged(dir: &Path, pages: impl Fn(usize) -> bool) -> Embedded {
    let path = {
        let store = open(dir);
        fill(&store).await;
        store.data_dir().kv()
    };
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    let count = usize::try_from(file.metadata().unwrap().len()).unwrap() / PAGE_BYTES;
    assert!(count > 60, "{count} pages are no test");
    for page in (1..count).filter(|page| pages(*page)) {
        let offset = u64::try_from(page * PAGE_BYTES).unwrap();
        file.write_all_at(&[0x5a; PAGE_BYTES], offset).unwrap();
    }
    open(dir)
}

#[tokio::test]
async fn file_whose_pages_are_garbage_is_said_to_be_and_harms_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let store = damaged(dir.path(), |_| true).await;
    let (kv, bucket, key) = (store.kv(), bucket(), key(1));
    let (tenant, app) = (&bucket.tenant, &bucket.app);
    let answers = [
        ("get", kv.get(&bucket, &key, NOW).await.map(|_| ())),
        ("state", kv.revision(&bucket, &key, NOW).await.map(|_| ())),
        (
            "many",
            kv.get_many(&bucket, std::slice::from_ref(&key), NOW)
                .await
                .map(|_| ()),
        ),
        (
            "list",
            kv.list(&bucket, "", None, 10, NOW).await.map(|_| ()),
        ),
        ("set", set(&store, 1, 10).await),
        ("delete", kv.delete(&bucket, &key, NOW).await.map(|_| ())),
        (
            "add",
            kv.increment(&bucket, &key, 1, KvQuota::NONE, NOW)
                .await
                .map(|_| ()),
        ),
        (
            "swap",
            kv.swap(&bucket, &key, None, value(1), KvQuota::NONE, NOW)
                .await
                .map(|_| ()),
        ),
        ("kept", kv.kept(tenant, app).await.map(|_| ())),
        ("apps", kv.apps(None, 10).await.map(|_| ())),
        ("remove", kv.remove_app(tenant, app).await.map(|_| ())),
        ("sweep", kv.sweep(NOW, 10).await.map(|_| ())),
    ];
    for (what, answer) in answers {
        assert!(
            matches!(answer, Err(KvError::Damaged { .. })),
            "{what}: {answer:?}"
        );
    }
    store.tenants(None, 10).await.unwrap();
}

#[tokio::test]
async fn values_on_sound_pages_are_read_and_written_whatever_the_others_are() {
    let dir = tempfile::tempdir().unwrap();
    let store = damaged(dir.path(), |page| page == 40).await;
    let (mut sound, mut broken) = (0, 0);
    for number in 0..1_000 {
        match len(&store, number).await {
            Ok(Some(200)) => sound += 1,
            Err(KvError::Damaged { .. }) => broken += 1,
            other => panic!("{number}: {other:?}"),
        }
    }
    assert!(broken > 0 && sound > 800, "{sound} sound, {broken} broken");
    let mut written = 0;
    for number in 0..1_000 {
        match set(&store, number, 199).await {
            Ok(()) => written += 1,
            Err(KvError::Damaged { .. }) => {}
            Err(other) => panic!("{number}: {other:?}"),
        }
    }
    assert!(written > 800, "{written} written");
}

#[tokio::test]
async fn change_that_a_damaged_page_stops_is_undone_whole_among_others_too() {
    let dir = tempfile::tempdir().unwrap();
    let store = damaged(dir.path(), |page| page == 40).await;
    let (mut kept, mut broken) = (BTreeSet::new(), BTreeSet::new());
    for round in 0..20 {
        // Each turn has some that come to the page and some that don't. What a batch sets first is new.
        let numbers: Vec<u32> = (0..50).map(|place| place * 20 + round).collect();
        let bucket = bucket();
        let sets = numbers.iter().map(|number| {
            let values = [number + 5_000, *number].map(|number| (key(number), value(100)));
            let kv = store.kv();
            kv.set_many(&bucket, values.to_vec(), KvQuota::NONE, NOW)
        });
        for (number, set) in numbers.iter().zip(join_all(sets).await) {
            match set {
                Ok(()) => kept.insert(*number),
                Err(KvError::Damaged { .. }) => broken.insert(*number),
                Err(other) => panic!("{number}: {other:?}"),
            };
        }
    }
    assert!(!broken.is_empty() && kept.len() > 100, "{}", kept.len());
    drop(store);
    let store = open(dir.path());
    for number in &kept {
        assert_eq!(len(&store, *number).await.unwrap(), Some(100));
        assert_eq!(len(&store, number + 5_000).await.unwrap(), Some(100));
    }
    for number in &broken {
        assert_eq!(len(&store, number + 5_000).await.unwrap(), None);
        let old = len(&store, *number).await;
        assert!(
            matches!(old, Ok(Some(200)) | Err(KvError::Damaged { .. })),
            "{old:?}"
        );
    }
    let bucket = bucket();
    let found = store.kv().kept(&bucket.tenant, &bucket.app).await.unwrap();
    let new = kept.len() as u64;
    assert_eq!(found.entries, 1_000 + new);
    assert_eq!(found.bytes, 1_000 * 206 - new * 100 + new * 106);
}

#[tokio::test]
async fn sweeps_and_removal_give_room_to_what_comes() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let bucket = bucket();
    for _ in 0..4 {
        fill(&store).await;
        let kv = store.kv();
        assert!(kv.remove_app(&bucket.tenant, &bucket.app).await.unwrap());
        while kv.sweep(NOW, 300).await.unwrap().more {}
    }
    let path = store.data_dir().kv();
    drop(store);
    let bytes = fs::metadata(path).unwrap().len();
    // Once what was filled, not four times.
    assert!(bytes < 2 * 1_000 * 300, "{bytes} bytes");
}

#[test]
fn readers_see_whole_batches_while_writers_write() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let keys = [key(1), key(2), key(3)];
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
    };
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let runtime = runtime();
            for len in 1..=200 {
                let values = keys.iter().map(|key| (key.clone(), value(len * 40)));
                let bucket = bucket();
                let set = store
                    .kv()
                    .set_many(&bucket, values.collect(), KvQuota::NONE, NOW);
                runtime.block_on(set).unwrap();
            }
            is_over.store(true, Ordering::Relaxed);
        });
        for _ in 0..3 {
            scope.spawn(|| {
                let runtime = runtime();
                let mut last = 0;
                while !is_over.load(Ordering::Relaxed) {
                    let bucket = bucket();
                    let many = store.kv().get_many(&bucket, &keys, NOW);
                    let many = runtime.block_on(many).unwrap();
                    let len = |entry: &Option<everwarm_store::kv::Entry>| {
                        entry.as_ref().map_or(0, |entry| entry.value.len())
                    };
                    let first = len(&many[0]);
                    assert!(many.iter().all(|entry| len(entry) == first));
                    assert!(first >= last, "what was read once isn't older later");
                    last = first;
                }
            });
        }
    });
}
