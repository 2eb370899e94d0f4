//! `cargo xtask guests`: builds the test guests that `guest/guests.toml` lists, one file a world.
//!
//! Owns where they land (`guest/target/guests/<name>.<world>.wasm`). Knows nothing of what they do.
//! Making a component of text is `text`'s.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::steps;

mod text;

/// The target that guests are built for.
pub(crate) const WASM_TARGET: &str = "wasm32-wasip2";
/// How cargo takes flags for the Wasm target only.
const FLAGS_VARIABLE: &str = "CARGO_TARGET_WASM32_WASIP2_RUSTFLAGS";
/// The stack that `everwarm build` gives guests on the SDK, which all examples but `bare` are.
const EXAMPLE_STACK_BYTES: i64 = 64 << 10;
/// The heap that it gives them, and whatever has such a stack.
const HEAP_BYTES: i64 = 256 << 10;
const WASI_02: &str = "wasi-0.2";
const WASI_03: &str = "wasi-0.3";
/// What turns a guest built on the SDK into a WASI 0.3 component.
const WASI_03_FEATURE: &str = "everwarm-sdk/wasi-0-3";

/// One line of `guest/guests.toml`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Guest {
    /// The name that tests know it by.
    pub(crate) name: String,
    /// What it is built from.
    pub(crate) source: Source,
    /// `wasi-0.2`, `wasi-0.3` or both.
    pub(crate) worlds: Vec<String>,
    /// Cargo features for the 0.3 build.
    pub(crate) features_03: Vec<String>,
    /// The shadow stack, as `everwarm build` sets it for guests on the SDK. `None`: Rust's own.
    pub(crate) stack_bytes: Option<i64>,
}

/// What a guest is built from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// A cargo package, by its name.
    Package(String),
    /// A folder of WebAssembly text, below `guest`.
    Text(String),
}

/// What guests that one cargo call builds have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Batch<'a> {
    world: &'a str,
    features: &'a [String],
    stack_bytes: Option<i64>,
}

/// A guest that cargo builds.
#[derive(Debug, Clone, Copy)]
struct Package<'a> {
    /// The guest's name.
    name: &'a str,
    package: &'a str,
}

/// Installs the Wasm target when it is missing, and builds every guest. Returns their folder.
///
/// What the list no longer names leaves the folder, so that no test finds here what a fresh clone lacks.
///
/// # Errors
/// When the list is wrong, a guest doesn't build, or a file can't be copied or removed.
pub(crate) fn run() -> anyhow::Result<PathBuf> {
    install_wasm_target()?;
    let guests = listed()?;
    let target_dir = steps::root().join("guest/target");
    let folder = target_dir.join("guests");
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("could not create {}", folder.display()))?;
    // One cargo call for all guests that share a world and features: cargo builds them in parallel.
    let mut batches: BTreeMap<Batch<'_>, Vec<Package<'_>>> = BTreeMap::new();
    for guest in &guests {
        for world in &guest.worlds {
            let name = &guest.name;
            let package = match &guest.source {
                Source::Package(package) => Package { name, package },
                Source::Text(source) => {
                    let source = steps::root().join("guest").join(source);
                    text::build(&source, world, &component(&folder, name, world))
                        .with_context(|| format!("guest `{name}`"))?;
                    continue;
                }
            };
            let features: &[String] = if world == WASI_03 {
                &guest.features_03
            } else {
                &[]
            };
            let batch = Batch {
                world,
                features,
                stack_bytes: guest.stack_bytes,
            };
            batches.entry(batch).or_default().push(package);
        }
    }
    for (batch, packages) in batches {
        build(&packages, batch, &target_dir)?;
        for package in packages {
            place(package, batch.world, &target_dir, &folder)?;
        }
    }
    let listed = guests.iter().flat_map(|guest| {
        let worlds = guest.worlds.iter();
        worlds.map(|world| component(&folder, &guest.name, world))
    });
    keep_only(&folder, &listed.collect())?;
    Ok(folder)
}

