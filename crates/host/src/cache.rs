//! Values that functions keep in the node's memory for a time: `everwarm:cache`.
//!
//! Owns who may, and what is refused. What is kept for how long, and what goes first, is the cache crate's.

use std::sync::Arc;
use std::time::{Duration, Instant};

use everwarm_cache::store::{KEY_BYTES_MAX, Place, Store, VALUE_BYTES_MAX};
use everwarm_engine::Sandbox;
use everwarm_engine::capability::{Capability, ConfigureError, Instance, State};
use everwarm_engine::function::FunctionSpec;
use everwarm_manifest::World;
use wasmtime::component::{HasSelf, Linker};

use crate::GuestOutput;
use crate::notice::Notices;
use bindings::everwarm::cache::values::{self, Error};

#[allow(clippy::pedantic, clippy::all, reason = "generated code")]
mod bindings {
    wasmtime::component::bindgen!({
        path: "../../wit/cache",
        world: "everwarm:cache/cache",
        imports: { default: trappable },
    });
}

/// See the module's documentation.
pub struct Cache {
    store: Option<Arc<Store>>,
    output: Option<Arc<dyn GuestOutput>>,
}

impl Cache {
    /// Functions keep their values in `store`; without, they keep none.
    pub fn new(store: Option<Arc<Store>>, output: Option<Arc<dyn GuestOutput>>) -> Self {
        Self { store, output }
    }
}

impl std::fmt::Debug for Cache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cache").finish_non_exhaustive()
    }
}

/// What one function has of it.
struct OfFunction {
    /// `None` without a grant.
    granted: Option<(Arc<Store>, Place)>,
    notices: Arc<Notices>,
}

impl Capability for Cache {
    fn name(&self) -> &'static str {
        "cache"
    }

    fn interfaces(&self, _world: World) -> &'static [&'static str] {
        &["everwarm:cache/values@0.1.0"]
    }

    fn link(&self, linker: &mut Linker<Sandbox>, _world: World) -> wasmtime::Result<()> {
        fn same(sandbox: &mut Sandbox) -> &mut Sandbox {
            sandbox
        }
        values::add_to_linker::<_, HasSelf<Sandbox>>(linker, same)
    }

    fn configure(&self, function: &Arc<FunctionSpec>) -> Result<State, ConfigureError> {
        let store = self.store.as_ref().filter(|_| function.grants.cache);
        let granted = store.map(|store| {
            let app = store.app(&function.tenant, &function.app);
            (Arc::clone(store), store.place(&app))
        });
        let notices = Arc::new(Notices::new(function, self.output.clone()));
        Ok(Arc::new(OfFunction { granted, notices }))
    }

    fn prepare(&self, _state: &State, _instance: &mut Instance<'_>) {}
}

type Answer<T> = wasmtime::Result<Result<T, Error>>;

/// What the function may use, for a key that can be one.
fn granted<'s>(sandbox: &'s Sandbox, key: &str) -> Result<&'s (Arc<Store>, Place), Error> {
    let of_function = sandbox.state::<OfFunction>();
    let of_function = of_function.ok_or(Error::AccessDenied)?;
    let Some(granted) = &of_function.granted else {
        of_function.notices.cache_denied();
        return Err(Error::AccessDenied);
    };
    if !(1..=KEY_BYTES_MAX).contains(&key.len()) {
        let told = format!("a key has 1 to {KEY_BYTES_MAX} bytes");
        return Err(Error::Invalid(told));
    }
    Ok(granted)
}

impl values::Host for Sandbox {
    fn get(&mut self, key: String) -> Answer<Option<Vec<u8>>> {
        Ok(granted(self, &key).map(|(_, place)| {
            let value = place.value(&key, Instant::now());
            value.map(Vec::from)
        }))
    }

    fn set(&mut self, key: String, value: Vec<u8>, ttl_ms: u64) -> Answer<()> {
        Ok(granted(self, &key).and_then(|(store, place)| {
            if value.len() > VALUE_BYTES_MAX {
                let told = format!("a value has at most {VALUE_BYTES_MAX} bytes");
                return Err(Error::Invalid(told));
            }
            if ttl_ms == 0 {
                let told = "a value is kept for 1 millisecond at least";
                return Err(Error::Invalid(told.to_owned()));
            }
            let ttl = Duration::from_millis(ttl_ms);
            place.set_value(store, &key, value.into(), ttl, Instant::now());
            Ok(())
        }))
    }

    fn delete(&mut self, key: String) -> Answer<()> {
        Ok(granted(self, &key).map(|(_, place)| place.remove_value(&key)))
    }
}

impl Notices {
    /// The function asks for a cache that it isn't granted.
    fn cache_denied(&self) {
        self.say("the cache wasn't opened", |name| {
            format!(
                "the cache is denied: no grant allows it. To allow it, add `cache = true` to [function.grants] of the \
                 function `{name}`"
            )
        });
    }
}
