//! What tests of queues and schedules have in common: an app whose function writes down what it is called with, and a look
//! at what it wrote.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::deadline::eventually;
use crate::{App, Node, Request, World};

/// An app with the guest `queue`, which has a key-value store to write in.
pub fn app(world: World) -> App {
    // What a handler costs in a debug build isn't what these tests are about.
    App::new("queue", world)
        .limit("cpu_time", "10s")
        .grant("kv = [\"default\"]")
}

/// A queue called `name` that calls the app's function, with more lines.
pub fn queue(name: &str, lines: &str) -> String {
    format!("[[queue]]\nname = \"{name}\"\nfunction = \"queue\"\n{lines}")
}

/// A schedule called `name` that calls the app's function, with more lines.
pub fn schedule(name: &str, lines: &str) -> String {
    format!("[[schedule]]\nname = \"{name}\"\nfunction = \"queue\"\n{lines}")
}

/// Has the function send messages. What it was answered.
///
/// # Panics
///
/// When the function fails.
pub async fn send(node: &Node, queue: &str, messages: &Value) -> Value {
    let request = Request::post(&format!("/send?{queue}"), messages.to_string());
    let reply = node
        .send(request.header("content-type", "application/json"))
        .await;
    reply.ok();
    reply.json()
}

/// As [`send`], and the delivery ids.
///
/// # Panics
///
/// When they aren't sent.
pub async fn sent(node: &Node, queue: &str, messages: &Value) -> Vec<String> {
    let answer = send(node, queue, messages).await;
    let ids = answer["ids"].as_array();
    let ids = ids.unwrap_or_else(|| panic!("they aren't sent: {answer}"));
    let ids = ids.iter().filter_map(Value::as_str);
    ids.map(str::to_owned).collect()
}

/// What was delivered: by delivery id and attempt, in their order.
///
/// # Panics
///
/// When the function fails.
pub async fn handled(node: &Node) -> BTreeMap<String, Value> {
    let reply = node.get("/handled").await;
    reply.ok();
    let handled = reply.json();
    let handled = handled.as_object().cloned().unwrap_or_default();
    let said = |text: Value| {
        let text = text.as_str().unwrap_or_default();
        serde_json::from_str(text).unwrap_or(Value::Null)
    };
    handled
        .into_iter()
        .map(|(key, text)| (key, said(text)))
        .collect()
}

/// Waits until something is so of what was delivered.
///
/// # Panics
///
/// When it never is.
pub async fn handled_until(
    node: &Node,
    what: &str,
    is_so: impl Fn(&BTreeMap<String, Value>) -> bool,
) -> BTreeMap<String, Value> {
    eventually(what, async || {
        let handled = handled(node).await;
        is_so(&handled).then_some(handled)
    })
    .await
}

/// How often each message was delivered.
pub fn attempts(handled: &BTreeMap<String, Value>) -> BTreeMap<&str, usize> {
    let mut attempts = BTreeMap::new();
    for key in handled.keys() {
        let id = key.split('/').next().unwrap_or_default();
        *attempts.entry(id).or_default() += 1;
    }
    attempts
}
