//! What the guest `fetch` is asked for, and what it says of it.

use crate::client::{Connection, Request};
use crate::node::Node;
use crate::reply::Reply;
use serde_json::Value;

/// The path at which the guest does something with a URL.
pub fn by(path: &str, url: &str) -> String {
    let encoded: String = url
        .bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect();
    format!("{path}?url={encoded}")
}

/// What came of a request that the guest sent, in its own words.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    /// `ok` and a status, or the name of the error.
    pub kind: String,
    /// The error's text.
    pub text: String,
}

impl Outcome {
    /// Has the guest GET a URL, and read the whole answer.
    ///
    /// # Panics
    ///
    /// When the guest doesn't answer.
    pub async fn of(node: &Node, url: &str) -> Self {
        Self::parse(&node.get(&by("/timeouts", url)).await)
    }

    /// As [`Self::of`], on a connection.
    ///
    /// # Panics
    ///
    /// As [`Self::of`].
    pub async fn on(connection: &mut Connection, url: &str) -> Self {
        Self::parse(&connection.send(Request::get(&by("/timeouts", url))).await)
    }

    /// What the guest says.
    ///
    /// # Panics
    ///
    /// When it failed itself.
    pub fn parse(reply: &Reply) -> Self {
        let text = reply.ok();
        let (kind, text) = text.split_once('\n').unwrap_or((text, ""));
        Self {
            kind: kind.to_owned(),
            text: text.trim_end().to_owned(),
        }
    }

    /// Whether there was a response.
    pub fn is_ok(&self) -> bool {
        self.kind.starts_with("ok")
    }
}

/// Waits until the log says this of a request that came to nothing.
///
/// # Panics
///
/// When it doesn't.
pub async fn noticed(node: &Node, text: &str) {
    let says = |value: &Value| {
        let detail = value["fields"]["detail"].as_str();
        value["target"] == "everwarm::grants" && detail.is_some_and(|it| it.contains(text))
    };
    node.log().value(text, says).await;
}
