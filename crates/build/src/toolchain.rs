//! Finds cargo and rustc, and makes sure that the Wasm target is installed. Knows nothing of apps.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Command;

use crate::event::Event;
use crate::process::{self, Pipe, ProcessError};

/// The target that components are built for.
pub const WASM_TARGET: &str = "wasm32-wasip2";
/// The longest that rustc may take for an answer: rustup may install a toolchain first.
const QUESTION_TIME_MAX: Duration = Duration::from_mins(10);
/// The longest that installing the target may take.
const INSTALL_TIME_MAX: Duration = Duration::from_mins(15);

/// Where the Rust tools are.
#[derive(Debug, Clone)]
pub struct Toolchain {
    cargo: PathBuf,
    rustc: PathBuf,
    rustup: Option<PathBuf>,
}

/// Why nothing can be built on this machine.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ToolchainError {
    /// There is no cargo.
    #[error(
        "cargo isn't installed, or isn't on the PATH: install Rust from https://rustup.rs, open a new terminal and try again"
    )]
    NoCargo,
    /// A tool couldn't be asked.
    #[error("the Rust toolchain doesn't answer: check it with `rustc --version`")]
    Process(#[from] ProcessError),
    /// rustc is there, and refuses.
    #[error(
        "the Rust toolchain doesn't work here: {said}\ncheck it with `rustc --version` in the app's folder"
    )]
    Broken {
        /// What rustc said.
        said: String,
    },
    /// The Wasm target is missing and can't be installed from here.
    #[error("the Rust target {WASM_TARGET} is missing, and {why}")]
    NoTarget {
        /// Why it wasn't installed, and what to do.
        why: String,
    },
}

impl ToolchainError {
    /// The stable code, with a page in `docs/errors/`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoCargo | Self::Process(_) | Self::Broken { .. } => "EW4006",
            Self::NoTarget { .. } => "EW2010",
        }
    }
}

impl Toolchain {
    /// Looks for cargo on the PATH, in `CARGO_HOME` and where rustup puts it, and for rustc and rustup
    /// beside it. `RUSTC` is honoured, as cargo does.
    ///
    /// # Errors
    /// [`ToolchainError::NoCargo`].
    pub fn find() -> Result<Self, ToolchainError> {
        let mut folders: Vec<PathBuf> = env::var_os("PATH")
            .map(|path| env::split_paths(&path).collect())
            .unwrap_or_default();
        folders.extend(env::var_os("CARGO_HOME").map(|home| Path::new(&home).join("bin")));
        folders.extend(env::var_os("HOME").map(|home| Path::new(&home).join(".cargo/bin")));
        Self::find_in(&folders, env::var_os("RUSTC").as_deref())
    }

    fn find_in(folders: &[PathBuf], rustc: Option<&OsStr>) -> Result<Self, ToolchainError> {
        let find = |name: &str| {
            folders
                .iter()
                .map(|folder| folder.join(format!("{name}{}", env::consts::EXE_SUFFIX)))
                .find(|path| path.is_file())
        };
        let cargo = find("cargo").ok_or(ToolchainError::NoCargo)?;
        let rustc = match rustc {
            Some(rustc) => PathBuf::from(rustc),
            None => find("rustc").unwrap_or_else(|| PathBuf::from("rustc")),
        };
        Ok(Self {
            cargo,
            rustc,
            rustup: find("rustup"),
        })
    }

    /// Where rustup is, if it is there.
    pub fn rustup(&self) -> Option<&Path> {
        self.rustup.as_deref()
    }

    /// A cargo command that runs in `folder`.
    pub(crate) fn cargo(&self, folder: &Path) -> Command {
        let mut command = Command::new(&self.cargo);
        command.current_dir(folder);
        command
    }

    /// What `rustc --version` says in `folder`.
    ///
    /// # Errors
    /// [`ToolchainError`] when rustc can't be asked.
    pub async fn version(&self, folder: &Path) -> Result<String, ToolchainError> {
        self.ask_rustc(folder, &["--version"]).await
    }

    /// Whether the toolchain that is used in `folder` has the Wasm target.
    ///
    /// # Errors
    /// [`ToolchainError`] when rustc can't be asked.
    pub async fn has_wasm_target(&self, folder: &Path) -> Result<bool, ToolchainError> {
        let question = ["--print", "target-libdir", "--target", WASM_TARGET];
        let answer = self.ask_rustc(folder, &question).await?;
        Ok(Path::new(&answer).is_dir())
    }

