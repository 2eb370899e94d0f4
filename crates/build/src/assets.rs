//! The files of an app's `[[assets]]` and `[[function.mounts]]`: finds them, and packs them with what is compressed of those
//! that are served into one bundle.
//!
//! Owns which files count: all but hidden ones. Compressing is `variants`', the archive's form `everwarm_bundle`'s.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use everwarm_bundle::{BundleError, FILE_BYTES_MAX, FILES_MAX, PackError, Packer};
use everwarm_manifest::{App, AssetPath, AssetPathError, ByteSize, Digest};
use sha2::{Digest as _, Sha256};

use crate::project::Project;
use crate::variants::{self, Variants};

/// The one hidden folder that is served: RFC 8615.
const WELL_KNOWN: &str = ".well-known";

/// The files of an app, as one bundle.
#[derive(Debug, Clone)]
pub struct Packed {
    /// The archive.
    pub bytes: Bytes,
    /// The sha256 of `bytes`.
    pub digest: Digest,
    /// How many files it has.
    pub files: usize,
}

/// Why an app's files aren't packed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AssetsError {
    /// There is no such folder.
    #[error(
        "there is no folder {} for the files: `path` in [[assets]] and [[function.mounts]] is relative to the manifest's folder",
        .0.display()
    )]
    NoFolder(PathBuf),
    /// There is nothing in it.
    #[error("the folder {} has no files: hidden ones are left out", .0.display())]
    Empty(PathBuf),
    /// The fallback isn't there.
    #[error("the fallback {} isn't there: `fallback` in [[assets]] is a file in the folder of `path`", .0.display())]
    NoFallback(PathBuf),
    /// A file can't be read.
    #[error("couldn't read {}: {source}", path.display())]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is neither a file nor a folder.
    #[error(
        "{} is {what}, and an app has files and folders alone: put a file in its place, or leave it out of the folder",
        path.display()
    )]
    NoFile {
        /// Where.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// Its name can't be packed.
    #[error("{} can't be packed under its name: {reason}", path.display())]
    Name {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: AssetPathError,
    },
    /// Its name isn't UTF-8.
    #[error("{} can't be packed under its name, which isn't UTF-8", .0.display())]
    NotUtf8(PathBuf),
    /// There is too much of it, or two names are too much alike.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// There is no memory for the archive.
    #[error(transparent)]
    Pack(#[from] PackError),
    /// The thread that packs is gone.
    #[error("packing the assets was given up: {0}")]
    GivenUp(String),
}

impl AssetsError {
    /// The stable code, with a page in `docs/errors/`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Bundle(error) => error.code(),
            _ => "EW2015",
        }
    }
}

/// Packs an app's files, and remembers what was compressed for the next time.
#[derive(Debug, Default)]
pub struct AssetPacker {
    /// What the last bundle had, by the file's content.
    known: BTreeMap<Digest, Variants>,
}

impl AssetPacker {
    /// The bundle of the app's files; `None` when the manifest has none.
    ///
    /// # Errors
    /// [`AssetsError`] names the file or folder that is wrong.
    pub async fn pack(&mut self, project: &Project) -> Result<Option<Packed>, AssetsError> {
        if !project.app().has_files() {
            return Ok(None);
        }
        let (folder, app) = (project.folder().to_owned(), project.app().clone());
        // Given up in the middle, it compresses anew the next time.
        let known = std::mem::take(&mut self.known);
        let packed = tokio::task::spawn_blocking(move || pack(&folder, &app, known));
        let packed = packed.await;
        let (packed, known) = packed.map_err(|error| AssetsError::GivenUp(error.to_string()))??;
        self.known = known;
        Ok(Some(packed))
    }
}

