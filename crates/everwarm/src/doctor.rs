//! Looks at this machine: what building and serving need, what is there, and the command that mends
//! what isn't. Changes nothing and prints nothing.

use std::env;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use everwarm_build::{Toolchain, WASM_TARGET};
use everwarm_node::PoolSize;
use everwarm_node::machine::Machine;
use serde::Serialize;

use crate::port;

/// The oldest rustc that the SDK builds with.
const RUSTC_MIN: (u32, u32) = (1, 95);
/// The oldest kernel with PAGEMAP_SCAN, which makes a fresh instance cheaper.
const KERNEL_MIN: (u32, u32) = (6, 7);
/// Memory mappings that are suggested where there are too few: what several distributions have by default.
const MAPPINGS_SUGGESTED: u64 = 1_048_576;
/// `vm.overcommit_memory` when the kernel reserves only what is there.
const OVERCOMMIT_NEVER: u64 = 2;

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    Ok,
    /// Works, but not as well as it could.
    Warning,
    /// Doesn't work without it.
    Missing,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Check {
    pub(crate) name: &'static str,
    pub(crate) status: Status,
    pub(crate) found: String,
    /// What to do, mostly a command.
    pub(crate) fix: Option<String>,
}

impl Check {
    fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self {
            name,
            status: Status::Ok,
            found: found.into(),
            fix: None,
        }
    }

    fn warning(name: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            status: Status::Warning,
            fix: Some(fix.into()),
            ..Self::ok(name, found)
        }
    }

    fn missing(name: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            status: Status::Missing,
            ..Self::warning(name, found, fix)
        }
    }
}

/// Looks at everything. `listen` is where `up` would listen.
pub(crate) async fn checks(listen: SocketAddr) -> Vec<Check> {
    let mut checks = vec![platform()];
    checks.extend(rust().await);
    checks.push(free_port(listen));
    if cfg!(target_os = "linux") {
        checks.extend(linux(Path::new("/proc")));
    }
    // As `serve` has it, which raises what it may.
    Machine::raise_files();
    checks.extend(limits(Machine::read()));
    checks.push(profiler());
    checks
}

fn platform() -> Check {
    let found = format!("{} {}", env::consts::OS, env::consts::ARCH);
    match (env::consts::OS, env::consts::ARCH) {
        ("linux", "x86_64" | "aarch64") => Check::ok("platform", found),
        ("macos", _) => Check::warning("platform", found, "use Linux in production"),
        _ => Check::missing("platform", found, "use Linux on x86-64 or aarch64"),
    }
}

async fn rust() -> Vec<Check> {
    const INSTALL: &str = "curl https://sh.rustup.rs -sSf | sh";
    let Ok(toolchain) = Toolchain::find() else {
        return vec![Check::missing("cargo", "not on the PATH", INSTALL)];
    };
    let mut checks = Vec::new();
    checks.push(match toolchain.rustup() {
        Some(path) => Check::ok("rustup", path.display().to_string()),
        None => Check::warning(
            "rustup",
            "not found: Everwarm can't install the Wasm target itself",
            INSTALL,
        ),
    });
    let here = Path::new(".");
    let version = match toolchain.version(here).await {
        Ok(version) => version,
        Err(error) => {
            let found = crate::exit::told(&error);
            checks.push(Check::missing("rustc", found, "rustup update stable"));
            return checks;
        }
    };
    let new_enough = two_numbers(&version).is_some_and(|found| found >= RUSTC_MIN);
    checks.push(if new_enough {
        Check::ok("rustc", version)
    } else {
        let fix = format!(
            "rustup update stable (at least {}.{})",
            RUSTC_MIN.0, RUSTC_MIN.1
        );
        Check::missing("rustc", version, fix)
    });
    checks.push(match toolchain.has_wasm_target(here).await {
        Ok(true) => Check::ok("wasm target", WASM_TARGET),
        _ => Check::warning(
            "wasm target",
            format!("{WASM_TARGET} is missing; the first build installs it"),
            format!("rustup target add {WASM_TARGET}"),
        ),
    });
    checks
}

fn free_port(listen: SocketAddr) -> Check {
    match port::probe(listen) {
        Ok(()) => Check::ok("port", format!("{listen} is free")),
        Err(error) => {
            let owner = port::owner(listen).map_or(String::new(), |owner| format!(", by {owner}"));
            Check::warning(
                "port",
                format!("{listen} can't be had: {error}{owner}"),
                "everwarm up --listen 127.0.0.1:0",
            )
        }
    }
}

