//! Behaviours of key-value data: values, keys, numbers and states. Those of its bounds are in `bounds`.

mod bounds;

use bytes::Bytes;

use super::{app_name, tenant};
use crate::Store;
use crate::catalog::UnixMillis;
use crate::kv::{
    Bucket, BucketName, Entry, Key, KeyValue, KvError, KvQuota, NewValue, Page, Revision,
};

pub(super) use bounds::*;

const NOW: UnixMillis = UnixMillis(1_000);
const LATER: UnixMillis = UnixMillis(2_000);

fn bucket(owner: &str, app: &str, name: &str) -> Bucket {
    Bucket {
        tenant: tenant(owner),
        app: app_name(app),
        name: BucketName::new(name).expect("the suite's buckets have valid names"),
    }
}

fn default_bucket() -> Bucket {
    bucket("ann", "shop", "default")
}

fn key(text: &str) -> Key {
    Key::new(text).expect("the suite's keys are valid")
}

fn value(bytes: &[u8]) -> NewValue {
    NewValue {
        bytes: Bytes::copy_from_slice(bytes),
        expires: None,
    }
}

fn value_until(bytes: &[u8], expires: UnixMillis) -> NewValue {
    NewValue {
        expires: Some(expires),
        ..value(bytes)
    }
}

async fn set(kv: &dyn KeyValue, bucket: &Bucket, name: &str, bytes: &[u8]) -> Revision {
    set_value(kv, bucket, name, value(bytes)).await
}

async fn set_value(kv: &dyn KeyValue, bucket: &Bucket, name: &str, value: NewValue) -> Revision {
    let set = kv.set(bucket, &key(name), value, KvQuota::NONE, NOW).await;
    set.expect("a value can be set")
}

async fn entry(kv: &dyn KeyValue, bucket: &Bucket, name: &str, now: UnixMillis) -> Option<Entry> {
    let entry = kv.get(bucket, &key(name), now).await;
    entry.expect("a value can be read")
}

/// The value under a key.
async fn read(kv: &dyn KeyValue, bucket: &Bucket, name: &str) -> Option<Bytes> {
    entry(kv, bucket, name, NOW).await.map(|entry| entry.value)
}

async fn page(
    kv: &dyn KeyValue,
    bucket: &Bucket,
    prefix: &str,
    after: Option<&Key>,
    count_max: u32,
    now: UnixMillis,
) -> Page {
    let page = kv.list(bucket, prefix, after, count_max, now).await;
    page.expect("keys can be listed")
}

/// All keys, of as many pages as there are.
async fn keys(
    kv: &dyn KeyValue,
    bucket: &Bucket,
    prefix: &str,
    count_max: u32,
    now: UnixMillis,
) -> Vec<String> {
    let mut keys = Vec::new();
    let mut after = None;
    loop {
        let page = page(kv, bucket, prefix, after.as_ref(), count_max, now).await;
        assert!(page.keys.len() <= count_max as usize);
        keys.extend(page.keys.iter().map(ToString::to_string));
        let Some(next) = page.next else {
            return keys;
        };
        assert!(Some(&next) > after.as_ref(), "pages go on");
        after = Some(next);
    }
}

pub(super) async fn value_reads_back_as_it_was_set(store: &dyn Store) {
    let (kv, bucket) = (store.kv(), default_bucket());
    assert_eq!(entry(kv, &bucket, "a", NOW).await, None);
    let all_bytes: Vec<u8> = (0..=u8::MAX).collect();
    let large = vec![7; crate::kv::VALUE_BYTES_MAX];
    let long_key = "ä".repeat(crate::kv::KEY_BYTES_MAX / 2);
    for (name, bytes) in [
        ("a", &b""[..]),
        ("a", &all_bytes),
        (" %_/.. \u{10ffff}", &large),
        (&long_key, b"x"),
    ] {
        let revision = set(kv, &bucket, name, bytes).await;
        let found = entry(kv, &bucket, name, NOW).await.expect("it was set");
        assert_eq!(found.value, bytes, "{name}");
        assert_eq!((found.revision, found.expires), (revision, None));
        let state = kv.revision(&bucket, &key(name), NOW).await;
        assert_eq!(state.expect("a state can be read"), Some(revision));
    }
}

