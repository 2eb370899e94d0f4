//! From an archive to what is in it: where each file is, and the digests by which its bytes are known again.
//!
//! Takes nothing on trust. The blocks of the `tar` are read here one by one, so that nothing that a `tar` may have besides
//! (links, devices, sparse files, extended heads) is understood at all.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read};

use everwarm_manifest::{AssetPath, ByteSize, Digest};
use sha2::{Digest as _, Sha256};
use tar::{EntryType, Header};

use crate::{
    BLOCK, BUNDLE_BYTES_MAX, BundleError, Coding, FILE_BYTES_MAX, FILES, FILES_BYTES_MAX,
    FILES_MAX, FOLDERS_MAX, PIECE_BYTES, WHOLE_BYTES_MAX,
};

/// The longest name of an entry: a folder, a path and the NUL at its end.
const NAME_BYTES_MAX: u64 = 16 + everwarm_manifest::assets::PATH_BYTES_MAX as u64;
/// The name that is shown of an entry, in characters.
const SHOWN_CHARS_MAX: usize = 200;

/// What an archive has.
#[derive(Debug)]
pub struct Contents {
    /// The digest of the whole archive.
    pub digest: Digest,
    /// Its files, by path.
    pub files: BTreeMap<AssetPath, File>,
}

/// A file.
#[derive(Debug)]
pub struct File {
    /// Its own bytes.
    pub plain: Part,
    /// What was compressed of it, the smallest first.
    pub variants: Vec<(Coding, Part)>,
}

/// Bytes in the archive.
#[derive(Debug, Clone)]
pub struct Part {
    /// Where they begin.
    pub offset: u64,
    /// How many they are.
    pub length: u64,
    /// The digest of all of them.
    pub digest: Digest,
    /// That of each piece of [`PIECE_BYTES`], for more than [`WHOLE_BYTES_MAX`].
    pub pieces: Box<[Digest]>,
}

/// Reads an archive to its end and checks all of it.
///
/// # Errors
///
/// [`BundleError`] says what is wrong; nothing of it may be served then.
pub fn read(archive: impl Read) -> Result<Contents, BundleError> {
    let mut blocks = Blocks {
        inner: archive,
        hasher: Sha256::new(),
        at: 0,
    };
    let mut entries = Entries::default();
    let mut long_name = None;
    loop {
        let block = blocks.block()?;
        if block.iter().all(|byte| *byte == 0) {
            break;
        }
        let header = Header::from_byte_slice(&block);
        check_sum(header)?;
        let size = header
            .entry_size()
            .map_err(|_| BundleError::Form("a head has no size"))?;
        if header.entry_type() == EntryType::GNULongName && long_name.is_none() {
            long_name = Some(blocks.long_name(size)?);
            continue;
        }
        let name = long_name
            .take()
            .unwrap_or_else(|| header.path_bytes().into_owned());
        let name = entry_name(name, header.entry_type())?;
        entries.add(&name, size, &mut blocks)?;
    }
    // Two blocks of zeros are its end, and nothing comes after.
    if long_name.is_some() || blocks.block()?.iter().any(|byte| *byte != 0) {
        return Err(BundleError::Form("its end isn't where it says"));
    }
    blocks.end()?;
    Ok(Contents {
        digest: Digest::from_bytes(blocks.hasher.finalize().into()),
        files: entries.finish()?,
    })
}

fn check_sum(header: &Header) -> Result<(), BundleError> {
    const SUM: std::ops::Range<usize> = 148..156;
    let bytes = header.as_bytes().iter().enumerate();
    // The sum's own bytes count as spaces.
    let sum: u32 = bytes
        .map(|(at, byte)| u32::from(if SUM.contains(&at) { b' ' } else { *byte }))
        .sum();
    if header.cksum().ok() == Some(sum) {
        Ok(())
    } else {
        Err(BundleError::Form("a head is damaged"))
    }
}

/// The name of an entry that is a file.
fn entry_name(name: Vec<u8>, kind: EntryType) -> Result<String, BundleError> {
    let what = match kind {
        EntryType::Regular => None,
        EntryType::Link | EntryType::Symlink => Some("a link"),
        EntryType::Char | EntryType::Block => Some("a device"),
        EntryType::Directory => Some("a folder"),
        EntryType::Fifo => Some("a pipe"),
        _ => Some("of a kind that isn't known"),
    };
    if let Some(what) = what {
        let name = shown(&name);
        return Err(BundleError::NoFile { name, what });
    }
    String::from_utf8(name).map_err(|error| BundleError::NotUtf8 {
        name: shown(error.as_bytes()),
    })
}

fn shown(name: &[u8]) -> String {
    let name = String::from_utf8_lossy(name);
    name.escape_debug().take(SHOWN_CHARS_MAX).collect()
}

/// Reads blocks, and hashes all that it reads.
struct Blocks<R> {
    inner: R,
    hasher: Sha256,
    at: u64,
}

