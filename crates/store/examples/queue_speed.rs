//! How fast queues are on this disk: messages that are sent, leased and acknowledged by one caller and by many, beside a
//! bare sync, with an empty queue and with one that many wait in.
//!
//! `cargo run --release -p everwarm-store --example queue_speed -- <empty folder> [seconds] [messages that wait]`. All
//! figures are of one run, so that they can be compared with each other whatever else the machine does.

// An example that can't go on ends.
#![allow(clippy::unwrap_used)]

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use everwarm_manifest::{AppName, QueueName, TenantId};
use everwarm_store::Store as _;
use everwarm_store::catalog::UnixMillis;
use everwarm_store::embedded::Embedded;
use everwarm_store::triggers::{
    BATCH_MAX, Content, Lease, NewMessage, Outcome, Settlement, Trigger, TriggerId, TriggerQuota,
};
use tokio::runtime::{Builder, Runtime};

const BODY_BYTES: usize = 200;
const BATCH: usize = 10;
const CALLERS: [usize; 3] = [1, 8, 64];
const NOW: UnixMillis = UnixMillis(1);
const PAGE: [u8; 4_096] = [1; 4_096];

fn main() {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().expect("a folder, which is empty"));
    let seconds = arguments.next().map_or(5, |text| text.parse().unwrap());
    let wait: usize = arguments
        .next()
        .map_or(1_000_000, |text| text.parse().unwrap());
    let time = Duration::from_secs(seconds);
    let store = Embedded::open(&folder.join("store")).unwrap();
    let runtime = Builder::new_current_thread().build().unwrap();

    let (p50, p99) = quantiles(sync_bare(&folder, time));
    println!("bare write and fdatasync of 4 KiB: p50 {p50:.1?}, p99 {p99:.1?}");
    handle_all(&store, &runtime, time, "an empty queue");
    let start = Instant::now();
    fill(&store, &runtime, wait);
    let rate = rate(wait, start.elapsed());
    println!("{wait} messages sent, {BATCH_MAX} at a time: {rate} messages/s");
    handle_all(&store, &runtime, time, "with those before");

    let queue = queue();
    let (p50, p99) = quantiles(timed(time / 5, || {
        runtime
            .block_on(store.triggers().next_due(&queue, NOW))
            .unwrap();
    }));
    println!("when the next is due: p50 {p50:.1?}, p99 {p99:.1?}");
    let (p50, p99) = quantiles(timed(time / 5, || {
        runtime
            .block_on(store.triggers().standing(&queue, NOW))
            .unwrap();
    }));
    println!("how it stands: p50 {p50:.1?}, p99 {p99:.1?}");
    drop(store);
    let start = Instant::now();
    Embedded::open(&folder.join("store")).unwrap();
    println!("opened again in {:.1?}", start.elapsed());
}

fn queue() -> TriggerId {
    TriggerId {
        tenant: TenantId::default_tenant(),
        app: AppName::new("speed").unwrap(),
        trigger: Trigger::Queue(QueueName::new("default").unwrap()),
    }
}

fn messages(count: usize) -> Vec<NewMessage> {
    let message = NewMessage {
        content: Content {
            body: vec![b'x'; BODY_BYTES].into(),
            content_type: Some("application/json".to_owned()),
            trace: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned()),
            scheduled: None,
        },
        due: NOW,
    };
    vec![message; count]
}

fn fill(store: &Embedded, runtime: &Runtime, count: usize) {
    let queue = queue();
    for _ in 0..count / BATCH_MAX {
        let sent = store
            .triggers()
            .send(&queue, messages(BATCH_MAX), TriggerQuota::NONE, NOW);
        runtime.block_on(sent).unwrap();
    }
}

fn handle_all(store: &Embedded, runtime: &Runtime, time: Duration, what: &str) {
    for callers in CALLERS {
        let end = Instant::now() + time;
        let calls = (0..callers).map(|_| handle(store, end));
        let handled: usize = runtime
            .block_on(futures_util::future::join_all(calls))
            .into_iter()
            .sum();
        let rate = rate(handled, time);
        println!(
            "{what}, {callers} callers send, lease and settle {BATCH} at a time: {rate} messages/s"
        );
    }
}

/// Sends, leases and settles until then. Returns how many messages.
async fn handle(store: &Embedded, end: Instant) -> usize {
    let (queue, triggers) = (queue(), store.triggers());
    let lease = Lease {
        count_max: u32::try_from(BATCH).unwrap(),
        bytes_max: usize::MAX,
        until: UnixMillis(1_000),
    };
    let mut handled = 0;
    while Instant::now() < end {
        let sent = triggers.send(&queue, messages(BATCH), TriggerQuota::NONE, NOW);
        sent.await.unwrap();
        let leased = triggers.lease(&queue, lease, NOW).await.unwrap();
        let settlements = leased.iter().map(|leased| Settlement {
            id: leased.id,
            receipt: leased.receipt,
            outcome: Outcome::Acknowledged,
        });
        let settled = triggers.settle(&queue, settlements.collect(), NOW);
        handled += settled.await.unwrap() as usize;
    }
    handled
}

fn sync_bare(folder: &Path, time: Duration) -> Vec<Duration> {
    let file = File::create(folder.join("bare")).unwrap();
    let bytes = PAGE.len() as u64;
    let mut page = 0;
    timed(time, || {
        page += 1;
        file.write_all_at(&PAGE, page % 64 * bytes).unwrap();
        file.sync_data().unwrap();
    })
}

/// How many a second.
fn rate(count: usize, time: Duration) -> u128 {
    count as u128 * 1_000 / time.as_millis().max(1)
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
