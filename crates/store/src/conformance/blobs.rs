//! Behaviours of blobs: streams, parts, names, conditions. Those of its bounds are in `bounds`.

mod bounds;

use bytes::Bytes;

use super::{app_name, tenant};
use crate::Store;
use crate::blobs::{
    BLOB_NAME_BYTES_MAX, Blob, BlobError, BlobId, BlobName, BlobQuota, Blobs, Condition, Container,
    ContentType, Etag, KeptBlobs, PIECE_BYTES, Part, copy,
};
use crate::catalog::UnixMillis;

pub(super) use bounds::*;

const NOW: UnixMillis = UnixMillis(1_000);

fn container(owner: &str, app: &str, name: &str) -> Container {
    Container {
        tenant: tenant(owner),
        app: app_name(app),
        name: name
            .parse()
            .expect("the suite's containers have valid names"),
    }
}

fn photos() -> Container {
    container("ann", "shop", "photos")
}

fn name(text: &str) -> BlobName {
    BlobName::new(text).expect("the suite's names are valid")
}

fn id(container: &Container, text: &str) -> BlobId {
    BlobId {
        container: container.clone(),
        name: name(text),
    }
}

/// Bytes of which no two pieces are the same.
fn bytes(count: usize) -> Vec<u8> {
    (0..count.div_ceil(8) as u64)
        .flat_map(u64::to_le_bytes)
        .take(count)
        .collect()
}

async fn try_put(
    blobs: &dyn Blobs,
    blob: &BlobId,
    bytes: &[u8],
    condition: Condition,
    quota: BlobQuota,
) -> Result<Blob, BlobError> {
    let mut upload = blobs.put(blob, None, quota).await?;
    for piece in bytes.chunks(PIECE_BYTES) {
        upload.write(Bytes::copy_from_slice(piece)).await?;
    }
    upload.finish(condition, NOW).await
}

async fn put(blobs: &dyn Blobs, blob: &BlobId, bytes: &[u8]) -> Blob {
    let put = try_put(blobs, blob, bytes, Condition::Any, BlobQuota::NONE).await;
    put.expect("a blob can be written")
}

async fn try_read(
    blobs: &dyn Blobs,
    blob: &BlobId,
    part: Part,
) -> Result<Option<Vec<u8>>, BlobError> {
    let Some(mut download) = blobs.get(blob, part).await? else {
        return Ok(None);
    };
    let mut all = Vec::new();
    while let Some(piece) = download.read().await? {
        assert!(!piece.is_empty() && piece.len() <= PIECE_BYTES);
        all.extend_from_slice(&piece);
    }
    Ok(Some(all))
}

async fn read(blobs: &dyn Blobs, blob: &BlobId) -> Option<Vec<u8>> {
    let read = try_read(blobs, blob, Part::WHOLE).await;
    read.expect("a blob can be read")
}

/// The names of all blobs, of as many pages as there are.
async fn names(
    blobs: &dyn Blobs,
    container: &Container,
    prefix: &str,
    count_max: u32,
) -> Vec<String> {
    let mut names = Vec::new();
    let mut after = None;
    loop {
        let page = blobs.list(container, prefix, after.as_ref(), count_max);
        let page = page.await.expect("blobs can be listed");
        assert!(page.blobs.len() <= count_max as usize);
        names.extend(page.blobs.iter().map(|blob| blob.name.to_string()));
        let Some(next) = page.next else {
            return names;
        };
        after = Some(next);
    }
}

async fn kept(blobs: &dyn Blobs) -> KeptBlobs {
    let kept = blobs.kept(&tenant("ann"), &app_name("shop")).await;
    kept.expect("what an app keeps can be read")
}

pub(super) async fn blob_reads_back_as_it_was_written(store: &dyn Store) {
    let blobs = store.blobs();
    let container = photos();
    assert_eq!(read(blobs, &id(&container, "a")).await, None);
    for count in [0, 1, PIECE_BYTES - 1, PIECE_BYTES, 3 * PIECE_BYTES + 7] {
        let (blob, all) = (id(&container, "a"), bytes(count));
        let written = put(blobs, &blob, &all).await;
        assert_eq!((written.size, written.created), (count as u64, NOW));
        assert_eq!(read(blobs, &blob).await.as_ref(), Some(&all), "{count}");
        let head = blobs.head(&blob).await.expect("a blob can be looked at");
        assert_eq!(head, Some(written.clone()));
        let again = put(blobs, &id(&container, "b"), &all).await;
        assert_eq!(
            again.etag, written.etag,
            "the same bytes have the same etag"
        );
    }
    let typed = ContentType::new("image/png; q=1").expect("a valid type");
    let empty = id(&container, "c");
    let upload = blobs.put(&empty, Some(typed.clone()), BlobQuota::NONE);
    let upload = upload.await.expect("a blob can be begun");
    let written = upload.finish(Condition::Any, NOW).await;
    let written = written.expect("an empty blob can be written");
    assert_eq!(written.content_type, Some(typed));
    let created = blobs.created(&container).await;
    assert_eq!(created.expect("a container can be looked at"), Some(NOW));
}

