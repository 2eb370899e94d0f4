//! Files: folders of the app's bundle that a function reads, as `wasi:filesystem` of both versions of WASI.
//!
//! Owns which folders a function is granted. What a path means is in `tree`, what can be done with an open file in
//! `descriptor`, its bytes in `contents`, `stream` and `produced`; `volume` says which bundles there are. `wasi02` and
//! `wasi03` know the interfaces, `convert` what both say in the same words. All is read from the bundle that was deployed with the version: nothing here opens a path of a guest's.

mod contents;
mod convert;
mod descriptor;
mod produced;
mod stream;
mod tree;
mod volume;
mod wasi02;
mod wasi03;

use std::sync::Arc;

use everwarm_engine::Sandbox;
use everwarm_engine::capability::{Capability, ConfigureError, Instance, State};
use everwarm_engine::function::FunctionSpec;
use everwarm_manifest::World;
use wasmtime::component::{Linker, Resource};

use crate::notice::Notices;
use crate::{GuestOutput, Stores};
#[expect(
    unreachable_pub,
    reason = "the generated bindings name them as public types"
)]
pub use descriptor::{Descriptor, Listing};
use descriptor::{Holds, Root};
use tree::FileError;
use volume::Volumes;

/// Resources that open files leave to the rest of what an instance does.
const LEFT_TO_OTHERS: usize = 1_024;

/// See the module's documentation.
pub struct Files {
    stores: Option<Arc<dyn Stores>>,
    output: Option<Arc<dyn GuestOutput>>,
    volumes: Volumes,
}

impl Files {
    /// Functions find their app's files through `stores`; without, there are none.
    pub fn new(stores: Option<Arc<dyn Stores>>, output: Option<Arc<dyn GuestOutput>>) -> Self {
        Self {
            stores,
            output,
            volumes: Volumes::default(),
        }
    }
}

impl std::fmt::Debug for Files {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Files").finish_non_exhaustive()
    }
}

/// What one function may read, and where it sees it.
struct Granted(Vec<(Arc<Root>, String)>);

/// The folders that the function of an instance is granted.
fn directories(sandbox: &mut Sandbox) -> wasmtime::Result<Vec<(Resource<Descriptor>, String)>> {
    let granted = sandbox.state::<Granted>();
    let folders: Vec<_> = granted.map_or(Vec::new(), |granted| {
        let folders = granted.0.iter();
        let folders = folders.map(|(root, at)| (Descriptor::root(root), at.clone()));
        folders.collect()
    });
    let folders = folders.into_iter();
    folders
        .map(|(folder, at)| Ok((sandbox.keep_resource(folder)?, at)))
        .collect()
}

/// Whether one more file may be open.
fn room(sandbox: &Sandbox) -> Result<(), FileError> {
    if sandbox.resources_left() > LEFT_TO_OTHERS {
        Ok(())
    } else {
        Err(FileError::InsufficientMemory)
    }
}

/// The lower half and the upper one.
fn halves(hash: u128) -> (u64, u64) {
    let lower = u64::try_from(hash & u128::from(u64::MAX)).unwrap_or_default();
    let upper = u64::try_from(hash >> u64::BITS).unwrap_or_default();
    (lower, upper)
}

impl Capability for Files {
    fn name(&self) -> &'static str {
        "files"
    }

    fn interfaces(&self, world: World) -> &'static [&'static str] {
        match world {
            World::Wasi02 => &[
                "wasi:filesystem/types@0.2.12",
                "wasi:filesystem/preopens@0.2.12",
            ],
            World::Wasi03 => &[
                "wasi:filesystem/types@0.3.0",
                "wasi:filesystem/preopens@0.3.0",
            ],
        }
    }

    fn link(&self, linker: &mut Linker<Sandbox>, world: World) -> wasmtime::Result<()> {
        wasi02::link(linker)?;
        match world {
            World::Wasi02 => Ok(()),
            World::Wasi03 => wasi03::link(linker),
        }
    }

    fn configure(&self, function: &Arc<FunctionSpec>) -> Result<State, ConfigureError> {
        let (Some(files), Some(stores)) = (&function.files, &self.stores) else {
            return Ok(Arc::new(Granted(Vec::new())));
        };
        let volume = self.volumes.get(&function.tenant, files.bundle, stores);
        let notices = Arc::new(Notices::new(function, self.output.clone()));
        let holds = Holds::default();
        let folders = files.mounts.iter().map(|mount| {
            let root = Root {
                volume: Arc::clone(&volume),
                folder: mount.path.clone(),
                notices: Arc::clone(&notices),
                holds: holds.clone(),
            };
            (Arc::new(root), mount.at.to_string())
        });
        Ok(Arc::new(Granted(folders.collect())))
    }

    fn prepare(&self, _state: &State, _instance: &mut Instance<'_>) {}
}
