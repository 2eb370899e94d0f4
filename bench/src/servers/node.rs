//! Node's own HTTP server: one process, as it is started by default.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use super::{HELLO, Server, tells_its_version, versioned};
use crate::settings::Settings;

/// `http.createServer`.
#[derive(Debug)]
pub(crate) struct Node;

impl Server for Node {
    fn name(&self) -> String {
        "Node http".to_owned()
    }

    fn missing(&self, _settings: &Settings) -> Option<String> {
        (!tells_its_version(versioned(Path::new("node"))))
            .then(|| "node is not on the PATH: install Node.js, which also brings npm".to_owned())
    }

    fn command(
        &self,
        _settings: &Settings,
        folder: &Path,
        address: SocketAddr,
    ) -> anyhow::Result<Command> {
        let script = folder.join("hello.js");
        let (host, port) = (address.ip(), address.port());
        let text = format!(
            "require(\"http\").createServer((request, response) => {{\n  \
             response.setHeader(\"content-type\", \"text/plain; charset=utf-8\");\n  \
             response.end({HELLO:?});\n}}).listen({port}, \"{host}\");\n"
        );
        std::fs::write(&script, text)?;
        let mut command = Command::new("node");
        command.arg(script);
        Ok(command)
    }
}
