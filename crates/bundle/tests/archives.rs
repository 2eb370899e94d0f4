//! What is packed is read again, and what a stranger makes is refused with what is wrong in it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use everwarm_bundle::{BundleError, Coding, FILE_BYTES_MAX, FILES_MAX, FOLDERS_MAX, Packer, read};
use everwarm_manifest::AssetPath;
use proptest::prelude::*;
use tar::{Builder, EntryType, Header};

fn path(text: &str) -> AssetPath {
    AssetPath::new(text).unwrap()
}

fn packed(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut packer = Packer::default();
    for (name, bytes) in files {
        packer.add(&path(name), bytes.to_vec()).unwrap();
    }
    packer.finish().unwrap()
}

/// An archive with one entry, whatever its name and kind.
fn hostile(name: &[u8], kind: EntryType) -> Vec<u8> {
    let mut header = Header::new_gnu();
    header.as_mut_bytes()[..name.len()].copy_from_slice(name);
    header.set_entry_type(kind);
    header.set_size(if kind == EntryType::Regular { 2 } else { 0 });
    header.set_cksum();
    let mut archive = Builder::new(Vec::new());
    let body: &[u8] = if kind == EntryType::Regular {
        b"hi"
    } else {
        b""
    };
    archive.append(&header, body).unwrap();
    archive.into_inner().unwrap()
}

fn error(archive: &[u8]) -> BundleError {
    read(archive).expect_err("it is refused")
}

#[test]
fn what_is_packed_is_read_again_and_in_any_order_the_same() {
    let long = format!("public/{}{}.txt", "deep/".repeat(40), "n".repeat(200));
    let files: [(&str, &[u8]); 4] = [
        ("public/index.html", b"<html>"),
        (&long, b"long"),
        ("public/empty", b""),
        ("public/caf\u{e9}.txt", b"caf\xc3\xa9"),
    ];
    let archive = packed(&files);
    let mut other = files;
    other.reverse();
    assert_eq!(archive, packed(&other));
    let contents = read(&*archive).unwrap();
    assert_eq!(contents.files.len(), 4);
    for (name, bytes) in files {
        let part = &contents.files[&path(name)].plain;
        let from = usize::try_from(part.offset).unwrap();
        assert_eq!(&archive[from..from + bytes.len()], bytes);
        assert_eq!(part.length, bytes.len() as u64);
    }
}

#[test]
fn variants_are_with_their_file_the_smallest_first() {
    let mut packer = Packer::default();
    let name = path("a.js");
    packer.add(&name, vec![b'a'; 100]).unwrap();
    packer
        .add_variant(&name, Coding::Gzip, vec![1; 30])
        .unwrap();
    packer
        .add_variant(&name, Coding::Brotli, vec![2; 40])
        .unwrap();
    let contents = read(&*packer.finish().unwrap()).unwrap();
    let codings: Vec<_> = contents.files[&name]
        .variants
        .iter()
        .map(|(coding, _)| *coding)
        .collect();
    assert_eq!(codings, [Coding::Gzip, Coding::Brotli]);
}

#[test]
fn variant_without_a_larger_file_is_refused() {
    let mut packer = Packer::default();
    packer
        .add_variant(&path("a.js"), Coding::Gzip, vec![1])
        .unwrap();
    assert!(matches!(
        error(&packer.finish().unwrap()),
        BundleError::Variant { .. }
    ));
    let mut packer = Packer::default();
    packer.add(&path("a.js"), vec![1]).unwrap();
    packer
        .add_variant(&path("a.js"), Coding::Gzip, vec![1])
        .unwrap();
    assert!(matches!(
        error(&packer.finish().unwrap()),
        BundleError::Variant { .. }
    ));
}

#[test]
fn tricks_with_paths_are_refused() {
    for name in [
        &b"files/../up"[..],
        b"files/a/../../up",
        b"files//etc/passwd",
        b"/files/a",
        b"files/a\\b",
        b"files/a/",
        b"files/./a",
        b"files/",
        b"files",
        b"other/a",
        b"../files/a",
        b"files/a\x1b",
        b"files/\xff\xfe",
    ] {
        let error = error(&hostile(name, EntryType::Regular));
        assert_eq!(
            error.code(),
            "EW2013",
            "{}: {error}",
            String::from_utf8_lossy(name)
        );
    }
    // A NUL ends a short name; in a long one it would be a part of it.
    let mut archive = Builder::new(Vec::new());
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::GNULongName);
    let name = b"files/a\0b\0";
    header.set_size(name.len() as u64);
    header.set_cksum();
    archive.append(&header, &name[..]).unwrap();
    let mut archive = archive.into_inner().unwrap();
    archive.truncate(1_024);
    archive.extend(hostile(b"files/x", EntryType::Regular));
    assert!(matches!(error(&archive), BundleError::Path { .. }));
}

