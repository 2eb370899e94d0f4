//! An app's folder: finds and reads its manifest. Parsing it is `everwarm_manifest`'s.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use everwarm_manifest::{App, MANIFEST_BYTES_MAX, ManifestErrors};

/// The name of a manifest.
pub const MANIFEST_FILE: &str = "everwarm.toml";

/// A folder with a valid manifest.
#[derive(Debug, Clone)]
pub struct Project {
    folder: PathBuf,
    app: App,
}

/// Why a folder is no app.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProjectError {
    /// There is no manifest.
    #[error(
        "there is no {MANIFEST_FILE} in {}: name an app's folder (`everwarm up path/to/app`), or start an app with `everwarm new hello`",
        folder.display()
    )]
    NotFound {
        /// Where it was looked for.
        folder: PathBuf,
    },
    /// The manifest can't be read.
    #[error("couldn't read {}: {source}", path.display())]
    Unreadable {
        /// The manifest.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The manifest has mistakes.
    #[error("{0}")]
    Invalid(ManifestErrors),
}

impl ProjectError {
    /// The stable code, with a page in `docs/errors/`. Of a wrong manifest: that of its first mistake.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotFound { .. } | Self::Unreadable { .. } => "EW4005",
            Self::Invalid(errors) => errors
                .diagnostics()
                .first()
                .map_or("EW1001", |first| first.code.as_str()),
        }
    }
}

impl Project {
    /// Reads the app in `path`: its folder, or its manifest.
    ///
    /// # Errors
    /// [`ProjectError`] when there is no manifest, or one with mistakes.
    pub fn open(path: &Path) -> Result<Self, ProjectError> {
        let folder = match path.file_name() {
            Some(name) if name == MANIFEST_FILE && !path.is_dir() => match path.parent() {
                Some(parent) if parent != Path::new("") => parent,
                _ => Path::new("."),
            },
            _ => path,
        };
        let manifest = folder.join(MANIFEST_FILE);
        let unreadable = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => ProjectError::NotFound {
                folder: folder.to_owned(),
            },
            _ => ProjectError::Unreadable {
                path: manifest.clone(),
                source,
            },
        };
        let file = File::open(&manifest).map_err(unreadable)?;
        let mut bytes = Vec::new();
        file.take(MANIFEST_BYTES_MAX as u64 + 1)
            .read_to_end(&mut bytes)
            .map_err(unreadable)?;
        let shown = manifest.to_string_lossy();
        let shown = shown.strip_prefix("./").unwrap_or(&shown);
        let app = App::parse_bytes(&bytes, shown).map_err(ProjectError::Invalid)?;
        let folder = folder.canonicalize().map_err(unreadable)?;
        Ok(Self { folder, app })
    }

    /// The absolute path of the folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What the manifest says.
    pub fn app(&self) -> &App {
        &self.app
    }

    /// Gives up the folder.
    pub fn into_app(self) -> App {
        self.app
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folder_without_a_manifest_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let error = Project::open(folder.path()).unwrap_err();
        assert_eq!(error.code(), "EW4005");
        assert!(error.to_string().contains("everwarm new"), "{error}");
    }

    #[test]
    fn manifest_may_be_named_instead_of_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let manifest = folder.path().join(MANIFEST_FILE);
        std::fs::write(&manifest, "name = \"hello\"\n[[function]]\n").unwrap();
        let project = Project::open(&manifest).unwrap();
        assert_eq!(project.folder(), folder.path().canonicalize().unwrap());
        assert_eq!(project.app().name.as_str(), "hello");
    }

    #[test]
    fn mistakes_are_told_with_the_files_name_and_the_first_ones_code() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(
            folder.path().join(MANIFEST_FILE),
            "name = \"hello\"\nnmae = 1\n[[function]]\n",
        )
        .unwrap();
        let error = Project::open(folder.path()).unwrap_err();
        assert_eq!(error.code(), "EW1002");
        assert!(error.to_string().contains("everwarm.toml:2:1"), "{error}");
    }
}
