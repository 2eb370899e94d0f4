//! What belongs to one instance on the host's side: the data of its Wasmtime store.
//!
//! Owns the instance's resources, its memory limit and the state behind the parts of WASI that
//! come from `wasmtime-wasi`, which is made only when the guest first asks for any of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

use crate::cpu::CpuTime;
use crate::function::Function;
use crate::limits::MemoryLimiter;
use crate::resource::Resource;
use crate::slots::Slots;

/// See the module's documentation.
pub struct Sandbox {
    pub(crate) function: Arc<Function>,
    pub(crate) slots: Slots<Resource>,
    pub(crate) memory: MemoryLimiter,
    pub(crate) meter: Arc<Meter>,
    wasi: Option<Box<Wasi>>,
}

struct Wasi {
    ctx: WasiCtx,
    table: ResourceTable,
}

/// What the epoch callback, inside the guest, and whoever polls the guest tell each other.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    /// CPU time charged against the limit of what runs now.
    pub(crate) cpu: CpuTime,
    /// The guest was interrupted because its slice of the thread was over.
    interrupted: AtomicBool,
    memory_peak: AtomicU64,
}

impl Meter {
    pub(crate) fn interrupt(&self) {
        self.interrupted.store(true, Ordering::Relaxed);
    }

    /// The instance's memory has grown to `bytes`; it never shrinks.
    pub(crate) fn record_memory(&self, bytes: u64) {
        self.memory_peak.store(bytes, Ordering::Relaxed);
    }

    /// Most memory the instance has had, in bytes.
    pub(crate) fn memory_peak(&self) -> u64 {
        self.memory_peak.load(Ordering::Relaxed)
    }

    /// Whether the guest was interrupted since the last call.
    pub(crate) fn take_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed) && self.interrupted.swap(false, Ordering::Relaxed)
    }
}

impl Sandbox {
    pub(crate) fn new(function: Arc<Function>, meter: Arc<Meter>) -> Self {
        let limit = function.spec.limits.memory.as_u64();
        let memory = MemoryLimiter::new(limit, Arc::clone(&meter));
        Self {
            function,
            slots: Slots::new(),
            memory,
            meter,
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
