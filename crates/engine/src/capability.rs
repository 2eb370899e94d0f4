//! The capability trait: how a power of the host reaches a guest.
//!
//! Three hooks, from rare to frequent: [`Capability::link`] once per engine, [`Capability::configure`]
//! once per function when it becomes resident, [`Capability::prepare`] once per instance. Owns their
//! order and the configured state between them; the capabilities themselves live in
//! `everwarm-host` and know each other not at all.

use std::any::Any;
use std::sync::Arc;

use everwarm_manifest::World;
use parking_lot::Mutex;
use wasmtime::component::Linker;
use wasmtime_wasi::WasiCtxBuilder;

use crate::RequestId;
use crate::function::FunctionSpec;
use crate::outbound::Sender;
use crate::sandbox::Sandbox;
use crate::span::Spans;

/// What a capability keeps for one function between configure and prepare. An import of its own finds it by its type
/// ([`Sandbox::state`]).
pub type State = Arc<dyn Any + Send + Sync>;

/// A power of the host that guests import.
pub trait Capability: Send + Sync + 'static {
    /// Its name in logs and errors.
    fn name(&self) -> &'static str;

    /// The interfaces of `world` that it provides, with their versions
    /// (`wasi:random/random@0.2.12`). Components of 0.3 may import those of 0.2 as well.
    fn interfaces(&self, world: World) -> &'static [&'static str];

    /// Adds its imports to the linker of one engine. Called once per engine, at start.
    ///
    /// # Errors
    ///
    /// When Wasmtime refuses a definition, for instance because it is there already.
    fn link(&self, linker: &mut Linker<Sandbox>, world: World) -> wasmtime::Result<()>;

    /// Prepares what all instances of `function` share. Called when the function becomes resident.
    ///
    /// # Errors
    ///
    /// When the function's manifest asks for something that this capability can't give.
    fn configure(&self, function: &Arc<FunctionSpec>) -> Result<State, ConfigureError>;

    /// Who carries out the requests that the function sends, if this is the capability for that.
    fn sender(&self, _state: &State) -> Option<Arc<dyn Sender>> {
        None
    }

    /// Gives one instance its part. Called when the instance first uses any of WASI's state: most
    /// instances live and die without it, and the hot path doesn't pay for them.
    fn prepare(&self, state: &State, instance: &mut Instance<'_>);
}

/// A capability can't serve a function as its manifest asks.
#[derive(Debug, thiserror::Error)]
#[error("capability `{capability}` can't be set up for function `{function}`: {reason}")]
pub struct ConfigureError {
    /// The capability's name.
    pub capability: &'static str,
    /// The function's name.
    pub function: String,
    /// What to change.
    pub reason: String,
}

/// What [`Capability::prepare`] may shape of one instance.
pub struct Instance<'a> {
    /// The request that it works on, whenever that is looked at.
    pub request: &'a CurrentRequest,
    /// The state behind the parts of WASI that come from `wasmtime-wasi`.
    pub wasi: &'a mut WasiCtxBuilder,
    /// What the instance runs.
    pub function: &'a Arc<FunctionSpec>,
}

/// The request that an instance works on, for those parts of WASI that are asked without the instance at hand.
#[derive(Debug, Clone, Default)]
pub struct CurrentRequest(Arc<Mutex<Option<RequestId>>>);

impl CurrentRequest {
    /// The request; `None` when there are several, and nobody knows which it is.
    pub fn get(&self) -> Option<RequestId> {
        self.0.lock().clone()
    }

    pub(crate) fn set(&self, request: Option<&RequestId>) {
        *self.0.lock() = request.cloned();
    }
}

/// All capabilities of a node, in a fixed order.
#[derive(Clone)]
pub struct Capabilities {
    list: Arc<[Arc<dyn Capability>]>,
    spans: Option<Arc<dyn Spans>>,
}

/// The state of every capability for one function.
#[derive(Clone)]
pub(crate) struct Configured {
    capabilities: Capabilities,
    states: Arc<[State]>,
    sender: Option<Arc<dyn Sender>>,
}

impl Capabilities {
    /// Makes the list; its order is the order of linking and preparing.
    pub fn new(list: Vec<Arc<dyn Capability>>) -> Self {
        Self {
            list: list.into(),
            spans: None,
        }
    }

    /// The same, and spans of what they do are recorded.
    #[must_use]
    pub fn recorded(self, spans: Option<Arc<dyn Spans>>) -> Self {
        Self { spans, ..self }
    }

    /// Adds every capability's imports to the linker of one engine.
    pub(crate) fn link(&self, linker: &mut Linker<Sandbox>, world: World) -> wasmtime::Result<()> {
        self.list
            .iter()
            .try_for_each(|capability| capability.link(linker, world))
    }

    /// Every interface of `world` that some capability provides.
    pub fn interfaces(&self, world: World) -> impl Iterator<Item = &'static str> {
        self.list
            .iter()
            .flat_map(move |capability| capability.interfaces(world))
            .copied()
    }

    pub(crate) fn configure(
        &self,
        function: &Arc<FunctionSpec>,
    ) -> Result<Configured, ConfigureError> {
        let states = self
            .list
            .iter()
            .map(|capability| capability.configure(function))
            .collect::<Result<Arc<[State]>, _>>()?;
        let mut with_state = self.list.iter().zip(states.iter());
        let sender = with_state.find_map(|(capability, state)| capability.sender(state));
        Ok(Configured {
            capabilities: self.clone(),
            states,
            sender,
        })
    }
}

impl Configured {
    pub(crate) fn sender(&self) -> Option<&Arc<dyn Sender>> {
        self.sender.as_ref()
    }

    /// The state of the capability whose state has that type.
    pub(crate) fn state<T: Any>(&self) -> Option<&T> {
        self.states.iter().find_map(|state| state.downcast_ref())
    }

    pub(crate) fn spans(&self) -> Option<&Arc<dyn Spans>> {
        self.capabilities.spans.as_ref()
    }

    pub(crate) fn prepare(
        &self,
        function: &Arc<FunctionSpec>,
        request: &CurrentRequest,
        wasi: &mut WasiCtxBuilder,
    ) {
        let mut instance = Instance {
            request,
            wasi,
            function,
        };
        for (capability, state) in self.capabilities.list.iter().zip(self.states.iter()) {
            capability.prepare(state, &mut instance);
        }
    }
}
