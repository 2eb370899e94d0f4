//! An app whose functions read its files, and what the guest `files` says of them.

use serde_json::{Value, json};

use crate::app::World;
use crate::client::Request;
use crate::node::Node;
use crate::server::Server;
use crate::site::{Site, SiteFolder};

/// The mount of [`files`].
pub const DATA: &str = "[[function.mounts]]\npath = \"data\"";
/// What a megabyte costs in a debug build isn't what tests of files are about.
pub const LIMITS: &str = "[function.limits]\ncpu_time = \"30s\"\nwall_time = \"1m\"\nmemory = \"16MiB\"\n\
                          response_body = \"unlimited\"";
/// Where the app is on a node that others deploy to.
pub const HOST: &str = "site.example.com";

/// A folder that functions read, and files that they don't.
pub fn files() -> Site {
    Site::new()
        .file("data/a.txt", "0123456789")
        .file("data/empty", "")
        .file("data/deep/er/b.txt", "deep")
        .file("data/deep/caf\u{e9}.txt", "coffee")
        .file("data/large.bin", Site::large())
        .beside("data/.hidden", "SECRET=1")
        .beside("secret.txt", "nobody reads this")
}

/// The files, and a function that reads them.
pub fn app(world: World) -> Site {
    files().function_with("files", "files", world, &format!("{LIMITS}\n{DATA}"))
}

/// Serves it by `up`, as it is.
///
/// # Panics
///
/// When it doesn't get ready.
pub async fn up(site: &Site) -> (Node, SiteFolder) {
    let folder = site.write();
    let node = folder.up(&["--no-watch"]).await;
    (node, folder)
}

/// What the guest is asked.
///
/// # Panics
///
/// When it can't be sent.
pub fn post(ask: &Value) -> Request {
    Request::post("/", ask.to_string()).header("content-type", "application/json")
}

/// What came of it.
///
/// # Panics
///
/// When the guest doesn't answer.
pub async fn ask(node: &Node, ask: Value) -> Value {
    let reply = node.send(post(&ask)).await;
    reply.ok();
    reply.json()
}

/// As [`ask`], of the app's function on a node that others deploy to.
///
/// # Panics
///
/// As [`ask`].
pub async fn ask_at(server: &Server, host: &str, ask: Value) -> Value {
    let reply = server.node.send(post(&ask).header("host", host)).await;
    reply.ok();
    reply.json()
}

/// It came to this.
pub fn ok(value: impl Into<Value>) -> Value {
    json!({ "ok": value.into() })
}

/// It came to nothing, for this reason.
pub fn error(kind: &str) -> Value {
    json!({ "error": kind })
}

/// All of a file.
pub fn read(path: &str) -> Value {
    json!({ "op": "read", "path": path })
}

/// What the guest says of all bytes of a file.
pub fn sum_of(bytes: &[u8]) -> Value {
    let sum: u64 = bytes.iter().map(|byte| u64::from(*byte)).sum();
    json!({ "bytes": bytes.len(), "sum": sum })
}
