//! Which cargo package and target an app is built from, and how it uses the SDK. Asks
//! `cargo metadata` without resolving anything, so it needs no network.

use std::path::{Path, PathBuf};
use std::time::Duration;

use cargo_metadata::{
    CrateType, DependencyKind, Metadata, MetadataCommand, PackageId, Target, TargetKind,
};

use crate::process::{self, Pipe, ProcessError};
use crate::toolchain::Toolchain;

/// The SDK's package.
const SDK: &str = "everwarm-sdk";
/// The longest that `cargo metadata` may take: it reads a few files.
const METADATA_TIME_MAX: Duration = Duration::from_mins(10);

/// What cargo is asked to build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) id: PackageId,
    pub(crate) target: Artifact,
    /// What the package calls the SDK, if it depends on it.
    pub(crate) sdk: Option<String>,
}

/// The target that becomes the component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Artifact {
    Library { name: String },
    Binary { name: String },
}

/// Why an app's package isn't known.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PackageError {
    /// There is nothing to build.
    #[error(
        "{} has no Cargo.toml: add one, or set `component` in [[function]], or `command` in [build]",
        folder.display()
    )]
    NoCargoToml {
        /// The app's folder.
        folder: PathBuf,
    },
    /// `cargo metadata` couldn't be run.
    #[error("cargo couldn't read the package: {source}")]
    Process {
        /// Why.
        #[from]
        source: ProcessError,
    },
    /// `cargo metadata` refused.
    #[error("cargo couldn't read the package:\n{said}")]
    Refused {
        /// What cargo wrote.
        said: String,
    },
    /// `cargo metadata` answered something else than its own format.
    #[error("cargo's description of the package couldn't be read: {source}")]
    Metadata {
        /// Why.
        #[from]
        source: cargo_metadata::Error,
    },
    /// It isn't clear which package is meant.
    #[error("{asked}: set `package` in [build] to one of {packages:?}")]
    NoPackage {
        /// What was looked for.
        asked: String,
        /// What there is.
        packages: Vec<String>,
    },
    /// The package makes no component.
    #[error(
        "the package `{package}` makes no component: add these lines to its Cargo.toml\n\n[lib]\ncrate-type = [\"cdylib\"]"
    )]
    NoArtifact {
        /// The package.
        package: String,
    },
    /// The package makes several.
    #[error(
        "the package `{package}` has the binaries {binaries:?}: name one of them `{package}`, or set `default-run`"
    )]
    ManyBinaries {
        /// The package.
        package: String,
        /// Its binaries.
        binaries: Vec<String>,
    },
}

impl PackageError {
    /// The stable code, with a page in `docs/errors/`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Process { .. } | Self::Refused { .. } | Self::Metadata { .. } => "EW2009",
            Self::NoCargoToml { .. }
            | Self::NoPackage { .. }
            | Self::NoArtifact { .. }
            | Self::ManyBinaries { .. } => "EW2011",
        }
    }
}

/// What `cargo metadata --no-deps` says in `folder`.
pub(crate) async fn metadata(
    toolchain: &Toolchain,
    folder: &Path,
) -> Result<Metadata, PackageError> {
    let mut command = toolchain.cargo(folder);
    command.args(["metadata", "--format-version", "1", "--no-deps"]);
    command.args(["--color", "never"]);
    let (mut answer, mut said) = (String::new(), String::new());
    let status = process::run(command, METADATA_TIME_MAX, |pipe, line| match pipe {
        Pipe::Stdout => answer.push_str(line),
        Pipe::Stderr => {
            said.push_str(line);
            said.push('\n');
        }
    })
    .await?;
    if !status.success() {
        return Err(PackageError::Refused {
            said: said.trim_end().to_owned(),
        });
    }
    Ok(MetadataCommand::parse(answer)?)
}

/// The package of the app in `folder`; `wanted` is the name that its manifest gives.
pub(crate) async fn find(
    toolchain: &Toolchain,
    folder: &Path,
    wanted: Option<&str>,
) -> Result<Package, PackageError> {
    if !folder.join("Cargo.toml").is_file() {
        return Err(PackageError::NoCargoToml {
            folder: folder.to_owned(),
        });
    }
    let metadata = metadata(toolchain, folder).await?;
    choose(&metadata, folder, wanted)
}

fn choose(
    metadata: &Metadata,
    folder: &Path,
    wanted: Option<&str>,
) -> Result<Package, PackageError> {
    let here = folder.join("Cargo.toml");
    let package = metadata
        .packages
        .iter()
        .find(|package| match wanted {
            Some(name) => package.name.as_str() == name,
            None => package.manifest_path.as_std_path() == here,
        })
        .ok_or_else(|| PackageError::NoPackage {
            asked: match wanted {
                Some(name) => format!("there is no package `{name}` in {}", folder.display()),
                None => format!("{} is a workspace without a package", here.display()),
            },
            packages: metadata
                .packages
                .iter()
                .map(|package| package.name.to_string())
                .collect(),
        })?;
    let sdk = package
        .dependencies
        .iter()
        .find(|dependency| dependency.name == SDK && dependency.kind == DependencyKind::Normal)
        .map(|dependency| dependency.rename.clone().unwrap_or_else(|| SDK.to_owned()));
    Ok(Package {
        name: package.name.to_string(),
        id: package.id.clone(),
        target: artifact(package)?,
        sdk,
    })
}

