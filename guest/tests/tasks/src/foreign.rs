//! The `wasip3` crate's own futures: they find the request that they run in by the C symbol of the
//! `wit-bindgen` runtime.

use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::future::{Either, select};
use wasip3::clocks::monotonic_clock;
use wasip3::{wit_bindgen, wit_future, wit_stream};

/// A millisecond, as the host counts.
const SHORT_NS: u64 = 1_000_000;

/// How many pieces of work were ended after their response.
static ENDED: AtomicU32 = AtomicU32::new(0);

pub(crate) async fn timer() -> String {
    monotonic_clock::wait_for(SHORT_NS).await;
    everwarm_sdk::sleep(crate::SHORT).await;
    monotonic_clock::wait_for(SHORT_NS).await;
    "waited\n".to_owned()
}

pub(crate) async fn spawn() -> String {
    let spawned = wit_bindgen::spawn_local(async {
        monotonic_clock::wait_for(SHORT_NS).await;
        21 * 2
    });
    format!("{:?}\n", spawned.await)
}

/// Both ends of a stream and of a future in one request.
pub(crate) async fn stream() -> String {
    let (mut writer, mut reader) = wit_stream::new::<u8>();
    let writing = async move { writer.write_all(b"through a stream\n".to_vec()).await.len() };
    let reading = async move {
        let mut read = Vec::new();
        while let Some(byte) = reader.next().await {
            read.push(byte);
        }
        read
    };
    let (unwritten, read) = futures_util::future::join(writing, reading).await;
    // Dropped unwritten: the runtime writes what it was made with, and waits for nobody.
    let (_, future) = wit_future::new::<Result<(), wasip3::http::types::ErrorCode>>(|| Ok(()));
    drop(future);
    format!("{unwritten} left: {}", String::from_utf8_lossy(&read))
}

/// Waits that are given up.
pub(crate) async fn cancel() -> String {
    for _ in 0..20 {
        let never = pin!(monotonic_clock::wait_for(SHORT_NS * 3_600_000));
        let short = pin!(monotonic_clock::wait_for(SHORT_NS));
        if let Either::Left(_) = select(never, short).await {
            return "an hour has passed\n".to_owned();
        }
    }
    "cancelled\n".to_owned()
}

/// Work that goes on when the response has ended.
pub(crate) fn after() -> String {
    drop(wit_bindgen::spawn_local(async {
        monotonic_clock::wait_for(SHORT_NS * 5).await;
        ENDED.fetch_add(1, Ordering::Relaxed);
    }));
    "answered\n".to_owned()
}

pub(crate) fn ended() -> String {
    format!("{}\n", ENDED.load(Ordering::Relaxed))
}
