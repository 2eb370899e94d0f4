//! Key-value writers that come together, power cuts among them, and a disk that is full.
//!
//! Owns the stories with many writers of values at a time. Knows nothing of how the store groups them.

use std::future::Future;
use std::pin::Pin;
use std::task::Poll;

use bytes::Bytes;
use everwarm_store::Store as _;
use everwarm_store::catalog::UnixMillis;
use everwarm_store::embedded::Embedded;
use everwarm_store::kv::{BATCH_MAX, Key, KvError, KvQuota, NewValue, VALUE_BYTES_MAX};
use futures_util::future::join_all;

use crate::simulated::{Lies, SimulatedDisk, Survives};
use crate::story::{bucket, key, value};
use crate::{KV_STORY, Place};

const WRITERS: usize = 64;
/// More bytes than a log's file has ahead of what is written.
pub(crate) const MORE_THAN_ROOM: usize = 2 << 20;
const NOW: UnixMillis = UnixMillis(1);

fn names() -> Vec<Key> {
    (0..WRITERS)
        .map(|number| key(&format!("k{number}")))
        .collect()
}

/// Lets all ask before the disk does anything for one of them.
pub(crate) fn together<F: Future>(
    place: &Place,
    disk: &SimulatedDisk,
    asked: impl IntoIterator<Item = F>,
) -> Vec<F::Output> {
    // Unconstrained: the runtime makes a task that asks for more than 128 things come back for the rest of them.
    let mut all = Box::pin(tokio::task::unconstrained(join_all(asked)));
    let mut held = Some(disk.hold());
    place.runtime.block_on(std::future::poll_fn(|context| {
        let polled = Pin::new(&mut all).poll(context);
        held = None;
        match polled {
            Poll::Ready(results) => Poll::Ready(results),
            Poll::Pending => Poll::Pending,
        }
    }))
}

/// Each sets a value of its own, and adds one to the number that all share.
fn set_together(
    place: &Place,
    disk: &SimulatedDisk,
    store: &Embedded,
) -> Vec<Result<i64, KvError>> {
    let (bucket, names, shared) = (bucket(), names(), key("n"));
    let kv = store.kv();
    let sets = names.iter().map(|name| {
        let set = kv.set(&bucket, name, value("v", 100), KvQuota::NONE, NOW);
        let add = kv.increment(&bucket, &shared, 1, KvQuota::NONE, NOW);
        async {
            let (set, added) = futures_util::future::join(set, add).await;
            set.and(added)
        }
    });
    together(place, disk, sets)
}

fn read(place: &Place, store: &Embedded, key: &Key) -> Option<Bytes> {
    let (kv, bucket) = (store.kv(), bucket());
    let entry = place.runtime.block_on(kv.get(&bucket, key, NOW));
    entry.unwrap().map(|entry| entry.value)
}

fn new_place() -> (Place, SimulatedDisk, Embedded) {
    let place = Place::of(KV_STORY, true, Lies::Never);
    let disk = place.new_disk();
    let store = place.open(&disk).unwrap();
    (place, disk, store)
}

#[test]
fn writers_of_values_that_come_together_wait_for_the_disk_together() {
    let (place, disk, store) = new_place();
    // The first of all syncs the log's head as well.
    let (kv, bucket, first) = (store.kv(), bucket(), key("first"));
    let first = kv.set(&bucket, &first, value("v", 1), KvQuota::NONE, NOW);
    place.runtime.block_on(first).unwrap();
    let before = disk.syncs();
    for set in set_together(&place, &disk, &store) {
        set.unwrap();
    }
    let syncs = disk.syncs() - before;
    // The first may have been begun before the second was there.
    assert!((1..=2).contains(&syncs), "{syncs} syncs");
    assert_eq!(read(&place, &store, &key("n")).as_deref(), Some(&b"64"[..]));
}

#[test]
fn what_writers_of_values_were_told_holds_whenever_the_power_ends() {
    let mut cuts = 0;
    for operation in 0.. {
        let (place, disk, store) = new_place();
        disk.end_power_at(disk.operations() + operation);
        let sets = set_together(&place, &disk, &store);
        let is_over = sets.iter().all(Result::is_ok);
        drop(store);
        let disk = disk.after_power_cut(Survives::Some(operation));
        let store = place.open(&disk).unwrap();
        let mut count = 0;
        for (name, set) in names().iter().zip(&sets) {
            let there = read(&place, &store, name).is_some();
            assert!(set.is_err() || there, "{name} was acknowledged and is gone");
            count += i64::from(there);
        }
        let sum = read(&place, &store, &key("n"));
        let sum = sum.map_or(0, |text| {
            String::from_utf8(text.to_vec()).unwrap().parse().unwrap()
        });
        let told = sets.iter().filter_map(|set| set.as_ref().ok()).max();
        assert!(told.is_none_or(|told| *told <= sum), "{told:?} {sum}");
        let kept = place
            .runtime
            .block_on(store.kv().kept(&bucket().tenant, &bucket().app));
        let entries = u64::try_from(count + i64::from(sum > 0)).unwrap();
        assert_eq!(kept.unwrap().entries, entries);
        cuts += 1;
        if is_over {
            break;
        }
    }
    assert!(cuts > 3, "{cuts} cuts are no test");
}

#[test]
fn full_disk_is_told_to_all_whose_value_is_lost_and_what_is_kept_is_read() {
    let (place, disk, store) = new_place();
    for set in set_together(&place, &disk, &store) {
        set.unwrap();
    }
    disk.set_capacity(disk.used() + 4_096);
    let (kv, bucket, names) = (store.kv(), bucket(), names());
    let large = NewValue {
        bytes: vec![1; MORE_THAN_ROOM / names.len()].into(),
        expires: None,
    };
    let sets = names
        .iter()
        .map(|name| kv.set(&bucket, name, large.clone(), KvQuota::NONE, NOW));
    let sets = together(&place, &disk, sets);
    assert!(sets.iter().any(Result::is_err), "all fit into what is left");
    for (name, set) in names.iter().zip(&sets) {
        let len = read(&place, &store, name).unwrap().len();
        match set {
            Ok(_) => assert_eq!(len, large.bytes.len()),
            Err(error) => {
                assert!(matches!(error, KvError::DiskFull), "{error:?}");
                assert_eq!(len, 100);
            }
        }
    }
    // One alone and a batch hear the same. Those together were one transaction: none was kept, and their room is still there.
    let largest = NewValue {
        bytes: vec![2; VALUE_BYTES_MAX].into(),
        expires: None,
    };
    let alone = kv.set(&bucket, &names[0], largest, KvQuota::NONE, NOW);
    let alone = place.runtime.block_on(alone);
    assert!(matches!(alone, Err(KvError::DiskFull)), "{alone:?}");
    let batch = (0..BATCH_MAX).map(|number| (key(&format!("b{number}")), large.clone()));
    let batch = kv.set_many(&bucket, batch.collect(), KvQuota::NONE, NOW);
    let batch = place.runtime.block_on(batch);
    assert!(matches!(batch, Err(KvError::DiskFull)), "{batch:?}");
    assert_eq!(read(&place, &store, &key("b0")), None);

    disk.set_capacity(usize::MAX);
    for set in set_together(&place, &disk, &store) {
        set.unwrap();
    }
    assert_eq!(
        read(&place, &store, &key("n")).as_deref(),
        Some(&b"128"[..])
    );
}
