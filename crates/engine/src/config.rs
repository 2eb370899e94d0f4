//! The two Wasmtime engines, and the fingerprint of the machine code they run.
//!
//! Owns every Wasmtime setting. WASI 0.2 components run on an engine without component-model
//! concurrency, which makes a fresh instance about a third cheaper; WASI 0.3 needs it. What compiles
//! and what runs must agree on every setting that shapes machine code, so both start from
//! [`base`]. Knows nothing of files, functions or requests.

use std::fmt::Write as _;
use std::hash::{Hash, Hasher};

use everwarm_manifest::World;
use sha2::{Digest as _, Sha256};
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

/// What an engine is made for.
#[derive(Debug, Clone, Copy)]
pub enum Purpose {
    /// To compile components: no pool of instances, no epoch ticker.
    Compile,
    /// To run instances out of a pool.
    Run(PoolSize),
}

/// How many things the pool of one engine can hold at once.
#[derive(Debug, Clone, Copy)]
pub struct PoolSize {
    /// Component instances alive at once, in all functions of the engine's world.
    pub instances_max: u32,
}

impl PoolSize {
    /// The most instances of a pool: both pools have to fit into a process's address space.
    pub const INSTANCES_MAX: u32 = 10_100;
}

impl Default for PoolSize {
    fn default() -> Self {
        Self {
            instances_max: 2_000,
        }
    }
}

/// Core instances that one component may be made of (a typical Rust component has four).
const CORE_INSTANCES_PER_COMPONENT: u32 = 32;
/// Memories or tables that one component may be made of.
const MEMORIES_PER_COMPONENT: u32 = 8;
/// Memories of one pool at most. Each reserves 4 GiB and 32 MiB of guard, all in one piece. Of a process's 128 TiB on
/// x86-64 the piece above the program has 40.6 TiB when its place and that of the libraries are drawn the worst way;
/// the other pool is below.
const MEMORIES_MAX: u32 = 10_300;
const _: () = assert!(
    PoolSize::INSTANCES_MAX <= MEMORIES_MAX,
    "an instance has a memory"
);
/// Elements a table may hold; C# guests in debug mode are known to need more than 10,000.
const TABLE_ELEMENTS_MAX: usize = 100_000;
/// Bytes of a memory or table that stay mapped between instances; with `PAGEMAP_SCAN` only the
/// pages that were dirtied are written back.
const KEEP_RESIDENT_WITH_SCAN: usize = 1 << 20;
/// Without `PAGEMAP_SCAN` every kept byte is written back, so fewer are kept.
const KEEP_RESIDENT_WITHOUT_SCAN: usize = 64 << 10;
/// Host stack for one running guest, in bytes.
const ASYNC_STACK_SIZE: usize = 1 << 20;
/// Part of the host stack that Wasm itself may use, in bytes.
const WASM_STACK_SIZE_MAX: usize = 512 << 10;

/// Settings that shape machine code and are the same wherever an engine of this world is made.
pub fn base(world: World) -> Config {
    let mut config = Config::new();
    config.epoch_interruption(true);
    config.memory_init_cow(true);
    config.concurrency_support(matches!(world, World::Wasi03));
    config.wasm_component_model_async(matches!(world, World::Wasi03));
    config.async_stack_size(ASYNC_STACK_SIZE);
    config.max_wasm_stack(WASM_STACK_SIZE_MAX);
    config
}

/// Makes an engine.
///
/// # Errors
///
/// When Wasmtime refuses the settings, or the pool's address space can't be reserved.
pub fn engine(world: World, purpose: Purpose) -> wasmtime::Result<Engine> {
    let mut config = base(world);
    if let Purpose::Run(size) = purpose {
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(size)));
    }
    Engine::new(&config)
}

/// Some components have more than one memory; the largest pools have fewer to spare.
fn memories(instances: u32) -> u32 {
    let spare = (instances / 4).min(MEMORIES_MAX.saturating_sub(instances));
    instances.saturating_add(spare)
}

fn pool(size: PoolSize) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::default();
    let scan = crate::pagemap::is_safe_to_scan();
    let keep_resident = if scan {
        KEEP_RESIDENT_WITH_SCAN
    } else {
        KEEP_RESIDENT_WITHOUT_SCAN
    };
    pool.total_component_instances(size.instances_max)
        .total_core_instances(size.instances_max.saturating_mul(6))
        .total_memories(memories(size.instances_max))
        .total_tables(size.instances_max.saturating_mul(2))
        .total_stacks(size.instances_max)
        .max_core_instances_per_component(CORE_INSTANCES_PER_COMPONENT)
        .max_memories_per_component(MEMORIES_PER_COMPONENT)
        .max_tables_per_component(MEMORIES_PER_COMPONENT * 2)
        .table_elements(TABLE_ELEMENTS_MAX)
        .max_unused_warm_slots(size.instances_max / 10)
        .linear_memory_keep_resident(keep_resident)
        .table_keep_resident(keep_resident)
        .async_stack_keep_resident(0)
        .pagemap_scan(if scan { Enabled::Yes } else { Enabled::No });
    pool
}

/// Names the machine code that `engine` can run: Wasmtime's version and settings, and this CPU's
/// features. Two engines with the same fingerprint can run each other's code.
pub fn fingerprint(engine: &Engine) -> String {
    let mut hasher = Sha256Hasher(Sha256::new());
    engine.precompile_compatibility_hash().hash(&mut hasher);
    std::env::consts::ARCH.hash(&mut hasher);
    let digest = hasher.0.finalize();
    digest[..16]
        .iter()
        .fold(String::with_capacity(32), |mut text, byte| {
            write!(text, "{byte:02x}").expect("writing to a String can't fail");
            text
        })
}

/// A [`Hasher`] whose result doesn't change between builds of the standard library.
struct Sha256Hasher(Sha256);

impl Hasher for Sha256Hasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let digest = self.0.clone().finalize();
        u64::from_le_bytes(
            digest[..8]
                .try_into()
                .expect("a SHA-256 digest has 32 bytes"),
        )
    }
}