pub(super) async fn buckets_apps_and_tenants_see_only_their_own(store: &dyn Store) {
    let kv = store.kv();
    let buckets = [
        bucket("ann", "shop", "default"),
        bucket("ann", "shop", "other"),
        bucket("ann", "blog", "default"),
        bucket("bob", "shop", "default"),
    ];
    for (marker, bucket) in (0..).zip(&buckets) {
        assert!(keys(kv, bucket, "", 10, NOW).await.is_empty());
        set(kv, bucket, "k", &[marker]).await;
    }
    for (marker, bucket) in (0..).zip(&buckets) {
        let found = read(kv, bucket, "k").await;
        assert_eq!(found.as_deref(), Some(&[marker][..]), "{bucket:?}");
        assert_eq!(keys(kv, bucket, "", 10, NOW).await, ["k"]);
    }
    let deleted = kv.delete(&buckets[0], &key("k"), NOW).await;
    assert!(deleted.expect("a value can be deleted"));
    for bucket in &buckets[1..] {
        assert!(read(kv, bucket, "k").await.is_some());
    }
    let kept = kv.kept(&tenant("ann"), &app_name("shop")).await;
    assert_eq!(kept.expect("what an app keeps can be read").entries, 1);
    let first = kv.apps(None, 1).await.expect("apps can be listed");
    assert_eq!(first, [(tenant("ann"), app_name("blog"))]);
    let (owner, app) = &first[0];
    let rest = kv.apps(Some((owner, app)), 10).await;
    let rest = rest.expect("apps can be listed");
    let expected = ["ann", "bob"].map(|owner| (tenant(owner), app_name("shop")));
    assert_eq!(rest, expected);
}

pub(super) async fn deleted_value_is_gone(store: &dyn Store) {
    let (kv, bucket) = (store.kv(), default_bucket());
    set(kv, &bucket, "a", b"1").await;
    for expected in [true, false] {
        let deleted = kv.delete(&bucket, &key("a"), NOW).await;
        assert_eq!(deleted.expect("a value can be deleted"), expected);
        assert_eq!(read(kv, &bucket, "a").await, None);
    }
    let kept = kv.kept(&bucket.tenant, &bucket.app).await;
    assert_eq!(
        kept.expect("what is kept can be read"),
        crate::kv::Kept::default()
    );
}

pub(super) async fn expired_entry_is_gone_whether_it_was_swept_or_not(store: &dyn Store) {
    let (kv, bucket) = (store.kv(), default_bucket());
    let mut revision = Revision(0);
    for name in ["a", "b", "c"] {
        revision = set_value(kv, &bucket, name, value_until(b"5", LATER)).await;
    }
    set_value(kv, &bucket, "d", value_until(b"5", UnixMillis(u64::MAX))).await;
    let before = UnixMillis(LATER.0 - 1);
    let found = entry(kv, &bucket, "a", before).await;
    assert_eq!(found.and_then(|entry| entry.expires), Some(LATER));

    assert_eq!(entry(kv, &bucket, "a", LATER).await, None);
    let many = kv.get_many(&bucket, &[key("a"), key("d")], LATER).await;
    let many = many.expect("values can be read");
    assert_eq!(
        many.iter().map(Option::is_some).collect::<Vec<_>>(),
        [false, true]
    );
    assert_eq!(keys(kv, &bucket, "", 10, LATER).await, ["d"]);
    assert!(page(kv, &bucket, "", None, 1, LATER).await.next.is_some());
    let state = kv.revision(&bucket, &key("c"), LATER).await;
    assert_eq!(state.expect("a state can be read"), None);
    let deleted = kv.delete(&bucket, &key("a"), LATER).await;
    assert!(!deleted.expect("a value can be deleted"));
    let sum = kv
        .increment(&bucket, &key("b"), 1, KvQuota::NONE, LATER)
        .await;
    assert_eq!(sum.expect("a number can be incremented"), 1);
    let found = entry(kv, &bucket, "b", LATER).await.expect("it was made");
    assert_eq!(found.expires, None);
    let expired = key("c");
    let refused = kv.swap(
        &bucket,
        &expired,
        Some(revision),
        value(b"x"),
        KvQuota::NONE,
        LATER,
    );
    let refused = refused.await;
    assert!(
        matches!(refused, Err(KvError::RevisionDiffers { current: None })),
        "{refused:?}"
    );

    let swept = kv.sweep(LATER, 10).await.expect("a sweep can be made");
    assert_eq!((swept.entries, swept.more), (1, false));
    // A clock that goes back finds nothing again.
    assert_eq!(entry(kv, &bucket, "c", NOW).await, None);
    assert_eq!(keys(kv, &bucket, "", 10, NOW).await, ["b", "d"]);
    // Setting it without an expiry makes it last.
    set_value(kv, &bucket, "e", value_until(b"1", LATER)).await;
    set(kv, &bucket, "e", b"2").await;
    let swept = kv.sweep(LATER, 10).await.expect("a sweep can be made");
    assert_eq!(swept.entries, 0);
    assert!(entry(kv, &bucket, "e", LATER).await.is_some());
}