pub(super) async fn parts_of_a_blob_are_read_alone(store: &dyn Store) {
    let (blobs, blob) = (store.blobs(), id(&photos(), "a"));
    let all = bytes(2 * PIECE_BYTES + 10);
    let size = all.len() as u64;
    put(blobs, &blob, &all).await;
    for (start, len_max) in [
        (0, 1),
        (3, 4),
        (1, u64::MAX),
        (PIECE_BYTES as u64 - 1, PIECE_BYTES as u64 + 2),
        (size - 1, 5),
        (size, 5),
        (0, 0),
    ] {
        let part = Part { start, len_max };
        let range = part.of(size).expect("it begins in the blob");
        let usize_of = |number: u64| usize::try_from(number).expect("the suite's blobs are small");
        let expected = &all[usize_of(range.start)..usize_of(range.end)];
        let read = try_read(blobs, &blob, part).await;
        let read = read.expect("a part can be read").expect("it is there");
        assert_eq!(read, expected, "{part:?}");
    }
    let beyond = Part {
        start: size + 1,
        len_max: 1,
    };
    let refused = try_read(blobs, &blob, beyond).await;
    assert!(
        matches!(refused, Err(BlobError::BadRange { .. })),
        "{refused:?}"
    );
}

pub(super) async fn blob_is_there_whole_or_not_at_all(store: &dyn Store) {
    let (blobs, blob) = (store.blobs(), id(&photos(), "a"));
    let begin = async || {
        let upload = blobs.put(&blob, None, BlobQuota::NONE).await;
        let mut upload = upload.expect("a blob can be begun");
        let written = upload.write(Bytes::from_static(b"half")).await;
        written.expect("a blob can be written");
        upload
    };
    let upload = begin().await;
    assert_eq!(read(blobs, &blob).await, None);
    assert!(names(blobs, &photos(), "", 10).await.is_empty());
    drop(upload);
    assert_eq!(kept(blobs).await, KeptBlobs::default());
    put(blobs, &blob, b"old").await;
    let upload = begin().await;
    assert_eq!(read(blobs, &blob).await.as_deref(), Some(&b"old"[..]));
    drop(upload);
    assert_eq!(read(blobs, &blob).await.as_deref(), Some(&b"old"[..]));
    let finished = begin().await.finish(Condition::Any, NOW).await;
    finished.expect("a blob can be finished");
    assert_eq!(read(blobs, &blob).await.as_deref(), Some(&b"half"[..]));
    assert_eq!(kept(blobs).await, KeptBlobs { blobs: 1, bytes: 4 });
}

pub(super) async fn who_reads_a_blob_goes_on_when_it_is_replaced(store: &dyn Store) {
    let (blobs, blob) = (store.blobs(), id(&photos(), "a"));
    let old = bytes(3 * PIECE_BYTES);
    put(blobs, &blob, &old).await;
    let download = blobs.get(&blob, Part::WHOLE).await;
    let mut download = download.expect("a blob can be read").expect("it is there");
    let first = download.read().await.expect("it can be read");
    put(blobs, &blob, b"new").await;
    let deleted = blobs.delete(&blob, Condition::Any).await;
    assert!(deleted.expect("a blob can be deleted"));
    while blobs.sweep().await.expect("files can be swept") {}
    let mut all = first.expect("there is more than one piece").to_vec();
    while let Some(piece) = download.read().await.expect("it can be read on") {
        all.extend_from_slice(&piece);
    }
    assert!(all == old, "the reader has the old bytes to their end");
    assert_eq!(read(blobs, &blob).await, None);
}

