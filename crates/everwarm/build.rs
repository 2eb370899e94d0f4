//! Puts the SDK's sources and the templates into the binary, so that `everwarm new` works anywhere.
//! Owns which files are carried; `templates` owns what becomes of them.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// What is carried: the constant's name, and its files' folder in this repository.
const CARRIED: &[(&str, &str)] = &[
    ("SDK", "guest/sdk"),
    ("SDK_MACROS", "guest/sdk-macros"),
    ("HTTP", "examples/hello"),
    ("AXUM", "examples/axum-api"),
    ("BARE", "examples/bare"),
];
/// Folders that hold what is made from sources.
const FOLDERS_IGNORED: &[&str] = &["target", ".everwarm"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("../..");
    let root = root.canonicalize()?;
    let mut code = String::new();
    for (constant, folder) in CARRIED {
        let base = root.join(folder);
        let mut files = Vec::new();
        collect(&base, &mut files)?;
        files.sort();
        write_constant(&mut code, constant, &base, &files)?;
    }
    let workspace = root.join("guest/Cargo.toml");
    println!("cargo::rerun-if-changed={}", workspace.display());
    let literal = literal(&workspace)?;
    writeln!(
        code,
        "pub(super) const SDK_WORKSPACE: &str = include_str!({literal});"
    )?;
    fs::write(Path::new(&env::var("OUT_DIR")?).join("carried.rs"), code)?;
    println!("cargo::rerun-if-changed=build.rs");
    Ok(())
}

fn write_constant(
    code: &mut String,
    constant: &str,
    base: &Path,
    files: &[PathBuf],
) -> Result<(), Box<dyn std::error::Error>> {
    writeln!(code, "pub(super) const {constant}: &[(&str, &[u8])] = &[")?;
    for file in files {
        // cargo runs this again for a file that changes, and for a folder in which one is added.
        println!("cargo::rerun-if-changed={}", file.display());
        let name = file.strip_prefix(base)?.to_string_lossy();
        let file = literal(file)?;
        writeln!(code, "    ({name:?}, include_bytes!({file})),")?;
    }
    writeln!(code, "];")?;
    Ok(())
}

/// A path as Rust has it in source.
fn literal(path: &Path) -> Result<String, Box<dyn std::error::Error>> {
    let text = path.to_str().ok_or("a path isn't UTF-8")?;
    Ok(format!("{text:?}"))
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default();
        if !path.is_dir() {
            files.push(path);
        } else if !FOLDERS_IGNORED.iter().any(|ignored| name == *ignored) {
            collect(&path, files)?;
        }
    }
    // The folder's own time changes when a file is added. One that holds a target folder is left out:
    // cargo looks at all below.
    let has_made = FOLDERS_IGNORED
        .iter()
        .any(|name| folder.join(name).exists());
    if !has_made {
        println!("cargo::rerun-if-changed={}", folder.display());
    }
    Ok(())
}
