//! The content codings that there are, and encoders for them. Knows bytes, not HTTP.

use std::io::{self, Write as _};

/// Each at a modest level: a lane has others to serve.
const GZIP_LEVEL: u32 = 4;
const BROTLI_QUALITY: i32 = 4;
const ZSTD_LEVEL: i32 = 3;
/// Bytes of the window, as a power of two: an encoder's memory is a small multiple of it.
const WINDOW_LOG: u8 = 18;
/// Bytes that brotli hands on at once.
const BROTLI_BUFFER_BYTES: usize = 4 << 10;

/// A content coding (RFC 9110, section 8.4.1; RFC 7932; RFC 8878).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    Zstd,
    Brotli,
    Gzip,
}

impl Coding {
    /// All, the one that is preferred first.
    pub(super) const ALL: [Self; 3] = [Self::Zstd, Self::Brotli, Self::Gzip];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Brotli => "br",
            Self::Gzip => "gzip",
        }
    }

    pub(super) fn is_called(self, name: &str) -> bool {
        let old = self == Self::Gzip && name.eq_ignore_ascii_case("x-gzip");
        old || name.eq_ignore_ascii_case(self.as_str())
    }
}

impl From<everwarm_bundle::Coding> for Coding {
    fn from(coding: everwarm_bundle::Coding) -> Self {
        match coding {
            everwarm_bundle::Coding::Brotli => Self::Brotli,
            everwarm_bundle::Coding::Gzip => Self::Gzip,
            everwarm_bundle::Coding::Zstd => Self::Zstd,
        }
    }
}

/// Compresses one body.
pub(super) enum Encoder {
    Zstd(Box<zstd::stream::write::Encoder<'static, Vec<u8>>>),
    Brotli(Box<brotli::CompressorWriter<Vec<u8>>>),
    Gzip(Box<flate2::write::GzEncoder<Vec<u8>>>),
}

impl Encoder {
    /// `length` is the body's, where it is known.
    pub(super) fn new(coding: Coding, length: Option<usize>) -> io::Result<Self> {
        Ok(match coding {
            Coding::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), ZSTD_LEVEL)?;
                encoder.window_log(WINDOW_LOG.into())?;
                if let Some(length) = length {
                    encoder.set_pledged_src_size(Some(length as u64))?;
                }
                Self::Zstd(Box::new(encoder))
            }
            Coding::Brotli => {
                let parameters = brotli::enc::BrotliEncoderParams {
                    quality: BROTLI_QUALITY,
                    lgwin: WINDOW_LOG.into(),
                    size_hint: length.unwrap_or(0),
                    ..Default::default()
                };
                let writer = brotli::CompressorWriter::with_params(
                    Vec::new(),
                    BROTLI_BUFFER_BYTES,
                    &parameters,
                );
                Self::Brotli(Box::new(writer))
            }
            Coding::Gzip => {
                let level = flate2::Compression::new(GZIP_LEVEL);
                Self::Gzip(Box::new(flate2::write::GzEncoder::new(Vec::new(), level)))
            }
        })
    }

    pub(super) fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Zstd(encoder) => encoder.write_all(bytes),
            Self::Brotli(encoder) => encoder.write_all(bytes),
            Self::Gzip(encoder) => encoder.write_all(bytes),
        }
    }

    /// Sees to it that a client can read all that was taken.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Zstd(encoder) => encoder.flush(),
            Self::Brotli(encoder) => encoder.flush(),
            Self::Gzip(encoder) => encoder.flush(),
        }
    }

    /// What there is to send.
    pub(super) fn output(&mut self) -> Vec<u8> {
        std::mem::take(match self {
            Self::Zstd(encoder) => encoder.get_mut(),
            Self::Brotli(encoder) => encoder.get_mut(),
            Self::Gzip(encoder) => encoder.get_mut(),
        })
    }

    /// Ends the body, and adds all that wasn't sent.
    pub(super) fn finish(self, compressed: &mut Vec<u8>) -> io::Result<()> {
        let rest = match self {
            Self::Zstd(encoder) => encoder.finish()?,
            Self::Brotli(encoder) => encoder.into_inner(),
            Self::Gzip(encoder) => encoder.finish()?,
        };
        if compressed.is_empty() {
            *compressed = rest;
        } else {
            compressed.extend_from_slice(&rest);
        }
        Ok(())
    }
}