pub(super) async fn names_are_texts_and_no_paths(store: &dyn Store) {
    let (blobs, container) = (store.blobs(), photos());
    let long = "ä".repeat(BLOB_NAME_BYTES_MAX / 2);
    let odd = [
        "..",
        "../../a",
        "/",
        "//a",
        "a/",
        "a/../b",
        ".",
        "%00",
        "%2e%2e/",
        "a b",
        "\u{10ffff}",
        "A",
        "a",
        "ä",
        "a\\b",
        "?x=1&y",
        "'\"<>",
        &long,
    ];
    for (marker, text) in (0_u8..).zip(odd) {
        put(blobs, &id(&container, text), &[marker]).await;
    }
    for (marker, text) in (0_u8..).zip(odd) {
        let found = read(blobs, &id(&container, text)).await;
        assert_eq!(found.as_deref(), Some(&[marker][..]), "{text}");
    }
    let mut sorted = odd.map(ToOwned::to_owned);
    sorted.sort();
    assert_eq!(names(blobs, &container, "", 3).await, sorted);
    for (wrong, why) in [
        ("", "empty"),
        ("a\0", "a NUL"),
        ("a\n", "a line feed"),
        ("\u{85}", "a control character"),
        (&format!("{long}a"), "too long"),
    ] {
        assert!(BlobName::new(wrong).is_err(), "{why}");
    }
}

pub(super) async fn blobs_are_listed_by_prefix_page_by_page(store: &dyn Store) {
    let (blobs, container) = (store.blobs(), photos());
    let all = ["a", "a/1", "a/2", "a/\u{10ffff}", "a0", "b"];
    for text in all {
        put(blobs, &id(&container, text), text.as_bytes()).await;
    }
    for count_max in [1, 2, 3, 100] {
        assert_eq!(names(blobs, &container, "", count_max).await, all);
        let below = names(blobs, &container, "a/", count_max).await;
        assert_eq!(below, ["a/1", "a/2", "a/\u{10ffff}"]);
        assert!(names(blobs, &container, "c", count_max).await.is_empty());
        assert_eq!(
            names(blobs, &container, "a/\u{10ffff}", count_max)
                .await
                .len(),
            1
        );
    }
    let page = blobs.list(&container, "", None, 1).await;
    let page = page.expect("blobs can be listed");
    assert_eq!((page.blobs[0].size, page.next), (1, Some(name("a"))));
}

pub(super) async fn containers_apps_and_tenants_have_blobs_of_their_own(store: &dyn Store) {
    let blobs = store.blobs();
    let all = [
        container("ann", "shop", "photos"),
        container("ann", "shop", "videos"),
        container("ann", "blog", "photos"),
        container("bob", "shop", "photos"),
    ];
    for (marker, container) in (0..).zip(&all) {
        assert!(names(blobs, container, "", 10).await.is_empty());
        put(blobs, &id(container, "a"), &[marker]).await;
    }
    for (marker, container) in (0..).zip(&all) {
        let found = read(blobs, &id(container, "a")).await;
        assert_eq!(found.as_deref(), Some(&[marker][..]), "{container:?}");
    }
    assert_eq!(kept(blobs).await, KeptBlobs { blobs: 2, bytes: 2 });
    let cleared = blobs.clear(&all[0]).await;
    assert_eq!(cleared.expect("a container can be cleared"), 1);
    assert_eq!(read(blobs, &id(&all[0], "a")).await, None);
    let created = blobs.created(&all[0]).await;
    assert_eq!(created.expect("a container can be looked at"), None);
    for container in &all[1..] {
        assert!(read(blobs, &id(container, "a")).await.is_some());
    }
    let apps = blobs.apps(None, 2).await.expect("apps can be listed");
    let expected = ["blog", "shop"].map(|app| (tenant("ann"), app_name(app)));
    assert_eq!(apps, expected);
    let rest = blobs.apps(Some((&apps[1].0, &apps[1].1)), 10).await;
    let rest = rest.expect("apps can be listed");
    assert_eq!(rest, [(tenant("bob"), app_name("shop"))]);
    let stranger = blobs.rename(&id(&all[1], "a"), &id(&all[2], "a")).await;
    assert!(matches!(stranger, Err(BlobError::OtherApp)));
}

