//! Paths through an index, and the bytes of files in a bundle on the disk. What guests see of it is in `e2e`.

use std::path::PathBuf;
use std::sync::Arc;

use everwarm_bundle::{Bundles, Contents, FilesError, Library, PIECE_BYTES, Packer, Stored};
use everwarm_manifest::{AssetPath, Digest, TenantId};
use proptest::prelude::*;
use tempfile::NamedTempFile;

use super::{FileError, NodeId, Tree};

struct Here(PathBuf);

impl Bundles for Here {
    fn local_file(&self, _: &TenantId, _: Digest) -> PathBuf {
        self.0.clone()
    }
}

/// A bundle of these files on the disk.
struct Packed {
    file: NamedTempFile,
    digest: Digest,
}

impl Packed {
    fn new(files: &[(&str, Vec<u8>)]) -> Self {
        let mut packer = Packer::default();
        for (path, bytes) in files {
            packer
                .add(&AssetPath::new(path).unwrap(), bytes.clone())
                .unwrap();
        }
        let bytes = packer.finish().unwrap();
        let file = NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &bytes).unwrap();
        let digest = everwarm_bundle::read(&*bytes).unwrap().digest;
        Self { file, digest }
    }

    fn library(&self, bytes_max: u64) -> Arc<Library> {
        Library::new(Arc::new(Here(self.file.path().to_owned())), bytes_max)
    }

    async fn open(&self, library: &Arc<Library>) -> Result<Tree, FilesError> {
        let tenant = TenantId::new("t").unwrap();
        let index = |stored: &Arc<Stored>, contents: &Contents| Tree::of(contents, stored);
        Stored::open(library, &tenant, self.digest, index).await
    }
}

fn tree(paths: &[&str]) -> Tree {
    let files: Vec<_> = paths
        .iter()
        .map(|path| (*path, path.as_bytes().to_vec()))
        .collect();
    let packed = Packed::new(&files);
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let library = packed.library(1 << 20);
    let opened = packed.open(&library);
    runtime.unwrap().block_on(opened).unwrap()
}

const FILES: &[&str] = &[
    "data/a.txt",
    "data/b/c.txt",
    "data/b/d/e.txt",
    "data/b-.txt",
    "other.txt",
];

fn walked(tree: &Tree, path: &str) -> Result<String, FileError> {
    let data = tree.walk(Tree::root(), "data").unwrap();
    let found = tree.walk(data, path)?;
    Ok(tree.path(found).to_owned())
}

#[test]
fn paths_lead_to_files_and_folders_and_to_nothing_outside() {
    let tree = tree(FILES);
    for (path, expected) in [
        (".", "data"),
        ("./", "data"),
        ("a.txt", "data/a.txt"),
        ("./a.txt", "data/a.txt"),
        ("b", "data/b"),
        ("b/", "data/b"),
        ("b//c.txt", "data/b/c.txt"),
        ("b/../a.txt", "data/a.txt"),
        ("b/d/../../b/./c.txt", "data/b/c.txt"),
        ("b/..", "data"),
        ("b-.txt", "data/b-.txt"),
    ] {
        assert_eq!(walked(&tree, path).as_deref(), Ok(expected), "{path}");
    }
    let long = "a".repeat(256);
    let deep = "b/../".repeat(1_000);
    for (path, expected) in [
        ("", FileError::NoEntry),
        ("..", FileError::NotPermitted),
        ("../other.txt", FileError::NotPermitted),
        ("../data/a.txt", FileError::NotPermitted),
        ("b/../../other.txt", FileError::NotPermitted),
        ("b/../../data/a.txt", FileError::NotPermitted),
        ("/", FileError::NotPermitted),
        ("/data/a.txt", FileError::NotPermitted),
        ("//a.txt", FileError::NotPermitted),
        ("a.txt/", FileError::NotDirectory),
        ("a.txt/.", FileError::NotDirectory),
        ("a.txt/..", FileError::NotDirectory),
        ("a.txt/b", FileError::NotDirectory),
        ("c.txt", FileError::NoEntry),
        ("c/../a.txt", FileError::NoEntry),
        ("A.txt", FileError::NoEntry),
        ("a.txt ", FileError::NoEntry),
        ("b\\c.txt", FileError::NoEntry),
        ("...", FileError::NoEntry),
        ("a.txt\0", FileError::Invalid),
        ("\0", FileError::Invalid),
        (&long, FileError::NameTooLong),
        (&deep, FileError::NameTooLong),
    ] {
        assert_eq!(walked(&tree, path), Err(expected), "{path:?}");
    }
}

