//! HTTP/2 frames by hand (RFC 9113), for what no client library would send.

use crate::raw::Raw;

/// What a connection begins with.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Types of frames (RFC 9113, section 6).
pub mod kind {
    #![allow(missing_docs, reason = "they are the standard's names")]

    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const CONTINUATION: u8 = 9;
}

/// The flag of a head that is the whole request.
pub const END_STREAM: u8 = 0x1;
/// The flag of a head that no other frame goes on with.
pub const END_HEADERS: u8 = 0x4;
/// The error code of who is asked to calm down (RFC 9113, section 7).
pub const ENHANCE_YOUR_CALM: u32 = 0xb;

/// A frame that was read.
#[derive(Debug, Clone)]
pub struct Frame {
    /// Its type.
    pub kind: u8,
    /// Its flags.
    pub flags: u8,
    /// Its stream; 0 is the connection.
    pub stream: u32,
    /// What is in it.
    pub payload: Vec<u8>,
}

impl Frame {
    /// The error code of a GOAWAY or RST_STREAM frame.
    pub fn error_code(&self) -> Option<u32> {
        let at = match self.kind {
            kind::GOAWAY => 4,
            kind::RST_STREAM => 0,
            _ => return None,
        };
        let code = self.payload.get(at..at + 4)?;
        Some(u32::from_be_bytes(code.try_into().ok()?))
    }
}

/// A frame's bytes.
///
/// # Panics
///
/// When the payload is longer than a length can say.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a payload is short");
    let mut bytes = length.to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// The fields of a GET, without HPACK's tables but for the names in its static one (RFC 7541).
///
/// # Panics
///
/// When host or path are longer than a byte can say.
pub fn get(host: &str, path: &str) -> Vec<u8> {
    let mut block = vec![0x82, 0x86];
    // Without indexing, by the names with the numbers 4 and 1: `:path` and `:authority`.
    for (name, value) in [(0x04, path), (0x01, host)] {
        let length = u8::try_from(value.len()).expect("it is short");
        assert!(length < 127, "it is short");
        block.extend([name, length]);
        block.extend(value.as_bytes());
    }
    block
}

/// A field that is in no table.
///
/// # Panics
///
/// When the name is longer than a byte can say.
pub fn field(name: &str, value: &[u8]) -> Vec<u8> {
    let mut block = vec![0x00, u8::try_from(name.len()).expect("it is short")];
    block.extend(name.as_bytes());
    // An integer with a prefix of 7 bits (RFC 7541, section 5.1).
    if value.len() < 127 {
        block.push(u8::try_from(value.len()).expect("it is short"));
    } else {
        block.push(127);
        let mut left = value.len() - 127;
        while left >= 128 {
            block.push(u8::try_from(left % 128).expect("it is small") | 0x80);
            left /= 128;
        }
        block.push(u8::try_from(left).expect("it is small"));
    }
    block.extend(value);
    block
}

impl Raw {
    /// Says that it speaks HTTP/2, with these settings: numbers and values.
    pub async fn begin_http2(&mut self, settings: &[(u16, u32)]) {
        let mut payload = Vec::new();
        for (number, value) in settings {
            payload.extend(number.to_be_bytes());
            payload.extend(value.to_be_bytes());
        }
        let settings = frame(kind::SETTINGS, 0, 0, &payload);
        self.write([PREFACE, &settings].concat()).await;
    }

    /// The next frame; `None` when the connection has ended, in order or not.
    pub async fn read_frame(&mut self) -> Option<Frame> {
        let head = self.read_exactly(9).await?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        Some(Frame {
            kind: head[3],
            flags: head[4],
            stream: stream & 0x7fff_ffff,
            payload: self.read_exactly(length).await?,
        })
    }

    /// All frames until the connection ends.
    pub async fn read_frames(&mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        while let Some(frame) = self.read_frame().await {
            frames.push(frame);
        }
        frames
    }
}
