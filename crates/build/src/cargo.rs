//! One call of cargo: a package's target for one world, and the path of the component that came out.
//! Which flags a guest is built with is decided here and nowhere else.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use cargo_metadata::Message;
use everwarm_manifest::World;
use tokio::process::Command;

use crate::event::Event;
use crate::package::{Artifact, Package};
use crate::process::{self, Pipe, ProcessError};
use crate::toolchain::{Toolchain, WASM_TARGET};

/// The shadow stack of guests that are built on the SDK, in bytes. It is part of every instance's
/// memory, so that a smaller one makes a fresh instance cheaper; Rust's own default is 1 MiB.
const SDK_GUEST_STACK_BYTES: u32 = 64 << 10;
/// The heap that such a guest begins with, in bytes. What a memory grows by is made accessible, and taken away again when
/// the instance is dropped: each is a call of the kernel's that interrupts all other threads. Pages that nothing touches
/// cost nothing.
const SDK_GUEST_HEAP_BYTES: u32 = 256 << 10;
/// The feature of the SDK that makes a WASI 0.3 component.
const SDK_FEATURE_03: &str = "wasi-0-3";
/// The longest that cargo may run.
const BUILD_TIME_MAX: Duration = Duration::from_hours(1);
/// How many of cargo's last lines an error keeps.
const LINES_KEPT_MAX: usize = 200;

/// Why cargo made no component.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CargoError {
    /// cargo couldn't be run to its end.
    #[error("couldn't build the package `{package}`: {source}")]
    Process {
        /// The package.
        package: String,
        /// Why.
        #[source]
        source: ProcessError,
    },
    /// cargo said no.
    #[error("cargo couldn't build the package `{package}` ({status}): its messages above say why")]
    Failed {
        /// The package.
        package: String,
        /// How cargo ended.
        status: ExitStatus,
        /// The last lines that cargo wrote for people, as it wrote them.
        output: String,
    },
    /// cargo said yes, and named no component.
    #[error(
        "cargo built the package `{package}` but named no .wasm file: is its `[lib]` a cdylib, and is no `build.target` forced?"
    )]
    NoComponent {
        /// The package.
        package: String,
    },
}

impl CargoError {
    /// The stable code, with a page in `docs/errors/`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Process { .. } | Self::Failed { .. } => "EW2009",
            Self::NoComponent { .. } => "EW2011",
        }
    }
}

/// Builds `package` in `folder` for `world` (`None`: for the world that its own source chooses).
pub(crate) async fn build(
    toolchain: &Toolchain,
    folder: &Path,
    package: &Package,
    world: Option<World>,
    color: bool,
    events: &mut (dyn FnMut(Event) + Send),
) -> Result<PathBuf, CargoError> {
    let mut command = toolchain.cargo(folder);
    arguments(&mut command, package, world, color);
    events(Event::Started {
        what: package.name.clone(),
        world,
        command: process::shown(&command),
    });
    let mut component = None;
    let mut output = VecDeque::with_capacity(LINES_KEPT_MAX);
    let status = process::run(command, BUILD_TIME_MAX, |pipe, line| match pipe {
        Pipe::Stdout => component = component_in(line, package).or(component.take()),
        Pipe::Stderr => {
            if output.len() == LINES_KEPT_MAX {
                output.pop_front();
            }
            output.push_back(line.to_owned());
            events(Event::Line(line.to_owned()));
        }
    })
    .await
    .map_err(|source| CargoError::Process {
        package: package.name.clone(),
        source,
    })?;
    if !status.success() {
        return Err(CargoError::Failed {
            package: package.name.clone(),
            status,
            output: Vec::from(output).join("\n"),
        });
    }
    let component = component.ok_or_else(|| CargoError::NoComponent {
        package: package.name.clone(),
    })?;
    events(Event::Finished {
        components: vec![component.clone()],
    });
    Ok(component)
}

fn arguments(command: &mut Command, package: &Package, world: Option<World>, color: bool) {
    command
        .args(["rustc", "--release", "--target", WASM_TARGET])
        .arg("--message-format=json-render-diagnostics")
        .args(["--color", if color { "always" } else { "never" }])
        // The whole id: a dependency may have the same name.
        .args(["--package", &package.id.repr]);
    match &package.target {
        Artifact::Library { .. } => command.arg("--lib"),
        Artifact::Binary { name } => command.args(["--bin", name]),
    };
    if let (Some(World::Wasi03), Some(sdk)) = (world, &package.sdk) {
        command.args(["--features", &format!("{sdk}/{SDK_FEATURE_03}")]);
    }
    let link_args = link_args(package);
    if !link_args.is_empty() {
        command.arg("--").args(link_args);
    }
}

