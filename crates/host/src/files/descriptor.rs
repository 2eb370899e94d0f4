//! An open file or folder, and what can be done with it: both versions of WASI ask here.
//!
//! Owns that nothing is changed, and what a guest and a log are told when the node can't read a file. There is nothing of
//! the operating system behind one: it is a place in an index that all instances share.

use std::sync::Arc;

use bytes::Bytes;
use everwarm_bundle::{FilesError, Held, PIECE_BYTES};
use everwarm_manifest::AssetPath;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::contents::{Contents, Piece};
use super::tree::{FileError, NodeId, Tree};
use super::volume::Volume;
use crate::notice::Notices;

/// Bytes that one call gives a guest at most.
const READ_BYTES_MAX: usize = PIECE_BYTES;

/// Pieces that the streams of a function hold at once for a guest that was told of them.
const READY_MAX: usize = 16;

/// A folder that a function is granted.
pub(super) struct Root {
    pub(super) volume: Arc<Volume>,
    pub(super) folder: AssetPath,
    pub(super) notices: Arc<Notices>,
    pub(super) holds: Holds,
}

/// Room for the pieces that streams hold, of all instances of a function.
#[derive(Clone)]
pub(super) struct Holds(Arc<Semaphore>);

impl Default for Holds {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(READY_MAX)))
    }
}

/// A piece that a guest was told is there: it stays until the guest takes it.
pub(super) struct Ready {
    piece: Piece,
    _room: OwnedSemaphorePermit,
}

impl Ready {
    pub(super) fn into_piece(self) -> Piece {
        self.piece
    }
}

/// See the module's documentation.
#[derive(Clone)]
#[expect(
    unreachable_pub,
    reason = "the generated bindings name it as a public type"
)]
pub struct Descriptor {
    root: Arc<Root>,
    /// `None` for the granted folder itself, of which nobody has to be asked where it is.
    place: Option<Place>,
}

/// A file or folder of an index.
#[derive(Clone)]
struct Place {
    tree: Arc<Held<Tree>>,
    node: NodeId,
}

/// What something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Folder,
    File,
}

/// What is known of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stat {
    pub(super) kind: Kind,
    /// In bytes; that of a folder is 0.
    pub(super) size: u64,
}

/// How something is to be opened.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Opening {
    /// To be written to, made or emptied.
    pub(super) changes: bool,
    /// It has to be a folder.
    pub(super) folder: bool,
    /// It has to be new.
    pub(super) exclusive: bool,
}

impl Descriptor {
    /// A folder that a function is granted.
    pub(super) fn root(root: &Arc<Root>) -> Self {
        Self {
            root: Arc::clone(root),
            place: None,
        }
    }

    fn at(&self, tree: Arc<Held<Tree>>, node: NodeId) -> Self {
        Self {
            root: Arc::clone(&self.root),
            place: Some(Place { tree, node }),
        }
    }

    pub(super) fn kind(&self) -> Kind {
        match &self.place {
            Some(Place { tree, node }) if tree.file(*node).is_some() => Kind::File,
            _ => Kind::Folder,
        }
    }

    async fn place(&self) -> Result<Place, FileError> {
        if let Some(place) = &self.place {
            return Ok(place.clone());
        }
        let tree = self.root.volume.tree().await;
        let tree = tree.map_err(|error| self.root.unreadable(self.root.folder.as_str(), &error))?;
        // A deploy without it was refused.
        let node = tree.walk(Tree::root(), self.root.folder.as_str());
        Ok(Place {
            node: node.map_err(|_| FileError::Io)?,
            tree,
        })
    }

    async fn find(&self, path: &str) -> Result<Self, FileError> {
        let Place { tree, node } = self.place().await?;
        let found = tree.walk(node, path)?;
        Ok(self.at(tree, found))
    }

    /// Opens what is at a path in the folder.
    pub(super) async fn open_at(&self, path: &str, how: Opening) -> Result<Self, FileError> {
        if how.changes {
            return Err(FileError::ReadOnly);
        }
        let found = self.find(path).await?;
        match found.kind() {
            _ if how.exclusive => Err(FileError::Exist),
            Kind::File if how.folder => Err(FileError::NotDirectory),
            Kind::File | Kind::Folder => Ok(found),
        }
    }

    pub(super) fn stat(&self) -> Stat {
        let file = self.file().ok();
        Stat {
            kind: self.kind(),
            size: file.map_or(0, |file| file.contents().length()),
        }
    }

    pub(super) async fn stat_at(&self, path: &str) -> Result<Stat, FileError> {
        Ok(self.find(path).await?.stat())
    }

    pub(super) async fn hash(&self) -> Result<u128, FileError> {
        let Place { tree, node } = self.place().await?;
        Ok(tree.hash(node))
    }

    pub(super) async fn hash_at(&self, path: &str) -> Result<u128, FileError> {
        self.find(path).await?.hash().await
    }

