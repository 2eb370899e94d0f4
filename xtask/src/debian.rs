//! Servers that tests talk to, from Debian's packages: finds them, or installs what is missing.
//!
//! Owns which there are. A test that needs one and doesn't find it says so itself.

use std::path::Path;

use crate::steps;

/// A package, and what shows that it is there.
struct Package {
    name: &'static str,
    is_there: fn() -> bool,
}

const PACKAGES: [Package; 2] = [
    Package {
        name: "postgresql",
        is_there: || Path::new("/usr/lib/postgresql").is_dir(),
    },
    Package {
        name: "redis-server",
        is_there: || Path::new("/usr/bin/redis-server").exists(),
    },
];

/// Installs what isn't there, as root on Debian. Elsewhere it says what is missing.
///
/// # Errors
/// When a package can't be installed.
pub(crate) fn install() -> anyhow::Result<()> {
    let missing = PACKAGES.iter().filter(|package| !(package.is_there)());
    let missing: Vec<_> = missing.map(|package| package.name).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let may_install =
        rustix::process::geteuid().is_root() && Path::new("/usr/bin/apt-get").exists();
    if !may_install {
        eprintln!("\nnot installed, and tests need it: {}", missing.join(", "));
        return Ok(());
    }
    steps::run(apt().arg("update").arg("-q"))?;
    steps::run(
        apt()
            .args(["install", "-qy", "--no-install-recommends"])
            .args(missing),
    )
}

fn apt() -> std::process::Command {
    let mut command = std::process::Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}
