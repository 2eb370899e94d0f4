//! Sealed values: ChaCha20-Poly1305 (RFC 8439) under a key of a ring, with a random nonce.
//!
//! ```text
//! 1 byte     the form: 1
//! 8 bytes    the name of the key
//! 12 bytes   the nonce
//! the rest   the value, encrypted, and 16 bytes of tag
//! ```
//!
//! The tag covers the place too (tenant, app, name, version): a value that was moved to another place doesn't open
//! there. With random nonces one key may seal 2^32 values, which no node does.

use std::fmt;

use everwarm_manifest::{AppName, ConfigName, TenantId};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroize as _;

use crate::ring_of_keys::{ID_BYTES, Key, KeyId, KeyRing};

/// The form that this is.
const FORM: u8 = 1;
const HEAD_BYTES: usize = 1 + ID_BYTES + NONCE_LEN;
const TAG_BYTES: usize = 16;
/// Bytes that a sealed value has more than the value.
pub const OVERHEAD_BYTES: usize = HEAD_BYTES + TAG_BYTES;

/// Where a sealed value is kept.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// Whose app.
    pub tenant: &'a TenantId,
    /// The app.
    pub app: &'a AppName,
    /// The secret.
    pub name: &'a ConfigName,
    /// Its version.
    pub version: u32,
}

impl Place<'_> {
    /// What the tag covers besides the value: no two places have the same.
    fn bound_with(&self, head: &[u8]) -> Vec<u8> {
        let mut bound = b"everwarm secret\0".to_vec();
        bound.extend(head);
        for part in [self.tenant.as_str(), self.app.as_str(), self.name.as_str()] {
            bound.extend((part.len() as u64).to_le_bytes());
            bound.extend(part.as_bytes());
        }
        bound.extend(self.version.to_le_bytes());
        bound
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            tenant,
            app,
            name,
            version,
        } = self;
        write!(f, "{tenant}/{app}/{name} version {version}")
    }
}

/// A value can't be sealed.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// No nonce.
    #[error("the operating system gave no random numbers to seal a secret with")]
    Random(#[source] getrandom::Error),
    /// Which no value of a length that is allowed brings about.
    #[error("the secret can't be encrypted")]
    Cipher,
}

/// A sealed value can't be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnsealError {
    /// It doesn't have the form.
    #[error("what is kept of it is no sealed value")]
    Form,
    /// The ring hasn't its key.
    #[error("it is sealed with the key {0}, which this node doesn't have")]
    NoKey(KeyId),
    /// It was changed, or belongs somewhere else.
    #[error("what is kept of it was changed, or is another secret's")]
    Forged,
}

impl KeyRing {
    /// Seals a value for a place.
    ///
    /// # Errors
    /// [`SealError`].
    pub fn seal(&self, place: Place<'_>, value: &SecretString) -> Result<Vec<u8>, SealError> {
        let mut nonce = [0; NONCE_LEN];
        getrandom::fill(&mut nonce).map_err(SealError::Random)?;
        seal_with(self.first(), nonce, place, value)
    }

    /// Opens what was sealed for a place.
    ///
    /// # Errors
    /// [`UnsealError`].
    pub fn open(&self, place: Place<'_>, sealed: &[u8]) -> Result<SecretString, UnsealError> {
        let id = key_of(sealed).ok_or(UnsealError::Form)?;
        let key = self.get(id).ok_or(UnsealError::NoKey(id))?;
        let (head, rest) = sealed.split_at(HEAD_BYTES);
        let nonce = Nonce::try_assume_unique_for_key(&head[1 + ID_BYTES..]);
        let nonce = nonce.map_err(|_| UnsealError::Form)?;
        let bound = Aad::from(place.bound_with(head));
        let mut bytes = rest.to_vec();
        let cipher = cipher(key).ok_or(UnsealError::Form)?;
        let opened = cipher.open_in_place(nonce, bound, &mut bytes);
        let text = opened
            .map_err(|_| UnsealError::Forged)
            .and_then(|value| std::str::from_utf8(value).map_err(|_| UnsealError::Form))
            .map(SecretString::from);
        bytes.zeroize();
        text
    }
}

/// The key that sealed a value; `None` when it is no sealed value.
pub fn key_of(sealed: &[u8]) -> Option<KeyId> {
    if sealed.len() < OVERHEAD_BYTES || sealed[0] != FORM {
        return None;
    }
    let id = sealed[1..].first_chunk()?;
    Some(KeyId(*id))
}

fn cipher(key: &Key) -> Option<LessSafeKey> {
    let unbound = UnboundKey::new(&CHACHA20_POLY1305, &*key.sealing());
    unbound.ok().map(LessSafeKey::new)
}

fn seal_with(
    key: &Key,
    nonce: [u8; NONCE_LEN],
    place: Place<'_>,
    value: &SecretString,
) -> Result<Vec<u8>, SealError> {
    let value = value.expose_secret().as_bytes();
    let mut sealed = Vec::with_capacity(OVERHEAD_BYTES + value.len());
    sealed.push(FORM);
    sealed.extend(key.id().0);
    sealed.extend(nonce);
    let bound = Aad::from(place.bound_with(&sealed));
    // Encrypted where it stands: no copy of the value is left behind.
    sealed.extend(value);
    let cipher = cipher(key).ok_or(SealError::Cipher)?;
    let nonce = Nonce::assume_unique_for_key(nonce);
    let tag = cipher.seal_in_place_separate_tag(nonce, bound, &mut sealed[HEAD_BYTES..]);
    let tag = tag.map_err(|_| SealError::Cipher)?;
    sealed.extend(tag.as_ref());
    Ok(sealed)
}

#[cfg(test)]
mod tests;
