//! Servers that speak HTTP badly, or not at all.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// Answers that are none.
pub const GARBAGE: [&str; 6] = [
    "SSH-2.0-OpenSSH_9.2\r\n",
    "HTTP/1.1 abc Not a number\r\n\r\n",
    "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
    "\0\u{1}\u{2}\u{3}",
];

/// A server that answers whatever comes with this, and closes the connection.
///
/// # Panics
///
/// When there is no port.
pub async fn always(answer: &'static str) -> SocketAddr {
    serve(answer).await
}

/// A server that answers one request of each connection, says nothing of an end, and closes it.
///
/// # Panics
///
/// When there is no port.
pub async fn one_answer_each() -> SocketAddr {
    serve("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nonce").await
}

/// It ends with the test's runtime.
async fn serve(answer: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.expect("a port is free");
    let address = listener.local_addr().expect("a listener has an address");
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
