//! What the guest `fetch` is asked for, and servers that speak no proper HTTP.

use std::net::SocketAddr;

use everwarm_e2e::{Connection, Node, Reply, Request};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// The path at which the guest does something with a URL.
pub(crate) fn by(path: &str, url: &str) -> String {
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
pub(crate) struct Outcome {
    /// `ok` and a status, or the name of the error.
    pub(crate) kind: String,
    /// The error's text.
    pub(crate) text: String,
}

impl Outcome {
    /// Has the guest GET a URL, and read the whole answer.
    pub(crate) async fn of(node: &Node, url: &str) -> Self {
        Self::parse(&node.get(&by("/timeouts", url)).await)
    }

    /// As [`Self::of`], on a connection.
    pub(crate) async fn on(connection: &mut Connection, url: &str) -> Self {
        Self::parse(&connection.send(Request::get(&by("/timeouts", url))).await)
    }

    /// What the guest says.
    pub(crate) fn parse(reply: &Reply) -> Self {
        let text = reply.ok();
        let (kind, text) = text.split_once('\n').unwrap_or((text, ""));
        Self {
            kind: kind.to_owned(),
            text: text.trim_end().to_owned(),
        }
    }

    /// Whether there was a response.
    pub(crate) fn is_ok(&self) -> bool {
        self.kind.starts_with("ok")
    }
}

/// Waits until the log says this of a request that came to nothing.
pub(crate) async fn noticed(node: &Node, text: &str) {
    let says = |value: &Value| {
        let detail = value["fields"]["detail"].as_str();
        value["target"] == "everwarm::egress" && detail.is_some_and(|it| it.contains(text))
    };
    node.log().value(text, says).await;
}

/// Answers that are none.
pub(crate) const GARBAGE: [&str; 6] = [
    "SSH-2.0-OpenSSH_9.2\r\n",
    "HTTP/1.1 abc Not a number\r\n\r\n",
    "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
    "\0\u{1}\u{2}\u{3}",
];

/// A server that answers whatever comes with this, and closes the connection.
pub(crate) async fn always(answer: &'static str) -> SocketAddr {
    serve(answer).await
}

/// A server that answers one request of each connection, says nothing of an end, and closes it.
pub(crate) async fn one_answer_each() -> SocketAddr {
    serve("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nonce").await
}

/// It ends with the test's runtime.
async fn serve(answer: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = [0; 4_096];
            // A client that has gone by now is none of this server's business.
            let _ = stream.read(&mut head).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    address
}
