//! Hello over the SDK, built as the other guests are: what the yardsticks are compared with.

#![allow(
    clippy::unused_async,
    reason = "a handler is async, also when it waits for nothing"
)]

#[everwarm_sdk::http]
async fn hello() -> &'static str {
    "Hello from Everwarm\n"
}
