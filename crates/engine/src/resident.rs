//! Which functions are resident: mapped and linked, bounded by bytes, least recently used out
//! first.
//!
//! Owns the set and the single flight into it: however many requests ask for a function that isn't
//! there, it is loaded once. Loading maps a compiled artifact; it never compiles. That code is
//! missing is reported to whoever can make it.

use std::collections::{HashMap, HashSet};
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwapOption, Guard};
use everwarm_manifest::{Digest, FunctionName, TenantId};
use parking_lot::Mutex;
use tokio::sync::{OnceCell, mpsc};

use crate::artifact::{CompiledArtifacts, OpenError};
use crate::eviction::Eviction;
use crate::fault::machine_limit;
use crate::function::{Function, FunctionSpec};
use crate::runtime::{LinkError, Runtime};

/// How a request got its function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartLevel {
    /// It was resident.
    Warm,
    /// It was mapped from the compiled artifact on disk.
    Disk,
}

impl StartLevel {
    /// The word for it in logs and `Server-Timing`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Warm => "warm",
            Self::Disk => "disk",
        }
    }
}

/// A function could not be made resident.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LoadError {
    /// There is no usable compiled artifact: it has to be compiled, off the request path.
    #[error("the function's code has to be compiled first: {0}")]
    NotCompiled(Arc<OpenError>),
    /// The operating system gave no file or memory mapping for it.
    #[error("the operating system gave no file or memory for the function's code: {0}")]
    Machine(Arc<str>),
    /// The code is there and doesn't fit.
    #[error("the function's code can't be linked: {0}")]
    Link(Arc<LinkError>),
}

/// Names a function of a version across the whole node.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FunctionKey {
    tenant: TenantId,
    version: Arc<str>,
    name: FunctionName,
    component: Digest,
}

impl FunctionKey {
    /// The key of `spec`.
    pub fn of(spec: &FunctionSpec) -> Self {
        Self {
            tenant: spec.tenant.clone(),
            version: Arc::clone(&spec.version),
            name: spec.name.clone(),
            component: spec.component,
        }
    }
}

/// One deployed function, which may be resident or not. Requests hold on to it by reference, so
/// asking for a function that is resident costs no look-up.
pub struct Slot {
    spec: Arc<FunctionSpec>,
    /// Only read on the way of a request.
    resident: ArcSwapOption<Function>,
    loading: Mutex<Arc<OnceCell<Arc<Function>>>>,
    /// In milliseconds after the set was made: a finer order isn't worth a write with every request.
    used_ms: AtomicU64,
}

/// A function that is resident while it is being asked for.
#[derive(Debug)]
pub struct Resident(Guard<Option<Arc<Function>>>);

impl Resident {
    fn of(guard: Guard<Option<Arc<Function>>>) -> Option<Self> {
        guard.is_some().then(|| Self(guard))
    }
}

impl From<Arc<Function>> for Resident {
    fn from(function: Arc<Function>) -> Self {
        Self(Guard::from_inner(Some(function)))
    }
}

impl Deref for Resident {
    type Target = Arc<Function>;

    fn deref(&self) -> &Arc<Function> {
        self.0
            .as_ref()
            .expect("it is made of a function that is there")
    }
}

/// See the module's documentation.
pub struct ResidentSet {
    runtime: Arc<Runtime>,
    compiled: Arc<CompiledArtifacts>,
    bytes_max: u64,
    functions_max: usize,
    missing: mpsc::Sender<Arc<FunctionSpec>>,
    made: Instant,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    slots: HashMap<FunctionKey, Arc<Slot>>,
    bytes: u64,
    loaded: usize,
    evictions: u64,
    /// The slots that have a function, in the order in which they would go.
    order: Eviction<Arc<Slot>>,
}

impl ResidentSet {
    /// Makes an empty set that keeps at most `bytes_max` of machine code mapped. Functions whose
    /// code a request found missing are sent to `missing`, as far as it has room.
    pub fn new(
        runtime: Arc<Runtime>,
        compiled: Arc<CompiledArtifacts>,
        bytes_max: u64,
        missing: mpsc::Sender<Arc<FunctionSpec>>,
    ) -> Self {
        Self {
            runtime,
            compiled,
            bytes_max,
            functions_max: usize::MAX,
            missing,
            made: Instant::now(),
            state: Mutex::default(),
        }
    }

    /// Keeps at most so many functions, however small: each takes memory mappings and a file descriptor.
    #[must_use]
    pub fn with_functions_max(self, functions_max: usize) -> Self {
        Self {
            functions_max,
            ..self
        }
    }

    /// The slot of a deployed function; the same for the same function.
    pub fn slot(&self, spec: Arc<FunctionSpec>) -> Arc<Slot> {
        let mut state = self.state.lock();
        let slot = state
            .slots
            .entry(FunctionKey::of(&spec))
            .or_insert_with(|| {
                Arc::new(Slot {
                    spec,
                    resident: ArcSwapOption::empty(),
                    loading: Mutex::default(),
                    used_ms: AtomicU64::new(0),
                })
            });
        Arc::clone(slot)
    }

