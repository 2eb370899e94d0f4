//! A function as the engine knows it: what it is, and its linked code.
//!
//! Owns the immutable description of one function of one version ([`FunctionSpec`]) and the
//! resident form of it ([`Function`]). Knows nothing of routes or of where the bytes came from.

use std::collections::BTreeMap;
use std::sync::Arc;

use everwarm_manifest::{
    AppName, Cache, Compress, ConfigName, Digest, FunctionName, Grants, Isolation, Limits, Mount,
    RedisServer, SqlDatabase, TenantId, World,
};

use crate::capability::Configured;
use crate::heavy::Weight;
use crate::sandbox::Sandbox;
use crate::wasi02::bindings::Wasi02Pre;
use crate::wasi03::bindings::Wasi03Pre;

/// What a function is, apart from its code.
#[derive(Debug, Clone)]
pub struct FunctionSpec {
    /// Who owns it.
    pub tenant: TenantId,
    /// The app it belongs to.
    pub app: AppName,
    /// Its name in the app.
    pub name: FunctionName,
    /// The version of the app.
    pub version: Arc<str>,
    /// Its component's bytes.
    pub component: Digest,
    /// Which HTTP interface the component exports.
    pub world: World,
    /// Who may share an instance.
    pub isolation: Isolation,
    /// Which responses are compressed.
    pub compress: Compress,
    /// The cache in front of it, if there is one.
    pub cache: Option<Cache>,
    /// Whether clients are told how requests started and how long they took.
    pub server_timing: bool,
    /// Bounds of one request, and of the function as a whole.
    pub limits: Limits,
    /// Environment variables.
    pub env: BTreeMap<String, String>,
    /// Values that it asks for by name.
    pub config: BTreeMap<ConfigName, String>,
    /// The SQL databases of its app that it is granted.
    pub databases: Vec<SqlDatabase>,
    /// The Redis servers of its app that it is granted.
    pub redis: Vec<RedisServer>,
    /// The folders of its app's files that it reads, if there are any.
    pub files: Option<Mounted>,
    /// What it may use of the world outside it.
    pub grants: Grants,
}

/// Folders of an app's files that a function reads.
#[derive(Debug, Clone)]
pub struct Mounted {
    /// The bundle that they are in.
    pub bundle: Digest,
    /// Which they are, and where the function sees them.
    pub mounts: Vec<Mount>,
}

/// A resident function: its code is mapped and linked, ready to instantiate.
pub struct Function {
    pub(crate) spec: Arc<FunctionSpec>,
    pub(crate) configured: Configured,
    pub(crate) linked: Linked,
    pub(crate) weight: Weight,
    code_bytes: u64,
}

pub(crate) enum Linked {
    Wasi02(Wasi02Pre<Sandbox>),
    Wasi03(Wasi03Pre<Sandbox>),
}

impl Function {
    pub(crate) fn new(
        spec: Arc<FunctionSpec>,
        configured: Configured,
        linked: Linked,
        code_bytes: u64,
    ) -> Self {
        Self {
            spec,
            configured,
            linked,
            weight: Weight::default(),
            code_bytes,
        }
    }

    /// What the function is.
    pub fn spec(&self) -> &Arc<FunctionSpec> {
        &self.spec
    }

    /// Size of its mapped machine code, in bytes.
    pub fn code_bytes(&self) -> u64 {
        self.code_bytes
    }
}

impl std::fmt::Debug for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Function")
            .field("spec", &self.spec)
            .finish_non_exhaustive()
    }
}
