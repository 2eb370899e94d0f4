//! `--install-peers`: brings the servers to compare with into `target/peers`, and nowhere else.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};

use crate::settings::Settings;

/// The release line that we build on ourselves, so that the sandbox is the same.
const WASMTIME_CLI: &str = "48.0.8";
/// npm packages whose install puts a native binary into `node_modules`.
const NPM_PACKAGES: &[&str] = &["workerd@^1.20261117.1", "deno@^2.9.6"];

/// Installs what is missing. What can't be installed is said in plain words; the bench then skips it.
///
/// # Errors
/// When the folder can't be made.
pub(crate) fn run(settings: &Settings) -> anyhow::Result<()> {
    let folder = &settings.peers_folder;
    let npm = folder.join("npm");
    std::fs::create_dir_all(&npm).with_context(|| format!("could not create {}", npm.display()))?;
    say("workerd and deno", install_from_npm(folder));
    say("wasmtime", install_wasmtime(folder));
    Ok(())
}

fn say(peer: &str, installed: anyhow::Result<()>) {
    if let Err(error) = installed {
        eprintln!("{peer} could not be installed and will be skipped: {error:#}");
    }
}

fn install_from_npm(folder: &Path) -> anyhow::Result<()> {
    let npm = folder.join("npm");
    // Without a package.json of its own, npm would install into the nearest folder above that has one.
    let package = npm.join("package.json");
    if !package.exists() {
        std::fs::write(&package, "{\"private\": true}\n")?;
    }
    finish(
        Command::new("npm")
            .current_dir(&npm)
            .args(["install", "--no-audit", "--no-fund"])
            .args(NPM_PACKAGES),
    )
}

fn install_wasmtime(folder: &Path) -> anyhow::Result<()> {
    if folder.join("bin/wasmtime").exists() {
        return Ok(());
    }
    eprintln!("wasmtime is compiled from crates.io: that takes several minutes.");
    finish(
        Command::new("cargo")
            .args([
                "install",
                "wasmtime-cli",
                "--locked",
                "--version",
                WASMTIME_CLI,
            ])
            .arg("--root")
            .arg(folder),
    )
}

fn finish(command: &mut Command) -> anyhow::Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command
        .status()
        .with_context(|| format!("could not start {program}"))?;
    if !status.success() {
        bail!("{program} failed ({status})");
    }
    Ok(())
}