    /// No file leads to another one.
    pub(super) async fn read_link_at(&self, path: &str) -> FileError {
        match self.find(path).await {
            Ok(_) => FileError::Invalid,
            Err(error) => error,
        }
    }

    pub(super) fn advise(&self) -> Result<(), FileError> {
        match self.kind() {
            Kind::File => Ok(()),
            Kind::Folder => Err(FileError::BadDescriptor),
        }
    }

    /// Whether both are the same file or folder.
    pub(super) async fn is_same(&self, other: &Self) -> bool {
        if !Arc::ptr_eq(&self.root.volume, &other.root.volume) {
            return false;
        }
        match (self.place().await, other.place().await) {
            // The same in two readings of one bundle.
            (Ok(one), Ok(other)) => one.node == other.node,
            _ => false,
        }
    }

    /// The names in the folder.
    pub(super) async fn list(&self) -> Result<Listing, FileError> {
        let Place { tree, node } = self.place().await?;
        if tree.folder(node).is_none() {
            return Err(FileError::NotDirectory);
        }
        Ok(Listing {
            tree,
            folder: node,
            next: 0,
        })
    }

    /// To read it.
    pub(super) fn file(&self) -> Result<File, FileError> {
        match &self.place {
            Some(Place { tree, node }) => File::new(&self.root, tree, *node),
            None => None,
        }
        .ok_or(FileError::IsDirectory)
    }

    /// Bytes from one on, and whether the file ends with them.
    pub(super) async fn read(&self, len: u64, from: u64) -> Result<(Bytes, bool), FileError> {
        let file = self.file()?;
        let bytes = if len == 0 {
            Bytes::new()
        } else {
            let piece = file.bring(from).await?;
            piece.map_or(Bytes::new(), |piece| piece.bytes(at_most(len)))
        };
        let end = from.saturating_add(bytes.len() as u64);
        Ok((bytes, end >= file.contents().length()))
    }
}

fn at_most(len: u64) -> usize {
    usize::try_from(len).map_or(READ_BYTES_MAX, |len| len.min(READ_BYTES_MAX))
}

/// The names in a folder, one after the other.
#[expect(
    unreachable_pub,
    reason = "the generated bindings name it as a public type"
)]
pub struct Listing {
    tree: Arc<Held<Tree>>,
    folder: NodeId,
    next: usize,
}

impl Listing {
    /// The next name, and what it is of.
    pub(super) fn next_name(&mut self) -> Option<(Kind, String)> {
        let (node, name) = self.tree.entry(self.folder, self.next)?;
        self.next += 1;
        let kind = match self.tree.file(node) {
            Some(_) => Kind::File,
            None => Kind::Folder,
        };
        Some((kind, name.to_owned()))
    }
}

/// A file that is read. Holds none of its bytes.
#[derive(Clone)]
pub(super) struct File {
    root: Arc<Root>,
    tree: Arc<Held<Tree>>,
    node: NodeId,
    contents: Arc<Contents>,
}

impl File {
    fn new(root: &Arc<Root>, tree: &Arc<Held<Tree>>, node: NodeId) -> Option<Self> {
        Some(Self {
            contents: Arc::clone(tree.file(node)?),
            root: Arc::clone(root),
            tree: Arc::clone(tree),
            node,
        })
    }

    pub(super) fn contents(&self) -> &Contents {
        &self.contents
    }

    /// The bytes from one on; none at the end.
    pub(super) async fn bring(&self, byte: u64) -> Result<Option<Piece>, FileError> {
        let piece = self.contents.bring(byte).await;
        piece.map_err(|error| self.root.unreadable(self.tree.path(self.node), &error))
    }

    /// Holds a piece for a guest that is told of it, if there is room for one more. One that isn't held is nearly always
    /// there, and is brought again when it isn't.
    pub(super) fn hold(&self, piece: Piece) -> Option<Ready> {
        let room = Arc::clone(&self.root.holds.0).try_acquire_owned().ok()?;
        Some(Ready { piece, _room: room })
    }
}

impl Root {
    /// What the guest is told when the node can't read a file. The logs are told more: the node's where the file is on its
    /// disk, the function's which one of the app it is.
    fn unreadable(&self, file: &str, error: &FilesError) -> FileError {
        let told = self.notices.tell(|function| {
            let what = match error {
                FilesError::Machine(_) => {
                    "the node had no file or memory for it: it can be tried again"
                }
                _ => "it is missing or damaged on the node: deploy the app again (EW3026)",
            };
            format!("function `{function}` couldn't read `{file}` of the app: {what}")
        });
        if told {
            let spec = self.notices.function();
            tracing::error!(app = %spec.app, function = %spec.name, version = %spec.version, file, %error, "an app's files can't be read");
        }
        FileError::Io
    }
}
