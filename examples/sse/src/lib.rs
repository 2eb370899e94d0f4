//! Server-sent events: ten ticks, one a second. The instance sleeps in between and costs nothing.

use std::time::Duration;

use everwarm_sdk::sse::{self, Event};
use everwarm_sdk::{Response, sleep};
use futures_util::stream;

/// How many ticks a client gets.
const TICKS: u32 = 10;

/// The time between two of them.
const PAUSE: Duration = Duration::from_secs(1);

#[everwarm_sdk::http]
async fn ticks() -> Response {
    sse::response(stream::unfold(1, |tick| async move {
        if tick > TICKS {
            return None;
        }
        if tick > 1 {
            sleep(PAUSE).await;
        }
        let event = Event::data(format!("tick {tick} of {TICKS}")).with_id(tick.to_string());
        Some((event, tick + 1))
    }))
}
