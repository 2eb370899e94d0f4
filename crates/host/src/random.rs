//! Random numbers: the operating system's for `random`, seeded from them for `insecure`.

use std::sync::Arc;

use everwarm_engine::Sandbox;
use everwarm_engine::capability::{Capability, ConfigureError, Instance, State};
use everwarm_engine::function::FunctionSpec;
use everwarm_manifest::World;
use wasmtime::component::Linker;
use wasmtime_wasi::random::{WasiRandom, WasiRandomView as _};

/// See the module's documentation.
#[derive(Debug)]
pub struct Random;

impl Capability for Random {
    fn name(&self) -> &'static str {
        "random"
    }

    fn interfaces(&self, world: World) -> &'static [&'static str] {
        match world {
            World::Wasi02 => &[
                "wasi:random/random@0.2.12",
                "wasi:random/insecure@0.2.12",
                "wasi:random/insecure-seed@0.2.12",
            ],
            World::Wasi03 => &[
                "wasi:random/random@0.3.0",
                "wasi:random/insecure@0.3.0",
                "wasi:random/insecure-seed@0.3.0",
            ],
        }
    }

    fn link(&self, linker: &mut Linker<Sandbox>, world: World) -> wasmtime::Result<()> {
        use wasmtime_wasi::p2::bindings::random;

        random::random::add_to_linker::<_, WasiRandom>(linker, Sandbox::random)?;
        random::insecure::add_to_linker::<_, WasiRandom>(linker, Sandbox::random)?;
        random::insecure_seed::add_to_linker::<_, WasiRandom>(linker, Sandbox::random)?;
        if world == World::Wasi03 {
            wasmtime_wasi::p3::random::add_to_linker(linker)?;
        }
        Ok(())
    }

    fn configure(&self, _function: &Arc<FunctionSpec>) -> Result<State, ConfigureError> {
        Ok(crate::stateless())
    }

    /// `wasmtime-wasi` seeds every context from the operating system by itself.
    fn prepare(&self, _state: &State, _instance: &mut Instance<'_>) {}
}