#[test]
fn what_is_no_file_is_refused() {
    for (kind, word) in [
        (EntryType::Symlink, "a link"),
        (EntryType::Link, "a link"),
        (EntryType::Char, "a device"),
        (EntryType::Block, "a device"),
        (EntryType::Fifo, "a pipe"),
        (EntryType::Directory, "a folder"),
        (EntryType::XHeader, "isn't known"),
        (EntryType::GNUSparse, "isn't known"),
    ] {
        let error = error(&hostile(b"files/a", kind));
        assert!(error.to_string().contains(word), "{error}");
        assert_eq!(error.code(), "EW2013");
    }
}

#[test]
fn two_files_that_some_systems_take_for_one_are_refused() {
    for (one, other) in [("a", "A"), ("\u{e9}", "\u{c9}"), ("a", "a/b"), ("A", "a/b")] {
        let error = error(&packed(&[(one, b""), (other, b"")]));
        assert!(
            matches!(error, BundleError::Twice { .. }),
            "{one} {other}: {error}"
        );
    }
    let mut twice = hostile(b"files/a", EntryType::Regular);
    twice.truncate(1_024);
    twice.extend(hostile(b"files/a", EntryType::Regular));
    assert!(matches!(error(&twice), BundleError::Twice { .. }));
}

#[test]
fn archive_that_was_cut_or_goes_on_is_refused_wherever() {
    let archive = packed(&[("a", &[7; 700]), ("b", b"b")]);
    for end in (0..archive.len()).step_by(64) {
        let error = error(&archive[..end]);
        assert!(matches!(error, BundleError::Truncated), "{end}: {error}");
    }
    let mut longer = archive.clone();
    longer.push(0);
    assert_eq!(error(&longer).code(), "EW2013");
}

#[test]
fn limits_are_told_before_anything_is_read_for_them() {
    let mut header = Header::new_gnu();
    header.set_path("files/a").unwrap();
    header.set_size(FILE_BYTES_MAX + 1);
    header.set_cksum();
    let error = error(header.as_bytes());
    assert_eq!(error.code(), "EW2014");
    assert!(matches!(error, BundleError::FileTooLarge { .. }), "{error}");

    let mut packer = Packer::default();
    let added =
        (0..=FILES_MAX).try_for_each(|number| packer.add(&path(&number.to_string()), Vec::new()));
    assert!(matches!(added, Err(BundleError::TooMany)));
}

/// An archive of files that are in so many folders, most of them three deep.
fn in_folders(folders: usize) -> Vec<u8> {
    let mut packer = Packer::default();
    let files = (0..folders / 3).map(|number| format!("{number}/a/b/file"));
    let rest = (0..folders % 3).map(|number| format!("rest{number}/file"));
    for file in files.chain(rest) {
        packer.add(&path(&file), Vec::new()).unwrap();
    }
    packer.finish().unwrap()
}

#[test]
fn folders_are_counted_once_and_bounded() {
    let most = read(&*in_folders(FOLDERS_MAX)).unwrap();
    assert!(most.files.len() <= FILES_MAX);
    let error = error(&in_folders(FOLDERS_MAX + 1));
    assert_eq!(error.code(), "EW2014");
    assert!(matches!(error, BundleError::TooManyFolders), "{error}");
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..3_000)) {
        let _ = read(&*bytes);
    }

    #[test]
    fn flipped_byte_is_refused_or_gives_another_digest(at: proptest::sample::Index, flip in 1_u8..) {
        let archive = packed(&[("a", b"one"), ("b/c", &[1; 600])]);
        let digest = read(&*archive).unwrap().digest;
        let mut other = archive.clone();
        other[at.index(archive.len())] ^= flip;
        if let Ok(contents) = read(&*other) {
            prop_assert_ne!(contents.digest, digest);
        }
    }
}
