//! The binary as it ships: `dist`, built twice. The first build counts its own branches under load, and the
//! second is laid out by what was counted (docs/decisions/0007).
//!
//! Owns the two builds and the profile between them, all in `target/shipped`. What is exercised is the
//! bench's (`bench/src/train.rs`, and what is below it). <https://doc.rust-lang.org/rustc/profile-guided-optimization.html>

use std::fs;
use std::hash::Hasher as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use anyhow::{Context, ensure};

use crate::steps;

/// The profile that ships: fat LTO, one codegen unit.
pub(crate) const PROFILE: &str = "dist";

/// What decides what is counted, besides the binary itself.
const TRAINING: &[&str] = &["bench/src/train.rs", "bench/src/train/served.rs"];

/// Builds the binary as it ships and returns where it is. `train` runs the program that counts: it gets the
/// path of the binary that does, and ends when that has ended.
///
/// A profile is kept until the code or the training changes. To make a new one, remove `target/shipped`.
///
/// # Errors
/// When something can't be built or installed, or the training fails.
pub(crate) fn everwarm(train: impl FnOnce(&Path) -> anyhow::Result<()>) -> anyhow::Result<PathBuf> {
    let folder = steps::target_dir()?.join("shipped");
    let compiler = Compiler::in_use()?;
    let merge = compiler.profile_tool()?;

    let counts = folder.join("counts");
    let generate = format!("-Cprofile-generate={}", counts.display());
    let counting = build(&compiler, &folder.join("counting"), &generate)?;
    let profile = if let Some(kept) = kept_profile(&folder, &counting)? {
        kept
    } else {
        // What an earlier binary counted fits another one.
        remove_folder(&counts)?;
        train(&counting)?;
        ensure!(
            counts.is_dir(),
            "the binary left no counts in {}: it writes them when it ends by itself",
            counts.display()
        );
        merged(&merge, &counts, &folder)?
    };
    let usage = format!("-Cprofile-use={}", profile.display());
    build(&compiler, &folder.join("final"), &usage)
}

/// Builds the binary into a folder of its own. A target that is named keeps the flags from build scripts.
fn build(compiler: &Compiler, folder: &Path, flags: &str) -> anyhow::Result<PathBuf> {
    let mut cargo = steps::cargo();
    cargo
        .args(["build", "--profile", PROFILE, "--package", "everwarm"])
        .args(["--target", &compiler.host, "--target-dir"])
        .arg(folder)
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env("RUSTFLAGS", flags);
    steps::run(&mut cargo)?;
    let built = folder.join(&compiler.host).join(PROFILE);
    Ok(built.join(format!("everwarm{}", std::env::consts::EXE_SUFFIX)))
}

/// The profile that is newer than all that it comes from.
fn kept_profile(folder: &Path, counting: &Path) -> anyhow::Result<Option<PathBuf>> {
    let mut newest: Option<(SystemTime, PathBuf)> = None;
    for path in profiles(folder)? {
        let made = modified(&path)?;
        if newest.as_ref().is_none_or(|(time, _)| made > *time) {
            newest = Some((made, path));
        }
    }
    let mut from = modified(counting)?;
    for file in TRAINING {
        from = from.max(modified(&steps::root().join(file))?);
    }
    Ok(newest
        .filter(|(made, _)| *made > from)
        .map(|(_, path)| path))
}

/// Merges the counts into a profile whose name tells its content: cargo sees flags and not what is in a
/// file, and would take the binary of an earlier profile for this one's.
fn merged(tool: &Path, counts: &Path, folder: &Path) -> anyhow::Result<PathBuf> {
    for old in profiles(folder)? {
        fs::remove_file(&old).with_context(|| format!("could not remove {}", old.display()))?;
    }
    let fresh = folder.join("fresh");
    let mut merge = Command::new(tool);
    merge.arg("merge").arg("-o").arg(&fresh).arg(counts);
    steps::run(&mut merge)?;
    let bytes = fs::read(&fresh).with_context(|| format!("could not read {}", fresh.display()))?;
    // No secret and no stranger's input: any hash that tells one profile from the next will do.
    let mut hasher = std::hash::DefaultHasher::new();
    hasher.write(&bytes);
    let profile = folder.join(format!("{:016x}.{EXTENSION}", hasher.finish()));
    fs::rename(&fresh, &profile)
        .with_context(|| format!("could not rename {}", fresh.display()))?;
    remove_folder(counts)?;
    Ok(profile)
}

