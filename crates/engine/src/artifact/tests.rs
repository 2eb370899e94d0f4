//! Tests of compiled artifacts: real machine code, and real faults in its files.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use everwarm_manifest::{Digest, World};
use secrecy::SecretBox;
use wasmtime::Engine;

use super::{CompiledArtifacts, Fingerprint, Flaw, OpenError, RecordFlaw};
use crate::config::{self, Purpose};

/// Two components that differ, so that their code does.
const ONE: &str = "(component (core module (func (export \"f\") (result i32) i32.const 1)))";
const TWO: &str = "(component (core module (func (export \"g\") (result i64) i64.const 2)))";

fn component(byte: u8) -> Digest {
    Digest::from_bytes([byte; Digest::BYTES])
}

fn key(byte: u8) -> SecretBox<[u8; 32]> {
    SecretBox::new(Box::new([byte; 32]))
}

struct Node {
    dir: tempfile::TempDir,
    artifacts: CompiledArtifacts,
    engine: Engine,
    fingerprint: Fingerprint,
}

impl Node {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let artifacts = CompiledArtifacts::open_dir(dir.path().join("c"), &key(1)).unwrap();
        let engine = config::engine(World::Wasi02, Purpose::Compile).unwrap();
        let fingerprint = Fingerprint::of(&engine);
        Self {
            dir,
            artifacts,
            engine,
            fingerprint,
        }
    }

    /// A node with the code of component 1.
    fn with_one() -> Self {
        let node = Self::new();
        node.add(1, ONE);
        node
    }

    fn add(&self, byte: u8, text: &str) {
        let code = self
            .engine
            .precompile_component(&wat::parse_str(text).unwrap())
            .unwrap();
        let mut file = self.artifacts.incoming().unwrap();
        file.write_all(&code).unwrap();
        self.artifacts
            .record(component(byte), &self.fingerprint, file)
            .unwrap();
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("c")
    }

    fn code(&self, byte: u8) -> PathBuf {
        self.artifacts
            .paths(component(byte), &self.fingerprint)
            .code
    }

    fn record(&self, byte: u8) -> PathBuf {
        self.artifacts
            .paths(component(byte), &self.fingerprint)
            .record
    }

    fn load(&self, byte: u8) -> Result<u64, OpenError> {
        self.artifacts
            .load(component(byte), &self.fingerprint, &self.engine)
            .map(|mapped| mapped.bytes)
    }

    /// The artifact is discarded for `flaw`, is gone then, and can be compiled again.
    fn assert_discarded(&self, byte: u8, flaw: &Flaw) {
        match self.load(byte) {
            Err(OpenError::Discarded { flaw: found, .. }) => assert_eq!(found, *flaw),
            other => panic!("{flaw:?} was expected, not {other:?}"),
        }
        assert!(!self.code(byte).exists() && !self.record(byte).exists());
        let gone = self.load(byte).unwrap_err();
        assert!(matches!(gone, OpenError::Missing) && gone.needs_compile());
        self.add(byte, ONE);
        self.load(byte).unwrap();
    }
}

/// Writes in place, as someone who ignores the mode would.
fn overwrite(path: &Path, at: u64, bytes: &[u8]) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    let file = OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(bytes, at).unwrap();
}

fn truncate(path: &Path, len: u64) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    OpenOptions::new()
        .write(true)
        .open(path)
        .unwrap()
        .set_len(len)
        .unwrap();
}

/// Another inode with the same bytes, as a copied folder or a restored backup has.
fn replace_inode(path: &Path) {
    let copy = path.with_extension("copy");
    fs::copy(path, &copy).unwrap();
    fs::rename(&copy, path).unwrap();
}

#[test]
fn recorded_code_is_found_and_maps() {
    let node = Node::with_one();
    let bytes = node.load(1).unwrap();
    assert_eq!(bytes, fs::metadata(node.code(1)).unwrap().len());
    assert!(matches!(node.load(2), Err(OpenError::Missing)));
}

#[test]
fn recorded_code_is_found_after_a_restart_and_half_written_files_are_not() {
    let node = Node::with_one();
    let left_over = node.artifacts.incoming().unwrap().keep().unwrap().1;
    let again = CompiledArtifacts::open_dir(node.root(), &key(1)).unwrap();
    again.open(component(1), &node.fingerprint).unwrap();
    assert!(!left_over.exists());
}

#[test]
fn code_and_its_folder_belong_to_this_user_alone() {
    let node = Node::with_one();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&node.root()), 0o700);
    assert_eq!(mode(&node.code(1)), 0o400);
}