fn artifact(package: &cargo_metadata::Package) -> Result<Artifact, PackageError> {
    let is_component = |target: &&Target| target.crate_types.contains(&CrateType::CDyLib);
    let name = package.name.as_str();
    if let Some(library) = package
        .targets
        .iter()
        .filter(|target| !target.kind.contains(&TargetKind::Example))
        .find(is_component)
    {
        return Ok(Artifact::Library {
            name: library.name.clone(),
        });
    }
    let binaries: Vec<&str> = package
        .targets
        .iter()
        .filter(|target| target.is_bin())
        .map(|target| target.name.as_str())
        .collect();
    let chosen = match binaries.as_slice() {
        [] => {
            return Err(PackageError::NoArtifact {
                package: name.to_owned(),
            });
        }
        [only] => Some(*only),
        many => many
            .iter()
            .copied()
            .find(|binary| package.default_run.as_deref().unwrap_or(name) == *binary),
    };
    match chosen {
        Some(binary) => Ok(Artifact::Binary {
            name: binary.to_owned(),
        }),
        None => Err(PackageError::ManyBinaries {
            package: name.to_owned(),
            binaries: binaries.into_iter().map(str::to_owned).collect(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with a package of these files, and what is found in it.
    async fn found(manifest: &str, files: &[&str]) -> Result<Package, PackageError> {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        std::fs::create_dir_all(folder.join("src/bin")).unwrap();
        std::fs::write(folder.join("Cargo.toml"), manifest).unwrap();
        for file in files {
            std::fs::write(folder.join(file), "").unwrap();
        }
        find(&Toolchain::find().unwrap(), &folder, None).await
    }

    const HEAD: &str = "[package]\nname = \"demo-app\"\nedition = \"2024\"\n[workspace]\n";
    const CDYLIB: &str = "[lib]\ncrate-type = [\"cdylib\"]\n";

    #[tokio::test]
    async fn cdylib_is_the_artifact_and_the_sdk_is_found_under_its_new_name() {
        let manifest = format!(
            "{HEAD}{CDYLIB}[dependencies]\nsdk = {{ package = \"everwarm-sdk\", version = \"1\" }}\n"
        );
        let package = found(&manifest, &["src/lib.rs"]).await.unwrap();
        assert_eq!(
            package.target,
            Artifact::Library {
                name: "demo_app".to_owned()
            }
        );
        assert_eq!(package.sdk.as_deref(), Some("sdk"));
    }

    #[tokio::test]
    async fn sdk_of_tests_alone_is_not_counted() {
        let manifest = format!("{HEAD}{CDYLIB}[dev-dependencies]\neverwarm-sdk = \"1\"\n");
        let package = found(&manifest, &["src/lib.rs"]).await.unwrap();
        assert_eq!(package.sdk, None);
    }

    #[tokio::test]
    async fn single_binary_is_the_artifact_when_there_is_no_cdylib() {
        let package = found(HEAD, &["src/main.rs"]).await.unwrap();
        assert_eq!(
            package.target,
            Artifact::Binary {
                name: "demo-app".to_owned()
            }
        );
    }

    #[tokio::test]
    async fn plain_library_is_told_how_to_become_a_component() {
        let error = found(HEAD, &["src/lib.rs"]).await.unwrap_err();
        assert_eq!(error.code(), "EW2011");
        assert!(error.to_string().contains("cdylib"), "{error}");
    }

    #[tokio::test]
    async fn several_binaries_without_a_choice_are_named() {
        let error = found(HEAD, &["src/bin/a.rs", "src/bin/b.rs"])
            .await
            .unwrap_err();
        assert_eq!(error.code(), "EW2011");
        assert!(error.to_string().contains("[\"a\", \"b\"]"), "{error}");
    }

    #[tokio::test]
    async fn virtual_workspace_without_a_choice_names_the_packages() {
        let error = found("[workspace]\nmembers = []\n", &[]).await.unwrap_err();
        assert_eq!(error.code(), "EW2011");
        assert!(
            error.to_string().contains("`package` in [build]"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn folder_without_cargo_toml_lists_the_ways_out() {
        let folder = tempfile::tempdir().unwrap();
        let error = find(&Toolchain::find().unwrap(), folder.path(), None)
            .await
            .unwrap_err();
        assert_eq!(error.code(), "EW2011");
        assert!(error.to_string().contains("`component`"), "{error}");
    }

    #[tokio::test]
    async fn broken_cargo_toml_shows_cargos_own_words() {
        let error = found("[package\n", &[]).await.unwrap_err();
        assert_eq!(error.code(), "EW2009");
        assert!(error.to_string().contains("Cargo.toml"), "{error}");
    }
}
