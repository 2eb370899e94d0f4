//! `wasi:config`: values of the manifest and secrets of the app, by name.
//!
//! Owns who may read what, and what is said of it in the function's log. A secret that isn't set, or can't be read, is
//! an error of the interface's own; one that isn't granted isn't there. No value is ever said.

use std::collections::BTreeSet;
use std::sync::Arc;

use everwarm_engine::Sandbox;
use everwarm_engine::capability::{Capability, ConfigureError, Instance, State};
use everwarm_engine::function::FunctionSpec;
use everwarm_manifest::{ConfigName, World};
use parking_lot::Mutex;
use secrecy::ExposeSecret as _;
use wasmtime::component::{HasSelf, Linker};

use crate::GuestOutput;
use crate::notice::Notices;
use crate::secrets::{self, AppSecrets, SecretBook, SecretMap};

/// What the log calls it.
const EVENT: &str = "a function asked for configuration in vain";
/// Names that one function is told of once that it gets none for.
const UNKNOWN_TOLD_MAX: usize = 20;

#[allow(clippy::pedantic, clippy::all, reason = "generated code")]
mod bindings {
    wasmtime::component::bindgen!({
        path: "../../wit/wasi-config",
        world: "wasi:config/imports",
    });
}
use bindings::wasi::config::store::{self, Error};

/// See the module's documentation.
pub struct Config {
    secrets: Arc<SecretBook>,
    output: Option<Arc<dyn GuestOutput>>,
}

impl Config {
    /// Secrets come from `secrets`; what is said of functions goes to `output` besides the log.
    pub fn new(secrets: Arc<SecretBook>, output: Option<Arc<dyn GuestOutput>>) -> Self {
        Self { secrets, output }
    }
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config").finish_non_exhaustive()
    }
}

impl Capability for Config {
    fn name(&self) -> &'static str {
        "config"
    }

    fn interfaces(&self, _world: World) -> &'static [&'static str] {
        &["wasi:config/store@0.2.0-rc.1"]
    }

    fn link(&self, linker: &mut Linker<Sandbox>, _world: World) -> wasmtime::Result<()> {
        fn same(sandbox: &mut Sandbox) -> &mut Sandbox {
            sandbox
        }
        store::add_to_linker::<_, HasSelf<Sandbox>>(linker, same)
    }

    fn configure(&self, function: &Arc<FunctionSpec>) -> Result<State, ConfigureError> {
        let is_granted = !function.grants.secrets.is_empty();
        Ok(Arc::new(OfFunction {
            // Most functions have none: they become resident without.
            secrets: is_granted.then(|| self.secrets.of(&function.tenant, &function.app)),
            notices: Notices::new(function, self.output.clone()),
            unknown: Mutex::default(),
        }))
    }

    fn prepare(&self, _state: &State, _instance: &mut Instance<'_>) {}
}

/// What one function may read.
struct OfFunction {
    notices: Notices,
    /// Those of its app; `None` when it is granted none.
    secrets: Option<Arc<AppSecrets>>,
    /// Names that it was told of.
    unknown: Mutex<BTreeSet<ConfigName>>,
}

impl OfFunction {
    fn get(&self, name: &str) -> Result<Option<String>, Error> {
        if let Some(value) = self.notices.function().config.get(name) {
            return Ok(Some(value.clone()));
        }
        let mut granted = self.notices.function().grants.secrets.iter();
        let granted = granted.find(|granted| granted.as_str() == name);
        let (Some(name), Some(secrets)) = (granted, &self.secrets) else {
            self.tell_unknown(name);
            return Ok(None);
        };
        self.secret(&secrets.now(), name).map(Some)
    }

    fn get_all(&self) -> Vec<(String, String)> {
        let function = self.notices.function();
        let values = function.config.iter();
        let mut all: Vec<(String, String)> = values
            .map(|(name, value)| (name.to_string(), value.clone()))
            .collect();
        let Some(secrets) = &self.secrets else {
            return all;
        };
        let secrets = secrets.now();
        for name in &function.grants.secrets {
            if let Ok(value) = self.secret(&secrets, name) {
                all.push((name.to_string(), value));
            }
        }
        all
    }

    fn secret(&self, secrets: &SecretMap, name: &ConfigName) -> Result<String, Error> {
        let app = &self.notices.function().app;
        let why = match secrets::value(secrets, app, name) {
            Ok(value) => return Ok(value.expose_secret().to_owned()),
            Err(why) => why,
        };
        self.notices.say(EVENT, |_| why.clone());
        Err(Error::Upstream(why))
    }

    /// Once for each name: programs ask at every request for what may be there or not.
    fn tell_unknown(&self, name: &str) {
        let Ok(name) = ConfigName::new(name) else {
            return;
        };
        let mut unknown = self.unknown.lock();
        if unknown.len() >= UNKNOWN_TOLD_MAX || !unknown.insert(name.clone()) {
            return;
        }
        drop(unknown);
        self.notices.say(EVENT, |function| {
            format!(
                "`{name}` is neither a value in [function.config] nor a secret that the function `{function}` is \
                 granted: it gets none. If it is a secret, add \"{name}\" to `secrets` in [function.grants]"
            )
        });
    }
}

/// Which a function that is resident always has.
fn no_state() -> Error {
    Error::Upstream("this node gives the function no configuration".to_owned())
}

impl store::Host for Sandbox {
    fn get(&mut self, key: String) -> Result<Option<String>, Error> {
        let state = self.state::<OfFunction>().ok_or_else(no_state)?;
        state.get(&key)
    }

    fn get_all(&mut self) -> Result<Vec<(String, String)>, Error> {
        let state = self.state::<OfFunction>().ok_or_else(no_state)?;
        Ok(state.get_all())
    }
}