#[test]
fn flipped_byte_is_discarded_wherever_it_is() {
    let len = fs::metadata(Node::with_one().code(1)).unwrap().len();
    for at in [0, 9, len / 2, len - 1] {
        let node = Node::with_one();
        let bytes = fs::read(node.code(1)).unwrap();
        let flipped = bytes[usize::try_from(at).unwrap()] ^ 1;
        overwrite(&node.code(1), at, &[flipped]);
        node.assert_discarded(1, &Flaw::Content);
    }
}

#[test]
fn truncated_and_emptied_and_grown_files_are_discarded() {
    for change in [-1_i64, -4_096, i64::MIN, 1] {
        let node = Node::with_one();
        let len = fs::metadata(node.code(1)).unwrap().len();
        truncate(&node.code(1), len.saturating_add_signed(change));
        node.assert_discarded(1, &Flaw::Content);
    }
}

#[test]
fn swapped_files_of_two_components_are_discarded() {
    let node = Node::with_one();
    node.add(2, TWO);
    let aside = node.root().join("aside");
    fs::rename(node.code(1), &aside).unwrap();
    fs::rename(node.code(2), node.code(1)).unwrap();
    fs::rename(&aside, node.code(2)).unwrap();
    node.assert_discarded(1, &Flaw::Content);
    node.assert_discarded(2, &Flaw::Content);
}

#[test]
fn files_swapped_with_their_records_are_discarded() {
    let node = Node::with_one();
    node.add(2, TWO);
    fs::rename(node.code(2), node.code(1)).unwrap();
    fs::rename(node.record(2), node.record(1)).unwrap();
    node.assert_discarded(1, &Flaw::Record(RecordFlaw::OfAnother));
}

#[test]
fn code_of_another_engine_under_this_engines_name_is_discarded() {
    let node = Node::with_one();
    let other = config::engine(World::Wasi03, Purpose::Compile).unwrap();
    let other = Fingerprint::of(&other);
    let paths = node.artifacts.paths(component(1), &other);
    fs::create_dir_all(&paths.folder).unwrap();
    fs::rename(node.code(1), &paths.code).unwrap();
    fs::rename(node.record(1), &paths.record).unwrap();
    let error = node.artifacts.open(component(1), &other).unwrap_err();
    assert!(matches!(
        error,
        OpenError::Discarded {
            flaw: Flaw::Record(RecordFlaw::OfAnother),
            ..
        }
    ));
}

#[test]
fn forged_record_is_discarded_whichever_byte_differs() {
    let len = fs::metadata(Node::with_one().record(1)).unwrap().len();
    let node = Node::with_one();
    for at in 0..len {
        let record = fs::read(node.record(1)).unwrap();
        overwrite(
            &node.record(1),
            at,
            &[record[usize::try_from(at).unwrap()] ^ 1],
        );
        let error = node.load(1).unwrap_err();
        let flawed = matches!(
            error,
            OpenError::Discarded {
                flaw: Flaw::Record(_),
                ..
            }
        );
        assert!(flawed, "byte {at}: {error}");
        node.add(1, ONE);
    }
}

#[test]
fn truncated_or_missing_record_is_discarded() {
    let node = Node::with_one();
    truncate(&node.record(1), 100);
    node.assert_discarded(1, &Flaw::Record(RecordFlaw::Malformed));
    fs::remove_file(node.record(1)).unwrap();
    node.assert_discarded(1, &Flaw::NoRecord);
}

#[test]
fn code_recorded_under_another_nodes_key_is_discarded() {
    let node = Node::with_one();
    let other = CompiledArtifacts::open_dir(node.root(), &key(2)).unwrap();
    let error = other.open(component(1), &node.fingerprint).unwrap_err();
    assert!(matches!(
        error,
        OpenError::Discarded {
            flaw: Flaw::Record(RecordFlaw::Forged),
            ..
        }
    ));
    assert!(error.needs_compile());
}

#[test]
fn replaced_inode_with_the_same_bytes_is_verified_whole_and_goes_on() {
    let node = Node::with_one();
    let before = fs::read(node.record(1)).unwrap();
    replace_inode(&node.code(1));
    node.load(1).unwrap();
    let after = fs::read(node.record(1)).unwrap();
    assert_ne!(before, after, "the record is renewed for the new inode");
    node.load(1).unwrap();
    assert_eq!(
        after,
        fs::read(node.record(1)).unwrap(),
        "and holds from then on"
    );
}

#[test]
fn replaced_inode_with_other_bytes_of_the_same_length_is_discarded() {
    let node = Node::with_one();
    replace_inode(&node.code(1));
    let len = fs::metadata(node.code(1)).unwrap().len();
    overwrite(&node.code(1), len / 2, b"\xde\xad\xbe\xef");
    node.assert_discarded(1, &Flaw::Content);
}