    async fn ask_rustc(&self, folder: &Path, question: &[&str]) -> Result<String, ToolchainError> {
        let mut command = Command::new(&self.rustc);
        command.current_dir(folder).args(question);
        let (mut answer, mut said) = (String::new(), String::new());
        let status = process::run(command, QUESTION_TIME_MAX, |pipe, line| {
            let text = match pipe {
                Pipe::Stdout => &mut answer,
                Pipe::Stderr => &mut said,
            };
            text.push_str(line);
            text.push('\n');
        })
        .await?;
        if !status.success() {
            return Err(ToolchainError::Broken {
                said: said.trim().to_owned(),
            });
        }
        Ok(answer.trim().to_owned())
    }

    /// Installs the Wasm target with rustup unless it is there. `rust-toolchain.toml` doesn't do it for
    /// a toolchain that is installed already.
    pub(crate) async fn ensure_wasm_target(
        &self,
        folder: &Path,
        events: &mut (dyn FnMut(Event) + Send),
    ) -> Result<(), ToolchainError> {
        if self.has_wasm_target(folder).await? {
            return Ok(());
        }
        let Some(rustup) = &self.rustup else {
            return Err(ToolchainError::NoTarget {
                why: format!(
                    "there is no rustup to install it with: install {WASM_TARGET} with the tool that Rust came from, or use https://rustup.rs"
                ),
            });
        };
        let mut command = Command::new(rustup);
        command
            .current_dir(folder)
            .args(["target", "add", WASM_TARGET]);
        let typed = format!("rustup target add {WASM_TARGET}");
        events(Event::InstallingTarget {
            command: typed.clone(),
        });
        let status = process::run(command, INSTALL_TIME_MAX, |_, line| {
            events(Event::Line(line.to_owned()));
        })
        .await?;
        if status.success() && self.has_wasm_target(folder).await? {
            events(Event::TargetInstalled);
            return Ok(());
        }
        Err(ToolchainError::NoTarget {
            why: format!(
                "`{typed}` ended with {status}: see what it wrote above, then run it yourself"
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A folder with programs that are shell scripts.
    fn programs(scripts: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, script) in scripts {
            let path = folder.path().join(name);
            std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        folder
    }

    fn toolchain(folder: &tempfile::TempDir) -> Toolchain {
        Toolchain::find_in(&[folder.path().to_owned()], None).unwrap()
    }

    #[test]
    fn machine_without_cargo_is_sent_to_rustup() {
        let error = Toolchain::find_in(&[], None).unwrap_err();
        assert_eq!(error.code(), "EW4006");
        assert!(error.to_string().contains("https://rustup.rs"), "{error}");
    }

    #[tokio::test]
    async fn missing_target_is_installed_and_told() {
        let folder = programs(&[
            ("cargo", ""),
            ("rustc", "echo \"$(dirname \"$0\")/lib\""),
            (
                "rustup",
                "test \"$*\" = 'target add wasm32-wasip2' && mkdir \"$(dirname \"$0\")/lib\"",
            ),
        ]);
        let mut seen = Vec::new();
        toolchain(&folder)
            .ensure_wasm_target(folder.path(), &mut |event| seen.push(event))
            .await
            .unwrap();
        assert_eq!(
            seen,
            [
                Event::InstallingTarget {
                    command: "rustup target add wasm32-wasip2".to_owned()
                },
                Event::TargetInstalled
            ]
        );
    }

    #[tokio::test]
    async fn missing_target_without_rustup_has_a_code_and_a_way_out() {
        let folder = programs(&[("cargo", ""), ("rustc", "echo /no/such/folder")]);
        let error = toolchain(&folder)
            .ensure_wasm_target(folder.path(), &mut |_| {})
            .await
            .unwrap_err();
        assert_eq!(error.code(), "EW2010");
        assert!(error.to_string().contains("no rustup"), "{error}");
    }

    #[tokio::test]
    async fn failed_installation_repeats_what_to_run() {
        let folder = programs(&[
            ("cargo", ""),
            ("rustc", "echo /no/such/folder"),
            ("rustup", "exit 1"),
        ]);
        let error = toolchain(&folder)
            .ensure_wasm_target(folder.path(), &mut |_| {})
            .await
            .unwrap_err();
        assert_eq!(error.code(), "EW2010");
        assert!(
            error
                .to_string()
                .contains("rustup target add wasm32-wasip2"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn broken_rustc_is_quoted() {
        let folder = programs(&[("cargo", ""), ("rustc", "echo no toolchain >&2; exit 1")]);
        let error = toolchain(&folder)
            .has_wasm_target(folder.path())
            .await
            .unwrap_err();
        assert_eq!(error.code(), "EW4006");
        assert!(error.to_string().contains("no toolchain"), "{error}");
    }
}
