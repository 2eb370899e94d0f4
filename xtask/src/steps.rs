//! Running other programs: prints what runs, and turns a failure into an error that names the command.
//!
//! Knows no verb. Output goes straight to the terminal unless a caller asks to read it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, bail};

/// Seconds from which on a step's time is shown: what makes a run long.
const SHOWN_TIME_MIN_S: u64 = 5;

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    let manifest_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest_dir.parent().unwrap_or(manifest_dir).to_owned()
}

/// `cargo` as the one that runs us, in the root of the repository.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// What tells cargo to have the workspace's own crates compiled by this program, if by any but rustc. Not in the
/// environment: tests run cargo too.
pub(crate) fn compiled_by(compiler: Option<&Path>) -> Vec<String> {
    let Some(compiler) = compiler else {
        return Vec::new();
    };
    let path = toml::Value::from(compiler.display().to_string());
    let setting = format!("build.rustc-workspace-wrapper={path}");
    vec!["--config".to_owned(), setting]
}

/// `rustc` as cargo would find it in the root of the repository.
pub(crate) fn rustc() -> Command {
    let mut command = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    command.current_dir(root());
    command
}

/// Where cargo puts what it builds for the main workspace.
///
/// # Errors
/// When `cargo metadata` fails.
pub(crate) fn target_dir() -> anyhow::Result<PathBuf> {
    let metadata = read(cargo().args(["metadata", "--no-deps", "--format-version=1"]))?;
    let metadata: serde_json::Value = serde_json::from_str(&metadata)
        .context("`cargo metadata` printed something that is not JSON")?;
    metadata["target_directory"]
        .as_str()
        .map(PathBuf::from)
        .context("`cargo metadata` named no target directory")
}

/// Runs one step to its end, shown as a heading.
///
/// # Errors
/// When the program can't be started or doesn't succeed; the message names the command.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<()> {
    let shown = show(command);
    eprintln!("\n==> {shown}");
    let started = Instant::now();
    let status = command
        .status()
        .with_context(|| format!("could not start `{shown}`"))?;
    if !status.success() {
        bail!(
            "`{shown}` failed ({status}) after {:.0} s",
            started.elapsed().as_secs_f32()
        );
    }
    let took = started.elapsed().as_secs();
    if took >= SHOWN_TIME_MIN_S {
        eprintln!("==> {took} s: {shown}");
    }
    Ok(())
}

/// Runs a program and returns what it printed to stdout.
///
/// # Errors
/// As [`run`], and when the output is not UTF-8.
pub(crate) fn read(command: &mut Command) -> anyhow::Result<String> {
    let shown = show(command);
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("could not start `{shown}`"))?;
    if !output.status.success() {
        bail!("`{shown}` failed ({})", output.status);
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{shown}` printed bytes, not text"))
}

/// Whether a program answers, quietly.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// The command as one would type it.
fn show(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let mut words = vec![
        program
            .file_stem()
            .unwrap_or(program.as_os_str())
            .to_string_lossy()
            .into_owned(),
    ];
    words.extend(
        command
            .get_args()
            .map(|arg| arg.to_string_lossy().into_owned()),
    );
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compiler_is_told_as_cargos_configuration_whatever_its_path() {
        let path = "/some \"folder\"/compile.sh";
        let told = compiled_by(Some(Path::new(path)));
        assert_eq!(told[0], "--config");
        let parsed: toml::Table = told[1].parse().expect("cargo reads it as TOML");
        assert_eq!(
            parsed["build"]["rustc-workspace-wrapper"].as_str(),
            Some(path)
        );
        assert!(compiled_by(None).is_empty());
    }
}
