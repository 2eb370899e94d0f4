//! Behaviours of blobs at their bounds: quotas, and apps that are removed.

use std::fmt::Write as _;

use bytes::Bytes;

use super::super::{app_name, tenant};
use super::{NOW, bytes, id, kept, names, photos, put, read, try_put};
use crate::Store;
use crate::blobs::{BlobError, BlobQuota, Condition, KeptBlobs};

pub(in super::super) async fn quotas_bound_what_an_app_keeps_in_blobs(store: &dyn Store) {
    let (blobs, container) = (store.blobs(), photos());
    let quota = BlobQuota {
        blobs_max: 2,
        bytes_max: 100,
    };
    let write = async |text: &str, count: usize| {
        let all = bytes(count);
        try_put(blobs, &id(&container, text), &all, Condition::Any, quota).await
    };
    write("a", 60).await.expect("there is room");
    let refused = write("b", 41).await;
    assert!(
        matches!(
            refused,
            Err(BlobError::TooManyBytes {
                kept: 60,
                more: 41,
                ..
            })
        ),
        "{refused:?}"
    );
    write("b", 40).await.expect("there is room");
    write("a", 60).await.expect("it is no more than before");
    write("a", 10).await.expect("it is less than before");
    let refused = write("c", 1).await;
    assert!(
        matches!(refused, Err(BlobError::TooManyBlobs { blobs_max: 2 })),
        "{refused:?}"
    );
    assert_eq!(
        kept(blobs).await,
        KeptBlobs {
            blobs: 2,
            bytes: 50
        }
    );
    // What is being written is bounded too, before its end.
    let upload = blobs.put(&id(&container, "a"), None, quota).await;
    let mut upload = upload.expect("a blob can be begun");
    let written = upload.write(bytes(100).into()).await;
    written.expect("it may take the place of all others");
    let refused = upload.write(Bytes::from_static(b"x")).await;
    assert!(
        matches!(refused, Err(BlobError::TooManyBytes { .. })),
        "{refused:?}"
    );
    assert!(upload.write(Bytes::from_static(b"x")).await.is_err());
    assert!(upload.finish(Condition::Any, NOW).await.is_err());
    assert_eq!(
        read(blobs, &id(&container, "a")).await.map(|all| all.len()),
        Some(10)
    );
}

pub(in super::super) async fn removed_app_has_no_blobs_and_gives_its_room_back(store: &dyn Store) {
    let (blobs, container) = (store.blobs(), photos());
    let mut text = String::new();
    for number in 0..20 {
        text.clear();
        let _ = write!(text, "{number}");
        put(blobs, &id(&container, &text), b"x").await;
    }
    let (owner, app) = (tenant("ann"), app_name("shop"));
    let removed = blobs.remove_app(&owner, &app).await;
    assert!(removed.expect("an app can be removed"));
    assert!(names(blobs, &container, "", 10).await.is_empty());
    assert_eq!(kept(blobs).await, KeptBlobs::default());
    // The app comes back before its old blobs are swept.
    put(blobs, &id(&container, "1"), b"new").await;
    while blobs.sweep().await.expect("files can be swept") {}
    assert_eq!(names(blobs, &container, "", 10).await, ["1"]);
    let found = read(blobs, &id(&container, "1")).await;
    assert_eq!(found.as_deref(), Some(&b"new"[..]));
    assert!(
        blobs
            .remove_app(&owner, &app)
            .await
            .expect("an app can be removed")
    );
    assert!(
        !blobs
            .remove_app(&owner, &app)
            .await
            .expect("nothing is no failure")
    );
}
