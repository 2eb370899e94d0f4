//! One file of the simulated disk: its bytes, those that are safe, and what was changed since.
//!
//! Owns which parts of a change survive on their own. Knows nothing of names.

/// What a disk writes whole or not at all, in bytes.
const SECTOR: usize = 512;

#[derive(Debug, Clone, Default)]
pub(crate) struct File {
    pub(crate) bytes: Vec<u8>,
    synced: Vec<u8>,
    unsynced: Vec<Change>,
}

impl File {
    pub(crate) fn change(&mut self, change: Change) {
        change.apply(&mut self.bytes);
        self.unsynced.push(change);
    }

    pub(crate) fn sync(&mut self) {
        for change in self.unsynced.drain(..) {
            change.apply(&mut self.synced);
        }
    }

    /// The file after a power cut: what was synced, and of what came after those parts that `keep` says.
    pub(crate) fn after(&self, mut keep: impl FnMut() -> bool) -> Self {
        let mut bytes = self.synced.clone();
        for part in self.unsynced.iter().flat_map(Change::parts) {
            if keep() {
                part.apply(&mut bytes);
            }
        }
        Self {
            synced: bytes.clone(),
            bytes,
            unsynced: Vec::new(),
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) enum Change {
    Write { at: usize, bytes: Vec<u8> },
    Length(usize),
}

impl Change {
    fn apply(&self, file: &mut Vec<u8>) {
        match self {
            Self::Write { at, bytes } => {
                if file.len() < *at {
                    file.resize(*at, 0);
                }
                // What is new isn't filled first: where nothing is optimised that takes longer than all else here.
                let over = bytes.len().min(file.len() - at);
                file[*at..at + over].copy_from_slice(&bytes[..over]);
                file.extend_from_slice(&bytes[over..]);
            }
            Self::Length(length) => file.resize(*length, 0),
        }
    }

    /// Where a file that it is applied to ends at least; a shorter one takes nothing.
    pub(crate) fn end(&self) -> usize {
        match self {
            Self::Write { at, bytes } => at + bytes.len(),
            Self::Length(_) => 0,
        }
    }

    /// The parts that survive or are lost each on their own.
    fn parts(&self) -> Vec<Self> {
        let Self::Write { at, bytes } = self else {
            return vec![self.clone()];
        };
        let mut parts = Vec::new();
        let (mut at, mut rest) = (*at, bytes.as_slice());
        while !rest.is_empty() {
            let (part, after) = rest.split_at(rest.len().min(SECTOR - at % SECTOR));
            parts.push(Self::Write {
                at,
                bytes: part.to_vec(),
            });
            at += part.len();
            rest = after;
        }
        parts
    }
}

/// SplitMix64 (Steele, Lea and Flood, 2014): all that is needed to choose what survives.
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn next(&mut self) -> bool {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) & 1 == 1
    }
}