    /// Forgets functions; requests that run in them go on.
    pub fn forget<'a>(&self, functions: impl IntoIterator<Item = &'a FunctionKey>) {
        let mut state = self.state.lock();
        let State {
            slots,
            bytes,
            loaded,
            order,
            ..
        } = &mut *state;
        let gone: HashSet<*const Slot> = functions
            .into_iter()
            .filter_map(|key| slots.remove(key))
            .map(|slot| Arc::as_ptr(&slot))
            .collect();
        if gone.is_empty() {
            return;
        }
        order.retain(|slot| {
            let kept = !gone.contains(&Arc::as_ptr(slot));
            if !kept && let Some(function) = slot.resident() {
                *bytes = bytes.saturating_sub(function.code_bytes());
                *loaded = loaded.saturating_sub(1);
            }
            kept
        });
    }

    /// Bytes of machine code that are mapped.
    pub fn bytes(&self) -> u64 {
        self.state.lock().bytes
    }

    /// Functions that were put out for others since the start.
    pub fn evictions(&self) -> u64 {
        self.state.lock().evictions
    }

    /// The function of a slot, loaded if need be, once however many ask. `now` orders uses.
    ///
    /// # Errors
    ///
    /// When it has no usable compiled artifact, or can't be linked.
    pub async fn get(
        &self,
        slot: &Arc<Slot>,
        now: Instant,
    ) -> Result<(Resident, StartLevel), LoadError> {
        slot.use_at(now.saturating_duration_since(self.made));
        if let Some(resident) = Resident::of(slot.resident.load()) {
            return Ok((resident, StartLevel::Warm));
        }
        // In a box, so that the futures of requests that find it stay small.
        Box::pin(self.get_cold(slot))
            .await
            .map(|function| (function.into(), StartLevel::Disk))
    }

    async fn get_cold(&self, slot: &Arc<Slot>) -> Result<Arc<Function>, LoadError> {
        let cell = Arc::clone(&slot.loading.lock());
        let mut loaded_here = false;
        let function = cell
            .get_or_try_init(|| {
                loaded_here = true;
                async { self.load(slot) }
            })
            .await?;
        let function = Arc::clone(function);
        if loaded_here {
            self.admit(slot, &function);
        }
        Ok(function)
    }

    /// Maps and links. Takes tens of microseconds to half a millisecond, in place: handing it to
    /// another thread would cost as much.
    fn load(&self, slot: &Slot) -> Result<Arc<Function>, LoadError> {
        let spec = &slot.spec;
        let engine = self.runtime.engine(spec.world);
        let fingerprint = self.runtime.fingerprint(spec.world);
        let mapped = self
            .compiled
            .load(spec.component, fingerprint, engine)
            .map_err(|error| {
                if error.is_machine_limit() {
                    return LoadError::Machine(format!("{error}").into());
                }
                // A full queue is no loss: the next request for it reports it again.
                let _ = self.missing.try_send(Arc::clone(spec));
                LoadError::NotCompiled(Arc::new(error))
            })?;
        let function = self
            .runtime
            .link(Arc::clone(spec), &mapped.component, mapped.bytes)
            .map_err(|error| match &error {
                LinkError::Imports(source) if machine_limit(source).is_some() => {
                    LoadError::Machine(format!("{error}").into())
                }
                _ => LoadError::Link(Arc::new(error)),
            })?;
        Ok(Arc::new(function))
    }

    /// Counts a function in, and the least recently used ones out until it fits.
    fn admit(&self, slot: &Arc<Slot>, function: &Arc<Function>) {
        let mut state = self.state.lock();
        state.bytes += function.code_bytes();
        state.loaded += 1;
        let used_ms = |slot: &Arc<Slot>| slot.used_ms.load(Ordering::Relaxed);
        while state.bytes > self.bytes_max || state.loaded > self.functions_max {
            // The new one isn't among them: alone, it may be larger than what is allowed.
            let Some(oldest) = state.order.pop(used_ms) else {
                break;
            };
            let bytes = oldest
                .resident()
                .map_or(0, |function| function.code_bytes());
            *oldest.loading.lock() = Arc::default();
            oldest.resident.store(None);
            state.bytes = state.bytes.saturating_sub(bytes);
            state.loaded = state.loaded.saturating_sub(1);
            state.evictions += 1;
            tracing::debug!(function = %oldest.spec.name, bytes, "function is no longer resident");
        }
        slot.resident.store(Some(Arc::clone(function)));
        state.order.push(Arc::clone(slot), used_ms(slot));
    }
}

impl Slot {
    /// What the function is.
    pub fn spec(&self) -> &Arc<FunctionSpec> {
        &self.spec
    }

    fn resident(&self) -> Option<Arc<Function>> {
        self.resident.load_full()
    }

    fn use_at(&self, time: Duration) {
        let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        if self.used_ms.load(Ordering::Relaxed) != ms {
            self.used_ms.store(ms, Ordering::Relaxed);
        }
    }
}

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Slot")
            .field("spec", &self.spec)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for ResidentSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResidentSet")
            .field("bytes_max", &self.bytes_max)
            .finish_non_exhaustive()
    }
}
