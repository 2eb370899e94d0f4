//! What the bytes of an HTTP/1.1 connection look like to another reader than ours.
//!
//! hyper lets some heads through that servers and proxies read in different ways, and drops what would tell of it:
//! a `Content-Length` beside `Transfer-Encoding`, codings before `chunked`, lines that end without a carriage return.
//! Where two readers see different ends of a request, one of them takes its body for another request. So the bytes
//! are looked at once more on their way in, by stricter rules, and the first head that breaks them is noted; its
//! request is refused and the connection ends with it. What this lets through it reads as hyper does.
//!
//! Pure: knows no sockets. Costs a search for line ends, and copies only a line that comes in two pieces.

use memchr::memchr;

/// A line of a head that is longer ends the scan: the head is too large anyway.
const LINE_BYTES_MAX: usize = 64 << 10;
/// Digits of a length that can't overflow.
const LENGTH_DIGITS_MAX: usize = 18;
const HEX_DIGITS_MAX: usize = 15;

/// Which head is wrong, counted from one, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wrong {
    /// Counted from one.
    pub head: u64,
    /// In a sentence.
    pub reason: &'static str,
}

/// Reads a connection's bytes as they come.
#[derive(Debug, Default)]
pub struct Scan {
    state: State,
    head: Head,
    /// The beginning of a line whose end hasn't come.
    line: Vec<u8>,
    heads: u64,
    wrong: Option<Wrong>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Between two requests.
    #[default]
    Before,
    Head,
    Body {
        left: u64,
    },
    ChunkHead,
    Chunk {
        left: u64,
    },
    ChunkEnd,
    Trailers,
    /// Not HTTP/1, or found wrong: nobody reads on.
    Off,
}

/// What the fields of a head say of the body.
#[derive(Debug, Default, Clone, Copy)]
struct Head {
    length: Option<u64>,
    chunked: bool,
}

impl Scan {
    /// Takes the next bytes.
    pub fn take(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && self.state != State::Off {
            bytes = match &mut self.state {
                State::Body { left } | State::Chunk { left } => {
                    let here =
                        usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                    *left -= here as u64;
                    if *left == 0 {
                        self.state = match self.state {
                            State::Chunk { .. } => State::ChunkEnd,
                            _ => State::Before,
                        };
                    }
                    &bytes[here..]
                }
                _ => self.take_line(bytes),
            };
        }
    }

    /// The first head that is wrong.
    pub fn wrong(&self) -> Option<Wrong> {
        self.wrong
    }

    /// Whether the bytes needn't be looked at any more.
    pub fn is_off(&self) -> bool {
        self.state == State::Off
    }

    /// Heads that have come whole.
    pub fn heads(&self) -> u64 {
        self.heads
    }

    /// Takes a line, or the part of it that is there. Returns what follows.
    fn take_line<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let Some(end) = memchr(b'\n', bytes) else {
            if self.line.len() + bytes.len() > LINE_BYTES_MAX {
                self.refuse("a line of the request's head is too long");
            } else {
                self.line.extend_from_slice(bytes);
            }
            return &[];
        };
        let (line, rest) = (&bytes[..end], &bytes[end + 1..]);
        if self.line.is_empty() {
            self.read_line(line);
        } else {
            let mut whole = std::mem::take(&mut self.line);
            whole.extend_from_slice(line);
            self.read_line(&whole);
        }
        rest
    }

    fn read_line(&mut self, line: &[u8]) {
        let Some((b'\r', line)) = line.split_last() else {
            return self.refuse("a line of the request's head ends without a carriage return");
        };
        match self.state {
            State::Before => self.request_line(line),
            State::Head if line.is_empty() => self.end_of_head(),
            State::Head => self.field(line),
            State::ChunkHead => self.chunk_head(line),
            // hyper refuses a chunk that is longer than it said.
            State::ChunkEnd => self.state = State::ChunkHead,
            State::Trailers if line.is_empty() => self.state = State::Before,
            _ => {}
        }
    }

    fn request_line(&mut self, line: &[u8]) {
        match line {
            // Empty lines before a request are skipped (RFC 9112, section 2.2).
            [] => {}
            // The preface of HTTP/2.
            b"PRI * HTTP/2.0" if self.heads == 0 => self.state = State::Off,
            _ => {
                self.state = State::Head;
                self.head = Head::default();
            }
        }
    }

    fn field(&mut self, line: &[u8]) {
        // Nearly no field begins with one of these.
        let refusal = match line[0] | 0x20 {
            b'c' => value_of(line, b"content-length").and_then(|value| self.content_length(value)),
            b't' => value_of(line, b"transfer-encoding").and_then(|value| self.coding(value)),
            _ => None,
        };
        if let Some(reason) = refusal {
            self.refuse(reason);
        }
    }

    fn content_length(&mut self, value: &[u8]) -> Option<&'static str> {
        if self.head.chunked {
            return Some(BOTH);
        }
        if self.head.length.is_some() {
            return Some("the request has more than one `Content-Length`");
        }
        self.head.length = number(value, 10, LENGTH_DIGITS_MAX);
        self.head
            .length
            .is_none()
            .then_some("the request's `Content-Length` is no length")
    }

    fn coding(&mut self, value: &[u8]) -> Option<&'static str> {
        if self.head.length.is_some() {
            return Some(BOTH);
        }
        if self.head.chunked || !value.eq_ignore_ascii_case(b"chunked") {
            return Some("the request's `Transfer-Encoding` is another than `chunked`");
        }
        self.head.chunked = true;
        None
    }

    fn end_of_head(&mut self) {
        self.heads += 1;
        self.state = match self.head {
            Head { chunked: true, .. } => State::ChunkHead,
            Head {
                length: Some(left @ 1..),
                ..
            } => State::Body { left },
            _ => State::Before,
        };
    }

    fn chunk_head(&mut self, line: &[u8]) {
        let size = line.split(|byte| *byte == b';').next().unwrap_or_default();
        match number(size.trim_ascii_end(), 16, HEX_DIGITS_MAX) {
            Some(0) => self.state = State::Trailers,
            Some(left) => self.state = State::Chunk { left },
            // hyper refuses it as well, and the connection ends.
            None => self.refuse("a chunk of the request's body has no size"),
        }
    }

    fn refuse(&mut self, reason: &'static str) {
        // In a body it is too late for the request, and early enough for the next.
        self.wrong = Some(Wrong {
            head: self.heads + 1,
            reason,
        });
        self.state = State::Off;
    }
}

const BOTH: &str = "the request has both `Content-Length` and `Transfer-Encoding`";

/// The value of the field, if it is that one's line.
fn value_of<'l>(line: &'l [u8], name: &[u8]) -> Option<&'l [u8]> {
    let (first, rest) = line.split_at_checked(name.len())?;
    let value = rest.strip_prefix(b":")?;
    first.eq_ignore_ascii_case(name).then(|| value.trim_ascii())
}

/// Digits and nothing else.
fn number(text: &[u8], radix: u32, digits_max: usize) -> Option<u64> {
    if text.is_empty() || text.len() > digits_max {
        return None;
    }
    text.iter().try_fold(0, |number, byte| {
        let digit = char::from(*byte).to_digit(radix)?;
        Some(number * u64::from(radix) + u64::from(digit))
    })
}

#[cfg(test)]
mod tests;
