//! What belongs to one instance on the host's side: the data of its Wasmtime store.
//!
//! Owns the instance's resources, its memory limit and the state behind the parts of WASI that
//! come from `wasmtime-wasi`, which is made only when the guest first asks for any of it.

use std::sync::Arc;

use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

use crate::function::Function;
use crate::limits::MemoryLimiter;
use crate::meter::Meter;
use crate::outbound::Chains;
use crate::own::Own;
use crate::resource::Resource;
use crate::slots::Slots;

/// See the module's documentation.
pub struct Sandbox {
    pub(crate) function: Own<Function>,
    pub(crate) slots: Slots<Resource>,
    pub(crate) memory: MemoryLimiter,
    pub(crate) meter: Arc<Meter>,
    /// Requests that the guest may still send.
    pub(crate) subrequests_left: u32,
    pub(crate) chains: Chains,
    wasi: Option<Box<Wasi>>,
}

struct Wasi {
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
            wasi: None,
        }
    }

    /// The table of `wasmtime-wasi`'s resources.
    pub(crate) fn table(&mut self) -> &mut ResourceTable {
        &mut self.wasi().table
    }

    fn wasi(&mut self) -> &mut Wasi {
        let function = &self.function;
        self.wasi.get_or_insert_with(|| {
            let mut builder = WasiCtxBuilder::new();
            function.configured.prepare(&function.spec, &mut builder);
            Box::new(Wasi {
                ctx: builder.build(),
                table: ResourceTable::new(),
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