pub(super) async fn conditions_hold_or_nothing_changes(store: &dyn Store) {
    let (blobs, blob) = (store.blobs(), id(&photos(), "a"));
    let write = async |bytes: &'static [u8], condition| {
        try_put(blobs, &blob, bytes, condition, BlobQuota::NONE).await
    };
    let changed = |result: Result<Blob, BlobError>, expected: Option<&Etag>| match result {
        Err(BlobError::Changed { current }) => assert_eq!(current.as_ref(), expected),
        other => panic!("the condition doesn't hold: {other:?}"),
    };
    let nothing = Etag::new("nothing");
    changed(write(b"0", Condition::Matches(nothing.clone())).await, None);
    let first = write(b"1", Condition::Absent).await;
    let first = first.expect("there was none").etag;
    changed(write(b"2", Condition::Absent).await, Some(&first));
    changed(
        write(b"2", Condition::Matches(nothing.clone())).await,
        Some(&first),
    );
    assert_eq!(read(blobs, &blob).await.as_deref(), Some(&b"1"[..]));
    let second = write(b"22", Condition::Matches(first.clone())).await;
    let second = second.expect("it was the first").etag;
    changed(
        write(b"3", Condition::Matches(first.clone())).await,
        Some(&second),
    );
    let refused = blobs.delete(&blob, Condition::Matches(first)).await;
    assert!(matches!(refused, Err(BlobError::Changed { .. })));
    assert_eq!(kept(blobs).await, KeptBlobs { blobs: 1, bytes: 2 });
    let deleted = blobs.delete(&blob, Condition::Matches(second)).await;
    assert!(deleted.expect("it is as the condition says"));
    let again = blobs.delete(&blob, Condition::Any).await;
    assert!(!again.expect("nothing is no failure"));
    assert_eq!(kept(blobs).await, KeptBlobs::default());
}

pub(super) async fn one_of_those_who_write_together_finds_nothing(store: &dyn Store) {
    let (blobs, blob) = (store.blobs(), id(&photos(), "a"));
    let texts: Vec<String> = (0..8).map(|number| number.to_string()).collect();
    let writes = texts.iter().map(|text| {
        let write = try_put(
            blobs,
            &blob,
            text.as_bytes(),
            Condition::Absent,
            BlobQuota::NONE,
        );
        Box::pin(async move { write.await.ok().map(|_| text.clone()) })
            as crate::StoreFuture<'_, Option<String>>
    });
    let written: Vec<_> = super::all(writes).await.into_iter().flatten().collect();
    assert_eq!(written.len(), 1, "{written:?}");
    let found = read(blobs, &blob).await.expect("one was written");
    assert_eq!(found, written[0].as_bytes());
    assert_eq!(kept(blobs).await.blobs, 1);
}

pub(super) async fn blobs_are_renamed_and_copied(store: &dyn Store) {
    let blobs = store.blobs();
    let [from, to] = ["photos", "videos"].map(|name| container("ann", "shop", name));
    let all = bytes(PIECE_BYTES + 1);
    let written = put(blobs, &id(&from, "a"), &all).await;
    put(blobs, &id(&to, "b"), b"old").await;
    let rename = async |from: &BlobId, to: &BlobId| {
        let renamed = blobs.rename(from, to).await;
        renamed.expect("a blob can be renamed")
    };
    assert!(rename(&id(&from, "a"), &id(&to, "b")).await);
    assert_eq!(read(blobs, &id(&from, "a")).await, None);
    assert!(read(blobs, &id(&to, "b")).await.as_ref() == Some(&all));
    assert!(rename(&id(&to, "b"), &id(&to, "b")).await);
    assert!(
        !rename(&id(&from, "a"), &id(&to, "b")).await,
        "there is none"
    );
    let size = all.len() as u64;
    assert_eq!(
        kept(blobs).await,
        KeptBlobs {
            blobs: 1,
            bytes: size
        }
    );

    let (source, target) = (id(&to, "b"), id(&from, "c"));
    let copied = copy((blobs, &source), (blobs, &target), BlobQuota::NONE, NOW).await;
    let copied = copied.expect("a blob can be copied").expect("it is there");
    assert_eq!((&copied.etag, copied.size), (&written.etag, size));
    assert!(read(blobs, &target).await.as_ref() == Some(&all));
    assert_eq!(
        kept(blobs).await,
        KeptBlobs {
            blobs: 2,
            bytes: 2 * size
        }
    );
    let missing = id(&from, "missing");
    let copied = copy((blobs, &missing), (blobs, &target), BlobQuota::NONE, NOW).await;
    assert_eq!(copied.expect("nothing is no failure"), None);
}