/// What the kernel says of itself below `proc`.
fn linux(proc: &Path) -> Vec<Check> {
    let read = |path: &str| fs::read_to_string(proc.join(path)).unwrap_or_default();
    let number = |path: &str| read(path).trim().parse::<u64>().ok();
    let mut checks = Vec::new();
    let kernel = read("sys/kernel/osrelease").trim().to_owned();
    let new_enough = two_numbers(&kernel).is_some_and(|found| found >= KERNEL_MIN);
    checks.push(if new_enough {
        Check::ok("kernel", kernel)
    } else {
        Check::warning(
            "kernel",
            format!(
                "{kernel}: fresh instances are slower before {}.{}",
                KERNEL_MIN.0, KERNEL_MIN.1
            ),
            "upgrade the kernel",
        )
    });
    // The first line is a heading.
    let swap_is_on = read("swaps").lines().nth(1).is_some();
    checks.push(if swap_is_on {
        Check::warning(
            "swap",
            "on: fresh instances are slower, because PAGEMAP_SCAN is used only without swap",
            "sudo swapoff -a",
        )
    } else {
        Check::ok("swap", "off")
    });
    checks.push(match number("sys/vm/overcommit_memory") {
        Some(OVERCOMMIT_NEVER) => Check::missing(
            "overcommit",
            "off: the pool of instances reserves more addresses than there is memory",
            "sudo sysctl vm.overcommit_memory=0",
        ),
        _ => Check::ok("overcommit", "allowed"),
    });
    checks
}

/// What this process may have of the machine, against what a busy node needs.
pub(crate) fn limits(machine: Machine) -> [Check; 2] {
    let told = |most: Option<u64>| {
        most.map_or("no limit known".to_owned(), |most| {
            format!("{most} at most")
        })
    };
    let wanted = Machine::mappings_wanted(PoolSize::default());
    let mappings = match machine.mappings {
        Some(most) if most < wanted => Check::warning(
            "memory mappings",
            format!(
                "{most} at most: a node whose pools and resident functions are full needs {wanted}, and keeps fewer"
            ),
            format!("sudo sysctl vm.max_map_count={MAPPINGS_SUGGESTED}"),
        ),
        most => Check::ok("memory mappings", told(most)),
    };
    let wanted = Machine::files_wanted();
    let files = match machine.files_hard {
        Some(most) if most < wanted => Check::warning(
            "open files",
            format!(
                "{most} at most: a node with all its connections and functions needs {wanted}, and refuses some"
            ),
            format!("ulimit -Hn {wanted} as root, or LimitNOFILE={wanted} in its unit"),
        ),
        most => Check::ok("open files", told(most)),
    };
    [mappings, files]
}

fn profiler() -> Check {
    let on_path = env::var_os("PATH")
        .is_some_and(|path| env::split_paths(&path).any(|folder| folder.join("perf").is_file()));
    if on_path {
        Check::ok("perf", "found (only for profiling)")
    } else {
        Check::ok("perf", "not found (only for profiling)")
    }
}

/// The first two numbers in a text: `rustc 1.95.0 (...)` or `6.18.44-x`.
fn two_numbers(text: &str) -> Option<(u32, u32)> {
    let start = text.find(|c: char| c.is_ascii_digit())?;
    let mut numbers = text[start..].split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_what_tools_say() {
        assert_eq!(two_numbers("rustc 1.95.0 (59807616e)"), Some((1, 95)));
        assert_eq!(two_numbers("6.18.44-fc"), Some((6, 18)));
        assert_eq!(two_numbers("unknown"), None);
    }

    /// The checks of a machine whose `/proc` has these files.
    fn of(files: &[(&str, &str)]) -> Vec<Check> {
        let proc = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = proc.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        linux(proc.path())
    }

    fn status(checks: &[Check], name: &str) -> Status {
        checks
            .iter()
            .find(|check| check.name == name)
            .unwrap()
            .status
    }

    #[test]
    fn swap_and_an_old_kernel_are_warnings_with_a_fix() {
        let checks = of(&[
            ("sys/kernel/osrelease", "5.15.0-1\n"),
            ("swaps", "Filename Type\n/dev/sda2 partition\n"),
        ]);
        for name in ["kernel", "swap"] {
            assert_eq!(status(&checks, name), Status::Warning, "{name}");
        }
        assert!(
            checks
                .iter()
                .all(|check| (check.status == Status::Ok) == check.fix.is_none())
        );
    }

    #[test]
    fn machine_that_never_overcommits_cannot_hold_the_pool() {
        let checks = of(&[("sys/vm/overcommit_memory", "2\n")]);
        assert_eq!(status(&checks, "overcommit"), Status::Missing);
    }

    #[test]
    fn limits_that_a_full_node_would_reach_are_warnings_with_a_fix() {
        let tight = limits(Machine {
            files: Some(1_024),
            files_hard: Some(4_096),
            mappings: Some(30_000),
        });
        for (check, fix) in tight
            .iter()
            .zip(["sysctl vm.max_map_count=", "LimitNOFILE="])
        {
            assert_eq!(check.status, Status::Warning, "{check:?}");
            assert!(check.fix.as_ref().unwrap().contains(fix), "{check:?}");
        }
        let free = limits(Machine {
            files: None,
            files_hard: None,
            mappings: Some(MAPPINGS_SUGGESTED),
        });
        assert!(free.iter().all(|check| check.status == Status::Ok));
    }

    #[test]
    fn machine_in_order_has_no_warning() {
        let checks = of(&[
            ("sys/kernel/osrelease", "6.18.1\n"),
            ("swaps", "Filename Type\n"),
            ("sys/vm/overcommit_memory", "0\n"),
        ]);
        assert!(checks.iter().all(|check| check.status == Status::Ok));
    }
}
