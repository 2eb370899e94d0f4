//! The guest `cached` behind a cache: it answers as a test says, and what the cache did is read from its answers.

use http::Method;
use serde_json::{Value, json};

use crate::{App, Node, Reply, Request, World};

/// Fresh for longer than any test.
pub const FRESH: &str = "max-age=600";

/// A node with the guest, its cache with these keys.
///
/// # Panics
///
/// When it doesn't start.
pub async fn start(world: World, rules: &str) -> Node {
    App::new("cached", world)
        .key(&format!("cache = {{ {rules} }}"))
        .grant("kv = [\"default\"]")
        // What a call costs in a debug build isn't what these tests are about.
        .limit("cpu_time", "10s")
        .start()
        .await
}

/// Has a path answered so.
///
/// # Panics
///
/// When the guest doesn't take it.
pub async fn plan(node: &Node, path: &str, plan: Value) {
    let put = Request::with_body(Method::PUT, &format!("/plan?{path}"), plan.to_string());
    node.send(put).await.ok();
}

/// Has a path answered with these fields.
///
/// # Panics
///
/// As [`plan`].
pub async fn fields(node: &Node, path: &str, fields: &[(&str, &str)]) {
    plan(node, path, json!({ "headers": fields })).await;
}

/// How often the function was asked for a path.
///
/// # Panics
///
/// When the guest doesn't say.
pub async fn calls(node: &Node, path: &str) -> u32 {
    let put = Request::new(Method::PUT, &format!("/calls?{path}"));
    node.send(put).await.text().parse().expect("a number")
}

/// What the cache did with a request.
pub fn said(reply: &Reply) -> &str {
    reply.header("cache-status").unwrap_or_default()
}

/// Which call of the function an answer is of.
pub fn call(reply: &Reply) -> &str {
    reply.header("x-call").unwrap_or_default()
}
