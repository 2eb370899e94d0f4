//! `cargo xtask dist`: one archive with all that a machine needs to run a node, and nothing that needs Rust there.
//!
//! Owns what is in the archive and what it is called. The binary is `shipped`'s, the bytes of the archive are
//! `dist::archive`'s, the list of what the binary is made of `dist::sbom`'s. Shell completions and man pages come from
//! the binary itself.

mod archive;
mod sbom;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use lexopt::{Arg, ValueExt as _};

use crate::{bench, steps};
use archive::Contents;

/// Shells, and what their completion scripts are called.
const COMPLETIONS: &[(&str, &str)] = &[
    ("bash", "everwarm.bash"),
    ("zsh", "_everwarm"),
    ("fish", "everwarm.fish"),
];
/// Files of the repository, and where they are in the archive.
const FILES: &[(&str, &str)] = &[
    ("LICENSE", "LICENSE"),
    ("README.md", "README.md"),
    ("CHANGELOG.md", "CHANGELOG.md"),
    ("SECURITY.md", "SECURITY.md"),
    ("packaging/everwarm.service", "systemd/everwarm.service"),
    ("packaging/everwarm.socket", "systemd/everwarm.socket"),
];
/// Pages for those who run a node.
const DOCS: &str = "docs";
/// What the archive's own name ends with.
const SUFFIX: &str = ".tar.gz";

/// What was asked for.
#[derive(Debug, Default)]
struct Options {
    plain: bool,
    binary: Option<PathBuf>,
    out: Option<PathBuf>,
}

/// Makes the archive, and its checksum beside it.
///
/// # Errors
/// When something can't be built, run or written.
pub(crate) fn run(args: &mut lexopt::Parser) -> anyhow::Result<()> {
    let options = options(args)?;
    let facts = steps::read(steps::rustc().arg("-vV"))?;
    let host = facts.lines().find_map(|line| line.strip_prefix("host: "));
    let host = host.context("`rustc -vV` named no host")?.to_owned();
    let target = steps::target_dir()?;
    let out = options.out.unwrap_or_else(|| target.join("dist-archive"));
    fs::create_dir_all(&out).with_context(|| format!("could not make {}", out.display()))?;
    let binary = match options.binary {
        Some(binary) => binary,
        None => bench::everwarm(options.plain)?,
    };

    let metadata = sbom::Metadata::read(&host)?;
    let name = format!("everwarm-{}-{host}", metadata.version()?);
    let scratch = out.join(format!("{name}.making"));
    remove_folder(&scratch)?;
    fs::create_dir_all(&scratch)
        .with_context(|| format!("could not make {}", scratch.display()))?;
    let contents = contents(&binary, &scratch, &metadata)?;
    let archive = out.join(format!("{name}{SUFFIX}"));
    let digest = contents.write(&archive, &name)?;
    let sums = out.join(format!("{name}{SUFFIX}.sha256"));
    fs::write(&sums, format!("{digest}  {name}{SUFFIX}\n"))
        .with_context(|| format!("could not write {}", sums.display()))?;
    remove_folder(&scratch)?;
    println!("{}", archive.display());
    Ok(())
}

fn options(args: &mut lexopt::Parser) -> anyhow::Result<Options> {
    let mut options = Options::default();
    while let Some(arg) = args.next()? {
        match arg {
            Arg::Long("plain") => options.plain = true,
            // A binary that is there, for tests of the archive.
            Arg::Long("binary") => options.binary = Some(args.value()?.parse::<OsString>()?.into()),
            Arg::Long("out") => options.out = Some(args.value()?.parse::<OsString>()?.into()),
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(options)
}

fn contents(binary: &Path, scratch: &Path, metadata: &sbom::Metadata) -> anyhow::Result<Contents> {
    let mut contents = Contents::default();
    let stripped = scratch.join("everwarm");
    let mut strip = Command::new("strip");
    strip.arg("-o").arg(&stripped).arg(binary);
    steps::run(&mut strip).context("`strip` is a part of binutils, which cc needs as well")?;
    contents.add_program("everwarm", read(&stripped)?);

    for (shell, file) in COMPLETIONS {
        let script = steps::read(Command::new(&stripped).args(["completions", shell]))?;
        contents.add(&format!("completions/{file}"), script.into_bytes());
    }
    let man = scratch.join("man");
    steps::run(Command::new(&stripped).arg("man").arg(&man))?;
    for page in listed(&man)? {
        let name = name_of(&page)?;
        contents.add(&format!("man/{name}"), read(&page)?);
    }
    for (from, to) in FILES {
        contents.add(to, read(&steps::root().join(from))?);
    }
    add_docs(&mut contents, &steps::root().join(DOCS), DOCS)?;
    contents.add("everwarm.cdx.json", metadata.sbom()?);
    Ok(contents)
}

fn add_docs(contents: &mut Contents, folder: &Path, name: &str) -> anyhow::Result<()> {
    for path in listed(folder)? {
        let name = format!("{name}/{}", name_of(&path)?);
        if path.is_dir() {
            add_docs(contents, &path, &name)?;
        } else {
            contents.add(&name, read(&path)?);
        }
    }
    Ok(())
}

fn listed(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("could not list {}", folder.display()))?;
    let paths = entries.map(|entry| Ok(entry?.path()));
    Ok(paths.collect::<std::io::Result<_>>()?)
}

fn name_of(path: &Path) -> anyhow::Result<&str> {
    let name = path.file_name().and_then(|name| name.to_str());
    name.with_context(|| format!("the name of {} is not UTF-8", path.display()))
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("could not read {}", path.display()))
}

fn remove_folder(folder: &Path) -> anyhow::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            bail!("could not remove {}: {error}", folder.display())
        }
        _ => Ok(()),
    }
}
