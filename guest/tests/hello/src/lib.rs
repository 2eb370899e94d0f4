//! Hello over the SDK, built as the other guests are: what the yardsticks are compared with.

#[everwarm_sdk::http]
async fn hello() -> &'static str {
    "Hello from Everwarm\n"
}
