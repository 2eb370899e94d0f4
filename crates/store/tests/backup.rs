//! Backups of the embedded engine: what comes back, and archives that aren't whole, not ours, or hostile.

// A test that can't go on has failed.
#![allow(clippy::unwrap_used)]

#[path = "power_loss/story.rs"]
mod story;

use std::fs;
use std::path::Path;

use bytes::Bytes;
use everwarm_store::artifacts::{Artifacts as _, Collected};
use everwarm_store::catalog::UnixMillis;
use everwarm_store::embedded::Embedded;
use everwarm_store::embedded::backup::{BackupError, RestoreError, check, restore};
use tar::{Builder, EntryType, Header};
use tokio::sync::mpsc;

use story::{Ask, BLOB_STORY, Came, KV_STORY, QUEUE_STORY, SQL_STORY, STORY, Step, seen};

/// Later than anything here was written.
const LATER: UnixMillis = UnixMillis(u64::MAX >> 1);

async fn archive_of(store: &Embedded) -> Vec<u8> {
    let (pieces, mut received) = mpsc::channel::<Bytes>(1);
    let collected = async {
        let mut archive = Vec::new();
        while let Some(piece) = received.recv().await {
            archive.extend_from_slice(&piece);
        }
        archive
    };
    let (backed_up, archive) = tokio::join!(store.back_up(pieces), collected);
    backed_up.unwrap();
    archive
}

/// A store with a past, and its backup.
async fn backup(root: &Path) -> (Embedded, Vec<u8>) {
    let store = Embedded::open(root).unwrap();
    // The first story writes to the other files too: theirs begin with none.
    for step in KV_STORY
        .iter()
        .chain(QUEUE_STORY)
        .chain(STORY)
        .chain(SQL_STORY)
        .chain(BLOB_STORY)
    {
        step.run(&store).await.unwrap();
    }
    let archive = archive_of(&store).await;
    (store, archive)
}

#[tokio::test]
async fn restored_store_is_as_the_one_that_was_backed_up_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let (store, archive) = backup(&dir.path().join("old")).await;
    let expected = seen(&store).await.unwrap();
    let checked = check(&archive[..], dir.path()).unwrap();
    let new = dir.path().join("new");
    let restored = restore(&archive[..], &new).unwrap();
    assert_eq!(restored, checked);
    let new = Embedded::open(&new).unwrap();
    assert_eq!(seen(&new).await.unwrap(), expected);
    for step in [
        Step::Upload(9),
        Step::Version("shop", 9),
        Step::Promote("shop", 9),
        Step::Usage(9),
        Step::Collect,
        Step::Increment("count", 1),
        Step::Migrate(3),
        Step::Execute("INSERT INTO item VALUES (9, 'nine', 1)"),
        Step::Queue(Ask::Send(2, 1_000)),
        Step::Queue(Ask::Handle(100, Came::Well, 100)),
    ] {
        step.run(&new).await.unwrap();
    }
    seen(&new).await.unwrap();
}

#[tokio::test]
async fn backup_is_whole_whatever_is_deployed_and_removed_meanwhile() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = backup(&dir.path().join("old")).await;
    let (pieces, mut received) = mpsc::channel::<Bytes>(1);
    let taken = async {
        let mut archive = Vec::new();
        let mut round = 0_u8;
        while let Some(piece) = received.recv().await {
            archive.extend_from_slice(&piece);
            // Between any two pieces the store changes.
            let marker = 10 + round % 4;
            for step in [
                Step::Upload(marker),
                Step::Version("news", marker),
                Step::Promote("news", marker),
                Step::Remove("news"),
                Step::Remove("blog"),
                Step::Collect,
                Step::Increment("rounds", 1),
                Step::SetMany(&["p", "q"], 50_000),
                Step::Queue(Ask::Send(2, 50_000)),
                Step::Execute("INSERT INTO item (text) VALUES (hex(randomblob(9000)))"),
            ] {
                step.run(&store).await.unwrap();
            }
            round = round.wrapping_add(1);
        }
        archive
    };
    let (backed_up, archive) = tokio::join!(store.back_up(pieces), taken);
    backed_up.unwrap();
    let new = dir.path().join("new");
    restore(&archive[..], &new).unwrap();
    let new = Embedded::open(&new).unwrap();
    let seen = seen(&new).await.unwrap();
    assert!(seen.contains("blog"), "{seen}");
    // What was set before the first piece is there, what came after it isn't.
    assert!(!seen.contains("rounds"), "{seen}");
    assert!(seen.contains("KeptMessages { messages: 2,"), "{seen}");
}

