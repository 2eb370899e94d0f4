//! The bytes of a file: which pieces they are in, kept in memory while they are asked for, within the bound of the node's
//! files. A small file is one piece. Knows no path.

use std::sync::Arc;

use bytes::Bytes;
use everwarm_bundle::{FilesError, Held, Kept, PIECE_BYTES, Part, Stored, WHOLE_BYTES_MAX};
use everwarm_manifest::Digest;

/// What is taken for the place of a piece in memory, besides its bytes.
const BYTES_PER_PIECE: u64 = 160;

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Contents {
    stored: Arc<Stored>,
    part: Part,
    pieces: Box<[Arc<Kept<Bytes>>]>,
}

/// Bytes of one piece, those that were asked for and maybe more.
pub(super) struct Piece {
    held: Arc<Held<Bytes>>,
    from: usize,
}

impl Piece {
    /// What was asked for, at most so many bytes.
    pub(super) fn bytes(&self, len_max: usize) -> Bytes {
        let to = self.held.len().min(self.from.saturating_add(len_max));
        self.held.slice(self.from.min(to)..to)
    }
}

impl Contents {
    pub(super) fn new(part: &Part, stored: &Arc<Stored>) -> Self {
        let pieces = (0..part.pieces.len().max(1)).map(|_| Arc::default());
        Self {
            stored: Arc::clone(stored),
            pieces: pieces.collect(),
            part: part.clone(),
        }
    }

    /// How many bytes it has.
    pub(super) fn length(&self) -> u64 {
        self.part.length
    }

    pub(super) fn digest(&self) -> &Digest {
        &self.part.digest
    }

    /// What it takes in memory besides the bytes that are kept.
    pub(super) fn size(&self) -> u64 {
        let digests = self.part.pieces.len() * Digest::BYTES;
        BYTES_PER_PIECE * self.pieces.len() as u64 + digests as u64
    }

    /// The piece that has a byte, and where the byte is in it. There has to be one.
    fn piece_of(&self, byte: u64) -> (usize, usize) {
        let len = match self.part.pieces.len() {
            0 => WHOLE_BYTES_MAX + 1,
            _ => PIECE_BYTES as u64,
        };
        // Both are far below what is counted in 32 bits.
        let small = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        (small(byte / len), small(byte % len))
    }

    /// The bytes from one on, if they are in memory. None at the end.
    pub(super) fn at_hand(&self, byte: u64) -> Option<Piece> {
        let (piece, from) = self.piece_of(byte);
        let guard = self.pieces.get(piece)?.get()?;
        let held = Arc::clone(guard.as_ref()?);
        Some(Piece { held, from })
    }

    /// The bytes from one on: from memory, or read from the disk and kept from now on. However many ask, they are read once,
    /// and to the end, whoever is left half-way. None at the end of the file.
    pub(super) async fn bring(&self, byte: u64) -> Result<Option<Piece>, FilesError> {
        if byte >= self.length() {
            return Ok(None);
        }
        if let Some(piece) = self.at_hand(byte) {
            return Ok(Some(piece));
        }
        let (piece, from) = self.piece_of(byte);
        let Some(kept) = self.pieces.get(piece) else {
            return Ok(None);
        };
        let read = self.stored.read(&self.part, piece);
        let read = async move {
            let bytes = read.await?;
            let size = bytes.len() as u64;
            Ok((bytes, size))
        };
        let held = kept.get_or_make(self.stored.library(), read).await?;
        Ok(Some(Piece { held, from }))
    }
}
