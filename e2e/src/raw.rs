//! A connection where the test says every byte, and sees every byte.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::deadline::within;

/// A connection that takes no more for so long is full. A slow machine makes a test weaker that
/// relies on it, not wrong.
const FULL_AFTER: Duration = Duration::from_millis(500);

/// See the module's documentation.
#[derive(Debug)]
pub struct Raw(TcpStream);

impl Raw {
    /// A new connection to any address.
    ///
    /// # Panics
    ///
    /// When nobody listens there.
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = within("a connection", TcpStream::connect(address)).await;
        Self(stream.expect("the node listens"))
    }

    /// Writes all of it.
    ///
    /// # Panics
    ///
    /// When the node closed the connection.
    pub async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        let written = within("room for the bytes", self.0.write_all(bytes.as_ref())).await;
        written.expect("the connection is open");
    }

    /// As [`Self::write`], on a connection that the node may have closed. Says whether it took all of it.
    pub async fn try_write(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        let written = within("room for the bytes", self.0.write_all(bytes.as_ref()));
        written.await.is_ok()
    }

    /// Whether the node has said anything that isn't read yet.
    ///
    /// # Panics
    ///
    /// When the kernel doesn't say.
    pub fn is_answered(&self) -> bool {
        let waiting = rustix::io::ioctl_fionread(&self.0);
        waiting.expect("a socket says what waits in it") > 0
    }

    /// Says that nothing more will be sent, as a client that leaves does, and waits until the server
    /// has noticed: it closes its side then.
    ///
    /// # Panics
    ///
    /// When the server had closed the connection before.
    pub async fn leave(mut self) {
        let said = within("room to say goodbye", self.0.shutdown()).await;
        said.expect("the connection is open");
        self.read_to_end().await;
    }

    /// Writes these bytes, and reads until the node closes the connection. It may have done so before;
    /// there is nothing to read then.
    pub async fn last_words(&mut self, bytes: &str) -> String {
        let _ = within("room for the bytes", self.0.write_all(bytes.as_bytes())).await;
        String::from_utf8_lossy(&self.read_to_end().await).into_owned()
    }

    /// Writes until the connection takes no more, at most `max` bytes; says how many it took.
    pub async fn write_until_full(&mut self, max: usize) -> usize {
        let chunk = vec![b'x'; 64 << 10];
        let mut written = 0;
        while written < max {
            let room = (max - written).min(chunk.len());
            match tokio::time::timeout(FULL_AFTER, self.0.write(&chunk[..room])).await {
                Ok(Ok(count)) => written += count,
                Ok(Err(_)) | Err(_) => break,
            }
        }
        written
    }

    /// Waits until nothing more comes in because nothing is read.
    ///
    /// # Panics
    ///
    /// When the connection is closed.
    pub async fn let_it_fill(&mut self) {
        let mut before = None;
        within("the connection is full", async {
            loop {
                let waiting =
                    rustix::io::ioctl_fionread(&self.0).expect("a socket says what waits in it");
                if before == Some(waiting) && waiting > 0 {
                    return;
                }
                before = Some(waiting);
                tokio::time::sleep(FULL_AFTER).await;
            }
        })
        .await;
    }

    /// Reads until the text has come; returns all that was read.
    ///
    /// # Panics
    ///
    /// When the connection ends before.
    pub async fn read_until(&mut self, text: &str) -> String {
        let mut seen = Vec::new();
        let wanted = format!("`{text}` from the node");
        within(&wanted, async {
            loop {
                let count = self.0.read_buf(&mut seen).await.unwrap_or(0);
                let all = String::from_utf8_lossy(&seen);
                if all.contains(text) {
                    return all.into_owned();
                }
                assert!(count > 0, "the connection ended without `{text}`: {all}");
            }
        })
        .await
    }

    /// Reads until the node closes the connection, or breaks it; returns all that was read.
    pub async fn read_to_end(&mut self) -> Vec<u8> {
        let mut seen = Vec::new();
        // A reset after the last byte is an end as well.
        let _ = within("the end of the connection", self.0.read_to_end(&mut seen)).await;
        seen
    }
}
