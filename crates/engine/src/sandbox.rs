//! What belongs to one instance on the host's side: the data of its Wasmtime store.
//!
//! Owns the instance's resources, its memory limit and the state behind the parts of WASI that
//! come from `wasmtime-wasi`, which is made only when the guest first asks for any of it.

use std::any::Any;
use std::sync::Arc;
use std::time::Instant;

use wasmtime::component::{Resource as Handle, ResourceTable};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

use crate::RequestId;
use crate::capability::CurrentRequest;
use crate::function::Function;
use crate::limits::MemoryLimiter;
use crate::meter::Meter;
use crate::outbound::Chains;
use crate::own::Own;
use crate::resource::Resource;
use crate::slots::{SLOTS_MAX, SlotError, Slots};

/// See the module's documentation.
pub struct Sandbox {
    pub(crate) function: Own<Function>,
    pub(crate) slots: Slots<Resource>,
    pub(crate) memory: MemoryLimiter,
    pub(crate) meter: Arc<Meter>,
    /// Requests that the guest may still send.
    pub(crate) subrequests_left: u32,
    pub(crate) chains: Chains,
    /// Spans below those of its requests that there were.
    pub(crate) children: u32,
    wasi: Option<Box<Wasi>>,
}

struct Wasi {
    request: CurrentRequest,
    ctx: WasiCtx,
    table: ResourceTable,
}

impl Sandbox {
    pub(crate) fn new(function: Own<Function>, meter: Arc<Meter>) -> Self {
        let limit = function.spec.limits.memory.as_u64();
        let memory = MemoryLimiter::new(limit, Arc::clone(&meter));
        Self {
            function,
            slots: Slots::new(),
            memory,
            meter,
            subrequests_left: 0,
            chains: Chains::default(),
            children: 0,
            wasi: None,
        }
    }

    /// What a capability answered as its [`State`](crate::capability::State) for the function, found by its type:
    /// each capability has one of its own.
    pub fn state<T: Any>(&self) -> Option<&T> {
        self.function.configured.state()
    }

    /// Keeps a resource of a capability for as long as the guest has its handle.
    ///
    /// # Errors
    ///
    /// When the instance holds as many resources as it may, which ends it.
    pub fn keep_resource<T: Any + Send>(&mut self, resource: T) -> wasmtime::Result<Handle<T>> {
        let rep = self
            .slots
            .push(Resource::OfCapability(Box::new(resource)))?;
        Ok(Handle::new_own(rep))
    }

    /// A resource that was kept.
    ///
    /// # Errors
    ///
    /// When the handle is of another kind, which no guest can bring about; it ends the instance.
    pub fn resource<T: Any>(&self, handle: &Handle<T>) -> wasmtime::Result<&T> {
        let rep = handle.rep();
        match self.slots.get(rep)? {
            Resource::OfCapability(resource) => resource.downcast_ref(),
            _ => None,
        }
        .ok_or_else(|| SlotError::Wrong(rep).into())
    }

    /// As [`Sandbox::resource`], to be changed.
    ///
    /// # Errors
    ///
    /// As [`Sandbox::resource`].
    pub fn resource_mut<T: Any>(&mut self, handle: &Handle<T>) -> wasmtime::Result<&mut T> {
        let rep = handle.rep();
        match self.slots.get_mut(rep)? {
            Resource::OfCapability(resource) => resource.downcast_mut(),
            _ => None,
        }
        .ok_or_else(|| SlotError::Wrong(rep).into())
    }

    /// How many resources the instance may still get before it holds as many as it may.
    pub fn resources_left(&self) -> usize {
        self.slots.left()
    }

    /// When the wall time of the request is over that the guest works on; `None` when it isn't known, or is over already
    /// and the guest has its background time. In a shared instance, of the most patient of them.
    pub fn deadline(&self) -> Option<Instant> {
        let deadline = self.chains.deadline();
        deadline.filter(|deadline| Instant::now() < *deadline)
    }

    /// Gives up a resource: the guest has dropped its handle, or has given it away.
    ///
    /// # Errors
    ///
    /// As [`Sandbox::resource`].
    pub fn take_resource<T: Any>(&mut self, handle: &Handle<T>) -> wasmtime::Result<T> {
        let rep = handle.rep();
        match self.slots.take(rep)? {
            Resource::OfCapability(resource) => resource.downcast().map(|resource| *resource).ok(),
            _ => None,
        }
        .ok_or_else(|| SlotError::Wrong(rep).into())
    }

    /// Gives the guest a stream of a capability's own to read from, as an `input-stream` of `wasi:io`. Whatever brings its
    /// bytes along is polled where the guest waits for them, and dropped with the guest.
    ///
    /// # Errors
    ///
    /// When the instance holds as many resources as it may, which ends it.
    pub fn keep_input(
        &mut self,
        stream: DynInputStream,
    ) -> wasmtime::Result<Handle<DynInputStream>> {
        Ok(self.table().push(stream)?)
    }

    /// As [`Sandbox::keep_input`], for streams that a guest may have any number of: none when there would be less room than
    /// this left for the rest of what the instance does.
    pub fn keep_input_if_room(
        &mut self,
        stream: DynInputStream,
        left_to_others: usize,
    ) -> Option<Handle<DynInputStream>> {
        let table = self.table();
        table.set_max_capacity(SLOTS_MAX.saturating_sub(left_to_others));
        let kept = table.push(stream).ok();
        table.set_max_capacity(SLOTS_MAX);
        kept
    }

    /// As [`Sandbox::keep_input`], a stream to write to.
    ///
    /// # Errors
    ///
    /// As [`Sandbox::keep_input`].
    pub fn keep_output(
        &mut self,
        stream: DynOutputStream,
    ) -> wasmtime::Result<Handle<DynOutputStream>> {
        Ok(self.table().push(stream)?)
    }

    /// The request that the guest works on, if it can't be another one.
    pub fn request(&self) -> Option<&RequestId> {
        self.chains.request()
    }

    /// Which request the guest works on has changed: those who can't ask are told. Most instances have none.
    pub(crate) fn requests_changed(&mut self) {
        if let Some(wasi) = &self.wasi {
            wasi.request.set(self.chains.request());
        }
    }

    /// The table of `wasmtime-wasi`'s resources.
    pub(crate) fn table(&mut self) -> &mut ResourceTable {
        &mut self.wasi().table
    }

    fn wasi(&mut self) -> &mut Wasi {
        let (function, chains) = (&self.function, &self.chains);
        self.wasi.get_or_insert_with(|| {
            let mut builder = WasiCtxBuilder::new();
            let request = CurrentRequest::default();
            request.set(chains.request());
            let configured = &function.configured;
            configured.prepare(&function.spec, &request, &mut builder);
            let mut table = ResourceTable::new();
            // As many as of ours.
            table.set_max_capacity(SLOTS_MAX);
            Box::new(Wasi {
                request,
                ctx: builder.build(),
                table,
            })
        })
    }
}

impl WasiView for Sandbox {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let wasi = self.wasi();
        WasiCtxView {
            ctx: &mut wasi.ctx,
            table: &mut wasi.table,
        }
    }
}
