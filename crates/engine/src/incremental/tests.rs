//! Tests of the incremental cache through what Wasmtime sees of it.

use std::fs;
use std::path::Path;

use secrecy::SecretBox;
use wasmtime::CacheStore as _;

use super::IncrementalCache;

fn key(byte: u8) -> SecretBox<[u8; 32]> {
    SecretBox::new(Box::new([byte; 32]))
}

fn load(dir: &Path) -> IncrementalCache {
    IncrementalCache::load(dir, &key(1)).unwrap()
}

/// Puts values under keys of their first byte, and saves.
fn save(cache: &IncrementalCache, values: &[&[u8]]) {
    for value in values {
        assert!(cache.insert(&[value[0]; 32], value.to_vec()));
    }
    cache.save().unwrap();
}

fn get(cache: &IncrementalCache, first: u8) -> Option<Vec<u8>> {
    cache.get(&[first; 32]).map(std::borrow::Cow::into_owned)
}

fn file(dir: &Path) -> std::path::PathBuf {
    dir.join("incremental.cache")
}

#[test]
fn what_one_process_saves_the_next_one_finds() {
    let dir = tempfile::tempdir().unwrap();
    save(&load(dir.path()), &[b"alpha", b"beta"]);
    let cache = load(dir.path());
    assert_eq!(get(&cache, b'a').as_deref(), Some(&b"alpha"[..]));
    assert_eq!(get(&cache, b'b').as_deref(), Some(&b"beta"[..]));
    assert_eq!(get(&cache, b'c'), None);
    assert_eq!((cache.reuse().hits, cache.reuse().looked_up), (2, 3));
}

#[test]
fn processes_that_compile_at_once_keep_each_others_entries() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (load(dir.path()), load(dir.path()));
    save(&two, &[b"beta"]);
    save(&one, &[b"alpha"]);
    let cache = load(dir.path());
    assert_eq!(get(&cache, b'a').as_deref(), Some(&b"alpha"[..]));
    assert_eq!(get(&cache, b'b').as_deref(), Some(&b"beta"[..]));
}

#[test]
fn changed_byte_anywhere_never_changes_what_is_found() {
    let dir = tempfile::tempdir().unwrap();
    save(&load(dir.path()), &[b"alpha", b"beta"]);
    let bytes = fs::read(file(dir.path())).unwrap();
    for index in 0..bytes.len() {
        let mut forged = bytes.clone();
        forged[index] ^= 0x40;
        fs::write(file(dir.path()), forged).unwrap();
        let cache = load(dir.path());
        for (first, value) in [(b'a', &b"alpha"[..]), (b'b', b"beta")] {
            let found = get(&cache, first);
            assert!(
                found.is_none() || found.as_deref() == Some(value),
                "byte {index}"
            );
        }
        let hits = cache.reuse().hits;
        assert!(hits < 2, "byte {index} belongs to no entry");
    }
}

#[test]
fn entries_of_another_key_are_not_used() {
    let dir = tempfile::tempdir().unwrap();
    save(&load(dir.path()), &[b"alpha"]);
    let other = IncrementalCache::load(dir.path(), &key(2)).unwrap();
    assert_eq!(get(&other, b'a'), None);
}

#[test]
fn value_moved_under_another_name_is_not_used() {
    let dir = tempfile::tempdir().unwrap();
    save(&load(dir.path()), &[b"alpha"]);
    let mut bytes = fs::read(file(dir.path())).unwrap();
    bytes[8..40].fill(b'z');
    fs::write(file(dir.path()), bytes).unwrap();
    assert_eq!(get(&load(dir.path()), b'z'), None);
}

#[test]
fn torn_tail_is_ignored_and_cut_off_by_the_next_append() {
    let dir = tempfile::tempdir().unwrap();
    save(&load(dir.path()), &[b"alpha"]);
    let whole = fs::metadata(file(dir.path())).unwrap().len();
    save(&load(dir.path()), &[b"beta"]);
    let bytes = fs::read(file(dir.path())).unwrap();
    for len in usize::try_from(whole).unwrap()..bytes.len() {
        fs::write(file(dir.path()), &bytes[..len]).unwrap();
        let torn = load(dir.path());
        assert_eq!(get(&torn, b'a').as_deref(), Some(&b"alpha"[..]));
        assert_eq!(get(&torn, b'b'), None);
        save(&torn, &[b"gamma"]);
        let cache = load(dir.path());
        assert_eq!(
            get(&cache, b'a').as_deref(),
            Some(&b"alpha"[..]),
            "cut at {len}"
        );
        assert_eq!(
            get(&cache, b'g').as_deref(),
            Some(&b"gamma"[..]),
            "cut at {len}"
        );
    }
}

#[test]
fn file_of_another_format_is_started_over() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(file(dir.path()), b"something else entirely").unwrap();
    let cache = load(dir.path());
    assert_eq!(get(&cache, b'a'), None);
    save(&cache, &[b"alpha"]);
    assert_eq!(get(&load(dir.path()), b'a').as_deref(), Some(&b"alpha"[..]));
}

#[test]
fn full_file_starts_over_with_what_the_last_compile_used_and_made() {
    let dir = tempfile::tempdir().unwrap();
    let bounded = || IncrementalCache::load_bounded(dir.path(), &key(1), 400).unwrap();
    save(&bounded(), &[&[b'a'; 100], &[b'b'; 100]]);
    let cache = bounded();
    assert!(get(&cache, b'b').is_some());
    save(&cache, &[&[b'c'; 100]]);
    assert!(fs::metadata(file(dir.path())).unwrap().len() <= 400);
    let cache = bounded();
    assert_eq!(get(&cache, b'a'), None, "the last compile didn't use it");
    assert!(get(&cache, b'b').is_some() && get(&cache, b'c').is_some());
}