fn pack(
    folder: &Path,
    app: &App,
    mut before: BTreeMap<Digest, Variants>,
) -> Result<(Packed, BTreeMap<Digest, Variants>), AssetsError> {
    let paths = files(folder, app)?;
    let (mut packer, mut known) = (Packer::default(), BTreeMap::new());
    for path in &paths {
        let bytes = read(&folder.join(path.as_str()), path)?;
        // What functions read is nobody's to take compressed.
        if is_served(app, path) && variants::is_worth_it(path.as_str(), bytes.len()) {
            let digest = Digest::from_bytes(Sha256::digest(&bytes).into());
            let variants = match (before.remove(&digest), known.remove(&digest)) {
                (Some(variants), _) | (None, Some(variants)) => variants,
                (None, None) => variants::of(&bytes),
            };
            for (coding, compressed) in &variants {
                packer.add_variant(path, *coding, compressed.clone())?;
            }
            known.insert(digest, variants);
        }
        packer.add(path, bytes)?;
    }
    let bytes = Bytes::from(packer.finish()?);
    // What no node would take is told here, with the names in it.
    let contents = everwarm_bundle::read(&*bytes)?;
    let made = Packed {
        digest: contents.digest,
        files: paths.len(),
        bytes,
    };
    Ok((made, known))
}

fn is_served(app: &App, path: &AssetPath) -> bool {
    let mut folders = app.assets.iter();
    folders.any(|assets| path.strip_folder(&assets.path).is_some())
}

/// The files of all folders, relative to the app's own.
fn files(folder: &Path, app: &App) -> Result<BTreeSet<AssetPath>, AssetsError> {
    let mut files = BTreeSet::new();
    for path in app.folders() {
        let root = folder.join(path.as_str());
        if !root.is_dir() {
            return Err(AssetsError::NoFolder(root));
        }
        let before = files.len();
        let mut open = vec![(root.clone(), path.to_string())];
        while let Some((below, name)) = open.pop() {
            list(&below, &name, &mut files, &mut open)?;
            if files.len() > FILES_MAX {
                return Err(BundleError::TooMany.into());
            }
        }
        let has_any =
            files.len() > before || files.iter().any(|file| file.strip_folder(path).is_some());
        if !has_any {
            return Err(AssetsError::Empty(root));
        }
    }
    for assets in &app.assets {
        if let Some(fallback) = &assets.fallback {
            let file = AssetPath::new(&format!("{}/{fallback}", assets.path));
            if !file.is_ok_and(|file| files.contains(&file)) {
                let root = folder.join(assets.path.as_str());
                return Err(AssetsError::NoFallback(root.join(fallback.as_str())));
            }
        }
    }
    Ok(files)
}

/// Takes the files of one folder, and leaves its folders to be looked into.
fn list(
    folder: &Path,
    name: &str,
    files: &mut BTreeSet<AssetPath>,
    open: &mut Vec<(PathBuf, String)>,
) -> Result<(), AssetsError> {
    let unreadable = |source| AssetsError::Unreadable {
        path: folder.to_owned(),
        source,
    };
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let (path, file_name) = (entry.path(), entry.file_name());
        let Some(file_name) = file_name.to_str() else {
            return Err(AssetsError::NotUtf8(path));
        };
        // What is hidden is hardly ever meant for everybody: `.git`, `.env`.
        if file_name.starts_with('.') && file_name != WELL_KNOWN {
            continue;
        }
        let name = format!("{name}/{file_name}");
        let kind = entry.file_type().map_err(unreadable)?;
        let asset = AssetPath::new(&name).map_err(|reason| AssetsError::Name {
            path: path.clone(),
            reason,
        })?;
        if kind.is_dir() {
            open.push((path, name));
        } else if kind.is_file() {
            files.insert(asset);
        } else {
            let what = if kind.is_symlink() {
                "a link"
            } else {
                "a device, a pipe or a socket"
            };
            return Err(AssetsError::NoFile { path, what });
        }
    }
    Ok(())
}

