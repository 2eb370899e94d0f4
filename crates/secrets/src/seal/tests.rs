//! What opens, and what doesn't.

use proptest::prelude::*;

use super::*;
use crate::ring_of_keys::KeyRing;

/// Made by another implementation (of ChaCha20-Poly1305 and HMAC-SHA256) from what the test below has.
const VECTOR: &str = "01f993e30548fed119404142434445464748494a4be5edcc46df5410887786644d8ed5d825f6eb94064689ad0c7b39";

fn key(byte: u8) -> Key {
    Key::of(&[byte; 32])
}

fn ring(byte: u8) -> KeyRing {
    KeyRing::new(key(byte))
}

/// A place with its own names.
struct Owned(TenantId, AppName, ConfigName, u32);

impl Owned {
    fn new(tenant: &str, app: &str, name: &str, version: u32) -> Self {
        let tenant = TenantId::new(tenant).expect("a valid tenant");
        let app = AppName::new(app).expect("a valid app");
        let name = ConfigName::new(name).expect("a valid name");
        Self(tenant, app, name, version)
    }

    fn place(&self) -> Place<'_> {
        Place {
            tenant: &self.0,
            app: &self.1,
            name: &self.2,
            version: self.3,
        }
    }
}

fn opened(ring: &KeyRing, place: &Owned, sealed: &[u8]) -> Result<String, UnsealError> {
    let value = ring.open(place.place(), sealed)?;
    Ok(value.expose_secret().to_owned())
}

#[test]
fn sealed_value_is_what_another_implementation_makes_of_it() {
    let (mut bytes, mut nonce) = ([0; 32], [0; NONCE_LEN]);
    for (number, byte) in (0..).zip(&mut bytes) {
        *byte = number;
    }
    for (number, byte) in (0x40..).zip(&mut nonce) {
        *byte = number;
    }
    let place = Owned::new("acme", "shop", "STRIPE_KEY", 7);
    let value = SecretString::from("sk_test_é");
    let sealed = seal_with(&Key::of(&bytes), nonce, place.place(), &value).unwrap();
    assert_eq!(hex::encode(&sealed), VECTOR);
    let ring = KeyRing::new(Key::of(&bytes));
    assert_eq!(opened(&ring, &place, &sealed).unwrap(), "sk_test_é");
}

#[test]
fn value_opens_at_its_own_place_alone() {
    let home = Owned::new("acme", "shop", "KEY", 1);
    let sealed = ring(1).seal(home.place(), &"value".into()).unwrap();
    assert_eq!(opened(&ring(1), &home, &sealed).unwrap(), "value");
    for elsewhere in [
        Owned::new("bob", "shop", "KEY", 1),
        Owned::new("acme", "blog", "KEY", 1),
        Owned::new("acme", "shop", "KEY2", 1),
        Owned::new("acme", "shop", "KEY", 2),
        // The same letters, divided in another way.
        Owned::new("acmes", "hop", "KEY", 1),
        Owned::new("acme", "shopk", "EY", 1),
    ] {
        let place = elsewhere.place();
        let error = opened(&ring(1), &elsewhere, &sealed);
        assert_eq!(error, Err(UnsealError::Forged), "{place}");
    }
}

#[test]
fn ring_opens_with_any_key_and_seals_with_the_first() {
    let place = Owned::new("acme", "shop", "KEY", 1);
    let old = ring(1).seal(place.place(), &"old".into()).unwrap();
    let both = ring(1).with_first(key(2)).unwrap();
    assert_eq!(opened(&both, &place, &old).unwrap(), "old");
    let new = both.seal(place.place(), &"new".into()).unwrap();
    assert_eq!(key_of(&new), Some(key(2).id()));
    let error = opened(&ring(1), &place, &new).unwrap_err();
    assert_eq!(error, UnsealError::NoKey(key(2).id()));
    assert!(error.to_string().contains(&key(2).id().to_string()));
}

#[test]
fn same_value_never_looks_the_same() {
    let place = Owned::new("acme", "shop", "KEY", 1);
    let one = ring(1).seal(place.place(), &"value".into()).unwrap();
    let two = ring(1).seal(place.place(), &"value".into()).unwrap();
    assert_ne!(one, two);
    assert_eq!(one.len(), OVERHEAD_BYTES + "value".len());
}

proptest! {
    #[test]
    fn every_text_opens_as_it_was_sealed(value in ".{0,200}", version: u32) {
        let place = Owned::new("acme", "shop", "KEY", version);
        let sealed = ring(1).seal(place.place(), &value.as_str().into()).unwrap();
        prop_assert_eq!(opened(&ring(1), &place, &sealed).unwrap(), value);
    }

    #[test]
    fn value_that_was_changed_anywhere_does_not_open(at: prop::sample::Index, change in 1_u8..) {
        let place = Owned::new("acme", "shop", "KEY", 1);
        let mut sealed = ring(1).seal(place.place(), &"a value".into()).unwrap();
        let at = at.index(sealed.len());
        sealed[at] ^= change;
        prop_assert!(opened(&ring(1), &place, &sealed).is_err());
    }

    #[test]
    fn value_that_was_cut_or_is_garbage_does_not_open(
        keep: prop::sample::Index,
        garbage in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        let place = Owned::new("acme", "shop", "KEY", 1);
        let sealed = ring(1).seal(place.place(), &"a value".into()).unwrap();
        let cut = &sealed[..keep.index(sealed.len())];
        prop_assert!(opened(&ring(1), &place, cut).is_err());
        prop_assert!(opened(&ring(1), &place, &garbage).is_err());
    }
}