#[test]
fn link_or_pipe_in_place_of_the_file_is_discarded_and_not_waited_for() {
    let node = Node::with_one();
    let elsewhere = node.root().join("elsewhere");
    fs::rename(node.code(1), &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, node.code(1)).unwrap();
    node.assert_discarded(1, &Flaw::NoFile);
    fs::remove_file(node.code(1)).unwrap();
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(
        rustix::fs::CWD,
        node.code(1),
        rustix::fs::FileType::Fifo,
        mode,
        0,
    )
    .unwrap();
    node.assert_discarded(1, &Flaw::NoFile);
}

#[test]
fn link_pipe_or_endless_file_in_place_of_the_record_is_discarded_and_not_read() {
    let node = Node::with_one();
    let elsewhere = node.root().join("elsewhere");
    fs::rename(node.record(1), &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, node.record(1)).unwrap();
    node.assert_discarded(1, &Flaw::NoRecord);
    fs::remove_file(node.record(1)).unwrap();
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    let fifo = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, node.record(1), fifo, mode, 0).unwrap();
    node.assert_discarded(1, &Flaw::NoRecord);
    // Sparse: it takes no place on the disk, and would take all memory.
    truncate(&node.record(1), 1 << 40);
    node.assert_discarded(1, &Flaw::Record(RecordFlaw::Malformed));
}

#[test]
fn sparse_file_without_end_in_place_of_the_code_is_discarded_and_not_read() {
    let node = Node::with_one();
    truncate(&node.code(1), 1 << 40);
    node.assert_discarded(1, &Flaw::Content);
    replace_inode(&node.code(1));
    truncate(&node.code(1), 1 << 40);
    node.assert_discarded(1, &Flaw::Content);
}

#[test]
fn mode_that_lets_others_write_makes_no_difference_to_what_is_run() {
    let node = Node::with_one();
    let world_writable = fs::Permissions::from_mode(0o666);
    fs::set_permissions(node.code(1), world_writable).unwrap();
    // Its ctime has changed: the bytes are hashed, and they are the ones.
    node.load(1).unwrap();
    overwrite(&node.code(1), 64, b"\xde\xad");
    node.assert_discarded(1, &Flaw::Content);
}

#[test]
fn code_that_the_engine_refuses_is_discarded() {
    let node = Node::new();
    let mut file = node.artifacts.incoming().unwrap();
    file.write_all(b"honestly recorded, but no machine code")
        .unwrap();
    node.artifacts
        .record(component(1), &node.fingerprint, file)
        .unwrap();
    match node.load(1) {
        Err(OpenError::Discarded {
            flaw: Flaw::Refused(_),
            ..
        }) => {}
        other => panic!("a refusal was expected, not {other:?}"),
    }
    assert!(!node.code(1).exists());
}

#[test]
fn verified_file_is_what_is_mapped_whatever_its_name_leads_to_by_then() {
    let node = Node::with_one();
    let verified = node
        .artifacts
        .open(component(1), &node.fingerprint)
        .unwrap();
    fs::remove_file(node.code(1)).unwrap();
    fs::write(node.code(1), b"swapped in between the proof and the map").unwrap();
    // Removing the name changes the ctime of the file behind it: that is noticed, and what was
    // swapped in is never looked at (it would be refused as no machine code).
    match super::map::map(&node.engine, &verified) {
        Err(super::map::MapError::Changed) => {}
        other => panic!("a change was expected, not {other:?}"),
    }
}

#[test]
fn threads_that_record_and_open_at_once_never_discard_good_code() {
    let node = Node::with_one();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| (0..20).for_each(|_| node.add(1, ONE)));
            scope.spawn(|| {
                for _ in 0..50 {
                    node.artifacts
                        .open(component(1), &node.fingerprint)
                        .unwrap();
                }
            });
        }
    });
    node.load(1).unwrap();
}

#[test]
fn code_of_components_that_nobody_needs_is_removed_when_it_is_old_enough() {
    use std::time::{Duration, SystemTime};

    let node = Node::with_one();
    node.add(2, TWO);
    let strange = node.code(1).with_file_name("strange.cwasm");
    fs::write(&strange, "somebody else's").unwrap();
    let needs_one = |digest: Digest| digest == component(1);
    let (past, future) = (
        SystemTime::now() - Duration::from_hours(1),
        SystemTime::now() + Duration::from_hours(1),
    );
    assert_eq!(node.artifacts.collect(past, needs_one).unwrap(), 0);
    node.load(2).unwrap();
    // It is mapped, and goes on running; only its files are gone.
    let mapped = node
        .artifacts
        .load(component(2), &node.fingerprint, &node.engine)
        .unwrap();
    assert!(node.artifacts.collect(future, needs_one).unwrap() >= mapped.bytes);
    assert!(matches!(node.load(2), Err(OpenError::Missing)));
    assert!(!node.record(2).exists());
    node.load(1).unwrap();
    assert!(strange.exists());
    drop(mapped);
}
