//! What is compressed of a file ahead of all requests: once, off their way, and therefore harder than a response is.

use std::io::{self, Write as _};

use everwarm_bundle::{Coding, media};

/// Bytes below which compressing saves nothing: they fit into one packet anyway.
const BYTES_MIN: usize = 1 << 10;
/// Bytes above which it would take too long.
const BYTES_MAX: usize = 16 << 20;
/// A variant is kept if it has at most so many tenths of the file's bytes.
const TENTHS_MAX: usize = 9;
/// Near the best that each can do, at a speed that nobody waits for: seconds for tens of megabytes.
const BROTLI_QUALITY: i32 = 9;
const ZSTD_LEVEL: i32 = 15;
/// Bytes of the windows, as a power of two: browsers take no more of zstd than 8 MiB (RFC 9659).
const WINDOW_LOG: u8 = 22;
/// Bytes that brotli hands on at once.
const BROTLI_BUFFER_BYTES: usize = 64 << 10;

/// What was compressed of one file.
pub(crate) type Variants = Vec<(Coding, Vec<u8>)>;

/// Whether a file is of a kind and a size that is compressed.
pub(crate) fn is_worth_it(path: &str, bytes: usize) -> bool {
    (BYTES_MIN..=BYTES_MAX).contains(&bytes) && media::is_file_compressible(path)
}

/// The variants that are worth keeping.
pub(crate) fn of(bytes: &[u8]) -> Variants {
    let compressed = Coding::ALL.into_iter().filter_map(|coding| {
        // Writing to memory fails only where there is none; then the file goes out as it is.
        let compressed = compress(coding, bytes).ok()?;
        (compressed.len() * 10 <= bytes.len() * TENTHS_MAX).then_some((coding, compressed))
    });
    compressed.collect()
}

fn compress(coding: Coding, bytes: &[u8]) -> io::Result<Vec<u8>> {
    match coding {
        Coding::Brotli => {
            let parameters = brotli::enc::BrotliEncoderParams {
                quality: BROTLI_QUALITY,
                lgwin: WINDOW_LOG.into(),
                size_hint: bytes.len(),
                ..Default::default()
            };
            let mut writer =
                brotli::CompressorWriter::with_params(Vec::new(), BROTLI_BUFFER_BYTES, &parameters);
            writer.write_all(bytes)?;
            Ok(writer.into_inner())
        }
        Coding::Gzip => {
            let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
            writer.write_all(bytes)?;
            writer.finish()
        }
        Coding::Zstd => {
            let mut writer = zstd::stream::write::Encoder::new(Vec::new(), ZSTD_LEVEL)?;
            writer.window_log(WINDOW_LOG.into())?;
            writer.set_pledged_src_size(Some(bytes.len() as u64))?;
            writer.write_all(bytes)?;
            writer.finish()
        }
    }
}