impl<R: Read> Blocks<R> {
    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), BundleError> {
        self.at += buffer.len() as u64;
        if self.at > BUNDLE_BYTES_MAX {
            return Err(BundleError::TooLarge);
        }
        self.inner
            .read_exact(buffer)
            .map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => BundleError::Truncated,
                _ => BundleError::Io(error),
            })?;
        self.hasher.update(&*buffer);
        Ok(())
    }

    fn block(&mut self) -> Result<[u8; BLOCK], BundleError> {
        let mut block = [0; BLOCK];
        self.fill(&mut block)?;
        Ok(block)
    }

    /// What fills the last block of so many bytes.
    fn padding(&mut self, size: u64) -> Result<(), BundleError> {
        let over = usize::try_from(size % BLOCK as u64).unwrap_or(0);
        if over == 0 {
            return Ok(());
        }
        let mut padding = vec![0; BLOCK - over];
        self.fill(&mut padding)
    }

    fn long_name(&mut self, size: u64) -> Result<Vec<u8>, BundleError> {
        if size > NAME_BYTES_MAX {
            return Err(BundleError::Form("a path in it is too long"));
        }
        let mut name = vec![0; usize::try_from(size).unwrap_or(0)];
        self.fill(&mut name)?;
        self.padding(size)?;
        // It has the NUL of a C string; any other is found to be none of a path.
        if name.last() == Some(&0) {
            name.pop();
        }
        Ok(name)
    }

    fn part(&mut self, length: u64) -> Result<Part, BundleError> {
        let offset = self.at;
        let in_pieces = length > WHOLE_BYTES_MAX;
        let (mut whole, mut pieces) = (Sha256::new(), Vec::new());
        let mut piece = vec![0; PIECE_BYTES];
        let mut left = length;
        while left > 0 {
            let take = usize::try_from(left).map_or(PIECE_BYTES, |left| left.min(PIECE_BYTES));
            let piece = &mut piece[..take];
            self.fill(piece)?;
            whole.update(&*piece);
            if in_pieces {
                pieces.push(Digest::from_bytes(Sha256::digest(&*piece).into()));
            }
            left -= take as u64;
        }
        self.padding(length)?;
        Ok(Part {
            offset,
            length,
            digest: Digest::from_bytes(whole.finalize().into()),
            pieces: pieces.into(),
        })
    }

    /// That nothing comes any more.
    fn end(&mut self) -> Result<(), BundleError> {
        let mut more = [0];
        match self.inner.read(&mut more) {
            Ok(0) => Ok(()),
            Ok(_) => Err(BundleError::Form("it goes on after its end")),
            Err(error) => Err(BundleError::Io(error)),
        }
    }
}

#[derive(Default)]
struct Entries {
    files: BTreeMap<AssetPath, Part>,
    variants: BTreeMap<AssetPath, Vec<(Coding, Part)>>,
    /// In lower case, with the name as it came.
    seen: HashMap<String, String>,
    bytes: u64,
}

impl Entries {
    fn add(
        &mut self,
        name: &str,
        size: u64,
        blocks: &mut Blocks<impl Read>,
    ) -> Result<(), BundleError> {
        let (folder, path) = name
            .split_once('/')
            .ok_or(BundleError::Form("a file is in none of its folders"))?;
        let coding = Coding::ALL
            .into_iter()
            .find(|coding| coding.as_str() == folder);
        if coding.is_none() && folder != FILES {
            return Err(BundleError::Form("a file is in none of its folders"));
        }
        let path = AssetPath::new(path).map_err(|reason| BundleError::Path {
            name: shown(path.as_bytes()),
            reason,
        })?;
        if let Some(first) = self.seen.insert(name.to_lowercase(), name.to_owned()) {
            return Err(BundleError::Twice {
                name: shown(first.as_bytes()),
                other: shown(name.as_bytes()),
            });
        }
        if coding.is_none() && self.files.len() == FILES_MAX {
            return Err(BundleError::TooMany);
        }
        if size > FILE_BYTES_MAX {
            return Err(BundleError::FileTooLarge {
                name: shown(path.as_str().as_bytes()),
                size: ByteSize::new(size),
            });
        }
        self.bytes += size;
        if self.bytes > FILES_BYTES_MAX {
            return Err(BundleError::TooLarge);
        }
        let part = blocks.part(size)?;
        match coding {
            None => {
                self.files.insert(path, part);
            }
            Some(coding) => self.variants.entry(path).or_default().push((coding, part)),
        }
        Ok(())
    }

    fn finish(mut self) -> Result<BTreeMap<AssetPath, File>, BundleError> {
        self.check_folders()?;
        let mut files = BTreeMap::new();
        for (path, plain) in self.files {
            let mut variants = self.variants.remove(&path).unwrap_or_default();
            variants.sort_by_key(|(coding, part)| (part.length, *coding));
            if variants.iter().any(|(_, part)| part.length >= plain.length) {
                return Err(BundleError::Variant {
                    name: path.to_string(),
                });
            }
            files.insert(path, File { plain, variants });
        }
        match self.variants.into_keys().next() {
            None => Ok(files),
            Some(path) => Err(BundleError::Variant {
                name: path.to_string(),
            }),
        }
    }

    /// No file is a folder of another one, and there aren't too many folders.
    fn check_folders(&self) -> Result<(), BundleError> {
        let (mut before, mut folders) = ("", 0);
        for path in self.files.keys() {
            let text = path.as_str();
            // What is in a folder comes in a row: those that the path before has too were looked at with it.
            let pairs = before.bytes().zip(text.bytes());
            let alike = pairs.take_while(|(one, other)| one == other).count();
            before = text;
            for (slash, _) in text.match_indices('/').filter(|(slash, _)| *slash >= alike) {
                folders += 1;
                if folders > FOLDERS_MAX {
                    return Err(BundleError::TooManyFolders);
                }
                let folder = format!("{FILES}/{}", &text[..slash]).to_lowercase();
                if let Some(file) = self.seen.get(&folder) {
                    return Err(BundleError::Twice {
                        name: shown(file.as_bytes()),
                        other: shown(text.as_bytes()),
                    });
                }
            }
        }
        Ok(())
    }
}
