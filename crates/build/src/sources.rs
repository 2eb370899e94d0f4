//! Which files an app is made from, so that a change to one of them can be noticed: the manifest, the
//! package, the packages that it depends on by path, and what the manifest lists. Watches nothing.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use crate::package::{self, PackageError};
use crate::project::{MANIFEST_FILE, Project};
use crate::toolchain::Toolchain;

/// The most packages whose sources are followed.
const PACKAGES_MAX: usize = 200;
/// Folders that hold what is made from sources, or nothing of ours. So does every hidden folder.
const FOLDERS_IGNORED: &[&str] = &["target", "node_modules", "dist"];
/// Written by cargo itself while it builds.
const FILES_IGNORED: &[&str] = &["Cargo.lock"];

/// The files that an app is made from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sources {
    /// Folders, with all below them.
    pub folders: BTreeSet<PathBuf>,
    /// Single files.
    pub files: BTreeSet<PathBuf>,
    /// What the build itself writes.
    made: BTreeSet<PathBuf>,
}

/// Finds out what the app is made from. A package that cargo can't read is left out: the build tells
/// what is wrong with it, and the rest can still be watched.
pub async fn sources(project: &Project) -> Sources {
    let folder = project.folder();
    let build = &project.app().build;
    let mut sources = Sources::default();
    sources.files.insert(folder.join(MANIFEST_FILE));
    let components = project
        .app()
        .functions
        .iter()
        .filter_map(|function| function.component.as_ref())
        .map(|path| folder.join(path));
    if build.command.is_some() {
        sources.made.extend(components);
    } else {
        sources.files.extend(components);
    }
    for path in &build.watch {
        let path = folder.join(path);
        if path.is_dir() {
            sources.folders.insert(path);
        } else {
            sources.files.insert(path);
        }
    }
    // With a command the files may be what it makes; then they are as its other output.
    if build.command.is_none() {
        let files = project.app().folders();
        let files = files.map(|path| folder.join(path.as_str()));
        sources.folders.extend(files);
    }
    let migrations = project.app().sql.iter();
    let migrations = migrations.filter_map(|database| database.migrations.as_ref());
    sources
        .folders
        .extend(migrations.map(|path| folder.join(path)));
    // Whoever replaces cargo and lists what to watch has said it all.
    if build.command.is_none() || build.watch.is_empty() {
        let wanted = build.package.as_deref();
        let known = packages(folder, wanted, &mut sources).await;
        if known.is_err() || sources.folders.is_empty() || !folder.join("Cargo.toml").is_file() {
            sources.folders.insert(folder.to_owned());
        }
    }
    sources
}

/// Adds the folders of the package and of those that it depends on by path.
async fn packages(
    folder: &Path,
    wanted: Option<&str>,
    sources: &mut Sources,
) -> Result<(), PackageError> {
    let Ok(toolchain) = Toolchain::find() else {
        return Ok(());
    };
    let mut seen = BTreeSet::new();
    let mut open = vec![folder.to_owned()];
    let mut wanted = wanted;
    while let Some(next) = open.pop() {
        if seen.len() == PACKAGES_MAX || seen.contains(&next) || !next.join("Cargo.toml").is_file()
        {
            continue;
        }
        let metadata = match package::metadata(&toolchain, &next).await {
            Ok(metadata) => metadata,
            Err(error) if seen.is_empty() => return Err(error),
            Err(_) => continue,
        };
        sources.made.insert(metadata.target_directory.into());
        // Profiles and versions may come from there.
        let workspace = metadata.workspace_root.join("Cargo.toml");
        sources.files.insert(workspace.into());
        let manifest = next.join("Cargo.toml");
        let by_name = wanted.take();
        let package = metadata.packages.iter().find(|package| match by_name {
            Some(name) => package.name.as_str() == name,
            None => package.manifest_path.as_std_path() == manifest,
        });
        if let Some(package) = package {
            let paths = package
                .dependencies
                .iter()
                .filter_map(|dependency| dependency.path.as_ref());
            open.extend(paths.map(|path| path.as_std_path().to_owned()));
            seen.extend(package.manifest_path.parent().map(PathBuf::from));
        }
        seen.insert(next);
    }
    sources.folders.append(&mut seen);
    Ok(())
}

impl Sources {
    /// Whether a change of `path` can change what is built.
    pub fn concern(&self, path: &Path) -> bool {
        if self.files.contains(path) {
            return true;
        }
        let made = self.made.iter().any(|made| path.starts_with(made));
        if made
            || path
                .file_name()
                .is_some_and(|name| is_one(name, FILES_IGNORED))
        {
            return false;
        }
        self.folders
            .iter()
            .filter_map(|folder| path.strip_prefix(folder).ok())
            .any(|below| {
                // The last part may be a file that is named like one of the folders; nobody minds.
                !below.components().any(
                    |part| matches!(part, Component::Normal(name) if Self::ignores_folder(name)),
                )
            })
    }