fn read(file: &Path, name: &AssetPath) -> Result<Vec<u8>, AssetsError> {
    let unreadable = |source| AssetsError::Unreadable {
        path: file.to_owned(),
        source,
    };
    let size = fs::metadata(file).map_err(unreadable)?.len();
    if size > FILE_BYTES_MAX {
        return Err(BundleError::FileTooLarge {
            name: name.to_string(),
            size: ByteSize::new(size),
        }
        .into());
    }
    fs::read(file).map_err(unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app(files: &[(&str, &str)], more: &str) -> (tempfile::TempDir, Project) {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let manifest = format!("name = \"site\"\n[[assets]]\npath = \"public\"\n{more}");
        fs::write(folder.path().join("everwarm.toml"), manifest).unwrap();
        let project = Project::open(folder.path()).unwrap();
        (folder, project)
    }

    async fn names(project: &Project) -> Result<Vec<String>, AssetsError> {
        let packed = AssetPacker::default().pack(project).await?.unwrap();
        let contents = everwarm_bundle::read(&*packed.bytes).unwrap();
        assert_eq!(contents.digest, packed.digest);
        Ok(contents.files.keys().map(ToString::to_string).collect())
    }

    #[tokio::test]
    async fn hidden_files_are_left_out_but_for_well_known() {
        let (_keep, project) = app(
            &[
                ("public/index.html", "x"),
                ("public/a/b.txt", "x"),
                ("public/.well-known/security.txt", "x"),
                ("public/.env", "SECRET"),
                ("public/.git/config", "x"),
                ("public/a/.DS_Store", "x"),
                ("secret.txt", "x"),
            ],
            "",
        );
        assert_eq!(
            names(&project).await.unwrap(),
            [
                "public/.well-known/security.txt",
                "public/a/b.txt",
                "public/index.html"
            ]
        );
    }

    #[tokio::test]
    async fn what_is_compressed_well_has_variants_and_they_are_remembered() {
        let text = "text that repeats itself ".repeat(100);
        let (_keep, project) = app(&[("public/a.txt", &text), ("public/b.png", &text)], "");
        let mut packer = AssetPacker::default();
        let first = packer.pack(&project).await.unwrap().unwrap();
        assert_eq!(packer.known.len(), 1);
        let contents = everwarm_bundle::read(&*first.bytes).unwrap();
        let variants: Vec<usize> = contents
            .files
            .values()
            .map(|file| file.variants.len())
            .collect();
        assert_eq!(variants, [3, 0]);
        let again = packer.pack(&project).await.unwrap().unwrap();
        assert_eq!(again.digest, first.digest);
    }

    #[tokio::test]
    async fn what_functions_read_is_packed_and_compressed_only_if_it_is_served_too() {
        let text = "text that repeats itself ".repeat(100);
        let (_keep, project) = app(
            &[
                ("public/a.txt", &text),
                ("data/b.txt", &text),
                ("data/.env", "x"),
            ],
            "[[function]]\ncomponent = \"f.wasm\"\n[[function.mounts]]\npath = \"data\"\n\
             [[function.mounts]]\npath = \"public\"\n",
        );
        let packed = AssetPacker::default().pack(&project).await.unwrap();
        let contents = everwarm_bundle::read(&*packed.unwrap().bytes).unwrap();
        let files = contents.files.iter();
        let files: Vec<_> = files
            .map(|(path, file)| (path.as_str(), file.variants.len()))
            .collect();
        assert_eq!(files, [("data/b.txt", 0), ("public/a.txt", 3)]);
        let (_keep, project) = app(
            &[("public/a.txt", "x")],
            "[[function]]\ncomponent = \"f.wasm\"\n[[function.mounts]]\npath = \"data\"\n",
        );
        let error = names(&project).await.unwrap_err();
        assert!(matches!(error, AssetsError::NoFolder(_)), "{error}");
    }

    #[tokio::test]
    async fn what_is_missing_is_told_with_its_path() {
        let (_keep, project) = app(&[("public/a.txt", "x")], "fallback = \"index.html\"\n");
        let error = names(&project).await.unwrap_err();
        assert_eq!(error.code(), "EW2015");
        assert!(error.to_string().contains("public/index.html"), "{error}");
        let (_keep, project) = app(&[("other/a.txt", "x")], "");
        let error = names(&project).await.unwrap_err();
        assert!(matches!(error, AssetsError::NoFolder(_)), "{error}");
        let (_keep, project) = app(&[("public/.hidden", "x")], "");
        let error = names(&project).await.unwrap_err();
        assert!(matches!(error, AssetsError::Empty(_)), "{error}");
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn link_is_refused_wherever_it_leads() {
        let (keep, project) = app(&[("public/a.txt", "x")], "");
        std::os::unix::fs::symlink("/etc/passwd", keep.path().join("public/passwd")).unwrap();
        let error = names(&project).await.unwrap_err();
        assert!(
            matches!(error, AssetsError::NoFile { what: "a link", .. }),
            "{error}"
        );
    }
}
