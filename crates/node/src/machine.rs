//! What the operating system lets this process have: file descriptors and memory mappings, and what a node needs of
//! them.
//!
//! Owns the numbers. A node takes no more instances and functions than fit, so that it refuses instead of running
//! into a limit in the middle of something.

use std::fs;

use everwarm_engine::config::PoolSize;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Memory mappings of a process without instances and functions: libraries, threads, the allocator.
const MAPPINGS_BASE: u64 = 1_000;
/// Mappings of one instance at most: its stack, and its part of the memories and tables of the pool. Measured: 4 to 8
/// for guests of one memory.
const MAPPINGS_PER_INSTANCE: u64 = 12;
/// There is a pool for WASI 0.2 and one for 0.3.
const POOLS: u64 = 2;
/// Mappings of one resident function.
const MAPPINGS_PER_FUNCTION: u64 = 4;
/// Of all mappings, the pools may have three of so many parts.
const PARTS: u64 = 4;
/// Descriptors of a process without connections and functions: the store, logs, threads, compilers.
const FILES_BASE: u64 = 200;
/// Instances and functions that a node has room for, however little the machine allows.
const LEAST: u64 = 16;
/// Connections and resident functions that a node should have room for.
const FILES_WANTED: u64 = 16_384 + 4_096;
/// Resident functions that a node should have room for.
const FUNCTIONS_WANTED: u64 = 4_096;

/// The limits that are in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Machine {
    /// File descriptors of this process; `None` where there is no limit.
    pub files: Option<u64>,
    /// What `files` may be raised to.
    pub files_hard: Option<u64>,
    /// Memory mappings of a process; `None` where nobody says.
    pub mappings: Option<u64>,
}

/// What a node takes.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    /// Instances of each pool.
    pub pool: PoolSize,
    /// Resident functions.
    pub functions_max: usize,
}

impl Machine {
    /// Reads them.
    pub fn read() -> Self {
        let files = getrlimit(Resource::Nofile);
        let mappings = fs::read_to_string("/proc/sys/vm/max_map_count").ok();
        Self {
            files: files.current,
            files_hard: files.maximum,
            mappings: mappings.and_then(|text| text.trim().parse().ok()),
        }
    }

    /// Raises the limit on file descriptors to what this process may have.
    pub fn raise_files() {
        let files = getrlimit(Resource::Nofile);
        let raised = Rlimit {
            current: files.maximum,
            maximum: files.maximum,
        };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            tracing::warn!(%error, "the limit on open files can't be raised");
        }
    }

    /// Memory mappings that a node with pools of this size may need.
    pub fn mappings_wanted(pool: PoolSize) -> u64 {
        let instances = u64::from(pool.instances_max) * POOLS * MAPPINGS_PER_INSTANCE;
        MAPPINGS_BASE + instances + FUNCTIONS_WANTED * MAPPINGS_PER_FUNCTION
    }

    /// File descriptors that a node may need.
    pub fn files_wanted() -> u64 {
        FILES_BASE + FILES_WANTED
    }

    /// What of these pools there is room for, and for how many functions besides.
    pub fn room(self, pool: PoolSize) -> Room {
        let Some(mappings) = self.mappings else {
            return Room {
                pool,
                functions_max: self.functions_by_files(),
            };
        };
        let for_pools = (mappings / PARTS * (PARTS - 1)).saturating_sub(MAPPINGS_BASE);
        let instances = (for_pools / (POOLS * MAPPINGS_PER_INSTANCE)).max(LEAST);
        let instances_max = u32::try_from(instances).unwrap_or(u32::MAX);
        let instances_max = pool.instances_max.min(instances_max);
        let taken = MAPPINGS_BASE + u64::from(instances_max) * POOLS * MAPPINGS_PER_INSTANCE;
        let functions = mappings.saturating_sub(taken) / MAPPINGS_PER_FUNCTION;
        let functions = usize::try_from(functions.max(LEAST)).unwrap_or(usize::MAX);
        Room {
            pool: PoolSize { instances_max },
            functions_max: functions.min(self.functions_by_files()),
        }
    }

    /// Each resident function keeps its file open. Half of the descriptors are for connections.
    fn functions_by_files(self) -> usize {
        let files = self.files.unwrap_or(u64::MAX);
        usize::try_from((files / 2).max(LEAST)).unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(mappings: u64, files: u64, instances_max: u32) -> Room {
        let machine = Machine {
            files: Some(files),
            files_hard: Some(files),
            mappings: Some(mappings),
        };
        machine.room(PoolSize { instances_max })
    }

    #[test]
    fn what_linux_allows_by_default_is_enough_for_the_pool_of_a_node() {
        let pool = PoolSize::default();
        let room = room(65_530, 20_000, pool.instances_max);
        assert_eq!(room.pool.instances_max, pool.instances_max);
        assert!(room.functions_max >= 4_000, "{room:?}");
    }

    #[test]
    fn pool_and_functions_fit_into_what_there_is() {
        for mappings in [0, 10_000, 65_530, 262_144, 1_048_576] {
            for instances in [1, 2_000, 10_000] {
                let room = room(mappings, 1_024, instances);
                assert!(room.pool.instances_max <= instances);
                assert!(room.functions_max <= 512);
                let taken = MAPPINGS_BASE
                    + u64::from(room.pool.instances_max) * POOLS * MAPPINGS_PER_INSTANCE
                    + room.functions_max as u64 * MAPPINGS_PER_FUNCTION;
                assert!(
                    taken <= mappings.max(2_000),
                    "{room:?} takes {taken} of {mappings}"
                );
            }
        }
    }

    #[test]
    fn this_machine_says_what_it_allows() {
        Machine::raise_files();
        let machine = Machine::read();
        assert_eq!(machine.files, machine.files_hard);
        if cfg!(target_os = "linux") {
            assert!(machine.mappings.is_some());
        }
    }
}
