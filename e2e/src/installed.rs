//! Finds what is under test: the binary and the guests that `cargo xtask test` built.

use std::env;
use std::path::{Path, PathBuf};

use crate::World;

const HINT: &str = "run the end-to-end tests with `cargo xtask test`, which builds the binary and the \
    guests and says where they are";

/// The binary.
///
/// # Panics
///
/// When nobody said where it is, or it isn't there.
pub fn everwarm() -> PathBuf {
    let path = named_by("EVERWARM_BIN");
    assert!(
        path.is_file(),
        "there is no file {}: {HINT}",
        path.display()
    );
    path
}

/// The component of a guest.
///
/// # Panics
///
/// When nobody said where the guests are, or there is no such guest.
pub fn component(guest: &str, world: World) -> PathBuf {
    let path = named_by("EVERWARM_GUESTS").join(format!("{guest}.{world}.wasm"));
    assert!(
        path.is_file(),
        "there is no guest `{guest}` for {world} ({} is missing): {HINT}",
        path.display()
    );
    path
}

/// Whether a component is one of the guests.
pub(crate) fn is_guest(component: &Path) -> bool {
    component.parent() == Some(&named_by("EVERWARM_GUESTS"))
}

/// The folder of this run's machine code, where there is one.
pub(crate) fn code() -> Option<PathBuf> {
    env::var_os("EVERWARM_CODE").map(PathBuf::from)
}

fn named_by(variable: &str) -> PathBuf {
    let path = env::var_os(variable).unwrap_or_else(|| panic!("{variable} is not set: {HINT}"));
    let path = PathBuf::from(path);
    path.canonicalize().unwrap_or(path)
}