const EXTENSION: &str = "profdata";

fn profiles(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("could not list {}", folder.display()))?;
    let paths = entries.map(|entry| Ok(entry?.path()));
    let paths: Vec<PathBuf> = paths.collect::<std::io::Result<_>>()?;
    let is_profile = |path: &PathBuf| path.extension().is_some_and(|found| found == EXTENSION);
    Ok(paths.into_iter().filter(is_profile).collect())
}

fn modified(path: &Path) -> anyhow::Result<SystemTime> {
    fs::metadata(path)
        .and_then(|metadata| metadata.modified())
        .with_context(|| format!("could not tell the age of {}", path.display()))
}

fn remove_folder(folder: &Path) -> anyhow::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("could not remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

/// The Rust toolchain that builds this repository.
struct Compiler {
    /// The triple of this machine.
    host: String,
    sysroot: PathBuf,
}

impl Compiler {
    fn in_use() -> anyhow::Result<Self> {
        let facts = steps::read(steps::rustc().arg("-vV"))?;
        let host = facts.lines().find_map(|line| line.strip_prefix("host: "));
        let sysroot = steps::read(steps::rustc().args(["--print", "sysroot"]))?;
        Ok(Self {
            host: host.context("`rustc -vV` named no host")?.to_owned(),
            sysroot: PathBuf::from(sysroot.trim()),
        })
    }

    /// The tool that merges counts, of the same LLVM as the compiler. Installed when it is missing.
    fn profile_tool(&self) -> anyhow::Result<PathBuf> {
        let tools = self
            .sysroot
            .join("lib/rustlib")
            .join(&self.host)
            .join("bin");
        let tool = tools.join(format!("llvm-profdata{}", std::env::consts::EXE_SUFFIX));
        if !tool.is_file() {
            eprintln!("The component llvm-tools is missing: installing it with rustup.");
            let mut rustup = Command::new("rustup");
            rustup
                .current_dir(steps::root())
                .args(["component", "add", "llvm-tools"]);
            steps::run(&mut rustup).context(
                "the binary that ships learns from a run, which takes llvm-profdata of the toolchain's \
                 own LLVM: install llvm-tools, or measure a plain build with `cargo xtask bench --plain`",
            )?;
        }
        Ok(tool)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::time::Duration;

    use super::*;

    /// An empty file that was last changed so many hours from now.
    fn file(folder: &Path, name: &str, hours: u64) -> PathBuf {
        let path = folder.join(name);
        let time = SystemTime::now() + Duration::from_hours(hours);
        let made = File::create(&path).and_then(|file| file.set_modified(time));
        made.expect("a file can be made in a temporary folder");
        path
    }

    #[test]
    fn profile_is_kept_until_the_binary_that_counts_is_newer() {
        let folder = std::env::temp_dir().join(format!("everwarm-shipped-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a temporary folder can be made");
        let counting = file(&folder, "everwarm", 1);
        let kept = || kept_profile(&folder, &counting).expect("the folder can be read");
        assert_eq!(kept(), None);
        file(&folder, "old.profdata", 0);
        file(&folder, "other.profraw", 9);
        assert_eq!(kept(), None);
        let newer = file(&folder, "newer.profdata", 2);
        assert_eq!(kept(), Some(newer));
        let newest = file(&folder, "newest.profdata", 3);
        assert_eq!(kept(), Some(newest));
        fs::remove_dir_all(&folder).expect("it can be removed again");
    }
}