pub(super) async fn keys_are_listed_in_order_page_by_page(store: &dyn Store) {
    let (kv, bucket) = (store.kv(), default_bucket());
    let mut expected: Vec<String> = (0..25).map(|number| format!("k{number}")).collect();
    expected.extend(["B", "a", "ä", "z", "\u{10ffff}", "k"].map(str::to_owned));
    for name in &expected {
        set(kv, &bucket, name, b"").await;
    }
    expected.sort();
    for count_max in [1, 7, 31, 32, 1_000] {
        assert_eq!(keys(kv, &bucket, "", count_max, NOW).await, expected);
    }
    // A key that is gone, or never was, is a place in the order too.
    let after = key("k1~");
    let rest = page(kv, &bucket, "", Some(&after), 2, NOW).await;
    assert_eq!(rest.keys, [key("k2"), key("k20")]);
    assert_eq!(rest.next, Some(key("k20")));
}

pub(super) async fn keys_are_listed_by_prefix(store: &dyn Store) {
    let (kv, bucket) = (store.kv(), default_bucket());
    let all = [
        "a",
        "a/",
        "a/1",
        "a/2",
        "a/\u{10ffff}",
        "a0",
        "b",
        "A",
        "%",
        "ä",
        "äa",
    ];
    for name in all {
        set(kv, &bucket, name, b"").await;
    }
    for prefix in [
        "",
        "a",
        "a/",
        "a/1",
        "ä",
        "%",
        "_",
        "c",
        "\u{10ffff}",
        "a/1/2",
    ] {
        let mut expected: Vec<_> = all.iter().filter(|name| name.starts_with(prefix)).collect();
        expected.sort();
        for count_max in [1, 3, 100] {
            let found = keys(kv, &bucket, prefix, count_max, NOW).await;
            assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{prefix}");
        }
    }
    // Before the prefix, after it, and longer than any key.
    let from_before = page(kv, &bucket, "a/", Some(&key("A")), 100, NOW).await;
    assert_eq!(from_before.keys.len(), 4);
    let from_after = page(kv, &bucket, "a/", Some(&key("b")), 100, NOW).await;
    assert_eq!(from_after, Page::default());
    let long = "a".repeat(5_000);
    assert_eq!(
        page(kv, &bucket, &long, None, 100, NOW).await,
        Page::default()
    );
}

pub(super) async fn increment_adds_to_decimal_numbers(store: &dyn Store) {
    let (kv, bucket) = (store.kv(), default_bucket());
    let add = async |name: &str, delta| {
        let name = key(name);
        let sum = kv.increment(&bucket, &name, delta, KvQuota::NONE, NOW);
        sum.await
    };
    assert_eq!(add("n", 5).await.expect("a new number"), 5);
    assert_eq!(add("n", -12).await.expect("a number"), -7);
    assert_eq!(read(kv, &bucket, "n").await.as_deref(), Some(&b"-7"[..]));
    set_value(kv, &bucket, "n", value_until(b"0041", LATER)).await;
    assert_eq!(add("n", 1).await.expect("a number that was set"), 42);
    let found = entry(kv, &bucket, "n", NOW).await.expect("it is there");
    assert_eq!(found.expires, Some(LATER));
    assert_eq!(
        add("least", i64::MIN).await.expect("a new number"),
        i64::MIN
    );

    for (name, bytes) in [
        ("empty", &b""[..]),
        ("text", b"four"),
        ("space", b" 4"),
        ("fraction", b"4.0"),
        ("bytes", &4_i64.to_le_bytes()),
        ("large", b"9223372036854775808"),
        ("long", &vec![b'0'; 100_000]),
    ] {
        set(kv, &bucket, name, bytes).await;
        let refused = add(name, 1).await;
        assert!(
            matches!(refused, Err(KvError::NotANumber)),
            "{name}: {refused:?}"
        );
        assert_eq!(read(kv, &bucket, name).await.as_deref(), Some(bytes));
    }
    for (start, delta) in [(i64::MAX, 1), (i64::MIN, -1)] {
        set(kv, &bucket, "full", start.to_string().as_bytes()).await;
        let refused = add("full", delta).await;
        assert!(matches!(refused, Err(KvError::Overflow)), "{refused:?}");
    }
}