#[test]
fn folders_list_their_names_in_order_each_once() {
    let tree = tree(FILES);
    let names = |path: &str| {
        let folder = tree.walk(Tree::root(), path).unwrap();
        let mut names = Vec::new();
        while let Some((_, name)) = tree.entry(folder, names.len()) {
            names.push(name.to_owned());
        }
        names
    };
    assert_eq!(names("."), ["data", "other.txt"]);
    // In the order of names: that of whole paths would have `b-.txt` before what is in `b`.
    assert_eq!(names("data"), ["a.txt", "b", "b-.txt"]);
    assert_eq!(names("data/b"), ["c.txt", "d"]);
    let file = tree.walk(Tree::root(), "other.txt").unwrap();
    assert_eq!(tree.entry(file, 0), None);
}

#[test]
fn hash_changes_with_what_is_in_a_file_and_is_no_other_files() {
    let of = |text: &str, more: &str| {
        let files = [
            ("data/a", text.as_bytes().to_vec()),
            ("data/b", b"same".to_vec()),
            ("data/c", b"same".to_vec()),
            ("more", more.as_bytes().to_vec()),
        ];
        let packed = Packed::new(&files);
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let library = packed.library(1 << 20);
        let opened = packed.open(&library);
        let tree = runtime.unwrap().block_on(opened).unwrap();
        ["data/a", "data/b", "data/c", "data"]
            .map(|path| tree.hash(tree.walk(Tree::root(), path).unwrap()))
    };
    let (one, other, changed) = (of("x", "1"), of("x", "2"), of("y", "1"));
    assert_ne!(one[1], one[2], "two files with the same bytes");
    assert_eq!(one[..3], other[..3], "what doesn't change keeps its hash");
    assert_ne!(one[0], changed[0]);
    assert_ne!(one[3], changed[3], "a folder changes with its files");
}

fn pieces() -> Vec<u8> {
    let bytes = (0_u32..).flat_map(u32::to_le_bytes);
    bytes.take((1 << 20) + PIECE_BYTES / 2).collect()
}

#[tokio::test]
async fn every_byte_comes_however_little_may_be_kept() {
    let large = pieces();
    let packed = Packed::new(&[("large", large.clone()), ("small", b"small".to_vec())]);
    for bytes_max in [0, 300 << 10, 1 << 30] {
        let library = packed.library(bytes_max);
        let tree = packed.open(&library).await.unwrap();
        let file = tree
            .file(tree.walk(Tree::root(), "large").unwrap())
            .unwrap();
        let mut read = Vec::new();
        while let Some(piece) = file.bring(read.len() as u64).await.unwrap() {
            let bytes = piece.bytes(100_000);
            assert!(!bytes.is_empty());
            read.extend_from_slice(&bytes);
        }
        assert!(read == large);
        let (piece, end) = (PIECE_BYTES as u64, large.len() as u64);
        for at in [0, 1, piece - 1, piece, piece + 1, end - 1] {
            let bytes = file.bring(at).await.unwrap().unwrap().bytes(3);
            let start = usize::try_from(at).unwrap();
            assert_eq!(bytes, large[start..large.len().min(start + bytes.len())]);
        }
        for at in [end, end + 1, u64::MAX] {
            assert!(file.bring(at).await.unwrap().is_none());
        }
        let small = tree
            .file(tree.walk(Tree::root(), "small").unwrap())
            .unwrap();
        assert_eq!(small.bring(2).await.unwrap().unwrap().bytes(9), "all");
        assert!(library.stock().bytes <= bytes_max.max(PIECE_BYTES as u64) + 5);
    }
}

