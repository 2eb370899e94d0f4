//! Environment variables: those that the manifest gives the function, and no other.

use std::sync::Arc;

use everwarm_engine::Sandbox;
use everwarm_engine::capability::{Capability, ConfigureError, Instance, State};
use everwarm_engine::function::FunctionSpec;
use everwarm_manifest::World;
use wasmtime::component::Linker;
use wasmtime_wasi::cli::{WasiCli, WasiCliView as _};

/// See the module's documentation.
#[derive(Debug)]
pub struct Environment;

impl Capability for Environment {
    fn name(&self) -> &'static str {
        "environment"
    }

    fn interfaces(&self, world: World) -> &'static [&'static str] {
        match world {
            World::Wasi02 => &["wasi:cli/environment@0.2.12"],
            World::Wasi03 => &["wasi:cli/environment@0.3.0"],
        }
    }

    fn link(&self, linker: &mut Linker<Sandbox>, world: World) -> wasmtime::Result<()> {
        use wasmtime_wasi::{p2, p3};

        p2::bindings::cli::environment::add_to_linker::<_, WasiCli>(linker, Sandbox::cli)?;
        if world == World::Wasi03 {
            p3::bindings::cli::environment::add_to_linker::<_, WasiCli>(linker, Sandbox::cli)?;
        }
        Ok(())
    }

    fn configure(&self, function: &Arc<FunctionSpec>) -> Result<State, ConfigureError> {
        let variables: Vec<(String, String)> = function
            .env
            .iter()
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        Ok(Arc::new(variables))
    }

    fn prepare(&self, state: &State, instance: &mut Instance<'_>) {
        if let Some(variables) = state.downcast_ref::<Vec<(String, String)>>() {
            instance.wasi.envs(variables);
        }
    }
}
