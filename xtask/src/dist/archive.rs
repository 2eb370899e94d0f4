//! The bytes of the archive: a gzipped tar whose bytes depend on what is in it and on nothing else, as names are
//! sorted and owners and times are fixed.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io;
use std::path::Path;

use anyhow::Context;
use flate2::{Compression, GzBuilder};
use sha2::{Digest as _, Sha256};

/// The list of checksums of all other files, as `sha256sum -c` reads it.
const SUMS: &str = "SHA256SUMS";
const MODE_PROGRAM: u32 = 0o755;
const MODE_FILE: u32 = 0o644;
/// When everything was last changed: 2020-01-01, since tools warn of 1970.
const TIME: u64 = 1_577_836_800;

/// What is in the archive, by name.
#[derive(Debug, Default)]
pub(super) struct Contents(BTreeMap<String, Entry>);

#[derive(Debug)]
struct Entry {
    bytes: Vec<u8>,
    mode: u32,
}

impl Contents {
    pub(super) fn add(&mut self, name: &str, bytes: Vec<u8>) {
        let mode = MODE_FILE;
        self.0.insert(name.to_owned(), Entry { bytes, mode });
    }

    pub(super) fn add_program(&mut self, name: &str, bytes: Vec<u8>) {
        let mode = MODE_PROGRAM;
        self.0.insert(name.to_owned(), Entry { bytes, mode });
    }

    /// Writes it all below one folder, and returns the checksum of the archive.
    pub(super) fn write(mut self, path: &Path, folder: &str) -> anyhow::Result<String> {
        let sums = self.sums()?;
        self.add(SUMS, sums.into_bytes());
        let write = || -> io::Result<()> {
            let file = File::create(path)?;
            let gzip = GzBuilder::new().write(file, Compression::best());
            let mut tar = tar::Builder::new(gzip);
            for (name, entry) in &self.0 {
                let mut header = tar::Header::new_ustar();
                header.set_size(entry.bytes.len() as u64);
                header.set_mode(entry.mode);
                header.set_mtime(TIME);
                tar.append_data(
                    &mut header,
                    format!("{folder}/{name}"),
                    entry.bytes.as_slice(),
                )?;
            }
            tar.into_inner()?.finish()?.sync_all()
        };
        write().with_context(|| format!("could not write {}", path.display()))?;
        let bytes = fs::read(path).with_context(|| format!("could not read {}", path.display()))?;
        Ok(sha256(&bytes))
    }

    fn sums(&self) -> anyhow::Result<String> {
        let mut sums = String::new();
        for (name, entry) in &self.0 {
            writeln!(sums, "{}  {name}", sha256(&entry.bytes))?;
        }
        Ok(sums)
    }
}

fn sha256(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String can't fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archive_of_the_same_contents_has_the_same_bytes() {
        let folder = std::env::temp_dir().join(format!("everwarm-archive-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a temporary folder can be made");
        let write = |name: &str, files: &[&str]| {
            let mut contents = Contents::default();
            for file in files {
                contents.add(file, file.as_bytes().to_vec());
            }
            let digest = contents.write(&folder.join(name), "x");
            digest.expect("a temporary folder can be written to")
        };
        let first = write("1", &["a", "b/c"]);
        assert_eq!(first, write("2", &["b/c", "a"]));
        assert_ne!(first, write("3", &["a"]));
        fs::remove_dir_all(&folder).expect("it can be removed again");
    }
}