    /// Whether a folder of that name holds no sources.
    pub fn ignores_folder(name: &std::ffi::OsStr) -> bool {
        name.to_string_lossy().starts_with('.') || is_one(name, FOLDERS_IGNORED)
    }
}

fn is_one(name: &std::ffi::OsStr, names: &[&str]) -> bool {
    names.iter().any(|one| name == *one)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> (tempfile::TempDir, PathBuf) {
        let temporary = tempfile::tempdir().unwrap();
        let folder = temporary.path().canonicalize().unwrap();
        for (path, text) in files {
            let path = folder.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        (temporary, folder)
    }

    fn package(name: &str, dependencies: &str) -> String {
        format!(
            "[package]\nname = \"{name}\"\nedition = \"2024\"\n[workspace]\n[dependencies]\n{dependencies}"
        )
    }

    #[tokio::test]
    async fn packages_that_are_depended_on_by_path_are_sources_too() {
        let (_keep, root) = folder(&[
            ("app/everwarm.toml", "name = \"app\"\n[[function]]\n"),
            (
                "app/Cargo.toml",
                &package("app", "near = { path = \"../near\" }\n"),
            ),
            ("app/src/lib.rs", ""),
            (
                "near/Cargo.toml",
                &package("near", "far = { path = \"../far\" }\n"),
            ),
            ("near/src/lib.rs", ""),
            ("far/Cargo.toml", &package("far", "")),
            ("far/src/lib.rs", ""),
            ("other/src/lib.rs", ""),
        ]);
        let sources = sources(&Project::open(&root.join("app")).unwrap()).await;
        for path in [
            "app/src/lib.rs",
            "near/src/a/b.rs",
            "far/Cargo.toml",
            "app/everwarm.toml",
        ] {
            assert!(sources.concern(&root.join(path)), "{path}");
        }
        for path in [
            "other/src/lib.rs",
            "app/target/release/x",
            "app/Cargo.lock",
            "app/.git/index",
            "near/.everwarm/x",
        ] {
            assert!(!sources.concern(&root.join(path)), "{path}");
        }
    }

    #[tokio::test]
    async fn manifest_of_the_workspace_is_a_source_and_its_other_members_are_not() {
        let member = "[package]\nname = \"app\"\nedition = \"2024\"\n";
        let (_keep, root) = folder(&[
            (
                "Cargo.toml",
                "[workspace]\nmembers = [\"app\"]\nresolver = \"3\"\n",
            ),
            ("app/everwarm.toml", "name = \"app\"\n[[function]]\n"),
            ("app/Cargo.toml", member),
            ("app/src/lib.rs", ""),
        ]);
        let sources = sources(&Project::open(&root.join("app")).unwrap()).await;
        assert!(sources.concern(&root.join("Cargo.toml")));
        assert!(!sources.concern(&root.join("other/src/lib.rs")));
    }

    #[tokio::test]
    async fn what_a_build_command_makes_is_no_source() {
        let (_keep, root) = folder(&[(
            "everwarm.toml",
            "name = \"app\"\n[build]\ncommand = \"make\"\n[[function]]\ncomponent = \"out/app.wasm\"\n",
        )]);
        let sources = sources(&Project::open(&root).unwrap()).await;
        assert!(sources.concern(&root.join("main.go")));
        assert!(!sources.concern(&root.join("out/app.wasm")));
    }

    #[tokio::test]
    async fn listed_paths_are_all_that_is_watched_for_a_build_command() {
        let (_keep, root) = folder(&[
            (
                "everwarm.toml",
                "name = \"app\"\n[build]\ncommand = \"make\"\nwatch = [\"src\", \"Makefile\"]\n[[function]]\ncomponent = \"a.wasm\"\n",
            ),
            ("src/main.go", ""),
        ]);
        let sources = sources(&Project::open(&root).unwrap()).await;
        assert!(sources.concern(&root.join("src/main.go")));
        assert!(sources.concern(&root.join("Makefile")));
        assert!(!sources.concern(&root.join("notes.txt")));
    }

    #[tokio::test]
    async fn component_that_somebody_else_builds_is_a_source() {
        let (_keep, root) = folder(&[(
            "everwarm.toml",
            "name = \"app\"\n[[function]]\ncomponent = \"target/app.wasm\"\n",
        )]);
        let sources = sources(&Project::open(&root).unwrap()).await;
        assert!(sources.concern(&root.join("target/app.wasm")));
    }
}
