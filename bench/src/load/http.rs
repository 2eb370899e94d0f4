//! As much HTTP/1.1 as a load generator needs: one request as bytes, answers parsed as they come in.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, bail};

use crate::servers::HELLO;

/// How long one plain request may take, in all.
const GET_TIME_MAX: Duration = Duration::from_secs(30);
/// How long a connection may take on loopback.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(1);
/// An answer larger than this is no answer that the bench asks for.
const ANSWER_BYTES_MAX: usize = 1 << 20;
const HEADERS_MAX: usize = 64;
const READ_BYTES: usize = 16 * 1_024;

/// A whole response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The value of `server-timing`, when there is one.
    pub(crate) server_timing: Option<String>,
    /// The value of `x-found`, in which a guest says what it found in its instance.
    pub(crate) found: Option<String>,
    /// The value of `x-took-ns`, in which a caller says how long a call took by its own clock.
    pub(crate) took_ns: Option<u64>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// Checks that this is the hello that every server gives.
    ///
    /// # Errors
    /// When it isn't; the message shows what came.
    pub(crate) fn check_hello(&self) -> anyhow::Result<()> {
        self.check(200, HELLO)
    }

    /// Checks that this is what the guest that asks others says when it is to ask nobody.
    ///
    /// # Errors
    /// When it isn't.
    pub(crate) fn check_not_found(&self) -> anyhow::Result<()> {
        anyhow::ensure!(self.status == 404, "expected 404, got {}", self.status);
        Ok(())
    }

    /// Checks status and body.
    ///
    /// # Errors
    /// When one differs.
    pub(crate) fn check(&self, status: u16, body: &str) -> anyhow::Result<()> {
        if self.status != status || self.body != body.as_bytes() {
            bail!(
                "expected {status} {body:?}, got {} {:?}",
                self.status,
                String::from_utf8_lossy(&self.body[..self.body.len().min(300)])
            );
        }
        Ok(())
    }
}

/// The bytes of a GET on a connection that is kept.
pub(crate) fn request(host: &str, path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n").into_bytes()
}

/// One GET on a connection of its own.
///
/// # Errors
/// When no whole answer comes in time.
pub(crate) fn get(address: SocketAddr, path: &str) -> anyhow::Result<Answer> {
    get_from_host(address, &address.to_string(), path)
}

/// As [`get`], with a host of one's own.
///
/// # Errors
/// As [`get`].
pub(crate) fn get_from_host(address: SocketAddr, host: &str, path: &str) -> anyhow::Result<Answer> {
    let mut stream = TcpStream::connect_timeout(&address, CONNECT_TIME_MAX)
        .with_context(|| format!("could not connect to {address}"))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(GET_TIME_MAX))?;
    stream.write_all(&request(host, path))?;
    let mut received = Vec::new();
    let mut chunk = [0; READ_BYTES];
    loop {
        if let Some((answer, _)) = parse(&received)? {
            return Ok(answer);
        }
        let read = stream.read(&mut chunk).context("reading the answer")?;
        if read == 0 {
            bail!("the connection was closed in the middle of an answer");
        }
        received.extend_from_slice(&chunk[..read]);
    }
}

/// The first answer in these bytes and its length; `None` when it isn't whole yet.
///
/// # Errors
/// When the bytes are no HTTP/1.1 response, or one whose end can't be known.
pub(crate) fn parse(bytes: &[u8]) -> anyhow::Result<Option<(Answer, usize)>> {
    if bytes.len() > ANSWER_BYTES_MAX {
        bail!("an answer of more than {ANSWER_BYTES_MAX} bytes");
    }
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut head = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(head_length) = head.parse(bytes)? else {
        return Ok(None);
    };
    let status = head.code.context("an answer without a status")?;
    let value = |name: &str| {
        let header = head
            .headers
            .iter()
            .find(|header| header.name.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(header.value).ok()
    };
    let server_timing = value("server-timing").map(str::to_owned);
    let found = value("x-found").map(str::to_owned);
    let took_ns = value("x-took-ns").and_then(|value| value.parse().ok());
    let rest = &bytes[head_length..];
    let (body, body_length) = if let Some(length) = value("content-length") {
        let length: usize = length.parse().context("content-length is no number")?;
        let Some(body) = rest.get(..length) else {
            return Ok(None);
        };
        (body.to_vec(), length)
    } else if value("transfer-encoding").is_some_and(|coding| coding == "chunked") {
        let Some(chunked) = unchunk(rest)? else {
            return Ok(None);
        };
        chunked
    } else {
        bail!("an answer with neither content-length nor chunks: its end can't be known");
    };
    let answer = Answer {
        status,
        server_timing,
        found,
        took_ns,
        body,
    };
    Ok(Some((answer, head_length + body_length)))
}

/// The body in these chunks and how many bytes they take; `None` when the last isn't there yet.
fn unchunk(bytes: &[u8]) -> anyhow::Result<Option<(Vec<u8>, usize)>> {
    let mut body = Vec::new();
    let mut at = 0;
    loop {
        let parsed = httparse::parse_chunk_size(&bytes[at..])
            .map_err(|_| anyhow::anyhow!("a chunk without a size"))?;
        let httparse::Status::Complete((line, size)) = parsed else {
            return Ok(None);
        };
        let size = usize::try_from(size)?;
        if size > ANSWER_BYTES_MAX {
            bail!("a chunk of more than {ANSWER_BYTES_MAX} bytes");
        }
        let start = at + line;
        let Some(chunk) = bytes.get(start..start + size) else {
            return Ok(None);
        };
        // A chunk ends with CRLF; so does the (empty) list of trailers after the last one.
        let end = start + size + 2;
        if bytes.len() < end {
            return Ok(None);
        }
        body.extend_from_slice(chunk);
        at = end;
        if size == 0 {
            return Ok(Some((body, at)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nServer-Timing: x\r\n\r\nhello";
    const CHUNKED: &[u8] =
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n";

    #[test]
    fn answer_is_whole_only_with_its_last_byte() {
        for bytes in [PLAIN, CHUNKED] {
            for cut in 0..bytes.len() {
                assert_eq!(parse(&bytes[..cut]).expect("a prefix is no error"), None);
            }
            let (answer, length) = parse(bytes).expect("it is right").expect("it is whole");
            assert_eq!(
                (answer.status, answer.body.as_slice()),
                (200, &b"hello"[..])
            );
            assert_eq!(length, bytes.len());
        }
    }

    #[test]
    fn next_answer_begins_where_the_first_ends() {
        let two = [PLAIN, CHUNKED].concat();
        let (_, length) = parse(&two).expect("it is right").expect("it is whole");
        assert_eq!(&two[length..], CHUNKED);
    }

    #[test]
    fn answer_without_an_end_is_an_error() {
        assert!(parse(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }

    #[test]
    fn wrong_answer_is_shown() {
        let (answer, _) = parse(PLAIN).expect("it is right").expect("it is whole");
        let error = answer.check_hello().expect_err("this is another text");
        assert!(error.to_string().contains("\"hello\""), "{error}");
    }
}
