//! Measures making and dropping an instance of a component, without HTTP, the way a lane does it
//! ahead of a request. Prints `{"p50_us": ..., "p99_us": ...}`.
//!
//! A program of its own beside the bench: it links Wasmtime, and the rest of the bench doesn't.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use everwarm_engine::function::{Function, FunctionSpec};
use everwarm_engine::instance::instantiate;
use everwarm_engine::own::Own;
use everwarm_engine::runtime::{Runtime, RuntimeSettings};
use everwarm_host::{EgressConfig, NodeSide};
use everwarm_manifest::{App, Digest, Grants, TenantId, World};
use wasmtime::component::Component;

/// Instances that are made before anything is counted: the pool's memory is touched by then.
const WARM_UP: usize = 2_000;
/// Instances that are counted.
const COUNTED: usize = 50_000;

fn main() -> anyhow::Result<()> {
    let path = std::env::args()
        .nth(1)
        .context("usage: instantiate COMPONENT")?;
    let bytes = std::fs::read(&path).with_context(|| format!("can't read {path}"))?;
    let runtime = Runtime::new(
        RuntimeSettings::default(),
        everwarm_host::all(NodeSide::default(), &EgressConfig::default())?,
    )?;
    let function = Own::new(Arc::new(function(&runtime, &bytes)?));
    let event_loop = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut times = event_loop.block_on(measure(&runtime, &function))?;
    times.sort_unstable();
    let at = |part: f64| {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "an index into a list of COUNTED"
        )]
        let index = (part * (times.len() - 1) as f64) as usize;
        times[index].as_secs_f64() * 1e6
    };
    println!(
        "{}",
        serde_json::json!({ "p50_us": at(0.50), "p99_us": at(0.99) })
    );
    Ok(())
}

async fn measure(runtime: &Runtime, function: &Own<Function>) -> anyhow::Result<Vec<Duration>> {
    let mut times = Vec::with_capacity(COUNTED);
    for index in 0..WARM_UP + COUNTED {
        let started = Instant::now();
        let instance = instantiate(runtime, function)
            .await
            .map_err(|fault| anyhow!("{fault:?}"))?;
        drop(instance);
        if index >= WARM_UP {
            times.push(started.elapsed());
        }
    }
    Ok(times)
}

fn function(runtime: &Runtime, bytes: &[u8]) -> anyhow::Result<Function> {
    let component = Component::new(runtime.engine(World::Wasi02), bytes)
        .map_err(|error| anyhow!("the component can't be compiled: {error:#}"))?;
    let app = App::parse("name = \"bench\"\n[[function]]\n", "everwarm.toml")?;
    let declared = app
        .functions
        .first()
        .context("the manifest has one function")?;
    let spec = FunctionSpec {
        tenant: TenantId::default_tenant(),
        app: app.name.clone(),
        name: declared.name.clone(),
        version: "bench".into(),
        component: Digest::from_bytes([0; Digest::BYTES]),
        world: World::Wasi02,
        isolation: declared.isolation,
        compress: declared.compress,
        cache: None,
        server_timing: declared.server_timing,
        limits: declared.limits,
        env: BTreeMap::new(),
        config: BTreeMap::new(),
        databases: Vec::new(),
        redis: Vec::new(),
        files: None,
        grants: Grants::default(),
    };
    Ok(runtime.link(Arc::new(spec), &component, bytes.len() as u64)?)
}