/// Removes the components of a folder that are none of these.
fn keep_only(folder: &Path, listed: &BTreeSet<PathBuf>) -> anyhow::Result<()> {
    let entries = std::fs::read_dir(folder);
    for entry in entries.with_context(|| format!("could not list {}", folder.display()))? {
        let path = entry?.path();
        if !listed.contains(&path) {
            std::fs::remove_file(&path)
                .with_context(|| format!("could not remove {}", path.display()))?;
        }
    }
    Ok(())
}

/// Where a guest lands.
fn component(folder: &Path, name: &str, world: &str) -> PathBuf {
    folder.join(format!("{name}.{world}.wasm"))
}

/// Builds an example and puts it beside the guests, for the WASI version that it builds for as it is.
///
/// # Errors
/// When it doesn't build.
pub(crate) fn example(name: &str) -> anyhow::Result<()> {
    let target_dir = steps::root().join("guest/target");
    let mut command = steps::cargo();
    command
        .current_dir(steps::root().join("examples").join(name))
        .args(["build", "--release", "--target", WASM_TARGET])
        .arg("--target-dir")
        .arg(&target_dir)
        .env(FLAGS_VARIABLE, flags(Some(EXAMPLE_STACK_BYTES)));
    steps::run(&mut command)?;
    let example = Package {
        name,
        package: name,
    };
    place(example, WASI_02, &target_dir, &target_dir.join("guests"))
}

/// Builds the packages of a batch.
fn build(packages: &[Package<'_>], batch: Batch<'_>, target_dir: &Path) -> anyhow::Result<()> {
    let mut command = steps::cargo();
    command
        .current_dir(steps::root().join("guest"))
        .args(["build", "--release", "--target", WASM_TARGET])
        .arg("--target-dir")
        .arg(target_dir)
        .env(FLAGS_VARIABLE, flags(batch.stack_bytes));
    for package in packages {
        command.args(["--package", package.package]);
    }
    if !batch.features.is_empty() {
        command.args(["--features", &batch.features.join(",")]);
    }
    steps::run(&mut command)
}

fn flags(stack_bytes: Option<i64>) -> String {
    stack_bytes.map_or_else(String::new, |bytes| {
        format!("-Clink-arg=-zstack-size={bytes} -Clink-arg=--initial-heap={HEAP_BYTES}")
    })
}

/// Copies what cargo built to the name that tests look for. The next world overwrites cargo's file.
fn place(guest: Package<'_>, world: &str, target_dir: &Path, folder: &Path) -> anyhow::Result<()> {
    let Package { name, package } = guest;
    let release = target_dir.join(WASM_TARGET).join("release");
    let from = [package.to_owned(), package.replace('-', "_")]
        .map(|stem| release.join(format!("{stem}.wasm")))
        .into_iter()
        .find(|path| path.is_file())
        .with_context(|| {
            format!(
                "guest `{name}`: package `{package}` built no .wasm in {}",
                release.display()
            )
        })?;
    let to = component(folder, name, world);
    std::fs::copy(&from, &to)
        .with_context(|| format!("could not copy {} to {}", from.display(), to.display()))?;
    Ok(())
}

/// The guests in `guest/guests.toml`.
///
/// # Errors
/// When the file can't be read or a key is missing or wrong.
pub(crate) fn listed() -> anyhow::Result<Vec<Guest>> {
    let path = steps::root().join("guest/guests.toml");
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("could not read {}", path.display()))?;
    parse(&text).context("guest/guests.toml")
}

fn parse(text: &str) -> anyhow::Result<Vec<Guest>> {
    let table: toml::Table = text.parse()?;
    let entries = table
        .get("guest")
        .and_then(toml::Value::as_array)
        .context("has no [[guest]]")?;
    entries.iter().map(parse_guest).collect()
}

