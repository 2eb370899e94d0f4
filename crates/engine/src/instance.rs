//! One isolated sandbox of a function, and how it is made.
//!
//! Owns the store with its limits and the epoch callback, which is where CPU limits trap. Knows
//! nothing of requests.

use std::sync::Arc;

use everwarm_manifest::Isolation;
use wasmtime::{Store, Trap, UpdateDeadline};

use crate::cpu;
use crate::fault::{self, Ended, Fault};
use crate::function::{Function, Linked};
use crate::heavy::SLICE_NS;
use crate::meter::Meter;
use crate::own::Own;
use crate::runtime::Runtime;
use crate::sandbox::Sandbox;
use crate::wasi02::bindings::Wasi02;
use crate::wasi03::bindings::Wasi03;

/// See the module's documentation.
pub(crate) struct Instance {
    pub(crate) store: Store<Sandbox>,
    pub(crate) exports: Exports,
}

pub(crate) enum Exports {
    Wasi02(Wasi02),
    Wasi03(Wasi03),
}

impl Instance {
    /// Makes a fresh instance. Runs the guest's start code, so it has to be polled like a guest.
    pub(crate) async fn create(
        runtime: &Runtime,
        function: Own<Function>,
        meter: Arc<Meter>,
    ) -> Result<Self, Fault> {
        let cpu_limit_ns = function
            .spec
            .limits
            .cpu_time
            .as_u64()
            .saturating_mul(1_000_000);
        let engine = runtime.engine(function.spec.world);
        let mut store = Store::new(engine, Sandbox::new(function.clone(), meter));
        store.limiter(|sandbox| &mut sandbox.memory);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(move |store| {
            on_epoch(&store.data().meter, cpu_limit_ns).map_err(wasmtime::Error::from)
        });
        let exports = match &function.linked {
            Linked::Wasi02(pre) => pre.instantiate_async(&mut store).await.map(Exports::Wasi02),
            Linked::Wasi03(pre) => pre.instantiate_async(&mut store).await.map(Exports::Wasi03),
        };
        match exports {
            Ok(exports) => Ok(Self { store, exports }),
            Err(error) => {
                // Refused memory that no code asked for is what the component begins with.
                let denied = store.data_mut().memory.take_denied() && error.is::<Trap>();
                Err(match fault::from_wasmtime(&error, denied) {
                    Fault::Trap(text) => Fault::Instantiation(text),
                    fault => fault,
                })
            }
        }
    }

    pub(crate) fn meter(&self) -> &Arc<Meter> {
        &self.store.data().meter
    }

    /// Which fault an error of this instance means.
    pub(crate) fn fault(&mut self, error: &wasmtime::Error) -> Fault {
        let memory = &mut self.store.data_mut().memory;
        let denied = memory.take_denied();
        if let Some(refusal) = memory.take_machine()
            && error.is::<Trap>()
        {
            return Fault::Machine(refusal);
        }
        fault::from_wasmtime(error, denied)
    }
}

/// How a guest's run ended.
pub(crate) struct Finished {
    /// The instance, unless it could not be made.
    pub(crate) instance: Option<Instance>,
    pub(crate) fault: Option<Fault>,
}

/// Resources that a guest may leave behind for the next request of its instance (`serial`). A
/// guest that caches a few is no leak; one that loses some with every request gets a new instance.
const LEFT_RESOURCES_MAX: usize = 1_024;

impl Finished {
    /// The instance, if the next request may have it: `serial`, and nothing failed.
    pub(crate) fn reusable(self, function: &Function) -> Option<Instance> {
        let instance = self.instance?;
        let healthy =
            self.fault.is_none() && instance.store.data().slots.len() <= LEFT_RESOURCES_MAX;
        (healthy && function.spec.isolation == Isolation::Serial).then_some(instance)
    }
}

/// An instance that no request has used. Dropping it gives it back to the pool.
pub struct Idle {
    _instance: Instance,
}

/// Makes an instance as a lane does ahead of a request.
///
/// # Errors
///
/// When the pool is used up, or the guest's start code fails.
pub async fn instantiate(runtime: &Runtime, function: &Own<Function>) -> Result<Idle, Fault> {
    let instance = Instance::create(runtime, function.clone(), Arc::default()).await?;
    Ok(Idle {
        _instance: instance,
    })
}

/// What happens to a guest that is running when an epoch ends.
fn on_epoch(meter: &Meter, cpu_limit_ns: u64) -> Result<UpdateDeadline, Ended> {
    let run_ns = cpu::current_run_ns();
    if meter.cpu.used_ns() + run_ns >= cpu_limit_ns {
        return Err(Ended(Fault::CpuLimit));
    }
    if run_ns < SLICE_NS {
        return Ok(UpdateDeadline::Continue(1));
    }
    meter.interrupt();
    Ok(UpdateDeadline::Yield(1))
}