#[tokio::test]
async fn other_bytes_on_the_disk_are_never_given() {
    let packed = Packed::new(&[("large", pieces()), ("small", b"small".to_vec())]);
    let library = packed.library(0);
    let tree = packed.open(&library).await.unwrap();
    let bytes = std::fs::read(packed.file.path()).unwrap();
    let mut damaged = bytes.clone();
    // A byte of the second piece of `large`, whose bytes begin behind its head.
    damaged[512 + PIECE_BYTES + 5] ^= 1;
    std::fs::write(packed.file.path(), &damaged).unwrap();
    let file = tree
        .file(tree.walk(Tree::root(), "large").unwrap())
        .unwrap();
    assert!(file.bring(0).await.is_ok(), "the first piece is whole");
    let error = file.bring(PIECE_BYTES as u64).await.err().unwrap();
    assert!(matches!(error, FilesError::Damaged { .. }), "{error}");
    std::fs::write(packed.file.path(), &bytes).unwrap();
    assert!(
        file.bring(PIECE_BYTES as u64).await.is_ok(),
        "it is whole again"
    );
    std::fs::write(packed.file.path(), &bytes[..600]).unwrap();
    let error = file.bring(PIECE_BYTES as u64).await.err().unwrap();
    assert!(matches!(error, FilesError::Damaged { .. }), "{error}");
    std::fs::remove_file(packed.file.path()).unwrap();
    let error = file.bring(PIECE_BYTES as u64).await.err().unwrap();
    assert!(matches!(error, FilesError::Unreadable { .. }), "{error}");
    assert!(packed.open(&library).await.is_err());
}

/// What a path means to a reader who knows names alone, from a folder of that depth.
fn normal(path: &str) -> Option<Vec<&str>> {
    let mut names = Vec::new();
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." => drop(names.pop()?),
            name => names.push(name),
        }
    }
    Some(names)
}

fn any_path() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        Just("."),
        Just(".."),
        Just(""),
        Just("a.txt"),
        Just("b"),
        Just("c.txt"),
        Just("d"),
        Just("e.txt"),
        Just("data"),
        Just("other.txt")
    ];
    prop::collection::vec(name, 0..12).prop_map(|names| names.join("/"))
}

proptest! {
    #[test]
    fn what_is_found_is_where_the_names_lead_and_below_the_folder(path in any_path()) {
        let tree = tree(FILES);
        for base in ["data", "data/b", "."] {
            let folder = tree.walk(Tree::root(), base).unwrap();
            let Ok(found) = tree.walk(folder, &path) else {
                continue;
            };
            let names = normal(&path).expect("it leads nowhere outside");
            let above = if base == "." { Vec::new() } else { base.split('/').collect() };
            let expected = above.into_iter().chain(names).collect::<Vec<_>>().join("/");
            prop_assert_eq!(tree.path(found), expected);
        }
    }

    #[test]
    fn what_is_there_is_found_by_every_spelling(
        file in prop::sample::select(FILES),
        noise in prop::collection::vec(prop::sample::select(vec!["", ".", "data/.."]), 0..4),
    ) {
        let tree = tree(FILES);
        let path = noise.into_iter().filter(|name| !name.is_empty()).chain([file]);
        let path = path.collect::<Vec<_>>().join("//");
        let found = tree.walk(Tree::root(), &path).unwrap();
        prop_assert_eq!(tree.path(found), file);
    }

    #[test]
    fn any_text_is_walked_or_refused(path in "\\PC*|[/.\\x00ab]{0,40}") {
        let tree = tree(FILES);
        let _: Result<NodeId, FileError> = tree.walk(Tree::root(), &path);
    }
}
