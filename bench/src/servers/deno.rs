//! Deno's own HTTP server: one isolate shared by all requests.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{HELLO, Server, missing_program};
use crate::settings::Settings;

/// `Deno.serve`.
#[derive(Debug)]
pub(crate) struct Deno;

pub(crate) fn program(settings: &Settings) -> PathBuf {
    settings.peers_folder.join("npm/node_modules/.bin/deno")
}

impl Server for Deno {
    fn name(&self) -> String {
        "Deno.serve".to_owned()
    }

    fn missing(&self, settings: &Settings) -> Option<String> {
        missing_program(&program(settings))
    }

    fn command(
        &self,
        settings: &Settings,
        folder: &Path,
        address: SocketAddr,
    ) -> anyhow::Result<Command> {
        let script = folder.join("hello.js");
        let (host, port) = (address.ip(), address.port());
        let text = format!(
            "Deno.serve({{ hostname: \"{host}\", port: {port} }}, () => new Response({HELLO:?}));\n"
        );
        std::fs::write(&script, text)?;
        let mut command = Command::new(program(settings));
        command
            .args(["run", "--quiet", "--allow-net"])
            .arg(script)
            .env("DENO_DIR", folder.join("deno"))
            .env("DENO_NO_UPDATE_CHECK", "1");
        Ok(command)
    }
}
