//! What all functions of a node share: two engines, two linkers, the ticker, the heavy pool.
//!
//! Linking is done once per engine here, and never per function.

use std::sync::Arc;

use everwarm_manifest::World;
use wasmtime::Engine;
use wasmtime::component::{Component, Linker};

use crate::artifact::Fingerprint;
use crate::capability::{Capabilities, ConfigureError};
use crate::config::{self, PoolSize, Purpose};
use crate::function::{Function, FunctionSpec, Linked};
use crate::heavy::HeavyPool;
use crate::sandbox::Sandbox;
use crate::ticker::Ticker;
use crate::wasi02::bindings::Wasi02Pre;
use crate::wasi03::bindings::Wasi03Pre;
use crate::{wasi02, wasi03};

/// Sizes of a [`Runtime`].
#[derive(Debug, Clone, Copy, Default)]
pub struct RuntimeSettings {
    /// The pool of each of the two engines.
    pub pool: PoolSize,
    /// Threads for guests that compute; 0 means one.
    pub heavy_threads: usize,
}

/// See the module's documentation.
pub struct Runtime {
    wasi02: Half,
    wasi03: Half,
    capabilities: Capabilities,
    pub(crate) ticker: Ticker,
    pub(crate) heavy: HeavyPool,
}

/// What belongs to one world.
struct Half {
    engine: Engine,
    linker: Linker<Sandbox>,
    fingerprint: Fingerprint,
}

/// A [`Runtime`] could not be made.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// Wasmtime refused.
    #[error("can't set up Wasmtime for {world:?}: {source:#}")]
    Wasmtime {
        /// The world whose engine failed.
        world: World,
        /// Why.
        source: wasmtime::Error,
    },
    /// The operating system refused a thread.
    #[error("can't start a thread")]
    Thread(#[from] std::io::Error),
}

/// A component could not be made a function.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// An import that nothing provides, or an export of the wrong type.
    #[error("the component doesn't fit what this host provides: {0:#}")]
    Imports(wasmtime::Error),
    /// A capability refused.
    #[error(transparent)]
    Capability(#[from] ConfigureError),
}

impl Runtime {
    /// Makes the engines and links every capability once.
    ///
    /// # Errors
    ///
    /// When Wasmtime refuses its settings or the operating system its threads.
    pub fn new(
        settings: RuntimeSettings,
        capabilities: Capabilities,
    ) -> Result<Self, RuntimeError> {
        // One after the other: both reserve their pool's address space, thousands of mappings, and a process changes
        // its mappings one at a time.
        let wasi02 = Half::new(World::Wasi02, settings.pool, &capabilities)?;
        let wasi03 = Half::new(World::Wasi03, settings.pool, &capabilities)?;
        let engines = vec![wasi02.engine.clone(), wasi03.engine.clone()];
        Ok(Self {
            wasi02,
            wasi03,
            capabilities,
            ticker: Ticker::start(engines)?,
            heavy: HeavyPool::start(settings.heavy_threads)?,
        })
    }

    fn half(&self, world: World) -> &Half {
        match world {
            World::Wasi02 => &self.wasi02,
            World::Wasi03 => &self.wasi03,
        }
    }

    /// The engine that runs components of `world`.
    pub fn engine(&self, world: World) -> &Engine {
        &self.half(world).engine
    }

    /// Names the machine code that runs components of `world` here.
    pub fn fingerprint(&self, world: World) -> &Fingerprint {
        &self.half(world).fingerprint
    }

    /// Every interface that components of `world` may import.
    pub fn interfaces(&self, world: World) -> Vec<&'static str> {
        // Rust's standard library imports 0.2 in components of 0.3 too.
        let worlds: &[World] = match world {
            World::Wasi02 => &[World::Wasi02],
            World::Wasi03 => &[World::Wasi02, World::Wasi03],
        };
        let own = |world| match world {
            World::Wasi02 => wasi02::INTERFACES,
            World::Wasi03 => wasi03::INTERFACES,
        };
        let capabilities = worlds
            .iter()
            .flat_map(|world| self.capabilities.interfaces(*world));
        worlds
            .iter()
            .flat_map(|world| own(*world))
            .copied()
            .chain(capabilities)
            .collect()
    }

    /// Links a component that was mapped on [`Self::engine`] of its world, `code_bytes` of it.
    ///
    /// # Errors
    ///
    /// When an import is not provided, or a capability can't serve the function.
    pub fn link(
        &self,
        spec: Arc<FunctionSpec>,
        component: &Component,
        code_bytes: u64,
    ) -> Result<Function, LinkError> {
        let pre = self
            .half(spec.world)
            .linker
            .instantiate_pre(component)
            .map_err(LinkError::Imports)?;
        let linked = match spec.world {
            World::Wasi02 => Wasi02Pre::new(pre).map(Linked::Wasi02),
            World::Wasi03 => Wasi03Pre::new(pre).map(Linked::Wasi03),
        }
        .map_err(LinkError::Imports)?;
        let configured = self.capabilities.configure(&spec)?;
        Ok(Function::new(spec, configured, linked, code_bytes))
    }
}

impl Half {
    fn new(
        world: World,
        pool: PoolSize,
        capabilities: &Capabilities,
    ) -> Result<Self, RuntimeError> {
        let make = || -> wasmtime::Result<Self> {
            let engine = config::engine(world, Purpose::Run(pool))?;
            let mut linker = Linker::new(&engine);
            wasi02::link(&mut linker)?;
            if world == World::Wasi03 {
                wasi03::link(&mut linker)?;
            }
            capabilities.link(&mut linker, world)?;
            let fingerprint = Fingerprint::of(&engine);
            Ok(Self {
                engine,
                linker,
                fingerprint,
            })
        };
        make().map_err(|source| RuntimeError::Wasmtime { world, source })
    }
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtime").finish_non_exhaustive()
    }
}
