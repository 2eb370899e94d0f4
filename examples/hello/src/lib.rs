//! The smallest function: it answers every request with text.

#[everwarm_sdk::http]
async fn hello() -> &'static str {
    "Hello from Everwarm\n"
}
