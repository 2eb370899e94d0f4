//! What the pages of the site ask for.

use everwarm_sdk::{Error, LazyRequest, Result};

#[everwarm_sdk::http]
async fn api(request: LazyRequest) -> Result<String> {
    let path = request.path_and_query();
    match path.strip_prefix("/api/hello/") {
        Some(name) if !name.is_empty() => Ok(format!("Hello, {name}\n")),
        _ => Err(Error::not_found("ask for /api/hello/<name>")),
    }
}
