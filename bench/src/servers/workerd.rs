//! workerd, Cloudflare's runtime: one isolate shared by all requests.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{HELLO, Server, missing_program};
use crate::settings::Settings;

/// workerd with a module worker.
#[derive(Debug)]
pub(crate) struct Workerd;

pub(crate) fn program(settings: &Settings) -> PathBuf {
    settings.peers_folder.join("npm/node_modules/.bin/workerd")
}

impl Server for Workerd {
    fn name(&self) -> String {
        "workerd".to_owned()
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
        let worker =
            format!("export default {{ async fetch() {{ return new Response({HELLO:?}); }} }};\n");
        std::fs::write(folder.join("hello.js"), worker)?;
        let config = format!(
            r#"using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "main", worker = .hello)],
  sockets = [(name = "http", address = "{address}", http = (), service = "main")]
);
const hello :Workerd.Worker = (
  modules = [(name = "hello.js", esModule = embed "hello.js")],
  compatibilityDate = "2026-01-01",
);
"#
        );
        let path = folder.join("config.capnp");
        std::fs::write(&path, config)?;
        let mut command = Command::new(program(settings));
        command.arg("serve").arg(path);
        Ok(command)
    }
}
