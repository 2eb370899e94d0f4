//! One file: written once, under a name that is no answer's until all of it is there; read by place, each piece checked. Blocks
//! whoever calls it.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::clock::Clock;
use super::form::{Digest, END_BYTES, End, HEAD_BYTES_MAX, Head, PIECE_BYTES, digest};

/// What can't be used: it isn't there, can't be read, or isn't what was written.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    /// The operating system says so.
    #[error("a file of the cache can't be read: {0}")]
    Io(#[from] io::Error),
    /// It isn't what was written.
    #[error("a file of the cache isn't what was written")]
    Torn,
}

impl Damage {
    /// Whether the file is of no use any more, and not this one read of it.
    pub fn is_lasting(&self) -> bool {
        use io::ErrorKind::{NotFound, UnexpectedEof};
        match self {
            Self::Io(error) => matches!(error.kind(), NotFound | UnexpectedEof),
            Self::Torn => true,
        }
    }
}

/// A file that is written.
#[derive(Debug)]
pub(super) struct Writing {
    file: File,
    path: PathBuf,
    piece: Vec<u8>,
    digests: Vec<Digest>,
    length: u64,
    is_done: bool,
}

/// Ends the name of a file that isn't whole yet.
pub(super) const HALF: &str = ".half";

impl Writing {
    /// Begins one that will be at `path`.
    pub(super) fn begin(path: &Path) -> io::Result<Self> {
        let mut half = path.as_os_str().to_owned();
        half.push(HALF);
        let half = PathBuf::from(half);
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&half)?;
        Ok(Self {
            file,
            path: half,
            piece: Vec::new(),
            digests: Vec::new(),
            length: 0,
            is_done: false,
        })
    }

    /// So much more of the content.
    pub(super) fn push(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        self.length += bytes.len() as u64;
        while self.piece.len() + bytes.len() >= PIECE_BYTES {
            let (now, rest) = bytes.split_at(PIECE_BYTES - self.piece.len());
            bytes = rest;
            if self.piece.is_empty() {
                self.write(now)?;
            } else {
                self.piece.extend_from_slice(now);
                let piece = std::mem::take(&mut self.piece);
                self.write(&piece)?;
            }
        }
        self.piece.extend_from_slice(bytes);
        Ok(())
    }

    fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        self.digests.push(digest(piece));
        self.file.write_all(piece)
    }

    /// All of the content was there, and this is its head. How long the file is, and its end.
    pub(super) fn finish(
        mut self,
        mut head: Head,
        clock: Clock,
        path: &Path,
    ) -> io::Result<(u64, End)> {
        let last = std::mem::take(&mut self.piece);
        if !last.is_empty() {
            self.write(&last)?;
        }
        (head.length, head.digests) = (self.length, std::mem::take(&mut self.digests));
        let head = head.encode(clock);
        let end = End::of(&head).ok_or(io::ErrorKind::FileTooLarge)?;
        self.file.write_all(&head)?;
        self.file.write_all(&end.encode())?;
        std::fs::rename(&self.path, path)?;
        self.is_done = true;
        Ok((self.length + (head.len() + END_BYTES) as u64, end))
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        if !self.is_done {
            // What is left is removed at the next start.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// A file that is read.
#[derive(Debug)]
pub(super) struct Reading {
    file: File,
    pub(super) head: Head,
}

impl Reading {
    /// Opens one, whose end is known if it was written by this process.
    pub(super) fn open(
        path: &Path,
        known: Option<End>,
        clock: Clock,
    ) -> Result<(Self, End, u64), Damage> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        let end_at = length.checked_sub(END_BYTES as u64).ok_or(Damage::Torn)?;
        let mut end = [0; END_BYTES];
        file.read_exact_at(&mut end, end_at)?;
        let end = End::decode(&end).ok_or(Damage::Torn)?;
        if known.is_some_and(|known| known != end) || end.head_length as usize > HEAD_BYTES_MAX {
            return Err(Damage::Torn);
        }
        let head_at = end_at.checked_sub(u64::from(end.head_length));
        let head_at = head_at.ok_or(Damage::Torn)?;
        let mut head = vec![0; end.head_length as usize];
        file.read_exact_at(&mut head, head_at)?;
        if digest(&head) != end.digest {
            return Err(Damage::Torn);
        }
        let head = Head::decode(&head, clock).ok_or(Damage::Torn)?;
        if head.length != head_at {
            return Err(Damage::Torn);
        }
        Ok((Self { file, head }, end, length))
    }

    /// A piece of the content.
    pub(super) fn piece(&self, number: usize) -> Result<Bytes, Damage> {
        let mut piece = vec![0; self.piece_length(number)?];
        self.read_piece(number, &mut piece)?;
        Ok(piece.into())
    }

    /// All of the content.
    pub(super) fn whole(&self) -> Result<Bytes, Damage> {
        let length = usize::try_from(self.head.length).map_err(|_| Damage::Torn)?;
        let mut whole = vec![0; length];
        for (number, piece) in whole.chunks_mut(PIECE_BYTES).enumerate() {
            self.read_piece(number, piece)?;
        }
        Ok(whole.into())
    }

    fn piece_length(&self, number: usize) -> Result<usize, Damage> {
        let before = number as u64 * PIECE_BYTES as u64;
        let left = self.head.length.checked_sub(before).ok_or(Damage::Torn)?;
        Ok(usize::try_from(left).unwrap_or(usize::MAX).min(PIECE_BYTES))
    }

    fn read_piece(&self, number: usize, piece: &mut [u8]) -> Result<(), Damage> {
        let expected = self.head.digests.get(number).ok_or(Damage::Torn)?;
        self.file
            .read_exact_at(piece, number as u64 * PIECE_BYTES as u64)?;
        if digest(piece) == *expected {
            Ok(())
        } else {
            Err(Damage::Torn)
        }
    }
}