#[tokio::test]
async fn backups_of_earlier_forms_are_restored_without_what_they_lack() {
    let dir = tempfile::tempdir().unwrap();
    let (store, archive) = backup(&dir.path().join("old")).await;
    let seen_of_old = seen(&store).await.unwrap();
    for form in [1, 2, 3, 4] {
        let mut parts = parts(&archive);
        let mut about: serde_json::Value = serde_json::from_slice(&parts[0].1).unwrap();
        about["format"] = form.into();
        // The name of the part, and its first file's.
        let lacks = [
            ("blobs", "blobs.sqlite"),
            ("queue", "queue.sqlite"),
            ("sql", "sql/acme/shop/default.sqlite"),
            ("kv", "kv.sqlite"),
        ];
        parts.retain(|(name, _)| !name.starts_with("blobs/"));
        for (lacks, file) in &lacks[..5 - form] {
            let before = parts.len();
            parts.retain(|(name, _)| {
                name != file && (*lacks != "sql" || name != "sql/databases.json")
            });
            assert!(parts.len() < before, "there is no {file}");
            about.as_object_mut().unwrap().remove(*lacks).unwrap();
        }
        parts[0].1 = serde_json::to_vec(&about).unwrap().into();
        let parts: Vec<_> = parts
            .iter()
            .map(|(name, bytes)| part(EntryType::Regular, name, bytes))
            .collect();
        let new = dir.path().join(format!("new-{form}"));
        restore(&packed(&parts)[..], &new).unwrap();
        let new = Embedded::open(&new).unwrap();
        let seen_of_new = seen(&new).await.unwrap();
        let lacks = if form == 1 {
            "Kept {"
        } else {
            "KeptMessages {"
        };
        let (old, _) = seen_of_old.split_once(lacks).unwrap();
        assert!(seen_of_new.starts_with(old.trim_end()), "{seen_of_new}");
        for (what, from) in [("Kept { entries: 0", 2), ("KeptMessages { messages: 0", 4)] {
            assert_eq!(seen_of_new.contains(what), form < from, "{seen_of_new}");
        }
        assert_eq!(
            seen_of_new.contains("Database {"),
            form >= 3,
            "{seen_of_new}"
        );
        for step in [
            Step::Increment("count", 1),
            Step::Migrate(3),
            Step::Queue(Ask::Send(1, 10)),
        ] {
            step.run(&new).await.unwrap();
        }
    }
}

#[tokio::test]
async fn nothing_is_collected_while_a_backup_is_taken_and_there_is_one_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = backup(&dir.path().join("old")).await;
    Step::Remove("blog").run(&store).await.unwrap();
    let (pieces, mut received) = mpsc::channel::<Bytes>(1);
    let during = async {
        let first = received.recv().await.unwrap();
        assert_eq!(store.collect(LATER).await.unwrap(), Collected::default());
        let (other, _kept) = mpsc::channel::<Bytes>(1);
        let second = store.back_up(other).await.unwrap_err();
        assert!(matches!(second, BackupError::Busy), "{second}");
        drop(first);
        // Whoever wanted it leaves.
        drop(received);
    };
    let (left, ()) = tokio::join!(store.back_up(pieces), during);
    assert!(matches!(left, Err(BackupError::Gone)), "{left:?}");
    assert!(store.collect(LATER).await.unwrap().artifacts > 0);
    let names = fs::read_dir(dir.path().join("old")).unwrap();
    let names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
    for copy in ["", "-kv", "-queue", "-sql"].map(|of| format!("backup{of}.sqlite")) {
        assert!(names.iter().all(|name| *name != *copy), "{names:?}");
    }
}

