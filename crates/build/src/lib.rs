//! Source to component: an app's folder in, the components of its functions and the bundle of its files out, through
//! cargo or the command that the manifest names. Prints nothing and deploys nothing: what happens on the way goes
//! to the caller as [`Event`]s. Knows no Wasmtime.

#![forbid(unsafe_code)]

mod assets;
mod cargo;
mod command;
mod component;
mod event;
mod migrations;
mod package;
mod plan;
mod process;
mod project;
mod sources;
mod toolchain;
mod variants;

pub use assets::{AssetPacker, AssetsError, Packed};
pub use cargo::CargoError;
pub use command::CommandError;
pub use component::{COMPONENT_BYTES_MAX, Component, ComponentError};
pub use event::Event;
pub use migrations::{DatabaseFiles, MigrationFilesError, migrations};
pub use package::PackageError;
pub use plan::{BuildError, BuildOptions, build};
pub use process::ProcessError;
pub use project::{MANIFEST_FILE, Project, ProjectError};
pub use sources::{Sources, sources};
pub use toolchain::{Toolchain, ToolchainError, WASM_TARGET};
