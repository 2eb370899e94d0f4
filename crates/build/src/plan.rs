//! What has to be built for an app, in which order: each world once, however many functions need it.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use everwarm_manifest::{Function, World};

use crate::cargo::{self, CargoError};
use crate::command::{self, CommandError};
use crate::component::{Component, ComponentError};
use crate::event::Event;
use crate::package::{self, PackageError};
use crate::project::Project;
use crate::toolchain::{Toolchain, ToolchainError};

/// Said when a component that the manifest names isn't there.
const HINT_PREBUILT: &str =
    "build it first, or remove `component` so that the folder's cargo package is built";
/// Said when the build command didn't leave what the manifest names.
const HINT_COMMAND: &str = "`command` of [build] didn't make it";
/// Said when cargo's file is gone already.
const HINT_CARGO: &str = "cargo said that it built it: is another build running?";

/// How to build.
#[derive(Debug, Clone, Copy, Default)]
pub struct BuildOptions {
    /// Whether cargo's messages have colours.
    pub color: bool,
}

/// Why an app wasn't built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The Rust tools aren't in order.
    #[error(transparent)]
    Toolchain(#[from] ToolchainError),
    /// There is no package to build.
    #[error(transparent)]
    Package(#[from] PackageError),
    /// cargo failed.
    #[error(transparent)]
    Cargo(#[from] CargoError),
    /// The manifest's command failed.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// A component isn't there.
    #[error(transparent)]
    Component(#[from] ComponentError),
    /// A component couldn't be put beside the one of the other world.
    #[error("couldn't keep a copy of the component at {}: {source}", path.display())]
    Keep {
        /// Where to.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl BuildError {
    /// The stable code, with a page in `docs/errors/`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Toolchain(error) => error.code(),
            Self::Package(error) => error.code(),
            Self::Cargo(error) => error.code(),
            Self::Command(error) => error.code(),
            Self::Component(error) => error.code(),
            Self::Keep { .. } => "EW2011",
        }
    }

    /// What the compiler wrote, if it was the compiler who refused.
    pub fn output(&self) -> Option<&str> {
        match self {
            Self::Cargo(CargoError::Failed { output, .. }) => Some(output),
            _ => None,
        }
    }
}

/// Builds what the app's functions need, and reads their components, in the manifest's order.
///
/// Dropping the future ends whatever runs.
///
/// # Errors
/// [`BuildError`]; what the compiler had to say went to `events` already.
pub async fn build(
    project: &Project,
    options: BuildOptions,
    events: &mut (dyn FnMut(Event) + Send),
) -> Result<Vec<Component>, BuildError> {
    let app = project.app();
    if let Some(line) = &app.build.command {
        return by_command(project, line, events).await;
    }
    let from_source: Vec<&Function> = app
        .functions
        .iter()
        .filter(|function| function.component.is_none())
        .collect();
    let mut built = if from_source.is_empty() {
        BTreeMap::new()
    } else {
        by_cargo(project, &from_source, options, events).await?
    };
    let mut components = Vec::with_capacity(app.functions.len());
    for function in &app.functions {
        components.push(match &function.component {
            Some(path) => {
                let path = project.folder().join(path);
                Component::read(&function.name, &path, HINT_PREBUILT).await?
            }
            None => take(&mut built, function).await?,
        });
    }
    Ok(components)
}

async fn by_command(
    project: &Project,
    line: &str,
    events: &mut (dyn FnMut(Event) + Send),
) -> Result<Vec<Component>, BuildError> {
    let app = project.app();
    let mut paths = Vec::with_capacity(app.functions.len());
    for function in &app.functions {
        let path = function.component.as_ref();
        let path = path.ok_or_else(|| CommandError::NoComponentPath {
            function: function.name.clone(),
        })?;
        paths.push(project.folder().join(path));
    }
    command::run(project.folder(), app.name.as_str(), line, events).await?;
    events(Event::Finished {
        components: paths.clone(),
    });
    let mut components = Vec::with_capacity(paths.len());
    for (function, path) in app.functions.iter().zip(&paths) {
        components.push(Component::read(&function.name, path, HINT_COMMAND).await?);
    }
    Ok(components)
}

/// What cargo made for a world: its file, and after the first use what is in it.
enum Made {
    File(PathBuf),
    Read(Component),
}

async fn take(
    built: &mut BTreeMap<World, Made>,
    function: &Function,
) -> Result<Component, BuildError> {
    // A package that doesn't choose its world by the SDK was built once, for all.
    let world = Some(function.target_world())
        .filter(|world| built.contains_key(world))
        .or_else(|| built.keys().next().copied());
    let Some(made) = world.and_then(|world| built.get_mut(&world)) else {
        return Err(CargoError::NoComponent {
            package: function.name.to_string(),
        }
        .into());
    };
    Ok(match made {
        Made::File(path) => {
            let component = Component::read(&function.name, path, HINT_CARGO).await?;
            *made = Made::Read(component.clone());
            component
        }
        Made::Read(component) => component.shared_with(&function.name),
    })
}

async fn by_cargo(
    project: &Project,
    functions: &[&Function],
    options: BuildOptions,
    events: &mut (dyn FnMut(Event) + Send),
) -> Result<BTreeMap<World, Made>, BuildError> {
    let folder = project.folder();
    let toolchain = Toolchain::find()?;
    toolchain.ensure_wasm_target(folder, events).await?;
    let wanted = project.app().build.package.as_deref();
    let package = package::find(&toolchain, folder, wanted).await?;
    let mut worlds: Vec<World> = functions
        .iter()
        .map(|function| function.target_world())
        .collect();
    worlds.sort_unstable();
    worlds.dedup();
    if package.sdk.is_none() {
        worlds.truncate(1);
    }
    let mut built = BTreeMap::new();
    for world in &worlds {
        let for_world = package.sdk.as_ref().map(|_| *world);
        let path = cargo::build(
            &toolchain,
            folder,
            &package,
            for_world,
            options.color,
            events,
        )
        .await?;
        // The next world's build writes the same file.
        let path = if worlds.len() > 1 {
            keep(&path, *world).await?
        } else {
            path
        };
        built.insert(*world, Made::File(path));
    }
    Ok(built)
}

/// Copies `release/app.wasm` to `release/everwarm/app.wasi-0.2.wasm`.
async fn keep(path: &Path, world: World) -> Result<PathBuf, BuildError> {
    let folder = path.with_file_name("everwarm");
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let kept = folder.join(format!("{stem}.{world}.wasm"));
    let copied = async {
        tokio::fs::create_dir_all(&folder).await?;
        tokio::fs::copy(path, &kept).await
    };
    match copied.await {
        Ok(_bytes) => Ok(kept),
        Err(source) => Err(BuildError::Keep { path: kept, source }),
    }
}
