//! Maps machine code into this process: the only place where bytes become code that runs.
//!
//! Owns the one `unsafe` that this takes. Takes nothing but a [`Verified`] file.

use std::io;
use std::os::fd::AsRawFd as _;
use std::path::PathBuf;

use wasmtime::Engine;
use wasmtime::component::Component;

use super::Verified;
use super::record::Identity;

/// Why verified code wasn't mapped.
#[derive(Debug)]
pub(super) enum MapError {
    /// The system doesn't open the file again.
    Io(io::Error),
    /// The file changed between the proof and the map.
    Changed,
    /// Wasmtime says it is for another engine, or no code at all.
    Refused(wasmtime::Error),
}

/// Maps a verified file.
pub(super) fn map(engine: &Engine, verified: &Verified) -> Result<Component, MapError> {
    // Wasmtime opens components by path only. This path is the open file itself, whatever its name
    // leads to by now, so what was proven is what is mapped.
    let path = path_of_open_file(verified)?;
    // SAFETY: the bytes must be what Wasmtime wrote. The file behind `verified` was proven to be:
    // its record has a MAC under this node's key, the record names the digest of the bytes that our
    // compiler process wrote, and the file is the one that was hashed (device, inode, size, ctime).
    // `path` leads to that very file. While it is mapped nothing may write to it: it is only ever
    // replaced by a rename, its mode is 0400 in a folder of mode 0700, and a write by someone who
    // could change that (this user, or root) could as well write to this process's memory.
    let component = unsafe { Component::deserialize_file(engine, &path) };
    // Not relied upon for soundness, but cheap: a write between the proof and the map is noticed.
    match Identity::of(&verified.file) {
        Ok(identity) if identity == verified.identity => component.map_err(MapError::Refused),
        Ok(_) => Err(MapError::Changed),
        Err(error) => Err(MapError::Io(error)),
    }
}

/// Opening this path opens the same file again (proc(5), `/proc/[pid]/fd`).
fn path_of_open_file(verified: &Verified) -> Result<PathBuf, MapError> {
    let folder = if cfg!(target_os = "linux") {
        "/proc/self/fd"
    } else {
        "/dev/fd"
    };
    let path = PathBuf::from(format!("{folder}/{}", verified.file.as_raw_fd()));
    match path.try_exists() {
        Ok(true) => Ok(path),
        Ok(false) => Err(MapError::Io(io::Error::new(
            io::ErrorKind::NotFound,
            format!("{folder} isn't there: mount the file system that provides it"),
        ))),
        Err(error) => Err(MapError::Io(error)),
    }
}