#[tokio::test]
async fn archive_that_ends_early_is_refused_and_no_node_starts_on_what_there_is() {
    let dir = tempfile::tempdir().unwrap();
    let (_, archive) = backup(&dir.path().join("old")).await;
    let mut cuts = 0;
    // The end of an archive is two empty blocks.
    for length in (0..archive.len() - 1_024).step_by(1_537) {
        let root = dir.path().join(format!("cut-{length}"));
        let error = restore(&archive[..length], &root).unwrap_err();
        assert!(!error.to_string().is_empty());
        let open = Embedded::open(&root).unwrap_err();
        assert_eq!(open.code(), "EW4007", "{open}");
        fs::remove_dir_all(&root).unwrap();
        cuts += 1;
    }
    assert!(cuts > 10, "{cuts} cuts are no test");
}

#[tokio::test]
async fn flipped_byte_of_the_catalog_or_an_artifact_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let (_, archive) = backup(&dir.path().join("old")).await;
    let mut places = Vec::new();
    for entry in tar::Archive::new(&archive[..]).entries().unwrap().skip(1) {
        let entry = entry.unwrap();
        let (start, length) = (entry.raw_file_position(), entry.size());
        places.extend([start, start + length / 2, start + length - 1]);
    }
    assert!(places.len() > 6, "{places:?}");
    for place in places {
        let scratch = tempfile::tempdir().unwrap();
        let mut archive = archive.clone();
        archive[usize::try_from(place).unwrap()] ^= 0x10;
        let error = check(&archive[..], scratch.path()).unwrap_err();
        assert_eq!(error.code(), "EW4008", "byte {place}: {error}");
    }
}

#[tokio::test]
async fn folder_with_something_in_it_is_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let (store, archive) = backup(&dir.path().join("old")).await;
    let before = seen(&store).await.unwrap();
    let error = restore(&archive[..], &dir.path().join("old")).unwrap_err();
    assert_eq!(error.code(), "EW4008");
    assert!(error.to_string().contains("isn't empty"), "{error}");
    assert_eq!(seen(&store).await.unwrap(), before);
}

/// The parts of an archive.
fn parts(archive: &[u8]) -> Vec<(String, Bytes)> {
    let mut archive = tar::Archive::new(archive);
    archive
        .entries()
        .unwrap()
        .map(|entry| {
            let mut entry = entry.unwrap();
            let name = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
            let mut bytes = Vec::new();
            std::io::Read::read_to_end(&mut entry, &mut bytes).unwrap();
            (name, bytes.into())
        })
        .collect()
}

fn part(kind: EntryType, name: &str, bytes: &[u8]) -> (Header, Bytes) {
    let mut header = Header::new_ustar();
    // `set_path` would refuse the names that are tried here.
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.set_entry_type(kind);
    header.set_size(bytes.len() as u64);
    if kind == EntryType::Symlink {
        header.set_link_name("/etc/passwd").unwrap();
    }
    header.set_cksum();
    (header, Bytes::copy_from_slice(bytes))
}

fn packed(parts: &[(Header, Bytes)]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (header, bytes) in parts {
        builder.append(header, &bytes[..]).unwrap();
    }
    builder.into_inner().unwrap()
}

