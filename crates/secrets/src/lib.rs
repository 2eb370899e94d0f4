//! Seals values under a ring of keys, each bound to the place that it is kept at.
//!
//! Owns the form of keys and of sealed values, and that neither shows in debug output or in an error. Pure: reads no
//! file, and knows neither the store nor who asks. Randomness is the operating system's.

#![forbid(unsafe_code)]

mod ring_of_keys;
mod seal;

pub use ring_of_keys::{KEYS_MAX, Key, KeyError, KeyFault, KeyId, KeyRing, RING_BYTES_MAX};
pub use seal::{OVERHEAD_BYTES, Place, SealError, UnsealError, key_of};