pub(super) async fn increments_that_come_together_are_all_counted(store: &dyn Store) {
    let (kv, bucket, counter) = (store.kv(), default_bucket(), key("n"));
    let adds = (1..=50).map(|delta| kv.increment(&bucket, &counter, delta, KvQuota::NONE, NOW));
    let mut adds: Vec<_> = adds.collect();
    let mut sums = Vec::new();
    std::future::poll_fn(|context| {
        adds.retain_mut(|add| match add.as_mut().poll(context) {
            std::task::Poll::Ready(sum) => {
                sums.push(sum.expect("a number can be incremented"));
                false
            }
            std::task::Poll::Pending => true,
        });
        if adds.is_empty() {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    assert_eq!(sums.iter().max(), Some(&(50 * 51 / 2)));
    sums.sort_unstable();
    sums.dedup();
    assert_eq!(sums.len(), 50, "no two saw the same sum");
}

pub(super) async fn swap_finds_what_was_changed_even_if_it_was_changed_back(store: &dyn Store) {
    let (kv, bucket, name) = (store.kv(), default_bucket(), key("a"));
    let swap = async |expected, bytes: &[u8]| {
        let swap = kv.swap(&bucket, &name, expected, value(bytes), KvQuota::NONE, NOW);
        swap.await
    };
    let first = swap(None, b"1").await.expect("nothing is there");
    let refused = swap(None, b"2").await;
    assert!(
        matches!(refused, Err(KvError::RevisionDiffers { current: Some(found) }) if found == first),
        "{refused:?}"
    );
    let second = swap(Some(first), b"2").await.expect("as it was read");
    let third = swap(Some(second), b"1").await.expect("as it was read");
    assert!(first < second && second < third);
    // The value is what the first was.
    let refused = swap(Some(first), b"3").await;
    assert!(
        matches!(refused, Err(KvError::RevisionDiffers { .. })),
        "{refused:?}"
    );

    // Nor does an entry that was deleted and made again pass for the old one.
    for change in 0..3 {
        let current = kv.revision(&bucket, &name, NOW).await.expect("a state");
        match change {
            0 => {
                kv.delete(&bucket, &name, NOW).await.expect("a deletion");
                set(kv, &bucket, "a", b"1").await;
            }
            1 => drop(set(kv, &bucket, "a", b"1").await),
            _ => {
                kv.increment(&bucket, &name, 0, KvQuota::NONE, NOW)
                    .await
                    .expect("a number");
            }
        }
        let refused = swap(current, b"4").await;
        assert!(
            matches!(refused, Err(KvError::RevisionDiffers { .. })),
            "{refused:?}"
        );
        assert_eq!(read(kv, &bucket, "a").await.as_deref(), Some(&b"1"[..]));
    }
    kv.delete(&bucket, &name, NOW).await.expect("a deletion");
    let refused = swap(Some(third), b"5").await;
    assert!(
        matches!(refused, Err(KvError::RevisionDiffers { current: None })),
        "{refused:?}"
    );
}

pub(super) async fn revisions_of_an_app_that_comes_back_are_new_ones(store: &dyn Store) {
    let (kv, bucket) = (store.kv(), default_bucket());
    let mut last = Revision(0);
    for _ in 0..3 {
        let revision = set(kv, &bucket, "a", b"1").await;
        assert!(revision > last);
        last = set(kv, &bucket, "a", b"1").await;
        let removed = kv.remove_app(&bucket.tenant, &bucket.app).await;
        assert!(removed.expect("an app can be removed"));
        kv.sweep(NOW, 10).await.expect("a sweep can be made");
    }
}
