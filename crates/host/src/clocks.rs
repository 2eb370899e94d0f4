//! The wall clock and the monotonic clock, as they are: a guest may know what time it is.

use std::sync::Arc;

use everwarm_engine::Sandbox;
use everwarm_engine::capability::{Capability, ConfigureError, Instance, State};
use everwarm_engine::function::FunctionSpec;
use everwarm_manifest::World;
use wasmtime::component::Linker;
use wasmtime_wasi::clocks::{WasiClocks, WasiClocksView as _};

/// See the module's documentation.
#[derive(Debug)]
pub struct Clocks;

impl Capability for Clocks {
    fn name(&self) -> &'static str {
        "clocks"
    }

    fn interfaces(&self, world: World) -> &'static [&'static str] {
        match world {
            World::Wasi02 => &[
                "wasi:clocks/wall-clock@0.2.12",
                "wasi:clocks/monotonic-clock@0.2.12",
            ],
            World::Wasi03 => &[
                "wasi:clocks/types@0.3.0",
                "wasi:clocks/system-clock@0.3.0",
                "wasi:clocks/monotonic-clock@0.3.0",
            ],
        }
    }

    fn link(&self, linker: &mut Linker<Sandbox>, world: World) -> wasmtime::Result<()> {
        use wasmtime_wasi::p2::bindings::clocks;

        clocks::wall_clock::add_to_linker::<_, WasiClocks>(linker, Sandbox::clocks)?;
        clocks::monotonic_clock::add_to_linker::<_, WasiClocks>(linker, Sandbox::clocks)?;
        if world == World::Wasi03 {
            wasmtime_wasi::p3::clocks::add_to_linker(linker)?;
        }
        Ok(())
    }

    fn configure(&self, _function: &Arc<FunctionSpec>) -> Result<State, ConfigureError> {
        Ok(crate::stateless())
    }

    /// `wasmtime-wasi` gives the host's clocks by itself.
    fn prepare(&self, _state: &State, _instance: &mut Instance<'_>) {}
}
