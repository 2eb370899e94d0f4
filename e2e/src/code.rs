//! Machine code of guests, which tests share: a guest is compiled by the first node that serves it, and not by hundreds.
//!
//! Owns a folder that one run of all tests has (`EVERWARM_CODE`; without it each node compiles by itself). Nodes find code
//! there is as in a data folder that was copied: all have one key, so that each takes what another has made, once it has
//! checked it. A data folder with a key of its own is left alone.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use crate::installed;
use crate::server::digest;

const KEY: &str = "node.key";
const KINDS: [&str; 2] = ["cwasm", "record"];

/// Data folders of this test that have the run's key.
static FOLDERS: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Before a node starts: its folder, if it is new, gets the run's key, and what there is of the components that the app
/// of an `up` has.
pub(crate) fn before(command: &Command) {
    let Some(shared) = installed::code() else {
        return;
    };
    let Some((data, app)) = folders_of(command) else {
        return;
    };
    let key = key(&shared).expect("the folder for machine code can be written to");
    if !data.exists() {
        make_private(&data).expect("the folder of a node's data can be made");
        write_private(&data.join(KEY), &key).expect("a new folder can be written to");
    }
    if fs::read(data.join(KEY)).is_ok_and(|its| its == key) {
        let mut folders = FOLDERS.lock().unwrap_or_else(PoisonError::into_inner);
        if !folders.contains(&data) {
            folders.push(data);
        }
    }
    for component in components(app.as_deref()) {
        bring(&component);
    }
}

/// Once a node is ready: what it has made of the components of an `up` is there for others.
pub(crate) fn ready(app: Option<&Path>) {
    for component in components(app) {
        keep(&component);
    }
}

/// The folder of the app that a command serves with `up`.
pub(crate) fn app_of(command: &Command) -> Option<PathBuf> {
    folders_of(command)?.1
}

/// Gives the nodes of this test the code of a guest, if there is any.
pub(crate) fn bring(component: &Path) {
    each(component, copy_pair);
}

/// Keeps the code that a node of this test has of a guest.
pub(crate) fn keep(component: &Path) {
    each(component, |shared, compiled| copy_pair(compiled, shared));
}

/// Calls with the paths, but for the kind, that a guest's code has in the shared folder and in a node's, for each engine.
fn each(component: &Path, copy: impl Fn(&Path, &Path) -> io::Result<()>) {
    let Some(shared) = installed::code() else {
        return;
    };
    if !installed::is_guest(component) {
        return;
    }
    let Ok(bytes) = fs::read(component) else {
        return;
    };
    let name = digest(&bytes);
    let name = name.trim_start_matches("sha256:");
    let folders = FOLDERS.lock().unwrap_or_else(PoisonError::into_inner);
    for data in &*folders {
        let compiled = data.join("compiled");
        let engines = [&shared, &compiled].map(|root| engines(root));
        for engine in engines.iter().flatten() {
            let [from, to] = [&shared, &compiled].map(|root| root.join(engine).join(name));
            // A node that runs in a mount of its own, or whose disk is full, compiles by itself.
            let _ = copy(&from, &to);
        }
    }
}

/// Folders of one engine's code each.
fn engines(root: &Path) -> Vec<std::ffi::OsString> {
    let entries = fs::read_dir(root).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.path().is_dir());
    let names = folders.map(|entry| entry.file_name());
    names
        .filter(|name| !name.as_encoded_bytes().starts_with(b"."))
        .collect()
}

/// Copies code and then its record, if there is a record, and none yet where they go.
fn copy_pair(from: &Path, to: &Path) -> io::Result<()> {
    if !from.with_extension("record").exists() || to.with_extension("record").exists() {
        return Ok(());
    }
    let folder = to.parent().unwrap_or(Path::new("/"));
    make_private(folder)?;
    for kind in KINDS {
        let whole = tempfile::Builder::new().tempfile_in(folder)?;
        fs::copy(from.with_extension(kind), whole.path())?;
        whole.persist(to.with_extension(kind))?;
    }
    Ok(())
}

/// The data folder of a node that a command starts, and its app's folder if that is all that it serves.
fn folders_of(command: &Command) -> Option<(PathBuf, Option<PathBuf>)> {
    if Path::new(command.get_program()) != installed::everwarm() {
        return None;
    }
    let arguments: Vec<&OsStr> = command.get_args().collect();
    let is_up = match arguments.first()?.to_str()? {
        "up" => true,
        "serve" => false,
        _ => return None,
    };
    let named = arguments
        .iter()
        .position(|argument| *argument == "--data-dir");
    let its_folder = command.get_current_dir().unwrap_or(Path::new(""));
    let named = named.and_then(|at| arguments.get(at + 1));
    let named = named.map(|folder| its_folder.join(folder));
    let app = is_up.then(|| its_folder.join(arguments[arguments.len() - 1]));
    let app = app.filter(|app| app.join("everwarm.toml").is_file());
    let data = named.or_else(|| Some(app.as_ref()?.join(".everwarm")))?;
    Some((data, app))
}

/// What an app's manifest names.
fn components(app: Option<&Path>) -> Vec<PathBuf> {
    let manifest = app.map(|app| fs::read_to_string(app.join("everwarm.toml")));
    let Some(Ok(manifest)) = manifest else {
        return Vec::new();
    };
    let named = |line: &str| {
        let path = line.strip_prefix("component = \"")?.strip_suffix('"')?;
        Some(PathBuf::from(path))
    };
    manifest.lines().filter_map(named).collect()
}

/// The run's key: that of the test that was first.
fn key(shared: &Path) -> io::Result<Vec<u8>> {
    let path = shared.join(KEY);
    if !path.exists() {
        make_private(shared)?;
        let mine = tempfile::Builder::new().tempfile_in(shared)?;
        let mut random = [0; 32];
        rustls::crypto::ring::default_provider()
            .secure_random
            .fill(&mut random)
            .map_err(|_| io::Error::other("the system gave no random bytes"))?;
        mine.as_file().write_all(&random)?;
        match mine.persist_noclobber(&path) {
            Err(error) if error.error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(error.error);
            }
            _ => {}
        }
    }
    fs::read(path)
}

fn make_private(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new();
    let mut file = file.write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)
}
