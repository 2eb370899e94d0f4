//! How fast key-value data is on this disk: writes of one and of many writers, beside a bare sync, and reads.
//!
//! `cargo run --release -p everwarm-store --example kv_speed -- <empty folder> [seconds]`. All figures are of one run,
//! so that they can be compared with each other whatever else the machine does.

// An example that can't go on ends.
#![allow(clippy::unwrap_used)]

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use everwarm_manifest::{AppName, TenantId};
use everwarm_store::Store as _;
use everwarm_store::catalog::UnixMillis;
use everwarm_store::embedded::Embedded;
use everwarm_store::kv::{Bucket, BucketName, Key, KvQuota, NewValue};
use tokio::runtime::{Builder, Runtime};

const KEYS: u64 = 100_000;
const VALUE_BYTES: usize = 100;
const WRITERS: u64 = 64;
const NOW: UnixMillis = UnixMillis(1);
const PAGE: [u8; 4_096] = [1; 4_096];
/// Pages of the file that is synced bare: as SQLite's log, it is written over when its end is reached.
const BARE_PAGES: u64 = 4_096;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().expect("a folder, which is empty"));
    let seconds = arguments.next().map_or(5, |text| text.parse().unwrap());
    let time = Duration::from_secs(seconds);
    let store = Embedded::open(&folder.join("store")).unwrap();
    let runtime = Builder::new_current_thread().build().unwrap();
    fill(&store, &runtime);

    // In turn, so that what else the machine does is in both.
    let (mut bare, mut alone) = (Vec::new(), Vec::new());
    for round in 0..10 {
        bare.extend(sync_bare(&folder, time / 10));
        alone.extend(write_alone(&store, &runtime, round, time / 10));
    }
    let (bare_p50, bare_p99) = quantiles(bare);
    println!("bare write and fdatasync of 4 KiB: p50 {bare_p50:.1?}, p99 {bare_p99:.1?}");
    let (p50, p99) = quantiles(alone);
    let ratio = p50.as_secs_f64() / bare_p50.as_secs_f64();
    println!("one writer: p50 {p50:.1?}, p99 {p99:.1?}; {ratio:.2} of the bare one");

    let times = write_together(&store, time);
    let rate = times.len() as u64 / seconds;
    let (p50, p99) = quantiles(times);
    println!("{WRITERS} writers: {rate} writes/s, p50 {p50:.1?}, p99 {p99:.1?}");

    let (p50, p99) = quantiles(read(&store, &runtime, time / 2));
    println!("get, nobody writes: p50 {p50:.1?}, p99 {p99:.1?}");
    let is_over = AtomicBool::new(false);
    let times = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                write_together(&store, Duration::from_millis(200));
            }
        });
        let times = read(&store, &runtime, time / 2);
        is_over.store(true, Ordering::Relaxed);
        times
    });
    let (p50, p99) = quantiles(times);
    println!("get, {WRITERS} write: p50 {p50:.1?}, p99 {p99:.1?}");
    let log = folder.join("store/kv.sqlite-wal").metadata().unwrap().len();
    println!("the log has {} KiB", log / 1_024);
}

fn bucket() -> Bucket {
    Bucket {
        tenant: TenantId::default_tenant(),
        app: AppName::new("speed").unwrap(),
        name: BucketName::new("default").unwrap(),
    }
}

fn key(number: u64) -> Key {
    Key::new(&format!("key-{number:08}")).unwrap()
}

/// Keys in no order (a Weyl sequence).
fn any_key(number: u64) -> Key {
    key((number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20) % KEYS)
}

fn value(number: u64) -> NewValue {
    NewValue {
        bytes: vec![u8::try_from(number % 256).unwrap(); VALUE_BYTES].into(),
        expires: None,
    }
}

fn fill(store: &Embedded, runtime: &Runtime) {
    let bucket = bucket();
    for first in (0..KEYS).step_by(100) {
        let values = (first..first + 100).map(|number| (key(number), value(number)));
        let set = store
            .kv()
            .set_many(&bucket, values.collect(), KvQuota::NONE, NOW);
        runtime.block_on(set).unwrap();
    }
}

fn sync_bare(folder: &Path, time: Duration) -> Vec<Duration> {
    let mut options = File::options();
    options.create(true).truncate(false).write(true);
    let file = options.open(folder.join("bare")).unwrap();
    let bytes = PAGE.len() as u64;
    if file.metadata().unwrap().len() == 0 {
        for page in 0..BARE_PAGES {
            file.write_all_at(&PAGE, page * bytes).unwrap();
        }
        file.sync_all().unwrap();
    }
    let mut page = 0;
    timed(time, || {
        page += 1;
        file.write_all_at(&PAGE, page % BARE_PAGES * bytes).unwrap();
        file.sync_data().unwrap();
    })
}

fn write_alone(store: &Embedded, runtime: &Runtime, round: u64, time: Duration) -> Vec<Duration> {
    let bucket = bucket();
    let mut number = round * 1_000_000;
    timed(time, || {
        number += 1;
        let key = any_key(number);
        let set = store
            .kv()
            .set(&bucket, &key, value(number), KvQuota::NONE, NOW);
        runtime.block_on(set).unwrap();
    })
}

fn write_together(store: &Embedded, time: Duration) -> Vec<Duration> {
    let end = Instant::now() + time;
    let runtime = Builder::new_current_thread().build().unwrap();
    let writers = (0..WRITERS).map(|writer| async move {
        let (bucket, mut times) = (bucket(), Vec::new());
        let mut number = writer * 1_000_000;
        while Instant::now() < end {
            number += 1;
            let (key, start) = (any_key(number), Instant::now());
            let set = store
                .kv()
                .set(&bucket, &key, value(number), KvQuota::NONE, NOW);
            set.await.unwrap();
            times.push(start.elapsed());
        }
        times
    });
    let times = runtime.block_on(futures_util::future::join_all(writers));
    times.concat()
}

fn read(store: &Embedded, runtime: &Runtime, time: Duration) -> Vec<Duration> {
    let bucket = bucket();
    let mut number = 0;
    timed(time, || {
        number += 1;
        let key = any_key(number);
        let entry = runtime.block_on(store.kv().get(&bucket, &key, NOW));
        assert_eq!(entry.unwrap().unwrap().value.len(), VALUE_BYTES);
    })
}

fn timed(time: Duration, mut work: impl FnMut()) -> Vec<Duration> {
    let end = Instant::now() + time;
    let mut times = Vec::new();
    loop {
        let start = Instant::now();
        if start >= end {
            return times;
        }
        work();
        times.push(start.elapsed());
    }
}

fn quantiles(mut times: Vec<Duration>) -> (Duration, Duration) {
    times.sort_unstable();
    (times[times.len() / 2], times[times.len() * 99 / 100])
}
