//! What a bundle has, as folders: an immutable index by name, and the walk of a path through it.
//!
//! Owns what a path means. Nothing here is a path of a real file system, so none leads out: a walk that would leave the
//! folder that it began in is refused. Pure but for the bytes that files keep (`contents`).

use std::collections::BTreeMap;
use std::sync::Arc;

use everwarm_bundle::{Contents as Bundle, Stored};
use everwarm_manifest::Digest;
use sha2::{Digest as _, Sha256};

use super::contents::Contents;

/// The longest path that is walked, in bytes: as POSIX has it on most systems, and longer than any in a bundle.
const PATH_BYTES_MAX: usize = 4_096;
/// The longest name, in bytes.
const NAME_BYTES_MAX: usize = 255;
/// What is taken for the place of a file or folder in memory, besides its path.
const BYTES_PER_NODE: u64 = 96;

/// Why something can't be done: as `error-code` of `wasi:filesystem` says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum FileError {
    #[error("the file is there already")]
    Exist,
    #[error("the file can't be read: it is missing or damaged on the node")]
    Io,
    #[error("the instance has as many files open as it may")]
    InsufficientMemory,
    #[error("that can't be done with a file of this kind, or a path like this")]
    Invalid,
    #[error("it is a folder")]
    IsDirectory,
    #[error("a name in the path, or the path, is too long")]
    NameTooLong,
    #[error("there is no such file")]
    NoEntry,
    #[error("it is no folder")]
    NotDirectory,
    #[error("the path leads out of the folder")]
    NotPermitted,
    #[error("files of an app are there to be read alone")]
    ReadOnly,
    #[error("that can't be done with a folder")]
    BadDescriptor,
}

/// A file or a folder of a [`Tree`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NodeId(u32);

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Tree {
    bundle: Digest,
    /// The first is the folder that all are in.
    nodes: Vec<Node>,
}

#[derive(Debug)]
struct Node {
    /// From the app's folder; empty for that itself.
    path: Box<str>,
    what: What,
}

#[derive(Debug)]
enum What {
    /// By name.
    Folder(Vec<NodeId>),
    File(Arc<Contents>),
}

impl Tree {
    /// The index of a bundle.
    pub(super) fn of(bundle: &Bundle, stored: &Arc<Stored>) -> Self {
        let files = bundle.files.iter();
        Self::new(
            bundle.digest,
            files.map(|(path, file)| (path.as_str(), Contents::new(&file.plain, stored))),
        )
    }

    fn new<'p>(bundle: Digest, files: impl Iterator<Item = (&'p str, Contents)>) -> Self {
        let mut nodes = vec![Node::folder("")];
        let mut folders = BTreeMap::from([("", NodeId(0))]);
        for (path, contents) in files {
            let mut folder = NodeId(0);
            for (slash, _) in path.match_indices('/') {
                let above = &path[..slash];
                folder = *folders.entry(above).or_insert_with(|| {
                    let new = Node::folder(above);
                    add(&mut nodes, folder, new)
                });
            }
            let file = Node {
                path: path.into(),
                what: What::File(Arc::new(contents)),
            };
            add(&mut nodes, folder, file);
        }
        let mut tree = Self { bundle, nodes };
        tree.sort();
        tree
    }

    /// A bundle's files come in the order of their paths, which isn't that of the names in each folder.
    fn sort(&mut self) {
        for at in 0..self.nodes.len() {
            let What::Folder(below) = &mut self.nodes[at].what else {
                continue;
            };
            let mut below = std::mem::take(below);
            below.sort_by(|a, b| self.name(*a).cmp(self.name(*b)));
            self.nodes[at].what = What::Folder(below);
        }
    }

    fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0 as usize]
    }

    fn name(&self, id: NodeId) -> &str {
        let path = self.path(id);
        path.rsplit_once('/').map_or(path, |(_, name)| name)
    }

    /// From the app's folder.
    pub(super) fn path(&self, id: NodeId) -> &str {
        &self.node(id).path
    }

    /// What it holds, if it is a file.
    pub(super) fn file(&self, id: NodeId) -> Option<&Arc<Contents>> {
        match &self.node(id).what {
            What::File(contents) => Some(contents),
            What::Folder(_) => None,
        }
    }

    /// What is in it, if it is a folder: in the order of the names.
    pub(super) fn folder(&self, id: NodeId) -> Option<&[NodeId]> {
        match &self.node(id).what {
            What::Folder(below) => Some(below),
            What::File(_) => None,
        }
    }

    /// The place of one in its folder's list, with its name.
    pub(super) fn entry(&self, folder: NodeId, at: usize) -> Option<(NodeId, &str)> {
        let id = *self.folder(folder)?.get(at)?;
        Some((id, self.name(id)))
    }

    /// Of the app's folder.
    pub(super) fn root() -> NodeId {
        NodeId(0)
    }

    /// Where a path leads from a folder.
    pub(super) fn walk(&self, from: NodeId, path: &str) -> Result<NodeId, FileError> {
        match path {
            "" => return Err(FileError::NoEntry),
            _ if path.len() > PATH_BYTES_MAX => return Err(FileError::NameTooLong),
            _ if path.contains('\0') => return Err(FileError::Invalid),
            _ if path.starts_with('/') => return Err(FileError::NotPermitted),
            _ => {}
        }
        let mut above = Vec::new();
        let mut here = from;
        for name in path.split('/') {
            let below = self.folder(here).ok_or(FileError::NotDirectory)?;
            match name {
                "" | "." => {}
                ".." => here = above.pop().ok_or(FileError::NotPermitted)?,
                _ if name.len() > NAME_BYTES_MAX => return Err(FileError::NameTooLong),
                _ => {
                    let found = below.binary_search_by(|id| self.name(*id).cmp(name));
                    above.push(here);
                    here = below[found.map_err(|_| FileError::NoEntry)?];
                }
            }
        }
        Ok(here)
    }

    /// What stands for a file or folder and what is in it: the same for as long as neither changes.
    pub(super) fn hash(&self, id: NodeId) -> u128 {
        let contents = self.file(id).map_or(&self.bundle, |file| file.digest());
        let mut hasher = Sha256::new();
        hasher.update(b"everwarm file 1\0");
        hasher.update(contents.as_bytes());
        hasher.update(self.path(id));
        let hash = hasher.finalize();
        let half = hash.first_chunk().copied().unwrap_or_default();
        u128::from_le_bytes(half)
    }

    /// What it takes in memory, in bytes.
    pub(super) fn size(&self) -> u64 {
        let sizes = self.nodes.iter().map(|node| {
            let more = match &node.what {
                What::Folder(below) => 4 * below.len() as u64,
                What::File(contents) => contents.size(),
            };
            BYTES_PER_NODE + node.path.len() as u64 + more
        });
        sizes.sum()
    }
}

impl Node {
    fn folder(path: &str) -> Self {
        Self {
            path: path.into(),
            what: What::Folder(Vec::new()),
        }
    }
}

fn add(nodes: &mut Vec<Node>, folder: NodeId, node: Node) -> NodeId {
    // A bundle has at most some ten thousands of files and folders, whose paths have at most a thousand bytes each.
    let id = NodeId(u32::try_from(nodes.len()).unwrap_or(u32::MAX));
    nodes.push(node);
    if let What::Folder(below) = &mut nodes[folder.0 as usize].what {
        below.push(id);
    }
    id
}

#[cfg(test)]
mod tests;
