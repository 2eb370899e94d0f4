//! The record beside a compiled artifact: which file it is about, and the MAC that makes it count.
//!
//! Owns the format, the MAC and the identity of a file. Reads no record from disk and decides
//! nothing about what to do with a bad one.
//!
//! All fields have fixed lengths, so a record has one meaning only:
//!
//! ```text
//! magic (8) | component (32) | SHA-256 of the fingerprint (32) | SHA-256 of the code (32)
//! | device, inode, size (8 each) | ctime seconds, nanoseconds (8 each) | HMAC-SHA256 of all before (32)
//! ```

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};

use everwarm_manifest::Digest;
use hmac::{Hmac, Mac as _};
use secrecy::{ExposeSecret as _, SecretBox};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::Fingerprint;

/// Names the format; a record of another one is no record.
const MAGIC: &[u8; 8] = b"EWCODE\x00\x01";
const MAC_LEN: usize = 32;
const SIGNED_LEN: usize = MAGIC.len() + 3 * Digest::BYTES + 5 * size_of::<u64>();
/// Bytes of a record.
pub(super) const RECORD_LEN: usize = SIGNED_LEN + MAC_LEN;
/// Bytes read at once when a whole file is hashed.
const HASH_CHUNK: usize = 256 << 10;

/// What makes a file the same file: nothing can write to it, replace it or restore it without
/// changing one of these. The ctime can't be set by a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) device: u64,
    pub(super) inode: u64,
    pub(super) size: u64,
    pub(super) ctime_s: i64,
    pub(super) ctime_ns: i64,
}

impl Identity {
    /// The identity of an open file.
    pub(super) fn of(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        Ok(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            ctime_s: metadata.ctime(),
            ctime_ns: metadata.ctime_nsec(),
        })
    }
}

/// What a record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) component: Digest,
    pub(super) fingerprint: Fingerprint,
    /// SHA-256 of the compiled bytes.
    pub(super) code: Digest,
    pub(super) identity: Identity,
}

/// Why a record proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordFlaw {
    /// Not the length or the format of a record.
    #[error("its record is truncated or of another format")]
    Malformed,
    /// The MAC isn't ours.
    #[error("its record wasn't written by this node")]
    Forged,
    /// A record of this node, about something else.
    #[error("its record belongs to another component or another engine")]
    OfAnother,
}

/// Writes and checks records under one key.
#[derive(Clone)]
pub(super) struct Signer(Hmac<Sha256>);

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signer")
    }
}

impl Signer {
    pub(super) fn new(key: &SecretBox<[u8; 32]>) -> Self {
        let mac = Hmac::new_from_slice(key.expose_secret());
        Self(mac.expect("HMAC takes a key of any length"))
    }

    pub(super) fn sign(&self, record: &Record) -> Vec<u8> {
        let mut bytes = encode(record);
        let mac = self.0.clone().chain_update(&bytes).finalize();
        bytes.extend_from_slice(&mac.into_bytes());
        bytes
    }

    /// Reads a record that must be about `component` and `fingerprint`. The MAC is checked first,
    /// in the same time whatever it is: nothing of a forged record is looked at.
    pub(super) fn verify(
        &self,
        bytes: &[u8],
        component: Digest,
        fingerprint: &Fingerprint,
    ) -> Result<Record, RecordFlaw> {
        let bytes: &[u8; RECORD_LEN] = bytes.try_into().map_err(|_| RecordFlaw::Malformed)?;
        let (signed, mac) = bytes.split_at(SIGNED_LEN);
        if !signed.starts_with(MAGIC) {
            return Err(RecordFlaw::Malformed);
        }
        self.0
            .clone()
            .chain_update(signed)
            .verify_slice(mac)
            .map_err(|_| RecordFlaw::Forged)?;
        let mut fields = Fields(&signed[MAGIC.len()..]);
        let names: [[u8; 32]; 2] = [fields.take(), fields.take()];
        let ours = [*component.as_bytes(), hash(fingerprint)];
        if !bool::from(names.as_flattened().ct_eq(ours.as_flattened())) {
            return Err(RecordFlaw::OfAnother);
        }
        Ok(Record {
            component,
            fingerprint: fingerprint.clone(),
            code: Digest::from_bytes(fields.take()),
            identity: Identity {
                device: u64::from_le_bytes(fields.take()),
                inode: u64::from_le_bytes(fields.take()),
                size: u64::from_le_bytes(fields.take()),
                ctime_s: i64::from_le_bytes(fields.take()),
                ctime_ns: i64::from_le_bytes(fields.take()),
            },
        })
    }
}

/// See [`super::fuzz_record`].
pub(super) fn fuzz(bytes: &[u8]) {
    let signer = Signer::new(&SecretBox::new(Box::new([7; 32])));
    let component = Digest::from_bytes([1; 32]);
    let fingerprint = Fingerprint("fuzz".to_owned());
    let other_key = Signer::new(&SecretBox::new(Box::new([8; 32])));
    // As it came: nobody has the key.
    let found = other_key.verify(bytes, component, &fingerprint);
    assert!(found.is_err(), "bytes without a MAC of ours are a record");
    // With a MAC of ours: it says one thing, and says it again.
    let mut whole = bytes.to_vec();
    whole.truncate(SIGNED_LEN);
    let mac = signer.0.clone().chain_update(&whole).finalize();
    whole.extend_from_slice(&mac.into_bytes());
    if let Ok(record) = signer.verify(&whole, component, &fingerprint) {
        assert_eq!(signer.sign(&record), whole, "a record has one form");
        let other = Digest::from_bytes([2; 32]);
        let of_another = signer.verify(&whole, other, &fingerprint);
        assert_eq!(of_another.err(), Some(RecordFlaw::OfAnother));
        let forged = other_key.verify(&whole, component, &fingerprint);
        assert_eq!(forged.err(), Some(RecordFlaw::Forged));
    }
}

fn encode(record: &Record) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(RECORD_LEN);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(record.component.as_bytes());
    bytes.extend_from_slice(&hash(&record.fingerprint));
    bytes.extend_from_slice(record.code.as_bytes());
    let identity = &record.identity;
    for number in [identity.device, identity.inode, identity.size] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    for number in [identity.ctime_s, identity.ctime_ns] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    bytes
}

fn hash(fingerprint: &Fingerprint) -> [u8; 32] {
    Sha256::digest(fingerprint.as_str()).into()
}

/// The rest of a record whose length was checked.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (field, rest) = self
            .0
            .split_first_chunk()
            .expect("the fields of a record add up to its length");
        self.0 = rest;
        *field
    }
}

/// The digest of an open file's bytes, wherever its cursor is.
pub(super) fn hash_file(file: &File) -> io::Result<Digest> {
    let mut hasher = Sha256::new();
    let mut chunk = vec![0; HASH_CHUNK];
    let mut at = 0;
    loop {
        let read = file.read_at(&mut chunk, at)?;
        if read == 0 {
            return Ok(Digest::from_bytes(hasher.finalize().into()));
        }
        hasher.update(&chunk[..read]);
        at += read as u64;
    }
}
