//! `wasi:logging`: what a guest says on purpose goes where its standard output goes, with its level and its context.
//!
//! Needs no grant: it reaches nobody but those who may read the app's log.

use std::sync::Arc;

use everwarm_engine::Sandbox;
use everwarm_engine::capability::{Capability, ConfigureError, Instance, State};
use everwarm_engine::function::FunctionSpec;
use everwarm_manifest::World;
use wasmtime::component::{HasSelf, Linker};

use crate::output::{LINE_BYTES_MAX, Level, Output, SaidBy, Voice, cut};

/// Bytes of a message's context; a longer one is cut.
const CONTEXT_BYTES_MAX: usize = 256;

#[allow(clippy::pedantic, clippy::all, reason = "generated code")]
mod bindings {
    wasmtime::component::bindgen!({
        path: "../../wit/wasi-logging",
        world: "wasi:logging/imports",
    });
}

/// The draft as toolchains knew it before it had a version.
#[allow(clippy::pedantic, clippy::all, reason = "generated code")]
mod unversioned {
    wasmtime::component::bindgen!({
        path: "../../wit/wasi-logging-unversioned",
        world: "wasi:logging/imports",
    });
}

use bindings::wasi::logging::logging;
use unversioned::wasi::logging::logging as logging_unversioned;

/// See the module's documentation.
pub struct Logging {
    output: Arc<Output>,
}

impl Logging {
    /// Messages go where `output` has them go.
    pub(crate) fn new(output: Arc<Output>) -> Self {
        Self { output }
    }
}

impl std::fmt::Debug for Logging {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Logging").finish_non_exhaustive()
    }
}

/// What one function says by it.
struct Log(Arc<Voice>);

impl Capability for Logging {
    fn name(&self) -> &'static str {
        "logging"
    }

    fn interfaces(&self, _world: World) -> &'static [&'static str] {
        &["wasi:logging/logging@0.1.0-draft", "wasi:logging/logging"]
    }

    fn link(&self, linker: &mut Linker<Sandbox>, _world: World) -> wasmtime::Result<()> {
        fn same(sandbox: &mut Sandbox) -> &mut Sandbox {
            sandbox
        }
        logging::add_to_linker::<_, HasSelf<Sandbox>>(linker, same)?;
        logging_unversioned::add_to_linker::<_, HasSelf<Sandbox>>(linker, same)
    }

    fn configure(&self, function: &Arc<FunctionSpec>) -> Result<State, ConfigureError> {
        Ok(Arc::new(Log(self.output.voice(function))))
    }

    fn prepare(&self, _state: &State, _instance: &mut Instance<'_>) {}
}

fn say(sandbox: &Sandbox, level: Level, context: &str, message: &str) {
    let Some(Log(voice)) = sandbox.state() else {
        return;
    };
    let context = cut(context, CONTEXT_BYTES_MAX);
    let way = SaidBy::Log { level, context };
    voice.say(
        way,
        sandbox.request().cloned(),
        cut(message, LINE_BYTES_MAX),
    );
}

macro_rules! host {
    ($interface:ident) => {
        impl $interface::Host for Sandbox {
            fn log(&mut self, level: $interface::Level, context: String, message: String) {
                let level = match level {
                    $interface::Level::Trace => Level::Trace,
                    $interface::Level::Debug => Level::Debug,
                    $interface::Level::Info => Level::Info,
                    $interface::Level::Warn => Level::Warn,
                    $interface::Level::Error => Level::Error,
                    $interface::Level::Critical => Level::Critical,
                };
                say(self, level, &context, &message);
            }
        }
    };
}
host!(logging);
host!(logging_unversioned);
