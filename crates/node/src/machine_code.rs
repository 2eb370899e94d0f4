//! Machine code of deployed functions: made at deploy, and made again when a request has found it missing.
//!
//! Owns the way from a stored component to a recorded compiled artifact, off the request path. Knows nothing
//! of routes or of what is live.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use everwarm_engine::artifact::CompiledArtifacts;
use everwarm_engine::compile::{
    CompileError, CompileJob, CompileLimits, Compiler, CompilerCommand, IncrementalDir,
};
use everwarm_engine::function::FunctionSpec;
use everwarm_engine::inspect::{ComponentFacts, InspectError, InspectLimits};
use everwarm_engine::runtime::Runtime;
use everwarm_manifest::{Digest, TenantId};
use everwarm_store::Store as _;
use everwarm_store::embedded::Embedded;
use secrecy::SecretBox;
use tokio::sync::mpsc;

use crate::deploy::DeployError;
use crate::turns::{Turn, Turns};

/// Functions that may wait to have their code made again. One that finds no place is asked for again by its
/// next request.
pub(crate) const MISSING_MAX: usize = 256;

/// How long nothing is made after something couldn't be: requests for it would have it tried without end.
const REST_AFTER_FAILURE: Duration = Duration::from_secs(1);

/// Where what was compiled before an edit is kept, for `up`.
pub(crate) struct Incremental {
    pub(crate) dir: PathBuf,
    pub(crate) key: SecretBox<[u8; 32]>,
}

/// See the module's documentation.
pub(crate) struct MachineCode {
    pub(crate) store: Arc<Embedded>,
    pub(crate) runtime: Arc<Runtime>,
    pub(crate) compiled: Arc<CompiledArtifacts>,
    compiler: Compiler,
    /// Before the compiler's own: a tenant whose components compile slowly leaves a process to the others.
    turns: Turns,
    pub(crate) incremental: Option<Incremental>,
}

impl MachineCode {
    pub(crate) fn new(
        store: Arc<Embedded>,
        runtime: Arc<Runtime>,
        compiled: Arc<CompiledArtifacts>,
        (command, limits): (CompilerCommand, CompileLimits),
        incremental: Option<Incremental>,
    ) -> Self {
        let share = limits.parallel_max;
        let all = share.saturating_add(1);
        let limits = CompileLimits {
            parallel_max: all,
            ..limits
        };
        Self {
            store,
            runtime,
            compiled,
            compiler: Compiler::new(command, limits),
            turns: Turns::new(all.get(), share.get()),
            incremental,
        }
    }

    /// Waits until a tenant may have something that it sent read, as long as what this returns lives.
    pub(crate) async fn turn(&self, tenant: &TenantId) -> Turn {
        self.turns.wait(tenant).await
    }

    /// Reads what a tenant's component says of itself, in a process of its own.
    ///
    /// # Errors
    ///
    /// As [`Compiler::inspect`].
    pub(crate) async fn inspect(
        &self,
        tenant: &TenantId,
        path: &Path,
        component: Digest,
        limits: InspectLimits,
    ) -> Result<Result<ComponentFacts, InspectError>, CompileError> {
        let _turn = self.turns.wait(tenant).await;
        self.compiler.inspect(path, component, limits).await
    }

    /// Makes sure that usable machine code of a function is on disk.
    ///
    /// # Errors
    ///
    /// When the component can't be read or compiled, or its code can't be kept.
    pub(crate) async fn make(&self, spec: &FunctionSpec) -> Result<(), DeployError> {
        let fingerprint = self.runtime.fingerprint(spec.world);
        if self.is_there(spec) {
            return Ok(());
        }
        let keep = |source| DeployError::Keep {
            function: spec.name.clone(),
            source,
        };
        let path = self
            .store
            .artifacts()
            .local_file(&spec.tenant, spec.component)
            .await?;
        let output = self.compiled.incoming().map_err(keep)?;
        let job = CompileJob {
            path: &path,
            component: spec.component,
            world: spec.world,
            fingerprint,
            incremental: self.incremental.as_ref().map(|incremental| IncrementalDir {
                dir: &incremental.dir,
                key: &incremental.key,
            }),
        };
        let turn = self.turns.wait(&spec.tenant).await;
        let compiled = self.compiler.compile(job, output.path()).await;
        drop(turn);
        let compiled = compiled.map_err(|source| DeployError::Compile {
            function: spec.name.clone(),
            source,
        })?;
        tracing::debug!(
            function = %spec.name,
            took_ms = compiled.took.as_millis(),
            bytes = compiled.code_bytes,
            reuse = ?compiled.reuse,
            "compiled"
        );
        let artifacts = Arc::clone(&self.compiled);
        let (component, fingerprint) = (spec.component, fingerprint.clone());
        tokio::task::spawn_blocking(move || artifacts.record(component, &fingerprint, output))
            .await
            .map_err(|error| keep(std::io::Error::other(error)))?
            .map_err(keep)
    }

    /// Components that are compiled, or wait for it.
    pub(crate) fn compiles_waiting(&self) -> u64 {
        self.turns.waiting() + self.compiler.waiting()
    }

    pub(crate) fn is_there(&self, spec: &FunctionSpec) -> bool {
        let fingerprint = self.runtime.fingerprint(spec.world);
        self.compiled.open(spec.component, fingerprint).is_ok()
    }

    /// Makes the code of functions whose requests found none, one after another, for as long as somebody may
    /// ask. Every request that finds none asks, so most of what is asked for has been made by then.
    pub(crate) async fn mend(self: Arc<Self>, mut missing: mpsc::Receiver<Arc<FunctionSpec>>) {
        while let Some(spec) = missing.recv().await {
            if self.is_there(&spec) {
                continue;
            }
            match self.make(&spec).await {
                Ok(()) => tracing::warn!(
                    app = %spec.app,
                    function = %spec.name,
                    "machine code that was missing or not ours is there again"
                ),
                Err(error) => {
                    tracing::error!(
                        app = %spec.app,
                        function = %spec.name,
                        code = error.code(),
                        %error,
                        "machine code that is missing can't be made"
                    );
                    tokio::time::sleep(REST_AFTER_FAILURE).await;
                }
            }
        }
    }
}
