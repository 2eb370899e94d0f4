//! Behaviours of key-value data: batches, limits, quotas, sweeps and removal.

use super::{
    LATER, NOW, bucket, default_bucket, entry, key, keys, read, set, set_value, value, value_until,
};
use crate::Store;
use crate::conformance::{app_name, tenant};
use crate::kv::{
    BATCH_BYTES_MAX, BATCH_MAX, BUCKET_BYTES_MAX, BucketName, KEY_BYTES_MAX, Kept, Key, KvError,
    KvQuota, VALUE_BYTES_MAX,
};

pub(crate) async fn batches_are_done_whole_or_not_at_all(store: &dyn Store) {
    let (kv, bucket) = (store.kv(), default_bucket());
    let values = vec![
        (key("a"), value(b"1")),
        (key("b"), value_until(b"2", LATER)),
        (key("a"), value(b"3")),
    ];
    let set_many = kv.set_many(&bucket, values, KvQuota::NONE, NOW).await;
    set_many.expect("a batch can be set");
    let asked = [key("b"), key("none"), key("a"), key("b")];
    let many = kv.get_many(&bucket, &asked, NOW).await.expect("a batch");
    let found: Vec<_> = many
        .iter()
        .map(|entry| entry.as_ref().map(|entry| &entry.value[..]))
        .collect();
    assert_eq!(found, [Some(&b"2"[..]), None, Some(b"3"), Some(b"2")]);
    assert_eq!(
        many[0].as_ref().and_then(|entry| entry.expires),
        Some(LATER)
    );

    // The third is one too many: the others aren't set either.
    let quota = KvQuota {
        entries_max: 4,
        ..KvQuota::NONE
    };
    let values = ["a", "c", "d", "e"].map(|name| (key(name), value(b"9")));
    let refused = kv.set_many(&bucket, values.to_vec(), quota, NOW).await;
    assert!(
        matches!(refused, Err(KvError::TooManyEntries { .. })),
        "{refused:?}"
    );
    assert_eq!(keys(kv, &bucket, "", 10, NOW).await, ["a", "b"]);
    assert_eq!(read(kv, &bucket, "a").await.as_deref(), Some(&b"3"[..]));

    let gone = vec![key("a"), key("none"), key("a"), key("b")];
    let deleted = kv.delete_many(&bucket, gone, NOW).await;
    assert_eq!(deleted.expect("a batch can be deleted"), 2);
    assert!(keys(kv, &bucket, "", 10, NOW).await.is_empty());
    let empty = kv.set_many(&bucket, Vec::new(), KvQuota::NONE, NOW).await;
    empty.expect("a batch may be empty");
}

pub(crate) async fn what_is_too_large_is_refused(store: &dyn Store) {
    let (kv, bucket) = (store.kv(), default_bucket());
    let long = "k".repeat(KEY_BYTES_MAX + 1);
    for text in ["", "nul\0", &long] {
        Key::new(text).expect_err("it is no key");
    }
    for text in ["", "a b", "ä", &"b".repeat(BUCKET_BYTES_MAX + 1)] {
        BucketName::new(text).expect_err("it is no bucket's name");
    }
    let large = value(&vec![1; VALUE_BYTES_MAX + 1]);
    let one = vec![(key("a"), large.clone())];
    let refused = [
        kv.set(&bucket, &key("a"), large.clone(), KvQuota::NONE, NOW)
            .await
            .map(|_| ()),
        kv.swap(&bucket, &key("a"), None, large, KvQuota::NONE, NOW)
            .await
            .map(|_| ()),
        kv.set_many(&bucket, one, KvQuota::NONE, NOW).await,
    ];
    for refused in refused {
        assert!(
            matches!(refused, Err(KvError::ValueTooLarge { .. })),
            "{refused:?}"
        );
    }
    let many: Vec<Key> = (0..=BATCH_MAX)
        .map(|number| key(&format!("k{number}")))
        .collect();
    let values = many.iter().map(|key| (key.clone(), value(b"x"))).collect();
    let refused = [
        kv.set_many(&bucket, values, KvQuota::NONE, NOW).await,
        kv.get_many(&bucket, &many, NOW).await.map(|_| ()),
        kv.delete_many(&bucket, many, NOW).await.map(|_| ()),
    ];
    for refused in refused {
        assert!(
            matches!(refused, Err(KvError::BatchTooLong { .. })),
            "{refused:?}"
        );
    }
    let largest = value(&vec![1; VALUE_BYTES_MAX]);
    let count = BATCH_BYTES_MAX / VALUE_BYTES_MAX;
    let names: Vec<Key> = (0..count)
        .map(|number| key(&format!("l{number}")))
        .collect();
    let values = names
        .iter()
        .map(|key| (key.clone(), largest.clone()))
        .collect();
    let refused = kv.set_many(&bucket, values, KvQuota::NONE, NOW).await;
    assert!(
        matches!(refused, Err(KvError::BatchTooLarge)),
        "{refused:?}"
    );
    assert!(keys(kv, &bucket, "", 10, NOW).await.is_empty());
    for name in &names {
        set_value(kv, &bucket, name.as_str(), largest.clone()).await;
    }
    let refused = kv.get_many(&bucket, &names, NOW).await;
    assert!(
        matches!(refused, Err(KvError::BatchTooLarge)),
        "{refused:?}"
    );
    let all_but_one = kv.get_many(&bucket, &names[1..], NOW).await;
    all_but_one.expect("less than the most can be read");
}

