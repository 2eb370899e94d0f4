//! `wasmtime serve` of crates.io, with the same components as ours.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Server, missing_program};
use crate::settings::Settings;

/// One way to run it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wasmtime {
    name: &'static str,
    world: &'static str,
    arguments: &'static [&'static str],
}

/// The ways that are compared: a fresh instance per request in both worlds, and its own default.
pub(crate) fn all() -> impl Iterator<Item = Wasmtime> {
    const P3: &[&str] = &["-Sp3", "-Wcomponent-model-async"];
    const P3_FRESH: &[&str] = &[
        "-Sp3",
        "-Wcomponent-model-async",
        "--max-instance-reuse-count=1",
    ];
    let ways = [
        ("wasmtime serve 0.2 fresh", "0.2", &[][..]),
        ("wasmtime serve 0.3 fresh", "0.3", P3_FRESH),
        ("wasmtime serve 0.3 reused", "0.3", P3),
    ];
    ways.into_iter().map(|(name, world, arguments)| Wasmtime {
        name,
        world,
        arguments,
    })
}

pub(crate) fn program(settings: &Settings) -> PathBuf {
    settings.peers_folder.join("bin/wasmtime")
}

impl Server for Wasmtime {
    fn name(&self) -> String {
        self.name.to_owned()
    }

    fn missing(&self, settings: &Settings) -> Option<String> {
        missing_program(&program(settings))
    }

    fn command(
        &self,
        settings: &Settings,
        _folder: &Path,
        address: SocketAddr,
    ) -> anyhow::Result<Command> {
        let mut command = Command::new(program(settings));
        command
            // `-Scli` for what a guest's standard library imports besides HTTP.
            .args(["serve", "-Scli", "--addr", &address.to_string()])
            .args(self.arguments)
            .arg(settings.guest("hello", self.world)?);
        Ok(command)
    }
}