/// What the linker is told beyond the package's own settings. `cargo rustc` gives it to the last step
/// only: flags in the environment or in cargo's configuration stay what they are, and nothing else is
/// built again.
fn link_args(package: &Package) -> Vec<String> {
    match package.sdk {
        Some(_) => vec![
            format!("-Clink-arg=-zstack-size={SDK_GUEST_STACK_BYTES}"),
            format!("-Clink-arg=--initial-heap={SDK_GUEST_HEAP_BYTES}"),
        ],
        // Others may need their stack: it isn't ours to shrink.
        None => Vec::new(),
    }
}

/// The component, if this line of cargo's is the one that names it.
fn component_in(line: &str, package: &Package) -> Option<PathBuf> {
    let Ok(Message::CompilerArtifact(artifact)) = serde_json::from_str(line) else {
        return None;
    };
    let (Artifact::Library { name } | Artifact::Binary { name }) = &package.target;
    if artifact.package_id != package.id || artifact.target.name != *name {
        return None;
    }
    artifact
        .filenames
        .into_iter()
        .find(|path| path.extension() == Some("wasm"))
        .map(Into::into)
}

#[cfg(test)]
mod tests {
    use cargo_metadata::PackageId;

    use super::*;

    fn package(sdk: Option<&str>, target: Artifact) -> Package {
        Package {
            name: "demo".to_owned(),
            id: PackageId {
                repr: "path+file:///demo#0.1.0".to_owned(),
            },
            target,
            sdk: sdk.map(str::to_owned),
        }
    }

    fn library() -> Artifact {
        Artifact::Library {
            name: "demo".to_owned(),
        }
    }

    fn typed(package: &Package, world: Option<World>) -> String {
        let mut command = Command::new("cargo");
        arguments(&mut command, package, world, false);
        process::shown(&command)
    }

    #[test]
    fn sdk_guest_gets_its_stack_and_heap_and_for_0_3_the_sdks_feature() {
        let package = package(Some("sdk"), library());
        let both = "cargo rustc --release --target wasm32-wasip2 --message-format=json-render-diagnostics --color never --package path+file:///demo#0.1.0 --lib";
        let stack = "-- -Clink-arg=-zstack-size=65536 -Clink-arg=--initial-heap=262144";
        assert_eq!(
            typed(&package, Some(World::Wasi02)),
            format!("{both} {stack}")
        );
        assert_eq!(
            typed(&package, Some(World::Wasi03)),
            format!("{both} --features sdk/wasi-0-3 {stack}")
        );
    }

    #[test]
    fn guest_without_the_sdk_is_built_as_it_is() {
        let target = Artifact::Binary {
            name: "server".to_owned(),
        };
        let line = typed(&package(None, target), Some(World::Wasi03));
        assert!(line.ends_with("#0.1.0 --bin server"), "{line}");
    }

    #[test]
    fn only_the_packages_own_wasm_is_taken_from_cargos_messages() {
        let artifact = |id: &str, name: &str, file: &str| {
            format!(
                r#"{{"reason":"compiler-artifact","package_id":"{id}","manifest_path":"/demo/Cargo.toml","target":{{"kind":["cdylib"],"crate_types":["cdylib"],"name":"{name}","src_path":"/demo/src/lib.rs","edition":"2024","doc":true,"doctest":false,"test":true}},"profile":{{"opt_level":"3","debuginfo":0,"debug_assertions":false,"overflow_checks":false,"test":false}},"features":[],"filenames":["{file}"],"executable":null,"fresh":false}}"#
            )
        };
        let package = package(None, library());
        let of = |id, name, file| component_in(&artifact(id, name, file), &package);
        let own = "path+file:///demo#0.1.0";
        assert_eq!(
            of(own, "demo", "/t/demo.wasm"),
            Some(PathBuf::from("/t/demo.wasm"))
        );
        assert_eq!(of("other", "demo", "/t/demo.wasm"), None);
        assert_eq!(of(own, "build-script-build", "/t/demo.wasm"), None);
        assert_eq!(of(own, "demo", "/t/demo.so"), None);
        assert_eq!(component_in("not JSON", &package), None);
    }
}