pub(crate) async fn quotas_bound_what_an_app_keeps(store: &dyn Store) {
    let (kv, bucket, other) = (store.kv(), default_bucket(), bucket("ann", "shop", "other"));
    let quota = KvQuota {
        entries_max: 2,
        bytes_max: 10,
    };
    let put = async |bucket, name: &str, bytes: &[u8]| {
        let put = kv.set(bucket, &key(name), value(bytes), quota, NOW).await;
        put.map(|_| ())
    };
    let kept = async || {
        let kept = kv.kept(&bucket.tenant, &bucket.app).await;
        kept.expect("what an app keeps can be read")
    };
    put(&bucket, "a", b"1234").await.expect("5 bytes fit");
    // All buckets of an app count together.
    let refused = put(&other, "b", b"12345").await;
    assert!(
        matches!(
            refused,
            Err(KvError::TooManyBytes {
                kept: 5,
                more: 6,
                bytes_max: 10
            })
        ),
        "{refused:?}"
    );
    put(&other, "b", b"1234").await.expect("10 bytes fit");
    assert_eq!(
        kept().await,
        Kept {
            entries: 2,
            bytes: 10
        }
    );
    put(&bucket, "b", b"")
        .await
        .expect_err("it is a third entry");
    let third = kv.increment(&bucket, &key("n"), 1, quota, NOW).await;
    assert!(
        matches!(third, Err(KvError::TooManyEntries { entries_max: 2 })),
        "{third:?}"
    );
    let third = kv
        .swap(&bucket, &key("n"), None, value(b""), quota, NOW)
        .await;
    third.expect_err("it is a third entry");
    put(&bucket, "a", b"4321")
        .await
        .expect("it is no more than before");
    put(&bucket, "a", b"1")
        .await
        .expect("it is less than before");
    assert_eq!(
        kept().await,
        Kept {
            entries: 2,
            bytes: 7
        }
    );
    // A quota that became smaller takes nothing, and leaves room to go back below it.
    let smaller = KvQuota {
        entries_max: 1,
        bytes_max: 1,
    };
    let same = kv.set(&bucket, &key("a"), value(b"2"), smaller, NOW).await;
    same.expect("it is no more than before");
    kv.delete(&other, &key("b"), NOW).await.expect("a deletion");
    assert_eq!(
        kept().await,
        Kept {
            entries: 1,
            bytes: 2
        }
    );
    let others = kv.kept(&tenant("bob"), &app_name("shop")).await;
    assert_eq!(
        others.expect("what an app keeps can be read"),
        Kept::default()
    );
}

pub(crate) async fn what_has_expired_holds_no_quota(store: &dyn Store) {
    let (kv, bucket) = (store.kv(), default_bucket());
    let quota = KvQuota {
        entries_max: 2,
        bytes_max: 100,
    };
    for name in ["a", "b"] {
        set_value(kv, &bucket, name, value_until(b"1", LATER)).await;
    }
    let refused = kv.set(&bucket, &key("c"), value(b"1"), quota, NOW).await;
    refused.expect_err("nothing has expired yet");
    let put = kv.set(&bucket, &key("c"), value(b"1"), quota, LATER).await;
    put.expect("there is room again");
    assert_eq!(keys(kv, &bucket, "", 10, NOW).await, ["c"]);
}

pub(crate) async fn removed_app_is_gone_at_once_and_swept_part_by_part(store: &dyn Store) {
    let (kv, bucket) = (store.kv(), default_bucket());
    for number in 0..10 {
        let expires = [None, Some(LATER)][number % 2];
        let value = crate::kv::NewValue {
            expires,
            ..value(b"old")
        };
        set_value(kv, &bucket, &format!("k{number}"), value).await;
    }
    let neighbour = super::bucket("ann", "blog", "default");
    set(kv, &neighbour, "k1", b"stays").await;
    let (owner, app) = (&bucket.tenant, &bucket.app);
    assert!(kv.remove_app(owner, app).await.expect("a removal"));
    assert!(!kv.remove_app(owner, app).await.expect("a removal"));
    assert_eq!(entry(kv, &bucket, "k1", NOW).await, None);
    assert!(keys(kv, &bucket, "", 100, NOW).await.is_empty());
    // One that comes back has none of the old, and loses none of the new.
    set(kv, &bucket, "k1", b"new").await;
    let mut swept = 0;
    for round in 0.. {
        let one = kv.sweep(LATER, 4).await.expect("a sweep can be made");
        assert!(one.entries <= 4);
        swept += one.entries;
        if !one.more {
            break;
        }
        assert!(round < 10, "sweeps come to an end");
    }
    assert_eq!(swept, 10);
    assert_eq!(read(kv, &bucket, "k1").await.as_deref(), Some(&b"new"[..]));
    assert_eq!(
        read(kv, &neighbour, "k1").await.as_deref(),
        Some(&b"stays"[..])
    );
    let kept = kv.kept(owner, app).await.expect("what is kept");
    assert_eq!(
        kept,
        Kept {
            entries: 1,
            bytes: 5
        }
    );
}