fn parse_guest(entry: &toml::Value) -> anyhow::Result<Guest> {
    let text = |key: &str| {
        entry
            .get(key)
            .and_then(toml::Value::as_str)
            .map(str::to_owned)
    };
    let list = |key: &str| -> Option<Vec<String>> {
        let items = entry.get(key)?.as_array()?;
        items
            .iter()
            .map(|item| item.as_str().map(str::to_owned))
            .collect()
    };
    let name = text("name").context("a [[guest]] has no `name`")?;
    let source = match (text("package"), text("wat")) {
        (Some(package), None) => Source::Package(package),
        (None, Some(folder)) => Source::Text(folder),
        (Some(_), Some(_)) => {
            bail!("guest `{name}` has a `package` and a `wat`: it is one of them")
        }
        (None, None) => bail!("guest `{name}` has no `package` and no `wat`"),
    };
    let worlds = list("worlds").with_context(|| format!("guest `{name}` has no `worlds`"))?;
    if worlds.is_empty() {
        bail!("guest `{name}`: `worlds` is empty: name \"{WASI_02}\", \"{WASI_03}\" or both");
    }
    if let Some(world) = worlds
        .iter()
        .find(|world| ![WASI_02, WASI_03].contains(&world.as_str()))
    {
        bail!("guest `{name}`: there is no world `{world}`: use \"{WASI_02}\" or \"{WASI_03}\"");
    }
    let features_03 = list("features-0.3").unwrap_or_else(|| {
        if worlds.len() > 1 {
            vec![WASI_03_FEATURE.to_owned()]
        } else {
            Vec::new()
        }
    });
    Ok(Guest {
        name,
        source,
        worlds,
        features_03,
        stack_bytes: entry.get("stack_bytes").and_then(toml::Value::as_integer),
    })
}

/// Adds the Wasm target to the toolchain in use. `rust-toolchain.toml` doesn't do it for a toolchain
/// that is already there when `RUSTUP_AUTO_INSTALL=0`.
pub(crate) fn install_wasm_target() -> anyhow::Result<()> {
    let libdir =
        steps::read(steps::rustc().args(["--print", "target-libdir", "--target", WASM_TARGET]))?;
    if Path::new(libdir.trim()).is_dir() {
        return Ok(());
    }
    eprintln!("The target {WASM_TARGET} is missing: installing it with rustup.");
    let mut rustup = std::process::Command::new("rustup");
    rustup
        .current_dir(steps::root())
        .args(["target", "add", WASM_TARGET]);
    steps::run(&mut rustup).with_context(|| {
        format!(
            "guests are built for {WASM_TARGET}: install it with your Rust toolchain's own tool"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guest_in_two_worlds_gets_the_sdk_feature_for_wasi_0_3() {
        let guests = parse(
            "[[guest]]\nname = \"hello\"\npackage = \"guest-hello\"\nworlds = [\"wasi-0.2\", \"wasi-0.3\"]\n",
        )
        .expect("the list is right");
        assert_eq!(guests[0].source, Source::Package("guest-hello".to_owned()));
        assert_eq!(guests[0].features_03, [WASI_03_FEATURE]);
    }

    #[test]
    fn guest_that_lists_its_own_features_gets_only_those() {
        let guests = parse(
            "[[guest]]\nname = \"raw\"\npackage = \"raw\"\nworlds = [\"wasi-0.3\"]\n\"features-0.3\" = [\"x\"]\n",
        )
        .expect("the list is right");
        assert_eq!(guests[0].features_03, ["x"]);
    }

    #[test]
    fn unknown_world_is_named() {
        let error = parse("[[guest]]\nname = \"x\"\npackage = \"x\"\nworlds = [\"0.4\"]\n")
            .expect_err("there is no such world");
        assert!(error.to_string().contains("`0.4`"), "{error}");
    }

    #[test]
    fn missing_key_names_the_guest() {
        let error = parse("[[guest]]\nname = \"x\"\n").expect_err("a package is missing");
        assert!(error.to_string().contains("guest `x` has no `package`"));
    }

    #[test]
    fn guest_is_a_package_or_text_and_not_both() {
        let text = "[[guest]]\nname = \"x\"\nwat = \"wat/x\"\nworlds = [\"wasi-0.2\"]\n";
        let guests = parse(text).expect("the list is right");
        assert_eq!(guests[0].source, Source::Text("wat/x".to_owned()));
        let error = parse(&format!("{text}package = \"x\"\n")).expect_err("it is both");
        assert!(error.to_string().contains("guest `x`"), "{error}");
    }
}