#[tokio::test]
async fn archive_tricks_are_refused_and_nothing_is_written_outside() {
    let dir = tempfile::tempdir().unwrap();
    let (_, archive) = backup(&dir.path().join("old")).await;
    let sound: Vec<_> = parts(&archive)
        .iter()
        .map(|(name, bytes)| part(EntryType::Regular, name, bytes))
        .collect();
    restore(&packed(&sound)[..], &dir.path().join("sound")).unwrap();

    let file = EntryType::Regular;
    let name = |place: usize| String::from_utf8(sound[place].0.path_bytes().into_owned()).unwrap();
    let (database, list, artifact) = (name(4), name(5), name(6));
    assert_eq!(
        (database.as_str(), list.as_str()),
        ("sql/acme/shop/default.sqlite", "sql/databases.json")
    );
    let tricks: Vec<(&str, usize, (Header, Bytes))> = vec![
        ("leads outside", 6, part(file, "../outside", b"x")),
        ("is absolute", 6, part(file, "/tmp/everwarm-outside", b"x")),
        ("is a link", 6, part(EntryType::Symlink, &artifact, b"")),
        ("is a hard link", 6, part(EntryType::Link, &artifact, b"")),
        ("is a device", 6, part(EntryType::Char, &artifact, b"")),
        ("is a folder", 6, part(EntryType::Directory, &artifact, b"")),
        ("has other bytes", 6, part(file, &artifact, b"other")),
        ("is unknown", 6, part(file, "artifacts/acme/x.wasm", b"x")),
        (
            "database leads outside",
            4,
            part(file, "sql/../shop/x.sqlite", b"x"),
        ),
        (
            "database is absolute",
            4,
            part(file, "/sql/acme/shop/x.sqlite", b"x"),
        ),
        (
            "database is a link",
            4,
            part(EntryType::Symlink, &database, b""),
        ),
        (
            "database has other bytes",
            4,
            part(file, &database, b"other"),
        ),
        (
            "database is another",
            4,
            part(file, "sql/acme/shop/x.sqlite", &sound[4].1),
        ),
        ("database comes twice", 5, sound[4].clone()),
        ("database isn't listed", 5, part(file, &list, b"[]")),
        ("list is none", 5, part(file, &list, b"{}")),
        ("list isn't there", 5, sound[6].clone()),
        ("is no catalog", 1, part(file, "catalog.sqlite", b"SQLite")),
        ("is no data", 2, part(file, "kv.sqlite", b"SQLite")),
        ("is the catalog again", 2, sound[1].clone()),
        ("is no queue", 3, part(file, "queue.sqlite", b"SQLite")),
        ("queue isn't there", 3, sound[4].clone()),
        (
            "is in the wrong place",
            0,
            part(file, "catalog.sqlite", b"x"),
        ),
        ("says nothing", 0, part(file, "everwarm-backup.json", b"{}")),
    ];
    for (what, place, trick) in tricks {
        let mut parts = sound.clone();
        parts[place] = trick;
        let root = dir.path().join("tricked");
        let error = restore(&packed(&parts)[..], &root).unwrap_err();
        assert_eq!(error.code(), "EW4008", "{what}: {error}");
        assert!(!dir.path().join("outside").exists(), "{what}");
        fs::remove_dir_all(&root).unwrap();
    }
    let mut longer = sound.clone();
    longer.push(part(file, "more", b"x"));
    let error = restore(&packed(&longer)[..], &dir.path().join("longer")).unwrap_err();
    assert!(error.to_string().contains("goes on"), "{error}");
    let mut without = sound;
    without.pop();
    let error = restore(&packed(&without)[..], &dir.path().join("without")).unwrap_err();
    assert!(error.to_string().contains("ends before"), "{error}");
}

#[tokio::test]
async fn archive_of_a_later_release_says_which() {
    let dir = tempfile::tempdir().unwrap();
    let about = br#"{"format":9,"everwarm":"7.0.0","schema":99,"more":[]}"#;
    let archive = packed(&[part(EntryType::Regular, "everwarm-backup.json", about)]);
    let error = restore(&archive[..], &dir.path().join("new")).unwrap_err();
    assert!(matches!(error, RestoreError::Newer(_)), "{error}");
    assert!(error.to_string().contains("7.0.0"), "{error}");
}
